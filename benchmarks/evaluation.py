"""How long scoring and resampling take on a data set of COCO's size.

    python benchmarks/evaluation.py                 5,000 images x 100 detections x 80 classes
    python benchmarks/evaluation.py --pycocotools   and whether the metrics equal pycocotools'
    python benchmarks/evaluation.py --masks         100 masks an image, beside pycocotools by itself
    python benchmarks/evaluation.py --classes 1203 --detections 300       LVIS's size

Made data: 7 objects an image in three sizes, 2 % of them crowds; each found about three times, the
rest of the detections false. Masks are ellipses in the boxes. Times are of whole processes; CPU
time beside them, as the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detbench.data.segmentations import as_json, compressed

OBJECTS = 7
SCRIPT = """
import json, sys
from detbench.evaluation import matching
from detbench.evaluation.results import read
from detbench.recipe.experiment import Evaluation
from detbench.statistics import bootstrap
from pathlib import Path
truth, *results = (read(Path(name)) for name in sys.argv[1:])
a, b = ([matching.match(truth, one, Evaluation())] for one in results)
import time
began, cpu = time.perf_counter(), time.process_time()
found = bootstrap.difference(a, b, replicates=1000)["AP"]
print(json.dumps([found.value, found.low, found.high, time.perf_counter() - began,
                  time.process_time() - cpu]))
"""

PYCOCOTOOLS = """
import contextlib, io, json, sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from detbench.evaluation.accumulate import summary
from detbench.evaluation.metric import MASK_METRICS
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(sys.argv[1])
    engine = COCOeval(truth, truth.loadRes(sys.argv[2]), "segm")
    engine.evaluate()
    engine.accumulate()
print(json.dumps(summary(engine.eval["precision"][..., 2], engine.eval["recall"][..., 2],
                         MASK_METRICS)))
"""


@dataclass(frozen=True)
class Size:
    """How many images, detections of each, and classes."""

    images: int
    detections: int
    classes: int

    def __str__(self) -> str:
        return f"{self.images} images x {self.detections} detections x {self.classes} classes"


def truth(size: Size, rng: np.random.Generator) -> dict[str, Any]:
    """COCO instances."""
    owner = np.repeat(np.arange(size.images), rng.integers(0, 2 * OBJECTS + 1, size.images))
    count = len(owner)
    sides = rng.choice([15.0, 60.0, 200.0], (count, 1)) * rng.uniform(0.6, 1.4, (count, 2))
    boxes = np.concatenate([rng.uniform(0, 300, (count, 2)), sides], axis=1).round(2)
    columns = (owner, rng.integers(0, size.classes, count), rng.random(count) < 0.02, boxes)
    return {
        "images": [
            {"id": i, "width": 640, "height": 640, "file_name": f"{i}.jpg"}
            for i in range(size.images)
        ],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(size.classes)],
        "annotations": [
            {
                "id": i + 1,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(crowd),
            }
            for i, (image, label, crowd, box) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            )
        ],
    }


def results(
    size: Size, ground: dict[str, Any], noise: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """COCO results."""
    held: dict[int, list[dict[str, Any]]] = {}
    for item in ground["annotations"]:
        held.setdefault(item["image_id"], []).append(item)
    found = []
    for image in range(size.images):
        mine = held.get(image, []) * 3
        false = size.detections - len(mine)
        boxes = rng.uniform([0, 0, 10, 10], [300, 300, 150, 150], (size.detections, 4))
        labels = rng.integers(0, size.classes, size.detections)
        scores = np.concatenate([rng.beta(3, 2, len(mine)), rng.beta(1.2, 4, false)])
        if mine:
            true = np.array([item["bbox"] for item in mine])
            moved = true + rng.normal(0, noise, true.shape) * true[:, [2, 3, 2, 3]]
            boxes[: len(mine)] = np.maximum(moved, 0.1)
            right = rng.random(len(mine)) < 0.85
            named = np.array([item["category_id"] for item in mine])
            labels[: len(mine)] = np.where(right, named, labels[: len(mine)])
        rows = zip(labels.tolist(), boxes.round(3).tolist(), scores.round(4).tolist(), strict=True)
        found += [
            {"image_id": image, "category_id": label, "bbox": box, "score": score}
            for label, box, score in rows
        ]
    return found


def masked(items: list[dict[str, Any]], side: int = 640) -> list[dict[str, Any]]:
    """Annotations or results with the ellipses in their boxes as compressed RLEs."""
    boxes = np.array([item["bbox"] for item in items])
    found = []
    for item, (left, top, width, height) in zip(items, boxes, strict=True):
        x = np.arange(max(0, int(left)), min(side, int(left + width) + 1))
        half = np.sqrt(np.clip(1 - ((x + 0.5 - left) / width * 2 - 1) ** 2, 0, 1)) * height / 2
        low, high = (
            np.clip(top + height / 2 + sign * half, 0, side).astype(np.int64) for sign in (-1, 1)
        )
        edges = np.stack((x * side + low, x * side + high), 1)[high > low].ravel()
        counts = np.diff(edges, prepend=0, append=side * side)
        [rle] = compressed([counts], (side, side))
        found.append(item | {"segmentation": as_json(rle)})
    return found


def timed(*words: str) -> tuple[str, float, float]:
    """What a command prints, its wall time and its CPU time in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_gb() -> float:
    """The most memory that any command has taken."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def of_masks(size: Size, rng: np.random.Generator) -> None:
    """Time ours and pycocotools on masks, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        ground = truth(size, rng)
        found = masked(results(size, ground, 0.08, rng))
        for one in found:
            del one["bbox"]  # so that pycocotools takes the sizes of masks
        ground["annotations"] = masked(ground["annotations"])
        files = [str(Path(folder) / name) for name in ("truth.json", "masks.json")]
        for name, content in zip(files, (ground, found), strict=True):
            Path(name).write_text(json.dumps(content))
        print(f"{size}, with masks", flush=True)
        scored = ("-m", "detbench.cli.main", "eval", "--results", files[1], "--annotations")
        own, wall, cpu = timed(*scored, files[0], "--thresholds", "--format", "json")
        print(
            f"detbench eval --results: {wall:.1f} s, CPU {cpu:.1f} s, {peak_gb():.2f} GB",
            flush=True,
        )
        out, wall, cpu = timed("-c", PYCOCOTOOLS, *files)
        [ours], theirs = json.loads(own)["rows"], json.loads(out)
        same = all(ours[name] == 100 * value for name, value in theirs.items())
        print(f"pycocotools: {wall:.1f} s, CPU {cpu:.1f} s; equal bits: {same} ({ours['maskAP']})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--pycocotools", action="store_true")
    parser.add_argument("--masks", action="store_true")
    options = parser.parse_args()
    size, rng = Size(options.images, options.detections, options.classes), np.random.default_rng(0)
    if options.masks:
        of_masks(size, rng)
        return
    with tempfile.TemporaryDirectory() as folder:
        ground = truth(size, rng)
        files = [str(Path(folder) / name) for name in ("truth.json", "a.json", "b.json")]
        for name, content in zip(
            files,
            (ground, results(size, ground, 0.08, rng), results(size, ground, 0.075, rng)),
            strict=True,
        ):
            Path(name).write_text(json.dumps(content))
        print(size, flush=True)
        scored = ("-m", "detbench.cli.main", "eval", "--results", files[1], "--annotations")
        command = (*scored, files[0], "--thresholds", "--format", "json")
        own, wall, cpu = timed(*command)
        print(f"detbench eval --results: {wall:.1f} s, CPU {cpu:.1f} s, {peak_gb():.2f} GB")
        out, _, _ = timed("-c", SCRIPT, *files)
        value, low, high, wall, cpu = json.loads(out)
        print(
            f"1000 paired replicates of a difference in AP: {wall:.1f} s, CPU {cpu:.1f} s, "
            f"{peak_gb():.2f} GB ({100 * value:+.2f} [{100 * low:.2f}, {100 * high:.2f}])"
        )
        if options.pycocotools:
            theirs, wall, cpu = timed(*command, "--evaluator", "pycocotools")
            same = json.loads(own)["rows"] == json.loads(theirs)["rows"]
            print(f"--evaluator pycocotools: {wall:.1f} s, CPU {cpu:.1f} s; equal bits: {same}")


if __name__ == "__main__":
    main()
