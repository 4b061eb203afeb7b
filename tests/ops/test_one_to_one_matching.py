"""The best match of objects to places, against scipy's on all pairs and by exhaustion."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detbench.ops.matching import one_to_one


def places(batch: int, count: int, width: int) -> Tensor:
    return torch.arange(width).expand(batch, count, -1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "width"), [(1, 1), (4, 9), (30, 400), (20, 21)])
def test_few_places_of_each_are_enough(count: int, width: int, seed: int) -> None:
    """All objects want the same places, so that most do not have their best."""
    random = torch.Generator().manual_seed(seed)
    quality = torch.rand(2, count, width, generator=random, dtype=torch.float64)
    quality = quality / 10 + torch.rand(width, generator=random, dtype=torch.float64)
    found = one_to_one(
        quality, places(2, count, width), torch.ones(2, count, dtype=torch.bool), width
    )
    for own, matched in zip(quality, found, strict=True):
        rows, columns = linear_sum_assignment(own.numpy(), maximize=True)
        assert matched.tolist() == columns.tolist()
        assert rows.tolist() == list(range(count))


def test_by_exhaustion() -> None:
    random = torch.Generator().manual_seed(0)
    quality = torch.rand(1, 3, 6, generator=random, dtype=torch.float64)
    found = one_to_one(quality, places(1, 3, 6), torch.ones(1, 3, dtype=torch.bool), 6)[0]
    best = max(permutations(range(6), 3), key=lambda one: float(quality[0, range(3), one].sum()))
    assert found.tolist() == list(best)


def test_more_objects_than_places() -> None:
    """As many as there are places have one each; those that lose least go without."""
    quality = torch.tensor([[[0.9, 0.1], [0.8, 0.3], [0.2, 0.15]]])
    found = one_to_one(quality, places(1, 3, 2), torch.ones(1, 3, dtype=torch.bool), 2)[0]
    assert found.tolist() == [0, 1, -1]


def test_padding_and_no_objects() -> None:
    quality = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[True, False, True], [False, False, False]])
    found = one_to_one(quality, places(2, 3, 5), valid, 5)
    assert (found[~valid] == -1).all()
    assert len(set(found[valid].tolist())) == 2
    alone = one_to_one(quality[:1, [0, 2]], places(1, 2, 5), valid[:1, [0, 2]], 5)
    assert alone[0].tolist() == found[0, [0, 2]].tolist()
    nothing = one_to_one(quality[:, :0], places(2, 0, 5), valid[:, :0], 5)
    assert nothing.shape == (2, 0)


@pytest.mark.parametrize("seed", range(60))
def test_it_is_scipys_on_all_pairs_with_objects_that_have_no_place(seed: int) -> None:
    """And with ties, which scipy breaks by the order of places."""
    random = torch.Generator().manual_seed(seed)
    count, total = int(torch.randint(1, 40, (), generator=random)), 60 + 3 * seed
    quality = torch.randint(0, 4, (1, count, total), generator=random) / 3
    density = torch.rand(count, 1, generator=random).square()
    own = torch.rand(1, count, total, generator=random) < density * 0.3
    own[0, ::3] = False
    quality = quality.masked_fill(~own, -1.0)
    order = torch.rand(1, count, total, generator=random).argsort(-1)
    valid = torch.ones(1, count, dtype=torch.bool)
    found = one_to_one(quality.gather(-1, order), order, valid, total)[0]
    _, columns = linear_sum_assignment(quality[0].numpy(), maximize=True)
    assert found.tolist() == columns.tolist()


def test_an_objects_own_places_may_differ_from_the_others() -> None:
    """Columns are the indices that are named, whatever they are."""
    quality = torch.tensor([[[0.9, 0.5], [0.9, 0.1]]])
    own = torch.tensor([[[700, 3], [700, 21000]]])
    found = one_to_one(quality, own, torch.ones(1, 2, dtype=torch.bool), 22000)[0]
    assert found.tolist() == [3, 700]
