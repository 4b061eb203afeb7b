"""A table's columns as the user asks for them: ``AP,AP50`` instead, ``+AP60,errors`` besides."""

from __future__ import annotations

from detbench.errors import RecipeError
from detbench.recipe.metrics import COLUMNS, GROUPS, listed
from detbench.recipe.table import Table
from detbench.recipe.validate import suggest


def choose(table: Table, text: str) -> Table:
    """The table with other columns.

    Args:
        text: metrics by commas, which replace the table's; after a leading ``+`` they come after
            them. ``errors`` stands for the six types of TIDE.

    Raises:
        RecipeError: an unknown metric, or none at all.
    """
    parts = [part.strip().removeprefix("+").strip() for part in text.split(",")]
    mistakes = [
        f"--columns '{part}': no such metric{suggest(part, (*COLUMNS, *GROUPS))} "
        f"(choices: {listed((*COLUMNS, *GROUPS))})"
        for part in parts
        if part not in COLUMNS and part not in GROUPS
    ]
    if not text.strip():
        mistakes = ["--columns: name metrics by commas, as in AP,AP50 or +errors"]
    if mistakes:
        raise RecipeError(mistakes)
    asked = [name for part in parts for name in GROUPS.get(part, (part,))]
    kept = table.columns if text.strip().startswith("+") else ()
    return table.model_copy(update={"columns": tuple(dict.fromkeys((*kept, *asked)))})
