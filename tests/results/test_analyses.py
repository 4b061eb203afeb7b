"""What ``detbench analyze`` leaves in a store is verified, merged and pruned with the rest.

Seen: ``results merge`` left analyses behind without a word, ``verify`` called a damaged one sound,
and ``prune`` kept what was measured of cells that are gone. Right: they are files of the store.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from no_torch import NoTorch

from detbench.results import analyses, prune, verify
from detbench.results.files import Lock, write_atomic
from detbench.results.merge import Merged, merge
from detbench.results.schema import Damaged, Measurement
from detbench.results.store import Store

A, B, C = "a" * 64, "b" * 64, "c" * 64
TABLE = {
    "image": np.array([1, 2], np.int64),
    "share": np.array([0.5, np.nan]),
    "head": np.array(["cls", "loc"], object),
}


def stored(root: Path, *digests: str, value: float = 0.25) -> None:
    for digest in digests:
        Store(root).add([Measurement(digest, "train-eval", "AP", value, "fraction")], [])


def analysis(root: Path, subject: str, **more: object) -> Path:
    facts = {"kind": "alignment", "revision": 1, "subject": subject, "settings": {"bins": 20}}
    facts |= {"images": 50, "image_seed": 0, **more}
    path = root / analyses.FOLDER / f"alignment-{analyses.key(facts)}.parquet"
    write_atomic(path, analyses.to_bytes(TABLE, facts | {"label": "FCOS"}))
    return path


def said(root: Path) -> dict[str, tuple[str, str]]:
    return {one.path.name: (one.status, one.message) for one in verify.verify(root)}


def test_what_is_written_is_read() -> None:
    table, facts = analyses.from_bytes(analyses.to_bytes(TABLE, {"kind": "x"}))
    assert facts == {"kind": "x"}
    assert list(table) == list(TABLE)
    for name, column in TABLE.items():
        np.testing.assert_array_equal(table[name], column)


def test_every_flipped_byte_is_noticed_or_harmless() -> None:
    content = analyses.to_bytes(TABLE, {"kind": "x"})
    noticed = 0
    for position in range(len(content)):
        garbled = bytearray(content)
        garbled[position] ^= 0xFF
        try:
            table, _ = analyses.from_bytes(bytes(garbled))
        except Damaged:
            noticed += 1
            continue
        for name, column in TABLE.items():
            np.testing.assert_array_equal(table[name], column)
    assert noticed > len(content) / 4


def test_verify_names_damage(tmp_path: Path) -> None:
    stored(tmp_path, A)
    sound, cut, other = (analysis(tmp_path, A, images=count) for count in (1, 2, 3))
    cut.write_bytes(cut.read_bytes()[:-20])
    other = other.rename(other.with_name(f"alignment-{'0' * 32}.parquet"))
    texts = analysis(tmp_path, A, images="all")
    (sound.parent / "notes.txt").write_text("x")
    part = sound.with_suffix(".parts") / "0000000-0000010.parquet"
    write_atomic(part, b"nothing")
    Lock(sound.with_suffix(".lock")).acquire()
    found = said(tmp_path)
    assert found[sound.name] == ("ok", "")
    assert found[cut.name][0] == "bad"
    assert found[other.name] == ("bad", "damaged: it is another analysis than its name says")
    assert found[texts.name][1].startswith("damaged: what it says of 'images' is")
    assert found["notes.txt"][0] == "warning"
    assert found[part.name][0] == "bad"
    assert len(found) == 8  # with the cell's two files; a lock says nothing


def test_a_file_of_before_checksums_is_sound(tmp_path: Path) -> None:
    stored(tmp_path, A)
    path = analysis(tmp_path, A)
    table = pq.ParquetFile(pa.BufferReader(path.read_bytes())).read()
    about = {analyses.METADATA: table.schema.metadata[analyses.METADATA]}
    with path.open("wb") as file:
        pq.write_table(table.replace_schema_metadata(about), file)
    assert said(tmp_path)[path.name] == ("ok", "")


def test_merge_takes_what_is_not_here_whole(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    stored(theirs, A, B)
    stored(ours, B)
    paths = [analysis(theirs, A), analysis(theirs, B), analysis(theirs, f"{A}@{B}")]
    here = ours / analyses.FOLDER / paths[1].name
    here.parent.mkdir()
    here.write_bytes(b"damaged")
    assert list(merge(ours, theirs, dry=True))
    assert here.read_bytes() == b"damaged"
    list(merge(ours, theirs))
    for path in paths:
        assert (ours / analyses.FOLDER / path.name).read_bytes() == path.read_bytes()
    assert {status for status, _ in said(ours).values()} == {"ok"}


def tables(found: Iterable[Merged]) -> dict[str, tuple[str, str]]:
    return {one.digest: (one.action, one.message) for one in found if one.kind == "analysis"}


@pytest.mark.parametrize("dry", [False, True])
def test_merge_pairs_no_analysis_with_other_weights_and_takes_no_damage(
    tmp_path: Path, dry: bool
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    stored(theirs, A, B)
    stored(ours, A, C, value=0.5)
    other, damaged, alone = (analysis(theirs, one) for one in (A, B, C))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    found = tables(merge(ours, theirs, dry=dry))
    assert not (ours / analyses.FOLDER).exists()
    said = "cell aaaaaaaaaaaa has other numbers here, of other weights"
    assert found[other.stem] == ("refused", said)
    said = "cell cccccccccccc is not there: nothing tells whether it is of the weights here"
    assert found[alone.stem] == ("refused", said)
    assert found[damaged.stem][0] == "refused"
    assert found[damaged.stem][1].startswith("damaged there: ")


def test_merge_tells_of_tables_as_of_cells(tmp_path: Path) -> None:
    """What is new, the same, and different: ours stays, unless theirs is asked for."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for root in (theirs, ours):
        stored(root, A)
    new, same, odd = (analysis(theirs, A, images=count) for count in (1, 2, 3))
    for path in (same, odd):
        write_atomic(ours / analyses.FOLDER / path.name, path.read_bytes())
    mine, facts = analyses.from_bytes(odd.read_bytes())
    changed = mine | {"share": np.array([0.5, 0.25])}
    (ours / analyses.FOLDER / odd.name).write_bytes(analyses.to_bytes(changed, facts))
    wanted = {new.stem: "copied", same.stem: "same", odd.stem: "kept"}
    for dry in (True, False):
        found = tables(merge(ours, theirs, dry=dry))
        assert {name: action for name, (action, _) in found.items()} == wanted
    assert (ours / analyses.FOLDER / new.name).read_bytes() == new.read_bytes()
    assert (ours / analyses.FOLDER / odd.name).read_bytes() != odd.read_bytes()
    found = tables(merge(ours, theirs, theirs=True))
    assert found[odd.stem] == ("replaced", "other numbers here and there")
    assert (ours / analyses.FOLDER / odd.name).read_bytes() == odd.read_bytes()


def test_what_a_cell_forgets_is_gone_with_its_parts(tmp_path: Path) -> None:
    kept, gone = analysis(tmp_path, B), analysis(tmp_path, A)
    content = gone.read_bytes()
    part = gone.with_name(f"alignment-{'0' * 32}.parts") / "0000000-0000010.parquet"
    silent = kept.with_suffix(".parts") / part.name
    own = gone.with_suffix(".parts") / part.name
    write_atomic(own, content)
    write_atomic(silent, analyses.to_bytes(TABLE, {}))
    other = kept.with_suffix(".parts") / "0000010-0000020.parquet"
    write_atomic(other, kept.read_bytes())
    analyses.discard(tmp_path, {A})
    assert [path.exists() for path in (kept, other, gone, own, silent)] == [True] * 2 + [False] * 3


def test_a_checksum_is_of_every_value_of_a_list() -> None:
    """numpy shows eight digits, and of a thousand values a few."""
    maps = np.empty(1, object)
    for position, change in ((0, 1e-9), (1000, -5.0)):
        maps[0] = np.linspace(0.0, 1.0, 2000)
        content = analyses.to_bytes({"map": maps}, {"kind": "x"})
        maps[0] = maps[0].copy()
        maps[0][position] += change
        other = analyses.to_bytes({"map": maps}, {"kind": "x"})
        table, about = (pq.ParquetFile(pa.BufferReader(one)).read() for one in (other, content))
        mixed = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(about.schema.metadata), mixed)
        with pytest.raises(Damaged, match="do not match its checksum"):
            analyses.from_bytes(mixed.getvalue())


def test_numbers_that_are_replaced_take_their_analyses_along(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    stored(theirs, A)
    stored(ours, A, value=0.5)
    mine = analysis(ours, A)
    other = analysis(ours, A, images=7)
    mine.write_bytes(
        analyses.to_bytes({"image": np.array([9])}, analyses.from_bytes(mine.read_bytes())[1])
    )
    path = analysis(theirs, A)
    list(merge(ours, theirs, theirs=True))
    assert mine.read_bytes() == path.read_bytes()
    assert not other.exists()


def test_prune_removes_what_is_of_nothing(tmp_path: Path) -> None:
    stored(tmp_path, A)
    kept, gone, young = (
        analysis(tmp_path, A),
        analysis(tmp_path, B),
        analysis(tmp_path, B, images=1),
    )
    given, damaged = analysis(tmp_path, f"{B}@{A}"), analysis(tmp_path, A, images=2)
    damaged.write_bytes(b"nothing")
    long_ago = time.time() - 7200
    for path in (kept, gone, given, damaged):
        os.utime(path, (long_ago, long_ago))
    part = kept.with_suffix(".parts") / "0000000-0000010.parquet"
    going = young.with_name(f"alignment-{'0' * 32}.parts") / part.name
    for path in (part, going):
        write_atomic(path, analyses.to_bytes(TABLE, {}))
    items = list(prune.plan(tmp_path))
    why = {item.path.name: (item.action, item.why) for item in items}
    assert why[gone.name] == ("delete", "of a cell that is not here")
    assert why[damaged.name][0] == "move"
    prune.carry_out(tmp_path, items)
    left = {path.name for path in (tmp_path / analyses.FOLDER).iterdir()}
    assert left == {kept.name, young.name, given.name, going.parent.name}
    assert (tmp_path / "damaged" / damaged.name).exists()
    assert list(prune.plan(tmp_path)) == []


@pytest.mark.parametrize("count", [0, 3])
def test_columns_of_every_type_are_read_without_pandas(count: int, no_torch: NoTorch) -> None:
    lists = np.empty(count, object)
    for place in range(count):
        lists[place] = np.arange(place, dtype=np.float32)
    table = {
        "whole": np.arange(count),
        "real": np.linspace(0.0, 1.0, count),
        "single": np.linspace(0.0, 1.0, count, dtype=np.float32),
        "flag": np.arange(count) > 1,
        "text": np.array([f"a{one}" for one in range(count)], object),
        "bytes": np.array([b"\x00" * one for one in range(count)], object),
        "lists": lists,
    }
    if not count:
        table = {name: column for name, column in table.items() if column.dtype != object}
    content = analyses.to_bytes(table, {"kind": "x"})
    read, _ = analyses.from_bytes(content)
    for name, column in table.items():
        assert read[name].dtype == column.dtype, name
        assert [*map(repr, read[name])] == [*map(repr, column)], name
    code = f"import sys; from detbench.results import analyses; analyses.from_bytes({content!r})"
    assert not no_torch.run(code, folder=Path.cwd()).slow
