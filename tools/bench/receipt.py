"""How long a receipt takes, and a checkpoint, in a log of ten million entries: three years of a busy station.

The journal is of the gateway's own schema: rows with short bodies and their true hashes, written straight
into it, for the sake of the minutes. Nodes, checkpoint and receipts are made by what the gateway makes them
with. Each receipt has a reader of its own, as a person's command has, reads from the disk, and is verified.
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.journal import database
from gateway.journal.checkpoints import INSERT_CHECKPOINT
from gateway.journal.kinds import POLL
from gateway.journal.leaf import leaf
from gateway.journal.reader import Reader
from gateway.journal.tree import INSERT_NODE
from gateway.journal.writer import ENTRY_COLUMNS
from gateway.receipts import LOOK_CHECKPOINTS, receipt
from protocol import receipt as receipts
from protocol.checkpoint import Checkpoint, sign
from protocol.merkle import Frontier
from protocol.note import Signer, Verifier
from tools.bench.measure import cost_of, machine

ENTRIES = 10_000_000
RECEIPTS = 1000
CHECKPOINTS = 200
AT_ONCE = 65_536
"""Entries of one transaction, while the journal is made."""
APPENDED = 700
"""Entries between two checkpoints: five minutes of a busy station."""
TOGETHER = 100
"""Entries that share a time, as they came together."""
RANDOM_SEED = 20260325
NAME = "quantrac/LCa/DEMO/NUO001"
START_MS = 1_774_397_100_000
SOURCE = "bus/tank"
_ROW = f"INSERT INTO entry ({ENTRY_COLUMNS}) VALUES (?, ?, 1, 1, ?, ?, ?, ?, NULL, NULL, ?, ?)"


def run(seconds: float, entries: int = ENTRIES) -> dict[str, Any]:
    """`value` is the median of a receipt in ms; `seconds` of the argument is not needed here."""
    began = time.monotonic()
    signer = Signer(NAME, Ed25519PrivateKey.generate())
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        path = Path(folder) / "journal.db"
        frontier = _fill(path, entries)
        filled_s = time.monotonic() - began
        checkpoints = _checkpoints(path, frontier, signer)
        size_bytes = path.stat().st_size
        os.sync()
        took, cpu, wrong = _receipts(path, entries, signer.verifier)
    cost = cost_of(os.getpid())
    return {
        "name": "receipt", "value": _at(took, 0.5), "unit": "ms",
        "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(cost.cpu_s, 1),
        "rss_mib": cost.peak_mib, "machine": machine(), "entries": entries, "receipts": len(took),
        "p99_ms": _at(took, 0.99), "max_ms": _at(took, 1.0), "cpu_ms": _at(cpu, 0.5), "wrong": wrong,
        "checkpoint_ms": _at(checkpoints, 0.5), "checkpoint_max_ms": _at(checkpoints, 1.0),
        "journal_bytes": size_bytes, "filled_s": round(filled_s, 1),
    }  # fmt: skip


def _at(took_s: list[float], share: float) -> float:
    """In ms, of a list that rises."""
    return round(1000 * took_s[min(len(took_s) - 1, int(share * len(took_s)))], 3)


# The journal ------------------------------------------------------------------------------------------------


def _fill(path: Path, entries: int) -> Frontier:
    """So many entries with their nodes; the frontier behind them."""
    connection = database.connect(path)
    try:
        database.migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")  # nobody acknowledges anything here
        connection.execute("INSERT INTO source VALUES (1, ?)", (SOURCE,))
        frontier = Frontier()
        for first in range(0, entries, AT_ONCE):
            _append(connection, frontier, range(first, min(first + AT_ONCE, entries)))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return frontier


def _append(connection: sqlite3.Connection, frontier: Frontier, indexes: range) -> None:
    rows = list(_rows(indexes))
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_ROW, rows)
    connection.executemany(INSERT_NODE, frontier.extend([row[-1] for row in rows]))
    connection.execute("COMMIT")


def _rows(indexes: range) -> Iterator[tuple]:
    for index in indexes:
        body = b"%032d" % index
        time_ms = START_MS + index // TOGETHER * 100
        yield index, POLL, index, index, time_ms, 7, body, leaf(POLL, SOURCE, time_ms, 7, body)


# What is measured -------------------------------------------------------------------------------------------


def _checkpoints(path: Path, frontier: Frontier, signer: Signer) -> list[float]:
    """Seconds that signing takes, each behind some more entries: what a window adds to its transaction. The
    checkpoint of the entries that there are is put into the journal, with a day's before it.
    """
    size = frontier.size
    leaves = [row[-1] for row in _rows(range(size, size + APPENDED))]
    took = []
    for _ in range(CHECKPOINTS):
        grown = Frontier(frontier.size, frontier.hashes)
        begin = time.perf_counter()
        grown.extend(leaves)
        sign(Checkpoint(NAME, grown.size, grown.root()), signer)
        took.append(time.perf_counter() - begin)
    connection = database.connect(path)
    note = sign(Checkpoint(NAME, size, frontier.root()), signer)
    connection.execute(INSERT_CHECKPOINT, (size, START_MS, note))
    earlier = range(max(1, size - LOOK_CHECKPOINTS), size)  # a receipt looks at a day's; these lead nowhere
    connection.executemany(INSERT_CHECKPOINT, [(each, START_MS, note) for each in earlier])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return sorted(took)


def _forget(path: Path) -> None:
    """The system's own memory of the journal: from here on it is read from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _receipts(path: Path, entries: int, log: Verifier) -> tuple[list[float], list[float], int]:
    """Seconds and CPU seconds of receipts of random entries, rising; and how many were wrong."""
    chance = random.Random(RANDOM_SEED)
    took, cpu, wrong = [], [], 0
    for _ in range(RECEIPTS):
        index = chance.randrange(entries)
        _forget(path)
        begin, used = time.perf_counter(), time.process_time()
        reader = Reader(path)
        found = receipt(reader, index)
        data = found.encode()
        reader.close()
        took.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - used)
        given = receipts.parse(data)
        assert given.extra is not None
        signed = receipts.check(given, given.extra, log)
        wrong += (given.index, signed.size) != (index, entries)
    return sorted(took), sorted(cpu), wrong
