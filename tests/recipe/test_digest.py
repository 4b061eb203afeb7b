from __future__ import annotations

from detbench.recipe.digest import canonical, digest
from detbench.recipe.experiment import Training
from detbench.recipe.model import Anchors, Fpn, ResNet
from detbench.recipe.stages import Dpe
from detbench.recipe.validate import parse


def fpn(**settings: object) -> Fpn:
    spec, mistakes = parse(Fpn, {"kind": "fpn", **settings}, "test")
    assert spec is not None, mistakes
    return spec


def test_defaults_written_out_or_not_are_the_same() -> None:
    assert digest(fpn()) == digest(fpn(channels=256, first=3, levels=5))
    assert digest(fpn()) != digest(fpn(channels=255))


def test_order_of_keys_does_not_matter() -> None:
    assert digest(fpn(levels=4, first=2)) == digest(fpn(first=2, levels=4))


def test_an_integer_for_a_number_is_the_number() -> None:
    whole, _ = parse(Anchors, {"kind": "anchors", "size": 8}, "test")
    real, _ = parse(Anchors, {"kind": "anchors", "size": 8.0}, "test")
    assert whole is not None
    assert real is not None
    assert digest(whole) == digest(real)


def test_order_of_levels_does_not_matter() -> None:
    one = Dpe(kind="dpe", levels=(1, -1, 0))
    assert digest(one) == digest(Dpe(kind="dpe"))


def test_what_cannot_change_a_result_is_left_out() -> None:
    optimizer = {"kind": "sgd", "lr": 0.01}
    plain, _ = parse(Training, {"epochs": 1, "optimizer": optimizer}, "test")
    often, _ = parse(
        Training,
        {"epochs": 1, "optimizer": optimizer, "checkpoint_every": 5, "reference_batch": 4},
        "test",
    )
    assert plain is not None
    assert often is not None
    assert digest(plain) == digest(often)
    assert "checkpoint_every" not in canonical(plain)


def test_absent_settings_are_left_out() -> None:
    assert "weights" not in canonical(ResNet(kind="resnet", depth=50))


def test_digest_is_pinned() -> None:
    """A change here makes every stored measurement of older versions unreachable."""
    assert canonical(fpn()) == (
        '{"channels":256,"extra":"output","first":3,"kind":"fpn","levels":5,'
        '"paths":"top-down","relu_before_extra":false}'
    )
    assert digest(fpn()) == "495cb5717b302669bab91a369ebc40d58a4a74b56ea9be06c97983554a6b9668"
