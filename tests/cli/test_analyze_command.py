"""``detbench analyze`` as the user calls it, on a network that has not learnt anything."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import made_latency
import pytest
import torch
from commands import Call, exit_code
from made_browser import needs_browser, tried
from no_torch import NoTorch

from detbench.assembly import build_detector
from detbench.data.shapes_variants import CATEGORIES
from detbench.recipe import resolve
from detbench.recipe.experiment import Cell
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner.plan import Request, choose
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
    assert found["numbers"][0]["n"] > 0
    assert [path.suffix for path in (tmp_path / "plots").iterdir()] == [".pdf"]
    assert "alignment: images 12/12" in err
    again = no_torch.detbench("analyze", *words, folder=tmp_path)
    assert json.loads(again.stdout)["numbers"] == found["numbers"]
    assert not again.slow & {"torch", "torchvision"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alignment", "tscode-table1:FCOS"), "has no checkpoint in"),
        (("alignment", "tscode-table1:FCOS"), "detbench run tscode-table1 --rows FCOS --profile"),
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


def trained(store: Store, row: str) -> None:
    """A row of TSCODE's Table 1 that was trained: its cell, and a curve of losses."""
    request = Request("tscode-table1", "smoke", rows=row, overrides=("data.val=4",))
    [planned] = [one for one in choose(request).rows if one.row.label == row]
    [task] = planned.train
    store.add([Measurement(task.digest, "train-eval", "AP", 0.3, "fraction", seed=0)], [])
    work = store.work(task.work)
    work.mkdir(parents=True)
    lines = [{"iteration": n, "lr": 0.1, "total": 2.0 / n, "cls": 1.0 / n} for n in range(1, 41)]
    (work / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


PAGE = """(out) => {
  out.tools = [...document.querySelectorAll(".tools")].map((one) => !one.hidden);
  out.sections = [...document.querySelectorAll("section")].map((one) => one.id);
  out.claims = document.querySelectorAll("#page_claims tbody tr").length;
  out.analyses = document.querySelectorAll("figure + details table").length;
  const wide = [...document.querySelectorAll("#page_claims .scroll")];
  out.cut = wide.map((one) => one.scrollWidth > one.clientWidth);
  out.names = [...document.querySelectorAll("section:first-of-type tbody th")].slice(0, 4)
    .map((one) => one.getClientRects().length === 1 && one.offsetHeight < 40);
  const table = document.querySelector("section table");
  const first = () => table.tBodies[0].rows[0].cells[0].textContent;
  out.first = first();
  const sorter = table.querySelector("button.sort");
  sorter.click();
  sorter.click();
  out.sorted = first();
  const filter = document.querySelector("input.filter");
  filter.value = "DPE";
  filter.dispatchEvent(new Event("input"));
  out.count = document.querySelector(".count").textContent;
  document.querySelector("tr:not([hidden]) button.number").click();
  out.open = document.querySelector("dialog").open;
}"""


@needs_browser
def test_the_script_of_a_page_with_claims_and_analyses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page, _ = figure_page(capsys, tmp_path)
    out = tried(page, PAGE, tmp_path)
    assert out["failed"] == []
    assert out["sections"] == ["tscode-table1", "page_claims"]
    assert out["tools"] == [True]
    assert out["claims"] > 18
    assert out["analyses"] == 1
    assert out["cut"] == [False, False, False]
    assert out["names"] == [True] * 4
    assert (out["first"], out["sorted"]) == ("FCOS", "FCOS + SCE + DPE")
    assert out["count"] == "2 of 4 rows"
    assert out["open"]


def figure_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A report as a page, with claims and an analysis, and what ``run`` said of the latter."""
    store = Store(tmp_path / "results")
    trained(store, "FCOS")
    trained(store, "FCOS + SCE + DPE")
    small = ("--profile", "smoke", "--set", "data.val=4")
    assert exit_code("run", "tscode-figure5", *small, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    page = tmp_path / "page.html"
    words = ("--rows", "FCOS*", "--columns", "gflops", "--format", "html", "--output", str(page))
    assert exit_code("report", "tscode-table1", *small, *words) == 0
    return page.read_text(), found


def test_a_figure_runs_its_analyses_and_report_shows_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text, found = figure_page(capsys, tmp_path)
    assert found["statement"].startswith("TSCODE accelerates training")
    [made] = found["analyses"]
    assert [row["label"] for row in made["rows"]] == ["FCOS", "FCOS + SCE + DPE"]
    assert {one["value"] for one in made["numbers"] if one["baseline"]} == {0.0}
    assert "Analysis: tscode-table1: Training losses" in text
    assert text.count('<td class="words">first quarter</td>') == 6


def test_what_is_stored_is_printed_when_it_could_not_be_measured_again(
    call: Call, tmp_path: Path
) -> None:
    store = Store(tmp_path / "results")
    trained(store, "FCOS")
    words = ("tscode-table1:FCOS", "--profile", "smoke", "--set", "data.val=4")
    code, first, err = call("curves", *words, "--format", "csv")
    assert code == 0, err
    [curve] = store.root.glob("work/*/curve.jsonl")
    curve.unlink()
    code, again, err = call("curves", *words, "--format", "csv")
    assert (code, again) == (0, first), err
    [table] = (store.root / "analyses").glob("*.parquet")
    table.write_bytes(table.read_bytes()[:100])
    code, out, err = call("curves", *words)
    assert (code, out) == (2, "")
    assert "has no curve of losses in" in err.splitlines()[-1]
    code, out, err = call("curves", *words, "--images", "5")
    assert (code, out) == (2, "")
    assert err == "detbench: --images: curves looks at no images: leave it out\n"


def test_a_rows_own_name_may_have_an_at_in_it(call: Call, tmp_path: Path) -> None:
    table = tmp_path / "my@table.toml"
    table.write_text(
        'id = "mine"\ntitle = "Mine"\npaper = "own"\ncolumns = ["AP"]\n'
        'schedule = "coco-1x-fcos"\n[[rows]]\nlabel = "x@y"\ndetector = "fcos-r50"\n'
    )
    code, _, err = call("curves", f"{table}:x@y", "--profile", "smoke")
    assert code == 2
    assert ":x@y has no curve of losses in" in err
    code, _, err = call("curves", f"{table}:x@z", "--profile", "smoke")
    assert code == 2
    assert "z: no such file of weights" in err


def test_speed_is_read_from_the_store_and_names_what_it_lacks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = Store(tmp_path / "results")
    rows = ("FCOS", "FCOS + SCE + DPE")
    for row, ms in zip(rows, (20.0, 23.0), strict=True):
        trained(store, row)
        request = Request("tscode-table1", "smoke", rows=row, overrides=("data.val=4",))
        [planned] = [one for one in choose(request).rows if one.row.label == row]
        cell = planned.train[0].cell
        assert isinstance(cell, Cell)
        made_latency.store(store, made_latency.cell(cell.detector), ms, ("tscode-table1", row))
    small = ("--profile", "smoke", "--set", "data.val=4")
    words = ("analyze", "speed", *(f"tscode-table1:{row}" for row in rows), *small)
    assert exit_code(*words, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["numbers"]
    [less] = [one for one in found if one["baseline"] and one["name"] == "total, median ms"]
    assert (less["row"], less["value"]) == (rows[1], 3.0)
    trained(store, "FCOS + SCE")
    assert exit_code("analyze", "speed", "tscode-table1:FCOS + SCE", *small) == 2
    [line] = [one for one in capsys.readouterr().err.splitlines() if one.startswith("detbench: ")]
    command = (
        "detbench latency 'tscode-table1:FCOS + SCE' --profile smoke --set data.val=4 measures it"
    )
    assert line.endswith(f"has no stored latency in results: {command}")


def test_cases_are_of_stored_detections_or_of_a_checkpoint(call: Call, tmp_path: Path) -> None:
    """The same weights twice: whatever one finds both find."""
    rows = [checkpoint(tmp_path / name) for name in ("w.pt", "v.pt")]
    how = ("--option", "iou=0.1", "--option", "score=0.01", "--format", "json", "--plots", "plots")
    code, out, err = call("cases", *rows, *SMALL, *how)
    assert code == 0, err
    found = {
        (one["row"], one["baseline"], one["name"]): one["value"]
        for one in json.loads(out)["numbers"]
        if one["group"] == "all"
    }
    first, second = rows
    assert found[first, "", "objects found"] > 0
    assert found[second, "", "found by both"] == found[first, "", "objects found"]
    assert found[second, first, "objects found"] == 0
    assert found[second, "", f"found by {first} alone"] == 0
    assert [path.suffix for path in (tmp_path / "plots").iterdir()] == [".png"]
    code, _, err = call("cases", "tscode-table1:FCOS", *SMALL)
    assert code == 2
    assert "has no detections in results, nor weights: " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "double-head-figure1"), "is a drawing, with no data behind it"),
        (("run", "tscode-figure5", "--rows", "FCOS"), "--rows and --columns are of tables"),
    ],
)
def test_what_no_figure_has_is_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert exit_code(*words, "--profile", "smoke") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_figures_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("list", "figures", "--format", "json") == 0
    listed = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["tscode-figure2"]["runs"] is False
    assert exit_code("show", "double-head-figure3", "--format", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in shown["analyses"]] == ["sliding-window", "alignment"]
    assert exit_code("list", "analyses", "--format", "json") == 0
    kinds = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert kinds["alignment"]["settings"][0]["name"] == "margin"


@pytest.mark.parametrize(
    ("kind", "recipe"),
    [("sensitivity", "fcos-r50"), ("gradients", "faster-rcnn-r50"), ("shifts", "ddod-r50")],
)
def test_maps_are_stored_with_what_their_pictures_need(
    call: Call, tmp_path: Path, no_torch: NoTorch, kind: str, recipe: str
) -> None:
    """Numbers in every format, and the picture drawn again without torch."""
    row = checkpoint(tmp_path / "w.pt", recipe)
    words = (kind, row, *SMALL, "--images", "2", "--plots", "plots")
    code, out, err = call(*words, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert found["kind"] == kind
    assert len(found["images"]) == 2
    assert {one["group"] for one in found["numbers"]} >= {"all", "small objects"}
    [picture] = (tmp_path / "plots").iterdir()
    first = picture.read_bytes()
    [stored] = (tmp_path / "results" / "analyses").glob(f"{kind}-*.parquet")
    for format in ("terminal", "markdown", "csv", "latex"):
        assert call(*words, "--format", format)[0] == 0
    again = no_torch.detbench("analyze", *words, "--format", "json", folder=tmp_path)
    assert json.loads(again.stdout)["numbers"] == found["numbers"]
    assert not again.slow & {"torch", "torchvision"}
    assert picture.read_bytes() == first
    assert stored.is_file()


def test_shifts_of_a_detector_without_any_are_one_line(call: Call, tmp_path: Path) -> None:
    code, out, err = call("shifts", checkpoint(tmp_path / "w.pt"), *SMALL)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert "shifts does not fit this detector: its convolutions are regular" in line
