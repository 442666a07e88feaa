"""A gateway that is backed up and restored, and a witness that remembers what was signed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from gateway import backup as backups
from gateway.backup import BackedUp
from gateway.config import load
from gateway.journal.checkpoints import LOG_ENTRIES, Checkpoints
from gateway.journal.keys import MARK_FILE
from gateway.journal.reader import Reader
from gateway.journal.stopped import Now
from gateway.restore import Restored, restore
from gateway.succession import LogEntry, parse_log_entry
from protocol import checkpoint, note
from protocol.merkle import consistency_proof
from simulator.witness import Answer, Witness
from simulator.witness_server import WitnessServer
from tests.gateway.evidence_rig import Story, greeting, live
from tests.servers.process import free_port

NAME = "quantrac/LCa/DEMO/NUO001"
SECOND = f"{NAME}/epoch-2"
WITNESS = '\n[[witness]]\nurl = "http://127.0.0.1:{port}"\nvkey_file = "gateway/keys/witness.vkey"\n'


class Site:
    """A facility's folder, `at`, with a story in it; its backup lies outside of it."""

    def __init__(self, folder: Path, witness: bool = False):
        self.at, self.backup, self.port = folder / "site", folder / "backup", free_port()
        self.at.mkdir()
        self.story = Story(self.at, more=WITNESS.format(port=self.port) if witness else "")
        self.witness = Witness(folder / "witness", "witness.example/w1", [folder / "logs"])
        self.logs = folder / "logs"
        if witness:
            (self.state_dir / "keys" / "witness.vkey").write_text(self.witness.vkey + "\n")

    @property
    def state_dir(self) -> Path:
        return self.at / "gateway"

    @property
    def journal(self) -> Path:
        return self.state_dir / "journal.db"

    @property
    def config(self) -> Path:
        return self.at / "config.toml"

    @property
    def mark(self) -> Path:
        return self.state_dir / MARK_FILE

    def lives(self, windows: int = 2) -> int:
        """The gateway is started, windows close, it is stopped; how many entries were signed."""
        self.story.start(greeting, live(windows))
        found = self.newest()
        return found[0] if found else 0

    def back_up(self) -> BackedUp:
        shutil.rmtree(self.backup, ignore_errors=True)
        return backups.backup(load(self.config), self.backup, self.story.now_ms)

    def loses(self, what: str) -> None:
        """The journal, or all there is."""
        if what == "all":
            shutil.rmtree(self.at)
        else:
            for path in self.state_dir.glob("journal.db*"):
                path.unlink()

    def restore(self, reason: str = "") -> Restored:
        return restore(self.backup, self.config, Now(self.story.now_ms, 1), reason)

    # What the journal holds ---------------------------------------------------------------------------------

    def notes(self) -> list[tuple[int, bytes]]:
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            return connection.execute("SELECT size, note FROM checkpoint ORDER BY size").fetchall()

    def newest(self) -> tuple[int, bytes] | None:
        notes = self.notes()
        return notes[-1] if notes else None

    def told(self) -> list[LogEntry]:
        with contextlib.closing(sqlite3.connect(self.journal)) as connection:
            return [parse_log_entry(body, idx) for idx, body in connection.execute(LOG_ENTRIES)]

    def unsigned(self) -> str:
        """Why the gateway would not sign, if it were started now."""
        reader = Reader(self.journal)
        try:
            signing = Checkpoints(self.state_dir, NAME)
            newest = self.newest()
            entries = reader.rows(LOG_ENTRIES)
            signing.compare(reader.size(), reader.tree().hash_at, newest and newest[1], entries)
        finally:
            reader.close()
        return signing.reason

    # The witness --------------------------------------------------------------------------------------------

    def cosigns(self) -> Answer:
        """The newest checkpoint is shown to the witness, who knows the key of today."""
        with self.logs.open("a") as file:
            file.write((self.state_dir / "log.vkey").read_text())
        found = self.newest()
        assert found is not None
        size, data = found
        shown = self.witness.newest(_hash(data))
        old = checkpoint.parse(note.parse(shown.body).text).size if shown.status == 200 else 0
        old = min(old, size)
        reader = Reader(self.journal)
        try:
            proof = consistency_proof(old, size, reader.tree().hash_at)
        finally:
            reader.close()
        head = "\n".join([f"old {old}", *map(note.to_base64, proof), "", ""]).encode()
        return self.witness.add(head + data)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The witness answers, on a thread of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        server = WitnessServer(self.witness, self.port)
        try:
            asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
            yield
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
            loop.close()


def _hash(data: bytes) -> str:
    return sha256(data.partition(b"\n")[0]).hexdigest()
