"""How far a file's weights fit a network: what both have, what is missing, what is unknown."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from detbench.errors import WeightsError

SEEN = "positives_seen"
COUNTERS = ("num_batches_tracked", SEEN)
"""What training counts, in batch norms and in weights of levels. No prediction depends on it, and
others' files lack it, so it may be missing anywhere."""

IMPORT = "detbench weights import --allow-partial --output FILE.pt"
PARTIAL = "--allow-partial takes what fits", f"{IMPORT} makes a file of what fits"
"""What to do about weights that fit in part; the latter where there is no such option."""

_PREDICTIONS = re.compile(r"(.*\.)?(cls|loc)\.(weight|bias)")


@dataclass(frozen=True)
class Fit:
    """A network's parameters and buffers beside a file's, by name.

    Attributes:
        matching: in both, of one shape.
        missing: of the network, and not in the file.
        unknown: in the file, and not in the network.
        reshaped: in both, of different shapes: name, the network's shape, the file's.
    """

    matching: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, unknown, or of another shape."""
        return not (self.missing or self.unknown or self.reshaped)

    def sentence(self) -> str:
        """What does not fit, with two examples of each; empty for a whole fit."""
        kinds = {
            "missing (in the network, not in the file)": self.missing,
            "unknown (in the file, not in the network)": self.unknown,
            "of another shape": [
                f"{name} {_shape(own)} here, {_shape(given)} in the file"
                for name, own, given in self.reshaped
            ],
        }
        return "; ".join(
            f"{len(keys)} {kind}: {', '.join(keys[:2])}{', ...' if len(keys) > 2 else ''}"
            for kind, keys in kinds.items()
            if keys
        )

    def hint(self) -> str:
        """What the mismatch looks like; empty where it does not tell."""
        if self.missing or self.unknown or not self.reshaped:
            return ""
        if all(_PREDICTIONS.fullmatch(name) for name, _, _ in self.reshaped):
            return "only the last layers differ, as with another number of classes; "
        return ""


def compare(own: dict[str, Tensor], given: dict[str, Tensor]) -> Fit:
    """Compare a network's state with a file's; counters aside."""
    own = {name: tensor for name, tensor in own.items() if not name.endswith(COUNTERS)}
    given = {name: tensor for name, tensor in given.items() if not name.endswith(COUNTERS)}
    shared = [name for name in own if name in given]
    return Fit(
        matching=tuple(name for name in shared if own[name].shape == given[name].shape),
        missing=tuple(name for name in own if name not in given),
        unknown=tuple(name for name in given if name not in own),
        reshaped=tuple(
            (name, tuple(own[name].shape), tuple(given[name].shape))
            for name in shared
            if own[name].shape != given[name].shape
        ),
    )


def load(
    module: nn.Module,
    state: dict[str, Tensor],
    allow_partial: bool | None,
    origin: str,
    expected: Collection[str] | None = None,
) -> Fit:
    """Load what fits, in place.

    Args:
        allow_partial: take what fits; None where whoever asks has no such option.
        expected: names of the module's that the file should have; by default all.
        origin: begins the message, as in "a.pt: made for another detector".

    Raises:
        WeightsError: something does not fit and ``allow_partial`` is off, or nothing fits.
    """
    own = module.state_dict()
    if expected is not None:
        own = {name: tensor for name, tensor in own.items() if name in expected}
    fit = compare(own, state)
    if not fit.whole and not (allow_partial and fit.matching):
        advice = PARTIAL[allow_partial is None] if fit.matching else "nothing fits"
        raise WeightsError(f"{origin}: keys {fit.sentence()}: {fit.hint()}{advice}")
    shapes = {name: tensor.shape for name, tensor in own.items()}
    # What another training has seen is not this one's; a resumed one has it from its checkpoint.
    fitting = {
        name: x
        for name, x in state.items()
        if shapes.get(name) == x.shape and not name.endswith(SEEN)
    }
    module.load_state_dict(fitting, strict=False)
    return fit


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
