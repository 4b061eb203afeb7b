"""How commands are grouped: one look for ``detbench`` itself, ``detbench data``, and so on.

A group's file has ``app``, made by :func:`group`, on which each subcommand is a function with
``@app.command(NAME, epilog=epilog(LINES))``.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from detbench.wrapping import width

GOES_ON = " \\"
MARGIN = 4
"""Cells to the left of an example in help."""
HELP = {"help_option_names": ["-h", "--help"]}


def epilog(examples: Sequence[str]) -> str | None:
    """What ends a help: command lines under a heading; none without any."""
    if not examples:
        return None
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for one in examples for line in _fitting(one))


def _fitting(example: str) -> list[str]:
    """A command line; on a terminal too narrow for it, lines that a shell reads as one."""
    lines: list[str] = []
    room = width(sys.stdout) - MARGIN if sys.stdout.isatty() else len(example) + len(GOES_ON)
    for word in re.findall(r"(?:--[\w-]+ )?(?:'[^']*'|\S)+", example):
        if lines and len(lines[-1]) + 1 + len(word) + len(GOES_ON) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{'    ' if lines else ''}{word}")
    return [line + GOES_ON * (place < len(lines)) for place, line in enumerate(lines, 1)]


def unknown(ctx: Any, name: str, choices: Sequence[str]) -> Any:
    """Fail over a command that does not exist, with what was perhaps meant."""
    close = difflib.get_close_matches(name, choices, 1)
    hint = f", did you mean '{close[0]}'?" if close else ""
    return ctx.fail(f"unknown command '{name}'{hint} (choices: {', '.join(choices)})")


class Group(TyperGroup):
    """A group whose unknown commands get a hint."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)  # in the order of the file

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in self.commands or ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        return unknown(ctx, name, list(self.commands))


def group(help: str, examples: Sequence[str]) -> typer.Typer:
    """An app for subcommands; without one it prints its help.

    Args:
        help: a sentence, and more after an empty line.
        examples: command lines that end the help.
    """
    app = typer.Typer(
        cls=Group,
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP,
        epilog=epilog(examples),
    )

    def start(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            print(ctx.get_help())

    app.callback(invoke_without_command=True, help=help)(start)
    return app
