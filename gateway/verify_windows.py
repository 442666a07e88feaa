"""Every window of a range computed again from the entries before it, by the gateway's own lanes.

    recomputation = Recomputation(read, from_ms, to_ms, first, found)
    for index, leaf in entries:             rising; of those before `first` not all are there
        recomputation.take(index, leaf)
    recomputation.end()

Rule 1: rows of a first revision close their window, in the order of time; rows of a later one are computed
        from the readings before them (verify_replay.py).
Rule 2: the rows of a window that starts in from_ms <= start < to_ms must be, byte for byte, what comes out.
        Other rows are believed: they say what went before.
Rule 3: whatever stands in an entry: EvidenceError names the first one that is wrong.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple

from gateway.journal.kinds import WINDOW
from gateway.journal.leaf import Leaf
from gateway.reports.message import rfc3339
from gateway.verify_replay import Replay
from gateway.windows import BEFORE, LATE, OFF, Channel, Settings, Window, body, left, parse_body
from protocol.merkle import EvidenceError

STARTING_MS = 60_000
"""Between a gateway's start and the entry that tells of it; a window that ends there may be OFF or not."""


class Row(NamedTuple):
    """One row as it stands in the journal."""

    idx: int
    window: Window
    through: int
    body: bytes


class Part(NamedTuple):
    """What was found in the later part of a range."""

    rows: dict[int, array[int]]  # start of a window -> entries with its rows
    windows: int
    revisions: int
    compared: int
    last: int
    gaps: dict[int, int]


class Group(NamedTuple):
    """Rows of one window that came out as they stand in the journal."""

    idx: int  # of the first row
    revision: int
    windows: list[Window]
    channels: list[Channel]
    settings: Settings


class Recomputation:
    """`read(index)` brings an entry again; `found(group)` hears of every group of rows in the range."""

    def __init__(
        self,
        read: Callable[[int], Leaf],
        from_ms: int,
        to_ms: int,
        first: int = 0,
        found: Callable[[Group], None] = lambda group: None,
        replay: Callable[..., Replay] = Replay,
    ):
        self._read, self._from_ms, self._to_ms, self._first, self._found = read, from_ms, to_ms, first, found
        self.replay = replay(read, self.newest, from_ms, to_ms)
        self._running = first == 0
        self._rows: dict[int, array[int]] = {}  # start of a window -> entries with its rows
        self._starts: list[int] = []  # of _rows, rising
        self._group: list[Row] = []
        self.last = -1  # entry of the newest first revision in the range
        self.windows = self.revisions = self.rows = 0  # what was compared

    # Entries ------------------------------------------------------------------------------------------------

    def take(self, index: int, leaf: Leaf) -> None:
        """Account for the next entry."""
        try:
            row = Row(index, *parse_body(leaf.body), leaf.body) if leaf.kind == WINDOW else None
            if self._group and not (row and _goes_on(self._group[-1], row)):
                self._end_group()
            if not self._running and index >= self._first:
                self._running = True
                self.replay.start()
            if row:
                self._group.append(row)
            else:
                self.replay.take(index, leaf)
        except EvidenceError:
            raise
        except Exception as error:  # rule 3: a stranger may put anything into an entry
            what = f"{type(error).__name__}: {str(error)[:100]!r}"
            raise EvidenceError(f"entry {index} is not what a gateway writes ({what})") from error

    def end(self) -> None:
        """There are no more entries."""
        try:
            if self._group:
                self._end_group()
        except EvidenceError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {str(error)[:100]!r}"
            raise EvidenceError(f"the last rows are not what a gateway writes ({what})") from error

    def check_range(self) -> None:
        """All windows of the range were there, each behind the other; else an event tells of the gap."""
        at_ms, gaps = self._from_ms, self.replay.gaps
        begin, end = (bisect_left(self._starts, time_ms) for time_ms in (self._from_ms, self._to_ms))
        for start_ms in self._starts[begin:end]:
            while at_ms < start_ms and gaps.get(at_ms, 0) > at_ms:
                at_ms = gaps[at_ms]
            if at_ms != start_ms:
                raise EvidenceError(f"the window from {rfc3339(at_ms)} is not in the bundle")
            at_ms = parse_body(self._read(self._rows[start_ms][0]).body)[0].end_ms
        if at_ms != self._to_ms:
            raise EvidenceError(f"the windows end at {rfc3339(at_ms)}, the range at {rfc3339(self._to_ms)}")

    # A range in two parts (verify_cut.py) -------------------------------------------------------------------

    def since(self, time_ms: int) -> Part:
        """What was found of windows that start there or later."""
        rows = {start_ms: self._rows[start_ms] for start_ms in self._starts if start_ms >= time_ms}
        return Part(rows, self.windows, self.revisions, self.rows, self.last, self.replay.gaps)

    def join(self, later: Part) -> None:
        """Go on behind what another one found of all entries behind these."""
        for start_ms, indices in later.rows.items():
            if start_ms not in self._rows:
                insort(self._starts, start_ms)
            self._rows.setdefault(start_ms, array("q")).extend(indices)
        self.windows += later.windows
        self.revisions += later.revisions
        self.rows += later.compared
        self.last = max(self.last, later.last)
        self.replay.gaps |= later.gaps

    # Rows ---------------------------------------------------------------------------------------------------

    def _end_group(self) -> None:
        group, self._group = self._group, []
        index, (start_ms, revision) = group[0].idx, _turn(group[0])
        wanted = self._from_ms <= start_ms < self._to_ms
        if not wanted:
            self._believe(group)
        elif revision == 1:
            if index < self._first:
                raise EvidenceError(f"entry {index}: a window of the range stands before the run of entries")
            self._compare(group, self._closed(index, start_ms))
            self.windows += 1
            self.last = group[-1].idx
        else:
            self._compare(group, self._revised(start_ms, group[0].through, _why(group[0].window)))
            self.revisions += 1
        if revision > 1:
            self.replay.windows.took([row.window for row in group])
        if start_ms not in self._rows:
            self._rows[start_ms] = array("q")
            insort(self._starts, start_ms)
        self._rows[start_ms].extend([row.idx for row in group])
        self.replay.closed(start_ms)
        if wanted:
            windows, replay = [row.window for row in group], self.replay
            self._found(Group(index, revision, windows, replay.channels, replay.windows.settings))

    def _believe(self, group: list[Row]) -> None:
        first, windows = group[0].window, self.replay.windows
        if first.revision == 1 and (windows.next_ms is None or first.start_ms >= windows.next_ms):
            windows.close(first.start_ms)
            rows = {row.window.symbol: row.window for row in group}
            for state in windows.states:
                state.carried = left(state.channel, rows.get(state.channel.symbol))

    def _closed(self, index: int, start_ms: int) -> list[Window]:
        next_ms = self.replay.windows.next_ms
        if next_ms is not None and start_ms != next_ms:
            turn = "closed again" if start_ms < next_ms else "closed before its turn"
            raise EvidenceError(
                f"entry {index}: the window from {rfc3339(start_ms)} is {turn}: "
                f"that from {rfc3339(next_ms)} is next"
            )
        return self.replay.windows.close(start_ms)

    def _revised(self, start_ms: int, through: int, why: str) -> list[Window]:
        """As gateway.ingest.replay.recompute() and Windows.revised()."""
        stored, before = self._stored(start_ms), self.newest(start_ms)
        scratch = self.replay.windows.scratch(start_ms)
        for state in scratch.states:
            symbol = state.channel.symbol
            state.expected = (stored[symbol].expected or None) if symbol in stored else None
            state.carried = left(state.channel, before.get(symbol))
        self.replay.feed(scratch.lanes, start_ms, start_ms + 1, through)
        return self.replay.windows.revised(scratch.close(start_ms), list(stored.values()), why)

    def newest(self, before_ms: int) -> dict[str, Window]:
        """As Reader.newest_windows(), of the rows so far."""
        place = bisect_left(self._starts, before_ms)
        return self._stored(self._starts[place - 1]) if place else {}

    def _stored(self, start_ms: int) -> dict[str, Window]:
        """The newest row of each symbol of a window."""
        found: dict[str, Window] = {}
        for index in self._rows.get(start_ms, ()):
            row, _ = parse_body(self._read(index).body)
            if row.symbol not in found or row.revision > found[row.symbol].revision:
                found[row.symbol] = row
        return found

    def _compare(self, group: list[Row], fresh: list[Window]) -> None:
        for row, again in zip(group, fresh, strict=False):
            since_ms = self.replay.started_ms - row.window.end_ms
            if {row.window.reason, again.reason} == {OFF, ""} and 0 <= since_ms < STARTING_MS:
                again = again._replace(reason=row.window.reason)
            if body(again.as_before(row.window), row.through) != row.body:
                raise EvidenceError(f"entry {row.idx}: {_difference(row.window, again)}")
            self.rows += 1
        if len(group) != len(fresh):
            window = group[0].window
            raise EvidenceError(
                f"entry {group[0].idx}: the window from {rfc3339(window.start_ms)} has {len(group)} rows "
                f"in revision {window.revision}, and the entries before it give {len(fresh)}"
            )


def _turn(row: Row) -> tuple[int, int]:
    return row.window.start_ms, row.window.revision


def _why(window: Window) -> str:
    """The reason that a revision gives: both are computed the same way."""
    return BEFORE if window.reason.startswith(BEFORE) else LATE


def _goes_on(before: Row, row: Row) -> bool:
    """Whether a row belongs to the group of the one before it."""
    same = [(r.window.start_ms, r.window.revision, r.through) for r in (before, row)]
    return row.idx == before.idx + 1 and same[0] == same[1]


def _difference(row: Window, again: Window) -> str:
    pairs = zip(Window._fields, row, again, strict=True)
    name = next((name for name, a, b in pairs if a != b), Window._fields[0])
    return (
        f"the window of {row.symbol!r} from {rfc3339(row.start_ms)}, revision {row.revision}, says {name} "
        f"{getattr(row, name)!r}, and the entries before it give {getattr(again, name)!r}"
    )
