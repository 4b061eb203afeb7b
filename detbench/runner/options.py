"""How a run computes, which does not change what comes out. No torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from detbench.errors import DeviceError
from detbench.runner import processors

LauncherName = Literal["local", "ray"]


@dataclass(frozen=True)
class Options:
    """See above.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: cells at once; none takes what the launcher has room for.
        threads: CPU threads of each cell's process; none shares the processors that are free now
            among the jobs. A training that goes on keeps the number it began with.
        retry_failed: compute again what is stored as failed.
        fresh: compute everything again.
        command: starts a cell's process; none is ``python -m detbench.runner.cell``.
        gpus_per_cell: a whole number is also the number of processes that share a cell's batches;
            a fraction lets cells share a GPU.
        launcher: where cells run.
        ray_address: of the Ray cluster; none takes the one that runs here, or starts one.
        cell_timeout: minutes without progress after which a cell is ended as failed; none is never.
    """

    data_root: Path
    device: str = "auto"
    jobs: int | None = 1
    threads: int | None = None
    retry_failed: bool = False
    fresh: bool = False
    command: Sequence[str] | None = None
    gpus_per_cell: float = 1
    launcher: LauncherName = "local"
    ray_address: str | None = None
    cell_timeout: float | None = None

    @property
    def processes(self) -> int:
        """Processes of a cell."""
        return max(1, int(self.gpus_per_cell))

    def settled(self, light: bool) -> Options:
        """These options, checked, with a number of jobs for this machine where none is given.

        Args:
            light: whether the profile takes a light network.

        Raises:
            DeviceError: this machine has not the GPUs, or torchrun started this process.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise DeviceError(
                "`detbench run` starts the processes of its cells itself: start it without "
                "torchrun, with --gpus-per-cell"
            )
        check_gpus(self)
        if self.ray_address is not None and self.launcher != "ray":
            raise DeviceError("--ray-address does nothing here: it goes with --launcher ray")
        if self.launcher == "ray":
            return self
        jobs = self.jobs or default_jobs(light, self.device, self.gpus_per_cell)
        return replace(self, jobs=jobs)


def default_jobs(light: bool, device: str, gpus_per_cell: float = 1) -> int:
    """Cells at once on this machine: as many as its GPUs have room for.

    Light networks gain nothing from a second thread and little from a GPU of their own, so where
    no GPU is named one cell runs per processor, at most eight, so that their memory fits.
    """
    if light and not device.startswith("cuda"):
        return max(1, min(processors.usable(), 8) // max(1, int(gpus_per_cell)))
    return max(1, int(len(gpus(device)) / gpus_per_cell))


def gpus(device: str = "auto") -> list[str]:
    """The GPUs that cells on ``device`` may be spread over, by their CUDA names; none for one
    that is named by number, and on a machine without.
    """
    if device not in ("auto", "cuda"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=30
    )
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(number) for number in range(count)] if listed.returncode == 0 else []


def check_gpus(options: Options) -> None:
    """Raise ``DeviceError`` if this machine has not the GPUs that a cell asks for.

    A cluster is asked when it is there.
    """
    each, device = options.gpus_per_cell, options.device
    if not each > 0 or (each > 1 and each != int(each)):
        raise DeviceError(
            f"--gpus-per-cell {each:g}: give a whole number, or a fraction below 1 for cells that "
            "share a GPU"
        )
    if each < 1 and options.launcher == "local" and not (device.startswith("cuda") or gpus(device)):
        raise DeviceError(
            f"--gpus-per-cell {each:g} does nothing here: there is no GPU to share; --jobs says "
            "how many cells run at once"
        )
    if device == "cpu" or each <= 1:
        return
    if device.startswith("cuda:"):
        raise DeviceError(f"--gpus-per-cell {each:g} with --device {device}: use --device cuda")
    found = len(gpus(device))
    if found < each and options.launcher == "local":
        raise DeviceError(
            f"--gpus-per-cell {each:g}, and this machine has {found or 'no'} GPUs: ask for fewer, "
            "or take --device cpu for processes on the CPU"
        )
