"""The catalogue of figures: every entry can be made, and says what the paper states."""

from __future__ import annotations

import pytest

from detbench.analysis import kinds
from detbench.recipe import figures, load
from detbench.recipe.figures import Figure, Made
from detbench.runner.plan import Request, choose

FIGURES = figures.figures()


def test_there_are_figures_of_all_five_papers() -> None:
    assert {one.paper for one in FIGURES.values()} == set(load.PAPERS) - {"beyond"}
    assert len(FIGURES) >= 23


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_a_figure_names_what_there_is(figure: Figure) -> None:
    if figure.table:
        assert figure.table in load.tables()
        assert figures.analysed(figure.id) is None
        return
    assert figures.analysed(figure.id) == figure
    assert figure.id not in load.tables()
    for made in figure.analyses:
        kind = kinds.kind(made.kind)
        kinds.settings(kind, [f"{name}={value}" for name, value in made.options.items()])
        for name in made.rows:
            table, _, label = name.partition(":")
            [row] = [one for one in load.table(table).rows if one.label == label]
            assert row.cited is None


def test_kinds_fit_the_rows_of_their_figures() -> None:
    made = Figure(
        id="x-figure1",
        title="t",
        statement="s",
        analyses=(Made(kind="weights", rows=("a:b", "a:c")), Made(kind="curves", rows=("a:b",))),
    )
    assert made.tables == {"a": ["b", "c"]}
    for figure in FIGURES.values():
        for one in figure.analyses:
            for name in one.rows:
                table, _, label = name.partition(":")
                plan = choose(Request(table, "smoke"))
                row, _ = plan.named(label)
                assert row is not None
                assert kinds.kind(one.kind).unfit(row.train[0].cell.detector) == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "give one of 'analyses', 'table' and 'drawing'"),
        ({"table": "t", "drawing": "d"}, "give one of"),
        ({"analyses": (Made(kind="curves", rows=("a:b",)),)}, "what the paper states"),
    ],
)
def test_a_figure_is_made_in_one_way(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Figure(id="x-figure1", title="t", **more)
