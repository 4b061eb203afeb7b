"""Likeness between cells: a layer and maps with known patterns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_analysis import GROUPS
from torch import nn

from detbench.analysis import cells, heads, summary, weights
from detbench.analysis.kind import Analysis, Measured
from detbench.recipe import resolve

SIDE = 3


def made(*tables, images=(0,)) -> Analysis:
    rows = tuple(Measured("AB"[n], (0,), (one,)) for n, one in enumerate(tables))
    return Analysis(rows, np.array(images), GROUPS, (), {}, "")


def test_a_linear_layer_with_a_known_pattern_gives_its_correlation() -> None:
    """Cells of one column share their weights, those of the next have their opposites."""
    layer, shared = nn.Linear(4 * SIDE * SIDE, 5), torch.randn(4, 5)
    pattern = torch.zeros(5, 4, SIDE, SIDE)
    for column, sign in enumerate((1.0, -1.0, 1.0)):
        pattern[..., column] = sign * shared.T[..., None]
    with torch.no_grad():
        layer.weight.copy_(pattern.flatten(1))
    by_cell = heads.by_cell(layer, SIDE)
    assert by_cell.shape == (9, 4, 5)
    assert torch.equal(by_cell[1], -shared)
    found = heads.correlations(by_cell.flatten(1).double().numpy())
    signs = np.array([1, -1, 1] * 3)
    assert found == pytest.approx(np.outer(signs, signs))


def test_independent_weights_do_not_correlate() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64 * 9, 128)
    found = heads.correlations(heads.by_cell(layer, SIDE).flatten(1).double().numpy())
    assert np.abs(found - np.eye(9)).max() < 0.05


def test_means_of_neighbours_and_of_far_cells() -> None:
    """Likeness that falls with the distance by 0.25."""
    at = np.stack(np.divmod(np.arange(9), SIDE), axis=1)
    apart = np.abs(at[:, None] - at).sum(axis=2)
    table = cells.table(0, {("both", "weights"): (1 - 0.25 * apart)[None]})
    analysis = made(table)
    found = summary.numbers(analysis, cells.quantities(analysis))
    near, far = found
    assert (near.group, far.group) == (cells.NEAR, cells.FAR)
    assert near.value == pytest.approx(0.75)
    distances = apart[apart >= 2]
    assert far.value == pytest.approx(1 - 0.25 * distances.mean())
    assert near.n == 24  # 12 pairs of neighbours, both ways


def test_images_are_averaged_by_their_objects() -> None:
    one, three = np.full((1, 9, 9), 0.2), np.full((3, 9, 9), 0.6)
    key = ("cls", "input")
    tables = [cells.table(1, {key: one}), cells.table(2, {key: three}), cells.table(3, {})]
    table = {name: np.concatenate([each[name] for each in tables]) for name in tables[0]}
    found = cells.matrix(made(table, images=(1, 2, 3)).rows[0], *key)
    assert found == pytest.approx(np.full((9, 9), 0.5))


def test_the_output_of_an_fc_layer_is_put_together_cell_by_cell() -> None:
    """With the same weights everywhere cells are as alike as before; the sum is the layer's."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(4 * 9, 6, bias=False))
    features = torch.randn(2, 4, SIDE, SIDE)
    head = heads.Head("cls", layer, "cls", SIDE)
    after = heads._after(head, features)
    assert after is not None
    assert after.flatten(2).sum(dim=2).detach() == pytest.approx(
        layer(features.flatten(1)).detach().numpy(), abs=1e-5
    )


def test_a_head_that_keeps_the_map_gives_its_last_one() -> None:
    pool = nn.AdaptiveAvgPool2d(1)
    spread = nn.Sequential(pool, nn.Upsample(SIDE), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    after = heads._after(heads.Head("loc", spread, "loc", SIDE), torch.randn(2, 4, SIDE, SIDE))
    assert after is not None
    likeness = heads.cosines(after[0].flatten(1).T.double().numpy())
    assert likeness == pytest.approx(np.ones((9, 9)))


def test_a_row_without_such_a_head_is_left_out() -> None:
    one, other = (cells.table(0, {(head, "weights"): np.eye(9)[None]}) for head in ("both", "cls"))
    analysis = made(one, other)
    found = summary.numbers(analysis, cells.quantities(analysis))
    assert [(each.row, each.part, each.baseline) for each in found] == [
        *[("A", "head of both, weights", "")] * 2,
        *[("B", "head of cls, weights", "")] * 2,
    ]


def test_cosines_of_nothing_are_zero() -> None:
    assert heads.cosines(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("name", "said"),
    [("fcos-r50", "no fc layer"), ("faster-rcnn-r50", ""), ("faster-rcnn-r50-c4", "no fc layer")],
)
def test_weights_takes_detectors_with_an_fc_layer(name: str, said: str) -> None:
    cell = resolve.cell(name, "smoke").cell
    assert cell is not None
    found = weights.unfit(cell.detector)
    assert said in found
    assert bool(said) == bool(found)


def test_the_picture_has_a_tile_for_each_cell() -> None:
    table = cells.table(0, {("both", "weights"): np.eye(9)[None]})
    figure = weights.draw(made(table, table), [], ("T", "n"))
    assert [ax.images[0].get_array().shape for ax in figure.axes[:2]] == [(11, 11)] * 2
