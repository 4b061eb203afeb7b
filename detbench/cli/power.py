"""``detbench power``: how many seeds and images a gain needs, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from detbench.cli import common, tables
from detbench.cli.common import argument, option
from detbench.errors import RecipeError
from detbench.report import planning
from detbench.report.results import TableResults
from detbench.report.table import Column, Entry, Sheet, fixed, number, text
from detbench.results.store import Store
from detbench.statistics import looks as planned_looks
from detbench.statistics import power
from detbench.statistics.power import Spread
from detbench.statistics.small import FEW

EXAMPLES = (
    "detbench power --seeds 3 --images 5000 --seed-sd 0.2 --image-sd 10",
    "detbench power tscode-table1 --profile smoke --seeds 3 --gains 0.5,1",
    "detbench power --seeds 3 --images 2000 --rows 11",
)

SEED_SD, IMAGE_SD = 0.3, 4.0
"""Typical of the embedded data set under ``smoke``: see docs/statistics.md."""


def command(
    table: Annotated[
        str | None,
        argument(
            "[TABLE]",
            "Take the spreads from what is stored of this table, of seeds 0,1,2.",
            complete=common.complete_tables,
        ),
    ] = None,
    seeds: Annotated[int, option("N", "Seeds of each row.")] = 3,
    images: Annotated[int | None, option("N", "Images that are scored on.")] = None,
    seed_sd: Annotated[
        float | None, option("POINTS", "Standard deviation over the trainings of one method.")
    ] = None,
    image_sd: Annotated[
        float | None,
        option(
            "POINTS", "Standard error of a difference of many seeds, times the root of the images."
        ),
    ] = None,
    gains: Annotated[str, option("POINTS,POINTS", "True gains to plan for.")] = "0.3,0.5,1,2",
    rows: Annotated[int, option("N", "Rows that are looked at together.")] = 1,
    looks: common.LooksOption = None,
    profile: common.ProfileOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Say what a comparison of two methods can show: chances, seeds and images for some gains.

    The spreads are measured ones of TABLE, or given, or those of the embedded data set.
    """
    spread, known, source = _spread(table, profile, data_root, results, (seed_sd, image_sd))
    count = images or known or 2000
    _check(seeds, count, rows)
    terms = common.terms(looks, None)
    alpha = planned_looks.look(seeds, terms.looks).alpha / rows
    wanted = _gains(gains)
    found = [_line(gain, spread, seeds, count, alpha) for gain in wanted]
    least = power.smallest(spread, seeds, count, alpha=alpha)
    notes = _notes(spread, (seeds, count, rows), least, alpha, source)
    payload = {
        "seeds": seeds,
        "images": count,
        "rows": rows,
        "alpha": alpha,
        "seed_sd": spread.seeds,
        "image_sd": spread.images,
        "smallest": least,
        "gains": found,
    }
    common.emit(Sheet("", COLUMNS, tuple(map(_row, found)), notes), format, payload)


COLUMNS = (
    Column("gain", "True gain", right=True),
    Column("chance", "Found in", right=True),
    Column("seeds_needed", "Seeds for 80 %", right=True),
    Column("images_needed", "Images for 80 %", right=True),
    Column("advice", "So"),
)


def _line(gain: float, spread: Spread, seeds: int, images: int, alpha: float) -> dict[str, Any]:
    """What one gain needs."""
    return {
        "gain": gain,
        "chance": power.chance(gain, spread, seeds, images, alpha),
        "seeds_needed": power.seeds_for(gain, spread, images, alpha=alpha),
        "images_needed": power.images_for(gain, spread, seeds, alpha=alpha),
        "enough": power.chance(gain, spread, seeds, images, alpha) >= power.POWER,
    }


def _row(one: dict[str, Any]) -> tuple[Entry, ...]:
    seeds, images = one["seeds_needed"], one["images_needed"]
    advice = "these seeds suffice"
    if not one["enough"]:
        advice = "more seeds" if seeds else "no number of seeds suffices: more images"
    if not one["enough"] and not seeds and not images:
        advice = "more images and more seeds"
    return (
        number(one["gain"], 2),
        Entry(f"{100 * one['chance']:.0f} %", one["chance"]),
        Entry("" if seeds is None else f"{seeds}", seeds),
        Entry("" if images is None else planning.rounded(images), images),
        text(advice),
    )


def _notes(
    spread: Spread, sizes: tuple[int, int, int], least: float | None, alpha: float, source: str
) -> tuple[str, ...]:
    seeds, images, rows = sizes
    together = f" of a row among {rows} (p ≤ {alpha:.3g})" if rows > 1 else ""
    shown = "One seed shows nothing of a method."
    if least is not None:
        shown = (
            f"Smallest difference{together} that is found in 80 % of cases with {seeds} seeds a "
            "side on "
            f"{images} images: {fixed(least, 2)} points."
        )
    return (
        shown,
        f"Taken: a standard deviation of {fixed(spread.seeds, 2)} points over seeds and of "
        f"{fixed(spread.images, 1)} / sqrt(images) over images ({source}). Student's t, two-sided, "
        "noncentral.",
    )


def _spread(
    table: str | None,
    profile: str | None,
    data_root: Path | None,
    results: Path | None,
    given: tuple[float | None, float | None],
) -> tuple[Spread, int | None, str]:
    """The spreads in points, the images that they were measured on, and where they are from."""
    for name, value in zip(("--seed-sd", "--image-sd"), given, strict=True):
        if value is not None and not 0 <= value <= 1000:
            raise RecipeError(f"{name} {value:g}: give points, as in 0.3")
    spread, images, source = Spread(SEED_SD, IMAGE_SD), None, "typical of the embedded data set"
    if table is not None:
        root = common.data_root(data_root)
        request = common.request(table, profile, root, (0, 1, 2))
        found = TableResults.of(request, Store(common.results_root(results)))
        tables.prepare([found])
        if found.power is None or found.power.spread is None:
            raise RecipeError(
                f"{table}: no difference of seeds 0,1,2 is stored with profile "
                f"{found.plan.profile.id}: give --seed-sd and --image-sd"
            )
        spread, images, source = found.power.spread, found.power.images, f"measured: {table}"
    if given != (None, None):
        both = (
            new if new is not None else old
            for new, old in zip(given, vars(spread).values(), strict=True)
        )
        spread, source = (
            Spread(*both),
            "given" if None not in given else f"partly given, else {source}",
        )
    return spread, images, source


def _check(seeds: int, images: int, rows: int) -> None:
    if not 1 <= seeds <= power.MOST:
        raise RecipeError(f"--seeds {seeds}: give their number, as in 3")
    if images < FEW:
        raise RecipeError(f"--images {images}: fewer than {FEW} tell nothing of others")
    if rows < 1:
        raise RecipeError(f"--rows {rows}: give at least 1")


def _gains(text: str) -> list[float]:
    """Points by commas.

    Raises:
        RecipeError: for anything but positive numbers.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < one <= 100 for one in found):
        raise RecipeError(f"--gains {text!r}: give points above 0 by commas, as in 0.5,1")
    return found
