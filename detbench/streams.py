"""Standard streams that outlast their terminal. No torch."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any, TextIO


class Lasting:
    """A text stream whose terminal may be closed: what is then written goes nowhere.

    Writing to a closed terminal is an error, which would end a run before its cells have saved.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            return len(_closed(error, text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            _closed(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def outlast() -> None:
    """Have stdout and stderr of this process be lasting, where they are a terminal."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Lasting) and stream.isatty():
            setattr(sys, name, Lasting(stream))


def showable() -> None:
    """Have what the encoding of stdout and stderr lacks be replaced, as where ``LANG`` is ``C``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _closed(error: OSError, text: str = "") -> str:
    """The text, if a terminal's end is why it is not written."""
    if error.errno != errno.EIO:
        raise error
    return text
