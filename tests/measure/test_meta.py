import pytest
import torch
from torch import nn

from detbench.assembly import build_detector
from detbench.measure import meta
from detbench.recipe import load

ADD = torch.ops.aten.add.Tensor


def empty(*shape, **options):
    return torch.empty(*shape, device="meta", **options)


def test_networks_are_the_same_as_without():
    spec = load.detector("gfl-r50").detector
    with torch.device("meta"):
        plain = build_detector(spec, 80)
    with meta.device():
        quick = build_detector(spec, 80)
    expected = {name: (p.shape, p.requires_grad) for name, p in plain.named_parameters()}
    found = {name: (p.shape, p.requires_grad) for name, p in quick.named_parameters()}
    assert found == expected
    assert {tensor.device.type for tensor in quick.state_dict().values()} == {"meta"}


def test_nothing_is_left_behind():
    with meta.device():
        nn.Conv2d(3, 4, 3)
    layer = nn.Conv2d(3, 4, 3)
    assert layer.weight.device.type == "cpu"
    assert layer.weight.std() > 0


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("func", "args"),
    [
        (ADD, (empty(2, 3, 4), empty(3, 1))),
        (ADD, (empty(2, 3, 4), 1.5)),
        (ADD, (empty(2, 3, 4, dtype=torch.int64), 1)),
        (ADD, (empty(2, 3, 4, dtype=torch.int64), 1.5)),
        (torch.ops.aten.permute.default, (empty(2, 3, 4), [2, 0, 1])),
        (torch.ops.aten.max.dim, (empty(2, 3, 4), 1)),
        (torch.ops.aten.cat.default, ([empty(2, 3), empty(4, 3)],)),
        (torch.ops.aten.split.Tensor, (empty(5, 3), 2)),
    ],
)
def test_results_are_pytorchs(func, args, again):
    def layout(result):
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        return [(t.shape, t.stride(), t.dtype, t.device.type) for t in tensors]

    if again:
        meta.call(func, args, {})
    assert layout(meta.call(func, args, {})) == layout(func(*args))


def test_keywords_count():
    x = empty(2, 3)
    narrow = meta.call(torch.ops.aten._to_copy.default, (x,), {"dtype": torch.float16})
    wide = meta.call(torch.ops.aten._to_copy.default, (x,), {"dtype": torch.float64})
    assert (narrow.dtype, wide.dtype) == (torch.float16, torch.float64)


def test_in_place_operators_return_their_argument():
    x = empty(2, 3)
    for _ in range(2):
        assert meta.call(torch.ops.aten.relu_.default, (x,), {}) is x


def test_tensors_with_values_are_computed():
    x = torch.ones(2)
    for _ in range(2):
        assert meta.call(ADD, (x, x), {}).tolist() == [2, 2]
