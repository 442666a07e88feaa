"""Photographs in a sheet: small JPEGs, made anew, without the camera's notes (place, owner). Pure.

Rule 1: what is no JPEG or PNG, is damaged or far too large, has no picture: its hash stands there alone.
"""

from __future__ import annotations

import io
import logging

from PIL import Image, ImageOps

BYTES_MAX = 50_000_000
PIXELS_MAX = 120_000_000
SIDE = 480
QUALITY = 72

logging.getLogger("PIL").setLevel(logging.ERROR)


def small(data: bytes) -> bytes | None:
    """A JPEG of at most SIDE pixels either way; None by rule 1. The same picture gives the same bytes."""
    if len(data) > BYTES_MAX:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > PIXELS_MAX:
                return None
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            turned = ImageOps.exif_transpose(image)
            turned.thumbnail((SIDE, SIDE))
            ground = Image.new("RGB", turned.size, (255, 255, 255))
            whole = turned.convert("RGBA")
            ground.paste(whole, mask=whole)
    except Exception:  # whatever a damaged picture makes the library do
        return None
    out = io.BytesIO()
    ground.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
