"""``detbench``: finds the command's file, runs it, and turns its errors into one line each.

A command is a file ``detbench/cli/<name>.py`` with a function ``command``; its docstring is the
help and its ``EXAMPLES``, a tuple of command lines, end the help. A group of commands is a file
with an ``app`` (see ``groups``). A file is imported only when its command is called, so that
``--help`` and the catalogue stay quick.
"""

from __future__ import annotations

import errno
import importlib
import re
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from detbench import __version__
from detbench.cli import common
from detbench.cli.groups import HELP, Group, epilog, unknown
from detbench.errors import DetbenchError, visible
from detbench.report.formats.json import to_json
from detbench.streams import showable
from detbench.wrapping import fit_messages

THE_SYSTEMS = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EIO)
"""What the system says of a path that the user gave, wherever a command comes upon it."""

COMMANDS = {
    "list": "The catalogue: tables, detectors and data sets.",
    "show": "One table or detector: rows, settings, published numbers, cost.",
    "copy": "Start a recipe of your own from one that is there.",
    "check": "Dry run: what a table needs, what would run, how long it takes.",
    "run": "Run what is missing of a table and print it.",
    "train": "Train one detector.",
    "eval": "Evaluate a detector, a checkpoint or a results file.",
    "predict": "Draw the boxes of a detector on images, before and after NMS.",
    "flops": "GFLOPs and parameters beside the published figures.",
    "latency": "Measure how long a detector takes per image.",
    "compare": "Is the difference between two detectors real?",
    "claims": "What is claimed of tables, what was printed, and the verdict of what is measured.",
    "power": "How many seeds and images a gain needs, before training.",
    "analyze": "The papers' analyses: what their figures ask, of any detectors.",
    "report": "Print tables from stored measurements.",
    "data": "List, check, convert and browse data sets.",
    "weights": "List, fetch and import weights.",
    "results": "List, verify, merge and prune stored measurements.",
    "doctor": "Is this machine fit for runs?",
}

# typer >= 0.26 carries a click of its own, older ones import the package: take the base from it.
_ClickError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


SPEAK_S = 5.0
"""How long the one of several processes that says what is wrong may take."""


def _load(name: str) -> Any:
    """The click command of ``detbench/cli/<name>.py``."""
    module = importlib.import_module(f"detbench.cli.{name}")
    if hasattr(module, "app"):
        loaded = typer.main.get_command(module.app)
        loaded.name = name
        return loaded
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    examples = epilog(getattr(module, "EXAMPLES", ()))
    app.command(name, epilog=examples, context_settings=HELP)(module.command)
    return typer.main.get_command(app)


_json = False
"""Whether the command line asks for json."""


def asks_json(words: Sequence[str]) -> bool:
    """Whether a command line has ``--format json``, the last of its formats."""
    text = "\0".join(words)
    formats = re.findall(r"(?:^|\0)--format(?:=|\0)([^\0]*)", text)
    return bool(formats) and formats[-1] == "json"


def complain(kind: str, lines: Sequence[str], code: int, by: str = "detbench") -> None:
    """Say what is wrong on stderr; where json is asked for and nothing of it is written, to stdout
    too, as ``{"error": {"kind": ..., "messages": [...], "exit_code": ...}}``.
    """
    for line in lines:
        print(f"{by}: {line}", file=sys.stderr)
    if _json and not common.wrote and common.rank() == 0:
        found = {"kind": kind, "messages": list(lines), "exit_code": code}
        common.write(to_json({"error": found}))


class Commands(Group):
    """The group of all commands, each loaded when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that has the one-line help; the real one comes from ``resolve_command``."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name], rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in COMMANDS:
            return name, _load(name), args[1:]
        if ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        return unknown(ctx, name, list(COMMANDS))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DetbenchError as error:
            # What is wrong for several processes alike is said by one.
            heard = error.quiet if error.quiet is not None else common.rank() > 0
            if heard:  # torchrun ends them all once one has ended, which must not be this one
                time.sleep(SPEAK_S)
            if not heard:
                complain(type(error).__name__, str(error).splitlines(), error.exit_code)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            if error.errno not in THE_SYSTEMS or not error.filename:
                raise
            said = f"{visible(str(error.filename))}: {error.strerror}"
            complain(type(error).__name__, [said], DetbenchError.exit_code)
            raise typer.Exit(DetbenchError.exit_code) from error
        except KeyboardInterrupt as error:
            common.say("detbench: interrupted")
            raise typer.Exit(130) from error

    def main(  # type: ignore[override]
        self, args: Any = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """As click's, but a usage error is one line too."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        global _json
        _json, common.wrote = asks_json(sys.argv[1:] if args is None else args), False
        try:
            sys.exit(super().main(args, standalone_mode=False, **extra) or 0)
        except typer.Abort:
            sys.exit(130)
        except _ClickError as error:
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "detbench"
            message = " ".join(error.format_message().split()).rstrip(".")
            message = message.replace("Value error, ", "")  # pydantic's, which typer passes on
            said = f"{visible(message)}; see '{path} --help'"
            complain("UsageError", [said], error.exit_code, path)
            sys.exit(error.exit_code)


def _version(asked: bool) -> None:
    if asked:
        print(f"detbench {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
    epilog="\b\nExamples:\n"
    "  detbench list\n"
    "  detbench show tscode-table1\n"
    "  detbench run tscode-table1 --profile smoke\n"
    "  detbench flops --input 1280x800",
)


@app.callback(invoke_without_command=True)
def _start(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Reproduce, measure and extend the ablation tables of object-detection papers."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the ``detbench`` script; always ends in ``SystemExit``."""
    showable()
    fit_messages()
    try:
        app(args=arguments, prog_name="detbench")
    finally:
        # What click itself printed; a command's table has been flushed, and its faults said.
        try:
            sys.stdout.flush()
        except OSError:
            common.discard_output()


if __name__ == "__main__":
    main()
