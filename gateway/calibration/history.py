"""Calibrations as a page and a report show them: of each channel the newest record, when the next one is due,
and how zero and span drifted from one to the next, with the limits.

Rule 1: everything follows from the CALIBRATION entries of the journal; the configuration says which channels
        there are, and how often each is due.
Rule 2: a channel is due `calibrate_days` after its newest calibration, whether a person recorded it or its
        device brought another one; without either, after the journal began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.calibration.fit import Judged, judged
from gateway.calibration.record import Limits, Record, parse
from gateway.config_model import Channel, DeviceSource
from gateway.ingest.calibrations import IN_FORCE
from gateway.journal.kinds import CALIBRATION
from gateway.journal.reader import Reader
from gateway.zone import DAY_MS
from protocol import cbor
from protocol.errors import CodecError


class Kept(NamedTuple):
    """A record, and the entry of the journal that holds it (its receipt is to be had by this number)."""

    entry: int
    record: Record


class History(NamedTuple):
    """One channel's calibrations."""

    symbol: str
    unit: str
    limits: Limits  # as they are configured today; each record has its own day's
    records: tuple[Judged, ...]  # by time
    calibrated_ms: int | None  # the newest calibration that is known
    due_ms: int | None  # None: `calibrate_days` is not set

    @property
    def newest(self) -> Judged | None:
        """The newest record."""
        return self.records[-1] if self.records else None

    def drifts(self) -> list[tuple[int, float, float]]:
        """(Unix ms, zero drift, span drift), in the channel's unit, for a chart."""
        return [(one.record.at_ms, one.drift.zero, one.drift.span) for one in self.records]


def kept(reader: Reader) -> list[Kept]:
    """All records of a journal, in the order in which they were entered."""
    entries = reader.entries(kinds=(CALIBRATION,))
    return [Kept(entry.idx, found) for entry in entries if (found := parse(entry.body or b"")) is not None]


def in_force_ms(reader: Reader) -> dict[tuple[str, str], int]:
    """(device, quantity) -> when the newest calibration that its device brought began to be in force."""
    found: dict[tuple[str, str], int] = {}
    for entry in reader.entries(kinds=(CALIBRATION,)):
        try:
            said: Any = cbor.loads(entry.body or b"")
        except CodecError:
            continue
        if isinstance(said, dict) and said.get("what") == IN_FORCE and said.get("calibration"):
            found[entry.source.removeprefix("device/"), said["quantity"]] = said["since_ms"]
    return found


def newest_ms(records: Iterable[Record]) -> dict[str, int]:
    """When each channel was calibrated last, as people recorded it."""
    found: dict[str, int] = {}
    for record in records:
        found[record.channel] = max(record.at_ms, found.get(record.channel, record.at_ms))
    return found


def known_of(
    channel: Channel, in_force_ms: Mapping[tuple[str, str], int], recorded_ms: Mapping[str, int]
) -> int | None:
    """When a channel was calibrated last, whoever says so."""
    said = [recorded_ms[channel.symbol]] if channel.symbol in recorded_ms else []
    if isinstance(channel.source, DeviceSource):
        place = (channel.source.device, channel.source.quantity)
        said += [in_force_ms[place]] if place in in_force_ms else []
    return max(said, default=None)


def history(
    channels: Iterable[Channel],
    records: Iterable[Record],
    in_force_ms: Mapping[tuple[str, str], int],
    first_ms: int,
) -> list[History]:
    """Of each channel that is measured, in their order. `in_force_ms`: by (device, quantity), when its newest
    calibration began to be in force; `first_ms`: when the journal began.
    """
    some = list(records)
    of, recorded_ms = judged(some), newest_ms(some)
    found = []
    for channel in channels:
        if not is_measured(channel):
            continue
        known_ms = known_of(channel, in_force_ms, recorded_ms)
        days = channel.calibrate_days
        due_ms = None if days is None else (first_ms if known_ms is None else known_ms) + days * DAY_MS
        found.append(
            History(
                channel.symbol, channel.unit, channel.calibration.limits(),
                tuple(of.get(channel.symbol, ())), known_ms, due_ms,
            )
        )  # fmt: skip
    return found


def is_measured(channel: Channel) -> bool:
    """Whether it has an instrument of its own: one that is made of others has none to calibrate."""
    return not hasattr(channel.source, "derived")
