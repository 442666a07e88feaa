"""The parts of pages that change by themselves, sent as server-sent events: /api/v1/live?part=now.

    data: {"html": "..."}        the part, as the page would show it when it is loaded again

Rule 1: a part is made once a second at the most, in each language that somebody is looking at, however many
        look; while nobody looks, nothing is made.
Rule 2: who takes it slowly gets the newest, never a queue of old ones; LOOKING_MAX may look at once.
Rule 3: a line that has nothing to say says so every BEAT_S, so that both ends know whether it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.logs import get_logger
from gateway.web.answers import FRESH, sentence

log = get_logger("web")

EVERY_S = 1.0
BEAT_S = 15.0
LOOKING_MAX = 40
AGAIN_S = 30
_encode = msgspec.json.Encoder().encode

Make = Callable[[str, str], str]
"""(part, language) -> its HTML."""


class Live:
    """All who look. `parts` are the names of those there are."""

    def __init__(self, make: Make, parts: tuple[str, ...], languages: tuple[str, ...]):
        self._make = make
        self._parts, self._languages = parts, languages
        self._looking: dict[tuple[str, str], set[asyncio.Event]] = {}
        self._made: dict[tuple[str, str], bytes] = {}
        self._makers: dict[tuple[str, str], asyncio.Task] = {}

    async def page(self, request: Request) -> Response:
        """The route's endpoint."""
        part, language = request.query_params.get("part"), request.query_params.get("lang")
        if part not in self._parts or language not in self._languages:
            known = f"part is one of {', '.join(self._parts)}, lang one of {', '.join(self._languages)}."
            return sentence(400, known)
        if sum(map(len, self._looking.values())) >= LOOKING_MAX:
            return sentence(503, "Too many are looking at once. Load the page again later.", AGAIN_S)
        headers = {**FRESH, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._look((part, language)), 200, headers, "text/event-stream")

    async def _look(self, key: tuple[str, str]) -> AsyncIterator[bytes]:
        news = asyncio.Event()
        looking = self._looking.setdefault(key, set())
        looking.add(news)
        if key not in self._makers:
            self._makers[key] = asyncio.create_task(self._keep_making(key), name=f"live {key[0]}")
        elif key in self._made:
            news.set()
        try:
            yield b"retry: 3000\n\n"
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        await news.wait()
                except TimeoutError:
                    yield b": beat\n\n"
                    continue
                news.clear()
                yield b"data: " + self._made[key] + b"\n\n"
        finally:
            looking.discard(news)
            if not looking and (maker := self._makers.pop(key, None)) is not None:
                maker.cancel()
                self._made.pop(key, None)

    async def _keep_making(self, key: tuple[str, str]) -> None:
        while True:
            try:
                made = _encode({"html": self._make(*key)})
            except Exception as error:  # a mistake of ours is told, and stops nothing
                log.error("a part of the page cannot be made", part=key[0], reason=repr(error))
                made = self._made.get(key, b"")
            if made and made != self._made.get(key):
                self._made[key] = made
                for news in self._looking.get(key, ()):
                    news.set()
            await asyncio.sleep(EVERY_S)
