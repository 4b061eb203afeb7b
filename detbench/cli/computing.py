"""What ``run`` does of a table or a figure: compute what is missing, and say how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from detbench.cli import common

if TYPE_CHECKING:
    from detbench.results.store import Store
    from detbench.runner.options import Options
    from detbench.runner.plan import Plan
    from detbench.runner.run import Outcome


def compute(chosen: Plan, store: Store, options: Options) -> Outcome:
    """Run what is missing of a plan; what the user should know before is said."""
    from detbench.runner import display, plan
    from detbench.runner.run import run

    root = options.data_root
    missing = chosen.tasks if options.fresh else plan.standing(store, chosen.tasks).missing
    if missing:
        plan.check_data(chosen, root)
        plan.check_weights(missing)
        said = (*chosen.warnings, *plan.outdated(store, missing), *plan.misfits(missing, root))
        for sentence in said:
            common.say(sentence)
    settled = options.settled(light=chosen.profile.light is not None)
    return run(chosen.tasks, store, settled, display.display)


def told(outcome: Outcome) -> None:
    """Say what failed, and exit with the code that it asks for."""
    for task, reason in outcome.failed.items():
        common.say(f"detbench: {task.label} failed: {reason}")
    for message in outcome.to_mend:
        common.say(f"detbench: {message}")
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
