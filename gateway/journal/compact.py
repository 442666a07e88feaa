"""Making the journal's file smaller, after much of it was pruned. The gateway is stopped meanwhile.

Rule 1: a fresh file is written beside the old one, synced and compared with it; only then does it take its
        name. Whatever happens before that, the old one is what the next start finds.
Rule 2: why not as the gateway runs: auto_vacuum costs a page more in most commits, for ever (decisions/0008),
        and a file that has grown to what retention_days need uses its room again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal import database, durable
from gateway.journal.tree import Tree

TABLES = ("entry", "pruned", "window", "outbox", "tally", "checkpoint", "node", "span", "source", "meta")
SPARE_BYTES = 64 << 20
"""Room left over beside the fresh file."""


def compact(path: Path) -> tuple[int, int]:
    """The file's bytes before and after. JournalError: nothing was changed."""
    fresh = path.with_name(path.name + ".compact")
    fresh.unlink(missing_ok=True)
    before = path.stat().st_size
    try:
        connection = database.connect(path)
        try:
            content = _ready(connection)
            pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
            need = pages * _pragma(connection, "page_size") + SPARE_BYTES
            if shutil.disk_usage(path.parent).free < need:
                raise JournalError(f"The smaller file needs {need >> 20} MiB free on the disk: make room.")
            connection.execute("VACUUM INTO ?", (str(fresh),))
        finally:
            connection.close()
        if Path(f"{path}-wal").exists():
            raise JournalError("Somebody reads the journal: end that first.")
        _compare(fresh, content)
        os.chmod(fresh, path.stat().st_mode & 0o777)
        with open(fresh, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(fresh, path)
        durable.sync_folder(path.parent)
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be made smaller: {error}. Check the disk.") from error
    finally:
        fresh.unlink(missing_ok=True)
    return before, path.stat().st_size


def _ready(connection: sqlite3.Connection) -> tuple:
    """What is in it, once nothing is in its log any more."""
    if _pragma(connection, "user_version") != database.VERSION:
        raise JournalError("The journal is of another version: let this version's gateway open it first.")
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise JournalError("Somebody reads the journal: end that first.")
    return _content(connection)


def _content(connection: sqlite3.Connection) -> tuple:
    size = database.check_tail(connection)
    counts = [connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES]
    return size, Tree(connection).frontier(size).root(), counts


def _compare(fresh: Path, content: tuple) -> None:
    connection = database.connect_to_read(fresh)
    try:
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if whole != "ok" or _content(connection) != content:
            raise JournalError(f"The smaller file is not the journal ({whole}): check the disk.")
    finally:
        connection.close()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
