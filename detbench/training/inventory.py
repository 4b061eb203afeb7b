"""Which weights recipes name, and which of them are on this machine. No torch in this process."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detbench import inputs
from detbench.errors import WeightsError
from detbench.recipe import embedded, load
from detbench.training import lookup
from detbench.training.lookup import Start


@dataclass(frozen=True)
class Weights:
    """Weights that recipes name or that lie in the cache.

    Attributes:
        origin: ``torchvision``, ``timm``, ``detbench``, or where else they are to be had.
        here: whether they are on this machine.
        path: where they are, or would be; empty where that is not known.
        detectors: whose default they are.
        advice: what to do to have them; empty if they are here.
    """

    name: str
    origin: str
    here: bool
    path: str
    detectors: tuple[str, ...]
    advice: str = ""


def take() -> list[Weights]:
    """The recipes' default weights, the embedded ones, and then the rest of torch hub's cache."""
    users: dict[str, list[str]] = {}
    for name in load.detectors():
        default = getattr(load.detector(name).detector.backbone, "weights", None)
        if default:
            users.setdefault(default, []).append(name)
    starts = {name: Start(name, default=True) for name in users}
    found = lookup.look_up([name for name, one in starts.items() if lookup.needs_lookup(one)])
    named = [
        _named(one, found.get(name, lookup.Answer()), tuple(users[name]))
        for name, one in sorted(starts.items())
    ]
    return [*named, *_embedded(), *_others({one.path for one in named})]


def plain(found: list[Weights]) -> list[dict[str, Any]]:
    """The list for json."""
    return [asdict(one) for one in found]


def hub() -> Path:
    """Torch hub's folder of downloaded weights (``torch.hub.get_dir``)."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = inputs.expanded(os.environ.get("TORCH_HOME") or Path(cache) / "torch")
    return home / "hub" / "checkpoints"


def _named(start: Start, found: lookup.Answer, users: tuple[str, ...]) -> Weights:
    problem = lookup.problem(start, found)
    advice = ""
    if problem and found.origin:
        advice = f"{lookup.FETCH} {start.name}"
    elif problem:
        advice = "--set training.weights=FILE, with a file of them"
    origin = found.origin or start.name.partition("://")[0]
    path = found.path or ("" if "://" in start.name else start.name)
    return Weights(start.name, origin, not problem, path, users, advice)


def _embedded() -> list[Weights]:
    """The weights beside the recipes; one that is damaged or cannot be read is not here."""
    found = []
    for path in embedded.files().values():
        name, users, said = f"{embedded.PREFIX}{path.stem}", tuple[str, ...](), ""
        try:
            name = embedded.name(path)
            users = (f"backbones of {embedded.provenance(path).get('profile')}",)
        except WeightsError as error:
            said = str(error)
        found.append(Weights(name, embedded.ORIGIN, not said, str(path), users, said))
    return found


def _others(known: set[str]) -> list[Weights]:
    folder = hub()
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in lookup.SUFFIXES)
    except OSError:
        return []
    return [
        Weights(path.name, "torch hub's cache", True, str(path), ())
        for path in paths
        if str(path) not in known
    ]
