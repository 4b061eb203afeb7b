"""``features``: which maps a task reads.

An option is an ``nn.Module`` with ``forward(pyramid) -> list[Tensor]``, one map per pyramid level,
and two attributes: ``channels`` of those maps and ``coarseness``, the factor by which a map's
resolution is lower than its level's (1, or 2 for TSCODE's classification maps).
"""

from detbench.stages.features.pyramid import Pyramid

__all__ = ["Pyramid"]
