"""The raw feed: every reading as a document, for destinations that ask for `readings` (a broker, a database).

Rule 1: a document is queued in the transaction of the entries it tells about: what is journaled is sent, and
        nothing else is.
Rule 2: its name is a function of the records in it: <source>/<boot>/<first>-<last>.
Rule 3: values are engineering values, by the same function as the windows'; a reading without one is null,
        with the status that says why. What the windows do not average as OK is not "00" here either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import pack, unpack
from typing import Any

from gateway.journal.kinds import FRAME
from gateway.windows import Channel, Lane
from protocol import quality as q
from protocol.calibration import engineering
from protocol.cose import payload_of
from protocol.messages import Readings, decode

STATUS = [q.status(quality) for quality in range(len(q.NAMES))]
NO_GOOD = q.status(q.OUT_OF_RANGE)

Drafts = list[Any]
Documents = Callable[[str, int, list[tuple]], Drafts]
"""(name, station time in Unix ms, rows of [symbol, t_ms, value or None, status]) -> drafts."""


class RawFeed:
    """Makes the documents. `documents` as gateway.documents.readings_drafts with its configuration."""

    def __init__(self, channels: Sequence[Channel], documents: Documents):
        self._channels = channels
        self._documents = documents

    def polled(self, source: str, entries: Sequence[tuple], rows: Sequence[tuple]) -> Drafts:
        """Of one poll of our own: rows of (index into the channels, time_ms, raw bits or None, quality)."""
        channels = self._channels
        told = []
        for index, time_ms, raw, quality in rows:
            channel = channels[index]
            value = None if raw is None else _number(raw)
            told.append((channel.symbol, time_ms, value, _status(channel, value, quality)))
        return self._documents(_name(source, entries[0], entries[-1]), rows[0][1], told)

    def framed(self, lane: Lane, entries: Sequence[tuple]) -> Drafts:
        """Of a device's frames, one document for all of them."""
        told = []
        frames = [entry for entry in entries if entry[0] == FRAME]
        for entry in frames:
            message = decode(payload_of(entry[9]))
            if isinstance(message, Readings):
                told += _rows(lane, message)
        if not told:
            return []
        return self._documents(_name(lane.name, frames[0], frames[-1]), told[0][1], told)


def _rows(lane: Lane, readings: Readings) -> list[tuple]:
    base_ms = readings.base_ms
    if readings.clock == 0:
        if readings.boot not in lane.placements:
            return []  # nobody knows when: in the journal, not in the feed
        base_ms += lane.placements[readings.boot]
    table = lane.table_of(readings.boot)
    by_name: dict[str, list[Channel]] = {}
    for state in lane.states:
        by_name.setdefault(state.channel.quantity, []).append(state.channel)
    told = []
    for number, offset_ms, raw, quality, calibration in readings.rows:
        name = table[number][0] if number < len(table) else ""
        if name not in by_name:
            continue
        value = None if raw is None else _number(raw)
        points = lane.points.get((name, calibration), None if calibration else ())
        if points is None:
            value = None  # measured under a calibration that nobody told us: there is no engineering value
        elif points and value is not None:
            value = engineering(value, points)
        for channel in by_name[name]:
            told.append((channel.symbol, base_ms + offset_ms, value, _status(channel, value, quality)))
    return told


def _status(channel: Channel, value: float | None, quality: int) -> str:
    """As gateway.windows judges the same reading: OK only with a number in the channel's plausible range."""
    if quality == q.OK and (value is None or not channel.low <= value <= channel.high):
        return NO_GOOD
    return STATUS[quality]


def _number(raw_bits: int) -> float | None:
    """The float32 of these bits; None for what JSON has no word for (its status says that it is no good)."""
    value = unpack("<f", pack("<I", raw_bits))[0]
    return value if abs(value) < 3.5e38 else None


def _name(source: str, first: tuple, last: tuple) -> str:
    return f"{source}/{first[2]}/{first[3]}-{last[4]}"
