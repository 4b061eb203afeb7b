"""Effects of a table's settings, by hand and against the model that made the numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from detbench.errors import DataError, RecipeError
from detbench.recipe import load
from detbench.report import effects
from detbench.runner import plan as plans
from detbench.statistics import contrasts
from detbench.statistics.contrasts import Design, Effect
from detbench.statistics.replicates import Replicates

HOSTS = ("FCOS", "ATSS", "GFL")
SETTINGS = {
    f"{host} {sce or '-'}{dpe or '-'}": {"Method": host, "SCE": sce, "DPE": dpe}
    for host, sce, dpe in product(HOSTS, ("", "✓"), ("", "✓"))
}


def grid(factors: tuple[str, ...] = ()) -> Design:
    found = contrasts.design(SETTINGS, factors)
    assert found is not None
    return found


def value(effect: Effect, numbers: dict[str, float]) -> float:
    return sum(weight * numbers[row] for row, weight in effect.weights.items())


def numbers() -> dict[str, float]:
    """Hosts differ; SCE gains 2, on GFL 5; DPE gains 1, beside SCE 1.5 more."""
    made = {}
    for row, one in SETTINGS.items():
        sce, dpe = one["SCE"] == "✓", one["DPE"] == "✓"
        host = HOSTS.index(one["Method"])
        made[row] = 30 + 4 * host + (5 if host == 2 else 2) * sce + dpe + 1.5 * sce * dpe
    return made


def test_main_effects_and_interactions_are_the_models() -> None:
    found = {one.name: value(one, numbers()) for one in contrasts.effects(grid())}
    assert found == pytest.approx({"SCE": 3 + 0.75, "DPE": 1 + 0.75, "SCE × DPE": 1.5})


def test_one_setting_by_each_other() -> None:
    design = grid(("SCE",))
    assert len(design.blocks) == 6
    by_other = contrasts.by_other(design, "SCE")
    found = {one.name: value(one, numbers()) for one in by_other}
    assert found == pytest.approx(
        {
            "SCE where Method is FCOS": 2.75,
            "SCE where Method is ATSS": 2.75,
            "SCE where Method is GFL": 5.75,
            "SCE × Method (FCOS)": 2.75 - 4.25,
            "SCE × Method (ATSS)": 2.75 - 4.25,
            "SCE × Method (GFL)": 3.0,
            "SCE where without DPE": 3.0,
            "SCE where DPE is ✓": 4.5,
            "SCE × DPE": 1.5,
        }
    )


def test_four_ideas_are_sixteen_rows_and_fifteen_effects() -> None:
    plan = plans.make(load.table("beyond-four-ideas"), load.profile("smoke"))
    design = effects.grid(plan)
    assert design is not None
    found = contrasts.effects(design)
    assert len(found) == 15
    assert all(len(one.weights) == 16 for one in found)
    assert found[0].name == "Features"
    assert found[-1].name == "Features × Sampling × Assignment × Levels"
    # Each is balanced, and a main effect the mean of eight differences.
    assert all(sum(one.weights.values()) == pytest.approx(0) for one in found)
    assert set(found[0].weights.values()) == {1 / 8, -1 / 8}
    with_all = dict.fromkeys(found[0].weights, 0.0)
    with_all["ATSS + features + sampling + assignment + levels"] = 1.0
    assert value(found[-1], with_all) == pytest.approx(1.0)


def test_what_makes_no_grid() -> None:
    assert contrasts.design({}) is None
    assert contrasts.design({"a": {"x": "1"}, "b": {"x": "2"}, "c": {"x": "3"}}) is None
    twice = {"a": {"x": ""}, "b": {"x": "✓"}, "c": {"x": "✓"}}
    assert contrasts.design(twice) is None
    with pytest.raises(
        RecipeError, match=r"'Method' is no setting of two .* \(there are: SCE, DPE"
    ):
        contrasts.design(SETTINGS, ("Method",))
    # Rows without a partner are left out.
    part = {row: one for row, one in SETTINGS.items() if row != "GFL ✓✓"}
    left = contrasts.design(part)
    assert left is not None
    assert list(left.blocks) == [("FCOS",), ("ATSS",)]


def training(rng: np.random.Generator, mean: float, moved: np.ndarray) -> Replicates:
    number = mean + rng.normal(0, 0.01)
    return Replicates(
        {"AP": number},
        {"AP": number + moved},
        {"AP": 500},
        {"AP": (1, 0)},
        ("500", "1", "2", [], "s"),
    )


def test_eighteen_trainings_a_side_are_surer_than_three() -> None:
    rng = np.random.default_rng(0)
    moved = rng.normal(0, 0.02, 400)  # images move all rows alike, so no difference
    truth = {row: number / 100 for row, number in numbers().items()}
    sides = {row: [training(rng, truth[row], moved) for _ in range(3)] for row in SETTINGS}
    whole = {one.name: one for one in contrasts.effects(grid())}
    pooled = contrasts.estimate(whole["SCE"], sides, "AP")
    alone = contrasts.estimate(Effect("", "main", {"FCOS ✓-": 1.0, "FCOS --": -1.0}), sides, "AP")
    assert pooled is not None
    assert alone is not None
    assert pooled.error == pytest.approx(0.01 * (2 / 18) ** 0.5, rel=0.4)
    assert pooled.freedom > 12 > alone.freedom
    low, high = pooled.interval()
    assert low < value(whole["SCE"], truth) < high
    other = {
        **sides,
        "GFL ✓-": [
            Replicates(
                {"AP": 0.3}, {"AP": moved}, {"AP": 400}, {"AP": (1, 0)}, ("400", "1", "2", [], "s")
            )
        ],
    }
    with pytest.raises(DataError, match="different images"):
        contrasts.estimate(whole["SCE"], other, "AP")
