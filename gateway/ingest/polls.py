"""Readings of the gateway's own buses, packed for the journal as a device packs its own.

Rule 1: an entry is a READINGS payload (protocol.messages) of the source bus/<id>, with a boot number of the
        gateway's start and sequence numbers of our own, so that what reads one kind of record reads both.
Rule 2: a reading names the correction that it is to be read by (corrections.py), 0 for none.
Rule 3: a channel's number in it is its place among the channels of its bus; the CONFIGURATION entry of that
        boot says which ones. A bus of more than 256 channels is several sources: bus/<id>, bus/<id>.1, ...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import pack
from typing import Any

from gateway.ingest.corrections import Correction, Points
from gateway.journal.kinds import POLL
from gateway.lane import CHANNELS_MAX, Lane
from gateway.windows import Channel
from protocol import cbor
from protocol.messages import ROWS_MAX, Readings

OFFSET_MS_MAX = 0x7FFFFFFF
"""Largest offset in a READINGS row: 24 days. Only a clock that jumps within one poll comes near it."""


_NONE: Mapping[str, Any] = {}


def source_name(bus: str, place: int) -> str:
    """The source of the bus's channel number `place`."""
    page = place // CHANNELS_MAX
    return f"bus/{bus}.{page}" if page else f"bus/{bus}"


class BusIngest:
    """One source of a bus. `take()` gives entries; their readings have gone into the windows."""

    def __init__(self, source: int, boot: int, lane: Lane):
        self._source = source
        self._boot = boot
        self._next_seq = 1
        self.lane = lane
        self._channels: list[Channel] = []
        self._newest: dict[str, Correction] = {}  # by symbol
        self._wiring: Mapping[str, str] = _NONE
        self._ids: list[int] = []  # by number: which correction is in force

    def describe(
        self,
        channels: Sequence[Channel],
        corrections: Mapping[str, Correction] = _NONE,
        wiring: Mapping[str, str] = _NONE,
    ) -> None:
        """Which channels the numbers of this boot mean; the newest correction of each, whether in force or
        not, and how each channel is read now.
        """
        self._channels, self._newest, self._wiring = list(channels), dict(corrections), wiring
        self._tell()

    def _tell(self) -> None:
        """Lead readings from here on over what is in force."""
        standing = [self.standing(channel.quantity) for channel in self._channels]
        self._ids = [calibration for calibration, _ in standing]
        self.lane.describe(
            self._boot,
            [
                (c.quantity, c.interval_ms or 0, *each)
                for c, each in zip(self._channels, standing, strict=True)
            ],
        )

    def standing(self, symbol: str) -> tuple[int, Points]:
        """(id, points) of the correction that is in force; (0, ()) without one."""
        one = self._newest.get(symbol)
        in_force = one is not None and one.points and one.wired == self._wiring.get(symbol, "")
        return (one.calibration, one.points) if one is not None and in_force else (0, ())

    def next(self, symbol: str, points: Points, who: str) -> Correction:
        """The one that comes next; correct() brings it into force once it is on the disk."""
        one = self._newest.get(symbol)
        number = 1 if one is None else one.calibration + 1
        return Correction(symbol, number, points, self._wiring.get(symbol, ""), who)

    def correct(self, correction: Correction) -> None:
        """From the next reading on."""
        self._newest[correction.quantity] = correction
        self._tell()

    def take(self, rows: Sequence[tuple], now_ms: int, mono_ns: int) -> list[tuple]:
        """Rows of (number, time_ms, raw bits or None, quality) -> entries."""
        entries, ids = [], self._ids
        for part in _parts(rows):
            base_ms = part[0][1]
            readings = Readings(
                self._boot,
                self._next_seq,
                base_ms,
                1,
                tuple(
                    [
                        (number, time_ms - base_ms, raw, quality, ids[number])
                        for number, time_ms, raw, quality in part
                    ]
                ),
            )
            first_ms, last_ms = self.lane.add(readings, now_ms, mono_ns / 1e9)
            last_seq = self._next_seq + len(part) - 1
            entries.append(
                (
                    POLL,
                    self._source,
                    self._boot,
                    self._next_seq,
                    last_seq,
                    now_ms,
                    mono_ns // 1_000_000,
                    first_ms,
                    last_ms,
                    encode(readings),
                )
            )
            self._next_seq = last_seq + 1
        return entries


def _parts(rows: Sequence[tuple]) -> list[Sequence[tuple]]:
    """Rows cut to what one entry holds: ROWS_MAX of them at most, no entry much smaller than the others
    (each costs some hundred bytes of its own), whose times an offset of 32 bits can tell apart.
    """
    parts: list[Sequence[tuple]] = []
    start = 0
    most = -(-len(rows) // max(1, -(-len(rows) // ROWS_MAX)))
    for i in range(1, len(rows) + 1):
        if i == len(rows) or i - start == most or abs(rows[i][1] - rows[start][1]) > OFFSET_MS_MAX:
            parts.append(rows[start:i])
            start = i
    return parts


def encode(readings: Readings) -> bytes:
    """The same bytes as protocol.messages.encode(), several times faster for rows of our own making."""
    boot, first_seq, base_ms, clock, rows = readings
    out = [
        b"\x86\x03",
        cbor.head(0, boot),
        cbor.head(0, first_seq),
        cbor.head(0, base_ms),
        cbor.head(0, clock),
        cbor.head(0x80, len(rows)),
    ]
    for number, offset_ms, raw, quality, calibration in rows:
        out.append(_NUMBERS[number])
        out.append(b"\x00" if offset_ms == 0 else cbor.dumps(offset_ms))
        out.append(b"\xf6" + _SMALL[quality] if raw is None else pack(">BIB", 0xFA, raw, quality))
        out.append(cbor.head(0, calibration) if calibration else b"\x00")
    return b"".join(out)


_NUMBERS = [b"\x85" + cbor.head(0, number) for number in range(CHANNELS_MAX)]
_SMALL = [cbor.head(0, number) for number in range(24)]


def configuration(boot: int, settings: Iterable[int | float | str], channels: Sequence[Channel]) -> bytes:
    """The CONFIGURATION entry: what windows and files follow from besides readings, from this boot on."""
    return cbor.dumps({"boot": boot, "settings": list(settings), "channels": [list(c) for c in channels]})


def parse_configuration(data: bytes) -> tuple[int, list, list[Channel]]:
    """The inverse: (boot, settings, channels). CodecError."""
    found: Any = cbor.loads(data)
    return found["boot"], found["settings"], [_channel(row) for row in found["channels"]]


def _channel(row: list) -> Channel:
    """A channel as it was given to configuration(): CBOR has no tuples."""
    channel = Channel(*row)
    busy = tuple([tuple(pair) for pair in channel.busy])
    return channel._replace(checks=tuple(channel.checks), derived=tuple(channel.derived), busy=busy)
