"""Text in the cells of a terminal: wide characters take two, combining ones none. No torch."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

USUAL = 100
"""Cells of a line, where no terminal says."""


def cells(text: str) -> int:
    """How many cells one line takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrap(text: str, room: int) -> list[str]:
    """One line as lines of at most ``room`` cells, parted at spaces; at least one line.

    A word that is longer is parted too, after a slash, comma or semicolon if there is one.
    """
    if cells(text) <= room:
        return [text]
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cells(lines[-1]) + 1 + cells(word) <= room:
            lines[-1] += f" {word}"
            continue
        while cells(word) > room:
            head = _head(word, room)
            lines.append(head)
            word = word[len(head) :]
        lines.append(word)
    return lines


def _head(word: str, room: int) -> str:
    """The beginning of a word that fits, at least one character."""
    end = 1
    while end < len(word) and cells(word[: end + 1]) <= room:
        end += 1
    parted = max(word.rfind(mark, end // 2, end) for mark in "/,;")
    return word[: parted + 1] if parted >= 0 else word[:end]


def width(stream: TextIO) -> int:
    """Cells of a line of the terminal that a stream writes to; ``$COLUMNS`` where it is set."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL
    except (OSError, ValueError, AttributeError):
        return USUAL


class Fitting:
    """A text stream that parts lines which its terminal is too narrow for.

    What moves the cursor, as bars do, passes as it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if "\033" not in text and "\r" not in text:
            room = width(self._stream)
            text = "\n".join(part for line in text.split("\n") for part in wrap(line, room))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def fit_messages() -> None:
    """Have stderr of this process fit its terminal, where it is one."""
    if sys.stderr is not None and not isinstance(sys.stderr, Fitting) and sys.stderr.isatty():
        sys.stderr = Fitting(sys.stderr)
