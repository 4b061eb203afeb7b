from detbench.recipe import load
from detbench.recipe.table import Row
from detbench.report import grids


def _rows(*places: tuple[str, str, str]) -> list[Row]:
    return [
        Row(label=" ".join(place), columns=dict(zip(("cls", "loc", "how"), place, strict=True)))
        for place in places
    ]


FULL = [(cls, loc, "") for cls in ("0.4", "0.5", "0.6") for loc in ("0.4", "0.5", "0.6")]


def test_two_settings_of_three_values_make_a_grid_in_the_tables_order() -> None:
    found = grids.grid(_rows(*FULL))
    assert found is not None
    assert (found.y, found.x) == ("cls", "loc")
    [one] = grids.maps(found, {"0.5 0.4 ": 36.5, "0.4 0.6 ": 33.2})
    assert one.values == ((None, None, 33.2), (36.5, None, None), (None, None, None))
    assert one.rows == ("0.4", "0.5", "0.6")


def test_tables_that_are_no_grid() -> None:
    assert grids.grid(_rows(*FULL[:4])) is None
    assert grids.grid(_rows(*FULL, ("0.4", "0.4", ""))) is None
    assert grids.grid([]) is None
    assert grids.grid(load.table("tscode-table1").rows) is None


def test_figure_6_of_double_head_has_a_map_per_way_to_read_out() -> None:
    rows = load.table("double-head-figure6").rows
    found = grids.grid(rows)
    assert found is not None
    assert (found.y, found.x, found.panel) == ("λfc", "λconv", ("Readout",))
    maps = grids.maps(found, {row.label: float(i) for i, row in enumerate(rows)})
    assert [one.title for one in maps] == [f"Readout ({letter})" for letter in "abcd"]
    numbers = [value for one in maps for row in one.values for value in row if value is not None]
    assert sorted(numbers) == [float(i) for i in range(len(rows))]
    # The row and the columns that cannot be, as the paper's caption says.
    assert [row[-1] for row in maps[0].values] == [None] * 5
    assert maps[1].values[-1] == (None,) * 5
