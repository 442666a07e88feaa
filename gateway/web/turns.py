"""Answers that the journal is read for: what each such page does about a crowd, and a journal that fails.

Rule 1: one is made at a time, and WAITING_MAX may wait for theirs: whoever asks costs the station little.
Rule 2: what is not there, and a journal that cannot be read, are sentences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from gateway.errors import JournalError, NotThere
from gateway.web.answers import CANNOT_READ, sentence

WAITING_MAX = 8
AGAIN_S = 5
"""When to ask again, where too many ask or the journal cannot be read."""


class Turns:
    """Of one page; `what` are its answers called, in the plural."""

    def __init__(self, what: str):
        self._what = what
        self._making = asyncio.Lock()
        self._waiting = 0

    async def take(self, make: Callable[[], Awaitable[bytes]]) -> bytes | Response:
        """What make() gives, or what to answer in its place. Raises what else make() raises."""
        if self._waiting >= WAITING_MAX:
            return sentence(503, f"Too many {self._what} are asked for at once. Ask again.", AGAIN_S)
        self._waiting += 1
        try:
            async with self._making:
                return await make()
        except NotThere as error:
            return sentence(404, str(error))
        except JournalError:
            return sentence(503, CANNOT_READ, AGAIN_S)
        finally:
            self._waiting -= 1
