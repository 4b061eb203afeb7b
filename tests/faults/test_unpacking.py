"""Small files that unpack to more than the memory.

Seen: an annotation file of 8 MB (gzip), a cell's numbers of 1.6 MB (parquet), a checkpoint of 6 MB
(zip) and a list of 1 MB (MATLAB) filled the memory. Right: one line with the size and the bound.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from detbench import inputs
from detbench.data import coco_check, content, widerface_lists
from detbench.errors import DataError
from detbench.evaluation import results
from detbench.report import comparands
from detbench.results import detections, schema
from detbench.results.schema import Damaged
from detbench.training import checkpoint

ONCE = inputs.FREE + (24 << 20)
SAID = r"its 0\.\d MB unpack to more than [678]\d\.\d MB, the bound"


@pytest.fixture(scope="module")
def packed() -> bytes:
    return gzip.compress(b" " * ONCE, 1)


def test_what_is_read_as_annotations_or_results(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "some.json.gz"
    path.write_bytes(packed)
    for read in (coco_check.parsed, results.read):
        with pytest.raises(DataError, match=SAID):
            read(path)
    with pytest.raises(DataError, match=SAID):
        content.of_files([path])
    with pytest.raises(Damaged, match=SAID):
        detections.unpacked(packed)
    assert comparands._content(path)  # two files of seeds are told apart by their bytes


def test_many_members_count_together() -> None:
    many = gzip.compress(b" " * (ONCE // 4), 1) * 5
    with pytest.raises(inputs.TooLarge):
        inputs.unpacked(many)


def test_what_packs_well_is_read(tmp_path: Path) -> None:
    text = b"[" + b"0," * 4_000_000 + b"0]"
    path = tmp_path / "some.json.gz"
    path.write_bytes(gzip.compress(text))
    assert len(results.read(path)) == 4_000_001


def test_numbers_of_a_cell() -> None:
    sink = io.BytesIO()
    text = pa.DictionaryArray.from_arrays([0] * 1_000, ["x" * 600_000])
    pq.write_table(pa.table({"digest": text}), sink, compression="zstd")
    assert len(sink.getvalue()) < 2_000_000
    with pytest.raises(Damaged, match=r"its \d\.\d MB are up to .* MB in memory, and at most 268"):
        schema.from_bytes(sink.getvalue(), "")


def test_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(ONCE // 4)}, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "small.pt", "w", 8) as small:
        for one in whole.infolist():
            small.writestr(one.filename, whole.read(one.filename))
    with pytest.raises(checkpoint.Damaged, match=SAID):
        checkpoint.read(tmp_path / "small.pt")


def test_a_tensor_that_repeats_what_is_stored(tmp_path: Path) -> None:
    torch.save({"state_dict": [torch.zeros(1).expand(10**12)]}, tmp_path / "weights.pt")
    with pytest.raises(checkpoint.Damaged, match="larger than what the file holds"):
        checkpoint.read(tmp_path / "weights.pt")


def test_a_list_of_widerface(tmp_path: Path) -> None:
    part = zlib.compress(b"\0" * ONCE, 1)
    head = b"MATLAB 5.0".ljust(124) + struct.pack("<H2s", 0x100, b"IM")
    path = tmp_path / "wider_face_val.mat"
    path.write_bytes(head + struct.pack("<II", 15, len(part)) + part)
    with pytest.raises(DataError, match=SAID):
        widerface_lists.mat(path, ["event_list"])
