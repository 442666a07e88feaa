"""A gateway without devices and without a disk: what it sends is a real one's, and so is how it sends.

Its configuration, the bytes of its files and messages, names, topics, ids and signed checkpoints come from
the gateway's own modules, and its workers and destinations are the gateway's own: connections, order, back-
off and what counts as confirmed. Only the journal is missing: what waits lies in memory, and the windows are
made up. A thousand of them fit into one process.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import parse
from gateway.config_model import Config
from gateway.documents import checkpoint_drafts, documents
from gateway.errors import ConfigFaults
from gateway.forward.make import make
from gateway.forward.port import Confirmation, Document
from gateway.forward.worker import Worker
from gateway.journal.checkpoints import origin
from gateway.windows import Window
from protocol.checkpoint import Checkpoint
from protocol.note import Signer, Verifier
from protocol.quality import OK
from tools.demo.site import HOST, table

WINDOW_MS = 300_000
ENTRIES_A_WINDOW = 110
"""Of a station with ten channels at 1 Hz: a frame each 3 s, and the ten windows."""


class MemoryOutbox:
    """The outbox in memory: gateway.forward.port.Outbox."""

    def __init__(self, destinations: Sequence[str]):
        self._events = {name: asyncio.Event() for name in destinations}
        self._waiting: dict[str, dict[int, Document]] = {name: {} for name in destinations}
        self._queued: dict[int, float] = {}
        self._empty = asyncio.Event()
        self.confirmed: dict[int, tuple[Document, float]] = {}
        """id -> (document, seconds from its queueing to the receiver's confirmation)."""
        self.failures = 0
        self.parked: list[str] = []

    def put(self, document: Document) -> None:
        """Queue it, now."""
        self._queued[document.id] = time.monotonic()
        self._waiting[document.destination][document.id] = document
        self._events[document.destination].set()

    @property
    def unsent(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def drained(self) -> None:
        """Until nothing waits any more."""
        self._empty.clear()
        while self.unsent:
            await self._empty.wait()
            self._empty.clear()

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        waiting = self._waiting[destination]
        return [waiting[id] for id in sorted(waiting) if id > after_id][:limit]

    async def delivered(self, confirmed: Mapping[int, Confirmation]) -> None:
        now = time.monotonic()
        for id in confirmed:
            for waiting in self._waiting.values():
                if (document := waiting.pop(id, None)) is not None:
                    self.confirmed[id] = document, now - self._queued[id]
        if not self.unsent:
            self._empty.set()

    async def failed(self, id: int, reason: str, park: bool) -> None:
        self.failures += 1
        for waiting in self._waiting.values():
            if id in waiting and park:
                self.parked.append(reason)
                del waiting[id]
            elif id in waiting:
                waiting[id] = waiting[id]._replace(attempts=waiting[id].attempts + 1)
        if not self.unsent:
            self._empty.set()

    def event(self, destination: str) -> asyncio.Event:
        return self._events[destination]


class LightGateway:
    """Gateway number `number` of a province."""

    def __init__(self, number: int, channels: int, sftp: dict[str, Any], mqtt: dict[str, Any], folder: Path):
        self.number = number
        self.config = _config(number, channels, sftp, mqtt, folder)
        station = self.config.station
        name = origin(station.province, station.facility, station.code)
        self._signer = Signer(
            name, Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        )
        self.sent: list[Document] = []
        self._entries = 0
        self._random = Random(number)

    def start(self) -> None:
        """Its workers run from now on; nothing is connected before the first document."""
        self.outbox = MemoryOutbox([each.id for each in self.config.destination])
        self._tasks = [
            asyncio.create_task(
                Worker(each.id, make(self.config, each), self.outbox, random=self._random).run()
            )
            for each in self.config.destination
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def verifier(self) -> Verifier:
        """Of the key that signs its checkpoints: who checks them has it from the facility."""
        return self._signer.verifier

    def close_window(self, end_ms: int) -> None:
        """A window ends at `end_ms`: its documents are queued, with the checkpoint before it, and its own."""
        before = self._checkpoint()
        self._entries += ENTRIES_A_WINDOW
        windows = [
            Window(
                channel.symbol, channel.unit, end_ms - WINDOW_MS, end_ms, 1, self._random.gauss(40.0, 5.0),
                OK, "00", 300, 300, 1.0, 20.0, 60.0, "",
            )
            for channel in self.config.channel
        ]  # fmt: skip
        drafts = documents(self.config, windows, before)
        drafts += checkpoint_drafts(self.config, self._entries, end_ms, self._checkpoint())
        for destination, key, kind, name, folder, at_ms, body in drafts:
            id = len(self.sent) + 1
            self.sent.append(Document(id, destination, key, kind, name, folder, at_ms, body, 0))
            self.outbox.put(self.sent[-1])

    def _checkpoint(self) -> bytes:
        if not self._entries:
            return b""
        root = hashlib.sha256(f"{self.number} {self._entries}".encode()).digest()
        text = Checkpoint(self.verifier.name, self._entries, root).text()
        return f"{text}\n{self._signer.sign(text)}".encode()


def _config(number: int, channels: int, sftp: dict[str, Any], mqtt: dict[str, Any], folder: Path) -> Config:
    code = f"NUO{number:04}"
    parts = [
        table("[station]", {
            "province": "LCa", "facility": f"F{number:04}", "code": code, "name": code, "kind": "wastewater",
        }),
        table("[gateway]", {"state_dir": f"g{number:04}"}),
    ]  # fmt: skip
    parts.append(table("[[bus]]", {"id": "bus", "link": f"modbus-tcp://{HOST}:{number % 60_000 + 1}"}))
    parts += [
        table("[[channel]]", {
            "symbol": f"Q{i}", "unit": "mg/l", "decimals": 4,
            "source": {"bus": "bus", "unit": 1, "table": "holding", "register": 2 * i, "type": "float32"},
        })
        for i in range(channels)
    ]  # fmt: skip
    parts.append(table("[[destination]]", {"id": "province", "send": ["windows"], **sftp}))
    parts.append(table("[[destination]]", {"id": "national", "send": ["windows", "checkpoints"], **mqtt}))
    path = folder / f"{code}.toml"
    config, faults = parse(path, "\n".join(parts).encode())
    if config is None:
        raise ConfigFaults(path, faults)
    return config
