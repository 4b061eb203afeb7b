"""Which columns of a page come first, and which may wrap."""

from __future__ import annotations

from detbench.report import page_tables
from detbench.report.table import Column, Entry, Sheet

KEYS = (
    *("AP", "AP50", "change_AP", "p_AP", "published_AP", "published_AP50"),
    *("gflops", "published_gflops", "delta_gflops", "mend_Cls"),
)


def made(name: str, method: str) -> Sheet:
    heads = (
        Column("row", "Row"),
        Column("setting_Method", "Method"),
        *(Column(key, key, "measured", right=True) for key in KEYS),
        Column("fidelity", "Fidelity"),
    )
    line = (Entry(name), Entry(method), *(Entry(key) for key in KEYS), Entry("text-only"))
    return Sheet("Made", heads, (line,), leaders={"AP": frozenset({0})})


def test_all_of_the_main_metric_comes_first_and_then_the_costs() -> None:
    sheet = page_tables.main_first(made("FCOS", "FCOS"), "AP")
    assert [one.key for one in sheet.columns] == [
        *("row", "setting_Method", "AP", "change_AP", "p_AP", "published_AP"),
        *("gflops", "published_gflops", "delta_gflops"),
        *("AP50", "published_AP50", "mend_Cls", "fidelity"),
    ]
    assert [entry.text for entry in sheet.rows[0][2:-1]] == [one.key for one in sheet.columns[2:-1]]
    assert page_tables.main_first(made("FCOS", "FCOS"), None) == made("FCOS", "FCOS")


def test_only_long_entries_wrap() -> None:
    assert page_tables.kinds(made("R" * 36, "M" * 24))[:2] == ["words", "words"]
    assert page_tables.kinds(made("R" * 37, "M" * 25))[:2] == ["words wraps", "words wraps"]
    assert page_tables.kinds(made("R", "M"))[2:7] == [
        *("number measured", "number measured", "number", "number", "number published"),
    ]
