"""What every page of the gateway answers when there is nothing to show: a sentence, and when to ask again."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

JSON = "application/json; charset=utf-8"
NOSNIFF = {"X-Content-Type-Options": "nosniff"}
FRESH = {**NOSNIFF, "Cache-Control": "no-store"}
"""Of what is true now, and to be kept by nobody."""
CANNOT_READ = "The station cannot read its journal just now. Ask again later."


def found(body: bytes) -> Response:
    """JSON that somebody asked for."""
    return Response(body, media_type=JSON, headers=FRESH)


def sentence(status: int, said: str, after_s: int = 0, headers: Mapping[str, str] = NOSNIFF) -> Response:
    """`{"error": said}`, to be kept by nobody; `after_s` seconds from now it may be asked for again."""
    headers = {**headers, "Cache-Control": "no-store"}
    if after_s:
        headers["Retry-After"] = str(after_s)
    return Response(msgspec.json.encode({"error": said}), status, headers, JSON)
