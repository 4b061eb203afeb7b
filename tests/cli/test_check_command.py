"""``check`` builds detectors with the user's own parts: what cannot run is refused there."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Call

HEADS = """
from torch import nn
class Fits(nn.Module):
    def __init__(self, inputs, width=32):
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, 3, padding=1)
        self.channels = width
    def forward(self, features):
        return self.conv(features)
class Narrow(Fits):
    def __init__(self, inputs):
        super().__init__(inputs - 1)
class Lies(Fits):
    def __init__(self, inputs):
        super().__init__(inputs)
        self.channels = 48
class Raises(Fits):
    def __init__(self, inputs):
        raise ValueError("no head\\ntoday")
class Asks(Fits):
    def __init__(self, inputs, depth):
        super().__init__(inputs)
"""
TABLE = """
id = "mine"
title = "Mine"
paper = "own"
columns = ["AP"]
schedule = "coco-1x-fcos"
[[rows]]
label = "FCOS"
detector = "fcos-r50"
[[rows]]
label = "mine"
detector = "fcos-r50"
heads = {{ cls = {{ kind = "custom", target = "{module}:{name}" }}, loc = {{ kind = "tower" }} }}
"""


@pytest.mark.usefixtures("modules_forked")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Narrow", "given a map of 64 x 4 x 4: {file}:9: Given groups=1, weight of size [32, 63"),
        ("Lies", "gives (1, 32, 4, 4) for a map of 64 x 4 x 4, where (1, 48, 4, 4) is wanted"),
        ("Raises", "{file}:19: ValueError: no head\\ntoday"),
        ("Asks", "missing a required argument: 'depth'; it is called with inputs"),
        ("Fits", ""),
    ],
)
def test_own_parts_are_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    module = f"checked_{name.lower()}"  # another for each case: what is imported stays
    file = tmp_path / f"{module}.py"
    file.write_text(HEADS)
    table = tmp_path / "mine.toml"
    table.write_text(TABLE.format(module=module, name=name))
    code, out, _ = call("check", str(table), "--profile", "smoke", "--format", "markdown")
    lines = [line for line in out.splitlines() if ": module: " in line]
    assert len(lines) == 1
    if said:
        assert (code, lines[0].split(": module: ")[0]) == (2, "TO MEND")
        assert said.format(file=file).replace("\\n", "\\n") in lines[0].replace("\\\\", "\\")
    else:
        assert code == 0
        assert lines == [f"ok: module: {module}:Fits is there, and is built"]
