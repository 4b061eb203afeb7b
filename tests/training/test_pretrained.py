"""A backbone's file in every detector of the catalogue and every row of every table.

What a file covers loads whole, what it does not cover is on a list per option, and copies of the
backbone's parts start from the file and are frozen as the backbone is.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import timm
import torch
from alike import unlike
from made_masks import with_masks
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.backbones.pretrained import Cover, copies, cover
from detbench.backbones.resnet import BLOCKS
from detbench.measure import meta
from detbench.recipe import load
from detbench.recipe import model as spec
from detbench.recipe.assignment import CenterPrior
from detbench.recipe.detector import Dense, Detector
from detbench.recipe.light import lighten
from detbench.recipe.resolve import paper_detector
from detbench.structures import Targets
from detbench.training import files, weights

State = dict[str, Tensor]
CLASSES = 3

# What starts on its own, option by option; {at} is where the option stands.
OWN_START = {
    "fpn": r"neck\.(lateral|output|extra|down|second)\.\d+\.(weight|bias)",
    "deformable backbone": r"backbone\.layer[234]\.\d+\.conv2\.conv_offset\.(weight|bias)",
    "deformable backbone of timm's": r"backbone\.body\.layer[234]\.\d+"
    r"\.(convs\.\d+|conv2|downsample\.0)\.conv_offset\.(weight|bias)",
    "dense predictor": r"predictor\.((cls|loc|quality)\.(weight|bias)|scales)",
    "objectness": r"predictor\.objectness\.(weight|bias)",
    "distribution-guided": r"predictor\.guide\.\d+\.(weight|bias)",
    "refined": r"predictor\.feet\.(weight|bias)",
    "fcn": r"{at}(convs\.\d+|up|logits)\.(weight|bias)",
    "max-filter": r"predictor\.(filter|max_filter\.(conv|norm))\.(weight|bias)",
    "aligned": r"predictor\.(alignment\.\d+|offset\.\d+|decompose\.(cls|loc)"
    r"\.(attention\.\d+|reduce|norm))\.(weight|bias)",
    "center prior": r"supervisions\.0\.assigners\.both\.(mean|sigma)",
    "rpn": r"rpn\.(conv|cls|loc)\.(weight|bias)",
    "branch outputs": r"{at}(unfocused_)?(cls|loc)\.(weight|bias)",
    "tower": r"heads\.(both|cls|loc)\.convs\.\d+\.(conv|norm)\.(weight|bias)",
    "interactive": r"heads\.both\.convs\.\d+\.(conv|norm)\.(weight|bias)",
    "deformable": r"heads\.(both|cls|loc)\.convs\.\d+\.offset\.(weight|bias)",
    "levels": r"supervisions\.0\.levels\.(both|cls|loc)\.positives_seen",
    "sce": r"features\.(both|cls|loc)\..*",
    "dpe": r"features\.(both|cls|loc)\..*",
    "ssh": r"features\.(both|cls|loc)\.(near|around|middle|far\.\d+)\.(conv|norm)\.(weight|bias)",
    "own": r"features\.(both|cls|loc)\.neck\.(lateral|output|extra)\.\d+\.(weight|bias)",
    "fc": r"{at}heads\.(both|cls|loc)\.layers\.\d+\.(weight|bias)",
    "conv": r"{at}heads\.(both|cls|loc)\.layers\.\d+\..*",
    "pointwise": r"{at}(embedding|sampling\.(both|cls|loc))\..*",
    "translated": r"{at}(embedding|sampling\.(both|cls|loc))\..*",
}
NOTHING = {"level", "regular", "roi-align", "res5", "c4", "convolutions"}
"""Options without parameters, or with those of a backbone's file alone."""
COPIES = {"own", "res5"}
"""Options that have parts of the backbone."""


@cache
def subjects() -> dict[str, Detector]:
    """Unlike detectors of the catalogue and of the tables, with every backbone, at paper size, by
    who has them.
    """
    named = {name: load.detector(name).detector for name in load.detectors()}
    for name in load.tables():
        for row in load.table(name).rows:
            if (detector := paper_detector(row)) is not None:
                named[f"{name}:{row.label}"] = detector
    return unlike(named, exact=("backbone",), but=("inference", "readout"))


def published(backbone: spec.ResNet | spec.Timm) -> nn.Module:
    """torchvision's or timm's own network, whose state dict is the backbone's file."""
    if isinstance(backbone, spec.Timm):
        network: nn.Module = timm.create_model(backbone.name)
        return network
    blocks = list(BLOCKS[backbone.depth][1])
    widths = {"groups": backbone.groups, "width_per_group": backbone.base_width}
    return TorchvisionResNet(Bottleneck, blocks, **widths)


@cache
def published_file(backbone: spec.ResNet | spec.Timm) -> State:
    """A backbone's file, on meta tensors."""
    with meta.device():
        return dict(published(backbone).state_dict())


def options(detector: Detector) -> set[tuple[str, str]]:
    """The options that have parameters of their own, and where they stand."""
    found, whose = {(detector.neck.kind, "")}, " of timm's" * (detector.backbone.kind == "timm")
    if detector.backbone.deformable != "none":
        found |= {(f"deformable backbone{whose}", "")}
    if isinstance(detector, Dense):
        found |= {("dense predictor", "")}
        pairs = {"": (detector.features, detector.heads, detector.sampling)}
        levels = [] if detector.levels is None else _both(detector.levels)
        if (predictor := detector.predictor) is not None:
            found |= {(predictor.kind, "")}
            found |= {("objectness", "")} if predictor.objectness else set()
        if any(isinstance(each, CenterPrior) for each in _both(detector.assignment)):
            found |= {("center prior", "")}
        found |= {("levels", "") for each in levels if getattr(each, "totals", False)}
    else:
        found |= {("rpn", ""), *((each.kind, "") for each in _both(detector.features))}
        pairs = {"main.": (detector.sampling, detector.heads)}
        if detector.sibling is not None:
            pairs["sibling."] = (detector.sibling.sampling, detector.sibling.heads)
        if detector.mask is not None:
            found |= {(detector.mask.head.kind, "mask.")}
        for number, each in enumerate(detector.rounds):
            pairs[f"rounds.{number}."] = (each.sampling or detector.sampling, each.heads)
            if each.sibling is not None:
                beside = each.sibling.sampling, each.sibling.heads
                pairs[f"round{number + 2}_sibling."] = beside
        found |= {("branch outputs", at) for at in pairs}
    for at, several in pairs.items():
        found |= {(each.kind, at) for pair in several for each in _both(pair)}
    return {(kind, at) for kind, at in found if kind not in NOTHING}


def _both(pair: Any) -> list[Any]:
    return [pair.of("cls"), pair.of("loc")]


def test_the_subjects_are_the_catalogue() -> None:
    found = subjects()
    assert len(found) > 90
    tested = {name: found[name] for name in with_values() | at_paper_size().keys()}
    for names in (found, tested):
        assert {kind for one in names.values() for kind, _ in options(one)} == set(OWN_START)
    assert {one.backbone for one in at_paper_size().values()} == {
        one.backbone for one in found.values()
    }
    assert set().union(*map(kinds, at_paper_size().values())) >= COPIES
    assert any(name.startswith("tsd-table1") for name in found)


def at_paper_size() -> dict[str, Detector]:
    """One with each backbone, and all with copies of its parts elsewhere: what a backbone's file
    fits depends on nothing else. What starts on its own is looked at in light networks too.
    """
    backbones = {one.backbone: name for name, one in reversed(subjects().items())}
    copying = {name for name, one in subjects().items() if kinds(one) & COPIES}
    return {name: subjects()[name] for name in sorted(copying.union(backbones.values()))}


def kinds(detector: Detector) -> set[str]:
    """The options that stand where one may copy the backbone."""
    pairs = (detector.features, detector.heads)
    return {each.kind for pair in pairs for each in _both(pair)}


def check_rest(detector: nn.Module, settings: Detector, state: State) -> Cover:
    """The file is in the detector whole, and what is not in it is on the lists; what is covered."""
    covered = cover(detector)
    assert not covered.unexplained
    known = {name for name in state if not name.startswith("fc.")}
    assert set(covered.names.values()) == known  # nothing in the file is left over
    patterns = {OWN_START[kind].format(at=re.escape(at)) for kind, at in options(settings)}
    for parameter in covered.own_start:
        assert any(re.fullmatch(pattern, parameter) for pattern in patterns), parameter
    for pattern in patterns:
        assert any(re.fullmatch(pattern, parameter) for parameter in covered.own_start), pattern
    return covered


@pytest.mark.filterwarnings("ignore:.*a no-op")  # counters of batch norms outside the file
@pytest.mark.parametrize("name", at_paper_size())
def test_torchvisions_file_loads_whole_and_the_rest_is_listed(name: str) -> None:
    settings = subjects()[name]
    backbone = settings.backbone
    assert isinstance(backbone, spec.ResNet | spec.Timm)
    with meta.device():
        detector = build_detector(settings, 80)
    state = published_file(backbone)
    assert weights.load_content(detector, files.of_state(state), "file").whole
    check_rest(detector, settings, state)


def test_what_is_on_no_list_is_an_error() -> None:
    settings = subjects()["fcos-r50"]
    with meta.device():
        detector = build_detector(settings, 80)
        state = dict(published_file(settings.backbone))
        detector.more = nn.Linear(2, 2)
    assert cover(detector).unexplained == ("more.weight", "more.bias")
    for change, said in (("pop", "1 missing"), ("add", "1 unknown")):
        other = dict(state)
        tensor = other.pop("layer3.1.bn2.weight")
        if change == "add":
            other |= {"layer3.1.bn2.weight": tensor, "layer3.9.bn2.weight": tensor}
        with pytest.raises(weights.WeightsError, match=said):
            weights.load_content(detector, files.of_state(other), "file")


# --- values, norms and losses of light networks ---------------------------------------------------


def light(settings: Detector) -> Detector:
    """The smoke profile's network on a narrow backbone of the paper's kind."""
    backbone = settings.backbone
    assert isinstance(backbone, spec.ResNet | spec.Timm)
    network = load.profile("smoke").light
    assert network is not None
    grouped = isinstance(backbone, spec.ResNet) and backbone.groups > 1
    width = 0.25 if grouped else 0.125
    made = lighten(settings, network)
    levels = {}
    if isinstance(made.neck, spec.Fpn) and isinstance(settings.neck, spec.Fpn):
        levels = {"first": settings.neck.first, "levels": settings.neck.levels}
    neck = made.neck.model_copy(update=levels)
    return made.model_copy(
        update={"backbone": backbone.model_copy(update={"width": width}), "neck": neck}
    )


@cache
def narrow_file(settings: spec.ResNet | spec.Timm) -> State:
    """A whole backbone of this width, with norms as after a training."""
    torch.manual_seed(1)
    network = make(settings.model_copy(update={"deformable": "none", "norm": "eval"}))
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for name, tensor in norm.state_dict().items():
                if name == "running_var":
                    tensor.uniform_(0.5, 1.5)
                elif tensor.is_floating_point():
                    tensor.normal_(1.0 if name == "weight" else 0.0, 0.1)
    return {name.removeprefix("body."): tensor for name, tensor in network.state_dict().items()}


def first_loss(detector: Any, size: int) -> Tensor:
    torch.manual_seed(2)
    images = torch.randn(2, 3, size, size)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 44.0], [20.0, 4.0, 60.0, 30.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    losses = detector.losses(images, with_masks(Targets.pad(boxes, labels), size, size))
    return torch.stack([loss.float() for loss in losses.values()]).sum()


def check_copies(
    detector: nn.Module, covered: Cover, state: State, backbone: spec.ResNet | spec.Timm
) -> None:
    """Copies are the file's, and in training as the backbone is."""
    own = detector.state_dict()
    for name, there in covered.names.items():
        assert torch.equal(own[name], state[there]), name
    assert not [name for name in covered.own_start if "conv_offset" in name and own[name].any()]
    detector.train()
    originals = dict(detector.get_submodule("backbone").named_modules())
    for path, module in copies(detector).items():
        for name, norm in module.named_modules():
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            assert norm.training == (backbone.norm == "batch"), (path, name)
            if backbone.norm == "frozen":
                assert not norm.weight.requires_grad, (path, name)
        if path.startswith("features."):
            where = detector.get_submodule(path.rpartition(".stages.")[0]).from_backbone
            twin = originals[where[f"stages.{path.rpartition('.')[2]}"]]
            for (_, one), (_, other) in zip(
                module.named_parameters(), twin.named_parameters(), strict=True
            ):
                assert one.requires_grad == other.requires_grad
                assert one.data_ptr() != other.data_ptr()


@cache
def with_values() -> set[str]:
    """Subjects with unlike heads, and one with each unlike backbone."""
    backbones = unlike({name: one.backbone for name, one in subjects().items()})
    return backbones.keys() | unlike(subjects(), but=("backbone", "neck", "rpn")).keys()


@pytest.mark.parametrize("name", sorted(with_values()))
def test_values_norms_and_first_loss(name: str) -> None:
    settings = light(subjects()[name])
    backbone = settings.backbone
    assert isinstance(backbone, spec.ResNet | spec.Timm)
    torch.manual_seed(0)
    detector = build_detector(settings, CLASSES)
    changes = {"deformable": "none", **({"weights": None} if backbone.kind == "resnet" else {})}
    state = narrow_file(backbone.model_copy(update=changes))
    assert weights.load_content(detector, files.of_state(state), "file").whole
    check_copies(detector, check_rest(detector, settings, state), state, backbone)
    loss = first_loss(detector, 64)
    assert torch.isfinite(loss)
    assert loss > 0


def own_stages(stride: int) -> Detector:
    """TSD's row with its own stages from this stride on."""
    rows = {row.label: row for row in load.table("tsd-table1").rows}
    found = paper_detector(rows[f"ResNet-50 + D_s{stride}"])
    assert found is not None
    return found


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("norm", ["frozen", "eval", "batch"])
@pytest.mark.parametrize("frozen_stages", [0, 1, 3, 4])
def test_own_stages_follow_the_backbone(stride: int, norm: str, frozen_stages: int) -> None:
    settings = light(own_stages(stride))
    changes = {"norm": norm, "frozen_stages": frozen_stages, "depth": 10, "width": 0.25}
    backbone = settings.backbone.model_copy(update=changes)
    detector = build_detector(settings.model_copy(update={"backbone": backbone}), CLASSES)
    detector.eval()
    detector.train()
    found = [one for one in copies(detector) if one != "backbone"]
    assert len(found) == {8: 2, 16: 1, 32: 0}[stride]
    for path in found:
        twin = detector.backbone.get_submodule(f"layer{5 - len(found) + found.index(path)}")
        pairs = zip(detector.get_submodule(path).modules(), twin.modules(), strict=True)
        assert all(one.training == other.training for one, other in pairs)
        pairs = zip(detector.get_submodule(path).parameters(), twin.parameters(), strict=True)
        assert all(one.requires_grad == other.requires_grad for one, other in pairs)


def test_own_stages_that_are_frozen_do_not_move() -> None:
    settings = light(own_stages(8))
    detector: Any = build_detector(settings, CLASSES).train()
    before = {name: x.clone() for name, x in detector.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=0.01)
    first_loss(detector, 64).backward()
    optimiser.step()
    after = detector.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in moved if "running" in name or "num_batches" in name]
    assert any(name.startswith("features.loc.stages.0") for name in moved)


@pytest.mark.slow
@pytest.mark.parametrize("name", load.detectors())
def test_first_loss_at_full_size(name: str) -> None:
    settings = load.detector(name).detector
    backbone = settings.backbone
    assert isinstance(backbone, spec.ResNet | spec.Timm)
    torch.manual_seed(0)
    network = published(backbone)
    detector = build_detector(settings, 80)
    state = network.state_dict()
    assert weights.load_content(detector, files.of_state(state), "file").whole
    check_copies(detector, cover(detector), state, backbone)
    assert torch.isfinite(first_loss(detector, 128))
