"""What a light profile does with a field of a detector's schema.

Every schema says it of each of its fields that hold numbers, in ``scaling``; ``recipe.light``
carries it out, and ``docs/profiles.md`` says why the question of a row survives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Rule = Literal[
    "kept",
    "channels",
    "roi",
    "pool",
    "candidates",
    "proposals",
    "samples",
    "anchors",
    "bounds",
    "init",
    "shift",
    "epochs",
    "first",
    "levels",
    "backbone",
]
SAID: Mapping[Rule, str] = {
    "kept": "",
    "channels": "in proportion to 256",  # width of neck, towers, RPN
    "roi": "in proportion to 1024",  # width of an RoI detector's heads
    "pool": "in proportion to 7",  # side of pooled maps
    "candidates": "in proportion to 1000",  # of the RPN on a level
    "proposals": "at most the profile's",
    "samples": "at most the profile's",
    "anchors": "times the factor of anchors",
    "bounds": "times the factor of sizes",  # at which one level gives way to the next
    "init": "the profile's, where none is given",
    "shift": "times the factor of shifts",  # what an output of 1 of a shift network means
    "epochs": "times the factor of epochs",  # of training, 12 in the papers
    "first": "the profile's, if it says",
    "levels": "the profile's, if it says",
    "backbone": "see [backbones](profiles.md#backbones)",  # by recipe.light, from all of its fields
}
"""What each rule does, in words; nothing where a field stays as in the paper."""

Scaling = Mapping[str, Rule]
"""Field -> rule, of every field of a schema that holds numbers."""


def kept(*fields: str) -> dict[str, Rule]:
    """Fields that stay as in the paper."""
    return dict.fromkeys(fields, "kept")
