from detbench.report import best
from detbench.report.table import Column, Entry, Sheet, number, text

COLUMNS = (
    Column("row", "Row"),
    Column("AP", "AP", "measured", right=True),
    Column("published_AP", "AP", "paper", right=True),
    Column("delta_AP", "AP", "Δ", right=True),
    Column("gflops", "GFLOPs", "measured", right=True),
    Column("APs", "APs", "measured", right=True),
)


def _row(label: str, *values: float | None) -> tuple[Entry, ...]:
    return (text(label), *(number(value, 1) for value in values))


def _strong(sheet: Sheet) -> list[tuple[str, str]]:
    return [
        (row[0].text, column.key)
        for row in best.mark(sheet).rows
        for column, entry in zip(sheet.columns, row, strict=True)
        if entry.strong
    ]


def test_measured_and_published_are_judged_apart_and_costs_the_other_way() -> None:
    rows = (
        _row("a", 40.0, 39.0, 1.0, 200.0, None),
        _row("b", 39.0, 45.0, -6.0, 180.0, 12.0),
        _row("c", None, 41.0, None, None, None),
    )
    found = _strong(Sheet("", COLUMNS, rows))
    assert found == [("a", "AP"), ("b", "published_AP"), ("b", "gflops")]


def test_what_is_printed_alike_is_equally_good() -> None:
    rows = (_row("a", 40.04), _row("b", 39.96), _row("c", 39.9))
    assert _strong(Sheet("", COLUMNS[:2], rows)) == [("a", "AP"), ("b", "AP")]


def test_a_column_of_equals_has_no_best() -> None:
    rows = (_row("a", 40.0), _row("b", 40.0))
    assert _strong(Sheet("", COLUMNS[:2], rows)) == []
    assert _strong(Sheet("", COLUMNS[:2], ())) == []


def test_the_mean_decides_whatever_its_deviation() -> None:
    rows = (
        (text("a"), Entry("31.0 ± 9.0", 31.0)),
        (text("b"), Entry("31.5 ± 0.1", 31.5)),
    )
    assert _strong(Sheet("", COLUMNS[:2], rows)) == [("b", "AP")]


def test_a_misprint_is_never_the_best() -> None:
    rows = (
        (text("a"), Entry("", None), number(99.9, 1, "38.7 is meant")),
        (text("b"), Entry("", None), number(40.0, 1)),
        (text("c"), Entry("", None), number(39.0, 1)),
    )
    assert _strong(Sheet("", COLUMNS[:3], rows)) == [("b", "published_AP")]
