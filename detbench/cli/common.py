"""Options that several commands share, what their text means, and printing.

Everything here is light: a command imports torch, pandas and the like inside its function.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench import wrapping
from detbench.errors import RecipeError, StoreError, shown
from detbench.report.formats import FORMATS, SHEET_FORMATS, render, terminal
from detbench.report.formats.json import to_json
from detbench.report.table import Sheet

Complete = Callable[[str], list[str]]

if TYPE_CHECKING:
    from detbench.report.judgement import Terms
    from detbench.runner.plan import Plan, Request

    FormatName = str
else:
    FormatName = Literal[SHEET_FORMATS]


def option(
    takes: str, help: str, name: str = "", complete: Complete | None = None, **more: Any
) -> Any:
    """An option's part of an ``Annotated``.

    Args:
        takes: what its value is called.
        name: where it is not that of its parameter, with dashes.
        complete: gives the shell what may follow a beginning.
        more: as of ``typer.Option``.
    """
    names = [name] if name else []
    return typer.Option(*names, metavar=takes, help=help, autocompletion=complete, **more)


def given_path(text: str | Path) -> Path:
    """A path from a command line, where an empty text, which an unset variable gives, names none.

    Raises:
        BadParameter: it is empty, or has a character that no path has.
    """
    if text == "":
        raise typer.BadParameter("it is empty: name a path")
    if "\0" in str(text):
        raise typer.BadParameter("there is a NUL character in it, which no path has")
    return Path(text)


def path_option(takes: str, help: str, **more: Any) -> Any:
    """As ``option``, of a ``Path``."""
    return option(takes, help, parser=given_path, **more)


def path_argument(takes: str, help: str) -> Any:
    """As ``argument``, of a ``Path``."""
    return typer.Argument(metavar=takes, help=help, parser=given_path)


def switch(name: str, help: str) -> Any:
    """A switch's part of an ``Annotated``; it has no ``--no-`` counterpart."""
    return typer.Option(name, help=help)


def argument(takes: str, help: str, complete: Complete | None = None) -> Any:
    """An argument's part of an ``Annotated``, as of ``option``."""
    return typer.Argument(metavar=takes, help=help, autocompletion=complete)


def _complete(*kinds: str) -> Complete:
    def names(incomplete: str) -> list[str]:
        from detbench.recipe import load

        found: list[str] = [name for kind in kinds for name in getattr(load, kind)()]
        return [name for name in found if name.startswith(incomplete)]

    return names


def _complete_rows(incomplete: str) -> list[str]:
    from detbench.cli import completion

    return completion.rows(incomplete)


def _complete_settings(incomplete: str) -> list[str]:
    from detbench.cli import completion

    return completion.settings(incomplete)


complete_tables = _complete("tables")
complete_detectors = _complete("detectors")
complete_profiles = _complete("profiles")
complete_any = _complete("tables", "detectors")

TableArgument = Annotated[
    str,
    argument(
        "TABLE",
        "Id of a table, as in tscode-table1, or a file of your own.",
        complete=complete_tables,
    ),
]
DetectorArgument = Annotated[
    str,
    argument(
        "DETECTOR",
        "Id of a detector, as in fcos-r50, or a file of your own.",
        complete=complete_detectors,
    ),
]
FormatOption = Annotated[FormatName, typer.Option(help="How the table on stdout is written.")]
ProfileOption = Annotated[
    str | None,
    option(
        "NAME",
        "How big a run is: paper, small, smoke or a file; by default paper where its data set "
        "is found, else smoke.",
        complete=complete_profiles,
    ),
]
RowsOption = Annotated[
    str | None,
    option(
        "PATTERN",
        "Only rows whose label matches, as in 'FCOS*'; several by commas.",
        complete=_complete_rows,
    ),
]
SeedsOption = Annotated[str, option("N,N", "Seeds, by commas.")]
LooksOption = Annotated[
    str | None,
    option(
        "N,N",
        "Planned looks, 3,6: at 3 seeds p has to be 0.01, at 6 seeds 0.04. By default the seeds "
        "are one look, their number fixed in advance.",
    ),
]
SeedSdOption = Annotated[
    float | None,
    option(
        "POINTS",
        "Standard deviation over seeds that is taken for what has one seed, as in 0.3.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    option(
        "KEY=VALUE",
        "Change a setting, as in training.iterations=2 or heads.cls.depth=1; repeatable.",
        name="--set",
        complete=_complete_settings,
    ),
]
ColumnsOption = Annotated[
    str | None,
    option(
        "NAME,NAME",
        "Metrics to print in place of the table's, as in AP,AP50; besides them with a leading "
        "+, as in +AP60. +errors adds what each type of error costs (TIDE).",
    ),
]
DatasetOption = Annotated[
    str | None,
    option(
        "NAME",
        "In place of the profile's data set: shapes, coco, voc, widerface, openimages, or your "
        "own as yolo:DATA.yaml or coco:ANNOTATIONS.json:IMAGES, then :VAL.json:IMAGES to evaluate "
        "on.",
    ),
]
DataRootOption = Annotated[
    Path | None, path_option("DIR", "Folder of data sets; by default $DETBENCH_DATA, else ./data.")
]
ResultsOption = Annotated[
    Path | None,
    path_option("DIR", "Folder of measurements; by default $DETBENCH_RESULTS, else ./results."),
]
InputOption = Annotated[str, option("WxH", "Size of the network's input in pixels.")]
DeviceOption = Annotated[str, option("NAME", "auto, cpu, cuda or cuda:N.")]
AllowPartialOption = Annotated[bool, switch("--allow-partial", "Take of the weights what fits.")]
ForceOption = Annotated[bool, switch("--force", "Replace a file that is there.")]
WeightsOption = Annotated[
    str | None,
    option(
        "NAME|FILE",
        "Weights to start from: default (the recipe's), a torchvision or timm name, a file.",
    ),
]


KINDS = {
    "train-eval": "train, evaluate",
    "cost": "count",
    "latency": "time",
    "analysis": "analyse",
}
"""What is stored, in words."""


wrote = False
"""Whether this command has written to stdout."""


def parse_seeds(text: str) -> list[int]:
    """``0,1,2`` as [0, 1, 2]; repeats are dropped.

    Raises:
        RecipeError: for anything but non-negative integers.
    """
    parts = [part.strip() for part in text.split(",")]
    # A seed is stored as a 64-bit integer.
    if not all(re.fullmatch(r"[0-9]{1,18}", part) for part in parts):
        raise RecipeError(
            f"--seeds {text!r}: give non-negative integers of at most 18 digits by commas, "
            "as in 0,1,2"
        )
    return list(dict.fromkeys(int(part) for part in parts))


def terms(looks: str | None, seed_sd: float | None) -> Terms:
    """On what terms findings are made.

    Raises:
        RecipeError: for looks other than 3,6, or a standard deviation that is none.
    """
    from detbench.report.judgement import Terms
    from detbench.statistics.looks import PLANNED

    planned = () if looks is None else tuple(looks.replace(" ", "").split(","))
    if planned and planned != tuple(map(str, PLANNED)):
        raise RecipeError(f"--looks {looks!r}: give 3,6: no other looks' errors are known")
    if seed_sd is not None and not 0 < seed_sd <= 100:
        raise RecipeError(f"--seed-sd {seed_sd:g}: give points of AP from 0 to 100, as in 0.3")
    return Terms(tuple(PLANNED) if planned else (), seed_sd)


def parse_input(text: str) -> tuple[int, int]:
    """``1280x800`` as (1280, 800), width first.

    Raises:
        RecipeError: for anything else.
    """
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text.strip().lower())
    if not match or "0" in (str(int(match[1])), str(int(match[2]))):
        raise RecipeError(f"--input {text!r}: give WIDTHxHEIGHT in pixels, as in 1280x800")
    return int(match[1]), int(match[2])


def data_root(option: Path | None) -> Path:
    """``--data-root``, else ``$DETBENCH_DATA``, else ``./data``; need not exist."""
    return option or Path(os.environ.get("DETBENCH_DATA") or "data")


def results_root(option: Path | None) -> Path:
    """``--results``, else ``$DETBENCH_RESULTS``, else ``./results``; need not exist."""
    return option or Path(os.environ.get("DETBENCH_RESULTS") or "results")


def rank() -> int:
    """Of this process among those that torchrun started; 0 for one alone."""
    return int(os.environ.get("RANK", "0")) if os.environ.get("WORLD_SIZE", "1") != "1" else 0


def before_torch() -> None:
    """To be called before torch is imported to compute: threads that wait sleep, and one process of
    several keeps torch's hints to itself.
    """
    from detbench.runner.processors import wait_passively

    wait_passively()
    if os.environ.get("WORLD_SIZE", "1") != "1":
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def say(message: str) -> None:
    """One line of progress or advice, to stderr, from the first process of several."""
    if rank() == 0:
        print(shown(message), file=sys.stderr, flush=True)


def request(
    table: str,
    profile: str | None,
    data_root: Path,
    seeds: Sequence[int] = (0,),
    set_: Sequence[str] | None = None,
    **more: str | None,
) -> Request:
    """What is asked for of a table, or a detector, from the options as they are given.

    Args:
        more: ``rows``, ``dataset``, ``columns``.
    """
    from detbench.runner.plan import Request

    overrides = tuple(set_ or ())
    return Request(table, profile, data_root, tuple(seeds), overrides=overrides, **more)


def plan(request: Request) -> Plan:
    """The table that is asked for; which profile was taken, if none was named, is said."""
    from detbench.runner.plan import choose

    chosen = choose(request)
    if chosen.said:
        say(chosen.said)
    return chosen


def write(text: str) -> None:
    """Text to stdout; a reader that has left is no error.

    Raises:
        StoreError: stdout is a file that cannot be written, as on a full disk.
    """
    global wrote
    wrote = True
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        raise StoreError(
            f"the output cannot be written ({error.strerror}): send it to another place"
        ) from error


def discard_output() -> None:
    """Have what is left in stdout's buffer go nowhere, since Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit(sheet: Sheet, format: FormatName = "terminal", payload: Any = None) -> None:
    """Print a table to stdout; json prints ``payload`` where that is not the sheet's own rows."""
    if FORMATS[format].payload and payload is not None:
        write(to_json(payload))
    elif format == "terminal" and sys.stdout.isatty():
        colour = not os.environ.get("NO_COLOR")
        write(terminal.render(sheet, wrapping.width(sys.stdout), colour))
    else:
        write(render(sheet, format))
    if not FORMATS[format].notes:
        for note in (*sheet.footnotes, *sheet.notes):
            say(note)


def write_line(text: str) -> None:
    """A line to stdout; on a terminal, lines that fit it."""
    lines = wrapping.wrap(text, wrapping.width(sys.stdout)) if sys.stdout.isatty() else [text]
    write("".join(f"{line}\n" for line in lines))
