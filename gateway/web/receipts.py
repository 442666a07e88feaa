"""/api/v1/receipt/<symbol>/<yyyyMMddHHmmss>: the proof of one value (C2SP tlog-proof), as a file.

Rule 1: `ask(symbol, stamp, revision)` gives its bytes; the stamp is the one that the provincial file has.
        ValueError: no stamp; NotThere: nothing of that time, or nothing signed yet; JournalError: ask later.
Rule 2: of a crowd, and of a journal that cannot be read: turns.py.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import NotThere
from gateway.web.answers import FRESH, sentence
from gateway.web.turns import Turns

FORM = "application/octet-stream"

Ask = Callable[[str, str, int | None], Awaitable[bytes]]


async def nothing(symbol: str, stamp: str, revision: int | None) -> bytes:
    """There is no journal."""
    raise NotThere("There are no receipts here.")


def route(ask: Ask) -> Route:
    """The page."""
    turns = Turns("receipts")

    async def page(request: Request) -> Response:
        symbol, stamp = request.path_params["symbol"], request.path_params["stamp"]
        asked = request.query_params.get("revision")
        if asked is not None and not re.fullmatch("[1-9][0-9]{0,5}", asked):
            return sentence(400, "revision is a whole number from 1 on.")
        try:
            data = await turns.take(lambda: ask(symbol, stamp, None if asked is None else int(asked)))
        except ValueError as error:
            return sentence(400, f"{error}. Write it as in the file's name, in GMT+7.")
        if isinstance(data, Response):
            return data
        name = re.sub("[^A-Za-z0-9._-]", "_", f"{symbol}-{stamp}")
        headers = {"Content-Disposition": f'attachment; filename="{name}.tlog-proof"', **FRESH}
        return Response(data, media_type=FORM, headers=headers)

    return Route("/api/v1/receipt/{symbol}/{stamp}", page)
