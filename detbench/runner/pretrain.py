"""Making embedded weights: a detector is trained, and its backbone kept in a small file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from detbench.evaluation.run import score, scorer
from detbench.recipe import embedded
from detbench.recipe.pretraining import Wanted
from detbench.recipe.table import Profile
from detbench.results.files import write_atomic
from detbench.training import folder, loop
from detbench.training.host import Host

State = dict[str, Tensor]
LARGEST_BYTES = 3_000_000
"""Above this the convolutions are kept in half precision; norms never are."""


def make(wanted: Wanted, profile: Profile, output: Path, host: Host) -> Path:
    """Train what ``wanted`` says, or finish training it, and write its backbone's file.

    Args:
        output: folder of the file, and until that is written of the training's checkpoint too: so
            one that was stopped goes on. It is made if it is not there.

    Returns:
        The file.

    Raises:
        CellFailed: the loss became NaN or infinite.
        StoreError: no space left, or ``output`` cannot be written.
    """
    work = output / f"work-{wanted.id}-{wanted.digest[:8]}"
    path = output / f"{wanted.id}{embedded.SUFFIX}"
    with folder.held(work, host.team):
        looks = scorer(wanted.cell, host)
        detector = loop.train(wanted.cell, work, host, allow_partial=None, scorer=looks)
        found = score(detector, wanted.cell, host)
        backbone = detector.get_submodule("backbone")
        write(path, backbone.state_dict(), wanted.provenance(profile, found.metrics["AP"]))
        shutil.rmtree(work, ignore_errors=True)
    return path


def write(path: Path, state: State, provenance: dict[str, object]) -> None:
    """Write a backbone's weights and how they were made: the same bytes for the same of both.

    Args:
        state: on whatever device, in whatever memory format.

    Raises:
        StoreError: no space left, or the folder cannot be written.
    """
    # One entry alone: safetensors does not write several in a fixed order.
    header = {embedded.KEY: json.dumps(provenance, sort_keys=True)}
    write_atomic(path, save(_small(state), header))


def _small(state: State) -> State:
    """The tensors as they are written; a large file's convolutions in half precision."""
    found = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if sum(tensor.nbytes for tensor in found.values()) <= LARGEST_BYTES:
        return found
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in found.items()}
