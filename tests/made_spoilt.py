"""Data sets with boxes outside their images and without area, as users have them."""

from __future__ import annotations

import json
from pathlib import Path

from made_coco import make_coco
from made_openimages import age, box_file, make_openimages
from made_voc import make_voc

from detbench.data.kind import OnDisk
from detbench.data.kinds import Coco, OpenImages, Voc


def spoil_coco(root: Path) -> OnDisk:
    """Three boxes of the val split: amodal, all outside, without area."""
    make_coco(root)
    path = root / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    first = content["images"][0]
    boxes = ([-20, 5, 40, 30], [first["width"] + 50, 0, 5, 5], [1, 1, 0, 4])
    for one, box in zip(content["annotations"], boxes, strict=False):
        one |= {"bbox": box, "image_id": first["id"], "segmentation": [], "iscrowd": 0}
    path.write_text(json.dumps(content))
    return Coco(kind="coco")


def spoil_voc(root: Path) -> OnDisk:
    make_voc(root, images=4)
    path = sorted((root / "VOCdevkit" / "VOC2007" / "Annotations").glob("*.xml"))
    listed = (root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt").read_text().split()
    path = next(one for one in path if one.stem == listed[0])
    text = path.read_text()
    objects = "".join(
        f"<object><name>car</name><difficult>0</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in ((-19, 5, 20, 35), (900, 1, 905, 6), (1, 1, 1, 5))
    )
    path.write_text(text.replace("</annotation>", f"{objects}</annotation>"))
    return Voc(kind="voc")


def spoil_openimages(root: Path) -> OnDisk:
    made = make_openimages(root)["validation"]
    path = box_file(root, "validation")
    lines = path.read_text().splitlines()
    names = lines[0].split(",")
    for row, (low, high) in enumerate(((-0.2, 0.3), (1.5, 1.7), (0.2, 0.2)), 1):
        parts = lines[row].split(",")
        parts[names.index("XMin")], parts[names.index("XMax")] = str(low), str(high)
        lines[row] = ",".join(parts)
    path.write_text("\n".join(lines) + "\n")
    age(path)
    assert len(made) > 3
    return OpenImages(kind="openimages")
