"""One source of readings, a device or a bus: where its channel numbers lead, and its readings into windows.

Rule 1: add() is the gateway's hot path. Readings that are all good, in the open window that most fall into,
        are only kept; they are taken together before anybody looks (_flush): what comes out is the same as
        reading by reading.
Rule 2: a mean of n readings (SUMMARY) counts as n readings of its quality.

Times are Unix milliseconds of station time; `mono_s` are seconds of a clock that never steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from struct import pack, unpack
from typing import TYPE_CHECKING

from gateway.accumulate import VALUE_MAX, Channel, ChannelState, Newest
from protocol import quality as q
from protocol.calibration import check, engineering
from protocol.errors import ConfigError
from protocol.messages import Now, Readings, Summary

if TYPE_CHECKING:
    from gateway.windows import Windows

LIVELY_S = 10.0
"""A source heard of within so many seconds is alive; when it lags it is delivering a backlog."""
BACK_MS = 60 * 86_400_000
"""Readings older than this (60 days, what a logger must keep) have a wrong clock: they belong to no
window.
"""
FUTURE_MS = 120_000
"""Readings further ahead of the gateway's clock than this have a wrong clock: they belong to no window."""
SETTLE_READINGS = 4096
"""Readings kept in a lane before they are taken (some 400 KiB)."""
TABLES_MAX = 1024
"""Boots whose channel tables are kept of one source; those that are equal to the one before share it."""
CHANNELS_MAX = 256
"""Channel numbers on the wire are 0 to 255."""

_Kept = tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Of a frame: its earliest time, and of its rows the channels, raw bits and calibration ids."""
_Target = tuple[list[float], float, float, Sequence]
"""Where values of one channel under one calibration go, which of them are plausible, the points."""
_Placed = tuple[int, int] | tuple[None, None]  # first and last ms of what could be placed in time


class Lane:
    """One source. describe() and place() tell it what a boot's channel numbers and ticks mean, add() takes
    readings.
    """

    def __init__(self, name: str, states: Sequence[ChannelState], windows: Windows):
        self.name = name
        self.states = states
        self.progress = -1  # newest credible reading time
        self.heard_s = float("-inf")  # when readings last arrived
        self._unrouted = 0
        self.tables: dict[int, list[tuple]] = {}  # boot -> (quantity, interval_ms, calibration, points), ...
        self.configurations: dict[bytes, list[tuple]] = {}  # hash -> table: see ingest/tables.py
        self.points: dict[tuple[str, int], Sequence] = {}  # (quantity, calibration id) -> points
        self.placements: dict[int, int] = {}  # boot -> what to add to its ticks
        self.told = 0  # how often what numbers mean became another
        self.untold: set[int] = set()  # boots with records that were journaled before their place was known
        self._placed: set[int] = set()  # boots whose placement has been used
        self._windows = windows
        self._hold_from_s: float | None = None
        self._hold_progress = -1
        self._boot = -1
        self._routes: list[tuple[ChannelState, ...]] = []  # by channel number, of self._boot
        self._names: list[str] = []
        self._calibrations: list[int] = []  # by channel number, as its table has them
        self._low_ms = self._high_ms = 0  # the window that self._fast leads to
        self._fast: dict[tuple[int, int], _Target] = {}  # by channel number and calibration id
        self._kept: list[_Kept] = []  # frames of that window that are still to be taken
        self._unsettled = 0

    def scratch(self, windows: Windows, states: Sequence[ChannelState]) -> Lane:
        """A lane that reads the same tables, for other windows."""
        lane = Lane(self.name, states, windows)
        lane.tables, lane.points = dict(self.tables), dict(self.points)
        lane.placements = dict(self.placements)
        return lane

    # What its numbers mean ----------------------------------------------------------------------------------

    def describe(self, boot: int, rows: Iterable[tuple]) -> None:
        """The channel table of a boot: rows of (quantity, interval_ms, calibration id, points)."""
        self._flush()
        table = [tuple(row) for row in rows]
        before, points_before = self.table_of(boot), dict(self.points)
        self.tables[boot] = before if before == table else table
        while len(self.tables) > TABLES_MAX:
            del self.tables[min(self.tables)]
        for quantity, _, calibration, points in table:
            try:
                check(points)
                self.points[quantity, calibration] = points
            except ConfigError:  # as one that nobody told us: FAULT, see _one()
                self.points.pop((quantity, calibration), None)
        self.told += before != table or points_before != self.points
        if boot >= max(self.tables):
            intervals = {quantity: interval_ms for quantity, interval_ms, _, _ in table}
            for state in self.states:
                state.interval_ms = state.channel.interval_ms or intervals.get(state.channel.quantity, 0)
        self._boot = -1
        self._aim_nowhere()

    def corrected(self, quantity: str, calibration: int, points: Sequence) -> None:
        """What readings of this quantity that name this calibration are led over (ingest/corrections.py)."""
        self._flush()
        self.points[quantity, calibration] = points
        self.told += 1
        self._aim_nowhere()

    def points_now(self) -> dict[str, Sequence]:
        """What the newest boot's readings are led over, by quantity, without those taken as they are."""
        table = self.table_of(max(self.tables, default=0))
        return {name: points for name, _, calibration, points in table if calibration and points}

    def place(self, boot: int, offset_ms: int) -> bool:
        """What to add to a boot's ticks to get station time; whether it is news.

        A delay on the way only ever makes the offset larger: the smallest one said before the boot's first
        reading counts, and from then on it stays.
        """
        if boot in self._placed or offset_ms >= self.placements.get(boot, 1 << 62):
            return False
        self.placements[boot] = offset_ms
        self.told += 1
        return True

    def _enter(self, boot: int) -> None:
        """Look channel numbers up for `boot` from here on (its own table, else the newest before it)."""
        self._flush()
        self._boot = boot
        table = self.table_of(boot)
        self._names, self._calibrations = [row[0] for row in table], [row[2] for row in table]
        by_name: dict[str, list[ChannelState]] = {}
        for state in self.states:
            by_name.setdefault(state.channel.quantity, []).append(state)
        self._routes = [tuple(by_name.get(name, ())) for name in self._names]
        self._aim_nowhere()

    # Readings -----------------------------------------------------------------------------------------------

    def add(self, readings: Readings, now_ms: int, mono_s: float) -> _Placed:
        """Take the readings of one frame. Returns the earliest and latest time in it that could be placed."""
        boot, _, base_ms, clock, rows = readings
        if boot != self._boot:
            self._enter(boot)
        self.heard_s = mono_s
        channels, offsets, raws, qualities, calibrations = zip(*rows, strict=True)
        if clock == 0:
            if boot not in self.placements:
                for channel in channels:
                    self._unplaced(channel)
                return None, None
            base_ms += self.placements[boot]
            self._placed.add(boot)
        first_ms, last_ms = base_ms + min(offsets), base_ms + max(offsets)
        latest_ms = now_ms + FUTURE_MS
        if last_ms > latest_ms or first_ms < now_ms - BACK_MS:
            return self._add_doubtful(base_ms, rows, now_ms - BACK_MS, latest_ms)
        if not self._low_ms <= first_ms < self._high_ms:
            self._aim(first_ms)
        if self._low_ms <= first_ms and last_ms < self._high_ms and not any(qualities):
            self._kept.append((first_ms, channels, raws, calibrations))
            self._unsettled += len(rows)
            if self._unsettled > SETTLE_READINGS:
                self._settle()
        else:
            self._flush()
            for channel, offset, raw, quality, calibration in rows:
                value = None if raw is None else unpack("<f", pack("<I", raw))[0]
                self._one(channel, base_ms + offset, value, quality, calibration)
        if last_ms > self.progress:
            self.progress = last_ms
        return first_ms, last_ms

    def _flush(self) -> None:
        """Take what was kept (rule 1)."""
        if not self._kept:
            return
        kept, self._kept = self._kept, []
        if self._taken_together(kept):
            return
        for frame in kept:
            if not self._taken_together([frame]):
                first_ms, channels, raws, calibrations = frame
                for channel, value, calibration in zip(channels, _floats(raws), calibrations, strict=True):
                    self._one(channel, first_ms, value, q.OK, calibration)

    def _taken_together(self, frames: Sequence[_Kept]) -> bool:
        """Take the readings of these frames at once; False, and none is taken, where one has to be looked at
        by itself: not plausible, or of a channel or calibration that the fast path does not lead anywhere.
        """
        taken = []
        indicated = _indicated(frames)
        for number, those in indicated.items():
            if number not in self._fast:
                return False
            fresh, low, high, points = self._fast[number]
            found = _engineered(those, points)
            total = sum(found)  # a NaN is neither the smallest nor the largest, but it stays in a sum
            if not (low <= min(found) and max(found) <= high and total == total):
                return False
            taken.append((fresh, found))
        for fresh, found in taken:
            fresh += found
        return True

    def _one(self, channel: int, time_ms: int, value: float | None, quality: int, calibration: int) -> None:
        """Take one reading, whatever it is; `value` as the instrument indicated it."""
        if channel >= len(self._routes) or not self._routes[channel]:
            self._unrouted += 1
            return
        points = self.points.get((self._names[channel], calibration), None if calibration else ())
        if value is not None and points:
            value = engineering(value, points)
        elif points is None and quality == q.OK:
            quality = q.FAULT  # see judged()
        for state in self._routes[channel]:
            cell = self._windows.cell(state, time_ms)
            if cell is None:
                continue
            found = quality
            if value is not None and not -VALUE_MAX <= value <= VALUE_MAX:
                cell.not_ok(q.FAULT if found == q.OK else found, None)
                state.read += 1
                continue
            if found == q.OK and value is not None and not state.channel.low <= value <= state.channel.high:
                found = q.OUT_OF_RANGE
            if found == q.OK and value is not None:
                cell.take(time_ms, value)
            else:
                cell.not_ok(found, value)
            state.read += 1
            if not cell.timed or state.newest is None or time_ms >= state.newest.time_ms:
                state.newest, state.valid_then = Newest(time_ms, value, found), cell.valid()

    def _add_doubtful(self, base_ms: int, rows: Sequence[tuple], oldest_ms: int, latest_ms: int):
        """As add(), for a frame in which some times are not credible."""
        self._flush()
        placed = []
        for channel, offset, raw, quality, calibration in rows:
            if oldest_ms <= base_ms + offset <= latest_ms:
                value = None if raw is None else unpack("<f", pack("<I", raw))[0]
                self._one(channel, base_ms + offset, value, quality, calibration)
                placed.append(base_ms + offset)
            else:
                self._unplaced(channel)
        if not placed:
            return None, None
        self.progress = max(self.progress, *placed)
        return min(placed), max(placed)

    def _unplaced(self, channel: int, count: int = 1) -> None:
        if channel >= len(self._routes) or not self._routes[channel]:
            self._unrouted += count
            return
        for state in self._routes[channel]:
            state.unplaced += count
            state.read += count

    def not_counted(self, message: Readings | Summary) -> None:
        """Take back that these readings were counted as unplaced: they are about to be added again."""
        if message.boot != self._boot:
            self._enter(message.boot)
        for row in message.rows:
            self._unplaced(row[0], -row[4] if isinstance(message, Summary) else -1)

    def add_summary(self, summary: Summary, now_ms: int, mono_s: float) -> _Placed:
        """As add(), for means: the first and the last ms of the span."""
        self._flush()
        boot, _, end_ms, clock, span_ms, rows = summary
        if boot != self._boot:
            self._enter(boot)
        self.heard_s = mono_s
        placed = clock != 0 or boot in self.placements
        if clock == 0 and placed:
            end_ms += self.placements[boot]
            self._placed.add(boot)
        if not placed or end_ms - span_ms < now_ms - BACK_MS or end_ms > now_ms + FUTURE_MS:
            for row in rows:
                self._unplaced(row[0], row[4])
            return None, None
        for row in rows:
            self._mean(row, end_ms - (span_ms + 1) // 2, end_ms - 1)
        self.progress = max(self.progress, end_ms - 1)
        return end_ms - span_ms, end_ms - 1

    def _mean(self, row: tuple, at_ms: int, last_ms: int) -> None:
        """Take one row of a summary into the window of `at_ms`.

        Calibration is straight between its points: minimum and maximum change places where it falls, and the
        mean of what it gives is what it gives for the mean. Across a bend that is not so, and off by less
        than the bend between the row's minimum and maximum. The readings are gone: nothing better is left.
        All three must be plausible: a mean that a reading out of range went into is no good value.
        """
        channel, *bits, count, quality, calibration = row
        if channel >= len(self._routes) or not self._routes[channel]:
            self._unrouted += count
            return
        for state in self._routes[channel]:
            cell = self._windows.cell(state, at_ms, count)
            if cell is None:
                continue
            cell.thinned = True
            found, values = self.judged(state.channel, self._names[channel], bits, quality, calibration)
            mean = values[0] if values else None
            if found == q.OK and mean is not None:
                state.read += cell.mean(mean, min(values[1:]), max(values[1:]), count, at_ms)
            else:
                cell.not_ok(found, mean, count)
            state.read += count
            state.newest, state.valid_then = Newest(last_ms, mean, found), cell.valid()

    def judged(
        self, channel: Channel, name: str, raws: Sequence[int | None], quality: int, calibration: int
    ) -> tuple[int, list[float]]:
        """Quality and engineering values of a reading, or of a mean, its minimum and its maximum."""
        points = self.points.get((name, calibration), None if calibration else ())
        if points is None and quality == q.OK:
            quality = q.FAULT  # measured under a calibration that nobody told us: not a number to average
        floats = [unpack("<f", pack("<I", raw))[0] for raw in raws if raw is not None]
        values = [engineering(value, points or ()) for value in floats]
        if not all([-VALUE_MAX <= value <= VALUE_MAX for value in values]):  # a NaN is no number either
            return q.FAULT if quality == q.OK else quality, []
        if quality == q.OK and not all([channel.low <= value <= channel.high for value in values]):
            quality = q.OUT_OF_RANGE
        return quality, values

    def show(self, now: Now, boot: int, now_ms: int) -> bool:
        """Keep what a device tells ahead of its backlog, for people only. Returns whether any of it is new.

        Never newer than this moment, whatever the device's clock says: it would hide the readings to come.
        """
        base_ms = now.base_ms
        if now.clock == 0:
            if boot not in self.placements:
                return False
            base_ms += self.placements[boot]
        names = [row[0] for row in self.table_of(boot)]
        news = False
        for channel, offset_ms, raw, quality, calibration in now.rows:
            time_ms = base_ms + offset_ms
            if channel >= len(names) or not now_ms - BACK_MS <= time_ms <= now_ms + FUTURE_MS:
                continue
            time_ms = min(time_ms, now_ms)
            for state in self.states:
                if state.channel.quantity != names[channel]:
                    continue
                if state.shown is None or time_ms > state.shown.time_ms:
                    found, values = self.judged(state.channel, names[channel], [raw], quality, calibration)
                    state.shown = Newest(time_ms, values[0] if values else None, found)
                    news = True
        return news

    # The window that most readings fall into ----------------------------------------------------------------

    def _aim(self, time_ms: int) -> None:
        """Lead the fast path to the window of `time_ms`, if that is an open one."""
        self._leave()
        start_ms = self._windows.open_start(time_ms)
        if start_ms is None:
            self._aim_nowhere()
            return
        self._low_ms, self._high_ms = start_ms, start_ms + self._windows.settings.length_ms
        self._fast = {}
        for number, (name, states) in enumerate(zip(self._names, self._routes, strict=True)):
            if len(states) == 1:
                cell = self._windows.cell(states[0], start_ms)
                assert cell is not None
                channel, identity = states[0].channel, self._calibrations[number]
                points = self.points.get((name, identity), None if identity else ())
                if points is not None and not cell.timed:  # without points FAULT: see _one()
                    low, high = max(channel.low, -VALUE_MAX), min(channel.high, VALUE_MAX)
                    self._fast[number, identity] = (cell.fresh, low, high, points)

    def _aim_nowhere(self) -> None:
        self._leave()
        self._low_ms = self._high_ms = 0
        self._fast = {}

    def closing(self, start_ms: int) -> None:
        """The window is about to be closed: its cells will be gone."""
        if start_ms == self._low_ms:
            self._aim_nowhere()

    def _leave(self) -> None:
        """The window that the fast path led to may be open for long: no more than its sums is kept of it."""
        self._settle()
        for state in self.states:
            cell = state.cells.get(self._low_ms)
            if cell is not None:
                cell.add_up()

    def _settle(self) -> None:
        self._flush()
        self._unsettled = 0
        for state in self.states:
            cell = state.cells.get(self._low_ms)
            if cell is not None:
                state.read += cell.settle()

    # Its part in the closing of windows ---------------------------------------------------------------------

    def worth_waiting(self, end_ms: int, mono_s: float, hold_max_s: float) -> bool:
        """Whether it is delivering readings from before `end_ms` just now, within the bound."""
        if mono_s - self.heard_s > LIVELY_S:
            self._hold_from_s = None
            return False
        if self._hold_from_s is None or self._gains(mono_s - self._hold_from_s):
            self._hold_from_s, self._hold_progress = mono_s, self.progress
        return mono_s - self._hold_from_s <= hold_max_s

    def _gains(self, held_s: float) -> bool:
        """Whether its backlog has become shorter while it was waited for, a minute at the least."""
        return held_s >= 60 and self.progress - self._hold_progress > held_s * 1000

    def keeps_up(self) -> None:
        """It is not waited for: the next wait has its whole bound again."""
        self._hold_from_s = None

    def newest(self, state: ChannelState, now_ms: int) -> Newest | None:
        """The newest reading of one of its channels: the later one of what was taken and what was shown."""
        self._flush()
        taken, shown = self._newest(state), state.shown
        if shown is None or shown.time_ms > now_ms:  # our clock was set back since
            return taken
        return shown if taken is None or shown.time_ms > taken.time_ms else taken

    def _newest(self, state: ChannelState) -> Newest | None:
        """The newest one taken (the time of one that went the fast way is the lane's own)."""
        start_ms = max(state.cells, default=0)
        cell = state.cells.get(start_ms)
        told = state.newest
        if cell is None or not cell.valid():
            return told or (
                None if (last := state.carried.last) is None else Newest(self.progress, last, q.OK)
            )
        if cell.timed and told is not None:
            return told
        if told is not None and told.time_ms >= start_ms and cell.valid() <= state.valid_then:
            return told
        return Newest(self.progress, cell.fresh[-1] if cell.fresh else cell.last, q.OK)

    def table_of(self, boot: int) -> list[tuple]:
        """The channel table that holds for a boot: its own, else the newest before it, else any."""
        known = [b for b in self.tables if b <= boot] or list(self.tables)
        return self.tables[max(known)] if known else []

    @property
    def unrouted(self) -> int:
        """Readings so far of channels that are not configured here."""
        self._flush()
        return self._unrouted

    def read_now(self) -> list[int]:
        """Readings taken so far, by state: what is journaled once everything taken until now is."""
        self._flush()
        counts = []
        for state in self.states:
            cell = state.cells.get(self._low_ms)
            counts.append(state.read + (len(cell.fresh) - cell.counted if cell is not None else 0))
        return counts


def _indicated(frames: Sequence[_Kept]) -> Mapping[tuple[int, int], Sequence[float]]:
    """(channel, calibration) -> what was indicated, in the order in which it came."""
    _, channels, raws, calibrations = zip(*frames, strict=True)
    values = _floats(tuple(chain.from_iterable(raws)))
    count, first, under = len(frames), channels[0], calibrations[0]
    if channels.count(first) == calibrations.count(under) == count and len(set(first)) == len(first):
        return {number: values[k :: len(first)] for k, number in enumerate(zip(first, under, strict=True))}
    found: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    numbers = zip(chain.from_iterable(channels), chain.from_iterable(calibrations), strict=True)
    for number, value in zip(numbers, values, strict=True):
        found[number].append(value)
    return found


def _floats(bits: Sequence[int]) -> tuple[float, ...]:
    return unpack(f"<{len(bits)}f", pack(f"<{len(bits)}I", *bits))


def _engineered(indicated: Sequence[float], points: Sequence) -> Sequence[float]:
    """protocol.calibration.engineering() of each: what almost every instrument has, two points, without a
    call for each reading.
    """
    if not points:
        return indicated
    if len(points) != 2:
        return [engineering(value, points) for value in indicated]
    (low, at_low), (high, at_high) = points
    slope = (at_high - at_low) / (high - low)
    return [
        at_high + (value - high) * slope if value >= high else at_low + (value - low) * slope
        for value in indicated
    ]
