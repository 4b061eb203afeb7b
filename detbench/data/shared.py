"""Images that are the same: one file, or files of the same content. No torch."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from detbench import inputs

_PART = 4096
_CHUNK = 1 << 20


def places(folder: Path, names: Iterable[str]) -> list[str]:
    """Where images are, absolute and without detours, so that one file has one place."""
    home = os.path.abspath(folder)
    return [os.path.normpath(os.path.join(home, name)) for name in names]


def copies(paths: Sequence[str]) -> list[list[int]]:
    """Positions of files that have the same content, a list for each content that several have.

    Files are read whole only where another has their size and the same bytes in the middle; what
    cannot be read is like no other.
    """
    groups: list[list[int]] = [list(range(len(paths)))]
    looks: tuple[Callable[[str], Hashable], ...] = (_size, _middle, _hash)
    for look in looks:
        groups = [part for group in groups for part in _alike(paths, group, look)]
    return groups


def sentences(splits: Sequence[Sequence[str]], content: bool) -> list[str]:
    """What a train and a val split share, in sentences; none where they share nothing.

    Args:
        splits: places of their images; of one that serves as both nothing is said.
        content: also look for files of the same content, which reads some.
    """
    if len(splits) != 2:
        return []
    train, val = splits
    both = sorted(set(train) & set(val))
    said = []
    if both:
        said.append(
            f"{len(both)} of the {len(val)} val images are train images too, for example {both[0]}"
        )
    if content:
        first = list(dict.fromkeys(train))
        second = [path for path in dict.fromkeys(val) if path not in set(both)]
        found = [
            (group[0], row)
            for group in copies([*first, *second])
            if group[0] < len(first)
            for row in group
            if row >= len(first)
        ]
        every = [*first, *second]
        if found:
            one, other = (every[row] for row in found[0])
            said.append(
                f"{len(found)} of the {len(val)} val images are copies of train images, for "
                f"example {other} of {one}"
            )
    return said


def _alike(
    paths: Sequence[str], group: list[int], look: Callable[[str], Hashable]
) -> Iterable[list[int]]:
    """Parts of a group that look the same, of two or more."""
    parts: dict[Hashable, list[int]] = defaultdict(list)
    for row in group:
        try:
            parts[look(paths[row])].append(row)
        except (OSError, ValueError):  # it is said elsewhere
            continue
    return (part for part in parts.values() if len(part) > 1)


def _size(path: str) -> int:
    inputs.check(Path(path))
    return os.stat(path).st_size


def _middle(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(os.stat(path).st_size // 2)
        return file.read(_PART)


def _hash(path: str) -> bytes:
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.digest()
