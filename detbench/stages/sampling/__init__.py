"""``sampling``: where a task looks.

For dense detectors an option says at which positions of a tower the convolution is deformable;
``Regular`` says at none, and the tower itself is the heads stage's (``stages/heads/tower.py``).

For RoI detectors an option is an ``nn.Module``: ``forward(pyramid, rois, embedding) -> Pooled``,
with ``size``, the side of the pooled map, which the head is made for. Options that shift proposals
say so by ``shifts = True`` and ``hidden``: ``embedding`` is then the first layer of the shift
network, (K, hidden), which both tasks share (TSD, section 2.2); the others ignore it.
"""

from detbench.stages.sampling.regions import Pooled, Regions, RoiPyramid

__all__ = ["Pooled", "Regions", "RoiPyramid"]
