"""The gateway as a process: the only place that wires its parts together.

    links, lines -> intake (windows) -> journal -> outbox -> workers -> destinations
                                                       status pages look at all of them

Rule 1: what can be wrong with the configuration is said before anything starts (exit status 2).
Rule 2: one gateway for one state_dir: a lock that the kernel gives back whatever way the process ends.
Rule 3: SIGTERM ends it within 10 s: sources first, then what is queued is written, then what is written is
        sent for as long as the time allows; the rest waits in the outbox for the next start.
Rule 4: a task that ends (that can only be a mistake of ours) ends the process: systemd starts it afresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sdnotify

from gateway import config as configuration
from gateway.alerts import Alerts, learn
from gateway.clock import Clock
from gateway.config_model import Config
from gateway.counters import Counters
from gateway.documents import Draft, documents, due_after_ms, readings_drafts
from gateway.errors import JournalError
from gateway.feed import Feed
from gateway.feed_checkpoints import CheckpointSource
from gateway.feed_entries import AlertSource, EventSource
from gateway.feed_hours import HourSource
from gateway.feed_status import StatusFeed
from gateway.forward.make import make
from gateway.forward.worker import Worker
from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake, channels_of, settings_of
from gateway.ingest.line import Line
from gateway.ingest.links import link_of
from gateway.ingest.raw import RawFeed
from gateway.journal import durable
from gateway.journal.checkpoints import Checkpoints, origin
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import reading
from gateway.journal.retention import Retention
from gateway.lock import lock
from gateway.logs import get_logger, set_up_logging
from gateway.metrics import exporter
from gateway.notices import Notices
from gateway.parked import Desk
from gateway.public_pages import PublicPages
from gateway.receipt_page import ReceiptPage
from gateway.requests import Requests
from gateway.status import Status
from gateway.web.server import Server
from gateway.windows import Window
from gateway.witness import witnesses

log = get_logger("gateway")

STOP_SENDING_S = 3.0
"""Of the 10 s in which SIGTERM has to be over: what is queued is still written and sent for so long."""
STOP_TASKS_S = 4.5
"""... after that, the tasks have so long to end (a server that hangs may hold a connection's end up),"""
STOP_JOURNAL_S = 2.0
"""... and the journal to write what it was given last, if the disk refuses."""
WATCHDOG_S = 10.0
"""How often systemd is told that the loop is alive."""
CLOCK_LOOK_S = 0.02
THREADS_MAX = 64
"""They are made when they are needed. A server that hangs can hold some, and must never hold the last: with
Python's own limit (processors + 4) a few dead FTP servers kept a local folder waiting.
"""
THREADS = "helper"
"""What the threads are called in which destinations wait for the system (name look-ups, files)."""


class Gateway:
    """One running gateway. Raises JournalError when its journal cannot be opened."""

    def __init__(self, config: Config, clock: Clock):
        self.config = config
        self.clock = clock
        self.counters = Counters()
        station, state_dir = config.station, config.gateway.state_dir
        name = origin(station.province, station.facility, station.code)
        self.journal = Journal(state_dir / "journal.db", checkpoints=Checkpoints(state_dir, name))
        self.journal.hear_of_status = _journal_says
        delays_ms = {settings.id: due_after_ms(config, settings) for settings in config.destination}
        self.outbox = JournalOutbox(
            self.journal, clock.now_ms, self.counters, clock.mono_ns, delays_ms, clock.real_s
        )
        self.intake = Intake(
            self.journal, channels_of(config), settings_of(config), self._link_keys(), self.now,
            self._documents, self.counters, self._raw_feed(), clock.real_s, self._events,
        )  # fmt: skip
        self.intake.open()
        with reading(self.journal.path) as reader:
            self.alerts = Alerts(config.channel, *learn(reader))
        clock.floor_ms = self.intake.known_ms
        self.links = {
            device.id: link_of(self.intake, self.intake.devices[device.id], device.link)
            for device in config.device
        }
        lines = [Line(bus, config.channel, clock, self.intake.poll) for bus in config.bus]
        self.lines = {
            line.id: line for line in lines if line.polls
        }  # a bus without channels has nothing to do
        self.workers = {
            settings.id: Worker(
                settings.id, make(config, settings), self.outbox, delay_ms=delays_ms[settings.id]
            )
            for settings in config.destination
        }
        self.requests = Requests(state_dir, Desk(self.outbox, self.workers, self.journal.read).do)
        self.witnesses = witnesses(config, self.journal, clock.now_ms)
        sources = (CheckpointSource, HourSource, EventSource, AlertSource)
        self.feed = Feed(
            config, self.journal, self.outbox, [source(config, self.journal) for source in sources]
        )
        self.retention = Retention(self.journal, config.gateway.retention_days, self.now)
        self.notices = Notices(config, self.journal, self._moment_ms, self.workers)
        self.status = Status(
            config,
            clock,
            self.intake,
            self.lines,
            self.workers,
            self.witnesses,
            self.retention,
            self.notices,
            self.feed,
        )
        self.status_feed = StatusFeed(config, self.journal, self.outbox, self.status.current, clock.now_ms)
        self.server = Server(
            config.gateway.web.host, config.gateway.web.port,
            self.status.current, self.status.problems, exporter(self.status.families),
            PublicPages(config, self.journal, clock.now_ms, lambda: clock.mono_ns() / 1e9).ask,
            ReceiptPage(config, self.journal).ask,
        )  # fmt: skip

    def _documents(self, windows: list[Window]) -> list[Draft]:
        self.status.closed(windows)
        return documents(self.config, windows, self.journal.checkpoint)

    def _events(self, windows: list[Window]) -> list[bytes]:
        return [*(alert.event() for alert in self.alerts.closed(windows)), *self.notices.closed(windows)]

    def _raw_feed(self) -> RawFeed | None:
        if not any("readings" in destination.send for destination in self.config.destination):
            return None
        return RawFeed(
            channels_of(self.config),
            lambda name, t_ms, rows, means: readings_drafts(self.config, name, t_ms, rows, means),
        )

    def _link_keys(self) -> dict[str, bytes]:
        return {
            device.id: bytes.fromhex(device.key_file.read_text(encoding="ascii").strip())
            for device in self.config.device
        }

    def now(self) -> Moment:
        """This instant on all clocks."""
        return Moment(self.clock.now_ms(), self.clock.mono_ns(), self.clock.trusted)

    def _moment_ms(self) -> tuple[int, int]:
        return self.clock.now_ms(), self.clock.mono_ns() // 1_000_000

    async def run(self, notify: Callable[[str], None]) -> None:
        """Until SIGTERM or SIGINT. Raises what a task of ours died of."""
        stopping = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stopping.set)
        self.journal.start()
        for settings in self.config.destination:
            self.counters.destination(settings.id)
        await self.outbox.load()
        await self.intake.begin()
        # The three stages of rule 3: what brings readings, what closes windows and looks at them, what sends.
        stages = [
            [
                *_tasks("link", self.links),
                *_tasks("line", self.lines),
            ],
            [
                asyncio.create_task(self.intake.run(), name="intake"),
                asyncio.create_task(self.feed.run(), name="feed"),
                asyncio.create_task(self.status_feed.run(), name="status feed"),
                asyncio.create_task(self.server.run(), name="web"),
                asyncio.create_task(self._watchdog(notify), name="watchdog"),
                asyncio.create_task(self.retention.run(), name="retention"),
                asyncio.create_task(self.notices.run(), name="notices"),
                asyncio.create_task(self.requests.run(), name="requests"),
            ],
            [*_tasks("worker", self.workers), *_tasks("witness", self.witnesses)],
        ]
        stopped = asyncio.create_task(stopping.wait())
        gc.freeze()  # what is loaded now stays: the collector need not look at it again
        notify("READY=1\nSTATUS=running")
        log.info("running", station=self.config.station.code, entries=self.journal.size)
        try:
            tasks = [task for stage in stages for task in stage]
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            _raise_first(tasks)
            notify("STOPPING=1\nSTATUS=stopping")
            log.info("stopping")
            await _cancel(stages[0])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SENDING_S):
                    await self.journal.commit()
                    await self._send_rest()
        finally:
            for stage in stages:
                await _cancel(stage)
            stopped.cancel()
            await self.journal.close(STOP_JOURNAL_S)

    async def _send_rest(self) -> None:
        """Let the workers go on while there is something to send and anybody takes it."""
        while any(
            self.counters.destination(id).waiting
            and not worker.counters.retry_in_s
            and not (worker.counters.delay_ms and worker.counters.oldest_unsent_ms is None)
            for id, worker in self.workers.items()
        ):
            await asyncio.sleep(0.05)

    async def _watchdog(self, notify: Callable[[str], None]) -> None:
        while True:
            notify(f"WATCHDOG=1\nSTATUS={self.status.sentence()}")
            await asyncio.sleep(WATCHDOG_S)


def _tasks(kind: str, parts: Mapping[str, Any]) -> list[asyncio.Task]:
    """`run()` of each of them, as a task."""
    return [asyncio.create_task(part.run(), name=f"{kind} {id}") for id, part in parts.items()]


def _journal_says(text: str) -> None:
    if text:
        log.error("the journal cannot store", reason=text)
    else:
        log.info("the journal stores again")


def _raise_first(tasks: list[asyncio.Task]) -> None:
    """Raise what the first task that ended died of; none of them may end before it is cancelled."""
    for task in tasks:
        if task.done():
            raise task.exception() or RuntimeError(f"{task.get_name()} ended by itself")


async def _cancel(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_TASKS_S)
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task did not end well", task=task.get_name(), reason=repr(error))


def main(config_path: Path, clock_path: Path | None) -> int:
    """`quantrac gateway run`: returns the exit status."""
    set_up_logging()
    config = configuration.load(config_path)
    state_dir = config.gateway.state_dir
    try:
        _make(state_dir)
        with lock(state_dir / "gateway.lock"):
            notify = sdnotify.SystemdNotifier().notify
            return asyncio.run(_run(config, clock_path, notify))
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


async def _run(config: Config, clock_path: Path | None, notify: Callable[[str], None]) -> int:
    threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=THREADS)
    asyncio.get_running_loop().set_default_executor(threads)
    clock = Clock() if clock_path is None else await _simulated(clock_path, notify)
    try:
        await Gateway(config, clock).run(notify)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        await _without_hanging_threads()
    return 0


async def _without_hanging_threads() -> None:
    """End the process here and now if a thread waits for a dead server or disk: Python would wait for it.

    Everything of ours is on disk by now.
    """
    for _ in range(10):
        if not any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
            return
        await asyncio.sleep(0.05)
    log.warning("a server or a disk does not answer a thread: ended without it")
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
