"""Readings in, windows out: the 5-minute averages on the GMT+7 grid. Pure: no clock, no disk, no loop.

Rule 1: a window holds the readings with start <= time < end. It is closed once, in the order of time.
Rule 2: it closes when every source has gone past its end, or after the grace; a dead source never blocks it,
        and a source that is just delivering what it kept through an outage is waited for, within a bound.
Rule 3: a reading for a closed window makes a new revision, computed from the journal by this same code
        (scratch()); the old row stays. So does a window that begins with what a revised one left.
Rule 4: the result is a function of the readings in the order of the journal, and of nothing else.
Rule 5: the mean of n readings (SUMMARY) counts as n readings of its quality, in the window that holds the
        middle of its span. A device cuts spans at the minutes of Unix time, so none straddles a window's
        edge, but for those of a device that did not know the time yet.

Times are Unix milliseconds of station time; `mono_s` are seconds of a clock that never steps.
One source and where its readings lead: lane.py. What a channel is and adds up to: accumulate.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gateway import derive
from gateway.accumulate import Cell, Channel, ChannelState, Outcome, State
from gateway.lane import Lane
from gateway.marks import Marks
from gateway.timed import Timed, hands_on, is_timed, keeps
from gateway.zone import GMT7_MS
from protocol import cbor
from protocol import quality as q

START_GRACE_S = 30.0
"""After the gateway's start no window closes by its grace alone for so long: devices reconnect within
seconds.
"""
BACK_GRACE_S = 600.0
"""... and no window of the time before the start without a source that was not heard of since: a device's own
start, its radio, its port may take minutes. Below the 15 minutes after which a receiver shows it offline."""
HOLD_MAX_S = 3600.0
"""How long windows wait for one source's backlog before they close without it."""
EMPTY_MS = 7 * 86_400_000
"""Windows of a gateway that was off are made up to so far back; beyond that the gap is one event."""
OPEN_CELLS_MAX = 16_384
"""Channels times windows open at once (some 8 MiB): beyond it the oldest window closes, counted as forced."""
OPEN_SAMPLES_MAX = 262_144
"""... and readings that are kept with their times until their window closes (timed.py; some 32 MiB)."""
LATE_QUIET_S = 1.0
"""A closed window that got late readings is computed again once none came for so long."""
LATE_MAX_S = 30.0
"""... or so long after the first of them, if they keep coming."""

PASSED_ON_MAX = 2016
"""Windows (a week of 5 minutes) behind a revised one that are computed again because of it, at the most."""

LATE = "late data"
"""Reason of a revision."""
BEFORE = "revised before"
"""Reason of a revision of a window that begins with what the one before left, and that was revised."""
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
    deviation: float | None = None  # sample standard deviation of the valid readings, where there are two
    flags: str = ""  # how many readings were not OK, and why: gateway.flags.told()
    average: str = ""  # what the value is (accumulate.AVERAGES); "" in rows of schema 4 and before
    last_ms: int | None = None  # these three: accumulate.State
    meter: float | None = None
    steady_ms: int | None = None

    def state(self) -> State:
        """What it leaves for the next one."""
        return State(self.last, self.last_ms, self.meter, self.steady_ms)

    def as_before(self, old: Window) -> Window:
        """This one as the version would have made it that made `old`."""
        return self if old.average else Window(*self[:FIELDS_4])


FIELDS_4 = 15
"""Fields of a row up to schema 4."""


def left(channel: Channel, before: Window | None) -> State:
    """What the row before leaves for a channel: nothing, where its unit or what its value is (average) is
    another one by now.

    Of two zeros SQLite keeps one: so none of them is -0.0, whether a row was read back or not.
    """
    if before is None:
        return State()
    if not channel.holds:
        return before.state()
    if (before.unit, before.average or "mean") != (channel.unit, channel.average):
        return State()
    last, last_ms, meter, steady_ms = before.state()
    last, meter = [value if value is None else value + 0.0 for value in (last, meter)]
    return State(last, last_ms, meter, steady_ms)


def body(window: Window, through: int) -> bytes:
    """The journal entry of a window: computed from the journal's first `through` entries."""
    fields = window if window.average else window[:FIELDS_4]
    return cbor.dumps([*fields, through])


def parse_body(data: bytes) -> tuple[Window, int]:
    """The inverse of body(). Raises CodecError."""
    found: Any = cbor.loads(data)
    *fields, through = found
    return Window(*fields), through


class Settings(NamedTuple):
    """The grid and the patience. A journal keeps them: add fields at the end, with a default."""

    length_ms: int = 300_000
    offset_ms: int = GMT7_MS
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
        names = dict.fromkeys(channel.source for channel in channels if not channel.derived)
        self.lanes = {
            name: Lane(name, [s for s in self.states if s.channel.source == name], self) for name in names
        }
        self.marks = Marks()
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
            state.carried = left(state.channel, newest.get(state.channel.symbol))

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
            cell = state.cells[start_ms] = self._new_cell(state, start_ms)
            self._open_cells += 1
        return cell

    def _new_cell(self, state: ChannelState, start_ms: int) -> Cell:
        length_ms = self.settings.length_ms
        if is_timed(state.channel, state.update_ms(), length_ms):
            return Timed(state.channel, start_ms + length_ms)
        return Cell()

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
        if self._open_cells > OPEN_CELLS_MAX or self._samples() > OPEN_SAMPLES_MAX:
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
        for lane in self.lanes.values():
            lane.closing(start_ms)
        if start_ms + self.settings.length_ms <= self._started_ms and not self._holds_readings(start_ms):
            reason = OFF
        rows = [
            self._row(state, start_ms, revision, reason) for state in self.states if not state.channel.derived
        ]
        rows = self._derived(start_ms, rows)
        for state, row in zip(self.states, rows, strict=True):
            state.carried = left(state.channel, row)
        self.next_ms = start_ms + self.settings.length_ms
        self._virgin = False
        self.closed += 1
        return rows

    def _row(self, state: ChannelState, start_ms: int, revision: int, reason: str) -> Window:
        """What a measured channel's readings come to."""
        length_ms = self.settings.length_ms
        cell = state.cells.pop(start_ms, None)
        if cell is not None:
            self._open_cells -= 1
            state.read += cell.settle()
            state.windowed += cell.count()
        outcome = None if cell and cell.count() else state.held(start_ms + length_ms, length_ms)
        if outcome is None:
            cell = cell or self._new_cell(state, start_ms)
            outcome = cell.outcome(state.expects(length_ms), self.settings.valid_share_min, state.carried)
        why = THINNED if cell and cell.thinned else reason
        return _window(state.channel, start_ms, length_ms, revision, why, outcome)

    def _derived(self, start_ms: int, rows: list[Window]) -> list[Window]:
        """The rows of all channels, in their order: what people and contacts say of them, and what is made of
        them.
        """
        found = {row.symbol: row for row in rows}
        end_ms = start_ms + self.settings.length_ms
        for state in self.states:
            symbol = state.channel.symbol
            if state.channel.derived:
                continue
            said = self.marks.of_window(symbol, start_ms, end_ms)
            if said is not None:
                found[symbol] = derive.by_hand(found[symbol], said, state.carried)
            elif state.channel.busy:
                found[symbol] = derive.busy(found[symbol], state.channel.busy, found, state.carried)
        for state in sorted(self.states, key=lambda state: derive.turn(state.channel)):
            if state.channel.derived:
                found[state.channel.symbol] = derive.made(state.channel, found, state.carried)
        return [found[state.channel.symbol] for state in self.states]

    def _samples(self) -> int:
        """Readings in open windows that are kept with their times."""
        cells = [cell for state in self.states for cell in state.cells.values()]
        return sum([len(cell.samples) + len(cell.weighted) for cell in cells if isinstance(cell, Timed)])

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

    def again(self, late: _LateWindow) -> None:
        """It could not be computed: it stays on the list."""
        waiting = self._late.setdefault(late.start_ms, late)
        if waiting is not late:
            for state, count in late.counts.items():
                waiting.counts[state] = waiting.counts.get(state, 0) + count

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
        other.marks = self.marks
        other.next_ms, other.ceiling_ms = start_ms, start_ms + self.settings.length_ms
        other.replaying, other._virgin = True, False
        return other

    def passes_on(self, changed: list[Window], stored: list[Window]) -> bool:
        """Whether the window behind this one has to be computed again, too: a meter, a value that holds, or
        how long it has been the same begins there with what is left here.
        """
        newest = {window.symbol: window for window in sorted(stored, key=lambda window: window.revision)}
        states = {state.channel.symbol: state for state in self.states}
        for row in changed:
            state, old = states[row.symbol], newest.get(row.symbol)
            update_ms, length_ms = state.update_ms(), self.settings.length_ms
            before = State() if old is None else old.state()
            if old is not None and (
                (old.unit, old.average or "mean") != (row.unit, row.average)
                or (old.last is not None and keeps(state.channel, update_ms, length_ms, row.state(), before))
            ):
                continue  # of another configuration, as those behind it: no late reading makes them others
            if hands_on(state.channel, update_ms, length_ms, before, row.state()):
                return True
        return False

    def took(self, rows: Iterable[Window]) -> None:
        """Rows of later revisions are in the journal: what the newest window leaves is what they say."""
        states = {state.channel.symbol: state for state in self.states}
        for row in rows:
            state = states.get(row.symbol)
            if state is not None and state.channel.holds and row.end_ms == self.next_ms:
                state.carried = left(state.channel, row)

    def revised(self, fresh: list[Window], stored: list[Window], why: str = LATE) -> list[Window]:
        """Those of the recomputed rows that differ from the newest stored ones, with the next revision
        number.
        """
        newest = {window.symbol: window for window in sorted(stored, key=lambda window: window.revision)}
        revision = max((window.revision for window in stored), default=1) + 1  # 1: closed in order
        changed = []
        for window in fresh:
            old = newest.get(window.symbol)
            if old is None or window._replace(revision=old.revision, reason=old.reason).as_before(old) != old:
                reason = f"{why}, {THINNED}" if window.reason == THINNED else why
                changed.append(window._replace(revision=revision, reason=reason))
        return changed


def _window(
    channel: Channel, start_ms: int, length_ms: int, revision: int, reason: str, outcome: Outcome
) -> Window:
    return Window(
        channel.symbol, channel.unit, start_ms, start_ms + length_ms, revision,
        outcome.value, outcome.quality, q.status(outcome.quality), outcome.valid, outcome.expected,
        outcome.valid_share, outcome.minimum, outcome.maximum, reason, outcome.state.last, outcome.deviation,
        outcome.flags, channel.average, outcome.state.last_ms, outcome.state.meter, outcome.state.steady_ms,
    )  # fmt: skip
