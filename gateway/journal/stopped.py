"""The journal of a gateway that does not run, for what is done to the log itself.

Rule 1: what is written is one entry, and with it the checkpoint that it is the last of, in one transaction.
Rule 2: an entry is never earlier than the one before it, whatever the clock says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal import database, keys
from gateway.journal.checkpoints import INSERT_CHECKPOINT, LOG_ENTRIES
from gateway.journal.kinds import GATEWAY
from gateway.journal.leaf import leaf
from gateway.journal.tree import INSERT_NODE, Tree
from gateway.succession import LogEntry, parse_log_entry
from protocol import note
from protocol.checkpoint import Checkpoint
from protocol.merkle import EvidenceError
from protocol.note import Note, Signer, Verifier

JOURNAL_FILE = "journal.db"

_STORED = "SELECT size, note FROM checkpoint ORDER BY size DESC"
_NEWEST_MS = (
    "SELECT COALESCE(MAX(arrived_ms), 0) FROM (SELECT arrived_ms FROM entry ORDER BY idx DESC LIMIT 64)"
)
_ADD_SOURCE = "INSERT INTO source (name) VALUES (?) ON CONFLICT (name) DO NOTHING"
_ADD_ENTRY = (
    "INSERT INTO entry (idx, kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, "
    "last_ms, body, leaf) SELECT ?, ?, id, 0, 0, 0, ?, ?, NULL, NULL, ?, ? FROM source WHERE name = ?"
)


class Now(NamedTuple):
    """This instant: station time in Unix ms, and ms of the gateway's monotonic clock."""

    ms: int
    mono_ms: int


class StoppedLog:
    """Whoever has it holds gateway.lock. JournalError when the journal cannot be gone on with.

    `base` is the log's first name; `path` another place of the journal than in state_dir.
    """

    def __init__(self, state_dir: Path, base: str, path: Path | None = None):
        self.state_dir, self.base = state_dir, base
        self.path = path or state_dir / JOURNAL_FILE
        if not self.path.exists():
            raise JournalError(f"{self.path} does not exist: has this gateway ever run?")
        try:
            self._connection = database.connect(self.path)
            try:
                database.migrate(self._connection)
                self.size = database.check_tail(self._connection)
                self.tree = Tree(self._connection)
                self.tree.complete(self.size)
                self._read()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise JournalError(
                f"The journal {self.path} cannot be opened: {error}. Check the disk."
            ) from error
        except EvidenceError as error:
            raise JournalError(f"The journal {self.path} cannot be gone on with: {error}") from error

    def _read(self) -> None:
        rows = self._connection.execute(LOG_ENTRIES).fetchall()
        self.history = [parse_log_entry(body, index) for index, body in rows]
        self.stored: list[tuple[int, bytes]] = self._connection.execute(_STORED).fetchall()

    def close(self) -> None:
        self._connection.close()

    def detach(self) -> None:
        """Put all of it into the one file, so that it can be moved."""
        try:
            (mode,) = self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.Error as error:
            mode = str(error)
        if mode != "delete":
            raise JournalError(
                f"The journal {self.path} cannot be put into one file: {mode}. Check the disk."
            )

    @property
    def newest(self) -> LogEntry | None:
        """What the journal says last of the log itself."""
        return self.history[-1] if self.history else None

    def settle(self) -> bool:
        """What a crash left of a handover is finished, or undone. Returns whether one was finished."""
        return keys.settle(self.state_dir, self.newest, self.stored[0][1] if self.stored else None)

    def key(self) -> Verifier:
        """What signed until here: by log.vkey, or by the journal where that is further on."""
        published = keys.published(self.state_dir, self.base)
        if published is not None and published not in [entry.old_key for entry in self.history]:
            return published
        if self.newest is not None:
            return self.newest.new_key
        path = self.state_dir / keys.VKEY_FILE
        raise JournalError(f"{path} is gone: put it back. You gave it to the department, who has it.")

    def after(self, now: Now) -> Now:
        """`now`, or the newest entry's time (rule 2)."""
        return now._replace(ms=max(now.ms, self._connection.execute(_NEWEST_MS).fetchone()[0]))

    def add(
        self,
        kind: int,
        body: bytes,
        now: Now,
        signers: Sequence[Signer] = (),
        without: Iterable[int] = (),
    ) -> None:
        """Append an entry; with signers also the checkpoint that it is the last of, in the name of the first.
        Stored checkpoints of the sizes `without` go.
        """
        now = self.after(now)
        made = leaf(kind, GATEWAY, now.ms, now.mono_ms, body)
        frontier = self.tree.frontier(self.size)
        nodes = frontier.extend([made])
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            execute(_ADD_SOURCE, (GATEWAY,))
            execute(_ADD_ENTRY, (self.size, kind, now.ms, now.mono_ms, body, made, GATEWAY))
            for node in nodes:
                execute(INSERT_NODE, node)
            for size in without:
                execute("DELETE FROM checkpoint WHERE size = ?", (size,))
            if signers:
                text = Checkpoint(signers[0].verifier.name, self.size + 1, frontier.root()).text()
                signed = note.with_signatures(Note(text, ()), *(signer.sign(text) for signer in signers))
                execute(INSERT_CHECKPOINT, (self.size + 1, now.ms, signed.encode()))
            execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(
                f"The journal cannot be written ({error}). Once the disk is right again, give the same "
                "command once more: it looks first how far this one came."
            ) from error
        self.size += 1
        self._read()
