"""What a light profile does with a field of a detector's schema.

Every schema says it of each of its fields that hold numbers, in ``scaling``; ``recipe.light``
carries it out, and ``docs/profiles.md`` says why the question of a row survives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Rule = Literal[
    "kept",  # stays as in the paper
    "channels",  # width of neck, towers, RPN: in proportion to 256
    "roi",  # width of an RoI detector's heads: in proportion to 1024
    "pool",  # side of pooled maps: in proportion to 7
    "candidates",  # of the RPN on a level: in proportion to 1000
    "proposals",  # an image: at most so many
    "samples",
    "anchors",  # sizes of anchors: multiplied
    "bounds",  # object sizes at which one level gives way to the next: multiplied
    "init",  # how hidden convolutions start: as the profile says, where the recipe does not
    "shift",  # what an output of 1 of a shift network means: multiplied
    "first",  # of the pyramid: replaced
    "levels",
    "backbone",  # by recipe.light, from all of the backbone's fields
]

Scaling = Mapping[str, Rule]
"""Field -> rule, of every field of a schema that holds numbers."""


def kept(*fields: str) -> dict[str, Rule]:
    """Fields that stay as in the paper."""
    return dict.fromkeys(fields, "kept")
