"""The table of kinds: a line each; a kind's file is imported when it is asked for. No torch."""

from __future__ import annotations

from importlib import import_module

from detbench.analysis.kind import Kind
from detbench.errors import RecipeError
from detbench.recipe.validate import unknown

KINDS = {
    "alignment": "Score against IoU before and after NMS: who wins, the best placed or the best "
    "scored box?",
    "sliding-window": "Class score and regressed IoU over windows of known IoU around each object, "
    "per head",
    "sensitivity": "Maps of class score and regressed IoU over shifts or places, per level",
    "weights": "Correlation of the first fc layer's weights between the cells of the region",
    "features": "Likeness of the cells of each head's input and output maps",
    "gradients": "Grad-CAM of the class and of the box output on each pyramid level",
    "shifts": "Where learnt sampling looks: points and proposals that it moves, by size",
    "curves": "Training losses side by side, seeds as a band",
    "speed": "AP against stored latency, with the Pareto front",
    "cases": "The images where rows differ most: what one finds and the other misses or doubles",
}


def kind(name: str) -> Kind:
    """The kind of a name.

    Raises:
        RecipeError: there is none.
    """
    if name not in KINDS:
        raise RecipeError(unknown("kind of analysis", name, list(KINDS)))
    found: Kind = import_module(f"detbench.analysis.{name.replace('-', '_')}").KIND
    return found


def settings(of: Kind, given: list[str]) -> dict[str, float]:
    """A kind's settings, those given as ``name=number`` in place of their defaults.

    Raises:
        RecipeError: a setting that the kind does not have, or a number that it may not be.
    """
    found = {one.name: one.default for one in of.settings}
    for text in given:
        name, _, value = text.partition("=")
        if said := mistake(of, name, value):
            raise RecipeError(f"--option {text}: {said}")
        found[name] = float(value)
    return found


def mistake(of: Kind, name: str, value: str | float) -> str:
    """Why a kind cannot be told a setting; empty where it can."""
    known = {one.name: one for one in of.settings}
    if name not in known:
        return unknown("setting", name, list(known))
    one = known[name]
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if one.low <= number <= one.high and not (one.whole and number != int(number)):
        return ""
    what = "an integer" if one.whole else "a number"
    return f"{name} is {what} from {one.low:g} to {one.high:g}, as in {name}={one.default:g}"
