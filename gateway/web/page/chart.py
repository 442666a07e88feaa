"""/api/v1/chart?symbol=&from=&to=: what a chart is drawn of.

Rule 1: `ask(symbol, from_ms, to_ms)` gives the answer's bytes. NotThere: no such channel; JournalError: ask
        later.
Rule 2: of a crowd, and of a journal that cannot be read: turns.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from gateway.web.answers import found, sentence
from gateway.web.turns import Turns
from gateway.web.windows import asked_span

Ask = Callable[[str, int | None, int | None], Awaitable[bytes]]


class Chart:
    """The endpoint."""

    def __init__(self, ask: Ask):
        self._ask = ask
        self._turns = Turns("charts")

    async def page(self, request: Request) -> Response:
        asked = request.query_params
        try:
            from_ms, to_ms = asked_span(asked)
        except ValueError as error:
            return sentence(400, str(error))
        symbol = asked.get("symbol", "")
        body = await self._turns.take(lambda: self._ask(symbol, from_ms, to_ms))
        return body if isinstance(body, Response) else found(body)
