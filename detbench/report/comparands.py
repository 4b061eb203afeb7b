"""What is compared: a table's row, a stored cell, or results files from anywhere.

No torch.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detbench import inputs
from detbench.errors import DataError, RecipeError, StoreError
from detbench.evaluation import results as files
from detbench.evaluation import truth
from detbench.evaluation.detections import GroundTruth, truth_columns
from detbench.evaluation.matching import Matches, match
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell, Data, Evaluation
from detbench.report.differences import known
from detbench.report.results import TableResults
from detbench.results.detections import STORED
from detbench.results.store import Store, Stored
from detbench.runner import hint
from detbench.runner.plan import PlannedRow, Task
from detbench.statistics.replicates import Replicates, Resampling, of_results

Read = Callable[[str], TableResults]
DIGEST = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Comparand:
    """Where the detections of one of the two come from.

    Attributes:
        name: to print.
        read: one for each seed, giving COCO results.
        where: of each, for messages.
        cell: what made them; none of files from elsewhere.
        digests: of the stored cells they are from, one for each seed; empty if any is from
            elsewhere.
        stored: what else is known of them; of rows and digests alone.
        store: that holds what reports kept of them; none of files from elsewhere.
    """

    name: str
    read: tuple[Callable[[], Any], ...]
    where: tuple[str, ...]
    cell: Cell | None = None
    digests: tuple[str, ...] = ()
    stored: tuple[Stored, ...] = ()
    store: Store | None = None


def find(name: str, store: Store, read: Read) -> Comparand:
    """The comparand that is called ``name``.

    Args:
        name: results files (several seeds by commas), ``TABLE:ROW``, or the beginning of a digest
            in ``store``.
        read: a table's results.

    Raises:
        RecipeError: there is nothing of that name, or more than one.
        StoreError: it has not been run. That its detections are gone is raised where they are read.
    """
    paths = [Path(name)] if Path(name).is_file() else [Path(one) for one in name.split(",")]
    if all(path.is_file() for path in paths):
        return _files(paths)
    if DIGEST.fullmatch(name):
        return _digest(name, store)
    table, colon, label = name.partition(":")
    if colon and label and Path(name).suffix != ".json":
        return _row(read(table), label)
    if name.endswith((".json", ".json.gz")):
        missing = next(path for path in paths if not path.is_file())
        raise DataError(f"{missing}: no such file")
    raise RecipeError(
        f"'{name}' is no results file (.json, .json.gz), no row as in tscode-table1:FCOS and no "
        "digest of a stored cell (at least 6 characters): detbench list names the tables"
    )


def _files(paths: Sequence[Path]) -> Comparand:
    """Results files, one for each seed; one that lies in a store brings its cell along."""
    _no_twins(paths)
    name = ", ".join(path.name for path in paths)
    readers = tuple(lambda path=path: files.read(path) for path in paths)
    digests = tuple(_digest_beside(path) for path in paths)
    found = zip(paths, digests, strict=True)
    cells = [_cell(Store(path.parent.parent), key) if key else None for path, key in found]
    return Comparand(
        name,
        readers,
        tuple(map(str, paths)),
        cells[0] if all(cells) else None,
        digests if all(digests) else (),
    )


def _no_twins(paths: Sequence[Path]) -> None:
    """Refuse a training that is given as several seeds.

    Raises:
        DataError: two files hold the same bytes.
    """
    seen: dict[str, Path] = {}
    for path in paths if len(paths) > 1 else ():
        other = seen.setdefault(_content(path), path)
        if other is not path:
            raise DataError(
                f"{other} and {path} hold the same: a training that is given twice is no second "
                "seed"
            )


def _content(path: Path) -> str:
    """Hash of what a file holds, unpacked; of one that does not unpack, of its bytes."""
    data = files.raw(path)
    with suppress(OSError, EOFError, zlib.error, inputs.TooLarge):
        data = inputs.unpacked(data)
    return hashlib.sha256(data).hexdigest()


def _digest_beside(path: Path) -> str:
    """Digest of the cell whose detections a file is; empty if it lies in no store."""
    found = STORED.fullmatch(path.name)
    return found[1] if found and path.parent.name == "cells" else ""


def _cell(store: Store, key: str) -> Cell | None:
    """What a stored cell was made of; none if its rows are not there."""
    stored = store.get(key)
    if stored is None or stored.status != "done":
        return None
    try:
        return Cell.of_plain(stored.rows[0].provenance.get("recipe"))
    except ValueError as error:
        raise StoreError(
            f"cell {key[:12]} was made by another version of detbench: give its detections file "
            "and --annotations"
        ) from error


def _digest(beginning: str, store: Store) -> Comparand:
    found = [key for key in store.listing() if key.startswith(beginning)]
    found = [key for key in found if store.fingerprint(key)]
    if len(found) != 1:
        what = "no cell with detections" if not found else f"{len(found)} cells"
        raise RecipeError(
            f"digest '{beginning}': {what} in {store.root} begin{'s' if not found else ''} so: "
            "detbench results list shows them, --results names another folder"
        )
    [key] = found
    cell = _cell(store, key)
    if cell is None:
        raise StoreError(f"digest '{beginning}': its measurements are missing in {store.root}")
    where = f"cell {key[:12]}"
    read = partial(store.detections_of, key, where)
    return Comparand(key[:12], (read,), (where,), cell, (key,), _stored(store, (key,)), store)


def _stored(store: Store, keys: Iterable[str]) -> tuple[Stored, ...]:
    return tuple(one for one in map(store.get, keys) if one is not None)


def _row(results: TableResults, label: str) -> Comparand:
    """A row of a table, with the plan's seeds: all of them, or an error."""
    plan, store = results.plan, results.store
    planned, known = plan.named(label)
    if planned is None:
        raise RecipeError(f"{plan.table.id} has no row '{label}'{known}")
    if not planned.train:
        raise RecipeError(f"{plan.table.id}:{planned.row.label}: {planned.reason}")
    for task in planned.train:
        status = store.status(task.digest)
        if status == "failed":
            raise StoreError(
                f"{plan.table.id}:{task.label} failed: "
                f"{hint.run(plan, [planned.row.label], '--retry-failed')} runs it again"
            )
        if status != "done":
            raise StoreError(_lacking(results, planned, task))
    readers = tuple(partial(_of_task, results, planned, task) for task in planned.train)
    cell = planned.train[0].cell
    assert isinstance(cell, Cell)
    where = tuple(f"{plan.table.id}:{task.label}" for task in planned.train)
    stored = _stored(store, planned.digests)
    return Comparand(planned.row.label, readers, where, cell, planned.digests, stored, store)


def _of_task(results: TableResults, planned: PlannedRow, task: Task) -> Any:
    found = results.store.detections(task.digest)
    if found is None:
        raise StoreError(_lacking(results, planned, task))
    return found


def _lacking(results: TableResults, planned: PlannedRow, task: Task) -> str:
    """That a training has no detections, and what mends it."""
    plan, store = results.plan, results.store
    return (
        f"{plan.table.id}:{task.label} has no detections in {store.root}: "
        f"{hint.again(plan, planned.row.label, planned.train, store)}, or --results names "
        "another folder"
    )


def same(a: Comparand, b: Comparand) -> str:
    """A sentence where both are the same stored cells, of which nothing can differ; else
    empty.
    """
    if not a.digests or set(a.digests) != set(b.digests):
        return ""
    one, other = names(a, b)
    many = len(a.digests) > 1
    keys = ", ".join(key[:12] for key in a.digests)
    return (
        f"{one} and {other} are the same cell{'s' if many else ''} ({keys}): there is nothing to "
        "compare."
    )


def names(a: Comparand, b: Comparand) -> tuple[str, str]:
    """What to call the two, so that they differ."""
    if a.name != b.name:
        return a.name, b.name
    if a.where != b.where:
        return ", ".join(a.where), ", ".join(b.where)
    return f"{a.name} (A)", f"{b.name} (B)"


def protocol(a: Comparand, b: Comparand) -> tuple[Data, Evaluation] | None:
    """Data and settings that both share; None where both are files from elsewhere.

    Raises:
        RecipeError: they were evaluated on other data or otherwise.
    """
    cells = [one.cell for one in (a, b) if one.cell is not None]
    if not cells:
        return None
    first, last = cells[0], cells[-1]
    if digest(first.data) != digest(last.data):
        raise RecipeError(
            f"{a.name} and {b.name} were evaluated on different data: a paired comparison takes "
            "the same images"
        )
    ours, theirs = (one.evaluation.model_copy(update={"batch": 1}) for one in (first, last))
    if ours != theirs:
        fields = type(ours).model_fields
        differ = [
            f"evaluation.{one}" for one in fields if getattr(ours, one) != getattr(theirs, one)
        ]
        raise RecipeError(
            f"{a.name} and {b.name} were evaluated with another {', '.join(differ)}: a comparison "
            "takes the same settings"
        )
    return first.data, first.evaluation


def ground_truth(
    shared: tuple[Data, Evaluation] | None,
    annotations: Path | None,
    data: Data | None,
    root: Path,
    masks: bool = False,
) -> GroundTruth:
    """What both are scored against.

    Args:
        shared: of ``protocol``.
        annotations: a file for two files from elsewhere; else ``data``.
        masks: with the masks of objects.

    Raises:
        RecipeError: none is named, or both.
    """
    if shared is not None:
        if annotations is not None:
            raise RecipeError(
                "--annotations goes with two results files: a row or stored cell has its own "
                "ground truth"
            )
        return shared[0].truth(root, masks)
    if annotations is not None:
        return truth.of_file(annotations, masks)
    if data is None:
        raise RecipeError(
            "two results files need their ground truth: --annotations FILE, as in "
            "--annotations instances_val2017.json, or --dataset NAME"
        )
    return data.truth(root, masks)


def class_names(ground: GroundTruth, evaluation: Evaluation) -> tuple[tuple[str, ...], int]:
    """Names of the classes, and how many images are scored."""
    found = truth_columns(ground, evaluation.limit)
    return found.names, len(found.image_ids)


def clusters(name: str, annotations: Path | None, data: Data | None, root: Path) -> dict[int, Any]:
    """Image id -> the cluster it belongs to.

    Args:
        name: of a field of the images in the annotations, as ``video_id``.

    Raises:
        DataError: the annotations are no file, or an image lacks the field.
    """
    path = annotations
    if path is None and data is not None and hasattr(data, "where"):
        path = data.where("val", root)[0]
    if path is None or path.suffix not in (".json", ".gz"):
        raise DataError("--cluster-by: the ground truth is no COCO JSON whose images have fields")
    images = files.read(path)["images"]
    lacking = [one["id"] for one in images if one.get(name) is None]
    if lacking:
        known = ", ".join(sorted(set(images[0]) - {"id", "width", "height"})) or "none"
        raise DataError(
            f"--cluster-by {name}: image {lacking[0]} of {path} has no such field (fields: {known})"
        )
    return {one["id"]: one[name] for one in images}


def resampled(
    comparand: Comparand,
    ground: GroundTruth,
    evaluation: Evaluation,
    metrics: Sequence[str],
    how: Resampling,
) -> list[Replicates]:
    """A comparand's seeds in every bootstrap replicate; what reports kept serves too."""
    store, keys = comparand.store, comparand.digests
    kept: list[Replicates | None] = [None] * len(comparand.read)
    if store is not None and how.clusters is None and how.seed == 0:
        kept = [known(key, store, metrics, how) for key in keys]
    return [
        one or of_results(ground, read(), evaluation, metrics, how, where)
        for one, read, where in zip(kept, comparand.read, comparand.where, strict=True)
    ]


def matches(
    comparand: Comparand, ground: GroundTruth, evaluation: Evaluation, masks: bool = False
) -> list[Matches]:
    """A comparand's seeds, boxes or masks matched."""
    return [
        match(ground, read(), evaluation, where, masks)
        for read, where in zip(comparand.read, comparand.where, strict=True)
    ]
