"""What others wrote, as plain values: records, a site and a configuration may hold anything at all. Pure.

Rule 1: none of these raises. What is not there, or is something else, is "", None or empty.
Rule 2: a text has no letter that a terminal or a page would act on, and an end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

TEXT_MAX = 300
"""Letters of one text: the whole of it stands in the file that it came from."""
ROWS_MAX = 500


def text(value: Any, most: int = TEXT_MAX) -> str:
    """A text or a number in one line; lists with commas between."""
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, list | tuple):
        said = ", ".join(filter(None, (text(one, most) for one in value[:ROWS_MAX])))
    elif isinstance(value, float):
        said = f"{value:.9g}"
    else:
        said = value if isinstance(value, str) else str(value)
    said = " ".join("".join(c if c.isprintable() else " " for c in said[: 4 * most]).split())
    return said if len(said) <= most else said[: most - 1] + "…"


def number(value: Any) -> float | None:
    """A finite number; true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    return value if type(value) is int else None


def table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Any]:
    """A list, of which no more than ROWS_MAX are looked at."""
    return list(value[:ROWS_MAX]) if isinstance(value, list | tuple) else []


def tables(value: Any) -> list[dict[str, Any]]:
    return [one for one in rows(value) if isinstance(one, dict)]


def pairs(value: Any) -> list[tuple[float, float]]:
    """[[1, 2], ...] as pairs of numbers; others are left out."""
    found = []
    for row in rows(value):
        if isinstance(row, Sequence) and not isinstance(row, str) and len(row) == 2:
            first, second = number(row[0]), number(row[1])
            if first is not None and second is not None:
                found.append((first, second))
    return found
