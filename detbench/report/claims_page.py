"""``docs/claims.md``: every claim with its verdict, from the committed measurements.

    python -m detbench.report.claims_page            measures anew: results/claims.json and the page
    python -m detbench.report.claims_page --check    fails if they are not of what is committed

What the verdicts are made of (detections, resampled a thousand times) takes minutes, so they are
kept in ``results/claims.json``, with a checksum, for each table, of all that they depend on: its
claims and printed numbers, its cells, their detections, their costs, and the rules. The check
compares these and renders the page again, in seconds. No torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detbench.errors import DataError
from detbench.recipe import load
from detbench.recipe.claims import Figure
from detbench.report import ablation, scoreboard_plot, verdict_sheet
from detbench.report.formats import markdown
from detbench.report.results import TableResults
from detbench.report.table import Column, Entry, Sheet, narrowed
from detbench.report.verdict_sheet import Board
from detbench.results.files import write_atomic
from detbench.results.store import Store
from detbench.runner import plan
from detbench.runner.plan import Plan, Request

METHOD = 1
"""Of the rules of verdicts: another makes what is kept stale."""
PROFILE, SEEDS = "smoke", (0, 1, 2)
"""Of the committed measurements."""
PICTURE = "scoreboard.svg"
"""Beside the page."""
DECIDED = ("supported", "contradicted", "equivalent")

SHOWN, SHOWN_ROWS = "tscode-table1", "FCOS*"
"""The table of the first page."""
FIRST = (
    *("paper", "claims", "supported", "contradicted", "equivalent", "undecided"),
    *("not_measured", "pairs_agree", "pairs_contradict"),
)
"""Columns of the first page's scoreboard."""
HONEST = """What embedded data can show: whether an effect is general enough to appear with small
networks on drawn scenes of 128 pixels, and with how many seeds one would know. It can neither
confirm nor refute what a paper measured on COCO."""

Stated = Mapping[tuple[str, str], str]
"""Table and claim, in words -> verdict."""

INTRODUCTION = """# Claims and verdicts

What the papers claim, what they print, what is measured here, and what follows. Written by
`python -m detbench.report.claims_page` from the committed measurements
([results](../results/README.md)); the rules are in
[statistics](statistics.md#verdicts-on-claims). `detbench claims TABLE` prints them from any store.

Measured under the profile `{profile}` with seeds {seeds}: light networks, trained for minutes on
scenes of 128 pixels that detbench draws itself. A verdict is about the method **there**: it can
show that an effect is not general, or that it is seen far from COCO too; it can neither confirm nor
refute what a paper measured on COCO with its networks and schedule. Amounts ("by 1.3 to 1.4") are
those of COCO, and seldom carry over.
"""


def make(store: Store, names: Sequence[str], data_root: Path) -> dict[str, Any]:
    """All verdicts, to be kept; minutes where nothing is cached."""
    snapshot = store.snapshot()
    boards = [verdict_sheet.board(TableResults(_plan(name, data_root), snapshot)) for name in names]
    whole = verdict_sheet.sheet(boards)
    return {
        "profile": PROFILE,
        "seeds": list(SEEDS),
        "basis": {name: basis(_plan(name, data_root), snapshot) for name in names},
        "columns": [[one.key, one.title, one.right] for one in whole.columns],
        "rows": [[entry.text for entry in row] for row in whole.rows],
        "notes": list(whole.notes),
        "verdicts": [one.ruling.verdict for board in boards for one in board.judged],
        "scores": verdict_sheet.score_payload(boards),
        "table": _printed(snapshot, data_root),
    }


def _printed(store: Store, data_root: Path) -> str | None:
    """One table for the first page, as markdown; none until every row of it is measured."""
    some = Request(SHOWN, PROFILE, data_root, SEEDS, rows=SHOWN_ROWS, columns="AP,gflops")
    found = TableResults.of(some, store)
    if found.standing.missing or found.standing.failed:
        return None
    return markdown.render(replace(ablation.marked(found), title="", notes=()))


def claimed() -> list[str]:
    """The catalogue's tables that claim something."""
    return [name for name in load.tables() if load.table(name).claims]


def _plan(name: str, data_root: Path) -> Plan:
    return plan.choose(Request(name, PROFILE, data_root, SEEDS))


def basis(chosen: Plan, store: Store) -> str:
    """A checksum of all that a table's verdicts depend on."""
    from detbench.analysis.answers import Answers

    cells: list[list[Any]] = [
        [task.digest, store.status(task.digest), store.fingerprint(task.digest)]
        for row in chosen.rows
        for task in row.train
    ]
    for row in chosen.rows:
        stored = store.get(row.cost.digest) if row.cost else None
        cells += [[one.digest, one.metric, one.value] for one in stored.rows] if stored else []
    table = chosen.table
    said = [one.model_dump(mode="json") for one in table.claims]
    printed = [[row.label, dict(row.published), dict(row.columns)] for row in table.rows]
    plain = [METHOD, said, printed, dict(table.baselines), cells]
    if asked := [one for one in table.claims if isinstance(one, Figure) and one.shows]:
        plain.append(Answers(TableResults(chosen, store)).basis(asked))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def page(kept: Mapping[str, Any]) -> str:
    """The page of what is kept."""
    parts = [
        INTRODUCTION.format(profile=kept["profile"], seeds=", ".join(map(str, kept["seeds"]))),
        f"## Scoreboard\n\n![Verdicts by paper]({PICTURE})\n",
        markdown.render(verdict_sheet.scoreboard(kept["scores"])),
        *(f"{note}\n" for note in kept["notes"]),
    ]
    heads = tuple(Column(key, title, right=right) for key, title, right in kept["columns"][1:])
    rows: dict[str, list[list[str]]] = {}
    for table, *entries in kept["rows"]:
        rows.setdefault(table, []).append(entries)
    for table, some in rows.items():
        lines = tuple(tuple(Entry(text) for text in line) for line in some)
        parts += [f"## {table}\n", f"{load.table(table).title}.\n"]
        parts.append(markdown.render(Sheet("", heads, lines)))
    return "\n".join(parts)


def filled(readme: str, kept: Mapping[str, Any]) -> str:
    """The first page, whose marks ``<!-- verdicts -->`` and ``<!-- table -->`` to ``<!-- end -->``
    hold the scoreboard and one table; a table that is not measured stays as it was.
    """
    for mark, text in (("verdicts", first_page(kept["scores"])), ("table", kept["table"])):
        start, found, rest = readme.partition(f"<!-- {mark} -->\n")
        if not found or text is None:
            continue
        _, end, rest = rest.partition("<!-- end -->")
        readme = f"{start}{found}{text}{end}{rest}"
    return readme


def first_page(scores: Sequence[Mapping[str, Any]]) -> str:
    """The scoreboard in ten lines: a sentence, a line for each paper, and what it can show."""
    whole = verdict_sheet.scoreboard(scores)
    sheet = narrowed(whole, [i for i, one in enumerate(whole.columns) if one.key in FIRST])
    plain = tuple(replace(one, group="") for one in sheet.columns)
    table = markdown.render(replace(sheet, columns=plain, notes=()))
    return f"{table}\n{HONEST}\n"


def stated(path: Path) -> Stated:
    """The verdicts of an earlier ``claims --format json``, of ``results/claims.json`` or of the
    page.

    Raises:
        DataError: it is none of these.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--check {path}: cannot be read ({error})") from error
    try:
        found = _of_page(text) if path.suffix == ".md" else _of_json(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"--check {path}: not what detbench claims --format json prints, nor docs/claims.md"
        ) from error
    if not found:
        raise DataError(f"--check {path}: no verdict is in it")
    return found


def _of_json(plain: Any) -> dict[tuple[str, str], str]:
    if isinstance(plain, dict):
        pairs = zip(plain["rows"], plain["verdicts"], strict=True)
        return {(row[0], row[2]): str(verdict) for row, verdict in pairs}
    return {(one["table"], one["claim"]): one["verdict"] for one in plain}


def _of_page(text: str) -> dict[tuple[str, str], str]:
    found = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("## "):
            table = line.removeprefix("## ")
        cells = [one.replace("\\|", "|").strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) > 2 and cells[0].isdigit():
            verdict = re.match(r"not measured|\w+", cells[-1])
            found[table, cells[1]] = verdict[0] if verdict else ""
    return found


def changed(before: Stated, boards: Sequence[Board]) -> tuple[list[str], list[str]]:
    """Verdicts that were decided and are no longer so, and those that are decided now, a line each;
    claims that were not stated are passed over.
    """
    lost, gained = [], []
    for board in boards:
        for one in board.judged:
            finding, now = one.finding, one.ruling.verdict
            was = before.get((finding.table, finding.claim.says), now)
            line = f"{finding.table} {finding.number}: {was}, now {now}: {finding.claim.says}"
            if was in DECIDED and now != was:
                lost.append(f"overturned: {line}" if now in DECIDED else f"lost: {line}")
            elif was != now and now in DECIDED:
                gained.append(f"new: {line}")
    return lost, gained


def committed(results: Path) -> Store:
    """The store in a folder of results: itself, or the last of its folders by name."""
    if (results / "cells").is_dir():
        return Store(results)
    found = sorted(one.parent for one in results.glob("*/cells"))
    return Store(found[-1] if found else results)


def stale(kept: Mapping[str, Any], store: Store, data_root: Path) -> list[str]:
    """Tables whose verdicts are not of what the store and the recipes have now."""
    snapshot = store.snapshot()
    now = {name: basis(_plan(name, data_root), snapshot) for name in claimed()}
    return sorted(
        name for name in {*now, *kept["basis"]} if now.get(name) != kept["basis"].get(name)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m detbench.report.claims_page")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--page", type=Path, default=Path("docs/claims.md"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    given = parser.parse_args(arguments)
    file, root, drawing = given.results / "claims.json", Path("data"), given.page.parent / PICTURE
    store = committed(given.results)
    if not given.check:
        kept = make(store, claimed(), root)
        write_atomic(file, (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())
    else:
        kept = json.loads(file.read_text(encoding="utf-8"))
    pages = {given.page: page(kept), drawing: scoreboard_plot.draw(kept["scores"])}
    if given.readme.is_file():
        pages[given.readme] = filled(given.readme.read_text(encoding="utf-8"), kept)
    if not given.check:
        for path, text in pages.items():
            write_atomic(path, text.encode())
        return 0
    wrong = [f"{one}: its verdicts are stale" for one in stale(kept, store, root)]
    wrong += [
        f"{path} is not what {file} says"
        for path, text in pages.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for line in wrong:
        print(f"{line}: python -m detbench.report.claims_page", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
