"""Verdicts on claims that stored analyses answer, of made tables whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind

from detbench.analysis import alignment, answers, curves, files, groups, kinds, subjects
from detbench.analysis.answers import Answers
from detbench.analysis.files import Looked
from detbench.analysis.kind import Asked, Columns
from detbench.errors import StoreError
from detbench.recipe import load
from detbench.recipe.claims import Figure, Named
from detbench.report import verdicts
from detbench.report.results import TableResults
from detbench.report.verdicts import Judged
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner.plan import Request
from detbench.statistics import claims as rules
from detbench.statistics.claims import ONE_SEED

ROWS = "FCOS,FCOS + SCE + DPE"
FASTER, OTHERS, COMPETE, FITS, LOST = 12, 13, 14, 15, 16
"""Places of the claims of TSCODE's Table 1 that analyses answer."""
SEEDS = (0, 1, 2)
Make = Callable[[int, int], Columns]
"""The table of a row's and a seed's analysis, by their places."""


def asked(folder: Path, seeds: tuple[int, ...] = SEEDS, rows: str = ROWS) -> TableResults:
    small = ("data.size=64", "data.val=40")
    request = Request("tscode-table1", "smoke", folder, seeds, rows, small)
    return TableResults.of(request, Store(folder / "results"))


def put(folder: Path, kind: str, make: Make, images: int | None = None) -> None:
    """Store an analysis of both rows with all seeds."""
    found, of = asked(folder), kinds.kind(kind)
    for place, row in enumerate(found.plan.rows):
        for seed, subject in enumerate(subjects.of_row(found.plan, row, found.store)):
            looked = Looked(images if of.images != 0 else 0)
            entry = files.entry(found.store.root, of, subject, kinds.settings(of, []), looked)
            entry.keep(0, 1, make(place, seed))
            entry.finish(1, {})


def train(folder: Path) -> None:
    """Store scores of both rows with all seeds."""
    found = asked(folder)
    for row in found.plan.rows:
        for one in subjects.of_row(found.plan, row, found.store):
            score = Measurement(one.digest, "train-eval", "AP", 0.3, "fraction")
            Store(folder / "results").add([score], [])


def judged(folder: Path, seeds: tuple[int, ...] = SEEDS) -> list[Judged]:
    return verdicts.judged(asked(folder, seeds))


def losses(levels: Sequence[Sequence[float]]) -> Make:
    """A constant loss of each row and seed."""

    def make(row: int, seed: int) -> Columns:
        level = levels[row][seed]
        points = [{"iteration": n, "cls": level, "total": level} for n in range(1, 41)]
        return curves.measure(Asked(None, 0, {}, points=points))  # type: ignore[arg-type]

    return make


LOWER = [[0.30, 0.31, 0.32], [0.20, 0.22, 0.21]]


@pytest.mark.parametrize(
    ("levels", "verdict"), [(LOWER, "supported"), (LOWER[::-1], "contradicted")]
)
def test_losses_decide_by_their_seeds(
    tmp_path: Path, levels: list[list[float]], verdict: str
) -> None:
    put(tmp_path, "curves", losses(levels))
    found = judged(tmp_path)
    one = found[FASTER]
    assert one.ruling.verdict == verdict
    wanted = ttest_ind(levels[0], levels[1], equal_var=False)
    assert len(one.asked) == 2  # of the second quarter and of the last
    for each in one.asked:
        assert each.value == pytest.approx(np.mean(levels[0]) - np.mean(levels[1]))
        assert each.question.estimate is not None
        assert each.question.estimate.p() == pytest.approx(wanted.pvalue)
        low, high = wanted.confidence_interval()
        assert each.ends == pytest.approx((low, high))
    # What it claims of two other detectors needs their rows.
    assert found[OTHERS].ruling.verdict == "not measured"


def test_one_seed_decides_nothing_and_nothing_stored_is_not_measured(tmp_path: Path) -> None:
    put(tmp_path, "curves", losses(LOWER))
    one = judged(tmp_path, (0,))[FASTER].ruling
    assert (one.verdict, one.why) == ("undecided", ONE_SEED)
    # Of four seeds the fourth is not analysed: the first alone is compared.
    one = judged(tmp_path, (0, 1, 2, 3))[FASTER].ruling
    assert (one.verdict, one.why) == ("undecided", ONE_SEED)
    ruling = judged(tmp_path)[COMPETE].ruling
    assert (ruling.verdict, ruling.why) == ("not measured", "FCOS: not run")
    train(tmp_path)
    ruling = judged(tmp_path)[COMPETE].ruling
    assert (ruling.verdict, ruling.why) == (
        "not measured",
        "detbench analyze alignment tscode-table1:FCOS --images 200 --profile smoke --seeds 0,1,2 "
        "--set data.size=64 --set data.val=40 answers it",
    )
    assert judged(tmp_path)[17].ruling.why == "detbench analyze cases draws it, no number is named"


def aligned(given_up: Sequence[float], lost: Sequence[float]) -> Make:
    """An object on each of 40 images: what its best score gives up, how often it is lost to NMS."""

    def make(row: int, seed: int) -> Columns:
        rng = np.random.default_rng(10 * row + seed)
        table = {name: np.full(40, np.nan) for name in alignment.OF_OBJECT}
        table |= {name: np.zeros(40) for name in (*alignment.MOMENTS, "after", "object")}
        best = np.full(40, 0.9)
        noise = 0.01 * rng.standard_normal(40)
        into = np.where(np.arange(40) < 40 * lost[row], 0.8, 0.7)
        return {
            "image": np.arange(40),
            "label": np.zeros(40, np.int64),
            "area": np.full(40, 400.0),
            **table,
            "best_iou": best,
            "iou_1": best - given_up[row] + noise,
            "into_nms": into,
            "left_by_nms": np.full(40, 0.7),
        }

    return make


def test_numbers_of_images_are_compared_with_their_bounds(tmp_path: Path) -> None:
    put(tmp_path, "alignment", aligned((0.2, 0.1), (0.25, 0.25)), 200)
    found = judged(tmp_path)
    assert [found[place].ruling.verdict for place in (COMPETE, FITS)] == ["supported"] * 2
    assert [one.value for one in found[COMPETE].asked] == pytest.approx([0.2, 0.7], abs=0.01)
    assert found[FITS].asked[0].value == pytest.approx(0.8, abs=0.01)
    # The same objects are lost with each: no sign, no spread, and within the claim's margin.
    assert found[LOST].asked[0].value == 0
    assert found[LOST].ruling.verdict == "equivalent"
    [asked] = found[LOST].asked
    alone = replace(asked.question, margin=0.0)
    assert rules.judge([[alone]], margin=0.5)[0].verdict == "undecided"
    other = tmp_path / "other"
    put(other, "alignment", aligned((0.02, 0.3), (0.5, 0.1)), 200)
    found = judged(other)
    assert [found[place].ruling.verdict for place in (COMPETE, FITS, LOST)] == [
        "contradicted",
        "contradicted",
        "supported",
    ]


def changed(folder: Path, **update: object) -> Judged:
    """The claim on FCOS's loss with other numbers of the analysis."""
    results = asked(folder)
    table = results.plan.table
    claim = table.claims[FASTER]
    [shown, _] = claim.shows  # type: ignore[union-attr]
    other = claim.model_copy(update={"shows": (shown.model_copy(update=update),)})
    plan = replace(results.plan, table=table.model_copy(update={"claims": (other,)}))
    [found] = verdicts.judged(TableResults(plan, results.store))
    return found


def test_a_number_that_there_is_not_is_not_measured(tmp_path: Path) -> None:
    put(tmp_path, "curves", losses(LOWER))
    found = changed(tmp_path, part="cla").ruling
    assert found.verdict == "not measured"
    assert found.why.startswith("unknown number of curves 'mean loss, cla, second quarter', did ")
    assert changed(tmp_path, group="hard classes").ruling.why.startswith(
        "mean loss, cls, hard classes: no detections of"
    )


def test_differences_of_differences(tmp_path: Path) -> None:
    """Of a number and another quarter's of both rows: losses are constant, so nothing is left."""
    put(tmp_path, "curves", losses(LOWER))
    [one] = changed(tmp_path, less=Named(group="first quarter")).asked
    assert one.value == 0
    assert len(one.contrasts[0].terms) == 4
    assert {weight for weight, _, _ in one.contrasts[0].terms} == {1.0, -1.0}


def test_a_damaged_analysis_is_missing_and_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "curves", losses(LOWER))
    path = min((tmp_path / "results" / "analyses").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    found = judged(tmp_path)[FASTER].ruling
    assert found.verdict == "not measured"
    assert found.why.startswith("detbench analyze curves tscode-table1:FCOS ")
    assert found.why.endswith(" answers it")
    assert caplog.text.count("is damaged") == 1
    assert "detbench analyze measures it again" in caplog.text
    assert len(path.read_bytes()) == 100


def test_a_table_in_anothers_place_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another seed; another row's and another kind's have other names alike."""
    put(tmp_path, "curves", losses(LOWER))
    before = judged(tmp_path)[FASTER].asked[0].value
    one, other, *_ = sorted((tmp_path / "results" / "analyses").glob("*.parquet"))
    one.write_bytes(other.read_bytes())
    assert judged(tmp_path)[FASTER].ruling.verdict == "not measured"
    assert "it is another analysis than its name says" in caplog.text
    put(tmp_path, "curves", losses(LOWER))
    assert judged(tmp_path)[FASTER].asked[0].value == before


def claiming(**update: object) -> Figure:
    """A claim of TSCODE's Table 1, changed."""
    claim = load.table("tscode-table1").claims[COMPETE]
    assert isinstance(claim, Figure)
    return claim.model_copy(update=update)


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"options": {"nope": 1.0}}, "options.nope: unknown setting 'nope'"),
        ({"options": {"margin": 5.0}}, "options.margin: margin is a number from"),
        ({"analysis": "curves", "images": 5}, "images: curves looks at no images: leave it out"),
    ],
)
def test_what_a_claim_may_not_tell_its_analysis_is_a_mistake(
    update: dict[str, object], said: str
) -> None:
    table = load.table("tscode-table1")
    assert answers.mistakes(table) == []
    claims = list(table.claims)
    claims[2] = claiming(**update)
    [mistake] = answers.mistakes(table.model_copy(update={"claims": tuple(claims)}))
    assert mistake.startswith(f"tscode-table1: claims[2].{said}")


def test_a_kind_that_does_not_fit_the_row_is_said(tmp_path: Path) -> None:
    train(tmp_path)
    found = Answers(asked(tmp_path))
    with pytest.raises(StoreError, match="FCOS: weights does not fit this detector: "):
        found.estimate(claiming(analysis="weights", images=None, options={}), [])


def test_the_catalogues_claims_name_settings_that_there_are() -> None:
    count = 0
    for name in load.tables():
        for claim in load.table(name).claims:
            if isinstance(claim, Figure):
                options = [f"{key}={value}" for key, value in claim.options.items()]
                kinds.settings(kinds.kind(claim.analysis), options)
                count += 1
    assert count >= 29


def test_difficulty_is_not_made_up_where_detections_are_gone(tmp_path: Path) -> None:
    found = asked(tmp_path, (0,))
    [subject] = subjects.of_row(found.plan, found.plan.rows[0], found.store)
    store = Store(tmp_path / "results")
    box = {"image_id": 1, "category_id": 1, "bbox": [1.0, 1.0, 9.0, 9.0], "score": 0.5}
    store.add([Measurement(subject.digest, "train-eval", "AP", 0.3, "fraction")], [box])
    [path] = store.cells.glob("*.detections.json.gz")
    path.unlink()
    assert store.fingerprint(subject.digest) is not None
    parted = groups.of(subject, store, found.plan.truths)
    assert parted.thirds == ()
    assert parted.reason == "tscode-table1:FCOS: no detections are stored"
    assert not store.derived("class-aps").exists()
