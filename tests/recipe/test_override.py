from __future__ import annotations

import pytest

from detbench.errors import RecipeError
from detbench.recipe import resolve
from detbench.recipe.experiment import Cell, OneCycle
from detbench.recipe.override import apply

(ROW,) = resolve.cells("tscode-table1", "paper", rows="FCOS + SCE")
assert ROW.cell is not None
CELL = ROW.cell


def changed(*overrides: str, cell: Cell = CELL) -> Cell:
    return apply(cell, overrides)[0]


def mistakes(*overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        apply(CELL, overrides)
    return caught.value.mistakes


def test_nothing_changes_nothing() -> None:
    assert changed() is CELL


def test_values_of_every_type() -> None:
    cell = changed(
        "detector.inference.nms=0.5",
        "training.batch=8",
        "training.channels_last=false",
        "training.precision=bf16",
        'training.weights="a file.pth"',
        "training.input.short=[640, 800]",
        "training.optimizer.lr=1e-3",
        "evaluation.limit=10",
    )
    assert cell.detector.inference.nms == 0.5
    assert (cell.training.batch, cell.training.channels_last) == (8, False)
    assert (cell.training.precision, cell.training.weights) == ("bf16", "a file.pth")
    assert cell.training.input.short == (640, 800)
    assert (cell.training.optimizer.lr, cell.evaluation.limit) == (0.001, 10)


def test_paths_may_begin_at_a_table_of_the_detector() -> None:
    cell = changed("inference.nms=0.5", "heads.cls.depth=1", "backbone.frozen_stages=0")
    assert cell.detector.inference.nms == 0.5
    assert cell.detector.heads.of("cls").depth == 1  # type: ignore[union-attr]
    assert cell.detector.backbone.frozen_stages == 0  # type: ignore[union-attr]


def test_one_value_for_an_array() -> None:
    assert changed("training.input.short=256").training.input.short == (256,)


def test_a_whole_table() -> None:
    cell = changed('features={ both = { kind = "dpe" } }')
    assert cell.detector.features.shared
    assert cell.detector.features.both.kind == "dpe"  # type: ignore[union-attr]


def test_another_kind_starts_afresh() -> None:
    cell = changed("data.kind=shapes", "data.size=64", "training.schedule.kind=one-cycle")
    assert cell.data.size == 64  # type: ignore[union-attr]
    assert cell.data.train == 4000  # type: ignore[union-attr]
    assert cell.training.schedule == OneCycle(kind="one-cycle")


def test_none_unsets_what_may_be_absent() -> None:
    assert changed("training.clip=10", "training.clip=none").training.clip is None
    # Here it is a word of its own.
    assert changed("training.weights=none").training.weights == "none"


def test_iterations_unset_epochs_and_carry_the_drops() -> None:
    cell, said = apply(CELL, ["training.iterations=1200"])
    assert (cell.training.epochs, cell.training.iterations) == (None, 1200)
    assert cell.training.schedule.drops == (800, 1100)  # type: ignore[union-attr]
    assert said == [
        "the schedule's drops moved in proportion, to [800.0, 1100.0] of 1200 iterations "
        "(from [8.0, 11.0] of 12 epochs)"
    ]


def test_iterations_with_drops_of_the_users_own() -> None:
    cell, said = apply(CELL, ["training.schedule.drops=[5, 6]", "training.iterations=9"])
    assert cell.training.schedule.drops == (5, 6)  # type: ignore[union-attr]
    assert said == []


def test_more_epochs_leave_the_drops() -> None:
    cell, said = apply(CELL, ["training.epochs=24"])
    assert cell.training.epochs == 24
    assert cell.training.schedule.drops == (8, 11)  # type: ignore[union-attr]
    assert said == []


def test_the_users_arguments_may_have_any_name() -> None:
    cell = changed(
        'heads={ both = { kind = "custom", target = "mine:Head" } }', "heads.both.arguments.width=3"
    )
    assert cell.detector.heads.both.arguments == {"width": 3}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.iterations", "--set 'training.iterations': give KEY=VALUE, as in"),
        ("training..x=1", "--set 'training..x=1': give KEY=VALUE, as in"),
        ("seed=1", "--set 'seed=1': choose seeds with --seeds"),
        (
            "trainig.batch=1",
            "--set 'trainig.batch=1': unknown key 'trainig', did you mean 'training'?",
        ),
        (
            "training.batsh=1",
            "--set 'training.batsh=1': training: unknown key 'batsh', did you mean 'batch'?",
        ),
        (
            "heads.both.depth=1",
            "--set 'heads.both.depth=1': detector.heads: unknown key 'both' (choices: cls, loc)",
        ),
        (
            "training.batch.x=1",
            "--set 'training.batch.x=1': training.batch: is a value, not a table, so 'x' cannot",
        ),
        (
            "supervision.quality.x.y=1",
            "--set 'supervision.quality.x.y=1': detector.supervision.quality: unknown key 'x'",
        ),
        ("training.batch=eight", '--set: training.batch: given the string "eight", expected an'),
        ("training.batch=0", "--set: training.batch: given 0, must be greater than 0"),
        ("features.cls.kind=sse", "--set: detector.features.cls: unknown kind 'sse', did you mean"),
        ("training.epochs=-1", "--set: training.epochs: given -1, must be greater than 0"),
    ],
)
def test_mistakes(override: str, said: str) -> None:
    (found,) = mistakes(override)
    assert found.startswith(said)


def test_a_table_that_is_not_set() -> None:
    (row,) = resolve.cells("tscode-table1", "paper", rows="GFL")
    assert row.cell is not None
    with pytest.raises(RecipeError, match=r"detector\.supervision\.quality: is not set, so 'task'"):
        apply(row.cell, ["supervision.quality.task=cls"])


def test_all_mistakes_at_once() -> None:
    assert len(mistakes("trainig.batch=1", "training.batch=x", "evaluation.limit=-1")) == 3


def test_a_mistake_is_told_once_for_all_rows() -> None:
    with pytest.raises(RecipeError) as caught:
        resolve.cells("tscode-table1", "smoke", (0, 1), overrides=["training.batch=x"], rows="X")
    assert len(caught.value.mistakes) == 2
