"""GFLv2 against its released code (reference/README.md)."""

from __future__ import annotations

from typing import Any

import authors_reference as reference
import pytest
import reference_weights
import torch

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector, Predictions
from detbench.detectors.importer import translate
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.structures import Targets

CASES = {reference.set_of(case): case for case in reference.cases("gflv2")}
LOSSES = {"cls": "loss_cls", "loc": "loss_bbox", "distribution": "loss_dfl"}
FORWARD: dict[str, dict[str, Any]] = {
    "released": {},
    "topk2": {"top": 2},
    "no_mean": {"mean": False},
    "hidden16": {"hidden": 16},
}
LEVELS = range(5)


def built(case: dict, channels: int = 256, **predictor: Any) -> DenseDetector:
    spec: Any = load.detector("gflv2-r50").detector
    tower = spec.heads.of("cls").model_copy(update={"channels": channels})
    changes = {
        "heads": spec.heads.model_copy(update={"cls": tower, "loc": tower}),
        "neck": spec.neck.model_copy(update={"channels": channels}),
        "predictor": spec.predictor.model_copy(update=predictor),
    }
    torch.manual_seed(0)
    found = build_detector(spec.model_copy(update=changes), case["scene"]["num_classes"])
    assert isinstance(found, DenseDetector)
    return found.train()


def targets(case: dict, images: list[int]) -> Targets:
    scene = [case["scene"]["images"][index] for index in images]
    return Targets.pad(
        [torch.tensor(image["boxes"]).reshape(-1, 4) for image in scene],
        [torch.tensor(image["labels"], dtype=torch.int64) for image in scene],
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", ["all", "first", "empty"])
def test_losses_and_gradients(name: str, batch: str) -> None:
    """Given class logits and distributions; a batch without objects is 0 where theirs is NaN."""
    case, theirs, detector = CASES[name], CASES[name][f"loss_{batch}"], built(CASES[name])
    leaves = {
        kind: [reference.made(case, f"{name}/gflv2/{batch}/{kind}/{n}") for n in LEVELS]
        for kind in ("logit", "distribution")
    }
    for maps in leaves.values():
        for leaf in maps:
            leaf.requires_grad_()
    sure = [torch.full_like(x[:, :1], 100.0) for x in leaves["logit"]]  # their scores are given
    given = Predictions(leaves["logit"], leaves["distribution"], {"quality": sure})
    (supervision,) = detector.supervisions
    found = supervision(detector.outputs(given), targets(case, theirs["images"]), 0.0)
    assert set(found) == set(LOSSES)
    for mine, other in LOSSES.items():
        wanted = theirs["losses"][other]
        assert found[mine].item() == (0 if wanted == "nan" else reference.close(wanted))
    torch.stack(list(found.values())).sum().backward()
    for kind, summaries in theirs.get("gradients", {}).items():
        for leaf, summary in zip(leaves[kind], summaries, strict=True):
            assert leaf.grad is not None
            reference.assert_summary(leaf.grad, summary)
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves["distribution"])


def predicted(name: str, variant: str) -> tuple[DenseDetector, Predictions]:
    """A head with the rule's weights on features of 64 channels."""
    case, theirs = CASES[name], CASES[name][f"forward_{variant}"]
    shapes = CASES[name]["forward_released"]["state_dict"] | theirs["state_dict"]
    detector = built(case, 64, **FORWARD[variant]).eval()
    given = reference_weights.state_dict({"state_dict": shapes})
    given["bbox_head.gfl_cls.bias"] += theirs["added_to_gfl_cls_bias"]
    missing, unknown = detector.load_state_dict(translate(given, laterals=3), strict=False)
    assert not unknown
    assert not [key for key in missing if key.startswith(("heads.", "predictor."))]
    for module in detector.heads.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = 32  # ours have four channels or more
    maps = [reference.made(case, f"{name}/gflv2/feature/{level}") for level in LEVELS]
    heads = detector.heads.tasks
    towers = PerTask([heads.cls(x) for x in maps], [heads.loc(x) for x in maps])
    return detector, detector.predictor(towers, [tuple(x.shape[-2:]) for x in maps])


def scores(found: Predictions) -> list[torch.Tensor]:
    pairs = zip(found.cls, found.extras["quality"], strict=True)
    return [cls.sigmoid() * quality.sigmoid() for cls, quality in pairs]


@pytest.mark.parametrize("variant", FORWARD)
@pytest.mark.parametrize("name", CASES)
def test_scores_and_distributions(name: str, variant: str) -> None:
    theirs = CASES[name][f"forward_{variant}"]["outputs"]
    _, found = predicted(name, variant)
    for level, score in enumerate(scores(found)):
        reference.assert_summary(score, theirs[f"score.{level}"])
        reference.assert_summary(found.loc[level], theirs[f"distribution.{level}"])


@pytest.mark.parametrize("name", CASES)
def test_the_score_teaches_the_distributions(name: str) -> None:
    detector, found = predicted(name, "released")
    torch.stack([score.sum() for score in scores(found)]).sum().backward()
    predictor: Any = detector.predictor
    theirs = CASES[name]["forward_released"]["gradient_of_score_sum"]
    for key, parameter in {
        "gfl_reg.weight": predictor.loc.weight,
        "reg_conf.0.weight": predictor.guide[0].weight,
        "reg_conf.2.bias": predictor.guide[2].bias,
    }.items():
        reference.assert_summary(parameter.grad, theirs[key])


@pytest.mark.parametrize("name", CASES)
def test_quality_of_given_distributions(name: str) -> None:
    case = CASES[name]
    detector, _ = predicted(name, "released")
    predictor: Any = detector.predictor
    found = predictor.quality(reference.made(case, f"{name}/gflv2/dgqp/distribution")).sigmoid()
    reference.assert_close(found.flatten(), case["dgqp"]["quality"])


@pytest.mark.parametrize("name", CASES)
def test_detections(name: str) -> None:
    theirs, size = CASES[name]["inference"], CASES[name]["scene"]
    detector, found = predicted(name, "released")
    (best,) = detector.postprocess(found, torch.tensor([[size["height"], size["width"]]]))
    assert len(best) == theirs["count"]
    count = len(theirs["boxes"])
    assert best.labels[:count].tolist() == theirs["labels"]
    reference.assert_close(best.scores[:count], theirs["scores"])
    reference.assert_close(best.boxes[:count], theirs["boxes"])
