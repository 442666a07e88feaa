"""The readings that a gateway's journal holds, with their times, as the station really took them.

A busy machine polls late and leaves instants out, the more so the faster the station's clock runs. So what a
file should say follows from these readings, and whether they are true from the simulator's truth (truth.py).
Messages are decoded with `protocol`; nothing here averages, or knows of the gateway's windows more than when
each was closed.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gateway.journal import kinds
from gateway.journal.database import connect_to_read
from gateway.journal.packed import stored_body
from protocol import messages
from protocol.cose import payload_of
from protocol.reading import bits_float
from tests.system.truth import Reading

ENTRIES = (
    "SELECT idx, kind, source.name, arrived_ms, first_ms, body FROM entry"
    " JOIN source ON source.id = entry.source WHERE kind IN (?, ?, ?) ORDER BY idx"
)


def read_journal(directory: Path) -> tuple[dict[str, list[Reading]], dict[tuple[str, int], int]]:
    """(symbol -> its readings as they came, (symbol, a window's end) -> the entry that closed the window)."""
    channels = tomllib.loads((directory / "config.toml").read_text(encoding="utf-8"))["channel"]
    of_bus = [channel["symbol"] for channel in channels if "bus" in channel["source"]]
    of_device = {c["source"]["quantity"]: c["symbol"] for c in channels if "device" in c["source"]}
    readings: dict[str, list[Reading]] = defaultdict(list)
    with contextlib.closing(connect_to_read(directory / "gateway" / "journal.db")) as connection:
        names: list[str] = []
        for index, kind, source, arrived_ms, first_ms, body in connection.execute(
            ENTRIES, (kinds.FRAME, kinds.HELLO, kinds.POLL)
        ):
            body = stored_body(kind, body)
            message = messages.decode(body if kind == kinds.POLL else payload_of(body))
            if isinstance(message, messages.Hello):
                names = [of_device[row[0]] for row in message.channels]
            assert not isinstance(message, messages.Summary), f"{source}: its flash ran short"
            if isinstance(message, messages.Readings):
                symbols = of_bus if kind == kinds.POLL else names
                for number, time_ms, value in _rows(message, first_ms):
                    reading = Reading(index, time_ms, arrived_ms, message.clock == 1, value)
                    readings[symbols[number]].append(reading)
        closed = {
            (symbol, end_ms): index
            for symbol, end_ms, index in connection.execute(
                "SELECT symbol, end_ms, idx FROM window WHERE revision = 1"
            )
        }
    return readings, closed


def _rows(message: messages.Readings, first_ms: int | None) -> Iterator[tuple[int, int, float | None]]:
    """(channel, time, value) of each. What a device measured before it was told the time, the gateway has
    placed: the entry says where. A reading that has no place is in no window.
    """
    base_ms = message.base_ms
    if not message.clock:
        if first_ms is None:
            return
        base_ms = first_ms - min(row[1] for row in message.rows)
    for number, offset_ms, raw, quality, _ in message.rows:
        assert (raw is None) == (quality != 0), "these instruments give a good value or none"
        yield number, base_ms + offset_ms, None if raw is None else bits_float(raw)
