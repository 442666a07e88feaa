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
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from gateway.accumulate import Newest
from gateway.counters import Counters
from gateway.errors import CommandError, JournalError
from gateway.ingest import calibrations, polls, replay
from gateway.ingest.commands import TIMEOUT_S, Commands
from gateway.ingest.devices import DeviceIngest, Moment, Stream
from gateway.ingest.raw import RawFeed
from gateway.journal.journal import Journal
from gateway.journal.kinds import CONFIGURATION, EVENT, WINDOW
from gateway.journal.reader import reading
from gateway.journal.writer import Entry, Job
from gateway.lane import Lane
from gateway.logs import get_logger
from gateway.windows import EMPTY_MS, Channel, Settings, Window, Windows, body
from protocol import cbor
from protocol.messages import Result

log = get_logger("intake")

GATEWAY = "gateway"
"""Source of entries about the gateway itself."""
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
"""... and those of the gateway's own instruments, which nobody keeps: what a power cut may take of them."""
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
        if hasattr(source, "device"):
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
    ):
        self.journal = journal
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
        self._keys = devices
        self._now = now
        self.known_ms = 0  # newest moment that the journal knows of, at opening,
        self._opened = 0  # and its entries
        self._documents = documents
        self._events = events
        self._raw = raw
        self._real_s = real_s
        self._lanes: dict[str, Lane] = {}
        self._buses: dict[str, polls.BusIngest] = {}
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
            boot, commanded = replay.learn(reader, self._lanes)
            calibrated = calibrations.learn(reader)
            self._boot = boot + 1
            replay.resume(reader, self.windows, self._now().mono_s)
            self.known_ms = reader.newest_ms()
            self._opened = reader.size()
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
            number = numbers[channel.source] = numbers.get(channel.source, -1) + 1
            self._wiring.append((channel.source, number))
            if channel.source.startswith("bus/") and channel.source not in self._buses:
                bus = polls.BusIngest(
                    self.journal.source(channel.source), self._boot, self._lanes[channel.source]
                )
                bus.describe(replay.numbered(self._channels, channel.source))
                self._buses[channel.source] = bus
        self._journaled()

    async def begin(self) -> None:
        """Write down this start, with the configuration. Durable when this returns."""
        moment = self._now()
        data = polls.configuration(self._boot, self._settings, self._channels)
        await self.journal.commit(entries=[self._entry(CONFIGURATION, data, moment)], now_ms=moment.now_ms)

    async def run(self) -> None:
        """Close windows as they become due, until cancelled. JournalError when the journal has stopped for
        good: nothing that goes on from there would be true.
        """
        while True:
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

            def done(job: Job, lane: Lane = ingest.lane, taken: list[int] = taken) -> None:
                if job.error is None:
                    self._journaled_of(lane, taken)

            drafts = self._told(self._raw.polled, source, entries, part) if self._raw else ()
            self.journal.submit(
                entries,
                drafts=drafts,
                now_ms=moment.now_ms,
                done=done,
                patience_s=self._real_s(POLL_PATIENCE_S),
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
            self._submit_windows(self.windows.close(start_ms), self.journal.submitted, moment)
            await asyncio.sleep(0)
        if late := self.windows.late_due(self._now().mono_s, LATE_PER_TICK):
            await self.journal.commit()  # so that what made them late is on disk
        for window in late:
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

    def _submit_windows(self, rows: list[Window], through: int, moment: Moment) -> Job:
        windows = [(row, self._entry(WINDOW, body(row, through), moment)) for row in rows]
        events = [self._entry(EVENT, data, moment) for data in self._events(rows)]
        drafts = list(self._documents(rows))
        return self.journal.submit(events, windows=windows, drafts=drafts, now_ms=moment.now_ms)

    async def _revise(self, late) -> None:
        """A closed window got readings: compute it from the journal, and keep the result as a new
        revision.
        """
        scratch = self.windows.scratch(late.start_ms)
        found = await self.journal.read(replay.recompute, scratch, late.start_ms)
        if found is None:
            log.warning("a window stays as it is: its readings were pruned", start_ms=late.start_ms)
            return  # what came late stays counted as late
        fresh, stored, through = found
        changed = self.windows.revised(fresh, stored)
        if changed:
            self._submit_windows(changed, through, self._now())
            log.info("window revised", start_ms=late.start_ms, symbols=[w.symbol for w in changed])
        late.settled()

    def _entry(self, kind: int, data: bytes, moment: Moment) -> Entry:
        source = self.journal.source(GATEWAY)
        return Entry(kind, source, 0, 0, 0, moment.now_ms, moment.mono_ns // 1_000_000, None, None, data)

    def newest(self, symbol: str) -> Newest | None:
        """A channel's newest reading."""
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
