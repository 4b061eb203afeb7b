"""Options that several commands share, what their text means, and printing.

Everything here is light: a command imports torch, pandas and the like inside its function.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.errors import DetbenchError, RecipeError, StoreError
from detbench.report.formats import FORMATS, SHEET_FORMATS, render

if TYPE_CHECKING:
    from detbench.runner.plan import Plan, Request

    FormatName = str
else:
    FormatName = Literal[SHEET_FORMATS]


def _complete(*kinds: str) -> Callable[[str], list[str]]:
    def names(incomplete: str) -> list[str]:
        from detbench.recipe import load

        found: list[str] = [name for kind in kinds for name in getattr(load, kind)()]
        return [name for name in found if name.startswith(incomplete)]

    return names


complete_tables = _complete("tables")
complete_detectors = _complete("detectors")
complete_profiles = _complete("profiles")
complete_any = _complete("tables", "detectors")

TableArgument = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="Id of a table, as in tscode-table1, or a file of your own.",
        autocompletion=complete_tables,
        show_default=False,
    ),
]
DetectorArgument = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR",
        help="Id of a detector, as in fcos-r50, or a file of your own.",
        autocompletion=complete_detectors,
        show_default=False,
    ),
]
FormatOption = Annotated[
    FormatName, typer.Option("--format", help="How the table on stdout is written.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="How big a run is: paper, small, smoke or a file; "
        "by default paper where its data set is found, else smoke.",
        autocompletion=complete_profiles,
        show_default=False,
    ),
]
RowsOption = Annotated[
    str | None,
    typer.Option(
        "--rows",
        metavar="PATTERN",
        help="Only rows whose label matches, as in 'FCOS*'; several by commas.",
        show_default=False,
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", metavar="N,N", help="Seeds, by commas.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, as in training.iterations=2 or heads.cls.depth=1; repeatable.",
        show_default=False,
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME,NAME",
        help="Metrics to print in place of the table's, as in AP,AP50; besides them with a leading "
        "+, as in +AP60. +errors adds what each type of error costs (TIDE).",
        show_default=False,
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="In place of the profile's data set: shapes, coco, voc, widerface, or your own as "
        "coco:ANNOTATIONS.json:IMAGES, then :VAL.json:IMAGES to evaluate on.",
        show_default=False,
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Folder of data sets; by default $DETBENCH_DATA, else ./data.",
        show_default=False,
    ),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="DIR",
        help="Folder of measurements; by default $DETBENCH_RESULTS, else ./results.",
        show_default=False,
    ),
]
InputOption = Annotated[
    str, typer.Option("--input", metavar="WxH", help="Size of the network's input in pixels.")
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N."),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME|FILE",
        help="Weights to start from: default (the recipe's), a torchvision or timm name, a file.",
        show_default=False,
    ),
]


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
        print(message, file=sys.stderr, flush=True)


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


def emit(sheet: Any, format: FormatName = "terminal", payload: Any = None) -> None:
    """Print a table to stdout.

    Args:
        sheet: a ``detbench.report.table.Sheet``.
        payload: what json prints where that is not the sheet's own rows.
    """
    if FORMATS[format].payload and payload is not None:
        from detbench.report.formats.json import to_json

        write(to_json(payload))
    elif format == "terminal" and not sheet.rows and sheet.notes:
        write("".join(f"{note}\n" for note in sheet.notes))  # no headings over nothing
    elif format == "terminal" and sys.stdout.isatty():
        import shutil

        from detbench.report.formats import terminal

        width = shutil.get_terminal_size((100, 24)).columns
        colour = not os.environ.get("NO_COLOR")
        write(terminal.render(sheet, width, colour))
    else:
        write(render(sheet, format))
    if not FORMATS[format].notes:
        for note in (*sheet.footnotes, *sheet.notes):
            say(note)


def one_line(error: DetbenchError) -> str:
    """An error's mistakes on one line, for a table's cell."""
    return "; ".join(str(error).splitlines())
