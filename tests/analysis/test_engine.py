"""What is stored is not measured again, and what was interrupted goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detbench.analysis import engine, files, kinds
from detbench.analysis.files import Looked
from detbench.analysis.kind import Asked, Columns, Kind
from detbench.analysis.subjects import Subject
from detbench.errors import RecipeError
from detbench.evaluation.truth import Truths
from detbench.recipe import resolve
from detbench.results.store import Store

EVERY = Looked(None)


class Counted:
    """Measures noise that an image alone decides, and remembers which it was asked."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.images: list[int] = []
        self.places: list[int] = []
        self.fails_at = fails_at

    def __call__(self, asked: Asked) -> Columns:
        if len(self.images) == self.fails_at:
            raise KeyboardInterrupt
        self.images.append(asked.image)
        self.places.append(asked.place)
        rng = np.random.default_rng(asked.image)
        count = int(rng.integers(0, 4))
        return {"image": np.full(count, asked.image, np.int64), "noise": rng.random(count)}


def subject(profile: str = "smoke") -> Subject:
    cell = resolve.cell("fcos-r50", profile, overrides=("data.val=30",)).cell
    assert cell is not None
    return Subject("FCOS", cell, "0" * 64, Path("work"), None, "own:FCOS")


def request(root: Path, measure: Counted, looked: Looked = EVERY) -> engine.Request:
    made = kinds.kind("alignment")
    kind = Kind("made", "Made", "none", "weights", measure, made.quantities, made.draw, revision=3)
    how = (looked, Store(root), Truths(root), lambda subject: None)
    return engine.Request(kind, ((subject(),),), {}, *how)


def test_an_interrupted_analysis_goes_on_and_equals_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.run(request(tmp_path / "whole", Counted())).rows[0].tables[0]
    monkeypatch.setattr(engine, "EVERY_S", 0.0)
    stopped, later = Counted(fails_at=13), Counted()
    with pytest.raises(KeyboardInterrupt):
        engine.run(request(tmp_path, stopped))
    asked = request(tmp_path, later)
    found = engine.run(asked)
    assert len(stopped.images) == 13
    assert stopped.images + later.images == found.images.tolist()
    assert stopped.places + later.places == list(range(30))
    assert len(later.images) == 30 - 13
    [table] = found.rows[0].tables
    assert {name: column.tolist() for name, column in table.items()} == {
        name: column.tolist() for name, column in whole.items()
    }
    entry = asked.entry(subject())
    assert entry.path.is_file()
    assert not entry.parts.exists()


def test_a_part_that_is_damaged_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.run(request(tmp_path / "whole", Counted())).rows[0].tables[0]
    monkeypatch.setattr(engine, "EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        engine.run(request(tmp_path, Counted(fails_at=13)))
    asked = request(tmp_path, Counted())
    parts = sorted(asked.entry(subject()).parts.glob("*.parquet"))
    parts[6].write_bytes(b"cut short")
    [table] = engine.run(asked).rows[0].tables
    assert table["noise"].tolist() == whole["noise"].tolist()


def test_what_is_stored_is_not_measured_again(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    engine.run(request(tmp_path, first))
    engine.run(request(tmp_path, second))
    assert (len(first.images), second.images) == (30, [])
    [entry] = files.listing(tmp_path)
    assert entry == request(tmp_path, second).entry(subject())


def test_what_it_depends_on_parts_analyses(tmp_path: Path) -> None:
    asked = request(tmp_path, Counted())
    others = [
        replace(asked, looked=Looked(5)),
        replace(asked, looked=Looked(5, 1)),
        replace(asked, settings={"margin": 0.1}),
        replace(asked, kind=replace(asked.kind, revision=4)),
    ]
    keys = {one.entry(subject()).key for one in (asked, *others)}
    keys.add(asked.entry(replace(subject(), digest="1" * 64)).key)
    assert len(keys) == 6


def test_images_are_drawn_by_a_seed_and_none_twice() -> None:
    ids = list(range(100, 200))
    drawn = Looked(30, 0).of(ids)
    assert drawn == Looked(30, 0).of(ids) == sorted(set(drawn))
    assert len(drawn) == 30
    assert set(drawn) <= set(ids)
    assert drawn != Looked(30, 1).of(ids)
    assert Looked(200).of(ids) == ids == Looked(None).of(ids)


def test_a_damaged_table_is_measured_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = request(tmp_path, Counted())
    engine.run(asked)
    asked.entry(subject()).path.write_bytes(b"no parquet")
    again = Counted()
    engine.run(request(tmp_path, again))
    assert len(again.images) == 30
    assert "is damaged" in caplog.text


def test_rows_of_other_data_are_not_set_side_by_side(tmp_path: Path) -> None:
    cell = resolve.cell("fcos-r50", "smoke", overrides=("data.val=20",)).cell
    assert cell is not None
    other = replace(subject(), cell=cell, where="own:other")
    with pytest.raises(RecipeError, match="own:FCOS and own:other are not evaluated on the same"):
        engine.check_alike(((subject(),), (other,)))
