"""WIDER FACE's AP against its evaluation tools' algorithm, written out face by face."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_widerface import make_widerface
from typer.testing import CliRunner

from detbench.cli.main import app
from detbench.data.kinds import Shapes, WiderFace
from detbench.evaluation import scoring, widerface
from detbench.recipe.experiment import Evaluation

WIDER = WiderFace(kind="widerface")
Box = list[float]


def overlap(face: Box, box: Box) -> float:
    """IoU of x, y, w, h with the last pixel inside."""
    ends = [(one[0] + one[2], one[1] + one[3]) for one in (face, box)]
    wide = min(ends[0][0], ends[1][0]) - max(face[0], box[0]) + 1
    high = min(ends[0][1], ends[1][1]) - max(face[1], box[1]) + 1
    if wide <= 0 or high <= 0:
        return 0.0
    own = (face[2] + 1) * (face[3] + 1) + (box[2] + 1) * (box[3] + 1)
    return wide * high / (own - wide * high)


def one_image(faces: list[Box], counts: list[bool], found: list[tuple[float, Box]]) -> Any:
    """Of each detection in order of score: faces found up to it, and whether it is counted."""
    state = ["missed"] * len(faces)
    recalled, proposals = [], []
    for _, box in found:
        best, at = -1.0, -1
        for number, face in enumerate(faces):
            value = overlap(face, box)
            if value > best:
                best, at = value, number
        counted = True
        if best >= 0.5:
            if not counts[at]:
                counted = False
            elif state[at] == "missed":
                state[at] = "found"
        recalled.append(state.count("found"))
        proposals.append(counted)
    return recalled, proposals


def tools(ground: dict[str, Any], results: list[dict[str, Any]], bit: int) -> float | None:
    """AP of one setting; none if no face counts."""
    scores = [one["score"] for one in results]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    found: dict[int, list[tuple[float, Box]]] = {}
    for one in results:
        score = (one["score"] - low) / (high - low) if high > low else 1.0
        mine = found.setdefault(one["image_id"], [])
        place = len(mine)
        while place > 0 and mine[place - 1][0] < score:
            place -= 1
        mine.insert(place, (score, one["bbox"]))
    curve = [[0, 0] for _ in range(1000)]
    objects = 0
    for image in ground["images"]:
        own = [one for one in ground["annotations"] if one["image_id"] == image["id"]]
        counts = [bool(one["marks"] & 1 << bit) for one in own]
        objects += sum(counts)
        mine = found.get(image["id"], [])
        if not own or not mine:
            continue
        recalled, proposals = one_image([one["bbox"] for one in own], counts, mine)
        for t in range(1000):
            threshold = 1 - (t + 1) / 1000
            last = -1
            for place, (score, _) in enumerate(mine):
                if score >= threshold:
                    last = place
            if last >= 0:
                curve[t][0] += sum(proposals[: last + 1])
                curve[t][1] += recalled[last]
    if not objects:
        return None
    recall = [0.0, *(found / objects for _, found in curve), 1.0]
    precision = [0.0, *(found / count if count else math.nan for count, found in curve), 0.0]
    for i in range(len(precision) - 2, -1, -1):
        if math.isnan(precision[i]) or precision[i] < precision[i + 1]:
            precision[i] = precision[i + 1]
    return sum(
        (recall[i] - recall[i - 1]) * precision[i]
        for i in range(1, len(recall))
        if recall[i] != recall[i - 1]
    )


def made(seed: int, images: int = 5) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Random truth and results: coarse boxes and scores, so that overlaps and scores tie."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    results = []
    for image in range(images):
        for _ in range(int(rng.integers(0, 6))):
            box = [int(v) for v in (*rng.integers(0, 8, 2) * 5, *rng.integers(2, 8, 2) * 5)]
            annotations.append(face(image, box, int(rng.choice([0, 0, 4, 6, 7, 7])), annotations))
            for _ in range(int(rng.integers(0, 4))):  # second ones too
                moved = [float(v) for v in np.array(box) + rng.integers(-4, 5, 4)]
                moved[2:] = [max(side, 0.0) for side in moved[2:]]
                results.append(hit(image, moved, int(rng.integers(1, 40)) / 40))
        for _ in range(int(rng.integers(0, 4))):
            box = [float(v) for v in (*rng.uniform(0, 40, 2), *rng.uniform(1, 40, 2))]
            results.append(hit(image, box, float(rng.random())))
    order = rng.permutation(len(results))
    return truth(images, annotations), [results[row] for row in order]


def truth(images: int, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [{"id": image, "width": 80, "height": 80} for image in range(images)],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": annotations,
    }


def face(image: int, box: Any, marks: int, before: list[Any] | None = None) -> dict[str, Any]:
    number = len(before or []) + 1
    return {"id": number, "image_id": image, "category_id": 1, "bbox": box, "marks": marks}


def hit(image: int, box: Any, score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "bbox": box, "score": score}


def both(ground: dict[str, Any], results: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    ours = list(widerface.evaluate(ground, results).values())
    return ours, [tools(ground, results, bit) for bit in range(3)]


@pytest.mark.parametrize("seed", range(25))
def test_random_sets_score_as_the_tools_do(seed: int) -> None:
    ours, theirs = both(*made(seed))
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_the_random_sets_tell_something() -> None:
    aps = np.array([list(widerface.evaluate(*made(seed)).values()) for seed in range(25)], float)
    assert (np.nanmin(aps) > 0) & (np.nanmax(aps) < 1)
    assert (np.nanstd(aps, axis=0) > 0.05).all()
    assert (aps[:, 0] != aps[:, 2]).all()


small = st.integers(0, 3)
ties = st.sampled_from([0.1, 0.5, 0.9])
boxes = st.tuples(small, small, small, small).map(lambda box: [5.0 * side for side in box])


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    faces=st.lists(st.tuples(st.integers(0, 2), boxes, st.integers(0, 7)), max_size=6),
    found=st.lists(
        st.tuples(st.integers(0, 2), boxes, st.sampled_from([0.1, 0.5, 0.9])), max_size=8
    ),
)
def test_any_small_set_scores_as_the_tools_do(faces: Any, found: Any) -> None:
    """Ties, images without faces, all ignored, no detection, one detection."""
    ground = truth(3, [face(*one, [0] * number) for number, one in enumerate(faces)])
    ours, theirs = both(ground, [hit(*one) for one in found])
    assert ours == (pytest.approx(theirs, abs=1e-12) if faces else [None] * 3)


A, B, FAR = [0.0, 0.0, 19.0, 19.0], [40.0, 0.0, 19.0, 19.0], [0.0, 40.0, 9.0, 9.0]


def easy(*arguments: Any) -> float | None:
    return widerface.evaluate(*arguments)["wider-easy"]


def test_by_hand() -> None:
    ground = truth(2, [face(0, A, 7), face(0, B, 4, [0])])
    assert widerface.evaluate(ground, [hit(0, A, 0.9), hit(0, B, 0.8)]) == {
        "wider-easy": 1.0,  # B is ignored
        "wider-medium": 1.0,
        "wider-hard": 1.0,
    }
    twice = [hit(0, A, 0.9), hit(0, A, 0.8), hit(0, B, 0.7), hit(0, FAR, 0.1)]
    found = widerface.evaluate(ground, twice)
    assert found["wider-easy"] == 1.0  # what comes after the last face costs nothing
    assert found["wider-hard"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    late = [hit(0, FAR, 0.9), hit(0, A, 0.5), hit(0, FAR, 0.1)]
    assert easy(ground, late) == pytest.approx(0.5)
    elsewhere = [hit(1, A, 0.9), hit(0, A, 0.5), hit(0, FAR, 0.1)]
    assert easy(ground, elsewhere) == 1.0  # an image without faces is not looked at


def test_the_edges() -> None:
    ground = truth(2, [face(0, A, 7)])
    none = dict.fromkeys(widerface.METRICS)
    assert easy(ground, []) == 0.0
    assert easy(ground, [hit(0, A, 0.3)]) == 1.0
    assert easy(ground, [hit(0, FAR, 0.3)]) == 0.0
    assert widerface.evaluate(truth(2, [face(0, A, 0)]), [hit(0, A, 0.3)]) == none
    assert widerface.evaluate(truth(1, []), [hit(0, A, 0.3)]) == none
    assert widerface.evaluate(truth(0, []), []) == none


def test_scores_count_as_shares_of_their_range() -> None:
    """1000 thresholds: of scores nearer than a thousandth of the range, none comes first."""
    ground = truth(1, [face(0, A, 7)])
    close = [hit(0, FAR, 0.90004), hit(0, A, 0.90000), hit(0, B, 0.1)]
    apart = [hit(0, A, 0.90004), hit(0, FAR, 0.90000), hit(0, B, 0.1)]
    assert easy(ground, close) == easy(ground, apart) == 0.5
    spread = [hit(0, A, 0.90004), hit(0, FAR, 0.90000), hit(0, B, 0.8999)]
    assert easy(ground, spread) == 1.0


def test_half_is_enough_with_the_last_pixel() -> None:
    ground = truth(1, [face(0, [0.0, 0.0, 9.0, 9.0], 7)])
    assert easy(ground, [hit(0, [0.0, 0.0, 9.0, 4.0], 0.5)]) == 1.0
    assert easy(ground, [hit(0, [0.0, 0.0, 9.0, 3.9], 0.5)]) == 0.0


def test_only_the_first_images(tmp_path: Path) -> None:
    ground, results = made(3)
    first = {
        **ground,
        "images": ground["images"][:2],
        "annotations": [one for one in ground["annotations"] if one["image_id"] < 2],
    }
    own = [one for one in results if one["image_id"] < 2]
    assert widerface.evaluate(ground, results, 2) == widerface.evaluate(first, own)
    table = WIDER.truth(make_widerface(tmp_path))
    dictionary = table.ground_truth("made")
    shown = [hit(one["image_id"], one["bbox"], one["id"] / 99) for one in dictionary["annotations"]]
    assert widerface.evaluate(table, shown, 3) == widerface.evaluate(dictionary, shown, 3)


@pytest.mark.parametrize("data", [WIDER, Shapes(kind="shapes", classes=1)])
def test_it_is_scored_where_there_are_settings(data: Any) -> None:
    ground, results = made(1)
    for annotation in ground["annotations"]:
        annotation["iscrowd"] = 0
    found = scoring.score(data, ground, results, Evaluation())
    assert set(widerface.METRICS) <= set(found)
    other = scoring.score(Shapes(kind="shapes"), ground, results, Evaluation())
    assert not set(widerface.METRICS) & set(other)
    said = scoring.rules(data, "wider-hard")
    assert (said["iou"], said["thresholds"], said["pixels"]) == (0.5, 1000, "inclusive (+1)")
    assert scoring.rules(data, "AP") == {"invalid": "as COCO's crowds"}


def test_eval_of_a_results_file(tmp_path: Path) -> None:
    root = make_widerface(tmp_path)
    ground = WIDER.truth(root).ground_truth("")
    perfect = [
        hit(one["image_id"], one["bbox"], 0.9) for one in ground["annotations"] if one["marks"]
    ]
    (tmp_path / "found.json").write_text(json.dumps(perfect))
    options = ["--dataset", "widerface", "--data-root", str(root), "--format"]
    words = ["eval", "--results", str(tmp_path / "found.json"), *options]
    done = CliRunner().invoke(app, [*words, "json"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)["rows"][0]
    assert [row[metric] for metric in widerface.METRICS] == [100.0] * 3
    said = CliRunner().invoke(app, [*words, "markdown"]).stdout
    assert "WIDER FACE val, 6 images" in said
    assert "Easy, Medium and Hard are WIDER FACE's own AP" in said
