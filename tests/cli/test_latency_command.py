"""``detbench latency``."""

import json
from functools import partial

import pytest
import torch
from commands import Call

from detbench.recipe import resolve

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
    assert "CPU threads" in out
    assert "0 passes to warm up, 2 to measure, on cpu" in err


def test_json_keeps_every_sample(run, table):
    code, out, _ = run(table, *QUICK, "--no-nms", "--format", "json", "--device", "cpu")
    assert code == 0
    [found] = json.loads(out)
    assert (found["table"], found["row"], found["detector"]) == ("light", "light", "fcos-r50")
    assert found["settings"]["input"] == "65x33"
    assert set(found["steps"]) == {"preprocess", "model", "postprocess_no_nms", "total_no_nms"}
    assert all(len(step["samples_ms"]) == step["n"] == 2 for step in found["steps"].values())
    assert found["machine"]["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fcos-r50", "--input", "1280"), "--input '1280': give WIDTHxHEIGHT"),
        (("fcos-r5",), "did you mean 'fcos-r50'?"),
        (("fcos-r50", "--iterations", "0"), "--iterations"),
        (("fcos-r50", "--device", "tpu"), "device 'tpu' is unknown"),
        (("fcos-r50", "--weights", "no.pt", *QUICK), "no.pt"),
        (("fcos-r50", "gfl-r50", "--weights", "no.pt"), "of one detector, not of 2"),
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
