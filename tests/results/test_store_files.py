"""Verifying, merging and pruning the files of a store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detbench.errors import StoreError
from detbench.results import inventory, prune, verify
from detbench.results.files import Lock
from detbench.results.merge import merge
from detbench.results.merge_work import merge_work
from detbench.results.schema import Measurement
from detbench.results.store import Store

A, B, C = "a" * 64, "b" * 64, "c" * 64
BOX = [{"image_id": 1, "category_id": 2, "bbox": [0.5, 1, 2, 3], "score": 0.25}]


def row(digest: str = A, value: float | None = 0.25, **more) -> Measurement:
    more = {"metric": "AP", "kind": "train-eval", **more}
    return Measurement(digest=digest, value=value, unit="fraction", **more)


def failure(digest: str = A) -> Measurement:
    return row(digest, None, metric="cell", status="failed", reason="loss is NaN")


def store(path: Path, **cells: float) -> Store:
    made = Store(path)
    for digest, value in cells.items():
        made.add([row(digest * 64, value)], BOX)
    return made


def said(root: Path, rescore=None) -> dict[str, tuple[str, str]]:
    return {one.path.name: (one.status, one.message) for one in verify.verify(root, rescore)}


def test_a_sound_store(tmp_path: Path) -> None:
    made = store(tmp_path, a=0.1, b=0.2)
    made.add([row(C, 200.0, kind="cost", metric="gflops")])
    assert {status for status, _ in said(tmp_path).values()} == {"ok"}
    assert len(said(tmp_path)) == 5


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"\x28\xb5\x2f\xfd") + 8  # amid the first values, packed by zstd
    content[place] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_bytes(b"")])
def test_damaged_numbers_are_bad(tmp_path: Path, damage) -> None:
    store(tmp_path, a=0.1, b=0.2)
    path = tmp_path / "cells" / f"train-eval-{A}.parquet"
    damage(path)
    status, message = said(tmp_path)[path.name]
    assert status == "bad"
    assert message.startswith("damaged: ")
    assert said(tmp_path)[f"train-eval-{B}.parquet"] == ("ok", "")


def test_damaged_missing_and_orphaned_detections(tmp_path: Path) -> None:
    store(tmp_path, a=0.1, b=0.2, c=0.3)
    names = [tmp_path / "cells" / f"train-eval-{one}.detections.json.gz" for one in (A, B, C)]
    cut(names[0])
    names[1].unlink()
    (tmp_path / "cells" / f"train-eval-{C}.parquet").unlink()
    found = said(tmp_path)
    assert found[names[0].name][0] == "bad"
    # The last finding about the file is the warning about what is beside it.
    assert found[f"train-eval-{B}.parquet"][1].startswith("no detections beside it")
    assert found[names[2].name] == (
        "warning",
        "detections without their numbers: prune removes them",
    )


def test_a_file_under_another_cells_name(tmp_path: Path) -> None:
    store(tmp_path, a=0.1)
    folder = tmp_path / "cells"
    (folder / f"train-eval-{A}.parquet").rename(folder / f"train-eval-{B}.parquet")
    assert (
        said(tmp_path)[f"train-eval-{B}.parquet"][1] == "damaged: its rows belong to another cell"
    )
    Store(tmp_path).add([failure(C)])
    (folder / f"train-eval-{C}.failed.parquet").rename(folder / f"train-eval-{C}.parquet")
    assert "status is not what its name says" in said(tmp_path)[f"train-eval-{C}.parquet"][1]


def test_a_newer_schema_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, a=0.1)
    monkeypatch.setattr("detbench.results.schema.SCHEMA_VERSION", 0)
    status, message = said(tmp_path)[f"train-eval-{A}.parquet"]
    assert status == "bad"
    assert message.startswith("was written by a newer detbench")


def test_odd_and_temporary_files_are_warned_of(tmp_path: Path) -> None:
    store(tmp_path, a=0.1)
    (tmp_path / "cells" / "notes.txt").write_text("x")
    (tmp_path / "cells" / ".x.parquet.999999.tmp").write_text("x")
    found = said(tmp_path)
    assert found["notes.txt"][0] == found[".x.parquet.999999.tmp"][0] == "warning"


def test_rescoring_is_told_the_rows_and_the_detections(tmp_path: Path) -> None:
    store(tmp_path, a=0.1, b=0.2)

    def rescore(rows: list[Measurement], found: list[dict]) -> str:
        assert found == BOX
        return "AP differs" if rows[0].digest == A else f"{verify.UNSCORED}no data"

    found = said(tmp_path, rescore)
    assert found[f"train-eval-{A}.detections.json.gz"] == ("bad", "AP differs")
    assert found[f"train-eval-{B}.detections.json.gz"] == ("warning", "no data")


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there: name a results folder"):
        inventory.existing(tmp_path / "none")
    with pytest.raises(StoreError, match="holds no results"):
        inventory.existing(tmp_path)
    store(tmp_path, a=0.1)
    with pytest.raises(StoreError, match=f"name the results folder itself: {tmp_path}"):
        inventory.existing(tmp_path / "cells")


def merged(*arguments, **more) -> dict[str, tuple[str, str]]:
    return {one.digest[0]: (one.action, one.message) for one in merge(*arguments, **more)}


def test_merge_copies_whole_files_and_a_second_time_nothing(tmp_path: Path) -> None:
    store(tmp_path / "theirs", a=0.1, b=0.2)
    store(tmp_path / "ours", b=0.2, c=0.3)
    assert merged(tmp_path / "ours", tmp_path / "theirs", dry=True)["a"][0] == "copied"
    assert Store(tmp_path / "ours").status(A) == "missing"
    found = merged(tmp_path / "ours", tmp_path / "theirs")
    assert found == {"a": ("copied", ""), "b": ("same", "")}
    for path in (tmp_path / "theirs" / "cells").glob(f"*{A}*"):
        assert (tmp_path / "ours" / "cells" / path.name).read_bytes() == path.read_bytes()
    assert Store(tmp_path / "ours").detections(A) == BOX
    assert set(merged(tmp_path / "ours", tmp_path / "theirs").values()) == {("same", "")}


def test_merge_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    store(tmp_path / "theirs", a=0.1)
    merged(tmp_path / "new", tmp_path / "theirs")
    assert Store(tmp_path / "new").status(A) == "done"


def test_a_conflict_keeps_ours_unless_theirs_is_asked_for(tmp_path: Path) -> None:
    store(tmp_path / "theirs", a=0.1)
    store(tmp_path / "ours", a=0.2)
    (tmp_path / "theirs" / "cells" / f"train-eval-{A}.detections.json.gz").unlink()
    words = "AP is 0.2 here and 0.1 there"
    ours = Store(tmp_path / "ours")
    assert merged(tmp_path / "ours", tmp_path / "theirs") == {"a": ("kept", words)}
    assert (ours.get(A).value("AP"), ours.detections(A)) == (0.2, BOX)
    found = merged(tmp_path / "ours", tmp_path / "theirs", theirs=True)
    assert found == {"a": ("replaced", words)}
    # Numbers are never left beside detections that did not give them.
    assert (ours.get(A).value("AP"), ours.detections(A)) == (0.1, None)


def test_failures_and_damage_give_way_to_what_is_done(tmp_path: Path) -> None:
    theirs = store(tmp_path / "theirs", a=0.1, b=0.2)
    theirs.add([failure(C)])
    ours = Store(tmp_path / "ours")
    ours.add([failure(A)])
    ours.add([row(B, 0.9)])
    ours.add([row(C, 0.3)])
    cut(tmp_path / "ours" / "cells" / f"train-eval-{B}.parquet")
    assert merged(tmp_path / "ours", tmp_path / "theirs") == {
        "a": ("copied", "it had failed here"),
        "b": ("copied", "in place of a damaged file"),
        "c": ("same", "failed there"),
    }
    assert [ours.status(one) for one in (A, B, C)] == ["done"] * 3
    assert ours.get(C).value("AP") == 0.3
    assert not list((tmp_path / "ours" / "cells").glob("*failed*"))


def test_their_damaged_files_are_refused(tmp_path: Path) -> None:
    store(tmp_path / "theirs", a=0.1, b=0.2)
    cut(tmp_path / "theirs" / "cells" / f"train-eval-{A}.parquet")
    cut(tmp_path / "theirs" / "cells" / f"train-eval-{B}.detections.json.gz")
    found = merged(tmp_path / "ours", tmp_path / "theirs")
    assert found["a"][0] == found["b"][0] == "refused"
    assert not (tmp_path / "ours").exists()


def test_missing_detections_come_with_equal_numbers(tmp_path: Path) -> None:
    store(tmp_path / "theirs", a=0.1)
    Store(tmp_path / "ours").add([row(A, 0.1)])
    [found] = merged(tmp_path / "ours", tmp_path / "theirs").values()
    assert found[0] == "copied"
    assert Store(tmp_path / "ours").detections(A) == BOX


def test_a_store_is_not_merged_into_itself(tmp_path: Path) -> None:
    store(tmp_path, a=0.1)
    with pytest.raises(StoreError, match="this is the folder to merge into"):
        merged(tmp_path, tmp_path / "." / "cells" / "..")


def work(root: Path, name: str, *files: str) -> Path:
    folder = root / "work" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text(file)
    return folder


def test_work_is_merged_when_asked(tmp_path: Path) -> None:
    store(tmp_path / "theirs", a=0.1)
    work(tmp_path / "theirs", A, "weights.pt", "curve.jsonl", "lock", "checkpoint.pt")
    work(tmp_path / "theirs", B, "checkpoint.pt")  # unfinished
    work(tmp_path / "theirs", C, "weights.pt")
    work(tmp_path / "ours", C, "weights.pt").joinpath("weights.pt").write_text("mine")
    listed = list(merge_work(tmp_path / "ours", tmp_path / "theirs", dry=True))
    assert {path.name for path in listed} == {"weights.pt", "curve.jsonl"}
    assert not (tmp_path / "ours" / "work" / A).exists()
    list(merge_work(tmp_path / "ours", tmp_path / "theirs"))
    ours = tmp_path / "ours" / "work"
    assert {path.name for path in (ours / A).iterdir()} == {"weights.pt", "curve.jsonl", "lock"}
    assert not (ours / B).exists()
    assert (ours / C / "weights.pt").read_text() == "mine"


def planned(root: Path, weights: bool = False) -> dict[str, str]:
    items = prune.plan(root, weights)
    return {item.path.relative_to(root).as_posix(): item.action for item in items}


def test_prune_leaves_what_is_needed(tmp_path: Path) -> None:
    store(tmp_path, a=0.1)
    done = work(tmp_path, A, "weights.pt", "curve.jsonl", "lock", "checkpoint.pt", "log.txt")
    work(tmp_path, B, "checkpoint.pt", "curve.jsonl", "lock", "log.txt")  # unfinished
    work(tmp_path, C, "lock")
    work(tmp_path, "costs", "log.txt")
    (tmp_path / "work" / "catalogue.json").write_text("{}")
    wanted = {f"work/{A}/checkpoint.pt": "delete", f"work/{A}/log.txt": "delete"}
    wanted[f"work/{C}"] = "delete"
    assert planned(tmp_path) == wanted
    assert planned(tmp_path, weights=True) == {**wanted, f"work/{A}/weights.pt": "delete"}
    assert len(prune.carry_out(tmp_path, list(prune.plan(tmp_path)))) == 3
    assert {path.name for path in done.iterdir()} == {"weights.pt", "curve.jsonl", "lock"}
    assert (tmp_path / "work" / B / "checkpoint.pt").exists()
    assert not (tmp_path / "work" / C).exists()
    assert planned(tmp_path) == {}
    assert Store(tmp_path).status(A) == "done"


def test_what_is_not_detbenchs_is_named_and_kept(tmp_path: Path) -> None:
    """The user's notes and folders in a training's, and whatever is behind a link."""
    made = store(tmp_path, a=0.1, b=0.1)
    users = work(tmp_path, A, "weights.pt", "checkpoint.pt", "notes.txt")
    (users / "analysis").mkdir()
    (users / "analysis" / "figure.svg").write_text("mine")
    precious = tmp_path / "precious"
    precious.mkdir()
    for name in ("weights.pt", "checkpoint.pt", "thesis.tex"):
        (precious / name).write_text("mine")
    (users / "log.txt").symlink_to(precious / "thesis.tex")
    (tmp_path / "work" / B).symlink_to(precious)
    assert planned(tmp_path, weights=True) == {
        f"work/{A}/weights.pt": "delete",
        f"work/{A}/checkpoint.pt": "delete",
        f"work/{A}/notes.txt": "keep",
        f"work/{A}/analysis": "keep",
        f"work/{A}/log.txt": "keep",
        f"work/{B}": "keep",
    }
    prune.carry_out(tmp_path, list(prune.plan(tmp_path, weights=True)))
    made.discard(A, A)
    with pytest.raises(StoreError, match="is a link, behind which nothing is removed"):
        made.discard(B, B)
    assert (users / "analysis" / "figure.svg").read_text() == "mine"
    assert {path.name for path in users.iterdir()} >= {"notes.txt", "analysis"}
    assert len(list(precious.iterdir())) == 3


def test_prune_moves_damaged_files_aside(tmp_path: Path) -> None:
    made = store(tmp_path, a=0.1, b=0.2)
    path = tmp_path / "cells" / f"train-eval-{A}.parquet"
    cut(path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / path.name).write_text("an older one")
    assert planned(tmp_path) == {f"cells/{path.name}": "move"}
    prune.carry_out(tmp_path, list(prune.plan(tmp_path)))
    assert not path.exists()
    assert (tmp_path / "damaged" / f"{path.name}.2").exists()
    assert (made.status(A), made.status(B)) == ("missing", "done")


def test_prune_removes_leftovers_of_the_dead_only(tmp_path: Path) -> None:
    made = store(tmp_path, a=0.1, b=0.1)
    cells = tmp_path / "cells"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (cells / f".x.parquet.{dead.pid}.tmp").write_text("x")
    (cells / f".y.parquet.{os.getpid()}.tmp").write_text("x")
    Path(made._done("train-eval", B)).unlink()
    assert set(planned(tmp_path)) == {f"cells/.x.parquet.{dead.pid}.tmp"}  # B may be being stored
    orphan = cells / f"train-eval-{B}.detections.json.gz"
    os.utime(orphan, (time.time() - 7200, time.time() - 7200))
    assert f"cells/{orphan.name}" in planned(tmp_path)


def test_what_a_run_holds_is_left(tmp_path: Path) -> None:
    store(tmp_path, a=0.1)
    work(tmp_path, A, "weights.pt", "log.txt")
    items = list(prune.plan(tmp_path))
    assert items
    lock = Lock(tmp_path / "work" / A / "lock")
    assert lock.acquire()
    assert planned(tmp_path) == {}
    assert prune.carry_out(tmp_path, items) == []
    lock.release()
    assert len(prune.carry_out(tmp_path, items)) == 1


def test_a_deleted_lock_is_not_held(tmp_path: Path) -> None:
    """Who waits for a lock whose file is deleted meanwhile takes the new file's, not the old."""
    first, second = Lock(tmp_path / "work" / "lock"), Lock(tmp_path / "work" / "lock")
    assert first.acquire()
    first.path.unlink()
    assert second.acquire()
    first.release()
    assert not Lock(second.path).acquire()
    second.release()


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, a=0.1)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    message = "cannot be read (Permission denied): check the results folder"
    assert said(tmp_path)[f"train-eval-{A}.parquet"] == ("bad", message)
    assert planned(tmp_path) == {}


def test_planning_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, a=0.1)
    work(tmp_path, A, "weights.pt", "log.txt", "lock")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Lock, "acquire", lambda self: pytest.fail("taken"))
    assert planned(tmp_path) == {f"work/{A}/log.txt": "delete"}
    assert sorted(tmp_path.rglob("*")) == before
