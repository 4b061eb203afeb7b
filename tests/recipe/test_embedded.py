"""Embedded weights as recipes see them: which file a cell starts from, and what says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detbench.errors import RecipeError, WeightsError
from detbench.recipe import catalogue, embedded, load, pretraining, resolve
from detbench.recipe.digest import digest
from detbench.recipe.embedded import identity
from detbench.recipe.experiment import Cell
from detbench.recipe.model import Pixels, ResNet, Timm
from detbench.recipe.table import Profile

ASKED = ["training.weights=embedded"]
PIXELS = Pixels()
NOT_MADE = {
    "resnet32-w0.25-5045f6e5",  # ResNet-152 of TSD's Table 5
}
"""Backbones of rows that start from scratch: their weights are not made yet."""
SCRATCH = "training starts from scratch, as "


def resnet(**settings: Any) -> ResNet:
    given = {"kind": "resnet", "depth": 50, "blocks": (1, 1, 1, 1), "width": 0.25}
    return ResNet.model_validate(given | settings)


def put(folder: Path, own: str, content: str = "content", **told: Any) -> Path:
    """A file of the right form, with a header alone."""
    header = json.dumps({"__metadata__": {embedded.KEY: json.dumps({"said": content, **told})}})
    path = folder / f"{own}{embedded.SUFFIX}"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    return path


def fcos(*overrides: str, profile: str = "smoke", seed: int = 0) -> tuple[Cell, tuple[str, ...]]:
    row = resolve.cell("fcos-r50", profile, seed, [*ASKED, *overrides])
    assert row.cell is not None
    return row.cell, row.warnings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(embedded, "folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def own(folder: Path) -> str:
    """The backbone of ``fcos``, which has a file."""
    cell, _ = fcos()
    assert isinstance(cell.detector.backbone, ResNet)
    found = identity(cell.detector.backbone, cell.detector.pixels)
    put(folder, found)
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": (1, 1, 4, 1)},
        {"width": 0.5},
        {"groups": 32},
        {"base_width": 32},
        {"style": "caffe"},
        {"depth": 18},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_weights_mean_something_for_tells_backbones_apart(change: dict[str, Any]) -> None:
    assert identity(resnet(**change), PIXELS) != identity(resnet(), PIXELS)


def test_pixels_tell_backbones_apart() -> None:
    assert identity(resnet(), Pixels(order="bgr")) != identity(resnet(), PIXELS)


def test_what_needs_no_file_does_not_tell_backbones_apart() -> None:
    other = resnet(deformable="v2", norm="batch", frozen_stages=-1, weights="resnet50", depth=101)
    assert identity(other, PIXELS) == identity(resnet(), PIXELS)
    whole, spelt = resnet(blocks=None, width=1.0), resnet(blocks=(3, 4, 6, 3), width=1.0)
    assert identity(whole, PIXELS) == identity(spelt, PIXELS)


def test_a_backbones_name_is_readable() -> None:
    assert identity(resnet(), PIXELS).startswith("resnet14-w0.25-")
    assert identity(resnet(style="caffe"), PIXELS).startswith("resnet14-caffe-w0.25-")
    assert identity(resnet(blocks=None, width=1.0), PIXELS).startswith("resnet50-")
    assert identity(resnet(depth=18, blocks=None), PIXELS).startswith("resnet18-w0.25-")
    cardinal = resnet(groups=32, base_width=4, blocks=(1, 1, 4, 1))
    assert identity(cardinal, PIXELS).startswith("resnext23-32x4d-w0.25-")


def test_a_cell_names_the_content_it_starts_from(folder: Path, own: str) -> None:
    first, said = fcos()
    assert first.training.weights == embedded.name(folder / f"{own}{embedded.SUFFIX}")
    assert first.training.weights.startswith(f"embedded:{own}-")
    assert not said
    assert digest(fcos()[0]) == digest(first)
    put(folder, own, "another content")
    second, _ = fcos()
    assert second.training.weights != first.training.weights
    assert digest(second) != digest(first)


def test_without_a_file_a_cell_starts_from_scratch_and_says_so(folder: Path, own: str) -> None:
    cell, said = fcos("backbone.width=0.5")
    assert cell.training.weights == "none"
    assert len(said) == 1
    assert said[0].startswith(f"{SCRATCH}there are no embedded weights of")
    backbone = cell.detector.backbone
    assert isinstance(backbone, ResNet)
    assert (backbone.norm, backbone.frozen_stages) == ("batch", -1)
    assert "resnet14-caffe-w0.5-" in said[0]
    assert said[0].endswith("detbench weights pretrain --profile smoke makes them")
    _, said = fcos(profile="small")
    assert said[0].endswith("profile small does not say how to make them (its table 'pretraining')")


def test_a_damaged_file_is_said_before_anything_runs(folder: Path, own: str) -> None:
    path = folder / f"{own}{embedded.SUFFIX}"
    tensor = {"conv1.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps({"__metadata__": {embedded.KEY: "{}"}, **tensor}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(8)
    for content, said in ((whole, False), (whole[:-1], True), (whole[:30], True), (b"", True)):
        path.write_bytes(content)
        assert ("damaged" in embedded.problem(embedded.name(path))) == said


def test_weights_without_a_name_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"training.weights"):
        resolve.cell("fcos-r50", "smoke", 0, ["training.weights="])


def test_from_scratch_a_backbone_trains_whole_unless_it_is_told_not_to(own: str) -> None:
    def settings(*overrides: str) -> tuple[str, int]:
        row = resolve.cell("fcos-r50", "smoke", 0, overrides)
        assert row.cell is not None
        backbone = row.cell.detector.backbone
        assert isinstance(backbone, ResNet)
        return backbone.norm, backbone.frozen_stages

    assert settings() == ("eval", 1)
    assert settings("training.weights=none") == ("batch", -1)
    assert settings("training.weights=none", "backbone.frozen_stages=2") == ("batch", 2)


def test_a_backbone_of_ones_own_starts_from_scratch(folder: Path, own: str) -> None:
    cell, said = fcos("backbone.kind=custom", "backbone.target=own.module:Backbone")
    assert cell.training.weights == "none"
    assert said == (f"{SCRATCH}a backbone of one's own has no embedded weights",)


def test_a_change_of_the_backbone_that_needs_no_file_keeps_it(folder: Path, own: str) -> None:
    cell, said = fcos("backbone.deformable=v2", "backbone.frozen_stages=1")
    assert cell.training.weights.startswith(f"embedded:{own}-")
    assert not said


def test_the_seed_of_the_weights_scenes_is_not_a_cells(folder: Path, own: str) -> None:
    for scenes, warned in (("by-seed", True), ("none", False)):
        cell, said = fcos(f"data.scenes={scenes}", seed=1000)
        assert cell.training.weights.startswith("embedded:")
        assert bool(said) == warned
    assert not fcos("data.scenes=by-seed", seed=1)[1]


def test_weights_by_their_whole_name(folder: Path, own: str) -> None:
    name = fcos()[0].training.weights
    cell = resolve.cell("fcos-r50", "smoke", 0, [f"training.weights={name}"]).cell
    assert cell is not None
    assert cell.training.weights == name
    for wrong, said in (
        (f"embedded:{own}-00000000", f"the file of {own} has another content, {name}: --set"),
        (name.replace("resnet14", "resnet41"), f"no such file, did you mean '{name}'?: there are"),
        ("embedded:", "no such file"),
        ("embedded:../../x-00000000", "no such file"),
    ):
        with pytest.raises(RecipeError, match=r"^training.weights: weights 'embedded:") as raised:
            resolve.cell("fcos-r50", "smoke", 0, [f"training.weights={wrong}"])
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(RecipeError, match="of another backbone: this backbone is resnet14-w"):
        resolve.cell("atss-r50", "smoke", 0, [f"training.weights={name}", "backbone.style=pytorch"])


def test_where_there_are_none(folder: Path) -> None:
    assert "there are none, detbench weights pretrain makes them" in embedded.problem("embedded:x")
    with pytest.raises(WeightsError, match="which ones depends on a recipe"):
        embedded.path("embedded")


def test_a_file_says_how_it_was_made(folder: Path) -> None:
    path = put(folder, "own", ap=0.5)
    assert embedded.provenance(path) == {"said": "content", "ap": 0.5}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"\xff\xfe{}",
        (34).to_bytes(8, "little") + b'{"__metadata__": {"detbench": 1}}  ',
        (36).to_bytes(8, "little") + b'{"__metadata__": {"detbench": "[]"}} ',
    ],
)
def test_damaged_files(folder: Path, content: bytes) -> None:
    path = folder / "own.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"own\.safetensors: damaged, or not made by"):
        embedded.provenance(path)


def test_a_missing_file(folder: Path) -> None:
    for look in (embedded.provenance, embedded.name):
        with pytest.raises(WeightsError, match="cannot be read: No such file"):
            look(folder / "gone.safetensors")


def test_the_remembered_catalogue_knows_of_the_files(folder: Path) -> None:
    before = catalogue.key()
    put(folder, "own")
    assert catalogue.key() != before


TRAINING = 'iterations = 1, optimizer = { kind = "adamw", lr = 1.0 }'


def profile_text(**changes: str) -> str:
    parts = {
        "detector": '"fcos-r50"',
        "data": '{ kind = "shapes", scenes = "by-seed" }',
        "training": f'{{ weights = "none", {TRAINING} }}',
    } | changes
    lines = ['id = "own"', 'title = "Own"', "[pretraining]"]
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in parts.items())])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"detector": '"fcos-r5O"'}, "pretraining: unknown detector 'fcos-r5O', did you mean"),
        ({"data": '{ kind = "shapes" }'}, "pretraining: data.scenes must be 'by-seed'"),
        ({"seed": "-1"}, "pretraining.seed: "),
        ({"sede": "1"}, "pretraining.sede: unknown key 'sede', did you mean 'seed'?"),
        (
            {"training": f"{{ {TRAINING} }}"},
            "pretraining: training.weights must be 'none'",
        ),
    ],
)
def test_mistakes_in_a_profile(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(profile_text(**changes))
    with pytest.raises(RecipeError) as raised:
        load.profile(str(path))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_seed_is_1000_where_nobody_says(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(profile_text())
    made = load.profile(str(tmp_path / "own.toml")).pretraining
    assert made is not None
    assert made.seed == 1000


def test_a_detector_with_proposals_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(profile_text(detector='"faster-rcnn-r50"'))
    with pytest.raises(RecipeError, match="'faster-rcnn-r50' is not a dense detector"):
        pretraining.wanted(load.profile(str(path)), ["tscode-table1"])


def test_one_training_for_all_that_share_a_backbone() -> None:
    """Whichever row comes first."""
    smoke = load.profile("smoke")
    every = {one.id: one for one in pretraining.wanted(smoke)}
    assert len(every) == 10
    seen = 0
    for table in load.tables():
        for one in pretraining.wanted(smoke, [table]):
            assert one.digest == every[one.id].digest
            assert every[one.id].users[table] == one.users[table]
            seen += len(one.users[table])
    assert seen == sum(len(rows) for one in every.values() for rows in one.users.values())
    for own, one in every.items():
        backbone = one.cell.detector.backbone
        assert isinstance(backbone, ResNet)
        assert identity(backbone, one.cell.detector.pixels) == own
        assert (backbone.norm, backbone.frozen_stages, backbone.deformable) == ("batch", -1, "none")


def test_overrides_reach_the_backbones() -> None:
    smoke = load.profile("smoke")
    (one,) = pretraining.wanted(smoke, ["double-head-table1"], ["backbone.width=0.125"])
    assert one.id.startswith("resnet14-caffe-w0.125-")


def from_scratch(cell: Cell) -> bool:
    """Whether there are no weights of its backbone on purpose."""
    backbone = cell.detector.backbone
    if isinstance(backbone, Timm):
        return True
    assert isinstance(backbone, ResNet)
    return identity(backbone, cell.detector.pixels) in NOT_MADE


def test_what_is_from_scratch_has_no_file() -> None:
    assert not NOT_MADE & embedded.files().keys()
    cells = [row.cell for name in load.tables() for row in resolve.cells(name, "smoke")]
    backbones = [cell.detector.backbone for cell in cells if cell and from_scratch(cell)]
    assert {type(one) for one in backbones} == {ResNet, Timm}


def lacking(profile: Profile) -> list[str]:
    """What cells of a profile that asks for embedded weights have none, or others than it makes."""
    if profile.training is None or profile.training.weights != "embedded":
        return []
    found = [
        f"{table} {row.row.label}"
        for table in load.tables()
        for row in resolve.cells(table, profile)
        if row.cell is not None
        and not row.cell.training.weights.startswith("embedded:")
        and not from_scratch(row.cell)
    ]
    files = embedded.files()
    return found + [
        one.id
        for one in pretraining.wanted(profile)
        if one.id in files and embedded.provenance(files[one.id])["digest"] != one.digest
    ]


@pytest.mark.parametrize("name", load.profiles())
def test_every_cell_of_a_profile_that_asks_for_them_has_some(name: str) -> None:
    """And the files are those that the profile's own settings make."""
    assert not lacking(load.profile(name))


def test_that_would_be_noticed(folder: Path) -> None:
    smoke = load.profile("smoke")
    assert smoke.training is not None
    training = smoke.training.model_copy(update={"weights": "embedded"})
    asking = smoke.model_copy(update={"training": training})
    wanted = pretraining.wanted(asking)
    for one in wanted:
        put(folder, one.id, digest=one.digest)
    assert not lacking(asking)
    put(folder, wanted[0].id, digest="another")
    assert lacking(asking) == [wanted[0].id]
    (last,) = (one for one in wanted if one.id.startswith("resnext23-32x4d-"))
    (folder / f"{last.id}{embedded.SUFFIX}").unlink()
    assert len(lacking(asking)) == 1 + sum(map(len, last.users.values()))
