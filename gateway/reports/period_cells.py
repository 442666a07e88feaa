"""What stands in a workbook's cells besides texts and numbers. Pure."""

from __future__ import annotations

from typing import Any

Cell = Any


class When(int):
    """Unix ms, to be shown as a time in GMT+7."""


class Share(float):
    """Percent."""


class Figure(tuple):
    """(value, decimals, valid)."""
