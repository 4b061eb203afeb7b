"""COCO JSON of annotations and results, VOC XML and lists, WIDER FACE's text and MATLAB lists,
OpenImages' CSV and hierarchy: refused in one line, or scored.
"""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_voc import IMAGE, OBJECT
from made_widerface import as_text, write_lists
from malformed import budget, changed, damaged, judge, junk, nested
from PIL import Image

from detbench.data import coco_check, openimages_files, widerface_files
from detbench.data import voc_xml as voc
from detbench.evaluation import coco, openimages, results, truth
from detbench.evaluation.detections import check_results
from detbench.recipe.experiment import Evaluation

TRUTH: dict[str, Any] = {
    "info": {"description": "made"},
    "images": [
        {"id": 7, "width": 64, "height": 48, "file_name": "a.jpg"},
        {"id": 9, "width": 48, "height": 64, "file_name": "b.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 20.5], "area": 400.0},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [5, 5, 9, 9], "iscrowd": 1},
        {"id": 3, "image_id": 9, "category_id": 3, "bbox": [0, 0, 48, 64], "iscrowd": 0},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
}
FOUND: list[dict[str, Any]] = [
    {"image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 0.9},
    {"image_id": 9, "category_id": 3, "bbox": [0.5, 1, 40, 60], "score": 0.25},
    {"image_id": 9, "category_id": 1, "bbox": [9, 9, 0, 3], "score": 1},
]
SETTINGS = Evaluation()
BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE)

# What JSON has and TOML has not.
values = junk | st.none() | st.sampled_from([10**400, -(2**63), nested(500), "\ud800"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("annotations") / "own.json"


def _as_json(content: Any) -> bytes:
    return json.dumps(content, skipkeys=True).encode()


def _annotations(file: Path, content: bytes) -> bool:
    """What ``data.load`` and ``eval --annotations`` do with a file, and that both agree on it."""
    file.write_bytes(content)

    def use() -> None:
        table = coco_check.read(file)
        assert np.isfinite(table.boxes).all()
        json.dumps(table.ground_truth("x"), allow_nan=False)

    def score() -> None:
        ground = truth.of_file(file)
        own = [{**FOUND[0], "image_id": one} for one in ground.image_ids.tolist()]
        for item in own:
            item["category_id"] = ground.categories[0][0]
        found = coco.evaluate(ground, own, SETTINGS)
        assert all(value is None or 0 <= value <= 1 for value in found.values())

    accepted = judge(use, file.name)
    assert judge(score, file.name) == accepted
    return accepted


def _results(file: Path, content: bytes) -> bool:
    file.write_bytes(content)

    def use() -> None:
        read = results.read(file)
        check_results(TRUTH, read, str(file))
        found = coco.evaluate(TRUTH, read, SETTINGS, name=str(file))
        assert all(value is None or 0 <= value <= 1 for value in found.values())

    return judge(use, file.name)


@budget(80, 2000)
@given(content=changed(TRUTH, values))
def test_annotations_with_keys_changed(file: Path, content: Any) -> None:
    _annotations(file, _as_json(content))


@budget(30, 600)
@given(content=damaged(_as_json(TRUTH)))
def test_bytes_of_annotations(file: Path, content: bytes) -> None:
    _annotations(file, content)


@budget(60, 1500)
@given(content=changed(FOUND, values))
def test_results_with_keys_changed(file: Path, content: Any) -> None:
    _results(file, _as_json(content))


@budget(30, 600)
@given(content=damaged(_as_json(FOUND)) | damaged(gzip.compress(_as_json(FOUND), mtime=0)))
def test_bytes_of_results(file: Path, content: bytes) -> None:
    _results(file, content)


@budget(10, 200)
@given(content=values.map(_as_json) | st.binary(max_size=40))
@example(b"[" * 100_000)
@example(b'{"images":' * 50_000)
@example(b"9" * 5_000)
def test_any_json(file: Path, content: bytes) -> None:
    assert not _annotations(file, content)
    _results(file, content)


@pytest.mark.parametrize("mark", BOMS)
def test_a_byte_order_mark_is_no_matter(file: Path, mark: bytes) -> None:
    """Windows' editors write one."""
    name = {2: "utf-16-le", 3: "utf-8", 4: "utf-32-be"}[len(mark)]
    assert _annotations(file, mark + json.dumps(TRUTH).encode(name))
    assert _results(file, mark + json.dumps(FOUND).encode(name))


OBJECTS = "".join(
    OBJECT.format(name=name, difficult=0, box=box)
    for name, box in (("car", (1, 2, 30, 40)), ("person", (5, 6, 64, 48)))
)
XML = IMAGE.format(year=2007, name="000001", width=64, height=48, objects=OBJECTS)
TAGS = ("name", "bndbox", "xmin", "ymax", "size", "width", "object", "difficult", "annotation")


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("VOCdevkit")
    (root / "VOC2007" / "Annotations").mkdir(parents=True)
    (root / "VOC2007" / "ImageSets" / "Main").mkdir(parents=True)
    return root


def _voc(devkit: Path, annotation: bytes, listed: bytes = b"000001\n") -> bool:
    (devkit / "VOC2007" / "Annotations" / "000001.xml").write_bytes(annotation)
    (devkit / "VOC2007" / "ImageSets" / "Main" / "own.txt").write_bytes(listed)

    def use() -> None:
        table = voc.read(devkit, ["2007_own"])
        assert np.isfinite(table.boxes).all()
        assert len(table.file_names) >= 1

    return judge(use, ".xml", "own.txt", str(devkit))


@st.composite
def markup(draw: Any) -> bytes:
    """VOC's XML with tags renamed or dropped and numbers and names replaced."""
    words = XML
    for _ in range(draw(st.integers(1, 3))):
        tag = draw(st.sampled_from(TAGS))
        how = draw(st.sampled_from(["text", "text", "drop", "rename"]))
        head, opening, rest = words.partition(f"<{tag}>")
        inner, closing, tail = rest.partition(f"</{tag}>")
        if not closing:
            continue
        if how == "text":
            words = head + opening + str(draw(junk)) + closing + tail
        elif how == "drop":
            words = head + tail
        else:
            other = draw(st.sampled_from(TAGS))
            words = f"{head}<{other}>{inner}</{other}>{tail}"
    return words.encode("utf-8", "replace")


@budget(60, 1500)
@given(annotation=markup())
def test_voc_annotations_with_tags_changed(devkit: Path, annotation: bytes) -> None:
    _voc(devkit, annotation)


@budget(30, 600)
@given(annotation=damaged(XML.encode()))
@example(b"<a>" * 100_000)
@example(b'<?xml version="1.0" encoding="klingon"?>' + XML.encode())
@example(codecs.BOM_UTF16_BE + XML.encode())
@example(b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 99 + b'">]><a>' + b"&b;" * 999 + b"</a>")
def test_bytes_of_voc_annotations(devkit: Path, annotation: bytes) -> None:
    _voc(devkit, annotation)


@budget(30, 400)
@given(listed=damaged(b"000001\n") | st.binary(max_size=20) | st.text(max_size=9).map(str.encode))
@example(b"../../../etc/passwd\n")
@example(b"/etc/passwd\n")
@example(b"a\x00b\n")
@example(b"a" * 5_000)
def test_voc_image_lists(devkit: Path, listed: bytes) -> None:
    _voc(devkit, XML.encode(), listed)


FACES = {
    "0--Parade/a.jpg": [(1, 2, 30, 40, 0, 0, 0, 0, 0, 0), (5, 6, 70, 9, 2, 0, 1, 1, 2, 0)],
    "1--Group/b.jpg": [],
    "1--Group/c.jpg": [(3, 4, 64, 48, 1, 1, 0, 0, 0, 1)],
}
PARTS = ("face", "easy")


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("widerface")
    write_lists(root / "sound", FACES)
    write_lists(root / "lists", FACES)
    return root


def _wider(root: Path, text: bytes, part: str = "face", listed: bytes | None = None) -> bool:
    path = root / "lists" / f"wider_{part}_val.mat"
    sound = (root / "sound" / path.name).read_bytes()
    (root / "faces.txt").write_bytes(text)
    path.write_bytes(sound if listed is None else listed)

    def use() -> None:
        table = widerface_files.read(root / "faces.txt", root, root / "lists")
        assert table.marks is not None
        assert len(table.marks) == len(table.boxes)
        assert len(table.file_names) >= 1

    try:
        return judge(use, "faces.txt", ".mat")
    finally:
        path.write_bytes(sound)


@st.composite
def rewritten(draw: Any) -> bytes:
    """WIDER FACE's text with words replaced and lines dropped, doubled or swapped."""
    lines = as_text(FACES).splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["word", "word", "drop", "double", "swap"]))
        if how == "word":
            words = lines[at].split() or [""]
            words[draw(st.integers(0, len(words) - 1))] = str(draw(junk))
            lines[at] = " ".join(words)
        elif how == "drop" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        else:
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines).encode("utf-8", "replace")


@budget(60, 1500)
@given(text=rewritten())
@example(b"0--Parade/a.jpg\n999999999\n")
@example(b"0--Parade/a.jpg\n" + b"9" * 5_000)
def test_wider_faces_with_words_changed(wider: Path, text: bytes) -> None:
    _wider(wider, text)


@budget(30, 600)
@given(text=damaged(as_text(FACES).encode()))
def test_bytes_of_wider_faces(wider: Path, text: bytes) -> None:
    _wider(wider, text)


@budget(40, 1000)
@given(content=st.data(), part=st.sampled_from(PARTS))
def test_bytes_of_wider_lists(wider: Path, content: Any, part: str) -> None:
    sound = (wider / "sound" / f"wider_{part}_val.mat").read_bytes()
    _wider(wider, as_text(FACES).encode(), part, content.draw(damaged(sound)))


RELEASED = {
    "boxes.csv": (
        "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
        "00000000000000aa,/m/0b,0.1,0.5,0.25,0.75,0\n"
        "00000000000000ab,/m/0a,0,1,0,1,1\n"
    ),
    "labels.csv": (
        "ImageID,LabelName,Confidence\n00000000000000aa,/m/0b,1\n00000000000000ac,/m/0a,0\n"
    ),
    "classes.csv": '/m/0a,Animal\n/m/0b,"Dog, small"\n',
    "hierarchy.json": '{"LabelName": "/m/0", "Subcategory": [{"LabelName": "/m/0a", '
    '"Subcategory": [{"LabelName": "/m/0b"}]}]}',
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("openimages")
    for name in ("aa", "ab", "ac"):
        Image.new("RGB", (40, 30)).save(root / f"{'0' * 14}{name}.jpg")
    return root


def _many(root: Path, part: str = "", damage: bytes = b"") -> bool:
    paths = [root / name for name in RELEASED]
    for path in paths:
        path.write_bytes(damage if path.name == part else RELEASED[path.name].encode())
    boxes, labels, classes, hierarchy = paths

    def use() -> None:
        files = openimages_files.Files(boxes, classes, root, labels, hierarchy)
        found = openimages_files.require(openimages_files.read(files), files)
        openimages.evaluate(found, [])

    return judge(use, *RELEASED)


@budget(80, 1500)
@given(content=st.data(), part=st.sampled_from(list(RELEASED)))
def test_bytes_of_openimages(many: Path, content: Any, part: str) -> None:
    _many(many, part, content.draw(damaged(RELEASED[part].encode())))


@pytest.mark.parametrize("part", RELEASED)
@pytest.mark.parametrize(
    "content", [b"\n", b"\x00" * 40, b'"' * 9, json.dumps(nested(900)).encode(), *BOMS]
)
def test_odd_openimages(many: Path, part: str, content: bytes) -> None:
    assert not _many(many, part, content)


def test_what_these_tests_damage_is_sound(
    file: Path, devkit: Path, wider: Path, many: Path
) -> None:
    assert _many(many)
    assert _annotations(file, _as_json(TRUTH))
    assert _results(file, _as_json(FOUND))
    assert _voc(devkit, XML.encode())
    assert _wider(wider, as_text(FACES).encode())
