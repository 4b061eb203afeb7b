"""Whether this machine and its folders are fit for runs. No torch in this process."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from detbench import __version__
from detbench.data.kinds import named
from detbench.errors import DetbenchError, StoreError
from detbench.measure.probe import probe
from detbench.recipe import embedded
from detbench.results import inventory
from detbench.results.files import Lock, write_atomic
from detbench.results.schema import Damaged
from detbench.runner.processors import usable
from detbench.runner.provenance import driver, git_commit
from detbench.training import inventory as weights_inventory

GB = 1e9
LITTLE_MEMORY, LITTLE_SHARED, LITTLE_DISK, NO_DISK = 2 * GB, 0.25 * GB, 5 * GB, 0.2 * GB
FEW_FILES = 1024
HOME = Path(__file__).parents[2]
"""Where this detbench was found."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        status: a ``broken`` one ends runs; a ``warning`` may slow them or matter later.
        message: what was found.
        advice: what to do; empty if all is well.
    """

    name: str
    status: Literal["ok", "warning", "broken"]
    message: str
    advice: str = ""


def checks(data_root: Path, results: Path) -> Iterator[Check]:
    """Look at everything; a second, and some more for PyTorch."""
    with ThreadPoolExecutor() as pool:
        # Both start PyTorch in a process of its own.
        torch, weights = pool.submit(probe), pool.submit(_weights)
        yield Check("detbench", "ok", f"{__version__}{_commit()}")
        yield Check("python", "ok", f"{platform.python_version()} in {sys.prefix}")
        yield from _packages()
        yield from _torch(torch.result())
        yield from _machine()
        yield from _results(results)
        yield from _data(data_root)
        yield weights.result()


def _commit() -> str:
    commit = git_commit()
    return f", commit {commit[:12]}{'+' if commit.endswith('+') else ''}" if commit else ""


def _packages() -> Iterator[Check]:
    """Every package that detbench needs, of a version that is new enough."""
    try:
        needed = metadata.requires("detbench") or []
    except metadata.PackageNotFoundError:
        advice = "pip install -e . in the checkout"
        yield Check("packages", "warning", "detbench is not installed, only found", advice)
        return
    bad = []
    count = 0
    for one in map(Requirement, needed):
        if one.marker and not one.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            found = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            bad.append(f"{one.name} is not installed")
            continue
        if not new_enough(found, one.specifier):
            bad.append(f"{one.name} {found} is older than {str(one.specifier).lstrip('>=')}")
    if bad:
        yield Check("packages", "broken", "; ".join(bad), "pip install --upgrade detbench")
    else:
        yield Check("packages", "ok", f"all {count} are installed and new enough")


def new_enough(version: str, needed: SpecifierSet) -> bool:
    """Whether it is; vendors' builds before a release (``2.6.0a0+nv``) count as that."""
    return needed.contains(version) or needed.contains(Version(version).base_version)


def _torch(found: dict[str, Any]) -> Iterator[Check]:
    if "No module named 'detbench'" in found.get("error", ""):
        said = "detbench is found by this process alone, not by those that it starts"
        advice = f"pip install -e . in the checkout, or export PYTHONPATH={HOME}"
        yield Check("torch", "broken", said, advice)
        return
    if "error" in found:
        advice = "install PyTorch again: https://pytorch.org/get-started/locally"
        yield Check("torch", "broken", found["error"], advice)
        return
    build = f"for CUDA {found['cuda']}" if found["cuda"] else "for the CPU"
    versions = f"torch {found['torch']} ({build}), torchvision {found['torchvision']}"
    if found["ops"]:
        advice = "install the torchvision that belongs to this torch"
        yield Check("torch", "broken", f"{versions}: operators do not work: {found['ops']}", advice)
    else:
        yield Check("torch", "ok", versions)
    yield from _devices(found)


def _devices(found: dict[str, Any]) -> Iterator[Check]:
    for device in found["devices"]:
        memory = f", {device['memory'] / GB:.0f} GB" if device["memory"] else ""
        if device["error"]:
            advice = "look at the driver with nvidia-smi, or use --device cpu"
            said = f"{device['name']}{memory}: does not compute: {device['error']}"
            yield Check("device", "broken", said, advice)
        elif device["name"] != "cpu":
            version = driver()
            said = f"{device['name']}{memory}{f', driver {version}' if version else ''}"
            yield Check("device", "ok", said)
    if len(found["devices"]) > 1:
        return
    if driver():
        advice = "install a build of PyTorch for this driver, or look at CUDA_VISIBLE_DEVICES"
        said = f"a driver ({driver()}) is here and PyTorch sees no GPU"
        yield Check("device", "warning", said, advice)
    else:
        yield Check("device", "ok", "cpu: no GPU here; profile smoke is made for that")


def _machine() -> Iterator[Check]:
    count, omp = usable(), os.environ.get("OMP_NUM_THREADS")
    said = f"{count} processors for this process"
    if omp:
        said += f", OMP_NUM_THREADS={omp}"
    yield Check("threads", "ok", f"{said}; a run shares them among its --jobs")
    memory = psutil.virtual_memory()
    said = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free"
    low = memory.available < LITTLE_MEMORY
    advice = "end other programs, or run with --jobs 1"
    yield Check("memory", "warning" if low else "ok", said, advice if low else "")
    shared = Path("/dev/shm")
    if shared.is_dir() and (free := shutil.disk_usage(shared).free) < LITTLE_SHARED:
        advice = "give the container more (docker run --shm-size=2g): data loaders need it"
        yield Check("shared memory", "warning", f"{free / GB:.2f} GB free in {shared}", advice)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < FEW_FILES:
        yield Check("open files", "warning", f"at most {files}", "ulimit -n 4096")


def _results(root: Path) -> Iterator[Check]:
    folder = root.absolute()
    while not folder.exists():
        folder = folder.parent
    advice = "choose another folder with --results or $DETBENCH_RESULTS"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Check("results", "broken", f"{folder} cannot be written", advice)
    elif root.is_dir():
        yield _writable(root, advice)
    else:
        yield Check("results", "ok", f"{root} is not there yet: the first run makes it")
    if folder.is_dir():
        yield _disk(folder)
    if (root / "cells").is_dir():
        yield _store(root)


def _writable(root: Path, advice: str) -> Check:
    """Whether a results folder takes files and locks."""
    probe = root / "work" / f"doctor-{os.getpid()}"
    try:
        lock = Lock(probe / "lock")
        taken = lock.acquire()
        write_atomic(probe / "file", b"x")
        lock.release()
    except StoreError as error:
        return Check("results", "broken", str(error).partition(":")[0], advice)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    if not taken:
        said = f"{root}: its file system grants no locks"
        return Check("results", "broken", said, advice)
    return Check("results", "ok", f"{root} takes files and locks")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    said = f"{free / GB:.1f} GB free in {folder}"
    if free >= LITTLE_DISK:
        return Check("disk", "ok", said)
    advice = "free some (detbench results prune --weights), or choose another --results"
    return Check("disk", "broken" if free < NO_DISK else "warning", said, advice)


def _store(root: Path) -> Check:
    """How many cells there are, and whether their numbers can be read."""
    try:
        found = inventory.scan(root)
    except StoreError as error:
        return Check("store", "broken", str(error), "mend the folder's permissions")
    counts = {"done": 0, "failed": 0}
    bad = []
    for cell in found.cells:
        if cell.measured is None:
            continue
        try:
            inventory.rows(cell.measured, cell)
        except (Damaged, StoreError) as error:
            bad.append(f"{cell.measured.name[:24]}...: {error}")
        else:
            counts["done" if cell.done else "failed"] += 1
    said = f"{counts['done']} cells done, {counts['failed']} failed"
    if bad:
        advice = "detbench results verify names them, detbench results prune --yes moves them aside"
        return Check("store", "broken", f"{said}, {len(bad)} unreadable ({bad[0]})", advice)
    return Check("store", "ok", said)


def _data(root: Path) -> Iterator[Check]:
    if not root.is_dir():
        asked = os.environ.get("DETBENCH_DATA") == str(root)
        said = f"{root} is not there" + (", but DETBENCH_DATA names it" if asked else "")
        advice = "mend DETBENCH_DATA, or unset it" if asked else ""
        yield Check("data", "broken" if asked else "ok", f"{said}; shapes is embedded", advice)
        return
    here: list[str] = []
    gone: list[str] = []
    for name, data in named().items():
        shown = f"{name} (embedded)" if data.drawn else name
        (gone if data.why_missing(root) else here).append(shown)
    said = f"{root}: {', '.join(here)}" + (f"; not found: {', '.join(gone)}" if gone else "")
    yield Check("data", "ok", said)


def _weights() -> Check:
    try:
        every = weights_inventory.take()
    except DetbenchError as error:
        return Check("weights", "warning", str(error), "see torch, above")
    own = [one for one in every if one.origin == embedded.ORIGIN]
    named = [one for one in every if one.detectors and one not in own]
    here = [one.name for one in named if one.here]
    said = f"{len(here)} of the {len(named)} that recipes name are here"
    damaged = [one for one in own if not one.here]
    said += f", and {len(own) - len(damaged)} embedded ones"
    if damaged:
        said += f"; damaged or unreadable: {', '.join(one.name for one in damaged)}"
        return Check("weights", "warning", said, damaged[0].advice)
    return Check("weights", "ok", f"{said}; detbench weights list")
