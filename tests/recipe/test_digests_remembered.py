import json

from detbench.recipe import catalogue


def test_remembered_until_something_changes(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(catalogue, "_of_table", lambda name: calls.append(name) or {"smoke": []})
    monkeypatch.setattr(catalogue.load, "tables", lambda: ["a-table"])
    cache = tmp_path / "work" / "catalogue.json"
    expected = {"a-table": {"smoke": []}}
    assert catalogue.digests(cache) == expected
    assert catalogue.digests(cache) == expected
    assert calls == ["a-table"]
    monkeypatch.setattr(catalogue, "key", lambda: "another")
    assert catalogue.digests(cache) == expected
    assert len(calls) == 2


def test_a_damaged_or_unwritable_cache_is_computed_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_of_table", lambda name: {"smoke": [name]})
    monkeypatch.setattr(catalogue.load, "tables", lambda: ["a-table"])
    cache = tmp_path / "catalogue.json"
    for damage in ("", "[]", json.dumps({"key": 1})):
        cache.write_text(damage)
        assert catalogue.digests(cache) == {"a-table": {"smoke": ["a-table"]}}
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert catalogue.digests(blocked / "catalogue.json") == {"a-table": {"smoke": ["a-table"]}}
