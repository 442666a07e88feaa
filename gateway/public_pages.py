"""What the public pages show, read from the journal: the last day, or up to 31.

Rule 1: only what is on disk is shown, read a day at a time on the journal's reading thread, so that whoever
        waits for it besides (the outbox) waits for a day's rows at most.
Rule 2: strangers cost what we decide. An answer is made once in FRESH_S, however many ask; of several days
        one is made at a time, and then for REST times as long as it took no other. Who comes meanwhile is
        asked to come again (Busy).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import public
from gateway.config_model import Config
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from gateway.public import DAY_MS, Hours, Series
from gateway.web.public import Busy, Made
from gateway.windows import Window

FRESH_S = 10.0
"""How long an answer is given again before it is made anew."""
REST = 9
"""Long answers take a tenth of the time at most."""


class PublicPages:
    """`ask` for gateway/web/public.py. now_ms: station time; seconds: a clock that never steps."""

    def __init__(
        self, config: Config, journal: Journal, now_ms: Callable[[], int], seconds: Callable[[], float]
    ):
        self._config = config
        self._journal = journal
        self._now_ms = now_ms
        self._seconds = seconds
        self._made: dict[tuple[str, int], tuple[float, Made]] = {}  # until when it is fresh, and it
        self._making = asyncio.Lock()
        self._resting_s = 0.0  # until then no long one is made
        self._long = False  # one is being made

    async def ask(self, form: str, days: int) -> Made | None:
        """The answer to /public.<form>?days=; None where nothing is public. Busy, JournalError."""
        if not public.channels(self._config):
            return None
        if days > 1:
            return await self._ask_long(form, days)
        async with self._making:  # those who come at once share one
            if (known := self._fresh(form, days)) is None:
                known = await self._make(form, days)
                self._made[form, days] = (self._seconds() + FRESH_S, known)
            return known

    async def _ask_long(self, form: str, days: int) -> Made:
        if (known := self._fresh(form, days)) is not None:
            return known
        began_s = self._seconds()
        if self._long or began_s < self._resting_s:
            raise Busy(max(1.0, self._resting_s - began_s))
        self._long = True
        try:
            made = await self._make(form, days)
        finally:
            self._long = False
            took_s = self._seconds() - began_s
            self._resting_s = self._seconds() + REST * took_s
        for other in [key for key in self._made if key[1] > 1]:
            del self._made[other]  # they are large
        self._made[form, days] = (self._resting_s + FRESH_S, made)
        return made

    def _fresh(self, form: str, days: int) -> Made | None:
        now_s = self._seconds()
        self._made = {key: each for key, each in self._made.items() if now_s < each[0]}
        found = self._made.get((form, days))
        return None if found is None else found[1]

    async def _make(self, form: str, days: int) -> Made:
        config, checkpoint = self._config, self._journal.checkpoint
        until_ms = public.ended_before_ms(config, self._now_ms())
        newest = await self._journal.read(newest_windows, config, until_ms)
        last_ms = max((window.start_ms for window in newest.values()), default=until_ms)
        starts = range(last_ms + 1 - days * DAY_MS, last_ms + 1, DAY_MS)
        series, hours, lines = Series(config), Hours(config, starts[0]), [public.csv_head()]
        for start_ms in starts:
            if form == "csv":
                lines.append(await self._journal.read(_csv_lines, config, start_ms, until_ms))
            else:
                await self._journal.read(_add, config, start_ms, until_ms, series, hours)
        body = b"".join(lines) if form == "csv" else public.page(config, newest, series, hours, checkpoint)
        return await self._journal.read(_made, body)


def newest_windows(reader: Reader, config: Config, until_ms: int) -> dict[str, Window]:
    """Each public channel's newest window of those that ended by `until_ms`."""
    before_ms = until_ms - config.gateway.window_minutes * 60_000 + 1
    found = public.agreed(config, reader.newest_windows(before_ms).values())
    return {window.symbol: window for window in found}


def day(reader: Reader, config: Config, start_ms: int, until_ms: int) -> list[Window]:
    """A day's public windows from `start_ms` on, but for those that ended after `until_ms`."""
    found = reader.windows(start_ms, min(start_ms + DAY_MS, until_ms))
    return [window for window in public.agreed(config, found) if window.end_ms <= until_ms]


def _made(reader: Reader, body: bytes) -> Made:
    """The answer. Here, since hashing some MB takes a while, and helper threads may all wait for servers."""
    return Made.of(body)


def _add(reader: Reader, config: Config, start_ms: int, until_ms: int, series: Series, hours: Hours) -> None:
    found = day(reader, config, start_ms, until_ms)
    series.add(found)
    hours.add(found)


def _csv_lines(reader: Reader, config: Config, start_ms: int, until_ms: int) -> bytes:
    return public.csv_lines(config, day(reader, config, start_ms, until_ms))
