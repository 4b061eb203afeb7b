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


def chosen() -> list[str]:
    """A row of every table under every profile, single detectors with settings, what is counted."""
    keys = []
    for number, name in enumerate(load.tables()):
        for place, profile in enumerate(load.profiles()):
            run = [
                row for row in resolve.cells(load.table(name), load.profile(profile)) if row.cell
            ]
            if run:
                label = run[(5 * number + place) % len(run)].row.label
                keys.append(f"{name} | {profile} | {label}")
    for detector, settings in SETTINGS.items():
        every = ("training.channels_last=false", *settings)
        keys += [f"{detector} | paper | {setting}" for setting in every]
    return keys + [f"{detector} | cost" for detector in load.detectors()[::4]]


def known(key: str) -> str | None:
    """Begins of digest and training of a cell, or of a count's; none where it is no more."""
    name, what, *rest = key.split(" | ", 2)
    if what == "cost":
        if name not in load.detectors():
            return None
        count = CostCell(detector=load.detector(name).detector, input=(1280, 800))
        return digest(count)[:HEX]
    if name in SETTINGS:
        cell = resolve.cell(name, what, 1, tuple(rest)).cell
    else:
        rows = resolve.cells(load.table(name), load.profile(what))
        cell = next((row.cell for row in rows if row.row.label == rest[0]), None)
    return None if cell is None else f"{digest(cell)[:HEX]} {training(cell)[:HEX]}"


def test_a_hundred_cells_keep_their_digests() -> None:
    remembered = json.loads(FILE.read_text(encoding="utf-8"))
    assert len(remembered) >= 100
    now = {key: known(key) for key in remembered}
    gone = sorted(key for key, value in now.items() if value is None)
    changed = sorted(key for key in set(now) - set(gone) if now[key] != remembered[key])
    listed = "\n".join([*changed[:8], *[f"{key}: is no more" for key in gone[:8]]])
    assert not gone, f"{ADVICE}\n{listed}"
    assert not changed, f"{len(changed)} of {len(remembered)}: {ADVICE}\n{listed}"


if __name__ == "__main__":
    found = {key: known(key) for key in chosen()}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
