"""The stand-ins of the runner's and the training's tests serve here too."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("runner", "training"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
