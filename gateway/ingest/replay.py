"""From the journal back to windows: at the start, and when late readings make a window be computed again.

Rule 1: the same Lane.add() that took a reading when it arrived takes it again, in the order of the journal.
Rule 2: reads only; everything comes from a gateway.journal.reader.Reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gateway.ingest.polls import parse_configuration
from gateway.journal.kinds import CONFIGURATION, EVENT, FRAME, HELLO, POLL
from gateway.logs import get_logger
from gateway.windows import BACK_MS, Channel, Lane, Window, Windows
from protocol import cbor
from protocol.cose import payload_of
from protocol.errors import CodecError
from protocol.messages import Readings, decode

if TYPE_CHECKING:
    from gateway.journal.reader import Reader, Stored

log = get_logger("replay")

log = get_logger("replay")

NEVER_S = float("-inf")


def numbered(channels: Iterable[Channel], source: str) -> list[Channel]:
    """The channels of a bus source in the order of their numbers there."""
    return [channel for channel in channels if channel.source == source]


def learn(reader: Reader, lanes: dict[str, Lane]) -> int:
    """Tell the lanes every channel table and every boot's place in time. Returns the newest gateway boot."""
    boot = 0
    for entry in reader.entries(kind_from=EVENT):
        if entry.body is None:
            continue
        if entry.kind == HELLO and entry.source in lanes:
            try:
                hello = decode(payload_of(entry.body))
            except CodecError:  # an earlier version let in what this one refuses
                log.exception("a greeting in the journal cannot be read", source=entry.source)
                continue
            lanes[entry.source].describe(hello.boot, hello.channels)
        elif entry.kind == EVENT and entry.source in lanes:
            said: Any = cbor.loads(entry.body)
            name, _, *details = said
            if name == "placed":
                lanes[entry.source].place(*details)
        elif entry.kind == CONFIGURATION:
            boot, _, channels = parse_configuration(entry.body)
            for source in {channel.source for channel in channels if channel.source in lanes}:
                if source.startswith("bus/"):
                    wired = numbered(channels, source)
                    lanes[source].describe(boot, [(c.quantity, c.interval_ms or 0, 0, ()) for c in wired])
    return boot


def feed(lanes: dict[str, Lane], entries: Iterable[Stored], source: str) -> None:
    """Give the readings of these entries to their lane, as of the time they arrived."""
    lane = lanes.get(source)
    if lane is None:
        return
    for entry in entries:
        if entry.source != source or entry.body is None:
            continue
        if entry.kind == FRAME:
            payload = payload_of(entry.body)
        elif entry.kind == POLL:
            payload = entry.body
        else:
            continue
        try:
            message = decode(payload)
        except CodecError as error:  # a fault of ours when it was written; the others must not go with it
            log.error("an entry cannot be read", idx=entry.idx, reason=str(error))
            continue
        if isinstance(message, Readings):
            lane.add(message, entry.arrived_ms, NEVER_S)


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
        feed(windows.lanes, reader.entries(first, last), source)
    windows.replaying = False
    if newest and windows.next_ms is not None:
        windows.mark_late(
            [windows.start_of(start) for start in reader.late(windows.next_ms, BACK_MS)], mono_s
        )


def recompute(reader: Reader, scratch: Windows, start_ms: int) -> tuple[list[Window], list[Window], int]:
    """One window anew -> (its rows, the stored ones of all revisions, entries of the journal it rests on)."""
    reader.rows("BEGIN")
    try:
        end_ms = start_ms + scratch.settings.length_ms
        through = reader.size()
        stored = reader.windows(start_ms, start_ms + 1)
        expected = {window.symbol: window.expected for window in stored}
        before = reader.newest_windows(start_ms)
        for state in scratch.states:
            state.expected = expected.get(state.channel.symbol) or None
            earlier = before.get(state.channel.symbol)
            state.carried = earlier.last if earlier is not None else None
        for first, last, source in reader.spans(start_ms, end_ms):
            feed(scratch.lanes, reader.entries(first, last), source)
        return scratch.close(start_ms), stored, through
    finally:
        reader.rows("COMMIT")
