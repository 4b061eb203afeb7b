"""``detbench analyze`` as the user calls it, on a network that has not learnt anything."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Call
from no_torch import NoTorch

from detbench.assembly import build_detector
from detbench.data.shapes_variants import CATEGORIES
from detbench.recipe import resolve
from detbench.training import weights

SMALL = ("--profile", "smoke", "--set", "data.size=64", "--set", "data.val=12")


@pytest.fixture
def call(call: Call) -> Call:
    return partial(call, "analyze")


def checkpoint(path: Path, name: str = "fcos-r50") -> str:
    """``NAME@FILE`` of a network that sees something everywhere."""
    cell = resolve.cell(name, "smoke").cell
    assert cell is not None
    torch.manual_seed(0)
    network: Any = build_detector(cell.detector, len(CATEGORIES))
    with torch.no_grad():
        if name == "fcos-r50":
            network.predictor.cls.bias.zero_()
    weights.save(path, network)
    return f"{name}@{path}"


def test_a_checkpoint_is_analysed_once_and_rendered_without_torch(
    call: Call, tmp_path: Path, no_torch: NoTorch
) -> None:
    row = checkpoint(tmp_path / "w.pt")
    words = ("alignment", row, *SMALL, "--format", "json")
    code, out, err = call(*words, "--plots", "plots", "--plot-format", "pdf")
    assert code == 0, err
    found = json.loads(out)
    assert (found["kind"], len(found["images"])) == ("alignment", 12)
    assert found["numbers"][0]["n"] > 12
    assert [path.suffix for path in (tmp_path / "plots").iterdir()] == [".pdf"]
    assert "alignment: images 12/12" in err
    again = no_torch.detbench("analyze", *words, folder=tmp_path)
    assert json.loads(again.stdout)["numbers"] == found["numbers"]
    assert not again.slow & {"torch", "torchvision"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alignment", "tscode-table1:FCOS"), "has no checkpoint in"),
        (("alignment", "tscode-table1:FCOS"), "detbench run tscode-table1 --rows 'FCOS' --profile"),
        (("alignment", "tscode-table1"), "name a row, as in tscode-table1:FCOS"),
        (("alignment", "tscode-table1:FCSO"), "has no such row, did you mean 'FCOS'?"),
        (("alignment", "fcos-r50@none.pt"), "none.pt: no such file of weights"),
        (("alignment", "decoupled-rcnn-table9:OneNet"), "decoupled-rcnn-table9 has no such row"),
        (("alignment", "tscode-table1:FCOS", "--option", "margn=1"), "did you mean 'margin'?"),
        (("alignment", "tscode-table1:FCOS", "--option", "margin=2"), "from 0 to 1"),
        (("alignmnt", "tscode-table1:FCOS"), "alignmnt"),
    ],
)
def test_what_is_wrong_is_one_line(call: Call, words: tuple[str, ...], said: str) -> None:
    code, out, err = call(*words, "--profile", "smoke")
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_weights_of_another_detector_are_one_line(call: Call, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "w.pt").replace("fcos-r50@", "atss-r50@")
    code, _, err = call("alignment", other, *SMALL)
    assert code == 2
    assert f"detbench: {other}: " in err.splitlines()[-1]
