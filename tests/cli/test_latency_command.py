"""``detbench latency``."""

import json
from functools import partial

import pytest
import torch
from commands import Call

from detbench.cli import timeable
from detbench.recipe import resolve
from detbench.recipe.experiment import Input
from detbench.results.store import Store
from detbench.runner import latency

QUICK = ("--input", "65x33", "--iterations", "2", "--warmup", "0", "--classes", "3")


@pytest.fixture
def table(tmp_path):
    """A table of one light detector."""
    backbone = resolve.cell("fcos-r50", "smoke").cell.detector.backbone.model_dump(mode="json")
    fields = ", ".join(f"{key} = {json.dumps(value)}" for key, value in backbone.items() if value)
    path = tmp_path / "light.toml"
    path.write_text(
        'id = "light"\ntitle = "Light"\npaper = "own"\ncolumns = ["AP"]\n[[rows]]\n'
        f'label = "light"\ndetector = "fcos-r50"\nbackbone = {{ {fields} }}\n'
    )
    return str(path)


@pytest.fixture
def run(call: Call) -> Call:
    return partial(call, "latency")


def test_terminal(run, table):
    code, out, err = run(table, *QUICK)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    steps = [" ".join(line[2:-3]) for line in lines if line[:2] == ["light", "light"]]
    assert steps == [
        "pre-processing",
        "model",
        "post-processing",
        "total",
        "post-processing without NMS",
        "total without NMS",
    ]
    assert "Latency at 65x33, batch 1" in out
    assert "CPU thread" in out
    assert "passes to warm up 0, to measure 2, on cpu" in err


def test_json_keeps_every_sample(run, table):
    code, out, _ = run(table, *QUICK, "--no-nms", "--format", "json", "--device", "cpu")
    assert code == 0
    [found] = json.loads(out)
    assert (found["table"], found["row"], found["detector"]) == ("light", "light", "fcos-r50")
    assert found["settings"]["input"] == "65x33"
    assert set(found["steps"]) == {"preprocess", "model", "postprocess_no_nms", "total_no_nms"}
    assert all(len(step["samples_ms"]) == step["n"] == 2 for step in found["steps"].values())
    assert found["machine"]["threads"] == torch.get_num_threads()


def test_what_is_measured_is_stored(run, table, tmp_path):
    words = (table, *QUICK, "--device", "cpu", "--results", str(tmp_path / "kept"))
    code, out, _ = run(*words, "--format", "json")
    assert code == 0
    [found] = json.loads(out)
    [stored] = latency.stored(Store(tmp_path / "kept"))
    assert stored.median() == found["steps"]["total"]["median_ms"]
    assert list(stored.samples["model"]) == found["steps"]["model"]["samples_ms"]
    assert (stored.n, stored.cell.input, stored.cell.pairs) == (2, (65, 33), 1000)
    assert stored.cell.machine.threads == torch.get_num_threads()
    assert stored.words == found["condition"]
    assert {"load"} <= set(stored.provenance["before"]) == set(stored.provenance["after"])
    assert run(*words)[0] == 0
    assert len(latency.stored(Store(tmp_path / "kept"))) == 1


def test_the_network_that_a_profile_trains(run, table, tmp_path):
    words = ("--profile", "smoke", "--iterations", "1", "--warmup", "0", "--device", "cpu")
    code, out, _ = run(f"{table}:light", *words, "--format", "json", "--results", str(tmp_path))
    assert code == 0
    [found] = json.loads(out)
    assert (found["row"], found["profile"], found["classes"]) == ("light", "smoke", 12)
    assert found["settings"]["input"] == "128x128"
    assert found["settings"]["pairs"] == 1000
    [stored] = latency.stored(Store(tmp_path))
    assert "12 classes, 1000 candidates per image" in stored.words


def test_a_photograph_of_the_papers_sides_is_1280x800():
    assert timeable.tested(Input()) == (1280, 800)
    assert timeable.tested(Input(short=(128,), long=128)) == (128, 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fcos-r50", "--input", "1280"), "--input '1280': give WIDTHxHEIGHT"),
        (("fcos-r5",), "did you mean 'fcos-r50'?"),
        (("fcos-r50", "--iterations", "0"), "--iterations"),
        (("fcos-r50", "--device", "tpu"), "device 'tpu' is unknown"),
        (("fcos-r50", "--weights", "no.pt", *QUICK), "no.pt"),
        (("fcos-r50", "gfl-r50", "--weights", "no.pt"), "of one detector, not of 2"),
        (("tscode-table1:FCSO",), "has no such row, did you mean 'FCOS'?"),
        (("tscode-table1:FCSO", "--profile", "smoke"), "has no such row, did you mean 'FCOS'?"),
        (("fcos-r50", "--set", "data.val=4"), "name it by --profile"),
        (("tscode-table1", "--profile", "smoke", "--classes", "3"), "not a profile's"),
        (("ddod-table8:FSAF R-101", "--profile", "smoke"), "nothing of it is run here"),
        ((), "Missing argument"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there(run):
    code, _, err = run("fcos-r50", "--device", "cuda")
    assert code == 2
    assert "no usable CUDA device" in err
