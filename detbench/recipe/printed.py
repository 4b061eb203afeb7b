"""Numbers as papers print them: 60.5 and 60.50 are one number with two texts."""

from __future__ import annotations

import re
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

TEXT = re.compile(r"-?\d+(\.\d+)?")
KEY = "written"


class Printed(float):
    """A number that knows how it is written, through loading, validation and copying.

    In every other respect it is the float that it is: in sums, in JSON, in digests.

    Attributes:
        written: its text, as ``49.790``; empty if it is not known, or has an exponent.
    """

    written: str

    def __new__(cls, value: Any, written: str | None = None) -> Printed:
        """``value`` is a number, or its text as TOML has it."""
        made = super().__new__(cls, value)
        text = written if written is not None else value if isinstance(value, str) else ""
        made.written = text if TEXT.fullmatch(text) else ""
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(cls._of, core_schema.float_schema())

    @classmethod
    def _of(cls, value: Any, number: core_schema.ValidatorFunctionWrapHandler) -> Printed:
        if isinstance(value, cls):
            return value
        if isinstance(value, dict) and list(value) == [KEY] and TEXT.fullmatch(str(value[KEY])):
            return cls(str(value[KEY]))
        return cls(number(value), str(value) if type(value) is int else "")


def told(data: Any, published: bool = False) -> Any:
    """Plain data whose numbers below ``published`` keep their text in JSON, as tables of one."""
    if isinstance(data, dict):
        # Arguments are what somebody's own module takes, whatever they are called.
        return {
            key: one if key == "arguments" else told(one, published or key == "published")
            for key, one in data.items()
        }
    if isinstance(data, list | tuple):
        return [told(one, published) for one in data]
    if published and isinstance(data, Printed) and data.written:
        return {KEY: data.written}
    return data
