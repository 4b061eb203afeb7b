"""The line of each table's recipe that says what was measured of it, from the dated stores of
``results``, as those are that come with the project.

    python -m detbench.cli.recipe_headers            writes them
    python -m detbench.cli.recipe_headers --check    fails if one is not what is stored

``detbench show`` says the same of any store. No torch.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from detbench.cli import estimate
from detbench.recipe import load
from detbench.results.files import write_atomic

ROOT = Path(__file__).parents[2]
WIDTH = 98
_DATED = re.compile(r"\d{4}-\d\d-\d\d-")
START = "# Measured"
_OURS = re.compile(rf"^{START}: .*\n(#    .*\n)*", re.MULTILINE)


def sentence(name: str) -> str:
    """Of each profile the scores of a table's rows and the time of one, or that there are none."""
    table = load.table(name)
    stores = [one for one in estimate.below(ROOT / "results") if _DATED.match(one.name)]
    known = {
        profile: estimate.measured(table, load.profile(profile), stores)
        for profile in load.profiles()
    }
    told = [f"{profile}: {said}" for profile, found in known.items() for said in found]
    if not told:
        return "not yet"
    without = " and ".join(profile for profile, found in known.items() if not found)
    said = "; ".join([*told, f"{without}: not yet"] if without else told)
    return said.replace(f"{ROOT}/", "").replace("(median)", "(median, beside other work)")


def headed(text: str, said: str) -> str:
    """A recipe's text with that sentence at the end of its first block of comments."""
    text = _OURS.sub("", text)
    lines = text.splitlines(keepends=True)
    end = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    wrapped = textwrap.wrap(f"{START}: {said}.", WIDTH, subsequent_indent="#    ")
    return "".join([*lines[:end], *(f"{line}\n" for line in wrapped), *lines[end:]])


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` compare; returns the exit code."""
    stale = []
    for name in load.tables():
        path = load.find("table", name)
        before = path.read_text(encoding="utf-8")
        after = headed(before, sentence(name))
        if after == before:
            continue
        stale.append(load.shown(path))
        if arguments[:1] != ["--check"]:
            write_atomic(path, after.encode())
    if stale and arguments[:1] == ["--check"]:
        print(f"not what is measured: {', '.join(stale)}: python -m detbench.cli.recipe_headers")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
