"""Which characters the font of pictures and plots has. No torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def font_file(bold: bool = False) -> str:
    """DejaVu Sans, which comes with matplotlib."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name)


@cache
def known() -> frozenset[str]:
    """The characters that the font has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(font_file()).get_charmap()))
