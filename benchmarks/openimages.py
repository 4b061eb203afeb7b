"""Opening OpenImages at scale: time and memory on made files in its layout.

    python benchmarks/openimages.py                     # 200,000 images with 12 boxes each
    python benchmarks/openimages.py --images 1700000 --boxes 9 --keep /scratch/made

Writes boxes, classes and images (200,000 links to a few JPEG files of four sizes, opened one by one
all the same), then opens the train split as a user's process does that has not seen it (annotations
and images' heads are read, and kept), and again. Each opening is a process of its own; its peak is
that of resident memory, with torch and other libraries (printed beside it) and what is mapped of
the kept files, which processes share; what it has for itself after opening is "unshared". CPU time
is that of all threads. ``--keep`` leaves the files for another run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

OPEN = """
import json, resource, sys, time
import numpy, pyarrow.csv, torch
from pathlib import Path
from detbench import data
from detbench.data.by_class import ByClass
from detbench.data.kinds import OpenImages

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))

before, bare, start, busy = peak(), own(), time.monotonic(), time.process_time()
opened = data.load(OpenImages(kind="openimages"), "train", Path(sys.argv[1]))
wall, cpu, after = time.monotonic() - start, time.process_time() - busy, peak()
unshared = own() - bare
start, busy = time.monotonic(), time.process_time()
for index in range(0, len(opened), max(1, len(opened) // 200)):
    opened.sample(index)
samples = time.process_time() - busy
busy = time.process_time()
ByClass(opened).draw(len(opened), 0, 0)
said = {"wall_s": wall, "cpu_s": cpu, "libraries_mib": before, "peak_mib": after}
said["unshared_mib"] = unshared
said |= {"200 samples, cpu_s": samples, "an epoch by class, cpu_s": time.process_time() - busy}
said |= {"peak with those_mib": peak(), "images": len(opened)}
said["boxes"] = len(opened.truth().boxes)
print(json.dumps(said))
"""
SIZES = ((1024, 768), (768, 1024), (1024, 683), (640, 480))
CLASSES = 500
AT_ONCE = 50_000


def make(root: Path, images: int, boxes: int) -> None:
    """The files of a train split."""
    folder = root / "openimages" / "annotations"
    folder.mkdir(parents=True)
    names = [f"/m/{label:05x}" for label in range(CLASSES)]
    classes = folder / "challenge-2019-classes-description-500.csv"
    classes.write_text("".join(f"{name},Class {i}\n" for i, name in enumerate(names)))
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2**63, images, dtype=np.uint64)
    made = [root / f"{width}x{height}.jpg" for width, height in SIZES]
    for path, size in zip(made, SIZES, strict=True):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    home = root / "openimages" / "train"
    for part in range(16):
        (home / f"train_{part:x}").mkdir(parents=True)
    for number, one in enumerate(ids.tolist()):
        os.link(_of(made, root, number), home / f"train_{one % 16:x}" / f"{one:016x}.jpg")
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,"
    with (folder / "challenge-2019-train-detection-bbox.csv").open("w") as file:
        file.write(header + "IsGroupOf,IsDepiction,IsInside\n")
        for first in range(0, images, AT_ONCE):
            some = np.repeat(ids[first : first + AT_ONCE], boxes)
            low = rng.uniform(0, 0.6, (len(some), 2))
            high = low + rng.uniform(0.02, 0.4, (len(some), 2))
            labels = (CLASSES * rng.random(len(some)) ** 3).astype(int)
            group = rng.random(len(some)) < 0.05
            rows = zip(some.tolist(), labels.tolist(), low, high, group.tolist(), strict=True)
            file.writelines(
                f"{one:016x},xclick,{names[label]},1,{a[0]:.6f},{b[0]:.6f},{a[1]:.6f},{b[1]:.6f},"
                f"0,0,{int(g)},0,0\n"
                for one, label, a, b, g in rows
            )


def _of(made: list[Path], root: Path, number: int) -> Path:
    """A file to link to; a file takes 65,000 links at most on many file systems."""
    path = made[number % len(made)]
    copy = root / f"{number // 100_000}-{path.name}"
    if not copy.exists():
        copy.write_bytes(path.read_bytes())
    return copy


def opened(root: Path) -> dict[str, float]:
    command = [sys.executable, "-c", OPEN, str(root)]
    environment = {**os.environ, "XDG_STATE_HOME": str(root / "state")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--boxes", type=int, default=12, help="on each image")
    parser.add_argument("--keep", type=Path, help="folder of the files; made where it is empty")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        root = asked.keep or Path(spare)
        if not (root / "openimages").exists():
            start = time.monotonic()
            make(root, asked.images, asked.boxes)
            print(f"made in {time.monotonic() - start:.0f} s", file=sys.stderr)
            time.sleep(3)  # what changed a moment ago is not kept
        size = next((root / "openimages" / "annotations").glob("*bbox.csv")).stat().st_size
        print(f"file of boxes: {size / 2**20:.0f} MiB")
        for title in ("first", "again"):
            found = {name: round(value, 1) for name, value in opened(root).items()}
            print(title, json.dumps(found))
        kept = sum(path.stat().st_size for path in (root / "state").rglob("*.arrow"))
        print(f"kept: {kept / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
