"""The reference of the command line, from the commands' own signatures and docstrings.

python -m detbench.cli.reference > docs/cli.md        writes it
python -m detbench.cli.reference --check docs/cli.md  fails if that file is not what it would write

Not from the printed help, which other versions of typer word and wrap otherwise.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, ParameterInfo

from detbench.cli.main import COMMANDS

HEAD = """\
# Commands

Written by `python -m detbench.cli.reference > docs/cli.md` from the commands themselves; the check
of the tests fails when it is old. Tables go to stdout, progress and messages to stderr. Exit codes:
0 done, 1 a run or a check failed, 2 something to mend, 130 interrupted. With `--format json`, what
is to mend is an object on stdout too:
`{"error": {"kind": ..., "messages": [...], "exit_code": 2}}`.

| command | what it does |
|:--|:--|
"""


def render() -> str:
    """The whole reference, as markdown; the same on every machine."""
    contents = "\n".join(
        f"| [`detbench {name}`](#detbench-{name}) | {said} |" for name, said in COMMANDS.items()
    )
    sections = [line for name in COMMANDS for line in _of_file(name)]
    return HEAD + contents + "\n\n" + "\n".join(sections).rstrip("\n") + "\n"


def _of_file(name: str) -> Iterator[str]:
    """The section of ``detbench/cli/<name>.py``: a command's, or a group's with its commands."""
    module: Any = importlib.import_module(f"detbench.cli.{name}")
    if not hasattr(module, "app"):
        yield from _section(f"detbench {name}", module.command, module.EXAMPLES, 2)
        return
    yield f"## detbench {name}\n\n{COMMANDS[name]}\n"
    for info in module.app.registered_commands:
        # Help parts long ones.
        whole = re.sub(r" \\\n +", " ", info.epilog or "")
        lines = [line.strip() for line in whole.splitlines()]
        examples = [line for line in lines if line.startswith("detbench ")]
        yield from _section(f"detbench {name} {info.name}", info.callback, examples, 3)


def _section(
    path: str, function: Callable[..., Any], examples: Sequence[str], level: int
) -> Iterator[str]:
    yield f"{'#' * level} {path}\n"
    parameters = list(_parameters(function))
    arguments = [one for one in parameters if one.argument]
    options = [one for one in parameters if not one.argument]
    usage = [path, *(["[OPTIONS]"] if options else []), *(one.name for one in arguments)]
    yield _fenced([" ".join(usage)])
    for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        yield " ".join(paragraph.split()) + "\n"
    for what, some in (("argument", arguments), ("option", options)):
        if some:
            rows = [f"| {_code(one.name)} | {_cell(one.help)} | {one.default} |" for one in some]
            yield "\n".join([f"| {what} | | default |", "|:--|:--|:--|", *rows, ""])
    yield _fenced(examples)


class _Parameter:
    """An argument or option as the reference has it."""

    def __init__(self, name: str, kind: Any, info: ParameterInfo, default: Any) -> None:
        self.argument = isinstance(info, ArgumentInfo)
        self.help = " ".join((info.help or "").split())
        required = default is inspect.Parameter.empty
        if self.argument:
            shown = info.metavar or name.upper()
            self.name = shown if required or shown.startswith("[") else f"[{shown}]"
        else:
            declared = info.param_decls or (f"--{name.rstrip('_').replace('_', '-')}",)
            self.name = ", ".join(declared) + _takes(kind, info)
        said = not required and default not in (None, False, ()) and info.show_default
        self.default = _code(str(default)) if said else "required" if required else ""


def _parameters(function: Callable[..., Any]) -> Iterator[_Parameter]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if get_origin(hints[name]) is Annotated:
            kind, info, *_ = get_args(hints[name])
            yield _Parameter(name, kind, info, parameter.default)


def _takes(kind: Any, info: ParameterInfo) -> str:
    """What follows an option's name; nothing for a switch."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if kind is bool:
        return ""
    if info.metavar:
        return f" {info.metavar}"
    if get_origin(kind) is Literal:
        return f" {'|'.join(map(str, get_args(kind)))}"
    return f" {kind.__name__.upper()}"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _fenced(lines: Sequence[str]) -> str:
    return "\n".join(["```sh", *lines, "```", ""])


def main(arguments: list[str]) -> int:
    """Print the reference, or with ``--check FILE`` compare; returns the exit code."""
    if arguments[:1] != ["--check"]:
        sys.stdout.write(render())
        return 0
    path = Path(arguments[1])
    if path.is_file() and path.read_text(encoding="utf-8") == render():
        return 0
    print(f"{path} is not what the commands say: python -m detbench.cli.reference > {path}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
