"""``detbench copy``: starts a recipe of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from detbench.cli import common
from detbench.cli.common import argument, path_argument

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
        argument(
            "RECIPE",
            "Id of a table, detector, schedule or profile, the name of an example, or a file.",
            complete=_complete,
        ),
    ],
    target: Annotated[Path, path_argument("FILE.toml", "The file to write.")],
    force: common.ForceOption = False,
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
