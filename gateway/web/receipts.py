"""/api/v1/receipt/<symbol>/<yyyyMMddHHmmss>: the proof of one value (C2SP tlog-proof), as a file.

Rule 1: `ask(symbol, stamp, revision)` gives its bytes; the stamp is the one that the provincial file has.
        ValueError: no stamp; NotThere: nothing of that time, or nothing signed yet; JournalError: ask later.
Rule 2: one is made at a time, and WAITING_MAX may wait for theirs: whoever asks costs the station little.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import JournalError, NotThere
from gateway.web.answers import CANNOT_READ, NOSNIFF, sentence

FORM = "application/octet-stream"
WAITING_MAX = 8
AGAIN_S = 5
"""When to ask again, where too many ask or the journal cannot be read."""

Ask = Callable[[str, str, int | None], Awaitable[bytes]]


async def nothing(symbol: str, stamp: str, revision: int | None) -> bytes:
    """There is no journal."""
    raise NotThere("There are no receipts here.")


def route(ask: Ask) -> Route:
    """The page."""
    making, waiting = asyncio.Lock(), 0

    async def page(request: Request) -> Response:
        nonlocal waiting
        symbol, stamp = request.path_params["symbol"], request.path_params["stamp"]
        asked = request.query_params.get("revision")
        if asked is not None and not re.fullmatch("[1-9][0-9]{0,5}", asked):
            return sentence(400, "revision is a whole number from 1 on.")
        if waiting >= WAITING_MAX:
            return sentence(503, "Too many receipts are asked for at once. Ask again.", AGAIN_S)
        waiting += 1
        try:
            async with making:
                data = await ask(symbol, stamp, None if asked is None else int(asked))
        except ValueError as error:
            return sentence(400, f"{error}. Write it as in the file's name, in GMT+7.")
        except NotThere as error:
            return sentence(404, str(error))
        except JournalError:
            return sentence(503, CANNOT_READ, AGAIN_S)
        finally:
            waiting -= 1
        name = re.sub("[^A-Za-z0-9._-]", "_", f"{symbol}-{stamp}")
        return Response(
            data, media_type=FORM,
            headers={
                "Content-Disposition": f'attachment; filename="{name}.tlog-proof"',
                **NOSNIFF, "Cache-Control": "no-store",
            },
        )  # fmt: skip

    return Route("/api/v1/receipt/{symbol}/{stamp}", page)
