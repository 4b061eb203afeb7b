"""What a table could have shown and what would be needed, in words; and which rows are bold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detbench.recipe.metrics import COSTS
from detbench.report.judgement import Power
from detbench.report.results import TableResults
from detbench.report.table import fixed


def could_show(results: TableResults) -> list[str]:
    """The note on power below a table; none where it has no differences."""
    found = results.power
    return [] if found is None else [sentence(found)]


def sentence(found: Power) -> str:
    """What a table could have shown, and the seeds or images that a gain needs."""
    on = f"on {found.images} images"
    if found.smallest is None or found.together is None or found.needed is None:
        shown = "" if found.visible is None else f" below about {fixed(found.visible, 1)} points"
        return (
            f"Power: one seed shows nothing of a method. Of two trainings {on}, a difference in "
            f"{found.metric}{shown} is mostly hidden by the choice of images: detbench power plans "
            "the seeds."
        )
    many = f"; of a row among all {found.family}, {fixed(found.together, 1)}"
    return (
        f"Power: with {found.seeds} seeds a side {on}, a true difference of "
        f"{fixed(found.smallest, 1)} points in {found.metric} would have been found in 80 % of "
        f"cases{many if found.family > 1 else ''}. {needs(found.needed, found.seeds)}"
    )


def needs(needed: Mapping[float, tuple[int | None, int | None]], seeds: int) -> str:
    """The seeds that gains need, or the images where no seeds suffice."""
    said = []
    for gain, (many, more) in needed.items():
        points = "point" if gain == 1 else "points"
        if many is not None:
            said.append(f"a gain of {gain:g} {points} needs {many} seeds a side")
        elif more is not None:
            said.append(
                f"for {gain:g} {points} no number of seeds suffices: it takes about "
                f"{rounded(more)} "
                f"images with {seeds} seeds"
            )
        else:
            said.append(f"for {gain:g} {points} it takes more images and more seeds")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def rounded(count: int) -> str:
    """A number of images to two digits."""
    return f"{float(f'{count:.2g}'):,.0f}".replace(",", " ")


def bold(results: TableResults) -> list[str]:
    """Which numbers are bold: of measured scores by what can be told apart, of others the best."""
    table = results.plan.table
    told = any(row.published for row in table.rows) or any(one in COSTS for one in table.columns)
    if not results.leaders:
        return ["Bold is the best of its column, of printed numbers and of costs."] if told else []
    rest = "; of printed numbers and of costs, the best" if told else ""
    return [f"Bold is {_leading(results)}{rest}."]


def _leading(results: TableResults) -> str:
    """Which measured scores are bold."""
    found = results.leaders
    if results.rule.seed_sd is None and len(results.plan.seeds) == 1:
        return "no measured score: one seed has no winner"
    none = [metric for metric, rows in found.items() if not rows]
    if len(none) == len(found):
        return f"no measured score: in {', '.join(none)} no row can be told from the best"
    rest = (
        "" if not none else f"; in {', '.join(none)} no row can be told from it, and none is bold"
    )
    return f"every measured row that cannot be told from the best of its column{rest}"


def plain(results: TableResults) -> dict[str, Any]:
    """How sure the table's findings are, as json carries it, in points."""
    look, found = results.look, results.power
    return {
        "level": results.rule.level,
        "seeds": {"planned": list(look.planned), "looks": list(look.seen), "grown": look.grown},
        "like_the_best": {
            metric: [results.plan.rows[place].row.label for place in sorted(rows)]
            for metric, rows in results.leaders.items()
        },
        "power": None
        if found is None
        else {
            "metric": found.metric,
            "images": found.images,
            "smallest": found.smallest,
            "smallest_of_all": found.together,
            "smallest_of_images": found.visible,
            "rows": found.family,
            "seed_sd": found.spread and found.spread.seeds,
            "image_sd": found.spread and found.spread.images,
            "needed": {
                f"{gain:g}": {"seeds": many, "images": more}
                for gain, (many, more) in (found.needed or {}).items()
            },
        },
    }
