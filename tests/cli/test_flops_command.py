"""``detbench flops``."""

import csv
import io
import json
from functools import partial

import pytest
from commands import Call

KEYS = {
    "table",
    "row",
    "detector",
    "input",
    "protocol",
    "gflops",
    "params_m",
    "published_gflops",
    "published_params_m",
    "uncounted",
}


@pytest.fixture
def run(call: Call) -> Call:
    return partial(call, "flops")


def test_json(run):
    code, out, _ = run("fcos-r50", "tscode-table3", "--format", "json")
    assert code == 0
    items = json.loads(out)
    assert all(set(item) >= KEYS for item in items)
    first = items[0]
    assert (first["table"], first["row"], first["detector"]) == (None, "fcos-r50", "fcos-r50")
    assert (first["input"], first["protocol"]) == ("1280x800", "mmdet")
    assert round(first["gflops"], 2) == first["published_gflops"] == 200.59
    assert round(first["params_m"], 2) == first["published_params_m"] == 32.02
    assert first["uncounted"] == {"add": 18, "mul": 5, "relu": 1, "upsample_nearest2d": 2}
    assert {item["table"] for item in items[1:]} == {"tscode-table3"}


def test_terminal_by_part(run):
    code, out, _ = run("gfl-r50", "--by-part")
    assert code == 0
    line = next(line for line in out.splitlines() if "gfl-r50" in line)
    words = ["gfl-r50", "gfl-r50", "208.39", "32.22", "208.39", "32.22"]
    assert line.split() == [*words, "84.08", "16.26", "54.32", "53.73"]
    assert "Not counted by mmdet: add, mul, upsample_nearest2d" in out


def test_csv_of_another_input_has_no_published_gflops(run):
    code, out, _ = run("retinanet-r50", "--input", "1333x800", "--format", "csv", "--by-part")
    assert code == 0
    [row] = csv.DictReader(io.StringIO(out))
    assert f"{float(row['gflops']):.2f}" == "250.34"
    assert row["published_gflops"] == ""
    assert row["published_params_m"] == "37.74"
    parts = sum(float(row[f"gflops_{part}"]) for part in ("backbone", "neck", "cls", "loc"))
    assert parts == pytest.approx(float(row["gflops"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "1280"), "--input '1280': give WIDTHxHEIGHT"),
        (("--input", "0x5"), "--input '0x5': give WIDTHxHEIGHT"),
        (("fcos-r5",), "unknown table or detector 'fcos-r5', did you mean 'fcos-r50'?"),
        (("fcos-r50", "--input", "99999x99999"), "is too large"),
        (("nowhere.toml",), "nowhere.toml: no such file"),
        (("--protocol", "thop"), "thop"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
