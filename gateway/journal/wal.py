"""SQLite's write-ahead log: how long it has grown, and moving it into the database.

SQLite would move it by itself, inside a COMMIT, and keep an error of that to itself: the disk could refuse
the database for weeks while every COMMIT succeeds and the log fills the card. So the writer moves it.

Rule 1: moved when it has grown by WAL_BYTES since it was moved last, as SQLite would do; where nobody reads
        an old state, the next transaction begins the log anew, in the same blocks of the card.
Rule 2: whoever reads keeps what he reads in the log. Is it twice as long, the writer holds up readers that
        come and waits a moment for those that are there, so that it can begin anew. One that reads for
        longer is not waited for: the log grows as long as he reads, then begins anew.
Rule 3: an error is the writer's to handle (its rule 3); nothing here is tried again.

The length is read from the log itself (https://sqlite.org/fileformat2.html#walformat): its frames carry the
salt of its head, older ones behind them another.
"""

from __future__ import annotations

import os
import sqlite3

from gateway.journal import database

RESTART_MS = 200
"""How long readers are waited for; acknowledgements wait as long."""
_HEAD_BYTES = 32
_FRAME_HEAD_BYTES = 24


class Wal:
    """The log of a connection, just opened and moved. OperationalError from all methods: the disk says no."""

    def __init__(self, connection: sqlite3.Connection, path: str):
        self._connection = connection
        self._salt = b""
        self._frame_bytes = 0
        self._frames = 0  # as of grown(); of a transaction that was given up, some may be counted
        self._moved = 0  # so many were there when it was last moved
        try:
            # SQLite has no lock on this file: it may be closed. To close one of the others would give all up.
            self._fd = os.open(f"{path}-wal", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error}") from error

    def close(self) -> None:
        os.close(self._fd)

    @property
    def bytes(self) -> int:
        """Its length, as of grown(), without what is left of an older one."""
        return self._frames * self._frame_bytes

    def grown(self) -> bool:
        """Whether it is to be moved. Call it after each COMMIT."""
        try:
            head = os.pread(self._fd, _HEAD_BYTES, 0)
            if len(head) < _HEAD_BYTES:
                return False
            if head[16:24] != self._salt:
                self._salt, self._frames, self._moved = head[16:24], 0, 0
            self._frame_bytes = _FRAME_HEAD_BYTES + int.from_bytes(head[8:12], "big")
            self._count()
        except OSError as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error}") from error
        return self.bytes - self._moved * self._frame_bytes >= database.WAL_BYTES

    def _count(self) -> None:
        """The frames that are there by now: in ever longer steps, then in ever shorter ones."""
        step = 1
        while self._has(self._frames + step - 1):
            self._frames += step
            step *= 2
        while step := step // 2:
            if self._has(self._frames + step - 1):
                self._frames += step

    def _has(self, frame: int) -> bool:
        return os.pread(self._fd, 8, _HEAD_BYTES + frame * self._frame_bytes + 8) == self._salt

    def move(self) -> None:
        """Into the database: as much as readers allow."""
        execute = self._connection.execute
        if self.bytes < 2 * database.WAL_BYTES:
            execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        else:
            execute(f"PRAGMA busy_timeout = {RESTART_MS}")
            execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            execute(f"PRAGMA busy_timeout = {database.BUSY_MS}")
        self._moved = self._frames
