"""The pages that only show: now, history, alerts, destinations, instruments, evidence, events, health.

Rule 1: nothing here changes anything: what a person does is a form that goes to the door's actions.
Rule 2: each page is made of what the gateway holds in memory, and of one bounded question to the journal.
Rule 3: a journal that cannot be read is a sentence in the page's frame, never a broken page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.config_model import Config
from gateway.errors import JournalError
from gateway.web.page import describe, now
from gateway.web.page.chart import Ask as AskChart
from gateway.web.page.chart import Chart
from gateway.web.page.files import Files
from gateway.web.page.live import Live
from gateway.web.page.shell import Shell
from gateway.web.page.words import LANGUAGES, Words

PARTS = ("now", "destinations", "health")
ENTRY_MAX = 1 << 62


class Reads(Protocol):
    """gateway/page_reads.py."""

    async def events(self, before: int | None) -> list[Any]: ...
    async def alerts(self) -> list[Any]: ...
    async def marks(self) -> list[Any]: ...
    async def calibrations(self) -> list[Any]: ...
    async def pictures(self, about: Sequence[str]) -> dict[str, list[Any]]: ...
    def evidence(self) -> Any: ...


class Views:
    """Of one station. `current()`: the object of /api/v1/current; `index()`: that of this moment."""

    def __init__(
        self,
        config: Config,
        shell: Shell,
        current: Callable[[], dict[str, Any]],
        reads: Reads,
        ask: AskChart,
        index: Callable[[], now.Index | None] = lambda: None,
    ):
        self._config = config
        self._shell = shell
        self._current = current
        self._reads = reads
        self._index = index
        self._chart = Chart(ask)
        self._live = Live(self._part, PARTS, LANGUAGES)
        self.files = Files()

    def load(self) -> None:
        """Everything that is read from the disk, so that nobody waits for it later. OSError."""
        self.files.load()
        self._shell.warm()

    def routes(self) -> list[Route]:
        """All of them need "look"; the files need nothing."""
        pages = {
            "/": self._now, "/history": self._history, "/alerts": self._alerts,
            "/destinations": self._destinations, "/instruments": self._instruments,
            "/evidence": self._evidence, "/events": self._events, "/health": self._health,
            "/api/v1/live": self._live.page, "/api/v1/chart": self._chart.page,
        }  # fmt: skip
        return [Route(path, endpoint) for path, endpoint in pages.items()]

    # What changes by itself ---------------------------------------------------------------------------------

    def _part(self, part: str, language: str) -> str:
        return self._shell.part(f"{part}_live.html", language, **self._context(part, Words(language)))

    def _context(self, part: str, t: Words) -> dict[str, Any]:
        current = self._current()
        if part == "now":
            found = now.look(current, self._config, t, self._index())
            return {**found, "minutes": self._config.gateway.window_minutes}
        make = describe.destinations if part == "destinations" else describe.health
        return make(current, self._config, t)

    def _page_of(self, request: Request, part: str) -> Response:
        return self._shell.page(request, f"{part}.html", **self._context(part, self._shell.words(request)))

    async def _now(self, request: Request) -> Response:
        return self._page_of(request, "now")

    async def _destinations(self, request: Request) -> Response:
        return self._page_of(request, "destinations")

    async def _health(self, request: Request) -> Response:
        return self._page_of(request, "health")

    # What is asked of the journal ---------------------------------------------------------------------------

    async def _history(self, request: Request) -> Response:
        symbols = [channel.symbol for channel in self._config.channel]
        asked = request.query_params.get("symbol", "")
        return self._shell.page(
            request, "history.html", symbols=symbols, symbol=asked if asked in symbols else symbols[0],
            words=describe.chart_words(self._shell.words(request)),
        )  # fmt: skip

    async def _alerts(self, request: Request) -> Response:
        t = self._shell.words(request)
        standing = [now.alert(told, t) for told in self._current()["alerts"]]

        async def ask() -> tuple[list[Any], dict[str, list[Any]]]:
            said = await self._reads.alerts()
            names = [*(each["name"] for each in standing), *(one.name for one in said)]
            return said, await self._reads.pictures(names)

        def pictured(name: str, found: tuple[list[Any], dict[str, list[Any]]]) -> dict[str, Any]:
            return {"pictures": describe.pictures(found[1].get(name, ()), t)}

        return await self._asked(
            request, "alerts.html", ask,
            lambda found: {
                "standing": [each | pictured(each["name"], found) for each in standing],
                "past": [describe.episode(one, t) | pictured(one.name, found) for one in found[0]],
            },
        )  # fmt: skip

    async def _instruments(self, request: Request) -> Response:
        t, current = self._shell.words(request), self._current()
        bottles = describe.bottles(current.get("sampler"), t)

        async def ask() -> tuple[Any, ...]:
            names = [each["name"] for each in bottles["newest"]] if bottles else []
            pictures = await self._reads.pictures(names)
            return await self._reads.marks(), await self._reads.calibrations(), pictures

        def told(found: tuple[Any, ...]) -> dict[str, Any]:
            marks, histories, pictures = found
            for each in bottles["newest"] if bottles else ():
                each["pictures"] = describe.pictures(pictures.get(each["name"], ()), t)
            return {
                **describe.instruments(current, self._config, marks, histories, t), "sampler": bottles,
                "drift": describe.drifts(histories, t), "words": describe.drift_words(t),
            }  # fmt: skip

        return await self._asked(request, "instruments.html", ask, told)

    async def _events(self, request: Request) -> Response:
        asked = request.query_params.get("before", "")
        before = (
            min(int(asked), ENTRY_MAX) if asked.isascii() and asked.isdigit() and len(asked) < 20 else None
        )
        t = self._shell.words(request)
        return await self._asked(
            request, "events.html", lambda: self._reads.events(before),
            lambda found: {"events": [describe.event(one, t) for one in found],
                           "more": found[-1].entry if len(found) >= describe.EVENTS_PAGE else None},
        )  # fmt: skip

    async def _evidence(self, request: Request) -> Response:
        t = self._shell.words(request)
        found = describe.evidence(self._reads.evidence(), self._current(), t)
        symbols = [channel.symbol for channel in self._config.channel]
        return self._shell.page(request, "evidence.html", symbols=symbols, **found)

    async def _asked(
        self,
        request: Request,
        template: str,
        ask: Callable[[], Awaitable[Any]],
        told: Callable[[Any], dict[str, Any]],
    ) -> Response:
        try:
            found = await ask()
        except JournalError:
            return self._shell.page(request, "unreadable.html", 503)
        return self._shell.page(request, template, **told(found))
