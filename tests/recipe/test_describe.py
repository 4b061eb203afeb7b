"""Recipes in words and as json: what ``show`` says of a row's settings."""

from __future__ import annotations

from detbench.recipe import describe, load


def test_only_what_is_trained_has_a_schedule() -> None:
    table = load.table("double-head-table5")
    found = {row.label: describe.settings(row, table)["schedule"] for row in table.rows}
    trained = {label: name for label, name in found.items() if name is not None}
    assert trained == {
        "FPN ResNet-101": "coco-double-head",
        "Mask RCNN ResNet-101": "coco-2x-frcnn",
        "Double-Head-Ext ResNet-101": "coco-double-head",
    }
    assert len(found) == 8


def test_a_cited_row_that_is_only_counted_is_not_trained() -> None:
    """Such rows name a detector for its GFLOPs."""
    table = load.table("decoupled-rcnn-table9")
    cited = [row for row in table.rows if row.cited and row.detector]
    assert cited
    assert not any(describe.settings(row, table)["schedule"] for row in cited)
    assert all(describe.settings(row, table)["detector"] == row.detector for row in cited)
