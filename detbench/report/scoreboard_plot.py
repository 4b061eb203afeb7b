"""The scoreboard as a drawing: a bar for each paper, its claims by verdict. No matplotlib.

The same numbers give the same bytes, so that a committed drawing can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from detbench.statistics.claims import VERDICTS

COLOURS = ("#1b7f5c", "#c2452d", "#4a78b5", "#d9a441", "#c9c9c9")
"""Of the verdicts, in their order; told apart by lightness too."""
LEFT, WIDE, HIGH, GAP = 120, 560, 22, 10


def draw(scores: Sequence[Mapping[str, Any]]) -> str:
    """SVG of all papers, each bar as long as its number of claims.

    Args:
        scores: as of ``verdict_sheet.score_payload``; empty draws the legend alone.
    """
    papers: dict[str, list[int]] = {}
    for one in scores:
        counts = papers.setdefault(str(one["paper"]), [0] * len(VERDICTS))
        for place, name in enumerate(VERDICTS):
            counts[place] += int(one[name.replace(" ", "_")])
    most = max([sum(counts) for counts in papers.values()], default=1) or 1
    height = 40 + len(papers) * (HIGH + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 60}" height="{height}" '
        f'viewBox="0 0 {LEFT + WIDE + 60} {height}" font-family="sans-serif" font-size="13">',
        "<title>Claims of each paper by verdict</title>",
        f'<rect width="{LEFT + WIDE + 60}" height="{height}" fill="#ffffff"/>',
    ]
    for place, name in enumerate(VERDICTS):
        x = LEFT + place * 115
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{COLOURS[place]}"/>')
        parts.append(f'<text x="{x + 17}" y="19">{escape(name)}</text>')
    for row, (paper, counts) in enumerate(papers.items()):
        parts += _bar(32 + row * (HIGH + GAP), paper, counts, WIDE / most)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(top: int, paper: str, counts: Sequence[int], unit: float) -> list[str]:
    """One paper's bar, with the numbers that fit into their parts, and its total."""
    middle = top + 15
    parts = [f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(paper)}</text>']
    x = float(LEFT)
    for colour, count in zip(COLOURS, counts, strict=True):
        wide = count * unit
        if count:
            box = f'x="{x:.1f}" y="{top}" width="{wide:.1f}" height="{HIGH}"'
            parts.append(f'<rect {box} fill="{colour}"/>')
        if wide > 20:
            at = f'x="{x + wide / 2:.1f}" y="{middle}" text-anchor="middle"'
            parts.append(f"<text {at}>{count}</text>")
        x += wide
    return [*parts, f'<text x="{x + 8:.1f}" y="{middle}">{sum(counts)}</text>']
