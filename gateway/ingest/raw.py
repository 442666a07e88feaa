"""The raw feed: every reading as a document, for destinations that ask for `readings` (a broker, a database).

Rule 1: a document is queued in the transaction of the entries it tells about: what is journaled is sent, and
        nothing else is.
Rule 2: its name is a function of the records in it: <source>/<boot>/<first>-<last>.
Rule 3: values are engineering values, by the same function as the windows'; a reading without one is null,
        with the status that says why. What the windows do not average as OK is not "00" here either.
Rule 4: the mean of a device that had to thin out (SUMMARY) is never told as a reading: it stands in a list of
        its own, with what it was made of, so that whoever only knows readings takes none for one.
Rule 5: records that are placed in time only after the fact are told when they are, under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import pack, unpack
from typing import Any

from gateway.journal.bodies import payload
from gateway.journal.kinds import FRAME
from gateway.lane import Lane
from gateway.windows import Channel
from protocol import quality as q
from protocol.calibration import engineering
from protocol.messages import Readings, Summary, decode

STATUS = [q.status(quality) for quality in range(len(q.NAMES))]
NO_GOOD = q.status(q.OUT_OF_RANGE)

Drafts = list[Any]
Documents = Callable[[str, int, list[tuple], list[tuple]], Drafts]
"""(name, station time in Unix ms, rows, means) -> drafts. rows: [symbol, t_ms, value or None, status]; means:
[symbol, from_ms, to_ms, mean, minimum, maximum (None all three where there is none), readings, status]."""


class RawFeed:
    """Makes the documents. `documents` as gateway.documents.readings_drafts with its configuration."""

    def __init__(self, channels: Sequence[Channel], documents: Documents):
        self._channels = channels
        self._documents = documents

    def polled(
        self, source: str, entries: Sequence[tuple], rows: Sequence[tuple], lane: Lane | None = None
    ) -> Drafts:
        """Of one poll of our own: rows of (index into the channels, time_ms, raw bits or None, quality).
        `lane`: of this source, which knows what corrects them.
        """
        channels, over = self._channels, {} if lane is None else lane.points_now()
        told = []
        for index, time_ms, raw, quality in rows:
            channel = channels[index]
            value = None if raw is None else _number(raw)
            if value is not None and channel.quantity in over:
                value = engineering(value, over[channel.quantity])
            told.append((channel.symbol, time_ms, value, _status(channel, value, quality)))
        return self._documents(_name(source, entries[0], entries[-1]), rows[0][1], told, [])

    def framed(self, lane: Lane, entries: Sequence[tuple]) -> Drafts:
        """Of a device's frames, one document for all of them."""
        frames = [entry for entry in entries if entry[0] == FRAME]
        messages = [decode(payload(entry[9])) for entry in frames]
        records = [message for message in messages if isinstance(message, (Readings, Summary))]
        return self._told(lane, records, _name(lane.name, frames[0], frames[-1])) if records else []

    def located(self, lane: Lane, records: Sequence[Readings | Summary]) -> Drafts:
        """Of records in the journal that are placed in time now."""
        if not records:
            return []
        first, last = records[0], records[-1]
        name = f"{lane.name}/{first.boot}/{first.first_seq}-{last.first_seq + len(last.rows) - 1}"
        return self._told(lane, records, name)

    def _told(self, lane: Lane, records: Sequence[Readings | Summary], name: str) -> Drafts:
        rows: list[tuple] = []
        means: list[tuple] = []
        for record in records:
            if isinstance(record, Readings):
                rows += _rows(lane, record)
            else:
                means += _means(lane, record)
        if not rows and not means:
            return []
        return self._documents(name, rows[0][1] if rows else means[0][2], rows, means)


def _placed(lane: Lane, record: Readings | Summary, time_ms: int) -> int | None:
    """The time in Unix ms; None when nobody knows it: in the journal, not in the feed."""
    if record.clock:
        return time_ms
    return time_ms + lane.placements[record.boot] if record.boot in lane.placements else None


def _by_name(lane: Lane) -> dict[str, list[Channel]]:
    by_name: dict[str, list[Channel]] = {}
    for state in lane.states:
        by_name.setdefault(state.channel.quantity, []).append(state.channel)
    return by_name


def _means(lane: Lane, summary: Summary) -> list[tuple]:
    to_ms = _placed(lane, summary, summary.time_ms)
    if to_ms is None:
        return []
    table, by_name = lane.table_of(summary.boot), _by_name(lane)
    told = []
    for number, *bits, count, quality, calibration in summary.rows:
        name = table[number][0] if number < len(table) else ""
        for channel in by_name.get(name, ()):
            found, numbers = lane.judged(channel, name, bits, quality, calibration)
            low, high = (min(numbers[1:]), max(numbers[1:])) if numbers else (None, None)
            mean = numbers[0] if numbers else None
            told.append(
                (channel.symbol, to_ms - summary.span_ms, to_ms, mean, low, high, count, STATUS[found])
            )
    return told


def _rows(lane: Lane, readings: Readings) -> list[tuple]:
    base_ms = _placed(lane, readings, readings.base_ms)
    if base_ms is None:
        return []
    table, by_name = lane.table_of(readings.boot), _by_name(lane)
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
