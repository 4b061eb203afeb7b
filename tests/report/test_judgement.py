"""What a table claims: seeds and looks, bold, all rows together, power, effects, signature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.made_store import fill_boxes

from detbench.cli import tables
from detbench.recipe import load
from detbench.recipe.table import Row, Table
from detbench.report import ablation, differences, planning, signature
from detbench.report.figures import pictures
from detbench.report.formats import Report, report
from detbench.report.judgement import Terms
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan
from detbench.statistics.bootstrap import between

TOWERS = {"": 4, "✓": 5}
ROWS = tuple(
    Row(
        label=f"{host} {wide or '-'}{deep or '-'}",
        detector=f"{host.lower()}-r50",
        columns={"Host": host, "Wide": wide, "Deep": deep},
        heads={
            "both": {
                "kind": "tower",
                "depth": TOWERS[deep],
                "channels": 128 if wide else 256,
            }
        },
    )
    for host, wide, deep in product(("FCOS", "ATSS"), ("", "✓"), ("", "✓"))
)
TABLE = Table(
    id="own-table1",
    title="A grid",
    paper="own",
    columns=("AP", "AP50"),
    schedule="coco-1x",
    rows=ROWS,
)


def noise(row: Row, seed: int) -> float:
    """How far boxes are off: deep halves it, wide does nothing."""
    rng = np.random.default_rng(seed)
    return (0.05 if row.columns["Deep"] else 0.1) * float(np.exp(rng.normal(0, 0.03)))


def planned(root: Path, seeds: tuple[int, ...], rows: str | None = None) -> Plan:
    overrides = ("data.val=40", "data.variant=easy")
    made = plans.make(TABLE, load.profile("smoke"), seeds, rows, overrides)
    return replace(made, data_root=root)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    differences.CACHE.memory.clear()
    root = tmp_path_factory.mktemp("results")
    found = Store(root)
    for place, row in enumerate(planned(root, (0, 1, 2)).rows):
        for seed, task in enumerate(row.train):
            fill_boxes(found, task, noise(row.row, 10 * place + seed), 10 * place + seed)
    yield found
    differences.CACHE.memory.clear()


def results(store: Store, seeds: tuple[int, ...], terms: Terms | None = None) -> TableResults:
    plan = planned(store.root, seeds)
    return TableResults(plan, store, terms or Terms())


def said(found: TableResults) -> str:
    return " ".join(ablation.marked(found).notes)


def test_one_seed_finds_nothing_of_a_method(store: Store) -> None:
    found = results(store, (0,))
    sheet = ablation.marked(found)
    keys = [column.key for column in sheet.columns]
    assert "change_AP" in keys
    assert not {"p_AP", "adjusted_AP"} & set(keys)
    assert not any(entry.strong for row in sheet.rows for entry in row)
    assert "Bold is no measured score: one seed has no winner" in said(found)
    assert "Power: one seed shows nothing of a method." in said(found)
    assert found.leaders == {"AP": frozenset(), "AP50": frozenset()}
    # A given spread makes it a finding, and says so.
    given = results(store, (0,), Terms(seed_sd=1.0))
    keys = [column.key for column in ablation.sheet(given).columns]
    assert {"p_AP", "adjusted_AP"} <= set(keys)
    assert "a spread over seeds that is given, not measured (--seed-sd)" in said(given)


def test_bold_are_all_rows_that_are_like_the_best(store: Store) -> None:
    found = results(store, (0, 1, 2))
    deep = {i for i, row in enumerate(ROWS) if row.columns["Deep"]}
    sides = [found.bench.side(row) for row in found.plan.rows]
    for metric in ("AP", "AP50"):
        means = [row.measured[metric].value or 0.0 for row in found.rows]
        best = means.index(max(means))
        against = [between(sides[best], side, (metric,))[metric].p or 0.0 for side in sides]
        # 5 %, one-sided, over the seven others.
        like = {i for i, p in enumerate(against) if i == best or 7 * p / 2 > 0.05}
        assert found.leaders[metric] == like
    assert found.leaders["AP"] & deep
    assert 0 not in found.leaders["AP"]
    assert "Bold is every measured row that cannot be told from the best" in said(found)
    sheet = ablation.marked(found)
    at = [column.key for column in sheet.columns].index("AP")
    assert {i for i, row in enumerate(sheet.rows) if row[at].strong} == set(found.leaders["AP"])


def test_all_rows_together(store: Store) -> None:
    found = results(store, (0, 1, 2))
    told = [one for change in found.changes.values() if (one := change.found.get("AP"))]
    assert len(told) == 7
    for one in told:
        assert one.family == 7
        assert one.wide is not None
        assert (one.adjusted or 0) >= (one.p or 0)
        assert one.wide[0] <= (one.low or 0) or one.wide[0] == 0
    assert "If none of the 7 differed, about 0.4 of them would leave 0 out" in said(found)
    numbers = json.loads(report(Report([found], store.root, single=True), "json"))
    change = numbers["rows"][1]["change"]["metrics"]["AP"]
    assert len(change["simultaneous"]) == 2
    assert numbers["statistics"]["like_the_best"]["AP"]


def test_seeds_are_stated_and_looks_counted(store: Store) -> None:
    path = store.work("looks") / "own-table1-smoke.json"
    path.unlink(missing_ok=True)
    assert "one look at 5 %." in said(results(store, (0, 1)))
    grown = results(store, (0, 1, 2))
    assert grown.look.grown
    assert "looked at with n = 2, 3: seeds that are added until something shows" in said(grown)
    twice = results(store, (0, 1, 2), Terms(looks=(3, 6)))
    assert "two planned looks (0.01 at 3 seeds and 0.04 at 6); this is the one at 3" in said(twice)
    assert twice.rule.alpha == pytest.approx(0.01)
    titles = [column.title for column in ablation.sheet(twice).columns]
    assert "ΔAP [99 %]" in titles
    path.write_text("[1, {}")  # damaged: nothing is known of earlier looks
    assert not results(store, (0, 1, 2)).look.grown


def test_power_is_said_in_words_and_numbers(store: Store) -> None:
    found = results(store, (0, 1, 2))
    power = found.power
    assert power is not None
    assert (power.images, power.family) == (40, 7)
    assert (power.together or 0) > (power.smallest or 0) > 0
    assert f"a true difference of {power.smallest:.1f} points in AP" in said(found)
    plain = planning.plain(found)["power"]
    assert plain["smallest"] == power.smallest
    assert set(plain["needed"]) == {"1", "0.5"}
    needed: dict[float, tuple[int | None, int | None]] = {1.0: (4, None), 0.5: (None, 12345)}
    assert planning.needs(needed, 3) == (
        "A gain of 1 point needs 4 seeds a side; for 0.5 points no number of seeds suffices: it "
        "takes about 12 000 images with 3 seeds."
    )


def test_a_grid_has_effects_below_it(store: Store) -> None:
    found = results(store, (0, 1, 2))
    assert found.effects is not None
    lines = {one.effect.name: one for one in found.effects.lines}
    # Host has two values, too.
    assert list(lines)[:4] == ["Host", "Wide", "Deep", "Host × Wide"]
    assert len(lines) == 7
    deep = lines["Deep"]
    assert (deep.trainings, deep.estimate.value > 0.02) == (12, True)
    assert deep.adjusted is not None
    assert deep.adjusted.p < 0.01
    sheet = ablation.effects_sheet(found)
    assert sheet is not None
    assert "A main effect is the mean of all differences" in sheet.notes[0]
    for format in ("markdown", "latex", "html", "csv"):
        assert "Host × Wide × Deep" in report(Report([found], store.root), format).replace(
            r"$\times$", "×"
        )
    numbers = json.loads(report(Report([found], store.root, single=True), "json"))["effects"]
    assert [one["kind"] for one in numbers["effects"]].count("interaction") == 4
    # One missing training leaves all of them out.
    lacking = results(store, (0, 1, 2, 3))
    assert lacking.effects is not None
    assert "FCOS --, seed 3: not run" in lacking.effects.reason


def test_bars_are_drawn_where_there_are_seeds(store: Store) -> None:
    for seeds, bars in (((0,), False), ((0, 1), True)):
        drawn = {one.name: one.draw() for one in pictures(results(store, seeds)).found}
        for name in ("thresholds", "sizes"):
            [figure] = [one for key, one in drawn.items() if key == f"own-table1-{name}"]
            found = {type(one).__name__ for ax in figure.axes for one in ax.containers}
            assert ("ErrorbarContainer" in found) == bars


def test_a_signature_says_what_numbers_depend_on(store: Store) -> None:
    found = results(store, (0, 1))
    line = signature.line(found.signature)
    assert line.startswith("data:shapes-easy-128-px-val-40")
    for part in ("|split:val|images:40|", "|thr:score0.05-nms", "|dets:100|ckpt:last|seeds:0,1|"):
        assert part in line
    assert line in said(found)
    other = TableResults(replace(found.plan, table=found.plan.table), store)
    assert tables.unlike([found, other]) == []
    other.__dict__["signature"] = {**found.signature, "images": "50", "seeds": "7"}
    [one] = tables.unlike([found, other])
    assert "differ in images: their numbers are not comparable" in one


def test_scripts_are_given_no_p_of_one_seed(store: Store) -> None:
    one: Any = json.loads(report(Report([results(store, (0,))], store.root, single=True), "json"))
    change = one["rows"][1]["change"]["metrics"]["AP"]
    assert (change["p"], change["adjusted"]) == (None, None)
    assert change["p_images"] > 0
    assert one["effects"]["effects"][0]["p"] is None
