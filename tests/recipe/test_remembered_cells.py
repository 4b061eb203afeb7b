"""A hundred cells keep their digests: what users have stored is found by the next release.

``python tests/recipe/test_remembered_cells.py`` remembers them anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from detbench.recipe import load, resolve
from detbench.recipe.digest import digest, training
from detbench.runner.job import CostCell

FILE = Path(__file__).with_name("remembered_cells.json")
HEX = 16
HEADS = 'detector.heads={ both = { kind = "custom", target = "mine:Head", version = 2 } }'
SETTINGS = {
    "fcos-r50": (
        HEADS,
        'detector.score={ kind = "geometric" }',
        'detector.supervision.cls={ kind = "quality-focal" }',
        "detector.inference.nms=0.5",
        "training.clip=35",
        "training.epochs=24",
        "evaluation.limit=100",
    ),
    "atss-r50": (HEADS, 'training.average={ kind = "ema", decay = 0.99 }', "training.batch=8"),
    "retinanet-r50": ("evaluation.max_detections=50", "detector.neck.levels=4"),
    "faster-rcnn-r50": (
        'detector.backbone={ kind = "custom", target = "mine:Body", arguments = { width = 2 }, '
        "version = 1 }",
        "training.weights=default",
        "training.precision=bf16",
    ),
    "tsd-r50": ("detector.inference.score_threshold=0.1", "training.input.short=[640,800]"),
}
ADVICE = """these cells have other digests than when they were remembered, so that what is stored of
them counts as missing. If a setting is new, name it in its schema's `added`; if a kind has another
name, keep the old one last in its Literal; if a mended fault changes what their numbers mean, state
it in its option's `revisions`. Where the recipes themselves or the embedded weights are meant to be
others, remember them anew: python tests/recipe/test_remembered_cells.py"""


def found() -> dict[str, str]:
    """Begins of digest and training of a row of every table under every profile, of single
    detectors with settings, and of what is counted.
    """
    cells = {}
    for number, name in enumerate(load.tables()):
        table = load.table(name)
        for place, profile in enumerate(load.profiles()):
            run = [row for row in resolve.cells(table, profile) if row.cell is not None]
            if run:
                one = run[(5 * number + place) % len(run)]
                cells[f"{name} | {profile} | {one.row.label}"] = one.cell
    for detector, settings in SETTINGS.items():
        for setting in ("training.channels_last=false", *settings):
            cells[f"{detector} | paper | {setting}"] = resolve.cell(
                detector, "paper", 1, (setting,)
            ).cell
    known = {key: f"{digest(one)[:HEX]} {training(one)[:HEX]}" for key, one in cells.items() if one}
    for detector in load.detectors()[::4]:
        count = CostCell(detector=load.detector(detector).detector, input=(1280, 800))
        known[f"{detector} | cost"] = digest(count)[:HEX]
    return known


def test_a_hundred_cells_keep_their_digests() -> None:
    remembered = json.loads(FILE.read_text(encoding="utf-8"))
    assert len(remembered) >= 100
    now = found()
    gone = sorted(set(remembered) - set(now))
    changed = sorted(key for key in remembered if now.get(key, remembered[key]) != remembered[key])
    listed = "\n".join([*changed[:8], *[f"{key}: is no more" for key in gone[:8]]])
    assert not gone, f"{ADVICE}\n{listed}"
    assert not changed, f"{len(changed)} of {len(remembered)}: {ADVICE}\n{listed}"


if __name__ == "__main__":
    FILE.write_text(json.dumps(found(), indent=1) + "\n", encoding="utf-8")
