"""Watching for what windows alone do not tell: hours and days, the station itself, what nobody acts on.

    journal ──▶ hours, days ──┐
    status  ──▶ conditions  ──┼─▶ alerts (one table of states) ──▶ EVENT entries
    a person ─▶ requests    ──┤
    time    ──▶ overdue     ──┘

Rule 1: whatever goes wrong here holds up neither readings nor documents.
Rule 2: up to which entry hours and days were compared is a mark in the transaction of what is said of them:
        what a crash leaves in between is looked at again, and nothing is said twice. Who updates begins at
        the newest.
Rule 3: what is said is kept until it is in the journal; while the disk refuses, it is tried again.
Windows are heard in the intake's own transaction (alerts.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from gateway import alert_spans as spans
from gateway import interruptions
from gateway.alert_people import NoSuchAlert, acknowledge, interruption_key, listed, sync
from gateway.alert_states import EVENT_NAME, EXCEEDS, OVERDUE, RAISED, WITHIN, Alert, Key, parse
from gateway.alerts import Alerts
from gateway.calibration.history import in_force_ms, kept, known_of, newest_ms
from gateway.conditions import RULES, Condition, Lasting, contacts, overdue, unknown
from gateway.config_model import Channel, Config
from gateway.errors import JournalError
from gateway.interruptions import Interruption
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.requests import Answer, Order
from gateway.windows import Window

log = get_logger("alerts")

LOOK_S = 2.0
"""How often it is looked, in real seconds."""
CALIBRATIONS_S = 60.0
MARK_EVERY = 5000
"""Entries after which it is marked in any case: what a start has to look at again."""
MARK = "compared"
_MARKED = f"SELECT value FROM meta WHERE name = '{MARK}'"
_MARK = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_UNMARK = "DELETE FROM meta WHERE name = ?"
_FIRST = "SELECT COALESCE(MIN(arrived_ms), 0) FROM entry WHERE idx = 0"


class _Known(NamedTuple):
    """What a journal says at the start."""

    reached: int | None  # MARK
    newest_ms: dict[str, int]  # by kind of mean: the newest that was compared
    told_ms: dict[tuple[Key, int], int]  # (alert, since) -> when it was said
    first_ms: int  # of the journal


class _Calibrated(NamedTuple):
    """When channels were calibrated last."""

    in_force_ms: dict[tuple[str, str], int]  # (device, quantity) -> its device's newest began to be in force
    recorded_ms: dict[str, int]  # by symbol: the newest that a person recorded

    def of(self, channel: Channel) -> int | None:
        return known_of(channel, self.in_force_ms, self.recorded_ms)


class Watch:
    """`moment()` is (station time, monotonic) in ms; `found()` the conditions of the status, `interrupted()`
    what is interrupted (None while that is not known yet), `value(symbol)` the newest value and quality.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        alerts: Alerts,
        moment: Callable[[], tuple[int, int]],
        found: Callable[[], Iterable[Condition]],
        interrupted: Callable[[], Iterable[Interruption] | None],
        value: Callable[[str], tuple[float | None, int]],
    ):
        self._config = config
        self._journal = journal
        self._alerts = alerts
        self._moment = moment
        self._found = found
        self._interrupted = interrupted
        self._value = value
        self._lasting = Lasting()
        self._told_ms: dict[tuple[Key, int], int] = {}
        self._calibrated_ms = _Calibrated({}, {})
        self._calibrations_s = float("-inf")
        self._first_ms = 0
        self._reached: int | None = None  # None until the journal was read
        self._unsaid: list[Alert] = []  # not in the journal yet
        self._mark: int | None = None  # to be marked with them
        self._marked = -1
        self._turn = asyncio.Lock()
        self.hear: Callable[[Sequence[Alert]], None] = lambda alerts: None  # whoever acts on what was said

    def listed(self) -> list[dict[str, Any]]:
        """What stands, for /api/v1/current."""
        self._sync()
        return listed(self._alerts)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except JournalError as error:
                log.warning("alerts wait", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Hear of everything that is new, and say what follows."""
        async with self._turn:
            if self._reached is None:
                await self._recall()
            await self._say()
            while await self._compare():
                await self._say()
            await self._calibrations()
            self._conditions()
            self._overdue()
            await self._say()

    async def acknowledge(self, order: Order) -> Answer:
        """Do what a person asks. Raises JournalError: it may not have been done."""
        async with self._turn:
            if self._reached is None:
                await self._recall()
            self._sync()
            try:
                said = acknowledge(self._alerts, order.alert, order.who, order.reason)
            except NoSuchAlert as error:
                return Answer(str(error), ok=False)
            self._unsaid.append(said)
            await self._say()
        return Answer(f"{said.name} is acknowledged by {said.by}.")

    # What it hears of ---------------------------------------------------------------------------------------

    async def _recall(self) -> None:
        known: _Known = await self._journal.read(_recalled, list(spans.SPANS))
        self._told_ms, self._first_ms = known.told_ms, known.first_ms or self._moment()[0]
        self._mark = None
        if not any(self._alerts.compared(name) for name in spans.SPANS):
            self._reached = self._journal.size - 1
            if known.reached is not None:  # else who compares them again would hear of all this time
                await self._journal.commit(marks=[(_UNMARK, [(MARK,)])], now_ms=self._moment()[0])
            return
        if known.reached is None:
            self._mark = self._reached = self._journal.size - 1
            known = await self._journal.read(_recalled, list(spans.SPANS), self._reached)
        else:
            self._reached = self._marked = known.reached
        for name, start_ms in known.newest_ms.items():
            self._alerts.begin(name, dict.fromkeys(self._alerts.compared(name), start_ms))

    async def _compare(self) -> bool:
        """Hold hours and days against their limits; whether there may be more."""
        assert self._reached is not None
        wanted = {name: symbols for name in spans.SPANS if (symbols := self._alerts.compared(name))}
        end = self._journal.size - 1
        if self._reached >= end:
            return False
        if not wanted:
            self._reached = end
            return False
        share = self._config.gateway.valid_share_min
        means, stop = await self._journal.read(_means, wanted, self._reached, end, share)
        for name, found in means.items():
            self._unsaid += self._alerts.means(name, found)
        self._reached = stop
        if self._unsaid or stop - self._marked >= MARK_EVERY:
            self._mark = stop
        return stop < end

    def calibrated(self) -> None:
        """Somebody recorded a calibration: look at the next look."""
        self._calibrations_s = float("-inf")

    async def _calibrations(self) -> None:
        _, mono_ms = self._moment()
        if any(channel.calibrate_days for channel in self._config.channel) and (
            mono_ms / 1000 - self._calibrations_s >= CALIBRATIONS_S
        ):
            self._calibrated_ms = await self._journal.read(_calibrated)
            self._calibrations_s = mono_ms / 1000

    def _conditions(self) -> None:
        now_ms, mono_ms = self._moment()
        channels = self._config.channel
        found = [
            *self._found(), *contacts(channels, self._value),
            *overdue(channels, self._calibrated_ms.of, self._first_ms, now_ms),
        ]  # fmt: skip
        for condition in self._lasting.begun(found, mono_ms / 1000):
            self._step(condition.key, EXCEEDS, condition.text, now_ms)
        held = unknown(channels, self._value)
        ours = [key for key in self._alerts.standing if key[0] in RULES and key not in held]
        for key in self._lasting.over(ours, mono_ms / 1000):
            self._step(key, WITHIN, self._alerts.standing[key].raised.basis, now_ms)

    def _overdue(self) -> None:
        """Escalate what nobody acknowledged in time, counted from when it was said."""
        now_ms, _ = self._moment()
        self._sync()
        standing = {(key, each.raised.since_ms): each for key, each in self._alerts.standing.items()}
        self._told_ms = {place: self._told_ms.get(place, now_ms) for place in standing}
        patience_ms = self._config.alerts.escalate_min * 60_000
        for (key, since_ms), each in standing.items():
            late = now_ms - self._told_ms[key, since_ms] >= patience_ms
            if patience_ms and late and each.state == RAISED:
                self._step(key, OVERDUE, each.raised.basis, since_ms)

    def _sync(self) -> None:
        lasting = self._interrupted()
        if lasting is not None:
            sync(self._alerts, lasting)

    def _step(self, key: Key, shows: str, basis: str, since_ms: int) -> None:
        said = self._alerts.step(key, shows, basis, (), since_ms)
        if said is not None:
            self._unsaid.append(said)

    # Saying it ----------------------------------------------------------------------------------------------

    async def _say(self) -> None:
        if not self._unsaid and self._mark is None:
            return
        moment = self._moment()
        entries = self._journal.own(EVENT, [alert.event() for alert in self._unsaid], moment)
        marks = [] if self._mark is None else [(_MARK, [(MARK, self._mark)])]
        await self._journal.commit(entries=entries, marks=marks, now_ms=moment[0])
        for alert in self._unsaid:
            log.info("alert", rule=alert.rule, about=alert.symbol, said=alert.said, by=alert.by)
        self.hear(self._unsaid)
        self._marked = self._marked if self._mark is None else self._mark
        self._unsaid, self._mark = [], None


def _means(
    reader: Reader, wanted: dict[str, Sequence[str]], after: int, end: int, share: float
) -> tuple[dict[str, list[Window]], int]:
    """On the journal's reading thread."""
    stop = spans.stop_of(reader, after, end)
    return {name: spans.made(reader, name, of, after, stop, share) for name, of in wanted.items()}, stop


def _recalled(reader: Reader, names: Sequence[str], through: int | None = None) -> _Known:
    rows = reader.rows(_MARKED)
    reached = rows[0][0] if rows and through is None else through
    newest = {name: spans.newest(reader, name, reached) for name in names} if reached is not None else {}
    told: dict[tuple[Key, int], int] = {}
    for body, arrived_ms in reader.events_with(EVENT_NAME):
        alert = parse(body)
        if alert is not None and alert.said == "raised":
            told[alert.key, alert.since_ms] = arrived_ms
    for body, arrived_ms in reader.events_with(interruptions.EVENT_NAME):
        one = interruptions.parse(body)
        if one is not None and one.to_ms is None:
            told[interruption_key(one), one.from_ms] = arrived_ms
    first_ms = reader.rows(_FIRST)[0][0]
    return _Known(reached, {name: ms for name, ms in newest.items() if ms is not None}, told, first_ms)


def _calibrated(reader: Reader) -> _Calibrated:
    return _Calibrated(in_force_ms(reader), newest_ms(each.record for each in kept(reader)))
