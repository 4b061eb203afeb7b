"""A training that goes on longer than it was planned to, from the checkpoint of the shorter one.

Nothing of a schedule moves by itself: the learning rate at an iteration is what the settings say
for the new length, where steps' drops stay where they state them, and a cosine over all or one
cycle is stretched. If every rate so far is that of the longer training, the two are the same
function of their iterations, and the extended one ends with the same bits as one that was never
stopped. Otherwise it is a training of its own, which is remembered in its files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detbench.errors import WeightsError
from detbench.recipe.experiment import Training
from detbench.training import schedule, validation

Extended = tuple[int, ...]
"""After which iterations a training went on that differs from the one of its settings."""

logger = logging.getLogger(__name__)


def of(content: Mapping[str, Any]) -> Extended:
    """What a checkpoint or a file of weights says of itself; empty where it was not extended."""
    return tuple(int(one) for one in content.get("extended", ()))


def said(extended: Extended) -> str:
    """What is to be known of such a training, in words."""
    places = " and ".join(map(str, extended))
    return (
        f"extended after iteration {places} from a shorter training with other learning rates, so "
        "that it is not the training of its settings"
    )


def extend(content: Mapping[str, Any], training: Training, per_epoch: int, path: Path) -> Extended:
    """How a training would go on from a checkpoint of its kin; logs it.

    Args:
        content: of the checkpoint.
        per_epoch: iterations of an epoch, of both.
        path: of the checkpoint, for messages.

    Raises:
        WeightsError: more is done than is asked for, or the checkpoint is another detbench's.
    """
    done, total = int(content["iteration"]), schedule.iterations(training, per_epoch)
    try:
        before = Training.of_plain(content.get("training"))
    except ValidationError as error:
        raise WeightsError(
            f"{path}: its settings are of another detbench: choose another folder or delete it"
        ) from error
    why = _differs(before, training, done, per_epoch) or _chosen(content, training, per_epoch)
    if total < done or (total == done and why):
        raise WeightsError(
            f"{path}: {done} iterations are done{', under another schedule' if why else ''}, and "
            f"{total} asked for: ask for more, or choose another folder"
        )
    extended = of(content)
    if not why and not extended:
        logger.info("%s", _equal(done, total))
        return ()
    if why:
        extended = (*extended, done)
        logger.warning("it goes on from iteration %d to %d: %s", done, total, why)
    logger.warning("%s", said(extended))
    return extended


def _equal(done: int, total: int) -> str:
    return (
        f"it goes on from iteration {done} to {total}, where it will be, bit for bit, what a "
        "training of that length is: every learning rate so far is the same"
    )


def _differs(before: Training, now: Training, done: int, per_epoch: int) -> str:
    """The first iteration at which the two trainings' learning rates differ; empty if in none."""
    for iteration in range(done):
        was = schedule.rate(before, iteration, per_epoch)
        wanted = schedule.rate(now, iteration, per_epoch)
        if was != wanted:
            return (
                f"its learning rate at iteration {iteration + 1} was {was:.4g}, where the longer "
                f"schedule has {wanted:.4g}"
            )
    return ""


def _chosen(content: Mapping[str, Any], now: Training, per_epoch: int) -> str:
    """Whether its best weights are of an iteration at which the longer one does not look."""
    best = (content.get("validations") or {}).get("best") or {}
    every = validation.interval(now, per_epoch)
    if not now.chosen_by or not best or not every or int(best["iteration"]) % every == 0:
        return ""
    return (
        f"its best weights are those of iteration {best['iteration']}, its end, at which the "
        "longer training does not look"
    )
