"""Outputs are computed when they are read, and gradients do not depend on who reads them first."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_outputs import outputs
from torch import Tensor

from detbench.assembly import build_detector
from detbench.ops.candidates import point_grid
from detbench.recipe import resolve
from detbench.stages.outputs import Outputs
from detbench.stages.score import Geometric, Product
from detbench.structures import Targets

CLASSES = torch.tensor([[0.9, 0.4, 0.01], [0.25, 1.0, 0.0]])
QUALITY = torch.tensor([[0.4], [0.25]])


def made(images: int = 2) -> Outputs:
    """Random outputs with gradients."""
    candidates = point_grid(0.5).lay([(3, 4), (2, 2)], [8, 16], torch.zeros(()))
    shape, draw = (images, 16), torch.Generator().manual_seed(0)
    logits, code, quality = (
        torch.randn(*shape, *width, generator=draw, requires_grad=True)
        for width in ((3,), (4,), ())
    )
    plain = outputs(candidates, images)
    return replace(plain, logits=logits, code=code + 2, extras={"quality": quality})


def test_boxes_that_an_assigner_reads_first_still_train() -> None:
    found = made()
    with torch.no_grad():
        seen = found.detached
        read = (seen.boxes, seen.probabilities, seen.scores)
    assert not any(x.requires_grad for x in read)
    assert torch.equal(seen.boxes, found.boxes)
    assert torch.equal(seen.scores, found.scores)
    (found.boxes.sum() + found.scores.sum()).backward()
    assert found.logits.grad is not None
    assert found.logits.grad.any()
    assert found.extras["quality"].grad.any()
    assert found.detached is seen


@torch.no_grad()
def test_scores_are_of_class_and_extra_outputs() -> None:
    found, quality = made(), made().extras["quality"].sigmoid()[..., None]
    product = found.logits.sigmoid() * quality
    assert torch.allclose(found.scores, product)
    assert torch.allclose(replace(found, score=Geometric("score")).scores, product.sqrt())
    assert torch.equal(replace(found, extras={}).scores, found.probabilities)


@pytest.mark.parametrize(("score", "power"), [(Product("class"), 1.0), (Geometric("score"), 0.5)])
def test_scores_of_chosen_pairs_are_those_of_all(score: torch.nn.Module, power: float) -> None:
    every = score(CLASSES, {"quality": QUALITY})
    chosen = score(CLASSES[[1, 0], [1, 2]], {"quality": QUALITY[[1, 0], 0]})
    assert torch.equal(chosen, every[[1, 0], [1, 2]])
    assert torch.allclose(every, (CLASSES * QUALITY) ** power)
    three = Geometric("score")(CLASSES, {"quality": QUALITY, "filter": QUALITY})
    assert torch.allclose(three, (CLASSES * QUALITY**2) ** (1 / 3))


@pytest.mark.parametrize(
    ("name", "read"),
    [("retinanet-r50", set()), ("fcos-r50", {"boxes"}), ("gfl-r50", {"boxes"})],
)
def test_a_training_step_computes_no_more_than_its_losses_read(name: str, read: set[str]) -> None:
    cell = resolve.cell(name, "smoke").cell
    assert cell is not None
    detector, kept = build_detector(cell.detector, 3), []
    flat = detector.outputs
    detector.outputs = lambda predictions: kept.append(flat(predictions)) or kept[-1]
    detector.losses(torch.randn(1, 3, 64, 64), Targets.pad([OBJECT], [torch.tensor([1])]))
    lazy = {"boxes", "probabilities", "scores"}
    assert lazy & set(vars(kept[0])) == read
    expected = {"boxes", "probabilities"} if name == "gfl-r50" else set()
    assert lazy & set(vars(kept[0].detached)) == expected


OBJECT: Tensor = torch.tensor([[8.0, 8.0, 40.0, 48.0]])
