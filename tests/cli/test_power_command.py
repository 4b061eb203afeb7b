"""``detbench power``: planning before anything is trained."""

from __future__ import annotations

import json

import pytest
from commands import Call

from detbench.statistics import power
from detbench.statistics.power import Spread


def test_the_command_plans(call: Call) -> None:
    words = ("--seeds", "3", "--images", "200", "--seed-sd", "0.4", "--image-sd", "8")
    code, out, err = call("power", *words, "--gains", "1.4,3", "--format", "json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    spread = Spread(0.4, 8.0)
    assert said["smallest"] == pytest.approx(power.smallest(spread, 3, 200))
    one, three = said["gains"]
    assert (one["seeds_needed"], one["enough"], three["enough"]) == (None, False, True)
    assert one["images_needed"] == power.images_for(1.4, spread, 3)
    assert one["images_needed"] > 200
    _, out, _ = call("power", *words, "--gains", "1.4,3")
    assert "no number of seeds suffices: more images" in out
    assert "these seeds suffice" in out
    _, out, _ = call("power", *words, "--gains", "1", "--rows", "11")
    assert "more images and more seeds" in out
    assert "of a row among 11 (p ≤ 0.00455)" in " ".join(out.split())
    assert "One seed shows nothing of a method." in call("power", "--seeds", "1")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "0"), "--seeds 0: give their number"),
        (("--images", "3"), "--images 3: fewer than 10"),
        (("--gains", "x"), "--gains 'x': give points above 0"),
        (("--rows", "0"), "--rows 0"),
        (("--seed-sd", "-1"), "--seed-sd -1: give points"),
        (("--looks", "2,4"), "--looks '2,4': give 3,6"),
        (("--looks", "3,6", "--seeds", "4"), "--looks 3,6 with 4 seeds: give 3 seeds, or 6"),
        (("tscode-table1", "--profile", "smoke"), "no difference of seeds 0,1,2 is stored"),
    ],
)
def test_mistakes_in_planning_are_one_line(call: Call, words: tuple[str, ...], said: str) -> None:
    code, out, err = call("power", *words)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
