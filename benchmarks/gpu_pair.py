"""One of two processes of ``gpu.py``: half a batch each, on one device, by gloo."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from gpu_checks import network, scene
from torch import Tensor

from detbench.sharding import Shard, on_shard
from detbench.training import norms
from detbench.training.distributed import Team


def gradient(one: Any) -> Tensor:
    """Of all parameters, on the CPU."""
    known = [p.grad.flatten() for p in one.parameters() if p.grad is not None]
    return torch.cat(known).cpu()


def main() -> None:
    rank, device = int(os.environ["RANK"]), torch.device(sys.argv[1])
    dist.init_process_group("gloo")
    control = dist.new_group(backend="gloo")
    if not isinstance(control, dist.ProcessGroup):
        raise RuntimeError("gloo made no group")
    team = Team(rank, 2, 2, control)
    images, targets = scene()
    images, marks = images.to(device), targets.to(device)
    alone, shared = network("fcos-r50").to(device), network("fcos-r50").to(device)
    norms.see_whole_batch(shared)  # as the training loop does
    whole = torch.stack(list(alone.losses(images, marks).values())).sum()
    whole.backward()
    rows = slice(rank, rank + 1)
    half = replace(
        marks,
        boxes=marks.boxes[rows],
        labels=marks.labels[rows],
        valid=marks.valid[rows],
        sizes=None if marks.sizes is None else marks.sizes[rows],
    )
    generator = torch.Generator(device).manual_seed(0)
    with on_shard(Shard(rank, 2, 2, False, generator, control)):
        parallel = team.losses(shared)  # which the backward pass needs
        found = parallel(images[rows], half, 0.0)
        total = torch.stack(list(found.values())).sum()
        total.backward()
    _, both = team.whole(found, total, False)
    ours, theirs = gradient(alone), gradient(shared)
    said = {
        "rank": rank,
        "loss": float(((both - whole).abs() / whole.abs()).detach()),
        "gradient": float((ours - theirs).norm() / ours.norm()),
    }
    print(json.dumps(said), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
