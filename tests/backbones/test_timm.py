"""Networks of timm's as backbones: their maps, what trains, deformable stages, files, pixels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.backbones.resnet import DeformableConv
from detbench.backbones.timm import DropPath, Timm
from detbench.errors import RecipeError, WeightsError
from detbench.recipe import load, resolve
from detbench.recipe.light import lighten
from detbench.recipe.model import Pixels, ResNet
from detbench.recipe.model import Timm as Spec
from detbench.training import lookup, weights

SWIN = "swin_tiny_patch4_window7_224"


def spec(name: str = "convnext_atto", **settings: Any) -> Spec:
    return Spec(kind="timm", name=name, **settings)


def network(name: str = "convnext_atto", **settings: Any) -> Timm:
    made = make(spec(name, **settings))
    assert isinstance(made, Timm)
    return made


def small(name: str, **settings: Any) -> Timm:
    return network(name, width=0.25, blocks=(0.34, 0.25, 0.17, 0.34), **settings)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", [SWIN, "convnext_tiny", "res2net101d", "senet154", "pvt_v2_b0"])
@pytest.mark.parametrize("size", [(64, 96), (65, 43)])
def test_maps_are_c2_to_c5_of_images_of_any_size(name: str, size: tuple[int, int]) -> None:
    made = small(name).eval()
    with torch.no_grad():
        maps = made(torch.randn(2, 3, *size))
    expected = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (4, 8, 16, 32)]
    assert [tuple(x.shape[-2:]) for x in maps] == expected
    assert [x.shape[1] for x in maps] == made.channels
    assert all(x.isfinite().all() and x.std() > 0 for x in maps)


@pytest.mark.parametrize("name", [SWIN, "convnext_atto", "resnet18"])
def test_maps_are_timms_own(name: str) -> None:
    """Of images that need no padding; Swin's are as its detectors', whose windows always shift."""
    made = network(name).eval()
    own: Any = {"strict_img_size": False, "always_partition": True} if name == SWIN else {}
    strides = {"out_indices": (1, 2, 3, 4)} if name == "resnet18" else {}
    theirs = timm.create_model(name, features_only=True, **own, **strides).eval()
    theirs.load_state_dict(made.body.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = theirs(images)
        found = made(images)
    for ours, other in zip(found, expected, strict=True):
        assert torch.equal(ours, other.permute(0, 3, 1, 2) if name == SWIN else other)


def test_a_resnet_of_timms_is_that_of_kind_resnet() -> None:
    ours = make(ResNet(kind="resnet", depth=50)).eval()
    theirs = network("resnet50").eval()
    theirs.body.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for one, other in zip(ours(images), theirs(images), strict=True):
            assert (one - other).abs().max() < 1e-5 * one.abs().max()
    ours.train()
    theirs.train()
    assert _trained(ours) == {name.removeprefix("body.") for name in _trained(theirs)}
    assert _live(ours) == {name.removeprefix("body.") for name in _live(theirs)} - {"body"}


def _trained(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def _live(module: nn.Module) -> set[str]:
    """Layers in training mode."""
    return {
        name
        for name, one in module.named_modules()
        if one.training and isinstance(one, nn.Conv2d | nn.BatchNorm2d)
    }


def test_a_detector_on_c4_has_no_c5() -> None:
    made = make(spec(), None, {"stages": 3})
    assert len(made.channels) == len(made(torch.zeros(1, 3, 32, 32))) == 3
    assert not any(name.startswith("body.stages_3") for name in made.state_dict())


@pytest.mark.parametrize("name", ["convnext_atto", "efficientnet_b0"])
def test_frozen_stages_are_the_stem_and_the_first(name: str) -> None:
    """What does not train is all that the first maps need, and nothing of the next."""
    made = network(name, frozen_stages=2, norm="batch").train()
    images = torch.randn(2, 3, 64, 64)
    maps = made(images)
    assert [x.requires_grad for x in maps] == [False, False, True, True]
    maps[3].square().mean().backward()
    reached = {n for n, parameter in made.named_parameters() if parameter.grad is not None}
    assert reached == _trained(made)
    assert 0 < len(reached) < len(list(made.parameters()))


@pytest.mark.parametrize(
    ("norm", "moves", "learns"),
    [("eval", False, True), ("frozen", False, False), ("batch", True, True)],
)
def test_batch_norms(norm: str, moves: bool, learns: bool) -> None:
    made = network("resnet18", norm=norm, frozen_stages=0).train()
    layer = made.body.layer2[0].bn1
    before = layer.running_mean.clone()
    made(torch.randn(2, 3, 64, 64))
    assert torch.equal(layer.running_mean, before) != moves
    assert layer.weight.requires_grad == learns


def test_blocks_are_left_out_in_training_alone() -> None:
    made = small("convnext_tiny", drop_path=0.9, frozen_stages=0)
    images = torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        one, other = made.train()(images)[3], made(images)[3]
        assert not torch.equal(one, other)
        assert torch.equal(made.eval()(images)[3], made(images)[3])


def test_processes_leave_out_the_blocks_that_one_would() -> None:
    """Of the whole batch each has its own images' draws."""
    from detbench.sharding import Shard, on_shard

    made = small("convnext_atto", drop_path=0.6, frozen_stages=0).train()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.manual_seed(5)
        whole = made(images)[3]
        assert not torch.equal(whole, made(images)[3])
        for rank in range(2):
            drawing = torch.Generator().manual_seed(5)
            control: Any = None
            with on_shard(Shard(rank, 2, 4, False, drawing, control)):
                own = made(images[rank::2])[3]
            torch.testing.assert_close(own, whole[rank::2], rtol=1e-5, atol=1e-6)
        kept = [DropPath(0.25, True).train()(torch.ones(4000, 1)) for _ in range(2)]
    assert set(kept[0].unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert kept[0].mean().item() == pytest.approx(1, abs=0.06)


def test_tables_of_positions_do_not_decay() -> None:
    """As timm says of Swin; whose other matrices do."""
    from detbench.recipe.experiment import AdamW
    from detbench.training.optimiser import parameter_groups

    made = small(SWIN)
    named = dict(made.named_parameters())
    tables = {name for name in named if name.endswith("relative_position_bias_table")}
    assert tables
    assert made.no_weight_decay() == tables
    groups = parameter_groups(made, AdamW(kind="adamw", lr=1e-3))
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    found = {name for name, p in named.items() if decay.get(id(p)) == 0.0 and p.ndim > 1}
    assert found == tables & {name for name, p in named.items() if p.requires_grad}
    assert found
    assert small("convnext_atto").no_weight_decay() == set()


def _deformable(module: nn.Module) -> list[DeformableConv]:
    return [layer for layer in module.modules() if isinstance(layer, DeformableConv)]


@pytest.mark.parametrize("name", ["res2net50d", "resnet18", "senet154"])
def test_deformable_stages_start_as_the_plain_ones(name: str) -> None:
    """Offsets start at zero, so v1 is the plain convolution; v2 has half of it, its modulation."""
    plain = small(name).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts the last of a block at zero
    deformable = small(name, deformable="v1", deformable_stages=(4, 5)).eval()
    missing, unknown = deformable.load_state_dict(plain.state_dict(), strict=False)
    assert not unknown
    assert missing
    assert all("conv_offset" in key for key in missing)
    inside = [key for key, x in deformable.named_modules() if isinstance(x, DeformableConv)]
    assert inside
    assert all(key.startswith(("body.layer3", "body.layer4")) for key in inside)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for one, other in zip(plain(images), deformable(images), strict=True):
            assert (one - other).abs().max() < 1e-4 * one.abs().max()
    deformable(images)[3].square().mean().backward()
    offsets = [layer.conv_offset.weight.grad for layer in _deformable(deformable)]
    assert all(grad is not None and bool(grad.any()) for grad in offsets)
    modulated = small(name, deformable="v2")
    count = [layer.conv_offset.out_channels for layer in _deformable(modulated)]
    assert set(count) == {27}
    assert len(count) > len(inside)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "convnext_atom"}, "no network 'convnext_atom', did you mean 'convnext_atto'?"),
        ({"name": "convnext_atto.of_ours"}, "no network 'convnext_atto.of_ours'"),
        ({"name": "vit_tiny_patch16_224"}, "maps at strides 16, and not 4, 8, 16 and 32"),
        ({"name": "maxvit_tiny_rw_224"}, "takes images of one size alone"),
        ({"name": "convnext_atto", "deformable": "v1"}, "C3 of 'convnext_atto' has no 3x3"),
        (
            {"name": "vgg11", "drop_path": 0.1},
            "'vgg11' cannot leave out blocks",
        ),
        ({"name": "hrnet_w18"}, "'hrnet_w18' has no stages in a row: give frozen_stages = 0"),
    ],
)
def test_what_timm_cannot_is_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        network(**settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# --- light counterparts ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["smoke", "small"])
def test_light_counterparts_are_narrower_and_have_fewer_blocks(profile: str) -> None:
    light = load.profile(profile).light
    assert light is not None
    costs = []
    convnexts = [f"convnext_{size}" for size in ("tiny", "small", "base")]
    for name in (*convnexts, SWIN, "res2net101d", "senet154"):
        paper = load.detector("gfl-r50").detector.model_copy(update={"backbone": spec(name)})
        found = lighten(paper, light).backbone
        assert isinstance(found, Spec)
        assert (found.name, found.norm) == (name, light.backbone.norm)
        with torch.device("meta"):
            heavy, lighter = make(spec(name)), make(found)
        count = [sum(x.numel() for x in one.parameters()) for one in (heavy, lighter)]
        assert count[1] < count[0] / (20 if profile == "smoke" else 4), name
        assert [2 * x for x in lighter.channels[:-1]] == lighter.channels[1:]
        costs.append(count[1])
    assert costs[:3] == sorted(costs[:3])
    assert len(set(costs)) == len(costs)


# --- files and names ------------------------------------------------------------------------------


@pytest.fixture
def detector() -> Any:
    light = load.profile("smoke").light
    assert light is not None
    host = load.detector("gfl-r50").detector
    return build_detector(
        lighten(host, light).model_copy(update={"backbone": spec("convnext_atto")}), 3
    )


def whole(path: Path, **more: Tensor) -> dict[str, Tensor]:
    """A file of the whole network, as timm's users have it."""
    torch.manual_seed(7)
    state = timm.create_model("convnext_atto").state_dict() | more
    torch.save(state, path)
    return state


def test_a_file_of_the_whole_network_reaches_every_parameter(detector: Any, tmp_path: Path) -> None:
    state = whole(tmp_path / "a.pth")
    weights.initialise(detector, str(tmp_path / "a.pth"))
    found = detector.backbone.state_dict()
    assert len(found) > 100
    for name, tensor in found.items():
        inside = name.removeprefix("body.").replace("_", ".", 1)
        assert torch.equal(tensor, state[inside]), name


def test_a_file_of_a_larger_network_is_refused(detector: Any, tmp_path: Path) -> None:
    whole(tmp_path / "a.pth", **{"stages.1.blocks.9.gamma": torch.zeros(80)})
    with pytest.raises(WeightsError, match=r"stages\.1\.blocks\.9\.gamma"):
        weights.initialise(detector, str(tmp_path / "a.pth"))


@pytest.mark.usefixtures("modules_forked")
def test_the_default_weights_are_timms_whatever_torchvision_has(detector: Any) -> None:
    assert spec("resnet50").weights == "timm:resnet50"
    with pytest.raises(WeightsError, match=r"timm:convnext_atto' are not on this machine"):
        weights.initialise(detector, "default", spec("convnext_atto").weights)
    answer = lookup.look_up(["timm:resnet50", "timm:resnet5o"])
    assert answer["timm:resnet50"].origin == "timm"
    assert "did you mean 'resnet50'?" in answer["timm:resnet5o"].problem


@pytest.mark.usefixtures("modules_forked")
def test_a_network_that_timm_does_not_have_is_said_when_planning() -> None:
    cells = [
        resolve.cell("gfl-r50", "smoke", overrides=[f'backbone={{kind="timm",name="{name}"}}']).cell
        for name in ("convnext_atto", "convnext_atom")
    ]
    assert all(cells)
    with pytest.raises(WeightsError, match="convnext_atom': timm has no network of that"):
        lookup.check([cell for cell in cells if cell])


def test_other_pixels_than_the_weights_are_said_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Holder(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.backbone = network(name)

    imagenet = Pixels()
    holder = Holder("tf_efficientnet_lite0")
    with caplog.at_level(logging.WARNING):
        weights.warn_of_pixels(Holder("convnext_atto"), "default", imagenet)
        weights.warn_of_pixels(holder, "none", imagenet)
        assert not caplog.messages
        weights.warn_of_pixels(holder, "default", imagenet)
    (said,) = caplog.messages
    assert 'pixels = { order = "rgb", mean = [127.5, 127.5, 127.5]' in said
    halves = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
    assert lookup.other_pixels("default", halves, holder.backbone.pixels) == ""
    turned = halves.model_copy(update={"order": "bgr"})
    assert lookup.other_pixels("default", turned, holder.backbone.pixels)
