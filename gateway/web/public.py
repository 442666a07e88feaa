"""/public.json and /public.csv: the two pages that are for strangers.

Rule 1: `ask(form, days)` gives the answer, None where nothing is public: that is a 404 with a sentence.
Rule 2: anybody's page may read these two (CORS "*"), and no other path: here is nothing of the operator's.
Rule 3: an answer says how long it is good (Cache-Control) and what it is (ETag), so that a thousand readers
        behind a cache cost as much as one.
Rule 4: it is sent in pieces, as fast as the reader takes them: many slow ones share one copy.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.errors import JournalError
from gateway.web.answers import CANNOT_READ, JSON, NOSNIFF, sentence

FORMS = {"json": JSON, "csv": "text/csv; charset=utf-8"}
DAYS_MAX = 31
MAX_AGE_S = 60
"""How long a reader may keep an answer: a window comes every five minutes."""
PIECE_BYTES = 65_536
"""Of an answer that wait in a connection's buffer at once."""
AGAIN_S = 30
"""When to ask again while the journal cannot be read."""
NOT_PUBLIC = "This station shows no data here: [public] of its configuration names no channels."


class Busy(Exception):
    """Too much was asked for lately: ask again in so many seconds."""

    def __init__(self, after_s: float):
        super().__init__(after_s)
        self.after_s = after_s


class Made(NamedTuple):
    """An answer: its bytes, and what they are called (ETag)."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, body: bytes) -> Made:
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


Ask = Callable[[str, int], Awaitable[Made | None]]


async def nothing(form: str, days: int) -> Made | None:
    """Nothing is public."""
    return None


def routes(ask: Ask) -> list[Route]:
    """The two pages."""
    return [Route(f"/public.{form}", _page(ask, form)) for form in FORMS]


def _page(ask: Ask, form: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        days = _days(request.query_params.get("days", "1"))
        if days is None:
            return _sentence(400, f"days is a whole number from 1 to {DAYS_MAX}.")
        try:
            made = await ask(form, days)
        except Busy as busy:
            said = "Too many days were asked for at once. Ask again later, or for days=1."
            return _sentence(503, said, math.ceil(busy.after_s))
        except JournalError:
            return _sentence(503, CANNOT_READ, AGAIN_S)
        if made is None:
            return _sentence(404, NOT_PUBLIC)
        headers = {**_HEADERS, "ETag": made.tag, "Cache-Control": f"public, max-age={MAX_AGE_S}"}
        if _has(request, made.tag):
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(len(made.body))
        return StreamingResponse(_pieces(made.body), headers=headers, media_type=FORMS[form])

    return page


_HEADERS = {**NOSNIFF, "Access-Control-Allow-Origin": "*"}


def _days(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,2}", text) and 1 <= int(text) <= DAYS_MAX else None


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _has(request: Request, tag: str) -> bool:
    """Whether the reader has this answer (RFC 9110, 13.1.2: weak comparison)."""
    held = request.headers.get("if-none-match", "")
    return held.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in held.split(","))


def _sentence(status: int, said: str, after_s: int = 0) -> Response:
    return sentence(status, said, after_s, _HEADERS)
