"""Opening the journal's database: one set of pragmas, one migration runner.

Why FULL: in WAL mode NORMAL syncs only at checkpoints; a power cut then loses transactions whose COMMIT
returned.
Why the log is written once more before it is opened: after a sync that failed, the system may take its pages
for clean. The next process would find them in memory, sync nothing, and move them into the database; a power
cut within that leaves half a transaction and no log (tests/power/test_journal_faults.py).
"""

from __future__ import annotations

import os
import sqlite3
from importlib import resources
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal import durable
from gateway.journal.leaf import leaf
from gateway.journal.packed import stored_body

VERSION = 5
"""Schema version this program writes: the newest schema/v<N>.sql."""
PAGE_CACHE_KIB = 2048
"""Pages SQLite keeps for one connection; the journal is appended to, a larger cache buys nothing."""
PAGE_BYTES = 512
"""Of a database made from now on; others keep theirs. A commit writes whole pages, its own and three or four
on the way to them; at a station's load that is more than what it has to say (`quantrac bench card`)."""
WAL_BYTES = 8 * 1024 * 1024
"""Size of the write-ahead log at which it is moved into the database."""
WAL_KEEP_BYTES = 16 * 1024 * 1024
"""A log grown by a burst is cut to this size."""
_PART_BYTES = 1 << 20
BUSY_MS = 5000
"""How long a connection waits for another one's lock."""
TAIL_ENTRIES = 64
"""Newest entries whose hashes are checked whenever the journal is opened."""


def connect(path: Path | str) -> sqlite3.Connection:
    """The writing connection: autocommit, WAL, synchronous=FULL. May be used from any one thread at a
    time. sqlite3.OperationalError when the disk does not take it.
    """
    write_log_again(path)
    connection = sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":  # it says so instead of raising: on a disk that refused a write, for one
            raise sqlite3.OperationalError(f"disk I/O error: no write-ahead log, but {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # wal.py does that
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEEP_BYTES}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = OFF")  # else pages that are free are written once more
    except BaseException:
        connection.close()
        raise
    return connection


def write_log_again(path: Path | str) -> None:
    """Make sure that what the log holds is on the disk, and not in memory only: see above."""
    try:
        with open(f"{path}-wal", "r+b", buffering=0) as log:
            at = 0
            while part := log.read(_PART_BYTES):
                log.seek(at)
                log.write(part)
                at += len(part)
            os.fdatasync(log.fileno())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise sqlite3.OperationalError(f"disk I/O error: {error}") from error


def sync_folder(path: Path | str) -> None:
    """The names of the journal's files are on the disk: SQLite goes on when this fails."""
    try:
        durable.sync_folder(Path(path).parent)
    except OSError as error:
        raise sqlite3.OperationalError(f"disk I/O error: {error}") from error


def connect_to_read(path: Path | str) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.OperationalError when there is no journal yet."""
    connection = sqlite3.connect(
        f"{Path(path).absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -512")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to VERSION, each step in its own transaction. JournalError if it is newer than
    that.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise JournalError(
            f"The journal has schema {version}, this program knows {VERSION}: install the newer one again."
        )
    for step in range(version + 1, VERSION + 1):
        sql = (resources.files("gateway.journal") / "schema" / f"v{step}.sql").read_text(encoding="utf-8")
        connection.create_function("journal_leaf", 5, leaf, deterministic=True)
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {step};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check_tail(connection: sqlite3.Connection) -> int:
    """Number of entries, after checking that the newest ones are whole. JournalError if they are not."""
    rows = connection.execute(
        "SELECT idx, leaf, kind, name, arrived_ms, mono_ms, body FROM entry "
        "LEFT JOIN source ON source.id = source ORDER BY idx DESC LIMIT ?",
        (TAIL_ENTRIES,),
    ).fetchall()
    for offset, (idx, stored, kind, name, arrived_ms, mono_ms, body) in enumerate(rows):
        if idx != rows[0][0] - offset:
            raise JournalError(f"Entry {rows[0][0] - offset} is missing: restore the journal from a backup.")
        if leaf(kind, name, arrived_ms, mono_ms, stored_body(kind, body)) != stored:
            raise JournalError(f"Entry {idx} does not match its hash: restore the journal from a backup.")
    return rows[0][0] + 1 if rows else 0
