"""What is drawn, read back from the artists."""

from __future__ import annotations

import io
import math
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from no_torch import NoTorch
from PIL import Image

from detbench.report.plots import (
    canvas,
    cost,
    differences,
    errors,
    heatmap,
    losses,
    sizes,
    thresholds,
)
from detbench.report.plots.canvas import Panel, Series
from detbench.report.plots.cost import Cloud, Point

POINTS = (
    Point("a", 100.0, 30.0, "one"),
    Point("b", 120.0, 29.0, "one"),
    Point("c", 150.0, 35.0, "two"),
    Point("d", 150.0, 35.0, "two"),
    Point("e", 90.0, 20.0, "two"),
)


def _texts(figure) -> list[str]:
    import matplotlib.text

    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def test_the_front_is_what_nothing_beats() -> None:
    assert [point.label for point in cost.pareto(POINTS)] == ["e", "a", "c", "d"]
    assert cost.pareto([]) == []


def test_the_front_against_trying_all_pairs() -> None:
    chance = random.Random(0)
    points = [Point(str(i), chance.randrange(8), chance.randrange(8)) for i in range(40)]
    front = cost.pareto(points)
    assert front
    for point in points:
        beaten = any(
            other.cost <= point.cost
            and other.ap >= point.ap
            and (other.cost, other.ap) != (point.cost, point.ap)
            for other in points
        )
        assert (point in front) == (not beaten)


def test_published_points_have_axes_of_their_own() -> None:
    clouds = [
        Cloud("measured", "GFLOPs", "AP (%) on shapes", POINTS),
        Cloud("published", "GFLOPs", "AP (%) on COCO", POINTS[:2], published=True),
    ]
    figure = cost.draw(clouds, "title", "Profile smoke; measured on shapes.")
    measured, published = figure.axes
    drawn = [line for line in measured.lines if line.get_gid() == "points"]
    assert [list(line.get_xydata().T[0]) for line in drawn] == [[100, 120], [150, 150, 90]]
    assert len({line.get_marker() for line in drawn}) == 2
    [front] = [line for line in measured.lines if line.get_gid() == "front"]
    assert front.get_xydata().tolist() == [[90, 20], [100, 30], [150, 35], [150, 35]]
    [hollow] = [line for line in published.lines if line.get_gid() == "points"]
    assert hollow.get_markerfacecolor() == "white"
    assert [ax.get_ylabel() for ax in figure.axes] == ["AP (%) on shapes", "AP (%) on COCO"]
    assert "Profile smoke; measured on shapes." in _texts(figure)


def test_a_single_point_and_equal_points_can_be_drawn() -> None:
    for points in (POINTS[:1], POINTS[2:4]):
        canvas.save(cost.draw([Cloud("m", "x", "y", points)], "t"), "png")


def test_thresholds_share_a_scale_that_holds_every_line() -> None:
    low = Series("low", tuple(10.0 - i for i in range(10)))
    high = Series("high", (*(90.0 - i for i in range(9)), None))
    figure = thresholds.draw([Panel("", (low,)), Panel("", (high,))], "t")
    first, second = figure.axes
    np.testing.assert_allclose(first.lines[0].get_xdata(), np.arange(0.5, 1, 0.05))
    assert list(first.lines[0].get_ydata()) == list(low.values)
    assert math.isnan(second.lines[0].get_ydata()[-1])
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[0] == 0
    assert first.get_ylim()[1] > 90


def test_sizes_are_bars_with_their_numbers_and_a_dash_for_none() -> None:
    series = (Series("a", (1.5, None, 3.0)), Series("b", (4, 5, 6)))
    figure = sizes.draw(canvas.split(series), "t")
    [ax] = figure.axes
    assert [bar.get_height() for bar in ax.patches] == [1.5, 0.0, 3.0, 4, 5, 6]
    assert {"1.5", "–", "3.0", "6.0"} <= set(_texts(figure))
    assert len({bar.get_hatch() for bar in ax.patches}) == 2


def test_running_means() -> None:
    assert losses.smooth([4.0, 2.0, 0.0, 2.0], 2) == [4.0, 3.0, 1.0, 1.0]
    assert losses.smooth([4.0, 2.0], 1) == [4.0, 2.0]
    assert losses.smooth([], 3) == []


def test_a_long_curve_is_thinned_and_keeps_its_places() -> None:
    curve = losses.Curve("a", tuple(range(1, 90_001)), tuple(1 / (i + 1) for i in range(90_000)))
    figure = losses.draw([[curve]], "t")
    x, y = figure.axes[0].lines[0].get_data()
    assert len(x) <= losses.POINTS
    assert x[0] == 1
    assert x[-1] > 89_000
    assert y[10] == pytest.approx(losses.smooth(curve.losses, 4500)[int(x[10]) - 1])


def test_a_map_writes_its_numbers_frames_the_best_and_hatches_blanks() -> None:
    values = ((30.0, 31.04), (None, 31.0))
    figure = heatmap.draw([heatmap.Map("m", "x", "y", ("0.1", "0.2"), ("a", "b"), values)], "t")
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan)[0], [30.0, 31.04])
    assert {"30.0", "31.0"} <= set(_texts(figure))
    frames = [patch for patch in ax.patches if not patch.get_fill()]
    # Equal as printed: both are best.
    assert [patch.get_xy() for patch in frames] == [(0.5, -0.5), (0.5, 0.5)]
    assert [patch.get_xy() for patch in ax.patches if patch.get_hatch()] == [(-0.5, 0.5)]
    assert "Hatched: not measured." in figure.get_supxlabel()
    assert "Empty" not in figure.get_supxlabel()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "0.2"]


def test_what_does_not_exist_is_empty_and_not_hatched() -> None:
    made = heatmap.Map("m", "x", "y", ("1", "2"), ("a",), ((30.0, None),), frozenset({(0, 1)}))
    figure = heatmap.draw([made], "t")
    assert not [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    key = figure.get_supxlabel()
    assert "Empty: no such row in the table." in key.replace("\n", " ")
    assert "Hatched" not in key


def test_a_map_of_one_value_has_a_scale() -> None:
    figure = heatmap.draw([heatmap.Map("m", "x", "y", ("1",), ("a",), ((30.0,),))], "t")
    canvas.save(figure, "png")


def test_error_types_stand_beside_each_other_since_they_do_not_add_up() -> None:
    gains = {"cls": 1.0, "loc": 2.0, "both": 0.5, "dupe": -0.2, "bkg": 3.0, "miss": 4.0}
    halves = {"ATSS": dict.fromkeys(gains, 0.25)}
    figure = errors.draw({"FCOS": gains, "ATSS": gains}, "t", halves=halves)
    bars = [list(ax.patches) for ax in figure.axes]
    assert [bar[0].get_width() for bar in bars] == [1.0, 2.0, 0.5, -0.2, 3.0, 4.0]
    assert [bar[1].get_x() for bar in bars] == [0.0] * 6
    assert len({bar[0].get_hatch() for bar in bars}) == 6
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    [ends] = [one for one in figure.axes[0].collections if one.get_gid() == "bars"]
    assert ends.get_segments()[1][:, 0].tolist() == [0.75, 1.25]


def test_a_row_keeps_its_look_in_every_panel() -> None:
    """Fourteen rows in three panels: no two look alike, nor does the first of each."""
    series = [Series(str(i), tuple(map(float, range(10)))) for i in range(14)]
    panels = canvas.split(series)
    assert len(panels) == 3
    figure = thresholds.draw(panels, "t")
    lines = [line for ax in figure.axes for line in ax.lines]
    looks = {(one.get_color(), one.get_marker(), str(one.get_linestyle())) for one in lines}
    assert len(looks) == 14
    again = thresholds.draw(panels[1:], "t").axes[0].lines[0]
    assert (again.get_color(), again.get_marker()) == (lines[6].get_color(), lines[6].get_marker())
    curves = [losses.Curve(str(i), (1, 2), (2.0, 1.0), place=i) for i in (0, 6)]
    drawn = losses.draw([[one] for one in curves], "t")
    assert drawn.axes[0].lines[0].get_color() != drawn.axes[1].lines[0].get_color()


def test_copies_and_two_points_have_no_front() -> None:
    for points in (POINTS[:2], POINTS[2:4], (*POINTS[2:4], POINTS[2]), POINTS[1:3]):
        [ax] = cost.draw([Cloud("m", "x", "y", points)], "t").axes
        assert "front" not in [line.get_gid() for line in ax.lines]
    beaten = (Point("a", 1.0, 9.0), Point("b", 2.0, 8.0), Point("c", 3.0, 7.0))
    assert cost.shown_front(beaten) == []
    assert [one.label for one in cost.shown_front(POINTS)] == ["e", "a", "c", "d"]


def test_differences_are_filled_where_the_interval_excludes_nothing() -> None:
    found = [
        differences.Difference("a", "base", 2.0, 1.0, 3.5),
        differences.Difference("b", "base", -1.0, -2.0, 0.5),
    ]
    figure = differences.draw(found, "t")
    [ax] = figure.axes
    clear, open_ = ax.containers
    segments = [bars[2][0].get_segments()[0][:, 0].tolist() for bars in (clear, open_)]
    assert segments == [[1.0, 3.5], [-2.0, 0.5]]
    assert clear[0].get_markerfacecolor() != "white"
    assert open_[0].get_markerfacecolor() == "white"
    assert "+2.0 [+1.0, +3.5]" in _texts(figure)
    assert ax.get_yticklabels()[1].get_text() == "b  −  base"


def _grey(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_series_differ_without_colour() -> None:
    looks = [canvas.line_style(i) for i in range(8)]
    for key in ("color", "marker", "linestyle"):
        assert len({str(look[key]) for look in looks}) == 8
    bars = [canvas.bar_style(i) for i in range(8)]
    assert len({bar["hatch"] for bar in bars}) == 8
    # Lines must be seen on white; the lightest colours come last.
    assert max(_grey(to_hex(look["color"])) for look in looks[:6]) < 0.7


def test_panels_are_cut_at_breaks_and_when_full() -> None:
    series = [Series(str(i), ()) for i in range(12)]

    def cut(*breaks: int, count: int = 12) -> list[int]:
        return [len(one.series) for one in canvas.split(series[:count], frozenset(breaks))]

    assert cut(4, 8) == [4, 4, 4]
    assert cut() == [6, 6]
    assert cut(2, 6, count=10) == [6, 4]
    assert cut(count=0) == []


def test_legends_cover_no_line_and_are_not_cut() -> None:
    """Of six rows that stay low, as those of hard data do, and of as many groups of one cloud."""
    names = [f"ResNet-101-DCN, number {n}" for n in range(6)]
    falling = tuple(Series(name, tuple(float(9 - k) for k in range(10))) for name in names)
    bars = tuple(Series(name, (3.0, 2.0, 1.0)) for name in names)
    curves = [losses.Curve(f"{name}, {'wide ' * 12}", (1, 2), (2.0, 2.0)) for name in names]
    points = tuple(Point(name, 100.0 + n, 30.0 + n, name) for n, name in enumerate(names))
    for made in (
        thresholds.draw([Panel("", falling)] * 3, "A title"),
        sizes.draw([Panel("", bars)], "A title"),
        losses.draw([curves], "A title"),
        cost.draw([Cloud("published", "ms", "AP", points, published=True)], "A title"),
    ):
        canvas.save(made, "png")
        for ax in made.axes:
            legend, panel = ax.get_legend().get_window_extent(), ax.get_window_extent()
            assert legend.y1 < panel.y0
            assert made.bbox.x0 <= legend.x0 < legend.x1 <= made.bbox.x1
            assert made.bbox.y0 - 1 < legend.y0


def test_a_picture_is_the_same_file_each_time_and_has_searchable_words() -> None:
    panels = [Panel("", (Series("a $1 & <b>", tuple(range(10))),))]
    files = {
        form: [canvas.save(thresholds.draw(panels, "A title"), form) for _ in range(2)]
        for form in ("svg", "png", "pdf")
    }
    for first, second in files.values():
        assert first == second
    svg = files["svg"][0].decode()
    assert "A title" in svg
    assert "a $1 &amp; &lt;b&gt;" in svg
    assert files["pdf"][0].startswith(b"%PDF")
    small = canvas.small_png(thresholds.draw(panels, "A title"))
    assert len(small) < len(files["png"][0]) / 2
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (528, 432)


def test_no_place_hangs_on_the_solvers_last_digits() -> None:
    """Pointers order the solver's sums: a title at half a pixel was drawn on either side of it."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(7.1, 5.3), layout="constrained")
    upper, lower = made.subfigures(2, 1, height_ratios=(1.7, 1))
    for part in (upper, lower):
        for ax in part.subplots(1, 3):
            ax.set_title("two\nlines")
    made.suptitle("A title")
    first = canvas.save(made, "png")
    places = [ax.get_position(original=True).get_points() for ax in made.axes]
    places += [part.bbox_relative.get_points() for part in (upper, lower)]
    for one in places:
        assert (one == one.round(6)).all()
    assert len({tuple(one.ravel()) for one in places}) == len(places)
    assert canvas.save(made, "png") == first


def test_a_small_picture_keeps_the_series_colours() -> None:
    points = tuple(Point(str(i), i, i, str(i)) for i in range(6))
    content = canvas.small_png(cost.draw([Cloud("m", "x", "y", points)], "t"))
    with Image.open(io.BytesIO(content)) as image:
        found = {colour for _, colour in image.convert("RGB").getcolors(1000) or []}
    for colour in canvas.COLOURS[:6]:
        assert tuple(bytes.fromhex(colour[1:])) in found
    with Image.open(io.BytesIO(content)) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_no_pyplot_and_no_torch(no_torch: NoTorch, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from detbench.report import figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from detbench.report.plots import errors, canvas\n"
        "canvas.save(errors.draw({'a': {'cls': 1.0}}, 't'), 'svg')\n"
    )
    done = no_torch.run(code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.modules & {"torch", "pandas", "matplotlib.pyplot"}


def test_names_of_points_stay_inside_their_axes() -> None:
    """Of sixteen long ones, four above each other: they pushed the axes aside, and were cut."""
    points = [
        Point(f"ATSS + features + sampling + {n} and {k}", 176.0 + 9 * n, 36.0 + n + 0.2 * k, "")
        for n in range(4)
        for k in range(4)
    ]
    made = cost.draw([Cloud("measured", "GFLOPs", "AP", tuple(points))], "A title")
    canvas.save(made, "png")
    [ax] = made.axes
    edge, page = ax.get_window_extent(), made.bbox
    assert edge.width > 0.7 * page.width
    for text in ax.texts:
        place = text.get_window_extent()
        assert page.x0 <= place.x0 < place.x1 <= page.x1
        assert edge.x0 - 1 <= place.x0
    assert len({text.get_text() for text in ax.texts}) == 16


def test_characters_that_the_font_lacks_are_said_in_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "_said", set())
    pictures: list[bytes] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for format in ("svg", "png", "pdf"):
            with canvas.panels(1, (3.0, 2.0), ("猫 and dog", "é 犬")) as (made, [ax], _):
                ax.plot([0, 1], label="ab猫")
            pictures.append(canvas.save(made, format))
            assert bool(capfd.readouterr().err) == (format == "png")
    assert "猫" in pictures[0].decode()
    with canvas.panels(1, (3.0, 2.0), ("ok", "鳥")) as (made, _, _):
        pass
    canvas.small_png(made)
    assert capfd.readouterr().err == (
        "some names have characters that the plots' font lacks, drawn as boxes: 鳥 "
        "(plots as svg keep them as text)\n"
    )
