import pytest
import torch
from torchvision.ops import roi_align

from detbench.ops import reading
from detbench.ops import roi_pooling as ops
from detbench.ops.reading import bilinear
from detbench.ops.roi_pooling import Bins, ShiftedBins

GENERATOR = torch.Generator().manual_seed(0)
LEVELS = [torch.randn(2, 3, 64 // s, 80 // s, generator=GENERATOR) for s in (1, 2, 4)]
STRIDES = [4, 8, 16]
BINS, SHIFTED = Bins(7, 1.0), ShiftedBins(7, 4, "aligned")
ROIS = torch.tensor(
    [
        [0, 10.0, 20.0, 60.0, 90.0],
        [1, 0.0, 0.0, 300.0, 250.0],
        [0, 100.0, 30.0, 230.0, 140.0],
        [1, 5.0, 5.0, 25.0, 40.0],
    ]
)


def test_levels_follow_the_size():
    assert ops.assign_levels(ROIS, 3).tolist() == [0, 2, 1, 0]
    assert ops.assign_levels(ROIS, 3, finest=28).tolist() == [1, 2, 2, 0]


def test_pooling_reads_the_levels_that_the_finest_scale_says():
    shifts = torch.zeros(len(ROIS), 1, 1, 2)
    for scale in (14.0, 28.0):
        levels = ops.assign_levels(ROIS, 3, scale).tolist()
        assert levels != ops.assign_levels(ROIS, 3).tolist()
        pooled = ops.align(LEVELS, STRIDES, ROIS, BINS, finest=scale)
        shifted = ops.deformable(LEVELS, STRIDES, ROIS, shifts, SHIFTED, finest=scale)
        for index, level in enumerate(levels):
            one = LEVELS[level : level + 1], STRIDES[level : level + 1], ROIS[index : index + 1]
            assert torch.equal(pooled[index], ops.align(*one, BINS)[0])
            alone = ops.deformable(*one, shifts[:1], SHIFTED)[0]
            assert torch.allclose(shifted[index], alone, atol=1e-6)


def test_align_is_torchvisions_on_each_level():
    pooled = ops.align(LEVELS, STRIDES, ROIS, BINS)
    for index, level in enumerate(ops.assign_levels(ROIS, 3).tolist()):
        one = ROIS[index : index + 1]
        expected = roi_align(LEVELS[level], one, 7, 1 / STRIDES[level], 0, aligned=True)
        assert torch.equal(pooled[index], expected[0])


@pytest.mark.parametrize(("height", "width"), [(16, 20), (1, 1), (1, 6), (30, 34)])
@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float32, 3e-5), (torch.float64, 1e-12)], ids=["single", "double"]
)
@pytest.mark.parametrize(("samples", "aligned"), [(0, True), (2, False)], ids=["new", "old"])
def test_align_on_small_maps_and_its_gradient_are_torchvisions(
    height, width, dtype, close, samples, aligned
):
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(40, 2, generator=generator) * torch.tensor([4.0 * width, 4.0 * height]) - 9
    side = torch.rand(40, 2, generator=generator) * 90
    side[::7, 0] = 0  # without samples
    image = torch.randint(0, 3, (40, 1), generator=generator) * 2.0  # images 1 and 3 have none
    rois = torch.cat((image, corner, corner + side), dim=1)
    rois = torch.cat((rois, rois.new_tensor([[0, -500, -500, -400, -400], [2, 50, 50, 20, 20]])))
    level = torch.randn(5, 3, height, width, generator=generator, dtype=dtype)
    weights = torch.randn(len(rois), 3, 4, 4, generator=generator, dtype=dtype)
    found = []
    for pool in (
        lambda x: ops.align([x], [4], rois, Bins(4, 1.0, samples, aligned)),
        lambda x: roi_align(x, rois.to(dtype), 4, 1 / 4, samples, aligned),
    ):
        leaf = level.clone().requires_grad_()
        pooled = pool(leaf)
        (pooled * weights).sum().backward()
        found.append((pooled.detach(), leaf.grad))
    assert found[0][1].abs().sum() > 0
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=close, atol=close)


@pytest.mark.parametrize(("lines", "small"), [(4 * 7 * 3 * 20 - 1, False), (4 * 7 * 3 * 20, True)])
def test_what_would_need_much_memory_is_left_to_torchvision(monkeypatch, lines, small):
    used = []
    monkeypatch.setattr(ops, "LINES", lines)
    monkeypatch.setattr(
        ops, "KERNEL", lambda *given: used.append(1) or torch.ops.torchvision.roi_align(*given)
    )
    ops.align([LEVELS[2].clone().requires_grad_()], STRIDES[2:], ROIS, BINS)
    assert bool(used) != small


@pytest.mark.parametrize("side", [34, 50], ids=["small", "torchvision's"])
def test_in_bf16_regions_are_read_where_they_are(side):
    """Coordinates are not rounded to bfloat16, which has steps of 4 pixels at 1000."""
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(40, 2, generator=generator) * 26.0 * side
    image = torch.randint(0, 2, (40, 1), generator=generator).float()
    extent = torch.rand(40, 2, generator=generator) * 200
    rois = torch.cat((image, corner, corner + extent), dim=1)
    level = torch.randn(2, 3, 30, side, generator=generator).bfloat16()
    weights = torch.randn(40, 3, 4, 4, generator=generator).bfloat16().float()
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        leaf = level.to(dtype, copy=True).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            pooled = ops.align([leaf], [32], rois, Bins(4, 1.0))
        assert pooled.dtype == dtype
        (pooled.float() * weights).sum().backward()
        found.append((pooled.detach().float(), leaf.grad.float()))
    for ours, exact in zip(*found, strict=True):
        assert torch.allclose(ours, exact, rtol=0.01, atol=1e-3)


def test_no_rois_at_all():
    nothing = ROIS[:0]
    assert ops.align(LEVELS, STRIDES, nothing, BINS).shape == (0, 3, 7, 7)
    shifts = torch.zeros(0, 7, 7, 2)
    assert ops.deformable(LEVELS, STRIDES, nothing, shifts, SHIFTED).shape == (0, 3, 7, 7)


def test_deformable_without_shifts_is_align_with_four_samples():
    pooled = ops.deformable(LEVELS, STRIDES, ROIS, torch.zeros(4, 7, 7, 2), SHIFTED)
    for index, level in enumerate(ops.assign_levels(ROIS, 3).tolist()):
        one = ROIS[index : index + 1]
        expected = roi_align(LEVELS[level], one, 7, 1 / STRIDES[level], 4, aligned=True)
        assert torch.allclose(pooled[index], expected[0], atol=1e-5)


def test_one_shift_for_all_bins_is_a_translated_region():
    share = torch.tensor([0.3, -0.2])
    moved = ROIS.clone()
    moved[:, 1:] += (share * (ROIS[:, 3:] - ROIS[:, 1:3])).repeat(1, 2)
    ours = ops.deformable(LEVELS, STRIDES, ROIS, share.expand(4, 1, 1, 2), SHIFTED)
    expected = ops.deformable(LEVELS, STRIDES, moved, torch.zeros(4, 1, 1, 2), SHIFTED)
    assert torch.allclose(ours, expected, atol=1e-5)


def literal(level, stride, roi, shares, size, samples=4):
    """Equation 6 of TSD, one bilinear read at a time."""
    height, width = level.shape[-2:]

    def read(x, y):
        if not (-1 < x < width and -1 < y < height):
            return torch.zeros(level.shape[1])
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        x0, y0 = int(x), int(y)
        x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
        image = level[int(roi[0])]
        top = image[:, y0, x0] * (1 - (x - x0)) + image[:, y0, x1] * (x - x0)
        bottom = image[:, y1, x0] * (1 - (x - x0)) + image[:, y1, x1] * (x - x0)
        return top * (1 - (y - y0)) + bottom * (y - y0)

    left, top, right, bottom = (v / stride - 0.5 for v in roi[1:].tolist())
    result = torch.zeros(level.shape[1], size, size)
    for row in range(size):
        for column in range(size):
            dx, dy = shares[row, column].tolist()
            dx, dy = dx * (right - left), dy * (bottom - top)
            for i in range(samples):
                for j in range(samples):
                    x = left + (column + (j + 0.5) / samples) * (right - left) / size + dx
                    y = top + (row + (i + 0.5) / samples) * (bottom - top) / size + dy
                    result[:, row, column] += read(x, y) / samples**2
    return result


def test_deformable_is_equation_6():
    shares = torch.randn(4, 3, 3, 2, generator=torch.Generator().manual_seed(1)) * 0.1
    ours = ops.deformable(LEVELS, STRIDES, ROIS, shares, ShiftedBins(3, 4, "aligned"))
    for index, level in enumerate(ops.assign_levels(ROIS, 3).tolist()):
        expected = literal(LEVELS[level], STRIDES[level], ROIS[index], shares[index], 3)
        assert torch.allclose(ours[index], expected, atol=1e-4)


@pytest.mark.parametrize("pooling", ["aligned", "whole-pixels"])
def test_gradients_reach_maps_and_shifts(pooling):
    level = torch.randn(1, 2, 9, 11, dtype=torch.float64, requires_grad=True)
    shares = (torch.randn(2, 2, 2, 2, dtype=torch.float64) * 0.02).requires_grad_()
    rois = torch.tensor([[0, 4.3, 5.1, 40.2, 31.7], [0, 20.1, 9.9, 60.3, 33.3]]).double()

    def pool(level, shares):
        return ops.deformable([level], [4], rois, shares, ShiftedBins(2, 2, pooling))

    assert torch.autograd.gradcheck(pool, (level, shares), eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("pooling", ["aligned", "whole-pixels"])
def test_what_is_read_at_once_is_bounded_and_changes_nothing(pooling, monkeypatch):
    """Both ways: the same means, and gradients of maps and shifts, but for the order of sums."""
    shares = torch.randn(4, 7, 7, 2, generator=torch.Generator().manual_seed(1)) * 0.1
    weights = torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(2))
    found, sizes = [], []
    kept = torch.nn.functional.grid_sample

    def noted(*given, **settings):
        read = kept(*given, **settings)
        sizes.append(read.numel())
        return read

    monkeypatch.setattr(torch.nn.functional, "grid_sample", noted)
    for at_once in (reading.AT_ONCE, 2 * 3 * 28**2):  # two regions of three channels
        monkeypatch.setattr(reading, "AT_ONCE", at_once)
        leaves = [level.clone().requires_grad_() for level in LEVELS]
        moved = shares.clone().requires_grad_()
        rois = torch.cat((ROIS, ROIS.flip(0)))
        bins = ShiftedBins(7, 4, pooling)
        pooled = ops.deformable(leaves, STRIDES, rois, torch.cat((moved, moved)), bins)
        (pooled[:4] * weights).sum().backward()
        found.append([pooled.detach(), moved.grad, *(leaf.grad for leaf in leaves)])
        assert max(sizes) <= at_once
    assert len(sizes) > 6
    for whole, parts in zip(*found, strict=True):
        assert whole.any()
        assert torch.allclose(parts, whole, atol=1e-5)


@pytest.mark.parametrize("image", [[0, 1, 0, 1], [1, 1, 1, 1], [1, 0, 0, 0]])
def test_regions_may_be_of_any_image_in_any_order(image):
    rois = ROIS.clone()
    rois[:, 0] = torch.tensor(image)
    shares = torch.randn(4, 7, 7, 2, generator=torch.Generator().manual_seed(1)) * 0.1
    pooled = ops.deformable(LEVELS, STRIDES, rois, shares, SHIFTED)
    for index, one in enumerate(rois):
        alone = [level[image[index]][None] for level in LEVELS]
        own = torch.cat((one.new_zeros(1), one[1:]))[None]
        expected = ops.deformable(alone, STRIDES, own, shares[index][None], SHIFTED)
        assert torch.allclose(pooled[index], expected[0], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (4, 1)])
def test_outside_is_zero_on_the_narrowest_maps_too(height, width):
    level = torch.arange(1.0, 1 + height * width).reshape(1, 1, height, width)
    points = torch.tensor([[-1.5, 0], [-0.5, 0], [0, 0], [width - 0.5, 0], [width + 0.5, 0]])
    read = bilinear(level, torch.tensor([0]), points[None, None])
    expected = torch.tensor([0.0, 1, 1, width, 0])
    assert torch.allclose(read.flatten(), expected, atol=1e-5)


@pytest.mark.parametrize("change", [0.2, -0.2])
def test_whole_pixels_are_read_of_rounded_regions(change):
    shares = torch.zeros(4, 1, 1, 2)
    moved = ROIS.clone()
    moved[:, 1:] += change
    rounded = ShiftedBins(7, 4, "whole-pixels")
    whole = ops.deformable(LEVELS, STRIDES, ROIS, shares, rounded)
    same = ops.deformable(LEVELS, STRIDES, moved, shares, rounded)
    assert torch.equal(same, whole)
    assert not torch.equal(
        ops.deformable(LEVELS, STRIDES, moved, shares, SHIFTED),
        ops.deformable(LEVELS, STRIDES, ROIS, shares, SHIFTED),
    )


def test_scaled_keeps_the_centre():
    larger = ops.scaled(ROIS, 1.3)
    assert torch.allclose(larger[:, 1:3] + larger[:, 3:], ROIS[:, 1:3] + ROIS[:, 3:], atol=1e-4)
    sides = (larger[:, 3:] - larger[:, 1:3]) / (ROIS[:, 3:] - ROIS[:, 1:3])
    assert torch.allclose(sides, torch.full_like(sides, 1.3))
