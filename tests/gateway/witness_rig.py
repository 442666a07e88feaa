"""A journal that signs, and a client that asks a witness; both on the test's own loop, HTTP between them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

from gateway.forward.worker import Backoff
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.journal import Journal
from gateway.witness import Witness
from protocol import note
from protocol.checkpoint import Checkpoint, open_checkpoint
from protocol.note import Verifier
from simulator import witness as simulated
from simulator.witness_server import WitnessServer
from tests.gateway.journal_rig import SOURCES, frames
from tests.gateway.test_journal import window, window_entry

LOG = "quantrac/LCa/DEMO/NUO001"
NAME = "witness.example/w1"
LENGTH_MS = 300_000
NOW_MS = 7_000_000


class Site:
    """A gateway's journal, without the rest of the gateway."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.state_dir = folder / "gateway"
        self.vkey_file = self.state_dir / "log.vkey"
        self.keeping = asyncio.Lock()
        self.windows = 0

    async def open(self) -> Site:
        signing = Checkpoints(self.state_dir, LOG)
        self.journal = Journal(self.state_dir / "journal.db", checkpoints=signing)
        self.journal.open(SOURCES)
        self.journal.start()
        return self

    async def close(self) -> None:
        await self.journal.close(timeout_s=2.0)

    async def window(self, entries: int = 3) -> int:
        """Readings, and a window that closes; how many entries the journal has signed then."""
        boot = self.journal.position("device/st-01")[0] + 1
        await self.journal.commit(entries=frames(self.journal, 1, entries, boot=boot))
        made = window_entry(self.journal, window(LENGTH_MS * boot))
        await self.journal.commit(windows=[made], now_ms=NOW_MS + boot)
        return max(self.notes())  # a delivery may have been written in the same transaction, or right behind

    def client(self, url: str, vkey: str, exchange_s: float = 5.0) -> Witness:
        """A client that loses no time between two tries."""
        return Witness(
            url, note.parse_vkey(vkey), self.journal, self.state_dir, lambda: NOW_MS + 60_000, self.keeping,
            backoff=Backoff(Random(1), 0.02, 0.1), backoff_refused=Backoff(Random(1), 0.02, 0.1),
            exchange_s=exchange_s,
        )  # fmt: skip

    @property
    def log(self) -> Verifier:
        return note.parse_vkey(self.vkey_file.read_text().strip())

    def notes(self) -> dict[int, bytes]:
        """size -> the note as it lies in the journal."""
        with contextlib.closing(sqlite3.connect(self.state_dir / "journal.db")) as connection:
            return dict(connection.execute("SELECT size, note FROM checkpoint ORDER BY size"))

    def cosigned(self, *vkeys: str) -> list[int]:
        """Sizes whose checkpoints all of these witnesses have signed, each signature verified."""
        verifiers = [note.parse_vkey(vkey) for vkey in vkeys]
        found = []
        for size, data in self.notes().items():
            checkpoint = self.read(data)
            assert checkpoint.size == size
            try:
                open_checkpoint(data, self.log, verifiers, len(verifiers))
            except note.EvidenceError as error:
                assert "of the witnesses have signed" in str(error), "a signature that does not hold was kept"
            else:
                found.append(size)
        return found

    def read(self, data: bytes) -> Checkpoint:
        return open_checkpoint(data, self.log)

    def backup(self) -> Path:
        """All of the state, as somebody would copy it; the journal must be closed."""
        return Path(shutil.copytree(self.state_dir, self.folder / "backup", dirs_exist_ok=True))

    def restore(self) -> None:
        """... and put it back."""
        shutil.rmtree(self.state_dir)
        shutil.copytree(self.folder / "backup", self.state_dir)


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    opened = await Site(folder).open()
    try:
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def server(folder: Path, name: str = NAME) -> AsyncIterator[WitnessServer]:
    """A witness that knows the log of the site in the same folder."""
    witness = simulated.Witness(folder / name.replace("/", "-"), name, [folder / "gateway/log.vkey"])
    running = await WitnessServer(witness).start()
    try:
        yield running
    finally:
        await running.stop()


@contextlib.asynccontextmanager
async def asking(client: Witness) -> AsyncIterator[Witness]:
    """The client, at work."""
    task = asyncio.create_task(client.run())
    try:
        yield client
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
