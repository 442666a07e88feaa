"""Records of calibrations for tests, and a picture to go with them."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image

from gateway.calibration.given import Known
from gateway.calibration.record import Limits

AT_MS = 1_774_397_100_000  # 2026-03-25 07:05:00 +07
LIMITS = Limits(0.0, 100.0, 1.5, 3.0)
CHANNELS = {"COD": Known("mg/l", LIMITS), "pH": Known("", Limits(7.0, 4.0, 0.1, 0.1))}


def said(**changed: Any) -> dict[str, Any]:
    """A record as a person gives it; None leaves a field out."""
    whole = {
        "channel": "COD", "at": "2026-03-25T07:00", "who": "Lan", "serial": "A-4711", "kind": "check",
        "points": points((0, 1.0), (50, 51.5), (100, 102.0)),
        "certificate": {
            "number": "KT-22/118", "value": 100.0, "uncertainty": 1.0, "valid_until": "2026-03-25"
        },
        "remark": "quarterly",
    }  # fmt: skip
    return {name: value for name, value in (whole | changed).items() if value is not None}


def points(*rows: tuple) -> list[dict[str, Any]]:
    """Of (reference, before) or (reference, before, after)."""
    return [dict(zip(("reference", "before", "after"), row, strict=False)) for row in rows]


def text(**changed: Any) -> str:
    return json.dumps(said(**changed))


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()
