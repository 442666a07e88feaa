"""From the journal back to windows: at the start, when late readings make a window be computed again, and
when records are placed in time that nobody could place when they came.

Rule 1: the same Lane.add() that took a reading when it arrived takes it again, in the order of the journal.
Rule 2: reads only; everything comes from a gateway.journal.reader.Reader.
Rule 3: an entry without times (first_ms) is in no window by itself. Those of a boot that was placed later are
        in the windows by an entry "located" [name, device, boot, first, last], which has their times and
        stands where they were taken in: it means the entries first..last of its source and boot.
Rule 4: a window is never computed again from a part of its readings: where retention may have taken some of
        them, it stays as it is. So does one of another length than windows have now: it and those beside it
        would hold the same readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gateway import marks
from gateway.ingest import corrections, tables
from gateway.ingest.polls import parse_configuration
from gateway.journal.bodies import event, payload
from gateway.journal.kinds import CALIBRATION, COMMAND, CONFIGURATION, EVENT, FRAME, HELLO, POLL
from gateway.lane import BACK_MS, Lane
from gateway.logs import get_logger
from gateway.marks import Marks
from gateway.windows import Channel, Window, Windows, left
from protocol.errors import CodecError
from protocol.messages import Readings, Summary, decode

if TYPE_CHECKING:
    from gateway.journal.reader import Reader, Stored

log = get_logger("replay")

NEVER_S = float("-inf")
_NOTHING: Mapping[str, Window] = {}
LEARNED = (EVENT, CONFIGURATION, HELLO, CALIBRATION)
"""Kinds that say what numbers mean: read from the beginning at each start, and few."""


def numbered(channels: Iterable[Channel], source: str) -> list[Channel]:
    """The channels of a bus source in the order of their numbers there."""
    return [channel for channel in channels if channel.source == source]


def learn(reader: Reader, lanes: dict[str, Lane], into: Marks) -> tuple[int, dict[str, int]]:
    """Tell the lanes every channel table and every boot's place in time; `into`: what people said of
    instruments.

    Returns the newest gateway boot, and the largest counter of a command to each source.
    """
    boot, counters = 0, _commanded(reader, lanes)
    for entry in reader.entries(kinds=LEARNED):
        if entry.kind == HELLO and entry.source in lanes:
            try:
                hello = decode(payload(entry.body))
            except CodecError:  # an earlier version let in what this one refuses
                log.exception("a greeting in the journal cannot be read", source=entry.source)
                continue
            tables.greeted(lanes[entry.source], hello)
        elif entry.kind == EVENT:
            name, details = event(entry.body)
            if name == marks.EVENT_NAME:
                into.take(marks.parse(entry.body))
            elif entry.source not in lanes:
                continue
            elif name == "placed":
                lanes[entry.source].place(*details)
            elif name == "untold":
                lanes[entry.source].untold.add(*details)
            elif name == "table":
                tables.recall(lanes[entry.source], *details)
            elif name == "command":  # in journals from before COMMAND
                counters[entry.source] = max(counters[entry.source], details[1])
        elif entry.kind == CALIBRATION:
            if entry.source in lanes:
                corrections.tell(lanes[entry.source], entry.body)
        elif entry.kind == CONFIGURATION:
            boot, _, channels = parse_configuration(entry.body)
            for source in {channel.source for channel in channels if channel.source in lanes}:
                if source.startswith("bus/"):
                    wired = numbered(channels, source)
                    lanes[source].describe(boot, [(c.quantity, c.interval_ms or 0, 0, ()) for c in wired])
    return boot, counters


def _commanded(reader: Reader, lanes: dict[str, Lane]) -> dict[str, int]:
    """The counter of the newest command to each source, 0 without any. They only rise (commands.py)."""
    counters = dict.fromkeys(lanes, 0)
    unknown = {source for source in lanes if source.startswith("device/")}
    for entry in reader.newest_first(COMMAND):
        if not unknown:
            break
        if entry.source in unknown and entry.body is not None:
            name, details = event(entry.body)
            if name == "command":
                counters[entry.source] = details[1]
                unknown.discard(entry.source)
    return counters


def configured(reader: Reader) -> list[Channel]:
    """The channels of the newest start; none in a new journal."""
    for entry in reader.newest_first(CONFIGURATION):
        return parse_configuration(entry.body)[2]
    return []


def feed(reader: Reader, lanes: dict[str, Lane], first: int, last: int, source: str) -> None:
    """Give the readings of a source among entries first..last to its lane, as of the time they arrived or
    were located.
    """
    lane = lanes.get(source)
    if lane is None:
        return
    for entry in reader.of_source(first, last, source):
        if entry.first_ms is None:
            continue
        if entry.kind == EVENT:
            for _, message in _located(reader, entry):
                take(lane, message, entry.arrived_ms, NEVER_S)
        elif entry.kind in (FRAME, POLL):
            message = _readings(entry)
            if message is not None:
                take(lane, message, entry.arrived_ms, NEVER_S)


def take(lane: Lane, message: Readings | Summary, now_ms: int, mono_s: float):
    """Give one record to its lane. Returns its first and last ms, None where it could not be placed."""
    if isinstance(message, Summary):
        return lane.add_summary(message, now_ms, mono_s)
    return lane.add(message, now_ms, mono_s)


def count(message: Readings | Summary) -> int:
    """How many readings a record holds."""
    return sum([row[4] for row in message.rows]) if isinstance(message, Summary) else len(message.rows)


def _readings(entry: Stored) -> Readings | Summary | None:
    """What an entry holds, if it is readings."""
    try:
        message = decode(payload(entry.body) if entry.kind == FRAME else entry.body)
    except CodecError as error:  # a fault of ours when it was written; the others must not go with it
        log.error("an entry cannot be read", idx=entry.idx, reason=str(error))
        return None
    return message if isinstance(message, (Readings, Summary)) else None


def _located(reader: Reader, entry: Stored) -> Iterator[tuple[int, Readings | Summary]]:
    name, details = event(entry.body)
    if name == "located":
        boot, first, last = details
        yield from _ticking(reader.without_time(entry.source, boot, first, last))


def _ticking(entries: Iterable[Stored]) -> Iterator[tuple[int, Readings | Summary]]:
    """(entry, readings) of those whose times are ticks."""
    for entry in entries:
        message = _readings(entry)
        if message is not None and message.clock == 0:
            yield entry.idx, message


def untold(reader: Reader, source: str, boot: int, most: int):
    """The next `most` entries of a boot that came before it was placed and are not located yet.

    Returns (first, last, [(entry, readings)]), entry numbers both included; None when there are no more.
    """
    first, last = None, -1
    for entry in reader.entries(kinds=(EVENT,)):
        if entry.source != source:
            continue
        name, details = event(entry.body)
        if name not in ("untold", "located", "placed") or details[0] != boot:
            continue
        if name == "untold" and first is None:
            first = entry.idx + 1
        elif name == "located":
            first = details[2] + 1
        elif name == "placed" and last < 0:
            last = entry.idx - 1  # what came after it was placed as it came
    if first is None:
        return None
    found = list(reader.without_time(source, boot, first, last, most))
    if not found:
        return None
    return found[0].idx, found[-1].idx, list(_ticking(found))


def resume(reader: Reader, windows: Windows, mono_s: float) -> None:
    """Bring new windows to where the journal says they were: open ones with their readings, late ones
    marked.
    """
    newest = reader.newest_windows()
    if newest:
        length = windows.settings.length_ms
        end_ms = max(window.end_ms for window in newest.values())
        start_ms = windows.start_of(end_ms)
        windows.resume(start_ms if start_ms == end_ms else start_ms + length, newest)
    windows.replaying = True
    for first, last, source in reader.spans(windows.next_ms or 0):
        feed(reader, windows.lanes, first, last, source)
    windows.replaying = False
    if newest and windows.next_ms is not None:
        windows.mark_late(
            [windows.start_of(start) for start in reader.late(windows.next_ms, BACK_MS)], mono_s
        )


def recompute(
    reader: Reader, scratch: Windows, start_ms: int, revised: Mapping[str, Window] = _NOTHING
) -> tuple[list[Window], list[Window], int] | None:
    """One window anew -> (its rows, the stored ones of all revisions, entries of the journal it rests on);
    None by rule 4. `revised`: rows of the window before that are about to be written.
    """
    reader.rows("BEGIN")
    try:
        if start_ms < reader.whole().from_ms:
            return None
        end_ms = start_ms + scratch.settings.length_ms
        through = reader.size()
        stored = reader.windows(start_ms, start_ms + 1)
        if any(window.end_ms != end_ms for window in stored):
            return None
        expected = {window.symbol: window.expected for window in stored}
        before = {**reader.newest_windows(start_ms), **revised}
        for state in scratch.states:
            state.expected = expected.get(state.channel.symbol) or None
            state.carried = left(state.channel, before.get(state.channel.symbol))
        for first, last, source in reader.spans(start_ms, end_ms):
            feed(reader, scratch.lanes, first, last, source)
        return scratch.close(start_ms), stored, through
    finally:
        reader.rows("COMMIT")
