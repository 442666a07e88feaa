"""/api/v1/windows?from=&to=&symbol=: what the station found, window by window, for charts and other programs.

Rule 1: `ask(from_ms, to_ms, symbol, all_revisions)` gives the answer's bytes. NotThere: no such channel;
        TooMuch: of a shorter time, please; JournalError: ask later.
Rule 2: from and to are moments as on the command line: 2026-03-25, 2026-03-25T10:00 (GMT+7), with an offset,
        or 20260325100000. What is not given: the newest day.
Rule 3: of a crowd, and of a journal that cannot be read: turns.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import NotThere
from gateway.web.answers import found, sentence
from gateway.web.turns import Turns
from gateway.zone import moment_ms

REVISIONS = {"newest": False, "all": True}


class TooMuch(Exception):
    """More was asked for than one answer holds; its text says what to ask for instead."""


Ask = Callable[[int | None, int | None, str | None, bool], Awaitable[bytes]]


async def nothing(from_ms: int | None, to_ms: int | None, symbol: str | None, all_revisions: bool) -> bytes:
    """There is no journal."""
    raise NotThere("There are no windows here.")


def route(ask: Ask) -> Route:
    """The page."""
    turns = Turns("windows")

    async def page(request: Request) -> Response:
        asked = request.query_params
        revisions = REVISIONS.get(asked.get("revisions", "newest"))
        if revisions is None:
            return sentence(400, f"revisions is one of {', '.join(REVISIONS)}.")
        try:
            from_ms, to_ms = asked_span(asked)
        except ValueError as error:
            return sentence(400, str(error))
        try:
            body = await turns.take(lambda: ask(from_ms, to_ms, asked.get("symbol") or None, revisions))
        except TooMuch as error:
            return sentence(400, str(error))
        return body if isinstance(body, Response) else found(body)

    return Route("/api/v1/windows", page)


def asked_span(asked: Mapping[str, str]) -> tuple[int | None, int | None]:
    """from and to in Unix ms; None for what is not given. ValueError, whose text is for whoever asked."""
    from_ms, to_ms = (_moment(name, asked.get(name)) for name in ("from", "to"))
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise ValueError("from is not before to.")
    return from_ms, to_ms


def _moment(name: str, text: str | None) -> int | None:
    if not text:
        return None
    try:
        return moment_ms(text)
    except ValueError:
        raise ValueError(
            f"{name} is no time: write it as 2026-03-25T10:00:00, or with an offset (+ is %2B in a link)."
        ) from None
