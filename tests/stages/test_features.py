import pytest
import torch

from detbench.assembly.common import make
from detbench.recipe import stages
from detbench.stages.features import Pyramid
from detbench.stages.features.dpe import Dpe
from detbench.stages.features.level import Level
from detbench.stages.features.sce import Sce
from detbench.stages.features.ssh import Ssh


def sce(**settings) -> Sce:
    """Of a pyramid 8 channels wide."""
    return make(stages.Sce(kind="sce", **settings), channels=8)


def dpe(below: int = 8, **settings) -> Dpe:
    """Likewise, with a map ``below`` channels wide under it."""
    return make(stages.Dpe(kind="dpe", **settings), channels=8, below_channels=below)


def pyramid(height: int = 13, width: int = 18, channels: int = 8) -> Pyramid:
    """Odd sizes, each level ceil(half) of the one below."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(height, width)]
    for _ in range(3):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    levels = [torch.randn(2, channels, *size, generator=generator) for size in sizes]
    below = torch.randn(2, channels, 2 * height - 1, 2 * width, generator=generator)
    return Pyramid(levels, below)


def test_level_is_the_pyramid():
    maps = pyramid()
    assert all(a is b for a, b in zip(Level(8)(maps), maps.levels, strict=True))


@pytest.mark.parametrize("down", ["conv", "avg", "max"])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("next_level", [True, False])
def test_sce_halves_and_widens(down, kernel, next_level):
    module = sce(down=down, kernel=kernel, next_level=next_level)
    maps = pyramid()
    for ours, level in zip(module(maps), maps.levels, strict=True):
        height, width = level.shape[-2:]
        assert ours.shape == (2, module.channels, (height + 1) // 2, (width + 1) // 2)
    assert module.channels == (16 if next_level else 8)


def test_sce_concatenates_the_next_level_itself():
    maps = pyramid()
    encoded = sce()(maps)
    for ours, above in zip(encoded, maps.levels[1:], strict=False):
        assert torch.equal(ours[:, 8:], above)


def test_sce_average_ignores_padding():
    maps = Pyramid([torch.ones(1, 8, 5, 5)], torch.ones(1, 8, 10, 10))
    assert torch.equal(sce(down="avg", next_level=False)(maps)[0], torch.ones(1, 8, 3, 3))


@pytest.mark.parametrize(
    "levels", [(0,), (0, 1), (-1, 1), (-1, 0), (-1, 0, 1), (-1, 0, 1, 2), (1,)]
)
def test_dpe_keeps_the_size(levels):
    maps = pyramid()
    encoded = dpe(levels=levels)(maps)
    assert [x.shape for x in encoded] == [x.shape for x in maps.levels]


def test_dpe_without_the_finer_level_is_a_sum():
    maps = pyramid()
    encoded = dpe(levels=(0, 1))(maps)
    lifted = torch.nn.functional.interpolate(maps.levels[1], size=maps.levels[0].shape[-2:])
    assert torch.equal(encoded[0], maps.levels[0] + lifted)
    assert torch.equal(encoded[-1], maps.levels[-1])


def test_dpe_reads_the_backbone_under_the_first_level():
    maps = pyramid()
    module = dpe()
    changed = Pyramid(maps.levels, maps.below + 1)
    same = [torch.equal(a, b) for a, b in zip(module(maps), module(changed), strict=True)]
    assert same == [False, True, True, True]


def test_dpe_matches_widths_only_where_they_differ():
    assert dpe().match is None
    narrow = Pyramid(pyramid().levels, pyramid().below[:, :4])
    assert len(dpe(below=4)(narrow)) == 4


def ssh(channels: int = 8, **settings) -> Ssh:
    return make(stages.Ssh(kind="ssh", **settings), channels=channels)


def test_ssh_keeps_sizes_and_width():
    maps = pyramid()
    found = ssh()(maps)
    assert [one.shape for one in found] == [one.shape for one in maps.levels]
    assert (ssh().channels, ssh().coarseness) == (8, 1)


def test_ssh_sees_three_cells_with_a_half_and_five_and_seven_with_a_quarter_each():
    """What one cell changes: the field of view of each channel."""
    torch.manual_seed(0)
    module = ssh(norm="none", init="he").double()
    impulse = torch.zeros(1, 8, 15, 15, dtype=torch.float64)
    before, after = impulse, impulse.clone()
    after[:, :, 7, 7] = 5.0
    for conv in (m for m in module.modules() if isinstance(m, torch.nn.Conv2d)):
        torch.nn.init.uniform_(conv.bias, 1.0, 2.0)  # ReLUs stay open
        conv.weight.data.uniform_(0.1, 0.2)
    with torch.no_grad():
        [one], [other] = (module(Pyramid([x], x)) for x in (before, after))
    seen = (one != other)[0].any(dim=1).sum(dim=-1)
    assert seen.tolist() == [3, 3, 3, 3, 5, 5, 7, 7]


def test_ssh_has_five_convolutions_for_all_levels():
    module = ssh(256)
    sizes = [
        tuple(p.shape) for name, p in module.named_parameters() if name.endswith("conv.weight")
    ]
    quarter = (64, 64, 3, 3)
    assert sizes == [(128, 256, 3, 3), (64, 256, 3, 3), quarter, quarter, quarter]


def test_ssh_needs_channels_that_part_in_four():
    with pytest.raises(ValueError, match="the pyramid has 6"):
        ssh(6)
