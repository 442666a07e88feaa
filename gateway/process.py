"""`quantrac gateway run` as a process: its lock, its clock, its end, and its beginning anew.

Rule 1: one gateway for one state_dir: a lock that the kernel gives back whatever way the process ends.
Rule 2: a gateway that is to run with another configuration begins anew as the same process (config_change/).
Rule 3: when everything of ours is on disk, no thread that waits for a dead server or disk keeps it from
        ending.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sdnotify

from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config_change.begin import Begun, back_after, begin
from gateway.config_model import Config
from gateway.errors import JournalError
from gateway.heartbeat import reloading
from gateway.journal import durable
from gateway.journal.uncommitted import Uncommitted, folder_for
from gateway.lock import lock
from gateway.logs import get_logger, set_up_logging

log = get_logger("gateway")

LOCK_S = 15.0
"""How long a gateway that starts again waits for a command that took its state_dir meanwhile."""
AGAIN = "QUANTRAC_AGAIN"
CLOCK_LOOK_S = 0.02
THREADS_MAX = 64
"""They are made when they are needed. A server that hangs can hold some, and must never hold the last: with
Python's own limit (processors + 4) a few dead FTP servers kept a local folder waiting.
"""
THREADS = "helper"
"""What the threads are called in which destinations wait for the system (name look-ups, files)."""


def main(config_path: Path, clock_path: Path | None) -> int:
    """`quantrac gateway run`: returns the exit status."""
    set_up_logging()
    begun = begin(config_path, Clock().now_ms())
    state_dir = begun.config.gateway.state_dir
    try:
        _make(state_dir)
        with lock(state_dir / "gateway.lock", LOCK_S if os.environ.pop(AGAIN, "") else 0.0):
            notify = sdnotify.SystemdNotifier().notify
            if asyncio.run(_run(begun, clock_path, notify)):
                start_again()
            return 0
    except JournalError as error:
        log.error("the journal cannot be used", reason=str(error))
        print(error, file=sys.stderr)
        return 1


def _make(state_dir: Path) -> None:
    try:
        durable.make_folder(state_dir, 0o700)
    except OSError as error:
        raise JournalError(
            f"The folder {state_dir} cannot be made or used: {error}. Check the disk."
        ) from error


async def _run(begun: Begun, clock_path: Path | None, notify: Callable[[str], None]) -> bool:
    """Whether it is to be started again."""
    threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=THREADS)
    asyncio.get_running_loop().set_default_executor(threads)
    clock = Clock() if clock_path is None else await _simulated(clock_path, notify)
    again = False
    try:
        gateway = Gateway(begun.config, clock, begun, uncommitted=_uncommitted(begun.config))
        await gateway.run(notify)
        again = gateway.again
    except Exception as error:
        again = back_after(begun, error)
        if not again:
            raise
        traceback.print_exc()
        notify(reloading())
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        await _without_hanging_threads(again)
    return again


def _uncommitted(config: Config) -> Uncommitted | None:
    """For a station with instruments of the gateway's own: those of devices are kept there."""
    if not config.bus:
        return None
    folder = folder_for(config.gateway.state_dir)
    if folder is None:
        log.warning("no memory outlives this process: a kill takes what is not on the disk yet, 2 s at most")
    return Uncommitted(folder)


def start_again() -> None:
    """This process begins anew, with the arguments that it was started with; never returns. OSError."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ[AGAIN] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


async def _without_hanging_threads(again: bool) -> None:
    """End the process here and now if a thread waits for a dead server or disk: Python would wait for it.

    Everything of ours is on disk by now.
    """
    for _ in range(10):
        if not any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
            return
        await asyncio.sleep(0.05)
    log.warning("a server or a disk does not answer a thread: ended without it")
    if again:
        start_again()
    died = sys.exc_info()[0] is not None
    if died:
        traceback.print_exc()
    os._exit(1 if died else 0)


async def _simulated(path: Path, notify: Callable[[str], None]) -> Clock:
    """The clock of a simulation, once whoever runs the simulation has fixed it."""
    log.warning("the clock is a simulated one", file=str(path))
    notify("STATUS=waiting for the clock")
    while not path.exists():
        await asyncio.sleep(CLOCK_LOOK_S)
    return Clock.from_file(path)
