"""A cell whose detector makes masks: scored, stored, and scored again from what is stored."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from detbench.assembly import build_detector
from detbench.evaluation.metric import MASK_METRICS, METRICS
from detbench.evaluation.rescore import Rescorer
from detbench.evaluation.run import score
from detbench.evaluation.scoring import score as scored
from detbench.progress import Progress
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results.store import Store
from detbench.runner.compute import metric_rows, protocol
from detbench.structures import Detections
from detbench.training.distributed import Team
from detbench.training.host import Host


def cell() -> Cell:
    found = resolve.cell("mask-rcnn-r50", "smoke").cell
    assert isinstance(found, Cell)
    data = found.data.model_copy(update={"val": 3})
    return found.model_copy(update={"data": data})


def host() -> Host:
    def report(at: Progress) -> None:
        pass

    return Host(Path(), torch.device("cpu"), report, Team())


class Oracle(nn.Module):
    """Detects what is there, by its masks on the grids of their boxes, a little off."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.truth = [cell.data.open("val", Path(), masks=True).sample(index) for index in range(3)]
        self.seen = 0

    def detect(self, images: torch.Tensor, sizes: torch.Tensor) -> list[Detections]:
        found = []
        for _ in images:
            sample = self.truth[self.seen]
            self.seen += 1
            assert sample.masks is not None
            grids = []
            for mask, box in zip(sample.masks, sample.boxes.long().tolist(), strict=True):
                crop = mask[box[1] : box[3], box[0] : box[2]].float()
                grids.append(nn.functional.interpolate(crop[None, None], (28, 28))[0, 0])
            scores = torch.linspace(0.9, 0.5, len(sample.labels))
            found.append(Detections(sample.boxes, scores, sample.labels, torch.stack(grids)))
        return found


def test_masks_are_scored_stored_and_scored_again(tmp_path: Path) -> None:
    own = cell()
    found = score(Oracle(own), own, host())
    assert tuple(found.metrics) == (*METRICS, *MASK_METRICS)
    assert found.metrics["AP"] == 1
    best = found.metrics["maskAP"]
    assert best is not None
    assert 0.8 < best < 1  # 28 cells a side do not hold every pixel
    assert found.metrics["maskAP50"] == 1
    key = digest(own)
    origin = {"recipe": own.model_dump(mode="json")}
    rows = metric_rows(key, own, found.metrics, protocol(own, found.images), origin)
    assert all("overlap" in row.protocol for row in rows if row.metric in MASK_METRICS)
    assert not any("overlap" in row.protocol for row in rows if row.metric in METRICS)
    store = Store(tmp_path)
    store.add(rows, found.detections)
    again = store.detections(key)
    assert again == found.detections
    rescore = Rescorer(Path())
    assert rescore(rows, found.detections) == ""
    shifted = [one | {"segmentation": found.detections[0]["segmentation"]} for one in again]
    assert "maskAP" in rescore(rows, shifted)


def test_a_detector_that_finds_nothing_has_mask_metrics_of_0() -> None:
    own = cell()
    truth = own.data.truth(Path(), masks=True)
    assert scored(own.data, truth, [], own.evaluation)["maskAP"] == 0


def test_the_network_of_a_cell_gives_masks() -> None:
    own = cell()
    torch.manual_seed(0)
    detector = build_detector(own.detector, [f"class {i}" for i in range(12)])
    with torch.no_grad():
        for parameter in detector.parameters():  # scores away from the prior, and apart
            parameter.add_(0.05 * torch.randn_like(parameter))
    found = score(detector, own, host())
    assert found.detections
    assert all(one["segmentation"]["size"] == [128, 128] for one in found.detections)
    assert set(MASK_METRICS) <= set(found.metrics)
