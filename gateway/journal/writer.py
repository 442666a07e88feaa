"""The journal's one writing thread: group commit, and what happens when the disk says no.

Rule 1: jobs are written in the order they were submitted; a job is done when the COMMIT of its transaction
        returned.
Rule 2: while one commit runs, the next jobs queue up and become the next transaction. A job may have
        patience: it waits so long for others to share its commit, since a memory card is worn by commits, not
        by bytes. One without patience, or a CROWD of one source, takes all that wait along at once.
Rule 3: after any error of the disk the commit is not tried again: the connection is closed, the database
        opened afresh, its log moved into the database file (new writes, a new sync) and its tail checked.
        Only then is it decided whether the failed transaction is in the journal (its jobs are done) or not
        (it is written anew). A second fsync of the same pages proves nothing: the system may have dropped
        them after the first error.
        So it is with an error of moving the log (wal.py), which follows a COMMIT and what was reported of it.
        The alarm lasts until what had failed was done: something was committed, the log was moved.
Rule 4: what the disk cannot explain (a broken tail, a record out of order) stops the writer for good, loudly.
Rule 5: a transaction with windows signs a checkpoint of all entries up to and with them, and keeps it. What
        was signed leaves this thread only after the COMMIT, and after it was remembered (checkpoints.py).

Many rows go into one statement because the interpreter lock is given away and fought for at every statement.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.checkpoints import INSERT_CHECKPOINT, LOG_ENTRIES, Checkpoints
from gateway.journal.fold import SAVE_EVERY, Fold
from gateway.journal.kinds import FRAME, WINDOW
from gateway.journal.leaf import leaf
from gateway.journal.packed import MOST_AT_ONCE, marked, to_store
from gateway.journal.tree import INSERT_NODE, Tree
from gateway.journal.wal import Wal
from gateway.windows import FIELDS_4, Window
from protocol.merkle import Frontier

BATCH_ENTRIES = 4096
"""Entries in one transaction: about 2 MiB, so that a commit stays short and the page cache small."""
CROWD = 6
"""Entries of one source after which nobody waits: a device sends 8 frames ahead, then stands still."""
CROWD_RECORDS = 120
"""... and records: a device moves 128 unacknowledged ones to its flash when its memory is small."""
CROWD_FRAMES = 64
"""... and frames of all devices: so many wear a card by their bytes, wait or no. Of 250 devices,
which send 84 a second, all is then on disk within one second, not within five."""
CROWD_BYTES = 256 * 1024
"""... and of all sources, in bytes: what a longer wait would save is too little to be worth the memory."""
RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before the journal is opened again after an error; the last one repeats."""

ENTRY_COLUMNS = (
    "idx, kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, last_ms, body, leaf"
)
ENTRY_WIDTH = 12
_CHUNKS = (64, 32, 16, 8, 4, 2, 1)
_INSERT_ENTRIES = {
    n: f"INSERT INTO entry ({ENTRY_COLUMNS}) VALUES "
    + ", ".join(["(" + ", ".join("?" * ENTRY_WIDTH) + ")"] * n)
    for n in _CHUNKS
}
_NEWEST_CHECKPOINT = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"
_INSERT_WINDOW = "INSERT INTO window VALUES (" + ", ".join("?" * 22) + ")"
_INSERT_DRAFT = (
    "INSERT INTO outbox (id, destination, key, kind, name, folder, at_ms, created_ms, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (destination, key) DO NOTHING"
)


class Entry(NamedTuple):
    """One entry to be appended; columns of `entry` without idx and leaf. On the hot path a plain tuple will
    do.
    """

    kind: int
    source: int
    boot: int
    first_seq: int
    last_seq: int
    arrived_ms: int
    mono_ms: int
    first_ms: int | None
    last_ms: int | None
    body: bytes


class Waits:
    """How the writing thread waits: in real time. A simulation's own waits in another (tools/scenario)."""

    def now_s(self) -> float:
        return time.monotonic()

    def get(self, queue: SimpleQueue[Job | None], seconds: float | None) -> Job | None:
        """The next of the queue. Empty when `seconds` are over; None waits for ever."""
        return queue.get(block=seconds is None or seconds > 0, timeout=seconds)

    def pause(self, over: threading.Event, seconds: float) -> bool:
        """Whether `over` was set within so long."""
        return over.wait(seconds)


class Job:
    """What belongs into one transaction. `done(job)` is called on the loop after the commit."""

    __slots__ = (
        "bytes",
        "done",
        "drafts",
        "entries",
        "error",
        "first",
        "marks",
        "now_ms",
        "patience_s",
        "queued",
        "windows",
    )

    def __init__(
        self,
        entries: Sequence[tuple] = (),
        windows: Sequence[tuple[Window, Entry]] = (),
        drafts: Sequence[tuple] = (),
        marks: Sequence[tuple[str, list[tuple]]] = (),
        now_ms: int = 0,
        done: Callable[[Job], None] | None = None,
        patience_s: float = 0.0,
    ):
        self.patience_s = patience_s  # how long it may wait for others
        self.entries = entries
        self.windows = windows
        self.drafts = drafts  # (destination, key, kind, name, folder, at_ms, body)
        self.marks = marks  # (SQL, rows) beside the entries; done twice, it must be as done once
        self.now_ms = now_ms
        self.done = done
        self.queued: list[tuple] = []  # those of drafts that were not in the outbox before, once written
        self.first = -1  # number of its first entry, once written
        self.error: Exception | None = None  # set, with done() called, when it can never be written
        self.bytes = sum(len(entry[9]) for entry in entries) + sum(len(draft[6]) for draft in drafts)

    def __len__(self) -> int:
        return len(self.entries) + len(self.windows)


class Writer:
    """Owns the writing connection. `report(jobs)` and `alarm(text)` are called in the writer's thread."""

    def __init__(
        self,
        path: str,
        report: Callable[[list[Job]], None],
        alarm: Callable[[str], None],
        connect: Callable[[str], sqlite3.Connection] = database.connect,
        checkpoints: Checkpoints | None = None,
        waits: Waits | None = None,
    ):
        self._path = path
        self._waits = waits or Waits()
        self._checkpoints = checkpoints
        self._report = report
        self._alarm = alarm
        self._connect = connect
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="journal", daemon=True)
        self._ends = threading.Lock()  # held to queue a job, and to queue the last
        self._ended = False
        self.commits = 0  # transactions committed
        self.faults = 0  # errors of the disk met
        self.size = 0  # entries on disk
        self.dead = False  # rule 4,
        self.reason = ""  # and why
        self._error: Exception | None = None
        self._alarmed = False
        self._wal: Wal | None = None
        self._last_leaf = self._expected_leaf = b""
        self._next_document = 1
        self.fold = Fold()
        self.names: dict[int, str] = {}  # source -> its name
        self._frontier = Frontier()
        self._open()

    def _open(self, after_error: bool = False) -> None:
        self.connection = self._connect(self._path)
        try:
            database.migrate(self.connection)
            busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if (
                busy and after_error
            ):  # somebody reads an old state; what is in the log could be undone by the disk
                raise sqlite3.OperationalError("the log cannot be moved while it is read")
            database.sync_folder(self._path)
            self.size = database.check_tail(self.connection)
            self.fold = Fold.load(self.connection)
            self.name_sources(())
            tree = Tree(self.connection)
            tree.complete(self.size)
            self._frontier = tree.frontier(self.size)
            if self._checkpoints is not None:
                newest = self.connection.execute(_NEWEST_CHECKPOINT).fetchone()
                log_entries = self.connection.execute(LOG_ENTRIES).fetchall()
                self._checkpoints.compare(self.size, tree.hash_at, newest and newest[0], log_entries)
            newest = self.connection.execute("SELECT COALESCE(MAX(id), 0) FROM outbox").fetchone()[0]
            self._next_document = max(self._next_document, newest + 1)
            row = self.connection.execute("SELECT leaf FROM entry ORDER BY idx DESC LIMIT 1").fetchone()
            self._last_leaf = row[0] if row else b""
            self._wal = Wal(self.connection, self._path)
        except BaseException:
            self._close()
            raise

    def name_sources(self, names: Iterable[str]) -> None:
        """Make these sources known, before start()."""
        if names:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(
                "INSERT INTO source (name) VALUES (?) ON CONFLICT (name) DO NOTHING", [(n,) for n in names]
            )
            self.connection.execute("COMMIT")
        self.names = dict(self.connection.execute("SELECT id, name FROM source"))

    def adopt(self, jobs: list[Job]) -> None:
        """Write these at once, before start(). sqlite3.Error, with none of them written."""
        self.size, self._last_leaf = self._transaction(jobs)
        self.commits += 1

    def _close(self) -> None:
        if self._wal is not None:
            self._wal.close()
            self._wal = None
        try:
            self.connection.close()
        except sqlite3.Error:
            pass  # it failed before; whatever it still held was never acknowledged

    def start(self) -> None:
        self._thread.start()

    def put(self, job: Job) -> bool:
        """Queue it; it will be reported. False: it never will be, the writer was told to stop."""
        with self._ends:
            if not self._ended:
                self._queue.put(job)
            return not self._ended

    def stop(self, timeout_s: float | None = None) -> None:
        """Write what is queued, then end. With a disk that says no, what is queued stays unwritten, and is
        reported with an error. A disk that does not answer at all is waited for no longer than `timeout_s`.
        """
        self._stopping.set()
        self.end()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        else:
            self._close()

    def end(self) -> None:
        """What is queued now is all there will be."""
        with self._ends:
            if not self._ended:
                self._queue.put(None)
            self._ended = True

    # The thread ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write what is queued, as it comes, until the end."""
        last = False
        while not last:
            jobs: list[Job] = []
            try:
                last = self._collect(jobs)
                if jobs and not self.dead:
                    self._write_for_certain(jobs)
                    jobs = []
                    self._move_log()
            except Exception as error:  # rule 4; anything else would end the thread in silence
                self._die(error)
            if self.dead:
                self._give_up(jobs)
        self._close()

    def _collect(self, jobs: list[Job]) -> bool:
        """Wait for a job, then take what else is there, up to one transaction. Whether it was the last."""
        count = 0
        until = math.inf  # when somebody's patience ends
        crowd = _Crowd()
        while count < BATCH_ENTRIES:
            wait_s = until - self._waits.now_s() if jobs else None
            try:
                job = self._waits.get(self._queue, wait_s)
            except Empty:
                break
            if job is None:
                return True
            jobs.append(job)
            count += len(job)
            if until > -math.inf and crowd.joined_by(job):
                until = -math.inf
            until = min(until, self._waits.now_s() + job.patience_s)
        return False

    def _write_for_certain(self, jobs: list[Job]) -> None:
        """Return when `jobs` are on disk and reported. JournalError: never will be (rule 4, or told to
        stop).
        """
        attempt = 0
        while True:
            before, positions = self.size, dict(self.fold.positions)
            if attempt == 0:
                self._first_document = self._next_document
            try:
                after, last_leaf = self._transaction(jobs)
            except sqlite3.DatabaseError as error:
                if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)):
                    raise JournalError(f"The journal refused rows that must fit ({error}).") from error
                after, last_leaf = before + sum(map(len, jobs)), self._expected_leaf
                if not self._reopen(error, attempt):
                    raise JournalError("closed while the disk could not be written") from error
                attempt += 1
                if self.size == before and self.fold.positions == positions:
                    continue  # nothing of it is in the journal: write it anew
                if self.size != after or self._last_leaf != last_leaf:
                    raise JournalError(
                        f"after a disk error it has {self.size} entries, neither {before} nor {after}"
                    ) from error
                self._number(jobs, before)
            self.size, self._last_leaf = after, last_leaf
            self.commits += 1
            self._calm()
            self._report(jobs)
            return

    def _move_log(self) -> None:
        assert self._wal is not None
        try:
            if self._wal.grown():
                self._wal.move()
        except sqlite3.DatabaseError as error:
            before = self.size, self._last_leaf, dict(self.fold.positions)
            if not self._reopen(error, 0):
                raise JournalError("closed while the disk could not be written") from error
            if (self.size, self._last_leaf, self.fold.positions) != before:
                raise JournalError(
                    f"after a disk error it has {self.size} entries, not the {before[0]} that were committed"
                ) from error
            self._calm()  # to open it is to move the log, with new writes and a new sync

    def _calm(self) -> None:
        if self._alarmed:
            self._alarmed = False
            self._alarm("")

    def _reopen(self, error: Exception, attempt: int) -> bool:
        """Close and open until the journal is whole again. False when the writer is to stop instead."""
        while True:
            self.faults += 1
            self._alarmed = True
            self._alarm(f"The journal cannot be written ({error}): nothing is acknowledged until it can.")
            self._close()
            if self._waits.pause(self._stopping, RETRY_S[min(attempt, len(RETRY_S) - 1)]):
                return False
            try:
                self._open(after_error=True)
            except sqlite3.DatabaseError as again:
                error, attempt = again, attempt + 1
            else:
                return True

    def _die(self, error: Exception) -> None:
        self._error = error
        self.reason = f"The journal has stopped: {error}"
        self.dead = True
        self._close()
        self._alarm(self.reason)

    def _give_up(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.error = self._error
        self._report(jobs)

    # One transaction ----------------------------------------------------------------------------------------

    def _transaction(self, jobs: list[Job]) -> tuple[int, bytes]:
        """Write `jobs` and commit. Returns the new size and the newest leaf. sqlite3.DatabaseError: see rule
        3.
        """
        rows, leaves, windows, size = self._rows(jobs)
        self._expected_leaf = leaves[-1] if leaves else self._last_leaf
        nodes = self._frontier.extend(leaves)
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        _insert(execute, rows)
        if nodes:
            self.connection.executemany(INSERT_NODE, nodes)
        note = None
        if windows:
            self.connection.executemany(_INSERT_WINDOW, windows)
            if self._checkpoints is not None:
                note = self._checkpoints.sign(size, self._frontier.root())
        if note is not None:
            execute(INSERT_CHECKPOINT, (size, max(job.now_ms for job in jobs), note))
        self._queue_documents(jobs)
        for job in jobs:
            for sql, marks in job.marks:
                self.connection.executemany(sql, marks)
        save = bool(windows) or size - self.fold.folded >= SAVE_EVERY
        if save:
            self.fold.save(self.connection, size)
        execute("COMMIT")
        if save:
            self.fold.saved(size)
        if note is not None and self._checkpoints is not None:
            self._checkpoints.remember(note)
        return size, self._expected_leaf

    def _rows(self, jobs: list[Job]) -> tuple[list, list[bytes], list[tuple], int]:
        """All entries as one flat list of columns, their leaves, the window rows, and the size of the journal
        with them.
        """
        idx = self.size
        take, names = self.fold.take, self.names
        flat: list = []
        leaves: list[bytes] = []
        windows: list[tuple] = []
        stored = to_store if sum(map(len, jobs)) <= MOST_AT_ONCE else marked
        for job in jobs:
            job.first = idx
            for entry in job.entries:
                kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, last_ms, body = entry
                take(idx, kind, source, boot, first_seq, last_seq, first_ms, last_ms)
                leaves.append(leaf(kind, names[source], arrived_ms, mono_ms, body))
                flat += (idx, *entry[:-1], stored(kind, body), leaves[-1])
                idx += 1
            for window, entry in job.windows:
                assert entry.kind == WINDOW
                leaves.append(leaf(WINDOW, names[entry.source], entry.arrived_ms, entry.mono_ms, entry.body))
                flat += (idx, *entry, leaves[-1])
                windows.append(_window_row(idx, window))
                idx += 1
        return flat, leaves, windows, idx

    def _queue_documents(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.queued = []
            for draft in job.drafts:
                destination, key, kind, name, folder, at_ms, body = draft
                row = (self._next_document, destination, key, kind, name, folder, at_ms, job.now_ms, body)
                if self.connection.execute(_INSERT_DRAFT, row).rowcount:
                    job.queued.append(draft)
                    self._next_document += 1
                elif self._queued_just_now(destination, key):
                    job.queued.append(draft)

    def _queued_just_now(self, destination: str, key: str) -> bool:
        """Whether a document is there because this transaction was on disk although its COMMIT said no."""
        if self._first_document == self._next_document:
            return False  # the usual case: nothing was queued since this transaction was first tried
        row = self.connection.execute(
            "SELECT id FROM outbox WHERE destination = ? AND key = ?", (destination, key)
        )
        return row.fetchone()[0] >= self._first_document

    def _number(self, jobs: list[Job], first: int) -> None:
        for job in jobs:
            job.first = first
            first += len(job)


class _Crowd:
    """Those who wait for one commit, and whether they are so many that nobody should."""

    def __init__(self) -> None:
        self._frames: Counter[int] = Counter()  # by source
        self._records: Counter[int] = Counter()
        self._bytes = 0

    def joined_by(self, job: Job) -> bool:
        """Whether it is a crowd with this one."""
        self._bytes += job.bytes
        for kind, source, _, first_seq, last_seq, *_ in job.entries:
            if kind == FRAME:
                self._frames[source] += 1
                self._records[source] += last_seq - first_seq + 1
                if self._frames[source] >= CROWD or self._records[source] >= CROWD_RECORDS:
                    return True
        return self._bytes >= CROWD_BYTES or self._frames.total() >= CROWD_FRAMES


def _insert(execute: Callable, flat: list) -> None:
    """Insert the rows in as few statements as the prepared sizes allow."""
    start, left = 0, len(flat) // ENTRY_WIDTH
    for n in _CHUNKS:
        while left >= n:
            execute(_INSERT_ENTRIES[n], flat[start : start + n * ENTRY_WIDTH])
            start += n * ENTRY_WIDTH
            left -= n


def _window_row(idx: int, window: Window) -> tuple:
    return (
        window.start_ms,
        window.symbol,
        window.revision,
        idx,
        window.end_ms,
        window.unit,
        window.value,
        window.quality,
        window.status,
        window.count,
        window.expected,
        window.valid_share,
        window.minimum,
        window.maximum,
        window.reason,
        window.last,
        *window[FIELDS_4:],
    )
