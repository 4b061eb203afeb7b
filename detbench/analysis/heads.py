"""Inside the heads of a two-stage detector: the first fc layer, and maps before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from detbench.stages.sampling import Regions

if TYPE_CHECKING:
    from detbench.analysis.kind import Floats
    from detbench.analysis.regions import Image


@dataclass(frozen=True)
class Head:
    """One head of the main branch.

    Attributes:
        name: whose it is: ``cls``, ``loc``, or ``both``.
        module: from pooled maps (K, C, s, s) to vectors.
        task: whose sampling it reads.
        size: s.
    """

    name: str
    module: nn.Module
    task: str
    size: int

    @property
    def first(self) -> nn.Linear | None:
        """The layer that takes the flattened region; none of a head that keeps the map."""
        layers = (one for one in self.module.modules() if isinstance(one, nn.Linear))
        return next(layers, None)


def heads(network: Any) -> Iterator[Head]:
    """The heads of a detector's main branch, each once."""
    branch = network.main
    options = branch.sampling.tasks
    if branch.heads.shared:
        yield Head("both", branch.heads.tasks.cls, "cls", options.cls.size)
        return
    for task in ("cls", "loc"):
        yield Head(task, getattr(branch.heads.tasks, task), task, getattr(options, task).size)


def by_cell(layer: nn.Linear, size: int) -> Tensor:
    """(s s, C, out): a layer's weights on the flattened region, cell by cell."""
    weight = layer.weight.detach().float()
    return weight.reshape(len(weight), -1, size * size).permute(2, 1, 0)


def correlations(vectors: Floats) -> Floats:
    """(n, n): cosines of (n, d) vectors less their means: Pearson's correlation."""
    return cosines(vectors - vectors.mean(axis=1, keepdims=True))


def cosines(vectors: Floats) -> Floats:
    """(n, n): cosines of (n, d) vectors; 0 with a vector of length 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return np.asarray(unit @ unit.T)


def weights(network: Any) -> dict[str, Floats]:
    """Of each head with a first fc layer, (s s, s s): the correlation of its weights between
    cells.
    """
    found = {}
    for head in heads(network):
        if head.first is not None:
            cells = by_cell(head.first, head.size).flatten(1).double().cpu().numpy()
            found[head.name] = correlations(cells)
    return found


@torch.inference_mode()
def maps(image: Image, boxes: Floats) -> dict[tuple[str, str], Floats]:
    """(head, ``input`` or ``output``) to (K, s s, s s): cosines of the cells of each box's map.

    A head that keeps the map gives its last one; of one that begins with an fc layer the output is
    put together again cell by cell, each with its own part of the weights (Double-Head, Figure 8).
    """
    branch, rois = image.network.main, image.rois(boxes)
    regions = image.pyramids.map(lambda pyramid: Regions(pyramid, rois))
    pooled = branch.pool(regions)
    found = {}
    for head in heads(image.network):
        before = getattr(pooled, head.task).features
        after = _after(head, before)
        for name, each in (("input", before), ("output", after)):
            if each is not None:
                cells = each.flatten(2).transpose(1, 2).double().cpu().numpy()
                found[head.name, name] = np.stack([cosines(one) for one in cells])
    return found


def _after(head: Head, features: Tensor) -> Tensor | None:
    """(K, out, s, s): the head's map; none of a head that has neither."""
    if head.first is not None:
        cells = by_cell(head.first, head.size)
        flat = torch.einsum("kcs,sco->kos", features.flatten(2), cells)
        return flat.reshape(len(flat), -1, head.size, head.size)
    kept: list[Tensor] = []
    handles = [
        one.register_forward_hook(lambda _, __, out: kept.append(out))
        for one in head.module.modules()
    ]
    try:
        head.module(features)
    finally:
        for handle in handles:
            handle.remove()
    maps = [one for one in kept if one.dim() == 4 and one.shape[-1] > 1]
    return maps[-1] if maps else None
