"""Work done beside other work, by a copy of this process on another core.

    with Beside(lambda: check(second_half)) as beside:      started
        check(first_half)
        beside.result()                                     what it returned; raises what it raised

More than a third of what a bundle of 100,000 entries takes alone goes into opening 200,000 small files.

Rule 1: a verdict never depends on it. Where no copy can be had, or it ends without a word (killed, out of
        memory), the work is done here.
Rule 2: the copy only reads and computes. What it returns comes back pickled, from our own code.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from protocol.merkle import EvidenceError

T = TypeVar("T")


def is_possible() -> bool:
    """Another core, a system that copies processes, and no thread that a copy would not have."""
    return (
        "fork" in multiprocessing.get_all_start_methods()
        and hasattr(os, "sched_getaffinity")
        and len(os.sched_getaffinity(0)) > 1
        and threading.active_count() == 1
        and not multiprocessing.current_process().daemon
    )


class Beside(Generic[T]):
    """`work` in another process; see above. EvidenceError is the one error that it may raise."""

    def __init__(self, work: Callable[[], T]):
        self._work = work
        self._found: tuple[T | None, str | None] | None = None
        context = multiprocessing.get_context("fork")
        self._answers, telling = context.Pipe(duplex=False)
        self._process = context.Process(target=_tell, args=(work, telling), daemon=True)
        try:
            self._process.start()
        except OSError:  # no memory, or too many processes: result() has nobody to ask
            self._process = None
        telling.close()

    def result(self) -> T:
        """Waited for; as often as one likes."""
        if self._found is None:
            try:
                self._found = self._answers.recv()
            except (EOFError, OSError):
                self._found = _answer(self._work)
        found, wrong = self._found  # type: ignore[misc]
        if wrong is not None:
            raise EvidenceError(wrong)
        return found  # type: ignore[return-value]

    def __enter__(self) -> Beside[T]:
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody waits for it any more."""
        self._answers.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()


def _tell(work: Callable[[], object], telling: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the one who waits, who ends this one
    try:
        answer = _answer(work)
    except Exception:  # rule 1: it is done again there, where somebody hears of it
        return
    with contextlib.suppress(OSError):  # nobody listens any more
        telling.send(answer)


def _answer(work: Callable[[], T]) -> tuple[T | None, str | None]:
    """What it returned, or what it found to be wrong."""
    try:
        return work(), None
    except EvidenceError as error:
        return None, str(error)
