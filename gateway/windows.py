"""Readings in, windows out: the 5-minute averages on the GMT+7 grid. Pure: no clock, no disk, no loop.

Rule 1: a window holds the readings with start <= time < end. It is closed once, in the order of time.
Rule 2: it closes when every source has gone past its end, or after the grace; a dead source never blocks it,
        and a source that is just delivering what it kept through an outage is waited for, within a bound.
Rule 3: a reading for a closed window makes a new revision, computed from the journal by this same code
        (scratch()); the old row stays.
Rule 4: the result is a function of the readings in the order of the journal, and of nothing else.
Rule 5: the mean of n readings (SUMMARY) counts as n readings of its quality, in the window that holds the
        middle of its span. A device cuts spans at the minutes of Unix time, so none straddles a window's
        edge, but for those of a device that did not know the time yet.

Times are Unix milliseconds of station time; `mono_s` are seconds of a clock that never steps.
A Lane is one source (a device, a bus): it knows where its channel numbers lead. Its add() is the hot path.
What a channel is and adds up to stands in accumulate.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import pack, unpack
from typing import Any, NamedTuple

from gateway.accumulate import VALUE_MAX, Cell, Channel, ChannelState, Newest, Outcome
from protocol import cbor
from protocol import quality as q
from protocol.calibration import check, engineering
from protocol.errors import ConfigError
from protocol.messages import Now, Readings, Summary

START_GRACE_S = 30.0
"""After the gateway's start no window closes by its grace alone for so long: devices reconnect within
seconds.
"""
BACK_GRACE_S = 600.0
"""... and no window of the time before the start without a source that was not heard of since: a device's own
start, its radio, its port may take minutes. Below the 15 minutes after which a receiver shows it offline."""
LIVELY_S = 10.0
"""A source heard of within so many seconds is alive; when it lags it is delivering a backlog."""
HOLD_MAX_S = 3600.0
"""How long windows wait for one source's backlog before they close without it."""
BACK_MS = 60 * 86_400_000
"""Readings older than this (60 days, what a logger must keep) have a wrong clock: they belong to no
window.
"""
FUTURE_MS = 120_000
"""Readings further ahead of the gateway's clock than this have a wrong clock: they belong to no window."""
EMPTY_MS = 7 * 86_400_000
"""Windows of a gateway that was off are made up to so far back; beyond that the gap is one event."""
OPEN_CELLS_MAX = 16_384
"""Channels times windows open at once (some 8 MiB): beyond it the oldest window closes, counted as forced."""
SETTLE_READINGS = 4096
"""Values kept one by one in a lane before they are added up (some 100 KiB)."""
LATE_QUIET_S = 1.0
"""A closed window that got late readings is computed again once none came for so long."""
LATE_MAX_S = 30.0
"""... or so long after the first of them, if they keep coming."""
TABLES_MAX = 1024
"""Boots whose channel tables are kept of one source; those that are equal to the one before share it."""
CHANNELS_MAX = 256
"""Channel numbers on the wire are 0 to 255."""

LATE = "late data"
"""Reason of a revision."""
THINNED = "holds means of thinned readings"
"""Reason of a window in which a device's means stand for readings; of a revision, behind LATE."""
OFF = "nothing was running"
"""Reason of a window from before the gateway's start that no source has a reading for (decisions/0004)."""


class Window(NamedTuple):
    """One channel's average over one window, as it is journaled and sent. `count` is the valid readings."""

    symbol: str
    unit: str
    start_ms: int
    end_ms: int
    revision: int
    value: float | None  # None where no value was ever known
    quality: int
    status: str
    count: int  # pyright: ignore[reportIncompatibleMethodOverride] - the contract's word
    expected: int
    valid_share: float
    minimum: float | None
    maximum: float | None
    reason: str
    last: float | None = None  # the channel's last valid value up to the window's end


def body(window: Window, through: int) -> bytes:
    """The journal entry of a window: computed from the journal's first `through` entries."""
    return cbor.dumps([*window, through])


def parse_body(data: bytes) -> tuple[Window, int]:
    """The inverse of body(). Raises CodecError."""
    found: Any = cbor.loads(data)
    *fields, through = found
    return Window._make(fields), through


class Settings(NamedTuple):
    """The grid and the patience. A journal keeps them: add fields at the end, with a default."""

    length_ms: int = 300_000
    offset_ms: int = 7 * 3_600_000
    valid_share_min: float = 0.75
    grace_ms: int = 120_000
    start_grace_s: float = START_GRACE_S
    back_grace_s: float = BACK_GRACE_S
    hold_max_s: float = HOLD_MAX_S
    label: str = "end"  # which end of a window its stamp names


class _LateWindow:
    """A closed window that got readings: how many of which channel, and when they came."""

    def __init__(self, start_ms: int, mono_s: float):
        self.start_ms = start_ms
        self.first_s = self.newest_s = mono_s
        self.counts: dict[ChannelState, int] = {}

    def settled(self) -> None:
        """They are in a revision now."""
        for state, count in self.counts.items():
            state.late -= count
            state.windowed += count


_Target = tuple[object, int, float, float, Sequence]
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
        self.unrouted = 0  # readings of channels that are not configured here
        self.tables: dict[int, list[tuple]] = {}  # boot -> (quantity, interval_ms, calibration, points), ...
        self.configurations: dict[bytes, list[tuple]] = {}  # hash -> table: see ingest/tables.py
        self.points: dict[tuple[str, int], Sequence] = {}  # (quantity, calibration id) -> points
        self.placements: dict[int, int] = {}  # boot -> what to add to its ticks
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
        self._fast: list[_Target] = [_NOWHERE] * CHANNELS_MAX
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
        table = [tuple(row) for row in rows]
        before = self.table_of(boot)
        self.tables[boot] = before if before == table else table
        while len(self.tables) > TABLES_MAX:
            del self.tables[min(self.tables)]
        for quantity, _, calibration, points in table:
            try:
                check(points)
                self.points[quantity, calibration] = points
            except ConfigError:  # as one that nobody told us: FAULT, see _one()
                self.points.pop((quantity, calibration), None)
        if boot >= max(self.tables):
            intervals = {quantity: interval_ms for quantity, interval_ms, _, _ in table}
            for state in self.states:
                state.interval_ms = state.channel.interval_ms or intervals.get(state.channel.quantity, 0)
        self._boot = -1
        self._aim_nowhere()

    def place(self, boot: int, offset_ms: int) -> bool:
        """What to add to a boot's ticks to get station time; whether it is news.

        A delay on the way only ever makes the offset larger: the smallest one said before the boot's first
        reading counts, and from then on it stays.
        """
        if boot in self._placed or offset_ms >= self.placements.get(boot, 1 << 62):
            return False
        self.placements[boot] = offset_ms
        return True

    def _enter(self, boot: int) -> None:
        """Look channel numbers up for `boot` from here on (its own table, else the newest before it)."""
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
            values = unpack(f"<{len(raws)}f", pack(f"<{len(raws)}I", *raws))
            fast = self._fast
            for channel, value, calibration in zip(channels, values, calibrations, strict=True):
                append, identity, low, high, points = fast[channel]
                found = engineering(value, points) if points else value
                if calibration == identity and low <= found <= high:
                    append(found)
                else:
                    self._one(channel, first_ms, value, 0, calibration)
            self._unsettled += len(rows)
            if self._unsettled > SETTLE_READINGS:
                self._settle()
        else:
            for channel, offset, raw, quality, calibration in rows:
                value = None if raw is None else unpack("<f", pack("<I", raw))[0]
                self._one(channel, base_ms + offset, value, quality, calibration)
        if last_ms > self.progress:
            self.progress = last_ms
        return first_ms, last_ms

    def _one(self, channel: int, time_ms: int, value: float | None, quality: int, calibration: int) -> None:
        """Take one reading, whatever it is; `value` as the instrument indicated it."""
        if channel >= len(self._routes) or not self._routes[channel]:
            self.unrouted += 1
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
                cell.fresh.append(value)
                cell.counted += 1
            else:
                cell.not_ok(found, value)
            state.read += 1
            state.newest, state.valid_then = Newest(time_ms, value, found), cell.valid()

    def _add_doubtful(self, base_ms: int, rows: Sequence[tuple], oldest_ms: int, latest_ms: int):
        """As add(), for a frame in which some times are not credible."""
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
            self.unrouted += count
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
        """As add(), for means: the first and the last ms of the span (rule 5)."""
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
            self.unrouted += count
            return
        for state in self._routes[channel]:
            cell = self._windows.cell(state, at_ms, count)
            if cell is None:
                continue
            cell.thinned = True
            found, values = self.judged(state.channel, self._names[channel], bits, quality, calibration)
            mean = values[0] if values else None
            if found == q.OK and mean is not None:
                state.read += cell.mean(mean, min(values[1:]), max(values[1:]), count)
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
        self._settle()
        start_ms = self._windows.open_start(time_ms)
        if start_ms is None:
            self._aim_nowhere()
            return
        self._low_ms, self._high_ms = start_ms, start_ms + self._windows.settings.length_ms
        self._fast = [_NOWHERE] * CHANNELS_MAX
        for number, (name, states) in enumerate(zip(self._names, self._routes, strict=True)):
            if len(states) == 1:
                cell = self._windows.cell(states[0], start_ms)
                assert cell is not None
                channel, identity = states[0].channel, self._calibrations[number]
                points = self.points.get((name, identity), None if identity else ())
                if points is not None:  # else FAULT: see _one()
                    low, high = max(channel.low, -VALUE_MAX), min(channel.high, VALUE_MAX)
                    self._fast[number] = (cell.fresh.append, identity, low, high, points)

    def _aim_nowhere(self) -> None:
        self._settle()
        self._low_ms = self._high_ms = 0
        self._fast = [_NOWHERE] * CHANNELS_MAX

    def closed(self, start_ms: int) -> None:
        """The window was closed: its cells are gone."""
        if start_ms == self._low_ms:
            self._aim_nowhere()

    def _settle(self) -> None:
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
            return told or (None if state.carried is None else Newest(self.progress, state.carried, q.OK))
        if told is not None and told.time_ms >= start_ms and cell.valid() <= state.valid_then:
            return told
        return Newest(self.progress, cell.fresh[-1] if cell.fresh else cell.last, q.OK)

    def table_of(self, boot: int) -> list[tuple]:
        """The channel table that holds for a boot: its own, else the newest before it, else any."""
        known = [b for b in self.tables if b <= boot] or list(self.tables)
        return self.tables[max(known)] if known else []

    def read_now(self) -> list[int]:
        """Readings taken so far, by state: what is journaled once everything taken until now is."""
        counts = []
        for state in self.states:
            cell = state.cells.get(self._low_ms)
            counts.append(state.read + (len(cell.fresh) - cell.counted if cell is not None else 0))
        return counts


def _nowhere(value: float) -> None:
    raise AssertionError("never called: no calibration id is -1")


_NOWHERE: _Target = (_nowhere, -1, 0.0, 0.0, ())


class Windows:
    """All channels of a station on one grid.

    `next_ms` is the start of the oldest window that is not closed; None before the first reading of a new
    journal.
    """

    def __init__(
        self, channels: Sequence[Channel], settings: Settings, mono_s: float = 0.0, now_ms: int = -(1 << 62)
    ):
        self.settings = settings
        self.states = [ChannelState(channel) for channel in channels]
        names = dict.fromkeys(channel.source for channel in channels)
        self.lanes = {
            name: Lane(name, [s for s in self.states if s.channel.source == name], self) for name in names
        }
        self.next_ms: int | None = None
        self.ceiling_ms = 1 << 62  # readings from here on are left out (scratch only)
        self.replaying = False  # readings of closed windows are left out, as they are in their rows already
        self.forced = 0  # windows closed early because too many were open
        self.closed = 0  # windows closed
        self._started_s = mono_s
        self._started_ms = now_ms
        self._virgin = True  # nothing was ever closed: the first window may still move back
        self._open_cells = 0
        self._late: dict[int, _LateWindow] = {}  # by start

    def resume(self, next_ms: int, newest: dict[str, Window]) -> None:
        """Go on behind the windows of the journal; `newest` is the last one of each symbol."""
        self.next_ms = next_ms
        self._virgin = False
        for state in self.states:
            window = newest.get(state.channel.symbol)
            state.carried = window.last if window is not None else None

    def start_of(self, time_ms: int) -> int:
        """Start of the window that holds `time_ms`."""
        return time_ms - (time_ms + self.settings.offset_ms) % self.settings.length_ms

    # For the lanes ------------------------------------------------------------------------------------------

    def open_start(self, time_ms: int) -> int | None:
        """Start of the open window of `time_ms`; None when it is closed."""
        start_ms = self.start_of(time_ms)
        if self.next_ms is None or (self._virgin and start_ms < self.next_ms):
            self.next_ms = start_ms
        return start_ms if self.next_ms <= start_ms < self.ceiling_ms else None

    def cell(self, state: ChannelState, time_ms: int, count: int = 1) -> Cell | None:
        """Where a reading (or `count` of them) goes; None, counted, when its window is closed."""
        start_ms = self.open_start(time_ms)
        if start_ms is None:
            if not self.replaying:
                state.late += count
                state.read += count
                self._touch(self.start_of(time_ms), state, count)
            return None
        cell = state.cells.get(start_ms)
        if cell is None:
            cell = state.cells[start_ms] = Cell()
            self._open_cells += 1
        return cell

    def _touch(self, start_ms: int, state: ChannelState, count: int) -> None:
        mono_s = self.lanes[state.channel.source].heard_s
        late = self._late.get(start_ms)
        if late is None:
            late = self._late[start_ms] = _LateWindow(start_ms, mono_s)
        late.newest_s = mono_s
        late.counts[state] = late.counts.get(state, 0) + count

    # Closing ------------------------------------------------------------------------------------------------

    def due(self, now_ms: int, mono_s: float) -> int | None:
        """Start of the window to be closed now, if one is."""
        if self.next_ms is None or not self.lanes:
            return None
        end_ms = self.next_ms + self.settings.length_ms
        lagging = []
        for lane in self.lanes.values():
            if lane.progress < end_ms:
                lagging.append(lane)
            else:
                lane.keeps_up()
        if not lagging:
            return self.next_ms
        if self._open_cells > OPEN_CELLS_MAX:
            self.forced += 1
            return self.next_ms
        since_start_s = mono_s - self._started_s
        if now_ms < end_ms + self.settings.grace_ms or since_start_s < self.settings.start_grace_s:
            return None
        was_off = end_ms <= self._started_ms and since_start_s < self.settings.back_grace_s
        if was_off and any(lane.heard_s == float("-inf") for lane in lagging):
            return None  # somebody may still hold its readings
        if any([lane.worth_waiting(end_ms, mono_s, self.settings.hold_max_s) for lane in lagging]):
            return None
        return self.next_ms

    def close(self, start_ms: int, revision: int = 1, reason: str = "") -> list[Window]:
        """Close the window and return its rows, in the order of the channels."""
        rows = []
        if start_ms + self.settings.length_ms <= self._started_ms and not self._holds_readings(start_ms):
            reason = OFF
        for state in self.states:
            cell = state.cells.pop(start_ms, None)
            if cell is None:
                cell = Cell()
            else:
                self._open_cells -= 1
                state.read += cell.settle()
            state.windowed += cell.count()
            expected = state.expects(self.settings.length_ms)
            outcome = cell.outcome(expected, self.settings.valid_share_min, state.carried)
            state.carried = outcome.last
            why = THINNED if cell.thinned else reason
            rows.append(_window(state.channel, start_ms, self.settings.length_ms, revision, why, outcome))
        for lane in self.lanes.values():
            lane.closed(start_ms)
        self.next_ms = start_ms + self.settings.length_ms
        self._virgin = False
        self.closed += 1
        return rows

    def _holds_readings(self, start_ms: int) -> bool:
        return any(start_ms in state.cells for state in self.states)

    def skip(self, now_ms: int) -> tuple[int, int] | None:
        """Leave out windows from next_ms on that are empty and too old to be made. Returns (from, to), if
        any.

        For when the window is due: by then whoever had readings for it has had the time to bring them.
        """
        if self.next_ms is None:
            return None
        start_ms = self.start_of(now_ms - EMPTY_MS)
        filled = [start for state in self.states for start in state.cells]
        start_ms = min([start_ms, *filled])
        if start_ms <= self.next_ms:
            return None
        skipped = (self.next_ms, start_ms)
        self.next_ms = start_ms
        return skipped

    # Late readings ------------------------------------------------------------------------------------------

    def late_due(self, mono_s: float, most: int = 1 << 30) -> list[_LateWindow]:
        """Closed windows to be computed again now, the oldest `most` of them. They are taken off the list."""
        settled = [
            late
            for late in self._late.values()
            if mono_s - late.newest_s >= LATE_QUIET_S or mono_s - late.first_s >= LATE_MAX_S
        ]
        due = sorted(settled, key=lambda late: late.start_ms)[:most]
        for late in due:
            del self._late[late.start_ms]
        return due

    @property
    def late_waiting(self) -> int:
        """Closed windows with late readings whose new revision is not made yet."""
        return len(self._late)

    def mark_late(self, starts: Iterable[int], mono_s: float) -> None:
        """Windows found to have late readings when the journal was opened."""
        for start in starts:
            self._late.setdefault(start, _LateWindow(start, mono_s))

    def scratch(self, start_ms: int) -> Windows:
        """Empty windows with the same channels and tables that take the readings of one window only."""
        other = Windows([state.channel for state in self.states], self.settings)
        for mine, its in zip(self.states, other.states, strict=True):
            its.interval_ms = mine.interval_ms
        for name, lane in self.lanes.items():
            other.lanes[name] = lane.scratch(other, other.lanes[name].states)
        other.next_ms, other.ceiling_ms = start_ms, start_ms + self.settings.length_ms
        other.replaying, other._virgin = True, False
        return other

    def revised(self, fresh: list[Window], stored: list[Window]) -> list[Window]:
        """Those of the recomputed rows that differ from the newest stored ones, with the next revision
        number.
        """
        newest = {window.symbol: window for window in sorted(stored, key=lambda window: window.revision)}
        revision = max((window.revision for window in stored), default=1) + 1  # 1: closed in order
        changed = []
        for window in fresh:
            old = newest.get(window.symbol)
            if old is None or window._replace(revision=old.revision, reason=old.reason) != old:
                reason = f"{LATE}, {THINNED}" if window.reason == THINNED else LATE
                changed.append(window._replace(revision=revision, reason=reason))
        return changed


def _window(
    channel: Channel, start_ms: int, length_ms: int, revision: int, reason: str, outcome: Outcome
) -> Window:
    return Window(
        channel.symbol, channel.unit, start_ms, start_ms + length_ms, revision,
        outcome.value, outcome.quality, q.status(outcome.quality), outcome.valid, outcome.expected,
        outcome.valid_share, outcome.minimum, outcome.maximum, reason, outcome.last,
    )  # fmt: skip
