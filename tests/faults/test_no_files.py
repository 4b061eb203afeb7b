"""Pipes, sockets, devices and folders where a file is expected; output that cannot be shown.

Seen: a named pipe was waited for without end, a device read without end, and a terminal without
Unicode ended in a traceback. Right: one line, at once; `?` for what cannot be shown.
"""

from __future__ import annotations

import io
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detbench import inputs
from detbench.cli.main import main
from detbench.data import coco_check, content, hierarchy, openimages_csv, voc_xml, widerface_lists
from detbench.data.box_rule import AS_ANNOTATED
from detbench.errors import DataError, DetbenchError, RecipeError, StoreError, WeightsError
from detbench.evaluation import results
from detbench.recipe import embedded, load
from detbench.results import files, inventory, verify
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.training import checkpoint

READERS: dict[str, tuple[Callable[[Path], Any], type[DetbenchError]]] = {
    "annotations": (coco_check.parsed, DataError),
    "content": (lambda path: content.of_files([path]), DataError),
    "hierarchy": (hierarchy._parsed, DataError),
    "classes": (openimages_csv.class_names, DataError),
    "list": (voc_xml.listed, DataError),
    "boxes": (lambda path: voc_xml._annotation(path, AS_ANNOTATED), DataError),
    "matlab": (lambda path: widerface_lists.mat(path, ["event_list"]), DataError),
    "results": (results.read, DataError),
    "weights": (checkpoint.read, WeightsError),
    "embedded": (embedded.provenance, WeightsError),
    "recipe": (load.read, RecipeError),
    "store": (files.read, StoreError),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    read, error = READERS[name]
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
        with pytest.raises(error, match=r"a named pipe|a socket|a device"):
            read(path)
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(error):
            read(path)


def test_what_is_there_is_said_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert inputs.why_no_file(tmp_path / "gone") == "a link that leads nowhere"
    assert inputs.why_no_file(tmp_path) == "a folder, not a file"
    with pytest.raises(RecipeError, match=r"pipe.toml: a named pipe, not a file"):
        load.table(str(tmp_path / "pipe.toml"))


def test_a_pipe_in_a_store_is_said_and_not_waited_for(tmp_path: Path) -> None:
    digest = "a" * 64
    Store(tmp_path).add([Measurement(digest, "cost", "gflops", 1.0, "GFLOPs")])
    path = tmp_path / "cells" / f"cost-{digest}.parquet"
    path.unlink()
    os.mkfifo(path)
    [found] = verify.verify(tmp_path)
    assert (found.status, inventory.scan(tmp_path).cells[0].digest) == ("bad", digest)
    with pytest.raises(StoreError, match="a named pipe"):
        Store(tmp_path).get(digest)


def test_what_a_terminal_cannot_show_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        main(["show", "tscode-table1"])
    assert ended.value.code == 0
    assert b"?" in shown.getvalue()


def test_folders_under_the_temporary_one_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = files.private(tmp_path / "detbench-1")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.chmod(0o777)
    assert stat.S_IMODE(files.private(made).stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(made)
    monkeypatch.setattr(os, "getuid", lambda: made.stat().st_uid + 1)
    for path in (made, tmp_path / "link"):
        with pytest.raises(StoreError, match="is not a folder of yours"):
            files.private(path)
