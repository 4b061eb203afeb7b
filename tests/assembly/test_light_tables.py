"""Every table keeps its question under a light profile: what a row changes of its baseline is
changed in the light detector too, and does something there.

A change does something if the networks differ in their parameters, or if with the same weights
their losses on a scene differ, or their detections. What changes how a network is evaluated, as
views do, does something if what is found on the scene differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.data.scenes import Shapes
from detbench.detectors.roi import RoiDetector
from detbench.errors import RecipeError
from detbench.evaluation import run
from detbench.measure import meta
from detbench.recipe import load, resolve
from detbench.recipe.detector import Dense, Detector, Roi
from detbench.recipe.digest import digest, training
from detbench.recipe.experiment import Cell
from detbench.recipe.resolve import ResolvedRow
from detbench.recipe.validate import parse
from detbench.stages.predictor import Convolutions
from detbench.structures import Targets
from detbench.training.host import Host

PROFILES = [name for name in load.profiles() if load.profile(name).light is not None]
CLASSES = 12
SIDE = 48
SHARES = 4
KNOWN: dict[str, Detector] = {}

DOES_NOTHING = {
    "rpn.train_candidates": "so many of a level are never among the best proposals after NMS",
    "rpn.test_candidates": "so many of a level are never among the best proposals after NMS",
    "supervision.loc.least": "of weights, which DDOD's box loss has none of, and FCOS's has",
    "assignment.both.images": "small keeps 2000 of two images; a scene of 48 pixels has no 1000",
}
"""Caps that rows change and that do not bind on small images (``docs/profiles.md`` names them), and
what nothing reads beside a row's other changes."""


SCHEDULE_ALONE = {"decoupled-rcnn-table9": ("Ours* ResNet-101", "Ours* ResNeXt-101-32x4d")}
"""Rows whose training differs from another's in its schedule alone, here sides of images: a light
profile's training is its own, so that there it is one, and tables say so where the cell is.
"""


@cache
def rows(table: str, profile: str) -> dict[str, ResolvedRow]:
    return {one.row.label: one for one in resolve.cells(table, profile) if one.cell is not None}


def plain(detector: Detector) -> dict[str, Any]:
    return detector.model_dump(mode="json")


def alike(old: Any, new: Any) -> bool:
    """Whether two plain values are tables of one kind with the same settings."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return False
    return old.keys() == new.keys() and old.get("kind") == new.get("kind")


def changes(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Key paths at which two plain detectors differ: of a value, or of an option as a whole where
    its kind does, or where there is one and two.
    """
    if isinstance(old, list) and isinstance(new, list) and old and isinstance(old[0], dict):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if alike(old, new):
        for name in old:
            yield from changes(old[name], new[name], f"{path}.{name}".lstrip("."))
        return
    if old != new:
        yield path


# --- identity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("table", load.tables())
def test_rows_that_differ_in_the_paper_differ_in_the_light(table: str, profile: str) -> None:
    paper, light = dict(rows(table, "paper")), dict(rows(table, profile))
    assert paper.keys() == light.keys()
    for label in SCHEDULE_ALONE.get(table, ()):
        del paper[label], light[label]
    for identity in (digest, training):
        ours = {identity(one.cell) for one in light.values() if one.cell}
        theirs = {(identity(one.cell), one.cell.training) for one in paper.values() if one.cell}
        assert len(ours) == len({key for key, _ in theirs}), identity.__name__


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("table", load.tables())
def test_a_row_changes_the_same_settings_in_the_light(table: str, profile: str) -> None:
    found = rows(table, profile)
    for label, one in found.items():
        base = found.get(load.table(table).baselines[label] or "")
        if base is None:
            continue
        assert base.cell is not None
        assert one.cell is not None
        assert base.paper_detector is not None
        assert one.paper_detector is not None
        paper = set(changes(plain(base.paper_detector), plain(one.paper_detector)))
        light = set(changes(plain(base.cell.detector), plain(one.cell.detector)))
        depth = {"backbone.blocks"} if "backbone.depth" in paper else set()
        assert light == paper - {"backbone.weights"} | depth, label


# --- effect ---------------------------------------------------------------------------------------


@cache
def scene() -> tuple[Tensor, Targets]:
    """A scene of the embedded data set, (1, 3, 48, 48)."""
    sample = Shapes("val", 1, SIDE, "full").sample(0)
    targets = Targets.pad([sample.boxes], [sample.labels], torch.tensor([[SIDE, SIDE]]))
    return (sample.image[None].float() - 120) / 60, targets


def batch(network: Any) -> tuple[Tensor, Targets]:
    """The scene; with an RPN, objects where that sees them, as if it had learnt to."""
    images, targets = scene()
    if not hasattr(network, "rpn"):
        return images, targets
    with torch.no_grad():
        levels = network.train().pyramid(images)[1]
        (seen,) = network.rpn.propose(*network.rpn(levels), targets.sizes)
    boxes = seen.suppressed(0.7, 40)[::5]
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    boxes = torch.cat((center - 0.85 * half, center + 0.85 * half), dim=1)
    return images, Targets.pad([boxes], [torch.arange(len(boxes)) % CLASSES], targets.sizes)


def made(detector: Detector) -> nn.Module:
    """With weights as if something had been learnt: scores and boxes that differ from each other.

    Layers that start near zero, so that no prediction differs from another, start as the others do;
    proposals stay near their anchors, so that they overlap each other; the backbone's norms, which
    may be fixed, know the scene.
    """
    torch.manual_seed(0)
    network = build_detector(detector, CLASSES)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.std() < 0.02:
            nn.init.kaiming_uniform_(module.weight, a=1)
    if isinstance(network, RoiDetector):
        nn.init.normal_(network.rpn.loc.weight, std=0.03)
    elif isinstance(network.predictor, Convolutions):
        nn.init.zeros_(network.predictor.loc.bias)  # so that some distances are negative
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train().momentum = None
    with torch.no_grad():
        network.pyramid(scene()[0])
    return network


@cache
def shapes(identity: str) -> dict[str, tuple[int, ...]]:
    with meta.device():
        state = build_detector(KNOWN[identity], CLASSES).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def known(detector: Detector) -> str:
    """Its digest, by which ``KNOWN`` has it."""
    identity = digest(detector)
    KNOWN[identity] = detector
    return identity


def shapes_of(detector: Detector) -> dict[str, tuple[int, ...]]:
    return shapes(known(detector))


def outcome(
    network: Any, weights: dict[str, Tensor], data: tuple[Tensor, Targets], evaluated: bool
) -> list[Tensor]:
    images, targets = data
    network.load_state_dict(weights)
    torch.manual_seed(1)
    with torch.no_grad():
        if not evaluated:
            losses = network.train().losses(images, targets)
            return [losses[name].reshape(1) for name in sorted(losses)]
        found = network.eval().detect(images, targets.sizes)
    return [value for one in found for value in (one.boxes, one.scores, one.labels)]


@lru_cache(maxsize=1)  # a row's settings come one after the other
def learnt(identity: str) -> tuple[nn.Module, dict[str, Tensor], tuple[Tensor, Targets]]:
    """A network, its weights, and its batch."""
    network = made(KNOWN[identity])
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return network, weights, batch(network)


@lru_cache(maxsize=2)
def outcome_of(identity: str, evaluated: bool) -> list[Tensor]:
    return outcome(*learnt(identity), evaluated)


def differ(one: Detector, other: Detector, evaluated_first: bool = False) -> bool:
    """What is read from one training is told by detections alone, so that these come first then."""
    if shapes_of(one) != shapes_of(other):
        return True
    _, weights, data = learnt(digest(one))
    with meta._NoFilling():  # its weights are the first one's
        second = build_detector(other, CLASSES)
    for evaluated in (evaluated_first, not evaluated_first):
        ours = outcome_of(digest(one), evaluated)
        theirs = outcome(second, weights, data, evaluated)
        if [one.shape for one in ours] != [one.shape for one in theirs]:
            return True
        if not all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)):
            return True
    return False


def start_apart(one: Detector, other: Detector) -> bool:
    """Whether the same random draws give them other initial weights."""
    states = []
    for detector in (one, other):
        torch.manual_seed(0)
        states.append(build_detector(detector, CLASSES).state_dict())
    first, second = states
    return first.keys() != second.keys() or any(
        not torch.equal(first[name], second[name]) for name in first
    )


def evaluated_apart(cell: Cell, other: Detector) -> bool:
    """Whether ``detbench eval`` finds other boxes on the scene, with the same weights."""
    network, weights, _ = learnt(known(cell.detector))
    network.load_state_dict(weights)
    side = {"short": (SIDE,), "long": SIDE}
    training = {"input": cell.training.input.model_copy(update=side)}
    scenes = {"size": SIDE, "val": 1}
    changes = {
        "data": cell.data.model_copy(update=scenes),
        "training": cell.training.model_copy(update=training),
    }
    host = Host(Path(), torch.device("cpu"), lambda _: None)
    found = [
        run.score(network, cell.model_copy(update=changes | {"detector": one}), host).detections
        for one in (cell.detector, other)
    ]
    assert all(found)
    return found[0] != found[1]


def reverted(new: dict[str, Any], old: dict[str, Any], path: str) -> Detector:
    """The row's detector with one setting as in the baseline; the baseline where that is none.

    A setting may need another of the same row: fused scores need a head that has learnt them.
    """
    alone, source = json.loads(json.dumps(new)), old
    owner: Any = alone
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        owner, source = owner[part], source[part]
    owner[last] = source[last]
    schema = Roi if new["skeleton"] == "roi" else Dense
    for candidate in (alone, old):
        found, mistakes = parse(schema, candidate, "reverted")
        if found is None or mistakes:
            continue
        try:
            shapes_of(found)
        except RecipeError:
            continue
        return found
    raise AssertionError(path)


def changed(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What differs, and its value in the new one."""
    for path in changes(old, new):
        value: Any = new
        for part in path.split("."):
            value = value[int(part) if part.isdigit() else part]
        yield path, value


@cache
def settings(profile: str) -> dict[tuple[str, str], tuple[str, str, str]]:
    """Every setting that some row changes, and where: on networks that are not the lightest once,
    on the lightest once for each of its values. Of a number that is by the last row that changes
    it and nothing but numbers in its first table: there sweeps end farthest from the baseline.
    """
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for table in load.tables():
        baselines, ours = load.table(table).baselines, rows(table, profile)
        for label, one in ours.items():
            base = ours.get(baselines[label] or "")
            if base is None or base.cell is None or one.cell is None:
                continue
            values = dict(changed(plain(base.cell.detector), plain(one.cell.detector)))
            sweep = all(isinstance(value, float) for value in values.values())
            for path, value in values.items():
                many = isinstance(value, float) and not path.endswith("nms")
                many |= profile != PROFILES[-1]
                key = (re.sub(r"\.\d+", "", path), "any" if many else json.dumps(value))
                last = sweep and found.get(key, ("",))[0] == table
                if last or key not in found:
                    found[key] = (table, label, path)
    return found


def does_something(cell: Cell, other: Detector, path: str) -> bool:
    if path == "inference.views":
        return evaluated_apart(cell, other)
    # A round whose class loss is given starts its class layer as that says.
    if path.endswith((".init", ".bias")) or re.fullmatch(r"rounds\.\d+\.cls", path):
        return start_apart(cell.detector, other)
    return differ(cell.detector, other, path.startswith(("readout", "inference")))


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("profile", PROFILES)
def test_every_setting_that_a_row_changes_does_something(profile: str, share: int) -> None:
    """Every so many-th row that ``settings`` names, with all of its settings."""
    found = settings(profile).values()
    ours = list(dict.fromkeys((table, label) for table, label, _ in found))[share::SHARES]
    assert len(ours) >= 8
    idle = []
    for table, label, path in found:
        if (table, label) not in ours:
            continue
        baseline = load.table(table).baselines[label] or ""
        base, one = (rows(table, profile)[name].cell for name in (baseline, label))
        assert base is not None
        assert one is not None
        other = reverted(plain(one.detector), plain(base.detector), path)
        if not does_something(one, other, path):
            idle.append(path)
    assert set(idle) <= set(DOES_NOTHING)


def test_settings_are_found() -> None:
    found = {path for path, _ in settings("smoke")}
    assert {"assignment.loc.nms", "rpn.anchors.size", "sampling", "rounds.loc.weight"} <= found
    assert {"features", "heads", "readout.cls", "supervision.unfocused"} <= found
    assert len(found) > 25


def test_settings_without_effect_are_told() -> None:
    cell = rows("decoupled-rcnn-table3", "smoke")["NMS_reg 0.85"].cell
    assert cell is not None
    plainly = plain(cell.detector)
    sampler = plainly["assignment"]["loc"]["sampler"]
    changed = json.loads(json.dumps(plainly))
    changed["assignment"]["loc"]["sampler"]["count"] = 2 * sampler["count"]
    same = reverted(changed, plainly, "rpn.beta")
    assert not differ(cell.detector, same)
    changed["assignment"]["loc"]["sampler"]["count"] = 1
    assert differ(cell.detector, reverted(changed, plainly, "rpn.beta"))
