"""What a scan found, as instruments that a new station may have.

`quantrac station scan` puts a record "scanned" into a folder, or prints one as JSON: both are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from protocol import instruments
from tools.people import UsageError
from tools.station.folder import RECORDS

SETTINGS = ("baud", "parity", "stopbits")
ORDER = "word_order"


def suggested(path: Path) -> list[dict[str, Any]]:
    """[{unit, profile or "", baud, parity, stopbits, word_order, hints}]: the newest scan in `path`.

    UsageError when there is none.
    """
    file = path / RECORDS if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise UsageError(
            f"--scan {file} cannot be read: {why}. `quantrac station scan --json` makes one."
        ) from None
    found = [one for one in _objects(text) if isinstance(one.get("units"), list)]
    if not found:
        raise UsageError(f"--scan {file} holds no scan: `quantrac station scan --json` makes one.")
    return [_unit(one) for one in found[-1]["units"] if isinstance(one, dict) and _is_unit(one.get("unit"))]


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a whole file, or of its lines."""
    try:
        whole = json.loads(text)
        return [whole] if isinstance(whole, dict) else [one for one in whole if isinstance(one, dict)]
    except (ValueError, TypeError):
        pass
    objects = []
    for line in text.splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            objects.append(one)
    return objects


def _is_unit(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 247


def _unit(one: dict[str, Any]) -> dict[str, Any]:
    known = instruments.names()
    profile = one.get("profile")
    hints = one.get("hints")
    return {
        "unit": one["unit"],
        "profile": profile if profile in known else "",
        "hints": [hint for hint in hints if isinstance(hint, str)] if isinstance(hints, list) else [],
        **{key: one[key] for key in (*SETTINGS, ORDER) if one.get(key) is not None},
    }
