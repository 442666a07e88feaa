"""One owner task for each physical line of instruments: a Modbus TCP connection or an RS-485 port.

Rule 1: every due instant of every poll gives exactly one row per channel, a value or a reason, in one call of
        the sink - or is counted as skipped. Nothing waits in a queue (schedule.py).
Rule 2: a row's time is the moment its answer arrived.
Rule 3: an instrument that stays silent is backed off: at its due instants its rows say so without using the
        line, and it is probed in gaps between the others' polls. The first answer makes it normal again.
Rule 4: a request that alone stays silent, of an instrument that answers others, is backed off by itself.
Rule 5: on RS-485 a late answer to one question looks like the answer to the next; after a timeout another
        question to the same unit waits until the late answer can no longer come. An instrument that thinks
        longer than twice timeout_ms needs a larger timeout_ms: nothing else could tell its answers apart.
Rule 6: a line that is down gives TIMEOUT rows, a warning and attempts with back-off; it never raises.
Rule 7: who wants something of an instrument beside the polls (the sampler) is served between two of them:
        other().
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from gateway.ingest import exchange as x
from gateway.ingest.backoff import Backoff
from gateway.ingest.coil import CoilWrite
from gateway.ingest.counters import LineCounters
from gateway.ingest.decoding import Row
from gateway.ingest.instrument import Instrument
from gateway.ingest.planner import Block, Poll, plan_line
from gateway.ingest.schedule import LineTime, Schedule, StationClock
from gateway.logs import get_logger
from protocol import quality

log = get_logger("line")

LOOK_S = 1.0
"""Longest sleep without a look at the clock: a step of station time is noticed within a second."""
MILLION = 1_000_000

Sink = Callable[[str, list[Row]], Awaitable[None] | None]
"""sink(bus id, rows). It may return an awaitable: the line waits for it and skips polls, none pile up."""

_LIVES = (x.ANSWER, x.WRONG, x.REFUSED)
_REASON = {
    x.SILENT: quality.TIMEOUT,
    x.GARBLED: quality.BAD_REPLY,
    x.WRONG: quality.BAD_REPLY,
    x.REFUSED: quality.BAD_REPLY,
    x.AWAY: quality.TIMEOUT,
    x.LOST: quality.TIMEOUT,
}


class Line:
    """The instruments of one `[[bus]]`.

    `channels` is all of config.channel; those whose source names this bus are read. `run()` never returns;
    cancel its task to stop. `counters` may be given to share them, and are at `.counters`.
    """

    def __init__(
        self,
        bus: Any,
        channels: Sequence[Any],
        clock: StationClock,
        sink: Sink,
        counters: LineCounters | None = None,
        *,
        rng: Random | None = None,
    ):
        rng = rng or Random()
        self.id = bus.id
        self.counters = LineCounters() if counters is None else counters
        wired = [(i, c.source) for i, c in enumerate(channels) if getattr(c.source, "bus", None) == bus.id]
        self.polls = plan_line(wired, gap=bus.gap_registers)
        self._attempts = 1 + bus.retries
        self._timeout_ns = bus.timeout_ms * MILLION
        self._clock = clock
        self._time = LineTime(clock)
        self._sink = sink
        self._exchange = x.Exchange(bus.link, bus.timeout_ms, clock.mono_ns)
        self._reconnect = Backoff(rng)
        self._tried = asyncio.Event()  # the first attempt to connect is over
        self._fresh = True  # nothing has answered since the connection was made
        self._schedule = Schedule([(p.poll_ms, p.phase_ms) for p in self.polls], self._skipped)
        self._others: deque[tuple[Block | CoilWrite, asyncio.Future[tuple[int, Any]]]] = deque()
        self._resting: asyncio.Timeout | None = None
        self._units: dict[int, Instrument] = {}
        for i, poll in enumerate(self.polls):
            if poll.unit not in self._units:
                self._units[poll.unit] = Instrument(poll.unit, self.counters.unit(poll.unit), rng)
            self._units[poll.unit].add(i, poll.blocks)
            self.counters.polled.append((poll.channels, [0]))

    async def run(self) -> None:
        """Poll until cancelled."""
        if not self.polls:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_connected(), name=f"line {self.id} connection")
                tasks.create_task(self._poll_on(), name=f"line {self.id}")
        finally:
            self._exchange.drop()
            self.counters.up = False
            for _, answer in self._others:
                if not answer.done():
                    answer.set_result((x.LOST, None))

    async def other(self, question: Block | CoilWrite) -> tuple[int, Any]:
        """Ask something beside the polls: Exchange.ask()'s outcome of the last of 1 + retries attempts."""
        answer: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self._others.append((question, answer))
        if self._resting is not None and not self._resting.expired():  # else it is about to look by itself
            self._resting.reschedule(asyncio.get_running_loop().time())
        return await answer

    # The connection -------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        while True:
            why = await self._exchange.connect()
            if why is None:
                self._went_up()
                await self._exchange.lost.wait()
                self.counters.losses += 1
                self.counters.up = False
                if not self._fresh:  # it worked until now: many instruments close a connection that was idle
                    self._reconnect.reset()
                    continue
                why = "the connection is closed before anything was answered"
            else:
                self.counters.connect_failures += 1
            wait_s = self._reconnect.fail(self._clock.mono_ns())
            self._went_down(why, wait_s)
            self._tried.set()
            await asyncio.sleep(wait_s)

    def _went_up(self) -> None:
        if self.counters.down_reason:
            log.info("line is up", bus=self.id)
        self.counters.connects += 1
        self.counters.up, self.counters.down_reason = True, ""
        self._fresh = True
        for unit in self._units.values():
            unit.backoff.hurry()
        self._tried.set()

    def _went_down(self, why: str, wait_s: float) -> None:
        if not self.counters.down_reason:
            log.warning("line is down", bus=self.id, why=why, next_attempt_s=round(wait_s, 1))
        self.counters.up, self.counters.down_reason = False, why

    # The polls ------------------------------------------------------------------------------

    async def _poll_on(self) -> None:
        await self._tried.wait()
        self._schedule.restart(self._time.now_ms())
        era = self._time.era
        while True:
            now_ms = self._time.now_ms()
            if self._time.era != era:
                era = self._time.era
                self.counters.clock_steps += 1
                log.warning("station time was stepped", bus=self.id, step_ms=self._time.step_ms)
                self._schedule.restart(now_ms)
            unit = self._to_probe(now_ms)
            if unit is not None:
                await self._probe(unit)
                continue
            if self._others:
                await self._serve_other()
            due = self._schedule.take(now_ms)
            if due is not None:
                self._units[self.polls[due[0]].unit].counters.late(now_ms - due[1])
                await self._serve(self.polls[due[0]], due[0])
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Until the next instant is due, or a probe, or it is time to look at the clock again."""
        mono = self._clock.mono_ns()
        away = [u for u in self._units.values() if u.silent and not u.backoff.due(mono)]
        seconds = min([LOOK_S, *((u.backoff.until_ns - mono) / 1e9 for u in away)])
        try:
            async with asyncio.timeout(seconds) as self._resting:
                await self._clock.sleep_until(self._schedule.next_ms())
        except TimeoutError:
            pass
        finally:
            self._resting = None

    async def _serve_other(self) -> None:
        question, answer = self._others.popleft()
        outcome: tuple[int, Any] = (x.LOST, None)
        for _ in range(self._attempts):
            if answer.cancelled():
                return
            outcome = await self._exchange.ask(question)
            if outcome[0] not in (x.SILENT, x.GARBLED):
                break
        if not answer.done():
            answer.set_result(outcome)

    async def _serve(self, poll: Poll, index: int) -> None:
        """One due instant of a poll: exactly one row for each of its channels."""
        unit = self._units[poll.unit]
        rows: list[Row] = []
        for block in sorted(poll.blocks, key=unit.troubled):  # rule 5's wait then delays nothing
            rows += await self._read(unit, block, first=not rows)
        unit.counters.polls += 1
        self.counters.polled[index][1][0] += 1
        self.counters.rows += len(rows)
        waiting = self._sink(self.id, rows)
        if inspect.isawaitable(waiting):
            await waiting

    async def _read(self, unit: Instrument, block: Block, first: bool) -> list[Row]:
        """The rows of one request; asks only where an answer can be expected."""
        if not self._exchange.up:
            return block.without_value(self._time.now_ms(), quality.TIMEOUT)
        if unit.silent:
            return block.without_value(self._time.now_ms(), unit.reason)
        alone = unit.blocks[block]
        if not alone.due(self._clock.mono_ns()):
            return block.without_value(self._time.now_ms(), unit.reason)
        outcome, data = await self._ask(unit, block, 1 if alone.failures else self._attempts)
        now_ms = self._time.now_ms()
        if outcome == x.ANSWER:
            alone.reset()
            good = quality.OK if getattr(self._clock, "trusted", True) else quality.TIME_UNTRUSTED
            return block.decode(data, now_ms, good)
        if outcome in _LIVES:
            alone.reset()
        elif outcome != x.LOST:
            unit.reason = _REASON[outcome]
            news = first and not alone.failures
            alone.fail(self._clock.mono_ns())
            if news or unit.all_silent:
                self._silent(unit)
        return block.without_value(now_ms, _REASON[outcome])

    async def _ask(self, unit: Instrument, block: Block, attempts: int) -> tuple[int, Any]:
        """Ask until there is an answer, at most `attempts` times. Counts, and keeps rule 5."""
        question, until_ns = unit.doubt
        if question is not None and question is not block:
            await asyncio.sleep(max(0, until_ns - self._clock.mono_ns()) / 1e9)
        counters = unit.counters
        outcome, data = x.LOST, None
        for attempt in range(attempts):
            counters.requests += 1
            began_ns = self._clock.mono_ns()
            outcome, data = await self._exchange.ask(block)
            ended_ns = self._clock.mono_ns()
            if self._exchange.serial:
                doubtful = attempt or outcome in (x.SILENT, x.GARBLED)
                unit.doubt = (block, ended_ns + 2 * self._timeout_ns) if doubtful else (None, 0)
            if outcome in _LIVES:
                self._fresh = False
            if outcome == x.ANSWER:
                counters.answered((ended_ns - began_ns) / 1e6, self._time.now_ms())
                break
            if outcome in (x.REFUSED, x.AWAY):
                counters.exceptions += 1
                break
            if outcome == x.LOST:
                counters.lost += 1
                break
            if outcome == x.SILENT:
                counters.timeouts += 1
            else:
                counters.bad_replies += 1
        return outcome, data

    # Instruments that do not answer ---------------------------------------------------------

    def _silent(self, unit: Instrument) -> None:
        if not unit.silent:
            reason = quality.NAMES[unit.reason]
            log.warning("instrument does not answer", bus=self.id, unit=unit.number, reason=reason)
        unit.leave_alone(self._clock.mono_ns())
        if not self._exchange.serial and all(u.away for u in self._units.values()):
            self._exchange.drop()  # nobody answers: perhaps only this connection is dead, and a new one tells

    def _to_probe(self, now_ms: int) -> Instrument | None:
        """A unit whose wait is over, if the others leave a gap for it or it was put off for long."""
        if not self._exchange.up:
            return None
        mono = self._clock.mono_ns()
        ready = [u for u in self._units.values() if u.silent and u.backoff.due(mono)]
        if not ready:
            return None
        next_ms = self._schedule.next_of([i for u in self._units.values() if not u.silent for i in u.polls])
        if next_ms is None or (next_ms - now_ms) * MILLION >= self._timeout_ns:
            return ready[0]
        put_off = [u for u in ready if u.backoff.due(mono - u.backoff.interval_ns)]
        return put_off[0] if put_off else None

    async def _probe(self, unit: Instrument) -> None:
        """One question, to see whether it is back. The value belongs to no due instant and is dropped."""
        unit.counters.probes += 1
        block = unit.next_probe()
        outcome, _ = await self._ask(unit, block, 1)
        if outcome in _LIVES:
            log.info("instrument answers again", bus=self.id, unit=unit.number)
            unit.is_back(block)
        elif outcome != x.LOST:
            unit.reason = _REASON[outcome]
            self._silent(unit)

    def _skipped(self, poll: int, count: int) -> None:
        self._units[self.polls[poll].unit].counters.skipped_polls += count
