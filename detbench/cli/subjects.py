"""Which images ``predict`` looks at, with their ground truth, and by which stored row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detbench.cli import common, single
from detbench.errors import DataError, RecipeError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from detbench.data.coco_check import Table
    from detbench.evaluation.competition import Boxed, Candidate
    from detbench.recipe.experiment import Cell, Data
    from detbench.report.pictures import Objects
    from detbench.runner.plan import Request


@dataclass(frozen=True)
class Subject:
    """One image.

    Attributes:
        image: (3, H, W), uint8, RGB.
        title: what to call it; ``stem`` in a file's name, unlike any other's.
        image_id: the data set's; none of a file without annotations.
        objects: ground truth, or none.
    """

    image: Tensor
    title: str
    stem: str
    image_id: int | None = None
    objects: Objects | None = None


@dataclass(frozen=True)
class Source:
    """Images to look at and the classes in them.

    Attributes:
        wanted: as given: files, or numbers of val images.
        names, ids: of the classes, in the order of the labels.
        explain: where the classes come from, for an error about their number.
    """

    wanted: tuple[str, ...]
    names: list[str]
    ids: list[int]
    explain: str
    data: Data
    root: Path
    table: Table | None

    def subjects(self) -> Iterator[Subject]:
        """The images, read one after another, in the order they were given."""
        stems: set[str] = set()
        dataset: Any = None
        for wanted in self.wanted:
            stem = _unlike(Path(wanted).stem, stems)
            stems.add(stem)
            if not is_number(wanted):
                yield self._file(Path(wanted), stem)
                continue
            if dataset is None:
                from detbench import data

                dataset = data.load(self.data, "val", self.root)
                annotations = by_image(dataset.ground_truth())
            number = int(wanted)
            sample = dataset.sample(number)
            boxed = objects(annotations.get(sample.image_id, []), self.ids, self.data)
            title = f"val image {number}"
            yield Subject(sample.image, title, f"val-{stem}", sample.image_id, boxed)

    def _file(self, path: Path, stem: str) -> Subject:
        from torchvision.transforms.v2 import functional as F

        from detbench.data import images

        if self.table is None:
            return Subject(F.pil_to_tensor(images.alone(path)), path.name, stem)
        row = _row_of(self.table, path)
        width, height = self.table.image_sizes[row].tolist()
        picture = images.read(path, (height, width), self.table.source(row))
        number = int(self.table.image_ids[row])
        found = by_image(self.table.ground_truth("")).get(number, [])
        boxed = objects(found, self.ids, self.data)
        return Subject(F.pil_to_tensor(picture), path.name, stem, number, boxed)


def is_number(wanted: str) -> bool:
    """Whether an image is meant by its number; a file of that name goes before."""
    return wanted.isdecimal() and not Path(wanted).exists()


def source(images: Sequence[str], annotations: Path | None, data: Data, root: Path) -> Source:
    """Check what can be checked before any image is read.

    Raises:
        DataError: a file or data set is missing, or an image is not in it.
    """
    missing = [one for one in images if not is_number(one) and not Path(one).exists()]
    if missing:
        raise DataError(f"{missing[0]}: no such file")
    table = None
    if annotations is not None:
        from detbench.data.coco_check import read

        table = read(annotations)
        for one in images:
            if not is_number(one):
                _row_of(table, Path(one))
        names = table.categories
        explain = f"there are {len(names)} classes in {annotations}: --annotations names others"
    numbers = [int(one) for one in images if is_number(one)]
    if numbers:
        single.require_data(data, root)
        _check_numbers(numbers, data, root)
    if table is None:
        names = data.categories(root)
        explain = f"there are {len(names)} classes in {data.val_split()}: --dataset names others"
    ids, titles = [number for number, _ in names], [name for _, name in names]
    return Source(tuple(images), titles, ids, explain, data, root, table)


def _check_numbers(numbers: list[int], data: Data, root: Path) -> None:
    from detbench import data as sets

    count = len(sets.load(data, "val", root))
    for number in numbers:
        if number >= count:
            raise DataError(f"image {number}: {data.val_split()} has val images 0 to {count - 1}")


def _row_of(table: Table, path: Path) -> int:
    """The image's place in an annotation file, by its name, with folders where they are needed."""
    same = [i for i, name in enumerate(table.file_names) if Path(name).name == path.name]
    if len(same) > 1:
        whole = path.resolve().as_posix()
        same = [i for i in same if whole.endswith("/" + table.file_names[i])]
    if len(same) != 1:
        raise DataError(f"{path} is not in {table.sources[0]}: no image there has that file_name")
    return same[0]


def by_image(truth: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for item in truth["annotations"]:
        found.setdefault(item["image_id"], []).append(item)
    return found


def objects(items: list[dict[str, Any]], ids: list[int], data: Data) -> Objects:
    import numpy as np

    from detbench.evaluation.competition import Boxed
    from detbench.report.pictures import Objects

    boxes = np.array([item["bbox"] for item in items], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([ids.index(item["category_id"]) for item in items], np.int64)
    crowd = np.array([bool(item.get("iscrowd", 0)) for item in items], bool)
    return Objects(Boxed(boxes, labels, np.ones(len(items))), crowd, data.crowd)


def _unlike(stem: str, taken: set[str]) -> str:
    """A name that no other image of this call has."""
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def stored_row(row: str, request: Request, results: Path) -> tuple[Cell, Path, str]:
    """The cell of a table's row that was run, the weights it left, and the row's label.

    Args:
        row: as in ``tscode-table1:FCOS``, whose table takes the place of ``request``'s.

    Raises:
        RecipeError: no such table or row.
        WeightsError: it has not been trained into ``results``.
    """
    from detbench.recipe.experiment import Cell
    from detbench.results.store import Store
    from detbench.runner import hint

    table, colon, label = row.partition(":")
    if not colon or not label:
        raise RecipeError(f"--row '{row}': give TABLE:ROW, as in tscode-table1:FCOS")
    chosen = common.plan(replace(request, table=table))
    planned, known = chosen.named(label)
    if planned is None:
        raise RecipeError(f"--row '{row}': {table} has no such row{known}")
    if not planned.train:
        raise RecipeError(f"--row '{row}': this row is not run here: {planned.reason}")
    [task] = planned.train
    store = Store(results)
    file = store.work(task.work) / "weights.pt"
    if not file.is_file():
        again = hint.again(chosen, planned.row.label, [task], store)
        raise WeightsError(f"--row '{row}': no weights in {file.parent}: {again}")
    assert isinstance(task.cell, Cell)
    return task.cell, file, planned.row.label


def as_json(found: dict[str, Any]) -> dict[str, Any]:
    """What ``predict`` writes of one image: boxes x, y, w, h in pixels of the original."""
    subject, names, ids = found["subject"], found["names"], found["ids"]
    height, width = subject.image.shape[1:]
    out = {
        "image": subject.title,
        "image_id": subject.image_id,
        "width": width,
        "height": height,
        "drawn_from_score": found["least"],
        "detections": _json_masks(
            found["after"], _json_boxes(found["after"], names, ids), (height, width)
        ),
        "before_nms": _json_boxes(found["before"], names, ids),
    }
    if found["competitions"] is not None:
        out["objects"] = [
            {
                "category_id": ids[one.label],
                "category": names[one.label],
                "bbox": _sides(one.box),
                "boxes": one.boxes,
                "best_iou": None if one.best_iou is None else _json_candidate(one.best_iou),
                "best_scores": [_json_candidate(each) for each in one.best_scores],
            }
            for one in found["competitions"]
        ]
    return out


def _json_boxes(boxed: Boxed, names: list[str], ids: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "category_id": ids[label],
            "category": names[label],
            "bbox": _sides(box),
            "score": round(score, 6),
        }
        for box, label, score in zip(
            boxed.boxes.tolist(), boxed.labels.tolist(), boxed.scores.tolist(), strict=True
        )
    ]


def _json_masks(
    boxed: Boxed, found: list[dict[str, Any]], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """``found`` with the masks of ``boxed``, if it has any, as compressed RLEs."""
    from detbench.data.segmentations import as_json, compressed, run_lengths

    rles = compressed([run_lengths(one, size) for one in boxed.masks or ()], size)
    for one, rle in zip(found, rles, strict=False):
        one["segmentation"] = as_json(rle)
    return found


def _json_candidate(one: Candidate) -> dict[str, Any]:
    return {"bbox": _sides(one.box), "score": round(one.score, 6), "iou": round(one.iou, 6)}


def _sides(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [round(side, 3) for side in (left, top, right - left, bottom - top)]
