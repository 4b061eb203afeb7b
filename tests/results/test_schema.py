import pytest

from detbench.errors import StoreError
from detbench.results import schema
from detbench.results.schema import Damaged, Measurement


def _row(metric: str = "AP", value: float | None = 0.1 + 0.2) -> Measurement:
    return Measurement(
        digest="d" * 64,
        kind="train-eval",
        metric=metric,
        value=value,
        unit="fraction",
        protocol={"data": {"kind": "shapes"}, "images": 200},
        seed=3,
        reason="" if value is not None else "no small object",
        provenance={"torch": "2.6", "recipe": {"a": [1, 2.5, None, "é"]}},
    )


def test_rows_survive_exactly() -> None:
    rows = [_row(), _row("APs", None), _row("APm", 0.0)]
    assert schema.from_bytes(schema.to_bytes(rows), "f") == rows


def test_equal_rows_give_equal_bytes() -> None:
    assert schema.to_bytes([_row()]) == schema.to_bytes([_row()])


def test_truncation_at_every_length_is_noticed() -> None:
    content = schema.to_bytes([_row(), _row("AP50", 0.5)])
    for length in range(0, len(content), 37):
        with pytest.raises(Damaged):
            schema.from_bytes(content[:length], "f")


def test_a_flipped_byte_is_noticed_or_harmless() -> None:
    rows = [_row(), _row("AP50", 0.5)]
    content = schema.to_bytes(rows)
    noticed = 0
    for position in range(0, len(content), 11):
        garbled = bytearray(content)
        garbled[position] ^= 0xFF
        try:
            assert schema.from_bytes(bytes(garbled), "f") == rows
        except (Damaged, StoreError):
            noticed += 1
    assert noticed > 50


def test_a_foreign_parquet_file_is_not_taken_for_ours() -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(Damaged, match="not a measurement file"):
        schema.from_bytes(bytes(sink.getvalue()), "f")


def test_a_newer_schema_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 7)
    content = schema.to_bytes([_row()])
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"results/x was written by a newer detbench.*schema 7"):
        schema.from_bytes(content, "results/x")


def test_an_older_schema_is_migrated_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    content = schema.to_bytes([_row(value=0.5)])

    def percent(records: list[schema.Record]) -> list[schema.Record]:
        return [{**record, "value": record["value"] * 100} for record in records]

    def renamed(records: list[schema.Record]) -> list[schema.Record]:
        return [{**record, "unit": "percent"} for record in records]

    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: percent, 2: renamed})
    [row] = schema.from_bytes(content, "f")
    assert (row.value, row.unit) == (50.0, "percent")


def test_an_older_schema_without_a_migration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = schema.to_bytes([_row()])
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    with pytest.raises(Damaged, match="no migration from schema 1"):
        schema.from_bytes(content, "f")
