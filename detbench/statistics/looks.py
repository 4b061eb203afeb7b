"""How many seeds: fixed before anything is trained, or two looks that were planned.

Adding seeds until something shows finds differences that are not there: where methods are equal, a
fixed three finds one in 3.3 %, three and then six on demand in 6.9 %, and a look after each of
three to six in 9.5 %. Two planned looks share the 5 % (Bonferroni's spending; Jennison and
Turnbull 2000): 0.01 at three seeds and 0.04 at six, together 4.0 % with nearly the power of six.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detbench.errors import RecipeError

PLANNED = {3: 0.01, 6: 0.04}
"""Seeds of each planned look -> the share of 5 % that it spends."""


@dataclass(frozen=True)
class Look:
    """How sure one look must be.

    Attributes:
        seeds: of each side.
        alpha: p up to which a difference is found.
        planned: seeds of all looks; empty for one look with a number fixed in advance.
        seen: numbers of seeds that this table was looked at with, ascending, this one among them;
            empty where that is not known.
    """

    seeds: int
    alpha: float = 0.05
    planned: tuple[int, ...] = ()
    seen: tuple[int, ...] = ()

    @property
    def grown(self) -> bool:
        """Whether it was looked at with fewer seeds before, without a plan."""
        return not self.planned and any(1 < one < self.seeds for one in self.seen)


def look(seeds: int, planned: Sequence[int] = (), seen: Sequence[int] = ()) -> Look:
    """The level of a look.

    Args:
        seeds: of each side.
        planned: 3 and 6, or nothing.
        seen: numbers of seeds of the looks so far.

    Raises:
        RecipeError: other looks are planned, or ``seeds`` is none of them.
    """
    known = tuple(sorted({*seen, seeds})) if seen else ()
    if not planned:
        return Look(seeds, seen=known)
    if tuple(planned) != tuple(PLANNED):
        raise RecipeError(
            f"--looks {','.join(map(str, planned))}: 3,6 are the looks whose errors are known"
        )
    if seeds not in PLANNED:
        raise RecipeError(
            f"--looks 3,6 with {seeds} seed{'s' if seeds > 1 else ''}: give 3 seeds, or 6, as in "
            "--seeds 0,1,2"
        )
    return Look(seeds, PLANNED[seeds], tuple(planned), known)
