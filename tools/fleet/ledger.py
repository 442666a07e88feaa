"""What a fleet emitted and was told, set against what its gateway's journal holds: the seven numbers.

Read from the entries alone, once from the first to the last, each frame opened with its device's key and each
value held against the function that made it (simulator/fleet.py, rule 1). No counter of the gateway is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.journal import kinds
from gateway.journal.database import connect_to_read
from gateway.journal.packed import stored_body
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.messages import Readings, decode
from simulator.fleet import BOOT, FleetDevice, bits_of


@dataclass
class Ledger:
    """Readings, counted."""

    attempts: int = 0
    """Made by the devices."""
    acknowledged: int = 0
    """Of which a device was told that they are on disk."""
    ok: int = 0
    """In the journal with the value that was made, at least once."""
    lost: int = 0
    """Acknowledged, and not in the journal."""
    unexpected: int = 0
    """In the journal, and never made: another value, or a number that no device has reached."""
    duplicated: int = 0
    """In the journal once more than once."""
    recovered: int = 0
    """In the journal without an acknowledgement: a device would have sent them again."""

    @property
    def holds(self) -> bool:
        return not (self.lost or self.unexpected or self.duplicated)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def count(journal: Path, devices: Sequence[FleetDevice], keys: Sequence[bytes]) -> Ledger:
    """Set `journal` against the devices. sqlite3.Error when it is no journal."""
    found = Ledger(sum(d.emitted for d in devices), sum(d.acknowledged for d in devices))
    macs = {f"device/{d.name}": (d, Mac0(d.name, key)) for d, key in zip(devices, keys, strict=True)}
    held: dict[int, set[int]] = {d.number: set() for d in devices}
    with contextlib.closing(connect_to_read(journal)) as connection:
        rows = connection.execute(
            "SELECT source.name, body FROM entry JOIN source ON source.id = entry.source"
            " WHERE entry.kind = ? ORDER BY idx",
            (kinds.FRAME,),
        )
        for name, stored in rows:
            if name in macs:
                _take(found, held, *macs[name], stored_body(kinds.FRAME, stored))
            else:
                found.unexpected += 1
    for device in devices:
        seqs = held[device.number]
        found.ok += len(seqs)
        told = sum(1 for seq in seqs if seq <= device.acknowledged)
        found.lost += device.acknowledged - told
        found.recovered += len(seqs) - told
    return found


def _take(found: Ledger, held: dict[int, set[int]], device: FleetDevice, mac: Mac0, body: bytes) -> None:
    try:
        message = decode(mac.open(body))
    except ProtocolError:
        found.unexpected += 1
        return
    if type(message) is not Readings or message.boot != BOOT:
        found.unexpected += 1
        return
    seqs = held[device.number]
    for seq, row in enumerate(message.rows, message.first_seq):
        channel, bits = (seq - 1) % device.channels, bits_of(device.number, seq)
        if not 1 <= seq <= device.emitted or row[0] != channel or row[2] != bits:
            found.unexpected += 1
        elif seq in seqs:
            found.duplicated += 1
        else:
            seqs.add(seq)
