"""Pictures: what is drawn can be seen and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detbench.data.segmentations import Placed
from detbench.errors import StoreError
from detbench.evaluation.competition import Boxed, Candidate, Competition
from detbench.report import drawing, pictures
from detbench.report.drawing import BLUE, GREEN, ORANGE, Mark
from detbench.report.shading import SHARE

GREY = np.full((128, 128, 3), 128, np.uint8)
NAMES = ["cat", "dog", "a rather long name"]


def boxed(*rows: tuple[float, float, float, float, int, float]) -> Boxed:
    table = np.array(rows, float).reshape(-1, 6)
    return Boxed(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in picture.getcolors(picture.width * picture.height) or []}


@pytest.mark.parametrize(
    ("size", "factor"),
    [((128, 128), 5.0), ((512, 512), 1.0), ((1333, 800), 1.0), ((3200, 1000), 0.5), ((1, 1), 640)],
)
def test_small_images_are_enlarged_by_whole_factors_and_huge_ones_shrunk(
    size: tuple[int, int], factor: float
) -> None:
    assert drawing.factor(*size) == factor


def test_a_box_is_drawn_where_it_is() -> None:
    picture, left_out = drawing.annotated(GREY, [Mark((10, 20, 50, 60), BLUE)], 5.0)
    assert (picture.size, left_out) == ((640, 640), 0)
    pixels = np.asarray(picture)
    rows, columns = np.nonzero((pixels == BLUE).all(axis=2))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (50, 100, 249, 299)
    assert (pixels[200, 150] == 128).all()  # not filled


def test_dashes_leave_gaps() -> None:
    whole, _ = drawing.annotated(GREY, [Mark((10, 20, 50, 60), BLUE)], 5.0)
    dashed, _ = drawing.annotated(GREY, [Mark((10, 20, 50, 60), BLUE, dash=6)], 5.0)
    count = [(np.asarray(one) == BLUE).all(axis=2).sum() for one in (whole, dashed)]
    assert 0.3 * count[0] < count[1] < 0.8 * count[0]


@pytest.mark.parametrize(
    "box", [(0, 0, 128, 128), (0, 0, 1, 1), (127, 127, 128, 128), (5, 5, 5, 5), (-9, -9, 300, 300)]
)
def test_boxes_at_the_edges_and_without_size_are_drawn_with_their_label(
    box: tuple[float, float, float, float],
) -> None:
    picture, left_out = drawing.annotated(GREY, [Mark(box, BLUE, "name 0.87")], 5.0)
    assert left_out == 0
    assert BLUE in colours(picture)


def test_labels_never_cover_each_other() -> None:
    rng = np.random.default_rng(0)
    placed: list[drawing.Rectangle] = []
    for _ in range(60):
        x, y = rng.integers(0, 500, 2)
        box = (x, y, x + rng.integers(5, 100), y + rng.integers(5, 100))
        spot = drawing._spot((90, 20), box, (640, 640), placed)
        if spot is not None:
            placed.append(spot)
    assert len(placed) > 40
    for index, one in enumerate(placed):
        assert 0 <= one[0] < one[2] < 640
        assert 0 <= one[1] < one[3] < 640
        for other in placed[:index]:
            apart = one[0] > other[2] or other[0] > one[2] or one[1] > other[3] or other[1] > one[3]
            assert apart


def test_labels_without_room_are_counted_and_the_first_ones_kept() -> None:
    marks = [Mark((10, 10, 14, 14), BLUE, f"label {i}") for i in range(60)]
    _, left_out = drawing.annotated(GREY, marks, 5.0)
    assert 0 < left_out < 60
    _, none = drawing.annotated(GREY[:8, :8], [Mark((0, 0, 8, 8), BLUE, "x" * 200)], 5.0)
    assert none == 1


def test_words_wrap_to_the_width_and_long_ones_stand_alone() -> None:
    lines = drawing.wrap("some words and averyveryveryverylongone", 150)
    assert lines == ["some words and", "averyveryveryverylongone"]
    assert drawing.wrap("", 100) == []


def test_a_palette_gives_seven_classes_seven_colours() -> None:
    chosen = drawing.palette([3, 5, 9, 11, 20, 21, 30, 31])
    assert len(set(chosen.values())) == 7
    assert chosen[31] == chosen[3]


def test_pictures_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.png"
    drawing.save(path, Image.new("RGB", (3, 2)))
    with Image.open(path) as read:
        assert read.size == (3, 2)
    first = path.read_bytes()
    drawing.save(path, Image.new("RGB", (3, 2)))
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir()] == ["one.png"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        drawing.save(blocked / "one.png", Image.new("RGB", (3, 2)))


def test_before_and_after_side_by_side_with_the_ground_truth() -> None:
    before = boxed((10, 10, 40, 40, 0, 0.9), (12, 10, 42, 40, 0, 0.8), (80, 80, 99, 99, 1, 0.5))
    after = before.chosen(np.array([0, 2]))
    truth = pictures.Objects(boxed((10, 10, 40, 40, 0, 1)), np.array([False]))
    three = pictures.before_and_after(GREY, before, after, NAMES, "title", truth)
    two = pictures.before_and_after(GREY, before, after, NAMES, "title")
    assert three.width == two.width + 640 + drawing.GAP
    assert {drawing.ORANGE, drawing.SKY} <= colours(two)
    wide = np.zeros((700, 1300, 3), np.uint8)
    below = pictures.before_and_after(wide, before, after, NAMES, "title")
    assert below.height > 1400  # large images stand one below the other
    empty = pictures.before_and_after(GREY, boxed(), boxed(), NAMES, "title")
    assert not {drawing.ORANGE, drawing.SKY} & colours(empty)


def test_crowds_are_dashed_and_called_so() -> None:
    truth = pictures.Objects(
        boxed((0, 0, 90, 90, 1, 1), (10, 10, 20, 20, 2, 1)), np.array([True, False]), "difficult"
    )
    small, large = pictures.truth_marks(truth, NAMES, drawing.palette(range(3)))
    assert (small.text, small.dash) == ("a rather long name", 0)
    assert large.text == "dog (difficult)"
    assert large.dash > 0


def test_the_competition_has_a_tile_for_each_object() -> None:
    best = Candidate((10, 10, 40, 40), 0.1, 0.9)
    scored = (Candidate((20, 10, 50, 40), 0.8, 0.5), Candidate((0, 10, 30, 40), 0.7, 0.4))
    full = Competition(0, (11, 11, 41, 41), best, scored, 9)
    none = Competition(1, (0, 0, 128, 128), None, (), 0)
    picture = pictures.competition(GREY, [full, none], NAMES, "title")
    assert picture.width == 2 * pictures.TILE + 3 * drawing.GAP
    assert {GREEN, BLUE, ORANGE} <= colours(picture)
    many = pictures.competition(GREY, [none] * 30, NAMES, "title")
    assert many.width == 4 * pictures.TILE + 5 * drawing.GAP


@pytest.mark.parametrize(
    "corners", [[[0, 0, 128, 60]], [[0, 0, 1, 1]], [[120, 50, 128, 60], [0, 0, 5, 5]]]
)
def test_a_tiles_window_holds_its_boxes_and_stays_inside(corners: list[list[float]]) -> None:
    table = np.array(corners, float)
    left, top, width, height = pictures._window(table, 128, 60)
    assert 0 <= left <= table[:, 0].min()
    assert 0 <= top <= table[:, 1].min()
    assert table[:, 2].max() <= left + width <= 128
    assert table[:, 3].max() <= top + height <= 60


def test_a_sheet_has_its_images_in_rows() -> None:
    truth = pictures.Objects(boxed((1, 1, 9, 9, 0, 1)), np.array([False]))
    images = [(GREY, truth, "one"), (GREY[:64], truth, "two"), (GREY, truth, "three")]
    sheet = pictures.sheet(images, NAMES, "title", 2)
    assert sheet.width == 2 * 768 + 3 * drawing.GAP
    assert drawing.ORANGE in colours(sheet)


def mask(left: int, top: int, *rows: str) -> Placed:
    return Placed(left, top, np.array([[bit == "#" for bit in row] for row in rows]))


def test_a_mask_is_translucent_where_it_is_and_has_an_outline() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    bits = np.zeros((20, 30), bool)
    bits[4:16, 6:26] = True
    picture, _ = drawing.annotated(image, [], 5.0, [(Placed(10, 20, bits), BLUE)])
    pixels, plain = (
        np.asarray(picture).astype(int),
        np.asarray(drawing.resized(image, 5.0)).astype(int),
    )
    whole = np.zeros((128, 128), bool)
    whole[20:40, 10:40] = bits
    large = whole.repeat(5, 0).repeat(5, 1)
    changed = (pixels != plain).any(axis=2)
    line = (pixels == BLUE).all(axis=2) & large
    rows, columns = np.nonzero(line)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (80, 120, 179, 179)
    core = np.zeros_like(large)
    core[122:178, 82:178] = True
    assert line[large & ~core].all()
    expected = (1 - SHARE) * plain[core] + SHARE * np.array(BLUE)
    assert np.abs(pixels[core] - expected).max() <= 0.5
    edge = changed & ~large
    assert (pixels[edge] == 0).all()
    assert edge[119, 80:180].all()
    assert not changed[:119].any()
    assert not changed[:, 181:].any()


def test_the_best_mask_lies_on_top_and_empty_ones_are_nothing() -> None:
    both = [(mask(10, 10, "#" * 20), BLUE), (mask(10, 10, "#" * 30), ORANGE)]
    pixels = np.asarray(drawing.annotated(GREY, [], 5.0, both)[0])
    assert (pixels[51, 60] == BLUE).all()
    assert (pixels[51, 190] == ORANGE).all()
    nothing = [(Placed(0, 0, np.zeros((0, 0), bool)), BLUE), (mask(3, 3, "..", ".."), BLUE)]
    plain = np.asarray(drawing.annotated(GREY, [], 5.0)[0])
    assert (np.asarray(drawing.annotated(GREY, [], 5.0, nothing)[0]) == plain).all()


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.37])
def test_masks_at_the_edges_are_drawn_at_any_scale(scale: float) -> None:
    full = [(Placed(0, 0, np.ones((128, 128), bool)), BLUE), (mask(127, 127, "#"), ORANGE)]
    picture, _ = drawing.annotated(GREY, [], scale, full)
    middle = np.asarray(picture)[picture.height // 2, picture.width // 2]
    assert np.abs(middle - ((1 - SHARE) * 128 + SHARE * np.array(BLUE))).max() <= 1


def test_masks_are_drawn_after_nms_in_the_colour_of_their_class() -> None:
    before = boxed((10, 10, 40, 40, 0, 0.9), (80, 80, 99, 99, 1, 0.5))
    after = replace(before, masks=(mask(12, 12, *["#" * 20] * 20), mask(82, 82, *["#" * 9] * 9)))
    plain = pictures.before_and_after(GREY, before, before, NAMES, "title")
    drawn = pictures.before_and_after(GREY, before, after, NAMES, "title")
    tints = {
        tuple(int(v) for v in ((1 - SHARE) * 128 + SHARE * np.array(colour)).round())
        for colour in (drawing.ORANGE, drawing.SKY)
    }
    assert tints <= colours(drawn)
    assert not tints & colours(plain)


def test_names_of_any_letters_can_be_drawn() -> None:
    """Line breaks (of lists with Windows' line ends), other scripts, what a terminal obeys."""
    assert drawing.letters("traffic\nlight\r") == "trafficlight"
    assert drawing.letters("café ñ Ω Жук") == "café ñ Ω Жук"
    assert drawing.letters("猫 \x1b[31m🐈") == "\\u732b [31m\\U0001f408"
    image = np.zeros((80, 100, 3), np.uint8)
    marks = [Mark((10, 30, 60, 70), ORANGE, name) for name in ("a\nb\r", "猫", "\u200b\u2028")]
    picture, left_out = drawing.annotated(image, marks, 2.0)
    assert left_out == 0
    legend = [drawing.Line("line\r", ORANGE)]
    assert drawing.panel(picture, "title\rof 猫", legend).height > picture.height
