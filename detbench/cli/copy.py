"""``detbench copy``: starts a recipe of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from detbench.cli import common

EXAMPLES = (
    "detbench copy tscode-table1 my-table.toml",
    "detbench copy fcos-r50 my-fcos.toml",
    "detbench copy decoupled-double-head my-detector.toml",
    "detbench copy smoke my-profile.toml --force",
)


def _complete(incomplete: str) -> list[str]:
    from detbench.recipe import copying

    return [name for name in copying.names() if name.startswith(incomplete)]


def command(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Id of a table, detector, schedule or profile, the name of an example, or a file.",
            autocompletion=_complete,
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE.toml", help="The file to write.", show_default=False),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Start a recipe of your own: write a copy of RECIPE, comments and all, to change.

    The copy of a table runs as it is, and shares what is stored of the original's rows: only what
    you change or add is trained.
    """
    from detbench.recipe import copying

    source = copying.find(recipe)
    copying.write(source, target, force)
    name = shlex.quote(str(target))
    after = {
        "table": f"detbench show {name}, then detbench run {name}",
        "detector": f"detbench show {name}, then detbench train {name}",
        "schedule": f'schedule = "{target.name}" in a table or a detector beside it',
        "profile": f"detbench run tscode-table1 --profile {name}",
    }[source.kind]
    common.say(f"{target}: a copy of {source.kind} {recipe}; next: {after}")
