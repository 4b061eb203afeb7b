from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torchvision.models import ResNet18_Weights, resnet18

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.backbones.pretrained import cover
from detbench.errors import WeightsError
from detbench.recipe import load
from detbench.recipe import model as spec
from detbench.recipe.base import Custom
from detbench.recipe.light import lighten
from detbench.training import checkpoint, weights
from detbench.training.checkpoint import save as save_checkpoint

NAME = "ResNet18_Weights.IMAGENET1K_V1"
CAFFE = "open-mmlab://detectron2/resnet50_caffe"
KINDS = ("fcos-r50", "retinanet-r50", "faster-rcnn-r50", "faster-rcnn-r50-c4", "tsd-r50")


def made(
    name: str = "fcos-r50", classes: int | list[str] = 3, depth: int = 18, **changes: Any
) -> Any:
    """A detector of the catalogue with a small profile's heads on a whole ResNet."""
    settings = load.detector(name).detector
    light = load.profile("smoke").light
    assert light is not None
    assert isinstance(settings.backbone, spec.ResNet)
    update = {"depth": depth, "style": "pytorch", **changes}
    backbone = settings.backbone.model_copy(update=update)
    made_of = lighten(settings, light).model_copy(update={"backbone": backbone})
    return build_detector(made_of, classes)


OURS = {"format": checkpoint.FORMAT, "version": checkpoint.VERSION}


def starts_from(detector: Any, state: dict[str, torch.Tensor]) -> bool:
    """Whether every copy of a part of the backbone has the file's values."""
    own = detector.state_dict()
    return all(
        torch.equal(own[name], state[there])
        for name, there in cover(detector).names.items()
        if not there.endswith("num_batches_tracked")
    )


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """torch hub's cache with a ResNet-18 of made weights in it."""
    state = resnet18().state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / Path(ResNet18_Weights.IMAGENET1K_V1.url).name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **_: dict(state))
    return state


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache; a download is an error."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "empty"))
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", refuse)


def test_none_is_scratch_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    weights.initialise(made(norm="eval", frozen_stages=1), "none", NAME)
    assert "training from scratch" in caplog.text
    assert "15 frozen tensors keep their random values" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", ["default", NAME, "resnet18", "file"])
def test_cached_weights_are_loaded(
    tmp_path: Path,
    cached: dict[str, torch.Tensor],
    caplog: pytest.LogCaptureFixture,
    kind: str,
    wanted: str,
) -> None:
    detector = made(kind)
    if wanted == "file":
        torch.save(cached, tmp_path / "r18.pth")
        wanted = str(tmp_path / "r18.pth")
    with caplog.at_level(logging.INFO):
        weights.initialise(detector, wanted, NAME)
    assert starts_from(detector, cached)
    assert "backbone weights" in caplog.text


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("default", "said"),
    [
        (NAME, f"are not on this machine.*detbench weights fetch {NAME}, or give a file"),
        ("resnet50.a1_in1k", "are not on this machine.*detbench weights fetch resnet50.a1_in1k"),
        (None, "backbone names no weights.*training.weights=none"),
        ("open-mmlab://x/resnet50", "unknown .known are open-mmlab://.*give a file instead"),
        (CAFFE, f"are not on this machine.*detbench weights fetch {CAFFE}"),
        ("missing.pth", "missing.pth is no file here"),
    ],
)
def test_a_default_that_is_not_here_is_an_error_and_not_scratch(
    monkeypatch: pytest.MonkeyPatch, default: str | None, said: str
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(WeightsError, match=said) as caught:
        weights.initialise(made(), "default", default)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("offline")
def test_a_named_download_that_fails_is_one_line() -> None:
    with pytest.raises(WeightsError, match=r"cannot be downloaded: no network") as caught:
        weights.initialise(made(), NAME)
    assert "\n" not in str(caught.value)


def test_openmmlabs_file_is_fetched_once_and_its_hash_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(spec.ResNet(kind="resnet", depth=50)).state_dict()
    state = {k: v for k, v in whole.items() if "num_batches" not in k}
    # OpenMMLab's file of MSRA's has these two, and MMDetection does not read them.
    state |= {"conv1.bias": torch.zeros(64), "fc.weight": torch.zeros(1000, 2048)}
    asked: list[tuple[str, str]] = []

    def download(address: str, path: str, begins: str, progress: bool) -> None:
        asked.append((address, begins))
        torch.save({"state_dict": state}, path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    detector = made(depth=50, style="caffe")
    for wanted in (CAFFE, CAFFE, "default"):
        weights.initialise(detector, wanted, CAFFE)
    assert asked == [
        (
            "https://download.openmmlab.com/pretrain/third_party/resnet50_msra-5891d200.pth",
            "5891d200",
        )
    ]
    assert starts_from(detector, state)


def test_every_recipes_default_has_an_address() -> None:
    """A file's; or a model's on Hugging Face, which tells its file's place once it is here."""
    found = {load.detector(name).detector.backbone.weights for name in load.detectors()}
    assert len(found) >= 6
    for name in found - {None}:
        at = weights.find(name)
        hub = at.origin == "timm" and timm.get_pretrained_cfg(name.removeprefix("timm:")).hf_hub_id
        assert at.path is not None or hub, name


@pytest.mark.parametrize("name", ["fcos_resnet50_fpn", "FCOS_ResNet50_FPN_Weights.COCO_V1"])
def test_torchvisions_detectors_have_names_too(name: str) -> None:
    found = weights.find(name)
    assert found.origin == "torchvision"
    assert found.path is not None
    assert found.path.name == "fcos_resnet50_fpn_coco-99b0c9b7.pth"


def test_a_backbone_of_ones_own_loads_by_its_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "assembly"))
    from own_parts import Backbone

    settings = load.detector("fcos-r50").detector
    own = Custom(kind="custom", target="own_parts:Backbone", arguments={"width": 16})
    detector: Any = build_detector(settings.model_copy(update={"backbone": own}), 3)
    state = Backbone(16).state_dict()
    torch.save(state, tmp_path / "own.pt")
    assert weights.load_file(detector, tmp_path / "own.pt").whole
    assert all(torch.equal(x, state[k]) for k, x in detector.backbone.state_dict().items())
    del state["stages.1.bias"]
    torch.save(state, tmp_path / "own.pt")
    with pytest.raises(WeightsError, match=r"1 missing .*backbone\.stages\.1\.bias"):
        weights.load_file(detector, tmp_path / "own.pt")


def test_unknown_name() -> None:
    with pytest.raises(WeightsError, match="did you mean 'resnet50'"):
        weights.initialise(made(), "resnet5O")
    with pytest.raises(WeightsError, match="no torchvision or timm weights"):
        weights.initialise(made(), "resnet50.nonsense")


def test_backbone_of_another_depth(cached: dict[str, torch.Tensor]) -> None:
    detector = made(depth=34)
    with pytest.raises(WeightsError, match=r"missing.*--allow-partial takes what fits") as caught:
        weights.initialise(detector, NAME)
    assert "\n" not in str(caught.value)
    # Of a command without that option.
    with pytest.raises(WeightsError, match=r"missing.*: detbench weights import --allow") as caught:
        weights.initialise(detector, NAME, allow_partial=None)
    assert "allow-partial takes" not in str(caught.value)
    weights.initialise(detector, NAME, allow_partial=True)
    assert torch.equal(detector.backbone.conv1.weight, cached["conv1.weight"])


def test_a_file_of_the_backbone(tmp_path: Path, cached: dict[str, torch.Tensor]) -> None:
    torch.save(cached, tmp_path / "r18.pth")
    detector = made()
    weights.initialise(detector, str(tmp_path / "r18.pth"))
    assert torch.equal(detector.backbone.conv1.weight, cached["conv1.weight"])
    with pytest.raises(WeightsError, match="another detector"):
        weights.load_file(made(), tmp_path / "r18.pth", whole=True)


@pytest.mark.parametrize("form", ["saved", "checkpoint", "plain", "safetensors"])
def test_files_of_the_whole_detector(tmp_path: Path, form: str) -> None:
    first, second = made(), made()
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.pt")
    if form == "saved":
        weights.save(path, first)
    elif form == "checkpoint":
        save_checkpoint(path, {"detector": first.state_dict(), "iteration": 3})
    elif form == "plain":
        torch.save(first.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(first.state_dict(), path)
    weights.load_file(second, path)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_file_for_another_detector(tmp_path: Path) -> None:
    torch.save({"detector": {"other.weight": torch.zeros(2)}, **OURS}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"made for another detector.*nothing fits") as caught:
        weights.load_file(made(), tmp_path / "a.pt", allow_partial=True)
    assert "\n" not in str(caught.value)


def test_files_without_weights(tmp_path: Path) -> None:
    for content in ({"epoch": 3}, [1, 2], {}):
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(WeightsError, match="holds no tensors by name"):
            weights.load_file(made(), tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="is no file here"):
        weights.initialise(made(), str(tmp_path / "none.pth"))


def test_mmdetection_goes_to_the_importer(tmp_path: Path) -> None:
    """A checkpoint of MMDetection with wrong keys is the importer's error, with the file's name."""
    from detbench.assembly import build_detector
    from detbench.recipe import resolve

    cell = resolve.cell("retinanet-r50", "smoke").cell
    assert cell is not None
    state = {"state_dict": {"bbox_head.retina_cls.weight": torch.zeros(1)}, "meta": {"epoch": 1}}
    torch.save(state, tmp_path / "mmdet.pth")
    with pytest.raises(WeightsError, match=r"mmdet\.pth") as caught:
        weights.load_file(build_detector(cell.detector, 3), tmp_path / "mmdet.pth")
    assert "\n" not in str(caught.value)


def test_what_another_training_counted_is_not_taken_over(tmp_path: Path) -> None:
    """Running totals of levels begin anew with initial weights; a resumed run has its own."""
    spec = load.detector("ddod-r50").detector
    light = load.profile("smoke").light
    assert light is not None
    trained, fresh = (build_detector(lighten(spec, light), 3) for _ in range(2))
    for name, buffer in trained.named_buffers():
        if name.endswith("positives_seen"):
            buffer += 7
    path = tmp_path / "trained.pt"
    torch.save(trained.state_dict(), path)
    assert weights.load_file(fresh, path).whole
    state = fresh.state_dict()
    seen = [tensor for name, tensor in state.items() if name.endswith("positives_seen")]
    assert [tensor.tolist() for tensor in seen] == [[0] * 5] * 2
    assert torch.equal(state["predictor.cls.weight"], trained.state_dict()["predictor.cls.weight"])
