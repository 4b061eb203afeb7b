"""Made tables with known effects, through a store: the verdicts are right, as often as is said."""

from __future__ import annotations

from pathlib import Path

import made_claims
import pytest
from made_claims import CLAIMS

from detbench.report import verdicts


def wrong(root: Path, number: int) -> dict[str, str]:
    """The claims of one made table whose verdict is not right, with what it is."""
    found = verdicts.judged(made_claims.results(root, number))
    assert [one.finding.claim.says for one in found] == list(CLAIMS)
    said = {one.finding.claim.says: one.ruling.verdict for one in found}
    return {claim: verdict for claim, verdict in said.items() if verdict not in CLAIMS[claim][1]}


def test_a_made_table_gets_the_right_verdicts(tmp_path: Path) -> None:
    assert wrong(tmp_path, 0) == {}


@pytest.mark.slow
def test_two_hundred_made_tables(tmp_path: Path) -> None:
    found = [wrong(tmp_path / str(number), number) for number in range(200)]
    right = sum(not one for one in found)
    against = sum(
        verdict == "contradicted" and claim in made_claims.TRUE
        for one in found
        for claim, verdict in one.items()
    )
    print(f"{right} of 200 tables right; {against} true claims contradicted")
    print([one for one in found if one])
    assert right >= 190
    # In so many tables at most.
    assert against <= 0.03 * 200
