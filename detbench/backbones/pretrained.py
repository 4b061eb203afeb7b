"""Which modules of a detector start from a backbone's file, and what no such file has by design.

A detector may have more of a backbone than its ``backbone``: the last stage as its head (C4), or
copies of stages (TSD, Table 1). And a backbone may have what no file has (offsets of deformable
convolutions). A module that knows says so itself, by the attributes of ``Pretrained``; nothing is
left to a comparison of names, so that a parameter that nobody answers for is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import nn


class Pretrained(Protocol):
    """What a module may say of itself; each attribute may be left out.

    Attributes:
        from_backbone: names of its children (empty for itself), and what their parameters' names
            begin with in a backbone's file (empty for the file's own names).
        own_start: names of its children that start on their own: no backbone's file has them.
        not_read: what a backbone's file has under these names and this module does not need.
    """

    from_backbone: Mapping[str, str]
    own_start: tuple[str, ...]
    not_read: tuple[str, ...]


@dataclass(frozen=True)
class Cover:
    """Parameters and buffers of a detector beside those of a backbone's file.

    Attributes:
        names: of what starts from the file, and their names there. Copies share a name there.
        own_start: what starts on its own by design.
        unexplained: what no module answers for; none in a detector as it should be.
        not_read: beginnings of names in the file that this detector does not need.
    """

    names: dict[str, str]
    own_start: tuple[str, ...]
    unexplained: tuple[str, ...]
    not_read: tuple[str, ...]


def cover(detector: nn.Module) -> Cover:
    """What of ``detector`` a file of its backbone covers.

    Args:
        detector: its ``backbone`` is covered whatever it says; the rest as its modules say.
    """
    parts = {"backbone": ""}
    declared: list[str] = []
    own: list[str] = []
    not_read: list[str] = []
    for path, module in detector.named_modules():
        copied: Mapping[str, str] = getattr(module, "from_backbone", {})
        if copied:
            declared.append(path)
        parts |= {_join(path, child): part for child, part in copied.items()}
        own += [_join(path, child) for child in getattr(module, "own_start", ())]
        not_read += getattr(module, "not_read", ())
    names, on_their_own, unexplained = {}, [], []
    for name in detector.state_dict():
        place = _longest(name, [*parts, *own])
        if place is None or len(place) < len(_longest(name, declared) or ""):
            unexplained.append(name)
        elif place in parts:
            rest = name.removeprefix(place).removeprefix(".")
            names[name] = _join(parts[place], rest)
        else:
            on_their_own.append(name)
    return Cover(names, tuple(on_their_own), tuple(unexplained), tuple(not_read))


def copies(detector: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``detector`` that start from a backbone's file, by name."""
    found = {"backbone": detector.get_submodule("backbone")}
    for path, module in detector.named_modules():
        for child in getattr(module, "from_backbone", {}):
            found[_join(path, child)] = module.get_submodule(child)
    return found


def _join(path: str, child: str) -> str:
    return ".".join(part for part in (path, child) if part)


def _longest(name: str, places: list[str]) -> str | None:
    """The longest of ``places`` that ``name`` is in."""
    found = (one for one in places if not one or name == one or name.startswith(f"{one}."))
    return max(found, key=len, default=None)
