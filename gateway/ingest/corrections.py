"""Corrections that the gateway itself applies to readings of its own buses: entries (CALIBRATION), and which
one is in force.

    {"what": "correction", "quantity": symbol, "calibration": id, "points": [[raw, engineering], ...],
     "wired": text, "who": text}                                                      source: the bus

Rule 1: each reading says by which correction it is to be read, by its id, as those of devices do (POLL is a
        READINGS message); 0 is none. A reading keeps its id for ever: nothing that was computed becomes
        another value by a correction that comes later, and a window holds readings of before and after.
Rule 2: a correction is on the disk before the first reading that names it: whoever computes windows again
        finds it there. Ids of a channel only rise.
Rule 3: no points: what the instrument shows is taken as it is again.
Rule 4: it is in force while its channel is read as it was then (`wired`): another register, scale or offset
        in the configuration is another instrument, and begins without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.journal.kinds import CALIBRATION
from protocol import cbor
from protocol.calibration import check
from protocol.errors import CodecError, ConfigError

if TYPE_CHECKING:
    from gateway.journal.reader import Reader
    from gateway.lane import Lane

CORRECTION = "correction"
BUS = "bus/"
ID_MAX = 0xFFFF
WIRED = ("bus", "unit", "table", "register", "type", "word_order", "scale", "offset")
"""Of a source: what says which number of which instrument is read, and as what."""

Points = tuple[tuple[float, float], ...]


class Correction(NamedTuple):
    """One entry."""

    quantity: str  # the channel's symbol
    calibration: int  # its id, from 1 on
    points: Points  # (raw, engineering), raw rising
    wired: str
    who: str

    def body(self) -> bytes:
        """Of the CALIBRATION entry."""
        said = {**self._asdict(), "what": CORRECTION, "points": [list(point) for point in self.points]}
        return cbor.dumps(said)


def parse(body: bytes) -> Correction | None:
    """The inverse of Correction.body(); None for what is none."""
    try:
        said: Any = cbor.loads(body)
        if not isinstance(said, dict) or said.get("what") != CORRECTION:
            return None
        points = tuple([(float(raw), float(value)) for raw, value in said["points"]])
        check(points)
        found = Correction(said["quantity"], said["calibration"], points, said["wired"], said["who"])
    except (CodecError, ConfigError, KeyError, TypeError, ValueError, OverflowError):
        return None
    texts = all(isinstance(text, str) for text in (found.quantity, found.wired, found.who))
    return found if texts and type(found.calibration) is int and 1 <= found.calibration <= ID_MAX else None


def tell(lane: Lane, body: bytes) -> None:
    """An entry of this lane's source, in its place among its readings."""
    found = parse(body) if lane.name.startswith(BUS) else None
    if found is not None:
        lane.corrected(found.quantity, found.calibration, found.points)


def learn(reader: Reader) -> dict[str, dict[str, Correction]]:
    """source -> symbol -> the newest, from the journal."""
    found: dict[str, dict[str, Correction]] = {}
    for entry in reader.entries(kinds=(CALIBRATION,)):
        one = parse(entry.body or b"") if entry.source.startswith(BUS) else None
        if one is not None:
            found.setdefault(entry.source, {})[one.quantity] = one
    return found


def wiring_of(config: Any) -> Mapping[str, str]:
    """symbol -> how it is read, of the channels of the gateway's own buses (gateway.config.Config)."""
    return {
        channel.symbol: " ".join(str(getattr(channel.source, name)) for name in WIRED)
        for channel in config.channel
        if hasattr(channel.source, "bus")
    }
