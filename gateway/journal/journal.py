"""The journal as the event loop sees it: submit what belongs together, hear when it is on disk.

Rule 1: nothing is acknowledged, counted as journaled or shown as stored before its job's `done` was called.
Rule 2: entries get their numbers in the order of submit(); `submitted` is the number the next one will get.
Rule 3: the queue is bounded. `full` asks every source to stop reading until when_room() calls back; a source
        that cannot wait has the room between FULL and LIMIT, and what exceeds that is refused, not lost
        unseen.
Rule 4: every job's `done` is called, once: with job.error when it was submitted too late, or was still
        waiting when it was closed. (It may be on disk all the same: the disk did not say.)
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal import database, durable
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.kinds import GATEWAY
from gateway.journal.reader import Reader
from gateway.journal.writer import Entry, Job, Writer
from gateway.windows import Window

QUEUE_ENTRIES_FULL = 6144
"""Entries waiting (one and a half transactions) at which links stop reading: the disk sets the pace then."""
QUEUE_BYTES_FULL = 4 * 1024 * 1024
"""The same in bytes of entry bodies."""
QUEUE_ENTRIES_LIMIT = 4 * QUEUE_ENTRIES_FULL
"""Entries waiting at which even instruments that cannot wait are refused (and counted)."""
QUEUE_BYTES_LIMIT = 4 * QUEUE_BYTES_FULL
"""The same in bytes of entries and documents."""
_READING_THREAD = partial(ThreadPoolExecutor, 1, "journal-read")
_CLOSED = "The journal is not open: nothing is written or read. Start the gateway again."


class Journal:
    """Open it before the loop runs, start() it inside the loop, close() it at the end.

    Raises JournalError from open() when the file is not a journal that can be gone on with, and from commit()
    when it has stopped for good. `connect`, `writer` and `reading` are what a simulation replaces.
    """

    def __init__(
        self,
        path: Path,
        connect: Callable[[str], sqlite3.Connection] = database.connect,
        checkpoints: Checkpoints | None = None,
        writer: Callable[..., Writer] = Writer,
        reading: Callable[[], Executor] = _READING_THREAD,
    ):
        self.path = Path(path)
        self._make_writer, self._make_reading = writer, reading
        self._checkpoints = checkpoints
        self._connect = connect
        self._sources: dict[str, int] = {}
        self._cosigned = b""  # the checkpoint that was cosigned last
        self._waiting: list[Callable[[], None]] = []
        self._hear_of_documents: Callable[[Sequence[tuple]], None] = lambda drafts: None
        self.pending_entries = 0
        self.pending_bytes = 0
        self.pauses = 0  # times the queue became full
        self.full = False
        self.status = ""  # why nothing can be stored at the moment; "" while all is well
        self.hear_of_status: Callable[[str], None] = lambda text: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsettled: deque[Job] = deque()
        self._closed = False

    # Opening and closing ------------------------------------------------------------------------------------

    def open(self, sources: Iterable[str]) -> None:
        """Open or make the database; `sources` are the names entries will come from (device/st-01,
        bus/tank).
        """
        try:
            durable.make_folder(self.path.parent)
            self._writer = self._make_writer(
                str(self.path), self._written, self._alarm, self._connect, self._checkpoints
            )
            self._writer.name_sources(sources)
            self._sources = {name: source for source, name in self._writer.names.items()}
            self._reader = Reader(self.path)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"The journal {self.path} cannot be opened: {error}. Check the disk."
            ) from error
        self.submitted = self._writer.size
        self._read_thread = self._make_reading()

    def adopt(self, jobs: Iterable[Job], boot: int) -> int:
        """Before start(): store what a process before us had taken at this boot number and not committed;
        what it had is passed over. Returns how many entries; JournalError when the disk says no.
        """
        held = self._writer.fold.positions
        new = [job for job in jobs if all(self._is_newer(entry, boot, held) for entry in job.entries)]
        try:
            if new:
                self._writer.adopt(new)
        except sqlite3.Error as error:
            raise JournalError(
                f"Readings of before a kill cannot be written to {self.path}: {error}. Check the disk."
            ) from error
        self.submitted = self._writer.size
        return sum(map(len, new))

    def _is_newer(self, entry: tuple, boot: int, held: Mapping[int, tuple[int, int]]) -> bool:
        _, source, of_boot, first_seq, *_ = entry
        known = source in self._writer.names
        return known and of_boot == boot and (boot, first_seq) > held.get(source, (0, 0))

    def start(self) -> None:
        """Begin writing; callbacks come on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Write what was submitted (unless the disk refuses, or does not answer for `timeout_s`), then
        close.
        """
        if self._loop is not None:
            await asyncio.to_thread(self._writer.stop, timeout_s)
        else:
            self._writer.stop()
        self._settle(list(self._unsettled), JournalError("The journal was closed before this was written."))
        self._closed = True
        await asyncio.to_thread(self._read_thread.shutdown)
        self._reader.close()

    # What is held -------------------------------------------------------------------------------------------

    def source(self, name: str) -> int:
        """The number of a source named to open()."""
        return self._sources[name]

    def position(self, name: str) -> tuple[int, int]:
        """(boot, sequence) of the newest record of a source that is on disk; (0, 0) without any."""
        return self._writer.fold.positions.get(self._sources[name], (0, 0))

    @property
    def size(self) -> int:
        """Entries on disk."""
        return self._writer.size

    @property
    def commits(self) -> int:
        """Transactions committed, each with one fsync of the log."""
        return self._writer.commits

    @property
    def faults(self) -> int:
        """Errors of the disk met."""
        return self._writer.faults

    @property
    def stopped(self) -> bool:
        """It has stopped for good: `reason` says why."""
        return self._writer.dead

    @property
    def reason(self) -> str:
        """Why it has stopped for good, "" while it has not."""
        return self._writer.reason

    @property
    def unsigned(self) -> str:
        """Why no checkpoint is signed; "" while they are, or where nobody asked for any."""
        return "" if self._checkpoints is None else self._checkpoints.reason

    @property
    def checkpoint(self) -> bytes:
        """The newest checkpoint that may be given to anybody, with its cosignatures; b"" before the first."""
        latest = b"" if self._checkpoints is None else self._checkpoints.latest
        return self._cosigned if _text(self._cosigned) == _text(latest) else latest

    def cosigned(self, note: bytes) -> None:
        """This checkpoint lies in the journal with one more cosignature."""
        self._cosigned = note

    async def read(self, function: Callable, *arguments):
        """`function(reader, *arguments)` on the reading thread; it sees everything done before.

        JournalError when the disk says no: whoever asked tries again later.
        """
        if self._closed or self._loop is None:
            raise JournalError(_CLOSED)
        try:
            return await self._loop.run_in_executor(self._read_thread, function, self._reader, *arguments)
        except sqlite3.Error as error:
            raise JournalError(f"The journal cannot be read ({error}): check the disk.") from error

    # Writing ------------------------------------------------------------------------------------------------

    def submit(
        self,
        entries: Sequence[tuple] = (),
        windows: Sequence[tuple[Window, Entry]] = (),
        drafts: Sequence[tuple] = (),
        marks: Sequence[tuple[str, list[tuple]]] = (),
        now_ms: int = 0,
        done: Callable[[Job], None] | None = None,
        patience_s: float = 0.0,
    ) -> Job:
        """Queue one transaction's worth; `done(job)` follows on the loop once it is on disk. It may wait for
        company for `patience_s`.

        With `job.error` set instead, it never will be. drafts: (destination, key, kind, name, folder, at_ms,
        body).
        """
        job = Job(entries, windows, drafts, marks, now_ms, done, patience_s)
        if not self._writer.put(job):
            self._refuse(job)
            return job
        self._unsettled.append(job)
        self.submitted += len(job)
        self.pending_entries += len(job)
        self.pending_bytes += job.bytes
        if not self.full and (
            self.pending_entries >= QUEUE_ENTRIES_FULL or self.pending_bytes >= QUEUE_BYTES_FULL
        ):
            self.full = True
            self.pauses += 1
        return job

    def _refuse(self, job: Job) -> None:
        job.error = JournalError(_CLOSED)
        if job.done is not None and self._loop is not None:
            self._loop.call_soon(job.done, job)

    async def commit(self, **work) -> Job:
        """submit(), and wait until it is on disk. JournalError when it never will be."""
        if self._closed or self._loop is None:
            raise JournalError(_CLOSED)
        future: asyncio.Future[Job] = self._loop.create_future()

        def done(job: Job) -> None:
            if not future.done():  # whoever waited may have been cancelled
                future.set_result(job)

        self.submit(**work, done=done)
        job = await future
        if job.error is not None:
            raise JournalError(str(job.error)) from job.error
        return job

    def own(self, kind: int, bodies: Iterable[bytes], moment: tuple[int, int]) -> list[Entry]:
        """Entries of the gateway itself. `moment` is (station time, monotonic) in ms."""
        source, (now_ms, mono_ms) = self.source(GATEWAY), moment
        return [Entry(kind, source, 0, 0, 0, now_ms, mono_ms, None, None, body) for body in bodies]

    async def tell(self, kind: int, bodies: Iterable[bytes], moment: tuple[int, int]) -> None:
        """commit() of own() entries."""
        await self.commit(entries=self.own(kind, bodies, moment), now_ms=moment[0])

    @property
    def refusing(self) -> bool:
        """Even those who cannot wait must not submit now (rule 3), or it has stopped for good."""
        return (
            self.pending_entries >= QUEUE_ENTRIES_LIMIT
            or self.pending_bytes >= QUEUE_BYTES_LIMIT
            or self.stopped
            or self._closed
        )

    @property
    def half_full(self) -> bool:
        """Time to ask sources to slow down a little."""
        return self.full or self.pending_entries >= QUEUE_ENTRIES_FULL // 2

    def when_room(self, call: Callable[[], None]) -> None:
        """`call()` once the queue is half empty again (at once when it is not full)."""
        if self.full:
            self._waiting.append(call)
        else:
            call()

    def when_queued(self, call: Callable[[Sequence[tuple]], None]) -> None:
        """`call(drafts)` for all documents of a transaction, once they are on disk."""
        self._hear_of_documents = call

    # From the writer's thread -------------------------------------------------------------------------------

    def _written(self, jobs: list[Job]) -> None:
        self._call(self._heard, jobs)

    def _alarm(self, text: str) -> None:
        self._call(self._set_status, text)

    def _call(self, function: Callable, argument) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            pass  # the loop ended first: nobody is left to be told

    def _heard(self, jobs: list[Job]) -> None:
        if not self._closed:  # else all were told that they were waited for in vain
            self._settle(jobs)

    def _settle(self, jobs: list[Job], error: JournalError | None = None) -> None:
        """One transaction is on disk (or never will be: error): tell whoever waits for it."""
        for job in jobs:
            oldest = self._unsettled.popleft()
            assert job is oldest, "reported out of order"
            job.error = job.error or error
            self.pending_entries -= len(job)
            self.pending_bytes -= job.bytes
        drafts = [draft for job in jobs if job.error is None for draft in job.queued]
        if drafts:
            self._hear_of_documents(drafts)
        for job in jobs:
            if job.done is not None:
                job.done(job)
        if (
            self.full
            and self.pending_entries <= QUEUE_ENTRIES_FULL // 2
            and self.pending_bytes <= QUEUE_BYTES_FULL // 2
        ):
            self.full = False
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()

    def _set_status(self, text: str) -> None:
        self.status = text
        self.hear_of_status(text)


def _text(note: bytes) -> bytes:
    """What is signed of a note: all but its signatures."""
    return note.rpartition(b"\n\n")[0]
