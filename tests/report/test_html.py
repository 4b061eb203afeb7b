from __future__ import annotations

import json
import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_browser import needs_browser, tried
from report.made_store import TABLE, all_metrics, curve, fail, fill, make

from detbench.report.differences import Bench, Change
from detbench.report.formats import Report, html
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner.plan import Plan
from detbench.statistics.bootstrap import Difference

VOID = {"meta", "img", "input", "br", "link"}


class Page(HTMLParser):
    """A parsed page that insists on closed elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        found = [attrs for name, attrs in self.seen if name == tag]
        return [attrs for attrs in found if not kind or kind in (attrs.get("class") or "").split()]

    @property
    def facts(self) -> Any:
        starts = [i for i, word in enumerate(self.words) if word.startswith('{"numbers"')]
        return json.loads(self.words[starts[0]])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def _page(store: Store, *plans: Plan) -> str:
    return html.report(Report([TableResults(plan, store) for plan in plans], store.root))


def _fill(store: Store) -> None:
    rows = make().rows
    for row, ap in zip(rows, (0.3, 0.4, 0.35), strict=False):
        fill(store, row.train[0], **all_metrics(ap))
        assert row.cost is not None
        fill(store, row.cost, None, gflops=200 * ap)
    curve(store, rows[0].train[0], 3.0, 2.0)


def _whole(facts: Any, found: Any) -> Any:
    """What the script's ``whole`` does: shared parts set in."""
    if isinstance(found, list):
        return [_whole(facts, item) for item in found]
    if not isinstance(found, dict):
        return found
    if "$" in found:
        return _whole(facts, facts["shared"][found["$"]])
    return {key: _whole(facts, item) for key, item in found.items()}


def test_a_full_table(store: Store) -> None:
    _fill(store)
    text = _page(store, make())
    page = Page(text)
    heads = [attrs for attrs in page.of("th") if "data-key" in attrs]
    assert [head["data-key"] for head in heads][:4] == [
        "row",
        "setting_Method",
        "AP",
        "published_AP",
    ]
    assert {head["aria-sort"] for head in heads} == {"none"}
    assert "published" in (heads[3]["class"] or "")
    assert "measured" in (heads[2]["class"] or "")
    assert len(page.of("table")) == 1
    assert len(page.of("img")) == 4
    assert (
        len(page.of("button", "best")) == 3
    )  # measured GFLOPs; published AP, GFLOPs: one seed has no best
    values = [attrs.get("data-value") for attrs in page.of("td", "measured")]
    assert values[:3] == ["30.0", "60.0", "42.5"]  # AP, GFLOPs, AP50
    assert len(page.of("p", "notice")) == 1  # of a browser without JavaScript


def test_columns_names_are_listed_and_headings_stay_in_sight(store: Store) -> None:
    _fill(store)
    page = _page(store, make())
    for key in ("row", "AP", "published_AP", "gflops"):
        assert f"<code>{key}</code>" in page
    rules = page.partition("</style>")[0]
    assert "thead { position: sticky; top: 0;" in rules
    assert "tbody th { position: sticky; left: 0;" in rules
    assert ".scroll { overflow: auto;" in rules


def test_each_number_has_its_provenance(store: Store) -> None:
    _fill(store)
    facts = Page(_page(store, make())).facts
    numbers = [_whole(facts, number) for number in facts["numbers"]]
    [ap] = [n for n in numbers if (n["row"], n["metric"]) == ("ATSS", "AP") and n["digests"]]
    digest = make().rows[1].train[0].digest
    assert ap["digests"] == [digest]
    assert ap["text"] == "40.0"
    cell = _whole(facts, facts["cells"][digest])
    assert cell["metrics"]["AP"] == {"value": 0.4, "unit": "fraction"}
    assert cell["protocol"] == {"images": 200}
    assert cell["provenance"]["git"] == "abc123"
    assert cell["provenance"]["recipe"]["detector"]["kind"] == "</script><b>"
    assert cell["seed"] == 0
    [printed] = [n for n in numbers if (n["row"], n["column"]) == ("FCOS", "paper COCO AP")]
    assert printed["digests"] == []
    assert printed["note"] == "printed wrongly"
    assert "own-table1" in printed["facts"]["printed in"]
    # What all three cells share is there once.
    assert json.dumps(facts).count("abc123") <= 6
    assert json.dumps(facts).count("28, 29") == 1


def test_a_difference_names_its_baseline_and_both_sides(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(store)
    known: dict[str, Any] = dict.fromkeys(one.name for one in fields(Difference))
    known |= {"value": 0.1, "low": 0.08, "high": 0.13, "p": 0.01, "replicates": 1000, "family": 1}
    one = Difference(**{**known, "sources": "images", "seeds_a": 1, "seeds_b": 1})
    found = {label: Change("FCOS", reason="not run") for label in ("GFL", "Cited")}
    found |= {"FCOS": Change(None), "ATSS": Change("FCOS", {"AP": one})}
    monkeypatch.setattr(Bench, "changes", lambda *rule: found)
    facts = Page(_page(store, make())).facts
    numbers = [_whole(facts, number) for number in facts["numbers"]]
    [change] = [
        n
        for n in numbers
        if n["row"] == "ATSS" and n["column"].startswith("to baseline images only Δ")
    ]
    assert change["metric"] == "AP"
    assert change["digests"] == [make().rows[1].train[0].digest]
    assert change["baseline"] == [make().rows[0].train[0].digest]
    assert change["facts"]["baseline"] == "FCOS"
    assert change["facts"]["low"] == pytest.approx(8.0)
    assert change["facts"]["replicates"] == 1000
    assert "One seed each" in change["facts"]["how"]


def test_nothing_is_loaded_and_nothing_escapes(store: Store) -> None:
    _fill(store)
    text = _page(store, make())
    page = Page(text)
    for tag, attrs in page.seen:
        for name in ("src", "href", "action", "srcset", "data"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/")), (tag, attrs)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|https?://", text.split("<main>")[0])
    [policy] = [a["content"] for a in page.of("meta") if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert text.count("</script>") == 2
    assert "Two &lt;detectors&gt; &amp; more" in text
    assert len(text) < 300_000


def test_an_empty_store_says_so(store: Store) -> None:
    page = Page(html.report(Report([], store.root)))
    assert not page.of("table")
    assert (
        f"Nothing is stored in {store.root}: detbench run tscode-table1 is a start." in page.words
    )


def test_nothing_measured_says_so(store: Store) -> None:
    assert html.notices(TableResults(make(), store)) == [
        "Nothing of this table is measured with profile smoke: "
        "detbench run own-table1 --profile smoke"
    ]
    page = Page(_page(store, make()))
    assert len(page.of("p", "notice")) == 2
    assert "0 of 6 done, 6 missing" in " ".join(page.words)
    assert any("not run with profile smoke" in word for word in page.words)


def test_half_measured_and_failed_say_so(store: Store) -> None:
    rows = make().rows
    fill(store, rows[0].train[0], **all_metrics(0.3))
    fail(store, rows[1].train[0], "the loss is NaN at iteration 7")
    assert html.notices(TableResults(make(), store)) == [
        "Not complete: 1 of 3 trainings are missing, and their rows are blank: "
        "detbench run own-table1 --profile smoke",
        "Failed: ATSS: the loss is NaN at iteration 7",
    ]
    page = Page(_page(store, make()))
    assert len(page.of("tr", "failed")) == 1
    assert len(page.of("tr", "missing")) == 1
    assert len(page.of("tr", "cited")) == 1


def test_other_profiles_are_named_and_not_mixed_in(store: Store) -> None:
    fill(store, make("small").rows[0].train[0], **all_metrics(0.9))
    fill(store, make("smoke").rows[0].train[0], **all_metrics(0.3))
    notices = html.notices(TableResults(make("smoke"), store))
    assert (
        "Also stored, and not shown: 1 cell with profile small. "
        "Profiles are never mixed in a table."
    ) in notices
    text = _page(store, make("smoke"))
    assert 'data-value="30.0"' in text
    assert 'data-value="90.0"' not in text


def test_two_tables_have_a_list_of_contents(store: Store) -> None:
    _fill(store)
    other = Plan(TABLE.model_copy(update={"id": "own-table2"}), *_rest(make("small")))
    page = Page(_page(store, make(), other))
    assert [a["href"] for a in page.of("a")][:2] == ["#own-table1", "#own-table2"]
    assert len(page.of("section")) == 2
    ids = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(ids) == len(set(ids))


def _rest(plan: Plan) -> tuple[Any, ...]:
    return plan.profile, plan.seeds, plan.rows


def test_no_table_can_be_called_what_the_page_itself_has(store: Store) -> None:
    _fill(store)
    page = Page(_page(store, make()))
    ids = [attrs["id"] or "" for _, attrs in page.seen if "id" in attrs]
    assert [one for one in ids if re.fullmatch(r"[a-z0-9-]+", one)] == ["own-table1"]
    known = {one.removeprefix("#") for attrs in page.of("a") if (one := attrs["href"] or "")}
    assert known <= set(ids)
    labels = {word for _, a in page.seen for word in (a.get("aria-labelledby") or "").split()}
    assert labels <= set(ids)


def test_a_page_of_many_tables_stays_small(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(store)
    whole = Page(_page(store, make()))
    sizes = [len(attrs["src"] or "") for attrs in whole.of("img")]
    monkeypatch.setattr(html, "ROOM", 2 * (sizes[0] + sizes[1]))
    other = Plan(TABLE.model_copy(update={"id": "own-table2"}), *_rest(make()))
    page = Page(_page(store, make(), other))
    assert len(page.of("img")) < 2 * len(sizes)
    [first, _] = [word for word in page.words if word.startswith("Not on this page")]
    assert "detbench report own-table1 --profile smoke --format html" in first
    drawn = [attrs["alt"] or "" for attrs in page.of("img")]
    assert any("AP against GFLOPs" in one for one in drawn)


TRY = """(out) => {
  const shown = () => [...document.querySelectorAll("tbody tr")].filter((r) => !r.hidden)
    .map((r) => r.cells[0].textContent.trim().split(" ")[0]);
  const head = document.querySelector('th[data-key="AP"]');
  out.start = shown();
  for (const name of ["up", "down", "back"]) {
    head.querySelector("button").click();
    out[name] = [head.getAttribute("aria-sort"), ...shown()];
  }
  const filter = document.querySelector("input.filter");
  const type = (text) => {
    filter.value = text;
    filter.dispatchEvent(new Event("input"));
    return shown();
  };
  out.word = type("atss");
  out.number = type("AP>=35 published_AP<40");
  out.nothing = [...type("nonsense"), document.querySelector(".none").hidden];
  type("AP51>=35");
  out.unknown = document.querySelector(".unknown").textContent;
  out.all = type("");
  out.silent = document.querySelector(".unknown").hidden;
  const box = document.querySelector(".scroll");
  box.style.cssText = "width: 120px; height: 90px";
  box.scrollTo(60, 60);
  const frame = box.getBoundingClientRect();
  const corner = document.querySelector("thead tr:last-child th").getBoundingClientRect();
  const name = document.querySelector("tbody tr:last-child th").getBoundingClientRect();
  out.stays = [corner.left - frame.left, name.left - frame.left, corner.bottom < frame.bottom];
  const buttons = [...document.querySelectorAll("button.number")];
  out.stops = buttons.filter((button) => button.tabIndex === 0).length;
  buttons[0].focus();
  buttons[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  out.below = document.activeElement.textContent;
  document.activeElement.click();
  const dialog = document.querySelector("dialog");
  out.open = dialog.open;
  out.dialog = dialog.textContent;
  dialog.querySelector(".close").click();
  out.closed = !dialog.open;
  out.pictures = [...document.images].every((image) => image.complete && image.naturalWidth > 0);
}"""


@needs_browser
def test_in_a_real_browser(store: Store, tmp_path: Path) -> None:
    _fill(store)
    # Named as what the page itself has.
    plan = Plan(TABLE.model_copy(update={"id": "facts"}), *_rest(make()))
    out = tried(_page(store, plan), TRY, tmp_path)
    assert out["failed"] == []
    assert out["start"] == ["FCOS", "ATSS", "GFL", "Cited"]
    assert out["up"] == ["ascending", "FCOS", "GFL", "ATSS", "Cited"]
    # A blank is last, whichever way.
    assert out["down"] == ["descending", "ATSS", "GFL", "FCOS", "Cited"]
    assert out["back"] == ["none", "FCOS", "ATSS", "GFL", "Cited"]
    assert out["word"] == ["ATSS"]
    assert out["number"] == ["ATSS"]
    assert out["nothing"] == [False]
    assert out["all"] == out["start"]
    assert out["unknown"].startswith("No column is called AP51; there are row, ")
    assert "published_AP" in out["unknown"]
    assert out["silent"]
    assert out["stays"] == [0, 0, True]
    assert out["stops"] == 1
    assert out["below"] == "40.0"
    assert out["open"]
    assert make().rows[1].train[0].digest in out["dialog"]
    assert "abc123" in out["dialog"]
    assert out["closed"]
    assert out["pictures"]
