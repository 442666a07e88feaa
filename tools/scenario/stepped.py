"""The gateway's journal in virtual time: its own writing thread, which runs when the loop stands still.

Rule 1: the loop and the thread never run at the same time: one of them hands over and waits. So a run is the
        same each time, and what the thread does takes no virtual time.
Rule 2: its patience and its pauses after an error of the disk are virtual time.
Rule 3: a writer that is killed never commits again; of what was queued nothing is on the disk, and its
        connection stands until the next journal is open, so that SQLite tidies nothing up.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from gateway.journal.checkpoints import Checkpoints
from gateway.journal.journal import Journal
from gateway.journal.writer import Job, Waits, Writer
from tools.scenario.virtual import Inline, VirtualLoop

HANDOVER_S_MAX = 60.0
"""Real seconds that a disk may take; a thread that hangs longer is a mistake of ours."""


class _Killed(BaseException):
    """Ends the thread; no Exception, so that the writer does not take it for one of its own."""


class _Baton(Waits):
    """Waits for the loop: the Thread that virtual.py steps."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.until_s = math.inf
        self.ended = self.killed = False
        self._loop = loop
        self._has_work: Callable[[], bool] = lambda: False
        self._go, self._parked = threading.Semaphore(0), threading.Semaphore(0)

    # In the loop's thread.

    def ready(self) -> bool:
        return self._has_work()

    def step(self) -> None:
        self._go.release()
        self.wait_parked()

    def wait_parked(self) -> None:
        """Until the thread waits."""
        if not self._parked.acquire(timeout=HANDOVER_S_MAX):
            raise RuntimeError("the journal's thread does not come back: does the disk hang?")

    def finish(self) -> None:
        """The thread is about to end."""
        self.ended = True
        self.until_s, self._has_work = math.inf, lambda: False
        if self in self._loop.threads:
            self._loop.threads.remove(self)
        self._parked.release()

    # In the journal's thread.

    def now_s(self) -> float:
        return self._loop.now_s

    def get(self, queue: SimpleQueue[Job | None], seconds: float | None) -> Job | None:
        until_s = math.inf if seconds is None else self._loop.now_s + max(0.0, seconds)
        while True:
            try:
                return queue.get_nowait()
            except Empty:
                if self._loop.now_s >= until_s:
                    raise
            self._park(until_s, lambda: not queue.empty())

    def pause(self, over: threading.Event, seconds: float) -> bool:
        until_s = self._loop.now_s + seconds
        while not over.is_set() and self._loop.now_s < until_s:
            self._park(until_s, over.is_set)
        return over.is_set()

    def _park(self, until_s: float, has_work: Callable[[], bool]) -> None:
        self.until_s, self._has_work = until_s, has_work
        self._parked.release()
        self._go.acquire()
        if self.killed:
            raise _Killed


class SteppedWriter(Writer):
    """Its thread takes turns with the loop."""

    def __init__(self, *arguments: Any, loop: VirtualLoop, **more: Any) -> None:
        self._baton = _Baton(loop)
        self._steps = loop
        super().__init__(*arguments, waits=self._baton, **more)

    def run(self) -> None:
        try:
            super().run()
        except _Killed:
            pass
        finally:
            self._baton.finish()

    def start(self) -> None:
        super().start()
        self._baton.wait_parked()
        self._steps.threads.append(self._baton)

    def stop(self, timeout_s: float | None = None) -> None:
        """What is queued is written in no time; a disk that refuses is not waited for."""
        self._stopping.set()
        self.end()
        if self._thread.ident is None:
            self._close()
        while self._thread.ident is not None and not self._baton.ended and not self._baton.killed:
            self._baton.step()

    def kill(self) -> Callable[[], None]:
        """As the process is killed. What closes its connection, when the next is open (rule 3)."""
        if not self._baton.ended:
            self._baton.killed = True
            if self._thread.ident is not None:
                self._baton.step()
        return self._close


class SteppedJournal(Journal):
    """`connect` as Journal's: a disk that fails, in a test."""

    def __init__(
        self, path: Path, connect: Callable[[str], sqlite3.Connection], checkpoints: Checkpoints | None
    ) -> None:
        self._steps: VirtualLoop | None = None
        super().__init__(path, connect, checkpoints, self._stepped, Inline)

    def in_loop(self, loop: VirtualLoop) -> SteppedJournal:
        """Before it is opened: whose time it lives in."""
        self._steps = loop
        return self

    def _stepped(self, *arguments: Any) -> SteppedWriter:
        assert self._steps is not None
        return SteppedWriter(*arguments, loop=self._steps)

    def kill(self) -> Callable[[], None]:
        """As the process is killed; what it returns is to be called when the next journal is open."""
        assert isinstance(self._writer, SteppedWriter)
        self._closed = True  # nobody hears of anything any more
        close_writer, reader = self._writer.kill(), self._reader

        def close() -> None:
            reader.close()
            close_writer()

        return close
