"""Single layers against counts worked out by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet50
from torchvision.ops import DeformConv2d, roi_align
from torchvision.ops.misc import FrozenBatchNorm2d

from detbench.errors import RecipeError
from detbench.measure.flops import count
from detbench.measure.parameters import millions


def operations(module: nn.Module, protocol: str = "mmdet") -> int:
    """On a 3 x 6 x 10 image."""
    return round(count(module, (10, 6), protocol).gflops * 1e9)


class Functions(nn.Module):
    """Calls a function on a convolution of the image."""

    def __init__(self, function, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1, bias=False)
        self.function = function

    def forward(self, images):
        return self.function(self.conv(images))


CONV = 60 * 3 * 4  # of Functions


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1, bias=False), 60 * 8 * 27),
        (nn.Conv2d(3, 8, 3, padding=1), 60 * 8 * 28),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), 15 * 8 * 28),
        (nn.Conv2d(3, 6, 3, padding=1, groups=3), 60 * 6 * 10),
        (nn.ConvTranspose2d(3, 8, 2, stride=2, bias=False), 60 * 3 * 8 * 4),
        (nn.ConvTranspose2d(3, 8, 2, stride=2), 60 * 3 * 8 * 4 + 240 * 8),
        (nn.Linear(10, 7), 180 * 7 + 7),
        (nn.Linear(10, 7, bias=False), 180 * 7),
        (nn.BatchNorm2d(3), 360),
        (nn.BatchNorm2d(3, affine=False), 180),
        (FrozenBatchNorm2d(3), 360),
        (nn.GroupNorm(3, 3), 360),
        (nn.LayerNorm(10), 360),
        (nn.ReLU(inplace=True), 180),
        (nn.MaxPool2d(2), 180),
        (nn.AdaptiveAvgPool2d(1), 180),
        (nn.Upsample(scale_factor=2), 720),
        (nn.Sigmoid(), 0),
        (nn.Identity(), 0),
    ],
)
def test_mmdet_layers(layer, expected):
    assert operations(layer) == expected


@pytest.mark.parametrize(
    ("function", "expected", "name"),
    [
        (functional.relu, 0, "relu"),
        (lambda x: functional.interpolate(x, scale_factor=2), 0, "upsample_nearest2d"),
        (lambda x: functional.max_pool2d(x, 2), 0, "max_pool2d_with_indices"),
        (lambda x: x + x, 0, "add"),
        (lambda x: x.sigmoid_(), 0, "sigmoid"),
        (lambda x: roi_align(x, torch.empty(5, 5, device="meta"), 7), 0, "roi_align"),
    ],
)
def test_mmdet_functions_are_free_and_named(function, expected, name):
    counted = count(Functions(function), (10, 6))
    assert round(counted.gflops * 1e9) == CONV + expected
    assert counted.uncounted == {name: 1}


def test_mmdet_names_no_views():
    counted = count(
        Functions(lambda x: torch.cat([x.flatten(1), x.clone().flatten(1)], 1)), (10, 6)
    )
    assert counted.uncounted == {}


class Deformed(nn.Module):
    """A deformable convolution with its offsets."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(3, 18, 3, padding=1)
        self.conv = DeformConv2d(3, 8, 3, padding=1)

    def forward(self, images):
        return self.conv(images, self.offset(images))


def test_deformable_convolution():
    papers = count(Deformed(), (10, 6), "mmdet")
    assert round(papers.gflops * 1e9) == 60 * 18 * 28
    assert papers.uncounted == {"deform_conv2d": 1}
    full = count(Deformed(), (10, 6), "fvcore")
    assert round(full.gflops * 1e9) == 60 * 18 * 27 + 60 * 8 * 27 + 60 * 27 * 4
    assert full.uncounted == {}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: roi_align(x, torch.empty(5, 5, device="meta"), 7, 1.0, 3), 5 * 4 * 49 * 9 * 4),
        (lambda x: roi_align(x, torch.empty(5, 5, device="meta"), 7), 5 * 4 * 49 * 4 * 4),
        (lambda x: functional.max_pool2d(x, 2), 240),
        (lambda x: functional.avg_pool2d(x, 2), 240),
        (lambda x: functional.interpolate(x, scale_factor=2), 960),
        (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), 3840),
        (torch.sigmoid, 240),
        (lambda x: x + 1, 240),
        (functional.relu, 0),
    ],
)
def test_fvcore_functions(function, expected):
    assert operations(Functions(function), "fvcore") == CONV + expected


class Mixed(nn.Module):
    """Every layer that fvcore itself supports."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.batch = nn.BatchNorm2d(8)
        self.groups = nn.GroupNorm(2, 8)
        instance = nn.InstanceNorm2d(8), nn.InstanceNorm2d(8, affine=True)
        self.norms = nn.Sequential(*instance, nn.BatchNorm2d(8, track_running_stats=False))
        self.across = nn.Linear(8, 8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.grouped = nn.Conv2d(6, 6, 3, groups=3)
        self.linear = nn.Linear(6, 5)

    def forward(self, images):
        x = self.norms(self.groups(self.batch(self.first(images)).relu()))
        # Of a view that does not lie in memory as it is read.
        x = self.across(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        x = functional.interpolate(self.grouped(self.up(x)), size=(9, 7), mode="bilinear")
        x = functional.interpolate(x, size=(5, 4))
        return self.linear(functional.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.filterwarnings("ignore")
def test_fvcore_agrees_with_fvcore():
    from fvcore.nn import FlopCountAnalysis

    model = Mixed().eval()
    theirs = FlopCountAnalysis(model, torch.zeros(1, 3, 33, 47)).unsupported_ops_warnings(False)
    ours = count(model, (47, 33), "fvcore")
    assert round(ours.gflops * 1e9) == theirs.total()
    assert not theirs.unsupported_ops()
    assert ours.uncounted == {"relu": 1}


@pytest.mark.filterwarnings("ignore")
def test_fvcore_agrees_with_fvcore_on_resnet():
    from fvcore.nn import FlopCountAnalysis

    model = resnet50(weights=None).eval()
    theirs = FlopCountAnalysis(model, torch.zeros(1, 3, 64, 96)).unsupported_ops_warnings(False)
    added = count(model, (96, 64), "fvcore").by_operator
    known = sum(v for k, v in added.items() if k not in ("add", "max_pool2d_with_indices"))
    assert round(known * 1e9) == theirs.total()
    assert set(theirs.unsupported_ops()) == {"aten::add_", "aten::max_pool2d"}


def test_resnet50_as_mmcv_prints_it():
    with torch.device("meta"):
        model = resnet50(weights=None)
    assert f"{count(model, (224, 224)).gflops:.2f}" == "4.12"
    assert f"{millions(model):.2f}" == "25.56"


def test_resnet50_features_at_800x1280():
    with torch.device("meta"):
        model = resnet50(weights=None)
        model.fc = nn.Identity()
    # all sizes divide by 32, so convolutions scale with the area
    convolutions = count(model, (1280, 800)).by_operator["Conv2d"]
    assert convolutions == pytest.approx(4.087136256 * 800 * 1280 / 224**2, rel=1e-9)


class Parts(nn.Module):
    """Two parts that share a layer, one layer called twice, and one of no part."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 1, bias=False)
        self.cls = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), self.shared)
        self.loc = nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), self.shared)
        self.last = nn.ReLU()

    def parts(self):
        return {"cls": self.cls, "loc": self.loc}

    def forward(self, images):
        own = self.cls[0](images), self.loc[0](images), self.loc[0](images)
        return [*own, self.last(self.shared(images) + 1)]


def test_parts_sum_to_the_whole():
    counted = count(Parts(), (10, 6))
    parts = {name: round(value * 1e9) for name, value in counted.by_part.items()}
    assert parts == {"cls": 360, "loc": 1800, "cls+loc": 540, "other": 180}
    assert round(counted.gflops * 1e9) == sum(parts.values())


def test_counting_changes_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    count(model, (10, 6))
    assert model.training
    assert model[0].weight.device.type == "cpu"
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks
    assert model[1].num_batches_tracked == 0


def test_too_small_an_input_is_the_users_mistake():
    with pytest.raises(RecipeError, match="input 4x4 is too small"):
        count(nn.Conv2d(3, 3, 7), (4, 4))


def test_parameters():
    model = nn.Sequential(nn.Linear(9, 10), nn.Linear(10, 10))
    model.append(model[1])
    assert millions(model) == pytest.approx(210e-6)
    model[0].requires_grad_(False)
    assert millions(model) == pytest.approx(110e-6)
    assert millions(model, trainable=False) == pytest.approx(210e-6)
