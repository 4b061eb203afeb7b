"""The command lines that messages tell the user to give: they work as they are printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from detbench.results.store import Store
from detbench.runner.plan import Plan, Standing, Task


def run(plan: Plan, rows: Iterable[str] = (), *switches: str) -> str:
    """``detbench run`` of what was asked for, as it was asked for.

    Args:
        rows: labels of only these rows; all that were asked for if none is named.
        switches: as ``--retry-failed``.
    """
    asked = plan.asked
    words = ["detbench", "run", _table(plan)]
    labels = ",".join(map(pattern, rows)) or (asked.rows if asked else None)
    words += ["--rows", labels] if labels else []
    words += ["--profile", (asked.profile if asked else None) or plan.profile.id]
    words += ["--seeds", ",".join(map(str, plan.seeds))] if plan.seeds != (0,) else []
    return shlex.join([*words, *_changes(plan), *switches])


def report(plan: Plan) -> str:
    """``detbench report`` of a table."""
    return shlex.join(["detbench", "report", _table(plan), "--profile", plan.profile.id])


def latency(plan: Plan, label: str = "") -> str:
    """``detbench latency`` of the networks that are trained for a table, or for one of its rows."""
    asked = plan.asked
    words = ["detbench", "latency", f"{_table(plan)}:{label}" if label else _table(plan)]
    words += ["--profile", (asked.profile if asked else None) or plan.profile.id]
    return shlex.join([*words, *_changes(plan)])


def analyze(plan: Plan, kind: str, labels: Iterable[str], *switches: str) -> str:
    """``detbench analyze`` of rows, the baseline first, with the seeds that were asked for.

    Args:
        switches: as ``--images``, ``100``.
    """
    asked = plan.asked
    words = ["detbench", "analyze", kind, *(f"{_table(plan)}:{one}" for one in labels), *switches]
    words += ["--profile", (asked.profile if asked else None) or plan.profile.id]
    words += ["--seeds", ",".join(map(str, plan.seeds))] if plan.seeds != (0,) else []
    return shlex.join([*words, *_changes(plan)])


def _changes(plan: Plan) -> list[str]:
    """What was asked for other than the table has it."""
    asked = plan.asked
    if asked is None:
        return []
    words = [word for one in asked.overrides for word in ("--set", one)]
    return [*words, *(["--dataset", asked.dataset] if asked.dataset else [])]


def again(plan: Plan, label: str, tasks: Iterable[Task], store: Store) -> str:
    """``detbench run`` that makes what is not there of a row's trainings: weights, a curve,
    detections. Where their numbers are stored, which ``run`` would leave alone, it says so, and
    trains again.
    """
    statuses = {store.status(task.digest) for task in tasks}
    if "failed" in statuses:
        return f"{run(plan, [label], '--retry-failed')} trains it again, as it failed"
    if statuses == {"done"}:
        command = run(plan, [label], "--fresh")
        return f"its numbers are stored alone: {command} trains it again"
    return f"{run(plan, [label])} makes it"


def pattern(label: str) -> str:
    """What ``--rows`` takes for just this label, whose own commas and wildcards mean nothing."""
    return re.sub(r"[*?\[]", r"[\g<0>]", label).replace(",", "?")


def rest(plan: Plan, stand: Standing) -> str:
    """What to do about cells that are not there; empty if all are."""
    said = [f"{run(plan)} runs what is missing"] if stand.missing else []
    said += [f"{run(plan, (), '--retry-failed')} runs again what failed"] if stand.failed else []
    return "; ".join(said)


def _table(plan: Plan) -> str:
    """Its id, or the file that it is read from."""
    return plan.asked.table if plan.asked else plan.table.id
