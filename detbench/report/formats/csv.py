"""CSV: raw values under the columns' keys."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from detbench.errors import shown
from detbench.recipe.printed import Printed
from detbench.report.table import Sheet


def render(sheet: Sheet) -> str:
    """Keys as header, then raw values; blanks are empty. Notes do not fit and are left out.

    A text that a spreadsheet would compute, as ``=cmd|...``, begins with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    # A column's own values, then those that any of its entries has more.
    names = [
        ["", *dict.fromkeys(name for row in sheet.rows for name, _ in row[i].more)]
        for i in range(len(sheet.columns))
    ]
    heads = [
        f"{column.key}_{name}" if name else column.key
        for column, some in zip(sheet.columns, names, strict=True)
        for name in some
    ]
    writer.writerow([_plain(head) for head in heads])
    for row in sheet.rows:
        values = [
            {"": entry.value, **dict(entry.more)}.get(name)
            for entry, some in zip(row, names, strict=True)
            for name in some
        ]
        writer.writerow(["" if value is None else _plain(value) for value in values])
    return out.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Printed):
        return value.written or value
    if not isinstance(value, str):
        return value
    text = shown(value)
    computed = text[:1] in ("=", "@") or (text[:1] in ("+", "-") and re.search(r"[(|!=]", text))
    return f"'{text}" if computed else text
