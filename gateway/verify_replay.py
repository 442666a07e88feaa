"""The gateway's lanes led once more through the entries of a journal, in their order: what readings are in
which window.

Rule 1: greetings, placements and tables change what numbers mean from there on. A CONFIGURATION is a start of
        the gateway, which reads the windows that are open anew: as gateway.ingest.replay, entry by entry.
Rule 2: what is needed again is read again. Memory grows by some 16 bytes an entry.
Rule 3: an entry may be made by an enemy: whoever calls take() turns what it raises into a sentence.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from gateway import marks
from gateway.ingest import corrections, tables
from gateway.ingest.polls import parse_configuration
from gateway.ingest.replay import NEVER_S, numbered, take
from gateway.journal.bodies import event, payload
from gateway.journal.kinds import CALIBRATION, CONFIGURATION, EVENT, FRAME, HELLO, POLL
from gateway.journal.leaf import Leaf
from gateway.lane import Lane
from gateway.windows import OPEN_CELLS_MAX, Channel, Settings, Window, Windows
from protocol.errors import CodecError
from protocol.merkle import EvidenceError
from protocol.messages import Readings, Summary, decode

PLACES_MAX = 8_000_000
"""Entries' places in windows that are remembered (64 MB): a hundred times what a gateway's journal needs."""
LENGTH_MS_MIN = 1000
"""Shortest window that is computed; the configuration takes minutes."""
LOOK_EVERY = 256
"""Entries after which the open cells are counted."""
EVER_MS = 1 << 62


class Replay:
    """`windows` and their lanes, as they were behind the newest entry taken.

    `read(index)` brings an entry again; `newest(before_ms)` rows, as Reader.newest_windows().
    Entries of windows that start in from_ms <= start < to_ms are remembered after they are closed.
    """

    def __init__(
        self,
        read: Callable[[int], Leaf],
        newest: Callable[[int], dict[str, Window]],
        from_ms: int,
        to_ms: int,
    ):
        self._read, self._newest, self._from_ms, self._to_ms = read, newest, from_ms, to_ms
        self.channels: list[Channel] = []
        self.started_ms = 0
        self.windows = Windows([], Settings())
        self.gaps: dict[int, int] = {}
        self.unread = 0  # entries that cannot be decoded, which the gateway left out, too
        self._entries = 0
        self._index = -1  # of the newest one
        self._lanes: dict[str, Lane] = {}
        self._places: dict[int, array[int]] = {}  # start of a window -> entries with readings in it
        self._placed = 0
        self._untimed: dict[tuple[str, int], array[int]] = {}  # (source, boot) -> entries nobody could place

    def take(self, index: int, leaf: Leaf) -> None:
        """The next entry, if it is no row of a window. Kinds and events of later versions are passed over."""
        self.pass_over(index)
        if leaf.kind in (FRAME, POLL):
            message = self._message(leaf)
            if message is None:
                return
            first_ms, last_ms = take(self._lane(leaf.source), message, leaf.arrived_ms, NEVER_S)
            if first_ms is not None and last_ms is not None:
                self._place(index, first_ms, last_ms)
            elif message.clock == 0:
                self._untimed.setdefault((leaf.source, message.boot), array("q")).append(index)
        elif leaf.kind == EVENT:
            self._event(index, leaf)
        elif leaf.kind == HELLO:
            try:
                tables.greeted(self._lane(leaf.source), decode(payload(leaf.body)))
            except CodecError:
                self.unread += 1
        elif leaf.kind == CALIBRATION:
            corrections.tell(self._lane(leaf.source), leaf.body)
        elif leaf.kind == CONFIGURATION:
            self._configured(leaf)

    def pass_over(self, index: int) -> None:
        """The next entry, which is in no window that anybody asks for."""
        self._entries += 1
        self._index = index
        if not self._entries % LOOK_EVERY:
            self._look(index)

    def _message(self, leaf: Leaf) -> Readings | Summary | None:
        try:
            message = decode(payload(leaf.body) if leaf.kind == FRAME else leaf.body)
        except CodecError:
            self.unread += 1
            return None
        return message if isinstance(message, (Readings, Summary)) else None

    def _event(self, index: int, leaf: Leaf) -> None:
        name, details = event(leaf.body)
        if name == marks.EVENT_NAME:
            self.windows.marks.take(marks.parse(leaf.body))
        elif name == "placed":
            self._lane(leaf.source).place(*details)
        elif name == "table":
            tables.recall(self._lane(leaf.source), *details)
        elif name == "located":
            times = self._located(leaf, details, self._lane(leaf.source))
            if times:
                self._place(index, min(times), max(times))
        elif name == "gap":
            from_ms, to_ms = details
            self.gaps[from_ms] = to_ms
            if self.windows.next_ms is None or to_ms > self.windows.next_ms:
                self.windows.next_ms = to_ms

    def _located(self, leaf: Leaf, details: list[int], lane: Lane) -> list[int]:
        """Take in the records that an event "located" means -> the times of what is in them."""
        boot, first, last = details
        times: list[int] = []
        for index in self._untimed.get((leaf.source, boot), ()):
            message = self._message(self._read(index)) if first <= index <= last else None
            if message is not None:
                placed = take(lane, message, leaf.arrived_ms, NEVER_S)
                times += [time for time in placed if time is not None]
        return times

    def _lane(self, source: str) -> Lane:
        lane = self._lanes.get(source)
        if lane is None:
            lane = self._lanes[source] = Lane(source, [], self.windows)
        return lane

    def _look(self, index: int) -> None:
        if sum([len(state.cells) for state in self.windows.states]) > 2 * OPEN_CELLS_MAX:
            raise EvidenceError(f"entry {index}: more windows are open than a gateway keeps open")

    # A start of the gateway ---------------------------------------------------------------------------------

    def _configured(self, leaf: Leaf) -> None:
        boot, settings, self.channels = parse_configuration(leaf.body)
        self.start(Settings(*settings), leaf.arrived_ms)
        for source in {channel.source for channel in self.channels if channel.source.startswith("bus/")}:
            wired = numbered(self.channels, source)
            self._lane(source).describe(boot, [(c.quantity, c.interval_ms or 0, 0, ()) for c in wired])

    def start(self, settings: Settings | None = None, started_ms: int | None = None) -> None:
        """New windows, and lanes that know what the old ones knew; then what replay.resume() does."""
        settings = settings or self.windows.settings
        if settings.length_ms < LENGTH_MS_MIN:
            raise ValueError("the length of windows")
        self.started_ms = self.started_ms if started_ms is None else started_ms
        windows = Windows(self.channels, settings, 0.0, self.started_ms)
        lanes = dict(windows.lanes)
        for name, old in self._lanes.items():
            if name not in lanes:
                lanes[name] = Lane(name, [], windows)
            _learn(lanes[name], old)
        windows.marks = self.windows.marks
        self.windows, self._lanes = windows, lanes
        windows.replaying = True
        newest = self._newest(EVER_MS)
        if newest:
            end_ms = max(window.end_ms for window in newest.values())
            start_ms = windows.start_of(end_ms)
            windows.resume(start_ms if start_ms == end_ms else start_ms + settings.length_ms, newest)
        from_ms = -EVER_MS if windows.next_ms is None else windows.next_ms
        self.feed(lanes, from_ms, EVER_MS, self._index + 1)

    # Readings, again ----------------------------------------------------------------------------------------

    def _place(self, index: int, first_ms: int, last_ms: int) -> None:
        """Remember for which windows this entry is needed again."""
        windows = self.windows
        start_ms = windows.start_of(first_ms)
        while start_ms <= last_ms:
            is_open = windows.next_ms is None or start_ms >= windows.next_ms
            if is_open or self._from_ms <= start_ms < self._to_ms:
                places = self._places.get(start_ms)
                if places is None:
                    places = self._places[start_ms] = array("q")
                places.append(index)
                self._placed += 1
                if self._placed > PLACES_MAX:
                    raise EvidenceError(f"entry {index}: more readings than a gateway has windows for")
            start_ms += windows.settings.length_ms

    def closed(self, start_ms: int) -> None:
        """The window was closed: forget what it was made of, unless it may be computed again."""
        if not self._from_ms <= start_ms < self._to_ms:
            self._places.pop(start_ms, None)

    def holding(self, from_ms: int, to_ms: int) -> Iterable[int]:
        """Entries with readings in the windows that start in from_ms <= start < to_ms, rising."""
        starts = [from_ms] if from_ms in self._places and to_ms - from_ms == 1 else list(self._places)
        found = {index for start in starts if from_ms <= start < to_ms for index in self._places[start]}
        return sorted(found)

    def feed(self, lanes: dict[str, Lane], from_ms: int, to_ms: int, through: int = EVER_MS) -> None:
        """Give these lanes again what is in some windows, as far as it stands before entry `through`."""
        for index in self.holding(from_ms, to_ms):
            if index >= through:
                return
            leaf = self._read(index)
            lane = lanes.get(leaf.source)
            if lane is None:
                continue
            if leaf.kind == EVENT:
                self._located(leaf, event(leaf.body)[1], lane)
            elif (message := self._message(leaf)) is not None:
                take(lane, message, leaf.arrived_ms, NEVER_S)


def _learn(lane: Lane, old: Lane) -> None:
    """What its own lane of before the start knew."""
    lane.tables, lane.points = dict(old.tables), dict(old.points)
    lane.placements, lane.configurations = dict(old.placements), dict(old.configurations)
    newest = lane.tables[max(lane.tables)] if lane.tables else ()
    intervals = {quantity: interval_ms for quantity, interval_ms, *_ in newest}
    for state in lane.states:
        state.interval_ms = state.channel.interval_ms or intervals.get(state.channel.quantity, 0)
