"""Stored latencies: what determines one, its rows in the store, and those that a store has.

A cell is one detector's time on one machine under some settings. Measured again there it is
replaced; another machine's is another cell. No torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from detbench.recipe.base import DigestOf, Spec
from detbench.recipe.detector import Detector
from detbench.recipe.digest import digest
from detbench.recipe.model import Positive
from detbench.results.files import reading
from detbench.results.schema import Measurement
from detbench.results.store import Store

log = logging.getLogger("detbench")
STEPS = {
    "preprocess": "pre-processing",
    "model": "model",
    "postprocess": "post-processing",
    "total": "total",
    "postprocess_no_nms": "post-processing without NMS",
    "total_no_nms": "total without NMS",
}
"""Parts of a pass, as they are called in the store and in words."""
MEDIAN, P95 = "{}_ms", "{}_p95_ms"
"""Metrics of a part."""
BUSY = 0.5
"""Load for each core from which on times are longer than they would be alone."""


class Machine(Spec):
    """What must be the same where two times are set side by side.

    Two machines that say the same of themselves count as one.

    Attributes:
        device: that the detector ran on; ``cpu``, the processor, is the same without a GPU.
        cores: that the process may use; ``threads``, that torch takes.
        driver, power_cap_w: of a GPU, where the driver tells.
    """

    device: str
    cpu: str
    cores: Positive
    threads: Positive
    torch: str
    cuda: str | None = None
    driver: str | None = None
    power_cap_w: float | None = None


class LatencyCell(Spec):
    """Everything that determines a time, as far as it is known.

    Attributes:
        weights: sha256 of the file that the weights are of; none are not trained.
        pairs: see ``measure.latency.Settings``.
        suppression: whether post-processing was timed with NMS, without, or both.
    """

    measures: ClassVar[DigestOf] = "latency"

    detector: Detector
    num_classes: Positive
    weights: str | None = None
    input: tuple[Positive, Positive]
    batch: Positive = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    pairs: Positive | None = None
    suppression: Literal["both", "with", "without"] = "both"
    machine: Machine

    @property
    def condition(self) -> str:
        """A digest of all but the detector and its weights: times that share it may be compared."""
        left = self.model_dump(mode="json", exclude={"detector", "weights", "suppression"})
        return hashlib.sha256(json.dumps(left, sort_keys=True).encode()).hexdigest()

    @property
    def words(self) -> str:
        """That in words, the machine first."""
        one, width, height = self.machine, *self.input
        told = [one.device]
        if one.cpu != one.device:
            told.append(f"driver {one.driver}" if one.driver else "driver unknown")
            told += [f"power cap {one.power_cap_w:g} W"] if one.power_cap_w else []
        told.append(f"{one.threads} CPU thread{'s' * (one.threads != 1)} of {one.cores}")
        told.append(f"torch {one.torch}")
        told.append(f"{width}x{height}, batch {self.batch}, {self.precision}")
        told += [] if self.channels_last else ["channels-first"]
        told.append(f"{self.num_classes} classes")
        told.append(f"{self.pairs} candidates per image" if self.pairs else "trained weights")
        return ", ".join(told)


@dataclass(frozen=True)
class Timed:
    """One stored latency.

    Attributes:
        condition: as of its cell; ``words`` say it.
        detector: digest of the detector.
        metrics: name -> milliseconds per batch.
        n: passes that count.
        samples: of each part, milliseconds in the order measured.
    """

    digest: str
    condition: str
    words: str
    detector: str
    cell: LatencyCell = field(repr=False)
    metrics: Mapping[str, float]
    n: int
    samples: Mapping[str, tuple[float, ...]] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)

    def median(self, step: str = "total") -> float | None:
        """Milliseconds per batch; none where that was not timed."""
        return self.metrics.get(MEDIAN.format(step))

    @property
    def load(self) -> float:
        """Processes that kept the processors busy before it was timed, for each core; 0 where that
        is not known. A GPU waits for the processor too: of one image for most of its time.
        """
        state = self.provenance.get("before")
        load = state.get("load") if isinstance(state, dict) else None
        return float(load) / self.cell.machine.cores if isinstance(load, int | float) else 0.0

    @property
    def busy(self) -> str:
        """What is said where other programs used more than half of it; else empty."""
        if self.load <= BUSY:
            return ""
        return f"other programs kept the machine busy (load {self.load:.1f} for each core before)"

    def p95(self, step: str = "total") -> float | None:
        """As ``median``, of the 95th percentile."""
        return self.metrics.get(P95.format(step))


def rows(
    cell: LatencyCell, steps: Mapping[str, Mapping[str, Any]], warmup: int, origin: dict[str, Any]
) -> list[Measurement]:
    """What is stored of a measurement.

    Args:
        steps: part -> ``median_ms``, ``p95_ms``, ``n`` and ``samples_ms``.
        origin: the provenance but for recipe and samples.
    """
    samples = {name: list(one["samples_ms"]) for name, one in steps.items()}
    origin = {**origin, "recipe": cell.model_dump(mode="json"), "samples_ms": samples}
    name, found = digest(cell), []
    for step, one in steps.items():
        how = {
            "step": STEPS[step],
            "n": one["n"],
            "warmup": warmup,
            "condition": cell.words,
            "per": f"batch of {cell.batch}",
        }
        for metric, value in ((MEDIAN, one["median_ms"]), (P95, one["p95_ms"])):
            how = {**how, "statistic": "median" if metric == MEDIAN else "95th percentile"}
            row = Measurement(
                *(name, "latency", metric.format(step), float(value), "ms"),
                protocol=how,
                provenance=origin,
            )
            found.append(row)
    return found


def stored(store: Store) -> list[Timed]:
    """Every latency of a store that can be read, by digest; damaged ones are warned of."""
    with reading(store.cells):
        names = sorted(path.name for path in store.cells.glob("latency-*.parquet"))
    digests = (name.removeprefix("latency-").partition(".")[0] for name in names)
    found = (store.get(one) for one in dict.fromkeys(digests))
    made = []
    for one in found:
        if one is None or one.status != "done":
            continue
        try:
            made.append(timed(one.rows))
        except (ValidationError, KeyError, TypeError, ValueError):
            log.warning(
                "warning: a latency of another detbench is left out: %s", one.rows[0].digest
            )
    return made


def of(detectors: set[str], known: list[Timed]) -> list[Timed]:
    """Those of some detectors, by their digests."""
    return [one for one in known if one.detector in detectors]


def of_detector(detector: Detector, store: Store) -> list[Timed]:
    """Those of a detector in which the whole was timed, NMS included."""
    known = of({digest(detector)}, stored(store))
    return [one for one in known if one.median() is not None]


def fingerprint(found: list[Timed]) -> list[str]:
    """What changes when any of them is measured again."""
    return [f"{one.digest}:{one.provenance.get('ended')}" for one in found]


def timed(found: Sequence[Measurement]) -> Timed:
    """What the rows of a cell say.

    Raises:
        ValueError, KeyError, TypeError: they are of another version of detbench's.
    """
    first = found[0]
    cell = LatencyCell.of_plain(first.provenance.get("recipe"))
    samples = {
        str(name): tuple(map(float, one))
        for name, one in dict(first.provenance["samples_ms"]).items()
    }
    metrics = {row.metric: row.value for row in found if row.value is not None}
    return Timed(
        *(first.digest, cell.condition, cell.words, digest(cell.detector), cell, metrics),
        *(int(first.protocol["n"]), samples, first.provenance),
    )
