"""``detbench compare``: rows, cells and files; its sentence, its margin, its errors."""

from __future__ import annotations

import gzip
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Call, exit_code
from made_detectors import Made, detect, scenes
from no_torch import NoTorch

from detbench.evaluation import truth, voc
from detbench.evaluation.coco import evaluate
from detbench.recipe import load
from detbench.recipe.experiment import Cell, Evaluation
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans

SMALL = ("--profile", "smoke", "--set", "data.val=15", "--replicates", "200")
OTHER = ("--replicates", "200")


@pytest.fixture
def run(call: Call) -> Call:
    """Run ``detbench compare``."""
    return partial(call, "compare")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two detectors made elsewhere, b better placed, and two seeds more of each."""
    rng = np.random.default_rng(0)
    ground, hard = scenes(rng, 40)
    for image in ground["images"]:
        image |= {"width": 700, "height": 700, "file_name": f"{image['id']}.jpg"}
    (tmp_path / "val.json").write_text(json.dumps(ground))
    for name, made in (("a", Made(misplaces=0.15)), ("b", Made(misplaces=0.05))):
        for seed in range(3):
            found = detect(rng, ground, hard, made)
            (tmp_path / f"{name}{seed}.json").write_text(json.dumps(found))
    text = (tmp_path / "b0.json").read_bytes()
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(text))
    return tmp_path


def test_files_from_elsewhere_are_compared_and_the_answer_is_a_sentence(
    run: Call, files: Path
) -> None:
    code, out, err = run("a0.json", "b.json.gz", "--annotations", "val.json", *OTHER)
    assert (code, err) == (0, "")
    assert out.startswith("b.json.gz against a0.json\n")
    said = r"AP: these two trainings differ: b\.json\.gz is \d+\.\d\d points better than a0\.json "
    assert re.search(said + r"\(95 % inter", out)
    assert "more than the choice of images explains; whether the methods differ, one seed" in out
    assert "One seed each: the interval says how much the choice of val images matters" in out
    code, out, _ = run("a0.json", "a1.json", "--annotations", "val.json", *OTHER)
    assert re.search(r"AP: a1.json is .* than a0.json, which could be chance \(95 % int", out)


def test_the_numbers_are_pycocotools_and_json_has_them_all(run: Call, files: Path) -> None:
    words = ("--annotations", "val.json", "--metrics", "AP50,APs,AP[class 1]", "--format", "json")
    code, out, _ = run("a0.json", "b0.json", *words, *OTHER)
    assert code == 0
    found = json.loads(out)
    ground = truth.of_file(files / "val.json")
    for side, name in (("a", "a0.json"), ("b", "b0.json")):
        results = json.loads((files / name).read_text())
        expected = evaluate(ground, results, Evaluation(), "pycocotools")
        for metric in ("AP50", "APs"):
            assert found["metrics"][metric][side] == 100 * expected[metric]  # type: ignore[operator]
    for one in found["metrics"].values():
        assert one["value"] == pytest.approx(one["b"] - one["a"])
        assert one["low"] < one["value"] < one["high"]
        assert one["real"] == (one["low"] > 0 or one["high"] < 0)
    assert list(found["metrics"]) == ["AP50", "APs", "AP[class 1]"]
    assert (found["images"], found["margin"]) == (40, None)


def test_by_class_and_the_formats(run: Call, files: Path) -> None:
    words = ("a0.json", "b0.json", "--annotations", "val.json", "--metrics", "AP", *OTHER)
    _, out, err = run(*words, "--by-class", "--format", "csv")
    lines = out.splitlines()
    assert lines[0] == "metric,a,b,difference,low,high,p,q,images"
    assert [line.split(",")[0] for line in lines[1:]] == [
        *("AP", "AP[class 0]", "AP[class 1]", "AP[class 2]")
    ]
    assert "Of 3 classes about 0.1 would leave 0 out" in err
    for format, start in (("markdown", "**b0.json"), ("latex", "% needs"), ("terminal", "b0.json")):
        code, out, _ = run(*words, "--format", format)
        assert code == 0
        assert out.startswith(start)


def test_margin_passes_fails_and_is_undecided(run: Call, files: Path) -> None:
    common = ("--annotations", "val.json", "--metrics", "AP,AP75", *OTHER)
    code, out, err = run("a0.json", "b0.json", *common, "--margin", "0.5")
    assert code == 0
    assert "Margin 0.5: passed: at 95 % b0.json is no more than 0.5 points below a0.json" in out
    assert err == ""
    code, out, err = run("b0.json", "a0.json", *common, "--margin", "0.5", "--format", "json")
    assert code == 1
    margin = json.loads(out)["margin"]
    assert margin == {"points": 0.5, "passed": False, "breaches": ["AP", "AP75"]}
    assert err.startswith("detbench: Margin 0.5: failed: a0.json is not shown to be within 0.5")
    # Equally good, but so few images do not rule out a loss of half a point.
    assert run("a0.json", "a1.json", *common, "--margin", "0.5")[0] == 1
    assert run("a0.json", "a1.json", *common, "--margin", "30")[0] == 0
    assert run("a0.json", "a0.json", *common, "--margin", "0")[0] == 0


def test_several_seeds_by_commas(run: Call, files: Path) -> None:
    a, b = (",".join(f"{name}{seed}.json" for seed in range(3)) for name in "ab")
    code, out, _ = run(a, b, "--annotations", "val.json", "--metrics", "AP", *OTHER)
    assert code == 0
    assert " ± " in out
    assert "mean ± standard deviation over n = 3 and 3 seeds" in out
    assert "It covers the choice of val images and of seeds (n = 3)." in out
    # Of methods, with the test that was used.
    assert re.search(r"AP: b0.json, b1.json, b2.json is \d+\.\d\d points better than a0", out)
    assert "Student's t (Welch, Satterthwaite) over images and seeds" in out
    assert "these two trainings" not in out


def test_one_seed_against_three_borrows_the_spread_of_the_three(run: Call, files: Path) -> None:
    three, words = "b0.json,b1.json,b2.json", ("--annotations", "val.json", "--metrics", "AP")
    code, out, _ = run("a0.json", three, *words, *OTHER)
    assert code == 0
    assert "n = 1 and 3 seeds" in out
    assert "A's one seed is taken to spread as B's do" in out
    # A given spread takes its place, and makes a finding of one seed each.
    found = json.loads(run("a0.json", "b0.json", *words, *OTHER, "--format", "json")[1])
    assert (found["metrics"]["AP"]["about"], found["metrics"]["AP"]["p"]) == (
        *("these two trainings", None),
    )
    more = (*words, *OTHER, "--seed-sd", "10", "--format", "json")
    given = json.loads(run("a0.json", "b0.json", *more)[1])["metrics"]["AP"]
    assert (given["about"], given["covers"]) == ("methods", "images and a given spread")
    half = 1.959964 * (2 * 10**2) ** 0.5
    assert (given["high"] - given["low"]) / 2 > half
    assert given["p"] > found["metrics"]["AP"]["p_images"]


def test_the_same_file_is_no_second_seed(run: Call, files: Path) -> None:
    for other in ("b0.json", "b.json.gz"):
        words = (f"b0.json,{other}", "a0.json,a1.json", "--annotations", "val.json", *OTHER)
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert f"b0.json and {other} hold the same: a training that is given twice" in err
    # On either side of a comparison it may be.
    assert run("b0.json", "b0.json", "--annotations", "val.json", *OTHER)[0] == 0


def test_better_equivalent_and_undecided(run: Call, files: Path) -> None:
    words = ("--annotations", "val.json", "--metrics", "AP", *OTHER, "--format", "json")

    def verdict(a: str, b: str, margin: str) -> str:
        found = json.loads(run(a, b, *words, "--equivalent", margin)[1])
        assert found["equivalent"] == float(margin)
        return str(found["metrics"]["AP"]["verdict"])

    assert verdict("a0.json", "b0.json", "0.5") == "better"
    assert verdict("b0.json", "a0.json", "0.5") == "worse"
    assert verdict("a0.json", "a1.json", "0.5") == "undecided"
    assert verdict("a0.json", "a1.json", "30") == "equivalent"
    _, out, _ = run("a0.json", "a1.json", *words[:-1], "terminal", "--equivalent", "30")
    said = " ".join(out.split())
    assert "Equivalent: these two trainings differ by less than 30 points (90 % interval" in said


def test_a_second_p_and_clusters(run: Call, files: Path) -> None:
    words = ("a0.json", "b0.json", "--annotations", "val.json", "--metrics", "AP", *OTHER)
    one = json.loads(run(*words, "--swap", "--format", "json")[1])["metrics"]["AP"]
    assert one["p_swapped"] <= 0.05
    assert json.loads(run(*words, "--format", "json")[1])["metrics"]["AP"]["p_swapped"] is None
    assert (
        "--swap: detections are swapped between two trainings"
        in run("a0.json,a1.json", *words[1:], "--swap")[2]
    )
    ground = json.loads((files / "val.json").read_text())
    for image in ground["images"]:
        image["video"] = image["id"] // 2
    (files / "videos.json").write_text(json.dumps(ground))
    videos = (*words[:2], "--annotations", "videos.json", *words[4:], "--cluster-by", "video")
    drawn = json.loads(run(*videos, "--format", "json")[1])["metrics"]["AP"]
    # One image of the forty holds nothing.
    assert (drawn["images"], one["images"]) == (20, 39)
    assert drawn["value"] == one["value"]
    assert drawn["high"] - drawn["low"] > one["high"] - one["low"]
    code, _, err = run(*words, "--cluster-by", "video")
    assert code == 2
    assert "--cluster-by video: image 0 of val.json has no such field (fields: file_name)" in err


def test_vocs_own_metrics_have_intervals(run: Call, files: Path) -> None:
    words = ("--annotations", "val.json", "--metrics", "VOC07,VOC", *OTHER, "--format", "json")
    found = json.loads(run("a0.json", "b0.json", *words)[1])["metrics"]
    ground = json.loads((files / "val.json").read_text())
    for side, name in (("a", "a0.json"), ("b", "b0.json")):
        expected = voc.evaluate(ground, json.loads((files / name).read_text()))
        for metric in ("VOC07", "VOC"):
            assert found[metric][side] == pytest.approx(100 * (expected[metric] or 0))
            assert found[metric]["low"] < found[metric]["value"] < found[metric]["high"]


def test_a_setting_of_a_table_is_pooled(run: Call, tmp_path: Path) -> None:
    store_rows(tmp_path / "results", (0, 1))
    words = ("tscode-table1", "--factor", "SCE", *SMALL, "--seeds", "0,1", "--metrics", "AP")
    code, _, err = run(*words)
    assert code == 2
    assert "--factor SCE: FCOS + DPE, seed 0: not run" in err
    code, _, err = run(words[0], "--factor", "Method", *words[3:])
    assert code == 2
    assert "'Method' is no setting of two values among the rows (there are: SCE, DPE)" in err
    for more, said in (
        ((), "give A and B, or a table and --factor"),
        (("b", "--factor", "SCE"), "b"),
    ):
        code, _, err = run(words[0], *more, *words[3:])
        assert code == 2
        assert said in err


def store_rows(root: Path, seeds: tuple[int, ...] = (0,), *more: str) -> list[str]:
    """TSCODE's Table 1 with detections of two rows; their digests."""
    table, profile = load.table("tscode-table1"), load.profile("smoke")
    plan = plans.make(table, profile, seeds, "FCOS,FCOS + SCE", ("data.val=15", *more))
    digests = []
    for row, noise in zip(plan.rows, (0.1, 0.03), strict=True):
        for task in row.train:
            assert isinstance(task.cell, Cell)
            ground = task.cell.data.truth(root)
            rng = np.random.default_rng(task.cell.seed)
            found: list[dict[str, Any]] = [
                {
                    "image_id": item["image_id"],
                    "category_id": item["category_id"],
                    "bbox": [
                        max(0.1, side + float(rng.normal(0, noise)) * item["bbox"][2])
                        for side in item["bbox"]
                    ],
                    "score": float(rng.random()),
                }
                for item in ground["annotations"]
            ]
            origin = {"recipe": task.cell.model_dump(mode="json")}
            one = Measurement(
                *(task.digest, "train-eval", "AP", 0.5, "fraction", {}, task.cell.seed),
                provenance=origin,
            )
            Store(root).add([one], found)
            digests.append(task.digest)
    return digests


def test_rows_digests_and_their_files_are_the_same_comparison(run: Call, tmp_path: Path) -> None:
    a, b = store_rows(tmp_path / "results")
    rows = ("tscode-table1:FCOS", "tscode-table1:fcos + sce")
    numbers = []
    for first, second in (
        rows,
        (a[:8], b),
        tuple(f"results/cells/train-eval-{one}.detections.json.gz" for one in (a, b)),
        (rows[0], f"results/cells/train-eval-{b}.detections.json.gz"),
    ):
        code, out, err = run(first, second, *SMALL, "--format", "json")
        assert (code, err) == (0, "")
        numbers.append(json.loads(out)["metrics"])
    assert numbers[0]["AP"]["value"] > 0
    assert all(one == numbers[0] for one in numbers)
    _, out, _ = run(*rows, *SMALL)
    assert out.startswith("FCOS + SCE against FCOS\n")
    named = "On shapes covered 128 px, val 15, training scenes drawn by seed, 15 images"
    assert named in " ".join(out.split())


def test_what_reports_kept_is_compared_where_detections_are_gone(
    run: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a, b = store_rows(tmp_path / "results")
    small = ("--results", str(tmp_path / "results"), *SMALL[:4])
    words = ("--rows", "FCOS,FCOS + SCE", "--format", "json")
    assert exit_code("report", "tscode-table1", *small, *words) == 0
    capsys.readouterr()
    how = (*SMALL[:4], "--metrics", "AP", "--format", "json")
    rows = ("tscode-table1:FCOS", "tscode-table1:FCOS + SCE")
    _, before, _ = run(*rows, *how)
    for path in (tmp_path / "results" / "cells").glob("*.detections.json.gz"):
        path.unlink()
    for pair in (rows, (a[:8], b[:8])):
        code, out, err = run(*pair, *how)
        assert code == 0, err
        assert json.loads(out)["metrics"] == json.loads(before)["metrics"]
    for more in (("--metrics", "AP60"), ("--by-class",), ("--swap",)):
        code, out, err = run(*rows, *SMALL, *more)
        assert (code, out) == (2, "")
        assert "tscode-table1:FCOS has no detections in results" in err


def test_of_weights_chosen_on_val_it_is_said(run: Call, tmp_path: Path) -> None:
    a, _ = store_rows(tmp_path / "results")
    _, b = store_rows(tmp_path / "results", (0,), "training.validation={}")
    code, out, err = run(a, b, *SMALL)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert f"{b[:12]}: Weights were chosen during the training by their AP on the very" in said
    assert f"{a[:12]}: Weights" not in said
    assert len(json.loads(run(a, b, *SMALL, "--format", "json")[1])["caveats"]) == 1


@pytest.mark.parametrize("format", ["terminal", "markdown", "latex"])
def test_two_names_of_one_cell_are_a_line(run: Call, tmp_path: Path, format: str) -> None:
    a, b = store_rows(tmp_path / "results")
    file = f"results/cells/train-eval-{a}.detections.json.gz"
    for first, second in (
        ("tscode-table1:FCOS", "tscode-table1:fcos"),
        ("tscode-table1:FCOS", a[:9]),
        (file, "tscode-table1:FCOS"),
        (a, a),
    ):
        code, out, err = run(first, second, *SMALL, "--format", format, "--margin", "0")
        assert (code, err) == (0, "")
        assert re.fullmatch(rf".* and .* are the same cell \({a[:12]}\): .* compare\.\n", out)
    code, out, _ = run(a, b, *SMALL, "--format", format)
    assert "same cell" not in out


def test_scripts_read_that_two_names_are_one_cell(run: Call, tmp_path: Path) -> None:
    store_rows(tmp_path / "results", (0, 1))
    words = ("tscode-table1:FCOS", "tscode-table1:FCOS", *SMALL, "--seeds", "0,1", "--format")
    found = json.loads(run(*words, "json", "--margin", "1")[1])
    assert (found["same_cell"], found["metrics"]) == (True, {})
    assert found["margin"] == {"points": 1.0, "passed": True, "breaches": []}
    assert "are the same cells (" in found["notes"][0]
    code, out, err = run(*words, "csv")
    assert (code, out) == (0, "metric,a,b,difference,low,high,p\n")
    assert "are the same cells (" in err
    other = json.loads(run(words[0], "tscode-table1:FCOS + SCE", *words[2:], "json")[1])
    assert (other["same_cell"], list(other["metrics"])) == (False, ["AP", "AP50", "AP75"])


def test_rows_of_several_seeds_fail_closed(run: Call, tmp_path: Path) -> None:
    store_rows(tmp_path / "results", (0, 1))
    rows = ("tscode-table1:FCOS", "tscode-table1:FCOS + SCE", *SMALL)
    code, out, _ = run(*rows, "--seeds", "0,1")
    assert code == 0
    assert "n = 2 and 2 seeds" in out
    code, out, err = run(*rows, "--seeds", "0,1,2")
    assert (code, out) == (2, "")
    assert "tscode-table1:FCOS, seed 2 has no detections in results" in err


ANNOTATED = ("--annotations", "val.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a0.json", "b0.json"), "need their ground truth: --annotations FILE"),
        (("a0.json", "none.json", *ANNOTATED), "none.json: no such file"),
        (("a0.json", "a1.json,none.json", *ANNOTATED), "none.json: no such file"),
        (("a0.json", "nonsense", *ANNOTATED), "'nonsense' is no results file (.json, .json.gz)"),
        (("a0.json", "abcdef", *ANNOTATED), "digest 'abcdef': no cell with detections in results"),
        (("a0.json", "tscode-table1:FCSO", *SMALL), "no row 'FCSO', did you mean 'FCOS'?"),
        (("a0.json", "tscode-tabel1:FCOS", *SMALL), "did you mean 'tscode-table1'"),
        (("a0.json", "tscode-table1:FCOS", *SMALL), "has no detections in results: detbench run"),
        (("a0.json", "val.json", *ANNOTATED), "val.json: COCO results are a list of detections"),
        (("a0.json", "bad.json", *ANNOTATED), "bad.json: truncated or not JSON"),
        (("a0.json", "odd.json", *ANNOTATED), "odd.json: detection 0: lacks image_id"),
        (("a0.json", "b0.json", "--annotations", "b0.json"), "holds no JSON object"),
        (("a0.json", "b0.json", *ANNOTATED, "--metrics", "AP,mAP"), "no metric 'mAP'"),
        (("a0.json", "b0.json", *ANNOTATED, "--metrics", "AP[cat]"), "no class 'cat'"),
        (("a0.json", "b0.json", *ANNOTATED, "--metrics", " "), "no metric ''"),
        (("a0.json", "b0.json", *ANNOTATED, "--margin", "-1"), "--margin -1: give points"),
        (("a0.json", "b0.json", *ANNOTATED, "--margin", "nan"), "--margin nan: give points"),
        (("a0.json", "b0.json", *ANNOTATED, "--replicates", "5"), "--replicates 5: a 95 %"),
        (("a0.json", "b0.json", *ANNOTATED, "--seeds", "x"), "--seeds 'x'"),
        (("a0.json",), "give A and B, or a table and --factor"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    run: Call, files: Path, words: tuple[str, ...], said: str
) -> None:
    (files / "bad.json").write_text('[{"image_id": 1')
    (files / "odd.json").write_text('[{"bbox": [1, 2, 3, 4]}]')
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert said in line


def test_sides_that_do_not_go_together(run: Call, files: Path) -> None:
    digests = store_rows(files / "results")
    code, _, err = run(digests[0], "a0.json", *ANNOTATED, *SMALL)
    assert code == 2
    assert "--annotations goes with two results files" in err
    code, _, err = run(digests[0], "a0.json", *SMALL)  # other images
    assert code == 2
    assert "a0.json: detection" in err
    other = ("--profile", "smoke", "--set", "data.val=15", "--set", "evaluation.area_scale=1.0")
    code, _, err = run(digests[0], "tscode-table1:FCOS", *other)
    assert "has no detections" in err
    code, _, err = run(digests[0][:5], "a0.json")
    assert "'" + digests[0][:5] + "' is no results file" in err
    code, _, err = run("", "a0.json")
    assert code == 2


def test_it_needs_no_torch(files: Path, no_torch: NoTorch) -> None:
    words = ("compare", "a0.json", "b0.json", "--annotations", "val.json", *OTHER)
    done = no_torch.detbench(*words, folder=files)
    assert done.returncode == 0, done.stderr
    assert not done.modules & {"torch", "pandas", "torchvision"}
    assert "better than" in done.stdout
