"""The sampler at work: one order at a time, each bottle an entry before it is begun and one after it.

    a person, the department ─▶ begin() ─┐
    alerts: a limit is exceeded ─▶ heard() ─┴▶ run() ─▶ drive ─▶ EVENT "bottle"

Rule 1: BEGUN is on disk before the drive is asked. A bottle that a stop of the gateway broke off stays as it
        is: nothing is begun again for it.
Rule 2: because a limit is exceeded, one bottle is filled for each alert, at most per_day a day (GMT+7),
        counted from the journal; only while the exceedance is FRESH_MS old at the most. An alert that was
        said just before a stop is found again at the start.
Rule 3: who asks while it is at work, or when no empty bottle is left, is told so; nothing waits in a queue
        but alerts, of which ALARMS_MAX may.
Rule 4: whatever the drive does, it holds up nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway.alert_states import EVENT_NAME as ALERT
from gateway.alert_states import RAISED, Alert
from gateway.alert_states import parse as parse_alert
from gateway.config_department import Sampler as Settings
from gateway.errors import CommandError, JournalError
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.sampling import bottles
from gateway.sampling.bottles import BEGUN, NOT_SENT, Asked, Bottle, Carousel, Emptied
from gateway.sampling.drive import Drive

log = get_logger("sampler")

FRESH_MS = 15 * 60_000
"""How old what is exceeded may be: what flows by now has to have to do with it."""
ALARMS_MAX = 16
RETRY_S = 2.0
LIMIT = "limit"
BY_RULE = "rule"
"""Who asks where nobody does."""


class Sampler:
    """`moment()` is (station time, monotonic) in ms; `values()` the newest value of each channel, as
    bottles.py wants them.
    """

    def __init__(
        self,
        settings: Settings,
        drive: Drive,
        journal: Journal,
        moment: Callable[[], tuple[int, int]],
        values: Callable[[], Sequence[Sequence[Any]]],
        window_ms: int,
    ):
        self._settings, self._drive, self._journal = settings, drive, journal
        self._window_ms = window_ms
        self._moment, self._values = moment, values
        self._carousel: Carousel | None = None  # until the journal was read
        self._alarms: deque[Alert] = deque(maxlen=ALARMS_MAX)
        self._order: tuple[Asked, asyncio.Future[list[Bottle]]] | None = None
        self._news = asyncio.Event()
        self._now: Bottle | None = None  # the one that is being filled
        self.seen: Callable[[Bottle], None] = lambda bottle: None
        """Hears of each bottle as it is begun, behind its entry; it does not wait."""

    def told(self) -> dict[str, Any]:
        """For status and pages."""
        now_ms, _ = self._moment()
        carousel = self._carousel or Carousel()
        return {
            "bottles": self._settings.bottles, "used": carousel.next - 1, "at_work": self._order is not None,
            "filling": None if self._now is None else self._now.number,
            "by_rule_today": carousel.by_rule(now_ms), "per_day": self._settings.per_day,
            "newest": [carousel.bottles[number].told() for number in sorted(carousel.bottles)[-3:]],
        }  # fmt: skip

    def problems(self) -> list[str]:
        """Sentences for the status."""
        if self._carousel is None or self._carousel.next <= self._settings.bottles:
            return []
        return [f"The sampler has no empty bottle: all {self._settings.bottles} are used. Put empty ones in."]

    def heard(self, alerts: Iterable[Alert]) -> None:
        """What was just said of alerts; called while windows close, so it only notes."""
        for alert in alerts:
            if self._calls(alert):
                self._alarms.append(alert)
                self._news.set()

    async def begin(self, asked: Asked) -> asyncio.Future[list[Bottle]]:
        """Fill bottles: who awaits the future gets what came of each. CommandError: none is begun, and why;
        JournalError.
        """
        carousel = await self._known()
        if why := self._refusal(carousel, asked):
            await self._write([bottles.refused(asked, why)])
            raise CommandError(why)
        future: asyncio.Future[list[Bottle]] = asyncio.get_running_loop().create_future()
        self._order = (asked, future)
        self._news.set()
        return future

    async def emptied(self, who: str, reason: str) -> str:
        """Somebody put empty bottles in; a sentence. CommandError, JournalError."""
        carousel = await self._known()
        if self._order is not None:
            raise CommandError("The sampler is at work: wait until it is done.")
        said = Emptied(who, reason)
        await self._write([said.event()])
        full = carousel.next - 1
        carousel.take(said)
        return f"The carousel is empty, as {who} says; {full} bottles were taken out."

    async def of_order(self, ask: bytes) -> list[Bottle]:
        """What the journal says of the bottles of one command, the newest word of each."""
        found: dict[tuple[int, int], Bottle] = {}
        for one in await self._journal.read(_said):
            if isinstance(one, Bottle) and one.ask == ask:
                found[one.begun_ms, one.number] = one
        return list(found.values())

    async def run(self) -> None:
        """Until cancelled."""
        rests = False
        while True:
            try:
                rests = rests or await self._drive.rest()
                carousel = await self._known()
                await self._work(carousel)
                self._news.clear()
                if self._order is None and not self._alarms:
                    await self._wait(None if rests else RETRY_S)
            except JournalError as error:
                log.warning("the sampler waits", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def _wait(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    # Its work -----------------------------------------------------------------------------------------------

    async def _work(self, carousel: Carousel) -> None:
        if self._order is None and self._alarms:
            alert = self._alarms.popleft()
            asked = Asked(1, _reason(alert), BY_RULE, b"", alert.name)
            now_ms, _ = self._moment()
            if carousel.heard(alert.name) or not self._fresh(alert, now_ms):
                return
            if why := self._refusal(carousel, asked):
                log.warning("no sample", alert=alert.name, reason=why)
                await self._write([bottles.refused(asked, why)])
                return
            self._order = (asked, asyncio.get_running_loop().create_future())
        if self._order is None:
            return
        asked, future = self._order
        try:
            done = await self._fill(carousel, asked)
            if not future.done():
                future.set_result(done)
        except JournalError as error:
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may have waited
            raise
        finally:
            self._order = self._now = None
            future.cancel()

    async def _fill(self, carousel: Carousel, asked: Asked) -> list[Bottle]:
        done: list[Bottle] = []
        for _ in range(asked.bottles):
            now_ms, _ = self._moment()
            bottle = Bottle(
                carousel.next, BEGUN, now_ms, asked.reason, asked.who, asked.ask, asked.rule,
                values=tuple(self._values()),
            )  # fmt: skip
            await self._write([bottle.event()])
            carousel.take(bottle)
            self._now = bottle
            self.seen(bottle)
            state, text = await self._drive.draw(bottle.number, asked.reason)
            bottle = bottle._replace(state=state, text=text, values=tuple(self._values()))
            carousel.take(bottle)
            self._now = None
            log.info("sample", bottle=bottle.number, state=state, who=asked.who, text=text)
            await self._write([bottle.event()])
            done.append(bottle)
            if state == NOT_SENT:
                break  # the next would fare no better
        return done

    def _refusal(self, carousel: Carousel, asked: Asked) -> str:
        if self._order is not None:
            return "The sampler is at work: ask again when it is done."
        left = self._settings.bottles - carousel.next + 1
        if asked.bottles > left:
            used = f"{carousel.next - 1} of {self._settings.bottles} bottles are used"
            return f"{used}: empty the carousel and say so (quantrac gateway sample CONFIG --emptied)."
        now_ms, _ = self._moment()
        if asked.rule and carousel.by_rule(now_ms) >= self._settings.per_day:
            return f"{self._settings.per_day} bottles were filled by rule today, which is all."
        return ""

    # Alerts -------------------------------------------------------------------------------------------------

    def _calls(self, alert: Alert) -> bool:
        """Whether this is what the rule is about."""
        kind = alert.rule.partition(" ")[0]
        return bool(self._settings.per_day) and kind == LIMIT and alert.said == RAISED

    def _fresh(self, alert: Alert, now_ms: int) -> bool:
        ends = [one.start_ms + (one.span_ms or self._window_ms) for one in alert.windows]
        return now_ms - max(ends, default=alert.since_ms) <= FRESH_MS

    async def _known(self) -> Carousel:
        if self._carousel is None:
            carousel = Carousel(await self._journal.read(_said))
            now_ms, _ = self._moment()
            waiting = await self._journal.read(_alerts)
            for alert in waiting:
                fresh = self._calls(alert) and self._fresh(alert, now_ms)
                if fresh and not carousel.heard(alert.name) and alert not in self._alarms:
                    self._alarms.append(alert)
            self._carousel = carousel
        return self._carousel

    async def _write(self, bodies: Sequence[bytes]) -> None:
        await self._journal.tell(EVENT, bodies, self._moment())


def _reason(alert: Alert) -> str:
    """What exceeded what, for the label of a bottle."""
    values = ", ".join(
        f"{one.symbol} {one.value:g}" + ("" if one.limit is None else f" (limit {one.limit:g})")
        for one in list(alert.windows)[-1:]
    )
    return f"{alert.rule} exceeded: {values or alert.symbol}"


def _said(reader: Reader) -> list[Bottle | Emptied]:
    """Bottles and what was said of the carousel, in the order of the journal."""
    found = [bottles.parse(body) for body, _ in reader.events_with(bottles.SAMPLER)]
    return [one for one in found if one is not None]


def _alerts(reader: Reader) -> list[Alert]:
    found = [parse_alert(body) for body, _ in reader.events_with(ALERT)]
    return [alert for alert in found if alert is not None]
