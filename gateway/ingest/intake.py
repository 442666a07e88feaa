"""Where readings come in and windows go out: one object that keeps devices, buses, windows and journal in
step.

    links -> DeviceIngest -+
                           +-> windows, entries -> journal -> acknowledgements
    lines -> BusIngest   --+        |
                                    +-> closed windows + their documents, one transaction

Rule 1: readings are taken into the windows in the order in which they are submitted to the journal, so a
        window's entry says exactly which entries it was computed from: all before `through`.
Rule 2: a window, its documents and what `events` says of it (alerts) are one transaction. Late readings make
        a new revision, never a changed row.
Rule 3: when the journal is full the links stop reading and the lines are asked to wait.
Rule 4: records that could not be placed in time when they came, and can be now, are taken in from the
        journal, with an entry of their own: from there on the windows rest on it.

app.py gives it what it needs and runs it; documents(windows) and clock come from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.accumulate import Newest
from gateway.channel_events import units
from gateway.counters import Counters
from gateway.errors import CommandError, JournalError
from gateway.ingest import calibrations, corrections, polls, replay
from gateway.ingest.commands import TIMEOUT_S, Commands
from gateway.ingest.devices import DeviceIngest, Moment, Stream
from gateway.ingest.raw import RawFeed
from gateway.journal.journal import Journal
from gateway.journal.kinds import CALIBRATION, CONFIGURATION, EVENT, GATEWAY, WINDOW
from gateway.journal.reader import reading
from gateway.journal.uncommitted import Uncommitted
from gateway.journal.writer import Entry, Job
from gateway.lane import Lane
from gateway.logs import get_logger
from gateway.marks import LENGTH_MS_MAX, Mark
from gateway.windows import (
    BEFORE,
    EMPTY_MS,
    LATE,
    PASSED_ON_MAX,
    Channel,
    Settings,
    Window,
    Windows,
    body,
)
from protocol import cbor
from protocol.messages import Result

log = get_logger("intake")

TICK_S = 0.2
"""How often closing windows is looked at, in real seconds."""
WINDOWS_PER_TICK = 32
"""Windows closed at one go, so that catching up after days does not hold up the links."""
LATE_PER_TICK = 8
"""Windows computed again at one go: a backlog of months must not hold up the windows that close now."""
LOCATE_ENTRIES = 128
"""Records placed after the fact at one go, so that a boot of weeks holds up neither links nor windows."""
FRAME_PATIENCE_S = 5.0
"""Readings of a device wait so long to share a commit: it keeps them until they are acknowledged, and repeats
itself after 8 s."""
POLL_PATIENCE_S = 2.0
"""... and those of the gateway's own instruments, which nobody keeps: what a power cut may take of them.
(A kill of the gateway takes none: gateway/journal/uncommitted.py.)"""
_NONE: Mapping[str, str] = {}
PAUSE_MS = 250
"""What a device is asked to wait when the queue is half full."""


def channels_of(config) -> list[Channel]:
    """The configured channels (gateway.config.Config) as the windows see them, in their order."""
    places: dict[str, int] = {}
    found = []
    for channel in config.channel:
        source = channel.source
        more: dict[str, Any] = dict(zip(("low", "high"), channel.plausible or (), strict=False))
        more |= {"decimals": channel.decimals, "unit_when_none": channel.unit_when_none}
        more |= {"average": channel.average, "checks": channel.checks.rules(), "rollover": channel.rollover}
        more |= {"update_ms": channel.update_s and channel.update_s * 1000, "holds": True}
        more |= {"sent": channel.sent, "busy": channel.busy.pairs()}
        if hasattr(source, "derived"):
            derived = source.derived()
            found.append(Channel(channel.symbol, channel.unit, "", channel.symbol, derived=derived, **more))
        elif hasattr(source, "device"):
            found.append(
                Channel(channel.symbol, channel.unit, f"device/{source.device}", source.quantity, **more)
            )
        else:
            place = places[source.bus] = places.get(source.bus, -1) + 1
            name = polls.source_name(source.bus, place)
            found.append(Channel(channel.symbol, channel.unit, name, channel.symbol, source.poll_ms, **more))
    return found


def settings_of(config) -> Settings:
    """The windows' settings of a gateway.config.Config."""
    return Settings(
        length_ms=config.gateway.window_minutes * 60_000,
        valid_share_min=config.gateway.valid_share_min,
        grace_ms=config.gateway.grace_s * 1000,
        label=config.gateway.label,
    )


class _Recomputed(NamedTuple):
    """A closed window, anew: its rows that changed, the entries it rests on, and whether the next one begins
    with what changed.
    """

    changed: list[Window]
    through: int
    passes_on: bool


class Intake:
    """Open it before the loop runs (open()), then await begin() and run() inside the loop.

    `devices` are ids with their 32-byte keys; `now()` is Moment of this instant; `real_s(station_s)` how
    long a span of station time takes. `events(windows)` gives bodies of EVENT entries.
    """

    def __init__(
        self,
        journal: Journal,
        channels: Sequence[Channel],
        settings: Settings,
        devices: dict[str, bytes],
        now: Callable[[], Moment],
        documents: Callable[[list[Window]], Iterable[tuple]] = lambda windows: (),
        counters: Counters | None = None,
        raw: RawFeed | None = None,
        real_s: Callable[[float], float] = float,
        events: Callable[[list[Window]], Iterable[bytes]] = lambda windows: (),
        wiring: Mapping[str, str] = _NONE,
        uncommitted: Uncommitted | None = None,
    ):
        self.journal = journal
        self.uncommitted = uncommitted or Uncommitted(None)
        self.counters = counters or Counters()
        self.windows = Windows(channels, settings, now().mono_s, now().now_ms)
        self._by_symbol = {
            state.channel.symbol: (lane, state)
            for lane in self.windows.lanes.values()
            for state in lane.states
        }
        self.devices: dict[str, DeviceIngest] = {}
        self._commands: dict[str, Commands] = {}
        self._channels = list(channels)
        self._settings = settings
        self._wiring_told = wiring
        self._keys = devices
        self._now = now
        self.known_ms = 0  # newest moment that the journal knows of, at opening,
        self._opened = 0  # and its entries
        self.turns = 0  # of run()
        self._before: list[Channel] = []  # configured at the start before
        self._documents = documents
        self._events = events
        self._raw = raw
        self._real_s = real_s
        self._lanes: dict[str, Lane] = {}
        self._buses: dict[str, polls.BusIngest] = {}
        self._answered: set[str] = set()  # buses; their first answers since the start wait for no company
        self._wiring: list[tuple[str, int]] = []  # by index into channels: (bus source, number there)

    # Starting -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the journal and go on where it ends. Raises JournalError."""
        self._lanes = dict(self.windows.lanes)
        for device in self._keys:
            name = f"device/{device}"
            self._lanes.setdefault(name, Lane(name, [], self.windows))
        self.journal.open([GATEWAY, *self._lanes])
        with reading(self.journal.path) as reader:
            boot, commanded = replay.learn(reader, self._lanes, self.windows.marks)
            calibrated, corrected = calibrations.learn(reader), corrections.learn(reader)
            self._boot = boot + 1
            self._adopt(boot)
            replay.resume(reader, self.windows, self._now().mono_s)
            self.known_ms = reader.newest_ms()
            self._opened = reader.size()
            self._before = replay.configured(reader)
        for device, key in self._keys.items():
            name = f"device/{device}"
            ingest = self.devices[device] = DeviceIngest(
                device,
                key,
                self.journal.source(name),
                self.journal.position(name),
                self._lanes[name],
                self.counters.link(device),
                calibrated.get(name),
            )
            self._commands[device] = Commands(ingest, self.journal, self._now, commanded[name])
            ingest.on_result = self._commands[device].answered
        numbers: dict[str, int] = {}
        for channel in self._channels:
            if channel.derived:
                self._wiring.append(("", 0))  # nobody polls it
                continue
            number = numbers[channel.source] = numbers.get(channel.source, -1) + 1
            self._wiring.append((channel.source, number))
            if channel.source.startswith("bus/") and channel.source not in self._buses:
                bus = polls.BusIngest(
                    self.journal.source(channel.source), self._boot, self._lanes[channel.source]
                )
                newest = corrected.get(channel.source, {})
                bus.describe(replay.numbered(self._channels, channel.source), newest, self._wiring_told)
                self._buses[channel.source] = bus
        self._journaled()

    def _adopt(self, boot: int) -> None:
        """What a killed gateway had taken of its own instruments goes in behind what it had committed."""
        left = self.uncommitted.left()
        jobs = [Job(entries, drafts=documents, now_ms=entries[-1].arrived_ms) for entries, documents in left]
        if adopted := self.journal.adopt(jobs, boot):
            log.warning("readings that a killed gateway had not stored yet are stored now", entries=adopted)
        if strange := sum(entry.boot != boot for entries, _ in left for entry in entries):
            log.warning("readings that a killed gateway left belong to another journal", entries=strange)
        self.uncommitted.begin()

    async def begin(self) -> None:
        """Write down this start, with the configuration, and what of it is another than before. Durable when
        this returns.
        """
        moment = self._now()
        data = polls.configuration(self._boot, self._settings, self._channels)
        entries = [self._entry(CONFIGURATION, data, moment)]
        entries += [self._entry(EVENT, told, moment) for told in units(self._before, self._channels)]
        await self.journal.commit(entries=entries, now_ms=moment.now_ms)

    async def run(self) -> None:
        """Close windows as they become due, until cancelled. JournalError when the journal has stopped for
        good: nothing that goes on from there would be true.
        """
        while True:
            self.turns += 1
            if self.journal.stopped:
                raise JournalError(self.journal.reason)
            more = False
            try:
                more = await self.tick()
            except (
                JournalError
            ) as error:  # the disk cannot be read just now; rule 4 of the writer ends the loop above
                log.warning("windows wait", reason=str(error))
            await asyncio.sleep(0 if more else TICK_S)

    # Readings -----------------------------------------------------------------------------------------------

    def feed(
        self, device: DeviceIngest, data: bytes, flush: Callable[[], None], stream: Stream | None = None
    ) -> bytes:
        """Bytes of a device's link. Returns what to send at once; flush() is called when an acknowledgement
        is due.
        """
        entries, answer = device.feed(data, self._now(), stream)
        if entries:
            taken = device.lane.read_now()

            def done(job: Job) -> None:
                if job.error is None:
                    device.committed(entries)
                    self._journaled_of(device.lane, taken)
                    flush()

            drafts = self._told(self._raw.framed, device.lane, entries) if self._raw else ()
            patience_s = 0.0 if device.urgent else self._real_s(FRAME_PATIENCE_S)
            device.urgent = False
            self.journal.submit(
                entries, drafts=drafts, now_ms=self._now().now_ms, done=done, patience_s=patience_s
            )
        elif device.answer_due:
            flush()
        return answer

    def acknowledgement(self, device: DeviceIngest) -> bytes:
        """The acknowledgement due to a device, or b""."""
        return device.acknowledgement(self._now(), PAUSE_MS if self.journal.half_full else 0)

    async def command(
        self, device: str, name: str, args: Any = None, timeout_s: float = TIMEOUT_S, who: str = ""
    ) -> Result:
        """Give a device a command and wait for its answer; Commands.run() says what may go wrong.

        `who` is whoever asked for it, for the journal.
        """
        if device not in self._commands:
            there = ", ".join(self._commands) or "none"
            raise CommandError(f"There is no device '{device}'. Name one that is configured: {there}.")
        return await self._commands[device].run(name, args, timeout_s, who)

    def poll(self, bus: str, rows: Sequence[tuple]) -> Awaitable[None] | None:
        """Sink of the gateway's own lines: rows of (index into the channels, time_ms, raw bits or None,
        quality).

        What it returns is to be awaited: the queue is full, and the line is to skip polls meanwhile.
        """
        if self.journal.refusing:
            self.counters.polls_refused += len(rows)
            return asyncio.sleep(TICK_S)
        moment = self._now()
        by_source: dict[str, list[tuple]] = {}
        for row in rows:
            by_source.setdefault(self._wiring[row[0]][0], []).append(row)
        for source, part in by_source.items():
            ingest = self._buses[source]
            numbered = [
                (self._wiring[index][1], time_ms, raw, quality) for index, time_ms, raw, quality in part
            ]
            entries = ingest.take(numbered, moment.now_ms, moment.mono_ns)
            taken = ingest.lane.read_now()
            drafts = self._told(self._raw.polled, source, entries, part, ingest.lane) if self._raw else ()
            kept = self.uncommitted.keep(entries, drafts)

            def done(job: Job, lane: Lane = ingest.lane, taken: list[int] = taken, kept: int = kept) -> None:
                if job.error is None:
                    self._journaled_of(lane, taken)
                    self.uncommitted.release(kept)

            patience_s = self._real_s(POLL_PATIENCE_S) if source in self._answered else 0.0
            self._answered.add(source)
            self.journal.submit(
                entries, drafts=drafts, now_ms=moment.now_ms, done=done, patience_s=patience_s
            )
        return self._room() if self.journal.full else None

    def _told(self, documents: Callable[..., Sequence[tuple]], *arguments) -> Sequence[tuple]:
        """What the raw feed makes of accepted entries: journaled even where it trips (devices.py, rule 5)."""
        try:
            return documents(*arguments)
        except Exception:
            log.exception("readings could not be put into the raw feed: they are in the journal")
            return ()

    async def _room(self) -> None:
        event = asyncio.Event()
        self.journal.when_room(event.set)
        await event.wait()

    # Windows ------------------------------------------------------------------------------------------------

    async def tick(self) -> bool:
        """Close what is due, and compute again what got late readings. Returns whether more may be due at
        once.
        """
        if not self._now().trusted:
            return False  # no window is closed by a clock that has not caught up with the journal
        located = await self._locate()
        more = True
        for _ in range(WINDOWS_PER_TICK):
            moment = self._now()
            start_ms = self.windows.due(moment.now_ms, moment.mono_s)
            if start_ms is None or self.journal.refusing:
                more = False
                break
            if start_ms < moment.now_ms - EMPTY_MS and (skipped := self.windows.skip(moment.now_ms)):
                gap = cbor.dumps(["gap", GATEWAY, *skipped])
                self.journal.submit([self._entry(EVENT, gap, moment)])
                continue
            self._submit_windows([(self.windows.close(start_ms), self.journal.submitted)], moment)
            await asyncio.sleep(0)
        for window in self.windows.late_due(self._now().mono_s, LATE_PER_TICK):
            await self.journal.commit()  # so that what made it late, and the windows before it, are on disk
            await self._revise(window)
        return more or located

    async def _locate(self) -> bool:
        """Take in some records that were journaled before their boot was placed; whether more are left."""
        for device in self.devices.values():
            lane = device.lane
            for boot in sorted(lane.untold & lane.placements.keys()):
                await self.journal.commit()  # so that all of them are on disk
                found = await self.journal.read(replay.untold, lane.name, boot, LOCATE_ENTRIES)
                if found is None:
                    lane.untold.discard(boot)
                    continue
                self._submit_located(device, boot, *found)
                return True
        return False

    def _submit_located(self, device: DeviceIngest, boot: int, first: int, last: int, found: list) -> None:
        lane, moment, times = device.lane, self._now(), []
        for idx, message in found:
            if idx >= self._opened:  # counted since this start
                lane.not_counted(message)
            times += [t for t in replay.take(lane, message, moment.now_ms, moment.mono_s) if t is not None]
        entry = device.located(moment, boot, first, last, times)
        taken = lane.read_now()

        def done(job: Job) -> None:
            if job.error is None:
                self._journaled_of(lane, taken)

        drafts = self._told(self._raw.located, lane, [m for _, m in found]) if self._raw else ()
        self.journal.submit([entry], drafts=drafts, now_ms=moment.now_ms, done=done)
        device.counters.placed_late += sum(replay.count(message) for _, message in found)
        log.info("records placed in time", source=lane.name, boot=boot, entries=len(found))

    def _submit_windows(self, parts: Sequence[tuple[list[Window], int]], moment: Moment) -> Job:
        """Rows of windows, each with the entries they were computed from, in one transaction."""
        windows = [
            (row, self._entry(WINDOW, body(row, through), moment)) for rows, through in parts for row in rows
        ]
        every = [row for rows, _ in parts for row in rows]
        events = [self._entry(EVENT, data, moment) for data in self._events(every)]
        drafts = list(self._documents(every))
        return self.journal.submit(events, windows=windows, drafts=drafts, now_ms=moment.now_ms)

    async def _revise(self, late) -> None:
        """A closed window got readings: compute it from the journal, and keep the result as a new
        revision; with it, in the same transaction, the windows behind it that come out another because of it.
        """
        told = self._told_so_far()
        found = await self._recomputed(late.start_ms, {}, LATE)
        if found is None:
            log.warning(
                "a window stays as it is: its readings were pruned, or windows had another length",
                start_ms=late.start_ms,
            )
            return  # what came late stays counted as late
        parts, start_ms = [found], late.start_ms
        while found is not None and found.passes_on and len(parts) <= PASSED_ON_MAX:
            start_ms += self._settings.length_ms
            if self.windows.next_ms is None or start_ms >= self.windows.next_ms:
                break
            left = {window.symbol: window for window in found.changed}
            found = await self._recomputed(start_ms, left, BEFORE)
            if found is not None and found.changed:
                parts.append(found)
        if self._told_so_far() != told:  # rows stand behind it, and were computed without it
            self.windows.again(late)
            return
        changed = [(part.changed, part.through) for part in parts if part.changed]
        if changed:
            self._submit_windows(changed, self._now())
            for rows, _ in changed:
                self.windows.took(rows)
            symbols = sorted({window.symbol for rows, _ in changed for window in rows})
            log.info("window revised", start_ms=late.start_ms, windows=len(changed), symbols=symbols)
        late.settled()

    def _told_so_far(self) -> int:
        """A number that is another one when anything was said since about what numbers mean."""
        return sum([lane.told for lane in self._lanes.values()])

    async def _recomputed(self, start_ms: int, before: dict[str, Window], why: str) -> _Recomputed | None:
        """A closed window anew; None where it has to stay as it is."""
        scratch = self.windows.scratch(start_ms)
        found = await self.journal.read(replay.recompute, scratch, start_ms, before)
        if found is None:
            return None
        fresh, stored, through = found
        changed = self.windows.revised(fresh, stored, why) if stored else []
        return _Recomputed(changed, through, self.windows.passes_on(changed, stored))

    def _entry(self, kind: int, data: bytes, moment: Moment) -> Entry:
        (entry,) = self.journal.own(kind, [data], (moment.now_ms, moment.mono_ns // 1_000_000))
        return entry

    async def mark(self, symbol: str, quality: int, minutes: float, who: str, reason: str) -> Mark:
        """A person calibrates or maintains a channel's instrument from now on, for so long at the most; with
        quality OK he is done. Durable when this returns. CommandError says what cannot be.
        """
        moment = self._now()
        from_ms = max(moment.now_ms, self.windows.next_ms or 0)
        to_ms = max(from_ms, moment.now_ms + int(minutes * 60_000))
        known = [channel.symbol for channel in self._channels if not channel.derived]
        if symbol not in known:
            raise CommandError(f"There is no channel '{symbol}'. Name one of: {', '.join(known)}.")
        if not 0 <= minutes * 60_000 <= LENGTH_MS_MAX:
            days = LENGTH_MS_MAX // 86_400_000
            raise CommandError(f"{minutes:g} minutes are no time for that: {days} days are the most.")
        mark = Mark(symbol, quality, from_ms, to_ms, who, reason)
        self.windows.marks.take(mark)
        await self.journal.commit(entries=[self._entry(EVENT, mark.event(), moment)], now_ms=moment.now_ms)
        return mark

    def standing(self, symbol: str) -> tuple[int, Sequence]:
        """(id, points) of what a channel's readings are led over now, by the gateway or its device; (0, ())
        for nothing.
        """
        channel = self._channel(symbol)
        if channel.source in self._buses:
            return self._buses[channel.source].standing(symbol)
        return self.devices[channel.source.removeprefix("device/")].calibrated.get(channel.quantity, (0, ()))

    async def correct(
        self, symbol: str, points: Sequence[Sequence[float]], who: str, also: Sequence[bytes] = ()
    ) -> None:
        """Lead a channel's readings over these points from here on: those of a bus by a correction of ours,
        those of a device by its own command. `also`: bodies of CALIBRATION entries that say why. Durable when
        this returns. CommandError, JournalError.
        """
        channel, moment = self._channel(symbol), self._now()
        because = [self._entry(CALIBRATION, data, moment) for data in also]
        bus = self._buses.get(channel.source)
        if bus is not None:
            made = bus.next(symbol, tuple([(raw, value) for raw, value in points]), who)
            source = self.journal.source(channel.source)
            entry = self._entry(CALIBRATION, made.body(), moment)._replace(source=source)
            await self.journal.commit(entries=[entry, *because], now_ms=moment.now_ms)
            bus.correct(made)  # on the disk before the first reading that names it
            return
        number, _ = self.standing(symbol)
        given = {"channel": channel.quantity, "id": number + 1, "points": [list(point) for point in points]}
        result = await self.command(channel.source.removeprefix("device/"), "calibrate", given, who=who)
        if not result.ok:
            raise CommandError(f"The device did not take it: {result.text}")
        await self.journal.commit(entries=because, now_ms=self._now().now_ms)

    def _channel(self, symbol: str) -> Channel:
        for channel in self._channels:
            if channel.symbol == symbol and not channel.derived:
                return channel
        raise CommandError(f"There is no channel '{symbol}' that is measured.")

    def newest(self, symbol: str) -> Newest | None:
        """A channel's newest reading; None for one that is made of others."""
        found = self._by_symbol.get(symbol)
        return None if found is None else found[0].newest(found[1], self._now().now_ms)

    # Counters -----------------------------------------------------------------------------------------------

    def _journaled_of(self, lane: Lane, taken: list[int]) -> None:
        for state, count in zip(lane.states, taken, strict=True):
            self.counters.channel(state.channel.symbol).journaled = count

    def _journaled(self) -> None:
        """What was read back from the journal at the start is journaled."""
        for lane in self.windows.lanes.values():
            self._journaled_of(lane, lane.read_now())

    def count(self) -> Counters:
        """The counters, with those of the channels brought up to this moment."""
        for lane in self.windows.lanes.values():
            for state, read in zip(lane.states, lane.read_now(), strict=True):
                counted = self.counters.channel(state.channel.symbol)
                counted.read, counted.windowed, counted.open = read, state.windowed, state.open()
                counted.late, counted.unplaced = state.late, state.unplaced
        return self.counters
