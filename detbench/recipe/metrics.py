"""The table of metrics: how a column is called and printed, and what gives its number. No torch.

A new metric is one entry of ``METRICS`` and, unless it is another mean of COCO's arrays, the
function or field that its ``source`` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Block = Literal["score", "mask score", "sized", "own score", "cost", "cited", "error"]


@dataclass(frozen=True)
class Metric:
    """A column of a table.

    Attributes:
        key: in ``columns`` and ``published``; of a detector's scores also in the store.
        block: where it stands and what it needs. ``score``: a mean of COCO's arrays, on any data.
            ``mask score``: the same of masks, where they are detected. ``sized``: one that is not
            stored, but computed from stored detections. ``own score``: of a data set's own protocol
            alone. All are fractions, printed in percent. ``cost``: of the paper-size detector,
            without training. ``cited``: printed by papers, never measured by a run. ``error``: AP50
            that mending errors would gain, from stored detections, in points; never in
            ``published``.
        name: what its column is called; empty is the key.
        digits: decimals it is printed with.
        unit: of a stored number.
        lower: less is better.
        recall, area, iou: of a score: recall in place of precision; ``s``, ``m`` or ``l`` for
            small, medium or large objects alone; one IoU threshold in percent, else all ten.
        source: of a cost the function ``module:name``, called with a ``measure.figures.Counted``;
            of an error the field of ``ErrorTypes``.
        group: the word for several columns, as in ``--columns +errors``.
    """

    key: str
    block: Block
    name: str = ""
    digits: int = 1
    unit: str = "fraction"
    lower: bool = False
    recall: bool = False
    area: str = ""
    iou: int | None = None
    source: str = ""
    group: str = ""

    @property
    def title(self) -> str:
        """What its column is called."""
        return self.name or self.key


def _cost(key: str, name: str, unit: str, digits: int, function: str) -> Metric:
    source = f"detbench.measure.figures:{function}"
    return Metric(key, "cost", name, digits, unit, lower=True, source=source)


def _error(name: str) -> Metric:
    return Metric(f"E_{name}", "error", name.capitalize(), lower=True, source=name, group="errors")


_SCORES = (
    Metric("AP", "score"),
    *(Metric(f"AP{iou}", "score", iou=iou) for iou in range(50, 100, 5)),
    *(Metric(f"AP{area}", "score", area=area) for area in "sml"),
    *(Metric(f"AR{area}", "score", recall=True, area=area) for area in ("", "s", "m", "l")),
)
MASK = "mask"
"""Before the key of a score, it is that of masks."""

METRICS: dict[str, Metric] = {
    one.key: one
    for one in (
        *_SCORES,
        *(replace(one, key=MASK + one.key, block="mask score") for one in _SCORES),
        # Of objects of one size at one IoU threshold (TSD, Table 9).
        *(
            Metric(f"AP{area}{iou}", "sized", area=area, iou=iou)
            for area in "sml"
            for iou in range(50, 100, 5)
        ),
        # Pascal VOC's mean AP: over 11 points of recall; the area below the curve.
        Metric("VOC07", "own score"),
        Metric("VOC", "own score"),
        # WIDER FACE's AP in its three settings.
        *(
            Metric(f"wider-{setting}", "own score", setting.capitalize())
            for setting in ("easy", "medium", "hard")
        ),
        # OpenImages' mean AP at IoU 0.5.
        Metric("openimages", "own score", "AP50 (OpenImages)", digits=2),
        _cost("gflops", "GFLOPs", "GFLOPs", 2, "gflops"),
        # Trainable parameters, and all of them.
        _cost("params_m", "Params (M)", "M", 2, "trainable"),
        _cost("total_params_m", "All params (M)", "M", 1, "parameters"),
        # Weights of the loc head's convolutions in units of 2^20, as Double-Head counts them.
        _cost("loc_convs_mi", "Conv head (Mi)", "Mi", 2, "loc_convolutions"),
        # OpenImages' AP on its challenge's private test set, by the public leaderboard.
        Metric("openimages-lb", "cited", "AP50 (leaderboard)", 3),
        # Seconds, or milliseconds, per image on the paper's GPU.
        Metric("runtime_s", "cited", "s / image", 3, "s", lower=True),
        Metric("runtime_ms", "cited", "ms / image", 1, "ms", lower=True),
        # Images per second on it.
        Metric("fps", "cited", "FPS", 1, "1/s"),
        # TIDE's six types of errors (Bolya et al. 2020), then all false positives and negatives.
        *(_error(name) for name in ("cls", "loc", "both", "dupe", "bkg", "miss")),
        Metric("E_fp", "error", "FP", lower=True, source="false_positive"),
        Metric("E_fn", "error", "FN", lower=True, source="false_negative"),
    )
}
"""Every metric, in the order in which messages list them."""


def of(*blocks: Block) -> tuple[str, ...]:
    """Keys of the metrics of some blocks."""
    return tuple(key for key, one in METRICS.items() if one.block in blocks)


def find(key: str) -> Metric:
    """The metric of a key; of one that this release does not know, a score without a name."""
    return METRICS.get(key) or Metric(key, "score")


SCORES = of("score")
SIZED = of("sized")
MASK_SCORES = of("mask score")
COSTS = of("cost")
CITED = of("cited")
ERRORS = of("error")
COLUMNS = tuple(METRICS)
"""Keys of ``columns``."""

PUBLISHED = tuple(key for key in METRICS if key not in ERRORS)
"""Keys of ``published``."""

GROUPS = {
    group: tuple(key for key, one in METRICS.items() if one.group == group)
    for group in dict.fromkeys(one.group for one in METRICS.values() if one.group)
}
"""Words that stand for several columns."""


def listed(keys: Iterable[str]) -> str:
    """Keys by commas, for messages; of many of a kind the first and the last."""
    many = {key: f"{kind[0]} to {kind[-1]}" for kind in (SIZED, MASK_SCORES) for key in kind}
    return ", ".join(dict.fromkeys(many.get(key, key) for key in keys))


def any_of(keys: Iterable[str], *blocks: Block) -> bool:
    """Whether a metric of some blocks is among ``keys``."""
    return any(key in METRICS and METRICS[key].block in blocks for key in keys)
