"""The disk below the gateway's journal, when it says no: the connection that SQLite's errors come from.

    full          no row can be added
    read-only     no transaction can begin
    io-error      COMMIT says an error; every other time what it was about is on the disk all the same

Rule 1: what is said is what SQLite says, at the statement at which it does (tests/power shows where).
Rule 2: what a failed transaction had written is rolled back when its connection is closed, as by SQLite.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from gateway.journal import database

FULL, READ_ONLY, IO_ERROR = "full", "read-only", "io-error"
_SAYS = {
    FULL: "database or disk is full",
    READ_ONLY: "attempt to write a readonly database",
    IO_ERROR: "disk I/O error",
}


class Disk:
    """`fault`: one of the three, or "". Counts how often it `refused`."""

    def __init__(self) -> None:
        self.fault = ""
        self.refused = 0

    def connect(self, path: str) -> sqlite3.Connection:
        """As database.connect()."""
        connection: Any = _Connection(self, database.connect(path))
        return connection

    def refuse(self) -> None:
        self.refused += 1
        raise sqlite3.OperationalError(_SAYS[self.fault])


class _Connection:
    def __init__(self, disk: Disk, connection: sqlite3.Connection) -> None:
        self._disk, self._connection = disk, connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self._look(sql)
        return self._connection.execute(sql, *arguments)

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        self._look(sql)
        return self._connection.executemany(sql, rows)

    def _look(self, sql: str) -> None:
        match self._disk.fault:
            case "full" if sql.startswith(("INSERT", "UPDATE")):
                self._disk.refuse()
            case "read-only" if sql.startswith("BEGIN"):
                self._disk.refuse()
            case "io-error" if sql.startswith("COMMIT"):
                if self._disk.refused % 2:
                    self._connection.execute(sql)
                self._disk.refuse()
