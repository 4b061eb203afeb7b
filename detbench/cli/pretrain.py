"""``detbench weights pretrain``: making the embedded weights of a profile's light backbones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from detbench.cli import common, single
from detbench.cli.common import argument, option, path_option
from detbench.errors import RecipeError, StoreError
from detbench.recipe import embedded, load, pretraining
from detbench.recipe.pretraining import Wanted
from detbench.recipe.table import Profile
from detbench.recipe.validate import unknown
from detbench.report.table import Entry, Sheet, columns, number, plain, text
from detbench.runner import processors

EXAMPLES = (
    "detbench weights pretrain",
    "detbench weights pretrain --only resnet14-w0.25-062c3681 --threads 1",
    "detbench weights pretrain my-table.toml --set backbone.width=0.5",
)


def command(
    tables: Annotated[
        list[str] | None,
        argument(
            "[TABLE]...",
            "Tables whose backbones get weights, ids or files of your own; by default all of the "
            "catalogue.",
            complete=common.complete_tables,
        ),
    ] = None,
    profile: Annotated[str, option("NAME", "Whose backbones: its id, or a file.")] = "smoke",
    set_: common.SetOption = None,
    only: Annotated[list[str] | None, option("ID", "Only this backbone; may be repeated.")] = None,
    output: Annotated[
        Path | None,
        path_option(
            "DIR", "Folder of the files; by default the recipes' own, where they are looked up."
        ),
    ] = None,
    device: common.DeviceOption = "auto",
    threads: Annotated[
        int | None,
        option(
            "N",
            "CPU threads; by default the processors that are free now. A training that goes on "
            "keeps its number.",
            min=1,
        ),
    ] = None,
    data_root: common.DataRootOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Make the weights that training.weights=embedded takes, for each backbone that has none.

    The detector that the profile's table 'pretraining' names is trained with one backbone of the
    tables' rows after another, each of which is written as soon as it is trained. Ctrl-C saves
    first, and the same command goes on. A file that is there is left alone: delete it to have it
    made again.

    Printed: each backbone, who starts from it, its file's size, and the AP of the detector it was
    trained in, on that one's val split.
    """
    chosen = load.profile(profile)
    wanted = _only(pretraining.wanted(chosen, tables or (), set_ or ()), only)
    folder = output or embedded.folder()
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"--output {folder}: this is a file: name a folder")
    paths = {one.id: folder / f"{one.id}{embedded.SUFFIX}" for one in wanted}
    missing = [one for one in wanted if not paths[one.id].exists()]
    for one in wanted:
        if one not in missing:
            embedded.provenance(paths[one.id])  # a damaged one is said before hours, not after
    if missing:
        _make(missing, chosen, folder, common.data_root(data_root), device, threads)
    made = [_made(one, paths[one.id], one in missing) for one in wanted]
    for file in made:
        if file["state"] == "other":
            common.say(
                f"warning: {file['path']}: not made as profile {chosen.id} says: delete it to have "
                "it made again"
            )
    common.emit(_sheet(made), format, made)


def _only(wanted: list[Wanted], only: Sequence[str] | None) -> list[Wanted]:
    known = [one.id for one in wanted]
    odd = [one for one in only or () if one not in known]
    if odd:
        raise RecipeError([f"--only: {unknown('backbone', one, known)}" for one in odd])
    return [one for one in wanted if not only or one.id in only]


def _make(
    missing: list[Wanted],
    profile: Profile,
    folder: Path,
    root: Path,
    device: str,
    threads: int | None,
) -> None:
    for data in {one.cell.data.model_dump_json(): one.cell.data for one in missing}.values():
        single.require_data(data, root)
    common.before_torch()
    single.log_to_stderr()
    if threads is None:
        threads, notice = processors.fitting(1)
        if notice:
            common.say(notice)

    import torch

    from detbench.measure.device import resolve
    from detbench.runner import pretrain
    from detbench.training import memory, stop
    from detbench.training.host import Host

    where = resolve(device)
    for one in missing:
        torch.set_num_threads(threads)
        with stop.on_signals() as check, single.shown(one.id) as show, memory.advised():
            report = single.both(show, check)
            path = pretrain.make(one, profile, folder, Host(root, where, report))
        common.say(f"{path}: written")


def _made(wanted: Wanted, path: Path, new: bool) -> dict[str, Any]:
    """One backbone's file, as json has it.

    Its ``state`` is ``made``, ``was here``, or ``other``: here, and made in another way than the
    profile now says; ``ap`` is that of the detector it was trained in, in [0, 1].
    """
    told = embedded.provenance(path)
    ap, same = told.get("ap"), told.get("digest") == wanted.digest
    return {
        "backbone": wanted.id,
        "name": embedded.name(path),
        "users": wanted.users,
        "rows": wanted.rows,
        "path": path,
        "bytes": path.stat().st_size,
        "ap": ap if isinstance(ap, float) else None,
        "state": "made" if new else "was here" if same else "other",
    }


def _sheet(made: list[dict[str, Any]]) -> Sheet:
    rows = [
        (
            one["backbone"],
            _shortened(one["users"], one["rows"]),
            Entry(f"{one['bytes'] / 1e6:.2f}", one["bytes"]),
            text(None, "undefined") if one["ap"] is None else number(100 * one["ap"], 1),
            "made otherwise" if one["state"] == "other" else one["state"],
        )
        for one in made
    ]
    heads = columns(
        backbone="Backbone", rows="Who starts from it", bytes=">MB", ap=">AP", state="File"
    )
    note = "AP of the detector it was trained in, on that one's val split, in percent."
    return plain(heads, rows, [note])


def _shortened(users: dict[str, tuple[str, ...]], rows: str, most: int = 2) -> str:
    """The first tables, and how many more there are."""
    names = list(users)
    if len(names) <= most + 1:
        return rows
    count = sum(len(labels) for labels in users.values())
    return f"{count} rows of {', '.join(names[:most])} and {len(names) - most} more tables"
