"""How long scoring and resampling take on a data set of COCO's size.

    python benchmarks/evaluation.py                 5,000 images x 100 detections x 80 classes
    python benchmarks/evaluation.py --pycocotools   and whether the metrics equal pycocotools'

Made data: 7 objects an image in three sizes, 2 % of them crowds; each found about three times, the
rest of the 100 detections false. Times are of whole processes; CPU time beside them, as the machine
may be shared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLASSES, PER_IMAGE, OBJECTS = 80, 100, 7
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


def truth(images: int, rng: np.random.Generator) -> dict[str, Any]:
    """COCO instances."""
    owner = np.repeat(np.arange(images), rng.integers(0, 2 * OBJECTS + 1, images))
    count = len(owner)
    sides = rng.choice([15.0, 60.0, 200.0], (count, 1)) * rng.uniform(0.6, 1.4, (count, 2))
    boxes = np.concatenate([rng.uniform(0, 300, (count, 2)), sides], axis=1).round(2)
    columns = (owner, rng.integers(0, CLASSES, count), rng.random(count) < 0.02, boxes)
    return {
        "images": [
            {"id": i, "width": 640, "height": 640, "file_name": f"{i}.jpg"} for i in range(images)
        ],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(CLASSES)],
        "annotations": [
            {
                "id": i,
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


def results(ground: dict[str, Any], noise: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    """COCO results: ``PER_IMAGE`` detections of each image."""
    held: dict[int, list[dict[str, Any]]] = {}
    for item in ground["annotations"]:
        held.setdefault(item["image_id"], []).append(item)
    found = []
    for image in range(len(ground["images"])):
        mine = held.get(image, []) * 3
        false = PER_IMAGE - len(mine)
        boxes = rng.uniform([0, 0, 10, 10], [300, 300, 150, 150], (PER_IMAGE, 4))
        labels = rng.integers(0, CLASSES, PER_IMAGE)
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


def timed(*words: str) -> tuple[str, float, float]:
    """What a command prints, its wall time and its CPU time in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_gb() -> float:
    """The most memory that any command has taken."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--pycocotools", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        ground = truth(options.images, rng)
        files = [str(Path(folder) / name) for name in ("truth.json", "a.json", "b.json")]
        for name, content in zip(
            files, (ground, results(ground, 0.08, rng), results(ground, 0.075, rng)), strict=True
        ):
            Path(name).write_text(json.dumps(content))
        print(f"{options.images} images x {PER_IMAGE} detections x {CLASSES} classes")
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
