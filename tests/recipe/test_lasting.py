"""A stored result survives a release, unless a fault of its option was mended."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

from detbench.recipe import resolve
from detbench.recipe.assignment import AtssAssignment
from detbench.recipe.base import Revision, Spec
from detbench.recipe.digest import canonical, digest, former, training
from detbench.recipe.experiment import AdamW, Cell, Evaluation, Sgd, Training
from detbench.runner.job import CostCell


class LaterSgd(Sgd):
    """Renamed, with a new setting."""

    added: ClassVar[frozenset[str]] = Sgd.added | frozenset({"nesterov", "sizes"})

    kind: Literal["momentum", "sgd"]
    nesterov: bool = False
    sizes: tuple[int, ...] = Field(default_factory=lambda: (1, 2))


class LaterTraining(Training):
    optimizer: Annotated[LaterSgd | AdamW, Field(discriminator="kind")]  # type: ignore[assignment]


class LaterEvaluation(Evaluation):
    added: ClassVar[frozenset[str]] = Evaluation.added | frozenset({"engine"})

    engine: str = "detbench"


class LaterCell(Cell):
    """A cell as a later release has it."""

    training: LaterTraining
    evaluation: LaterEvaluation


def stored() -> Cell:
    cell = resolve.cell("atss-r50", "paper").cell
    assert cell is not None
    assert cell.training.optimizer.kind == "sgd"
    return cell


def test_a_later_release_finds_what_an_older_one_stored() -> None:
    cell = stored()
    later = LaterCell.of_plain(cell.model_dump(mode="json"))
    assert later.training.optimizer.kind == "momentum"
    assert canonical(later) == canonical(cell)
    assert digest(later) == digest(cell)
    assert training(later) == training(cell)
    # What it stores itself is read back as the same.
    again = LaterCell.of_plain(later.model_dump(mode="json"))
    assert again == later
    assert digest(again) == digest(cell)


@pytest.mark.parametrize("setting", [{"nesterov": True}, {"sizes": [1]}])
def test_an_added_field_that_is_used_is_another_cell(setting: dict[str, object]) -> None:
    plain = stored().model_dump(mode="json")
    plain["training"]["optimizer"] |= setting
    later = LaterCell.of_plain(plain)
    assert digest(later) != digest(stored())
    assert training(later) != training(stored())


def test_a_field_that_is_not_said_to_be_added_changes_digests() -> None:
    class Careless(Evaluation):
        engine: str = "detbench"

    assert digest(Careless()) != digest(Evaluation())
    assert digest(LaterEvaluation()) == digest(Evaluation())


FIRST = Revision("2027-01-02", "ties went to the wrong level")
SECOND = Revision("2027-03-04", "few were taken", lambda option: option.top_k > 9)


def revise(
    monkeypatch: pytest.MonkeyPatch, *revisions: Revision, of: type[Spec] = AtssAssignment
) -> None:
    monkeypatch.setattr(of, "revisions", revisions)


def test_a_reason_touches_the_cells_of_its_option_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    atss, fcos = stored(), resolve.cell("fcos-r50", "paper").cell
    assert fcos is not None
    before = digest(atss), training(atss), digest(fcos), training(fcos)
    assert former(atss) == {}
    revise(monkeypatch, FIRST)
    assert digest(atss) != before[0]
    assert training(atss) != before[1]
    assert (digest(fcos), training(fcos)) == before[2:]
    assert former(atss) == {before[0]: "atss: ties went to the wrong level (2027-01-02)"}
    assert former(fcos) == {}


def test_each_reason_has_its_digest_and_touches_where_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spared = AtssAssignment(kind="atss", top_k=9)
    touched = AtssAssignment(kind="atss", top_k=10)
    found = [(digest(touched), digest(spared))]
    for revisions in ((FIRST,), (FIRST, SECOND)):
        revise(monkeypatch, *revisions)
        found.append((digest(touched), digest(spared)))
    assert len({one for one, _ in found}) == 3
    assert found[2][1] == found[1][1] != found[0][1]
    first, second = (f"atss: {one.reason} ({one.since})" for one in (FIRST, SECOND))
    assert former(touched) == {found[0][0]: f"{first}; {second}", found[1][0]: second}
    assert former(spared) == {found[0][1]: first}


def test_a_reason_says_what_was_measured_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = stored()
    cost = CostCell(detector=cell.detector, input=(1280, 800))
    before = digest(cell), training(cell), digest(cost)

    def changed(measured: str) -> tuple[bool, ...]:
        revise(monkeypatch, Revision("2027-01-02", "x", measured=frozenset({measured})))  # type: ignore[arg-type]
        now = digest(cell), training(cell), digest(cost)
        assert (before[2] in former(cost)) == (measured == "cost")
        return tuple(one != other for one, other in zip(now, before, strict=True))

    assert changed("training") == (True, True, False)
    assert changed("evaluation") == (True, False, False)
    assert changed("cost") == (False, False, True)


def specs(of: type[Spec] = Spec) -> list[type[Spec]]:
    return [one for each in of.__subclasses__() for one in (each, *specs(each))]


def test_what_options_state_is_sound() -> None:
    ours = [one for one in specs() if one.__module__.startswith("detbench.")]
    assert AtssAssignment in ours
    for one in ours:
        assert "revision" not in one.model_fields
        assert set(one.added) <= set(one.model_fields), one
        assert not any(one.model_fields[name].is_required() for name in one.added), one
        days = [each.since for each in one.revisions]
        assert days == sorted(set(days)), one
        assert all(each.reason for each in one.revisions), one
