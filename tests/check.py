"""The one test command: lint, format, types, generated pages, tests. Stops at the first failure.

python tests/check.py            everything
python tests/check.py tests/ops  everything, but only these tests
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("detbench.cli.reference", "--check", "docs/cli.md"),
    ("detbench.recipe.reference", "--check", "docs/stages.md"),
    ("detbench.report.claims_page", "--check"),
    ("detbench.cli.recipe_headers", "--check"),
    ("pytest", *sys.argv[1:]),
)


def main() -> int:
    # One thread a process: two test workers on two cores are faster than four threads, and
    # numbers that must be equal are computed alike everywhere.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for step in STEPS:
        print("$", *step, flush=True)
        done = subprocess.run([sys.executable, "-m", *step], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
