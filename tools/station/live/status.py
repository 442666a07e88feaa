"""A station's status in words: what `status` answers, in the order in which a person asks.

The figures are those of firmware/inform.py; one that this does not know is shown as it came.
"""

from __future__ import annotations

from typing import Any

_NAMES = {
    "heap": ("bytes free", "at the least"),
    "records": ("made", "acknowledged", "held", "discarded", "on flash", "thinned"),
    "link": ("links lost", "bad frames", "bytes of noise"),
    "fed": ("ms at most between feeds of the watchdog", "feeds missed"),
}
_ORDER = (
    "board", "firmware", "config", "boot", "reset", "up_ms", "time_ms", "told", "safe", "trial", "crashes",
    "heap", "fed", "records", "link", "inputs",
)  # fmt: skip
_ELSEWHERE = ("units",)


def status_words(data: dict[str, Any]) -> list[str]:
    """A line for each thing; units have a table of their own (sheet.units_of)."""
    known = [key for key in _ORDER if key in data]
    rest = [key for key in data if key not in _ORDER and key not in _ELSEWHERE]
    return [f"{key:9} {_words(key, data[key])}" for key in (*known, *rest)]


def _words(key: str, value: Any) -> str:
    names = _NAMES.get(key)
    if names and isinstance(value, list) and len(value) == len(names):
        pairs = zip(value, names, strict=True)
        return ", ".join(f"{figure} {name}" for figure, name in pairs if figure is not None)
    if key == "told":
        return "yes" if value else "no: nobody has told it the time"
    if key == "inputs" and isinstance(value, list):
        rows = [row for row in value if isinstance(row, list) and len(row) == 2]
        return ", ".join(f"{name} {_state(on)}" for name, on in rows) or "none"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "-" if value in ("", None) else str(value)


def _state(on: Any) -> str:
    return "unknown" if on is None else "on" if on else "off"
