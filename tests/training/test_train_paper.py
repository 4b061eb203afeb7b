"""The profile ``paper``: every detector takes two iterations on made data from a weights file.

As a user would: ``detbench train``, torchvision's state dict under the name that it has in torch
hub's cache, images of COCO's, WIDER FACE's or OpenImages' sizes. Only batch, length, input are cut.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from made_coco import make_coco
from made_openimages import make_openimages
from made_widerface import make_widerface
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.transforms.v2 import functional as transforms

from detbench.backbones.resnet import BLOCKS
from detbench.recipe import load
from detbench.recipe import model as spec
from detbench.recipe.detector import Detector
from detbench.training import curve, named

CUT = (
    "training.batch=2",
    "training.iterations=2",
    "training.optimizer.lr=0.0025",  # for a batch of 2
    "training.input.short=[128]",
    "training.input.long=160",
    "evaluation.limit=1",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made COCO, WIDER FACE and OpenImages, and an empty torch hub."""
    folder = tmp_path_factory.mktemp("paper")
    make_coco(folder / "data")
    make_widerface(folder / "data")
    make_openimages(folder / "data")
    (folder / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    return folder


def backbone_file(detector: Detector, home: Path) -> Path:
    """torchvision's network of this kind, where the recipe's default is looked for, or timm's.

    Its weights are random, its norms have the statistics of noise in this recipe's pixels: without
    any, what a hundred layers give grows beyond what a learning rate was made for.
    """
    backbone, pixels = detector.backbone, detector.pixels
    torch.manual_seed(0)
    if isinstance(backbone, spec.Timm):
        file, made = home / "timm.pth", timm.create_model(backbone.name)
    else:
        assert isinstance(backbone, spec.ResNet)
        assert backbone.weights is not None
        path = named.find(backbone.weights).path
        assert path is not None
        file = home / "torch" / "hub" / "checkpoints" / path.name
        layers, groups = list(BLOCKS[backbone.depth][1]), backbone.groups
        made = ResNet(Bottleneck, layers, groups=groups, width_per_group=backbone.base_width)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        noise = 255 * torch.rand(4, 3, 16, 16).repeat_interleave(8, 2).repeat_interleave(8, 3)
        made(transforms.normalize(noise, list(pixels.mean), list(pixels.std)))
    torch.save(made.state_dict(), file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("name", load.detectors())
def test_two_iterations_from_a_weights_file(home: Path, name: str) -> None:
    detector = load.detector(name).detector
    file = backbone_file(detector, home)
    # By name in the cache for dense detectors, whose default no file ever reached; else by path.
    dense = detector.skeleton == "dense" and isinstance(detector.backbone, spec.ResNet)
    words = ["train", name, "--profile", "paper", "--data-root", str(home / "data")]
    for one in CUT:
        words += ["--set", one]
    words += ["--weights", "default" if dense else str(file), "--out", str(home / name)]
    environment = {**os.environ, "TORCH_HOME": str(home / "torch")}
    done = subprocess.run(
        [sys.executable, "-m", "detbench", *words, "--format", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.strip().splitlines()
    assert done.returncode == 0, done.stderr
    losses = [line["total"] for line in curve.read(home / name / "curve.jsonl")]
    assert len(losses) == 2
    assert all(0 < loss < float("inf") for loss in losses)
    (scores,) = json.loads(done.stdout)["rows"]
    kind = load.schedule(load.detector(name).schedule).data.kind
    assert ("wider-hard" in scores) == (kind == "widerface")
    assert ("openimages" in scores) == (kind == "openimages")
    [start] = [line for line in said if line.startswith("backbone weights: ")]
    print(f"{name}: {start}; losses {losses[0]:.3f}, {losses[1]:.3f}")
    file.unlink()
    for each in (home / name).glob("*.pt"):
        each.unlink()
