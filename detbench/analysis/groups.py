"""By what objects are parted: COCO's sizes, and thirds of the classes by the baseline's AP.

Double-Head (Wu et al. 2020), section 3.1: classes are ranked by the AP of the baseline, a third
each is easy, medium and hard. No torch.
"""

from __future__ import annotations

import numpy as np

from detbench.analysis.kind import Groups
from detbench.analysis.subjects import Subject
from detbench.errors import StoreError
from detbench.evaluation import accumulate
from detbench.evaluation.matching import match
from detbench.evaluation.metric import bounds
from detbench.evaluation.truth import Truths
from detbench.results.cache import Cache
from detbench.results.store import Store

FEWEST = 3
APS: Cache[list[float | None]] = Cache("class-aps", 1, list, list)


def of(baseline: Subject, store: Store, truths: Truths) -> Groups:
    """Groups of the objects that a baseline was evaluated on.

    Args:
        baseline: the first row's first training.
    """
    _, _, medium, _ = bounds(baseline.cell.evaluation)
    sizes = (float(medium[0]), float(medium[1]))
    fingerprint = None if baseline.content else store.fingerprint(baseline.digest)
    if fingerprint is None:
        return Groups(sizes, reason=f"no detections of {baseline.where} say which are hard")

    def compute() -> list[float | None]:
        results = store.detections_of(baseline.digest, baseline.where)
        ground = truths.of(baseline.cell.data)
        found = match(ground, results, baseline.cell.evaluation, baseline.where)
        precision, _ = accumulate.arrays(found)
        every = precision[..., 0]
        means = [every[:, :, label][every[:, :, label] > -1] for label in range(every.shape[2])]
        return [float(one.mean()) if len(one) else None for one in means]

    try:
        found = APS.of(store, baseline.digest, fingerprint, compute)
    except StoreError as error:
        return Groups(sizes, reason=str(error))
    thirds = by_difficulty(found)
    return Groups(sizes, thirds, "" if thirds else f"fewer than {FEWEST} classes have objects")


def by_difficulty(aps: list[float | None]) -> tuple[int, ...]:
    """The place in ``THIRDS`` of each class, -1 of one without AP; empty of fewer than three.

    Of a number that three does not divide the easier thirds have one more.
    """
    known = [label for label, ap in enumerate(aps) if ap is not None]
    if len(known) < FEWEST:
        return ()
    order = sorted(known, key=lambda label: -(aps[label] or 0.0))
    found = [-1] * len(aps)
    for place, part in enumerate(np.array_split(np.array(order), 3)):
        for label in part.tolist():
            found[label] = place
    return tuple(found)
