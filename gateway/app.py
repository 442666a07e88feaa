"""One running gateway: the only place that wires its parts together. As a process: process.py.

    links, lines -> intake (windows) -> journal -> outbox -> workers -> destinations
                                                       status pages look at all of them

Rule 1: what can be wrong with the configuration is said before anything starts (exit status 2).
Rule 2: SIGTERM ends it within 10 s: sources first, then what is queued is written, then what is written is
        sent for as long as the time allows; the rest waits in the outbox for the next start.
Rule 3: a task that ends (that can only be a mistake of ours) ends the process: systemd starts it afresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from gateway import as_configured, memory, page_door, pauses
from gateway import requests as orders
from gateway.alerts import Alerts, learn
from gateway.calibration.desk import CalibrationDesk
from gateway.camera.picture import SAMPLE as SAMPLED
from gateway.channel_events import meters
from gateway.chart_page import ChartPage
from gateway.clock import Clock
from gateway.config_change.begin import Begun, as_it_is
from gateway.config_change.keeper import ConfigKeeper
from gateway.config_model import Config
from gateway.counters import Counters
from gateway.documents import Draft, documents, due_after_ms, readings_drafts
from gateway.feed import Feed
from gateway.feed_checkpoints import CheckpointSource
from gateway.feed_entries import AlertSource, EventSource
from gateway.feed_hours import HourSource
from gateway.feed_status import StatusFeed
from gateway.forward.make import make
from gateway.forward.worker import Worker
from gateway.heartbeat import Heartbeat, reloading
from gateway.ingest.corrections import wiring_of
from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake, channels_of, settings_of
from gateway.ingest.links import link_of
from gateway.ingest.raw import RawFeed
from gateway.journal.checkpoints import Checkpoints, origin
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import reading
from gateway.journal.retention import Retention
from gateway.journal.uncommitted import Uncommitted
from gateway.logs import get_logger
from gateway.metrics import exporter
from gateway.notices import Notices
from gateway.page_reads import PageReads
from gateway.parked import Desk
from gateway.people.keeper import Keeper
from gateway.picture_page import PicturePage
from gateway.public_pages import PublicPages
from gateway.receipt_page import ReceiptPage
from gateway.report_jobs import KEPT_MAX, ReportJobs
from gateway.reports.message import rfc3339
from gateway.requests import MARKS, Answer, Order, Requests
from gateway.status import Status
from gateway.watch import Watch
from gateway.web import actions, config_page, people_page
from gateway.web import pictures as web_pictures
from gateway.web.page.reports import Reports
from gateway.web.page.shell import Shell
from gateway.web.page.views import Views
from gateway.web.server import Server
from gateway.window_page import WindowPage
from gateway.windows import Window
from gateway.witness import witnesses
from protocol import quality as q

log = get_logger("gateway")

STOP_SENDING_S = 3.0
"""Of the 10 s in which SIGTERM has to be over: what is queued is still written and sent for so long."""
STOP_TASKS_S = 4.5
"""... after that, the tasks have so long to end (a server that hangs may hold a connection's end up),"""
STOP_SAMPLER_S = 1.5
"""... before the lines: whatever the sampler has switched on has to go off,"""
STOP_JOURNAL_S = 2.0
"""... and the journal to write what it was given last, if the disk refuses."""
WATCHDOG_S = 10.0
"""How often systemd is told that the gateway works (heartbeat.py)."""


class Gateway:
    """One running gateway. Raises JournalError when its journal cannot be opened."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        begun: Begun | None = None,
        journal: Callable[..., Journal] = Journal,  # a simulation has one of its own
        uncommitted: Uncommitted | None = None,
        random: Random | None = None,
    ):
        random = random or Random()  # of all pauses
        self.config = config
        self.again = False  # when it has stopped, it is to be started again
        self._stopping = asyncio.Event()
        self.clock = clock
        self.counters = Counters()
        station, state_dir = config.station, config.gateway.state_dir
        name = origin(station.province, station.facility, station.code)
        self.journal = journal(state_dir / "journal.db", checkpoints=Checkpoints(state_dir, name))
        self.journal.hear_of_status = _journal_says
        delays_ms = {settings.id: due_after_ms(config, settings) for settings in config.destination}
        self.outbox = JournalOutbox(
            self.journal, clock.now_ms, self.counters, clock.mono_ns, delays_ms, clock.real_s
        )
        self.intake = Intake(
            self.journal, channels_of(config), settings_of(config), self._link_keys(), self.now,
            self._documents, self.counters, self._raw_feed(), clock.real_s, self._events, wiring_of(config),
            uncommitted,
        )  # fmt: skip
        self.intake.open()
        with reading(self.journal.path) as reader:
            self.alerts = Alerts(config.channel, *learn(reader))
            rest = pauses.learn(reader)
        clock.floor_ms = self.intake.known_ms
        self.links = {
            device.id: link_of(self.intake, self.intake.devices[device.id], device.link)
            for device in config.device
        }
        self.lines = as_configured.lines_of(config, clock, self.intake, random)
        self.workers = {
            settings.id: Worker(
                settings.id,
                make(config, settings),
                self.outbox,
                random=random,
                delay_ms=delays_ms[settings.id],
            )
            for settings in config.destination
        }
        self.pauses = pauses.Pauses(self.journal, self.workers, self._moment_ms, rest)
        self.desk = Desk(self.outbox, self.workers, self.journal.read)
        self.requests = Requests(state_dir, self._do)
        self.witnesses = witnesses(config, self.journal, clock.now_ms, random)
        sources = (CheckpointSource, HourSource, EventSource, AlertSource)
        self.feed = Feed(
            config, self.journal, self.outbox, [source(config, self.journal) for source in sources]
        )
        self.retention = Retention(self.journal, config.gateway.retention_days, self.now)
        self.notices = Notices(config, self.journal, self._moment_ms, self.workers)
        self.watch = Watch(
            config, self.journal, self.alerts, self._moment_ms, lambda: self.status.conditions(),
            lambda: self.notices.open if self.notices.known else None, self._value,
        )  # fmt: skip
        self.sampler = as_configured.sampler_of(config, self.intake, self.lines, self._moment_ms, self._value)
        if self.sampler is not None:
            self.watch.hear = self.sampler.heard
        self.commands = as_configured.commands_of(
            config, self.journal, self._moment_ms, lambda: clock.trusted, self.sampler, self.outbox,
            self.workers, lambda: self.status.current(),
        )  # fmt: skip
        self.calibrations = CalibrationDesk(
            config, self.journal, self._moment_ms, self.watch.calibrated, self.intake
        )
        self.people = Keeper(self.journal, state_dir, self._moment_ms)
        self.cameras = cameras = as_configured.cameras_of(
            config, self.journal, self._moment_ms, lambda: (alert["alert"] for alert in self.watch.listed())
        )
        if self.sampler is not None and cameras is not None:
            self.sampler.seen = lambda bottle: cameras.take(SAMPLED, (bottle.name,))
        self.changes = ConfigKeeper(
            begun or as_it_is(config), self.journal, self._moment_ms, self._waiting, self._restart
        )
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
            self.watch.listed,
            self._beside,
            lambda: page_door.told(self.server.certificate),
        )
        self.status.more = self._more
        self.heartbeat = Heartbeat(self.journal, self.intake, self.lines, lambda: clock.mono_ns() / 1e9)
        self.status_feed = StatusFeed(config, self.journal, self.outbox, self.status.current, clock.now_ms)
        pictures = PicturePage(config, self.journal)
        self.index = index = as_configured.index_of(config, self.journal, clock.now_ms)
        self.shell = Shell(config)
        reads = PageReads(self.journal, state_dir, config.channel)
        self.reports = ReportJobs(state_dir, self._report, clock.now_ms)
        reports = Reports(self.shell, self.reports, reads.first_ms, clock.now_ms, KEPT_MAX)
        self.views = Views(
            config, self.shell, self.status.current, reads,
            ChartPage(config, self.journal).ask, lambda: None if index is None else index.newest,
        )  # fmt: skip
        self.door = page_door.door_of(config, self.people, clock, self.shell.page)
        self.server = Server(
            config.gateway.web.host, config.gateway.web.port,
            self.status.current, self.status.problems, exporter(self.status.families),
            PublicPages(config, self.journal, clock.now_ms, lambda: clock.mono_ns() / 1e9).ask,
            ReceiptPage(config, self.journal).ask, WindowPage(config, self.journal).ask,
            [*self.views.routes(), self.views.files.route(), *actions.routes(self._do, self._instruments),
             *people_page.routes(self.door.logins, self.people.change), *config_page.routes(self.changes),
             *reports.routes(), *web_pictures.routes(pictures.ask_list, pictures.ask_one),
             web_pictures.photo_route(pictures.keep)],
            self.door, page_door.certificate_of(config), self.views.load,
        )  # fmt: skip

    def _documents(self, windows: list[Window]) -> list[Draft]:
        self.status.closed(windows)
        return documents(self.config, windows, self.journal.checkpoint)

    def _events(self, windows: list[Window]) -> list[bytes]:
        alerts = self.alerts.closed(windows)
        if self.sampler is not None:
            self.sampler.heard(alerts)
        told = [alert.event() for alert in alerts]
        return [*told, *self.notices.closed(windows), *meters(windows)]

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

    async def _do(self, order: Order) -> Answer:
        """What a person asks for (gateway/requests.py)."""
        does = {
            orders.ACKNOWLEDGE: self.watch.acknowledge, orders.MARK: self._mark,
            orders.PAUSE: self.pauses.do, orders.RESUME: self.pauses.do,
            orders.SAMPLE: lambda order: as_configured.by_hand(self.sampler, order),
            orders.CALIBRATE: self.calibrations.do, orders.CONFIGURE: self.changes.do,
        }  # fmt: skip
        return await does.get(order.what, self.desk.do)(order)

    async def _mark(self, order: Order) -> Answer:
        quality = (q.CALIBRATING, q.MAINTENANCE, q.OK)[MARKS.index(order.mark)]
        mark = await self.intake.mark(order.channel, quality, order.minutes, order.who, order.reason)
        if quality == q.OK:
            return Answer(f"{mark.symbol} is measuring again, as {mark.who} says.")
        until = rfc3339(mark.to_ms)
        return Answer(
            f"{mark.symbol}: {order.mark} until {until}, as {mark.who} says; then it ends by itself."
        )

    def _instruments(self) -> list[str]:
        return [channel.symbol for channel in channels_of(self.config) if not channel.derived]

    def _report(self, name: str, language: str, out: Path) -> list[str]:
        """The command that makes a report: nothing of the tools runs in this process."""
        command = [sys.executable, "-m", "tools.cli", "report", str(self.config.path)]
        return [*command, "--period", name, "--out", str(out), "--lang", language]

    def _more(self) -> dict[str, Any]:
        parts = {"sampler": self.sampler, "department": self.commands}
        return {name: part.told() for name, part in parts.items() if part is not None}

    def _beside(self) -> list[str]:
        """Problems of what neither measures nor sends."""
        certificate = page_door.problems(self.server.certificate)
        parts = (
            self.pauses, self.people, self.changes, self.cameras, self.sampler, self.commands,
            self.intake.uncommitted,
        )  # fmt: skip
        return [*(text for part in parts if part is not None for text in part.problems()), *certificate]

    def _waiting(self) -> dict[str, int]:
        return {id: counted.waiting for id, counted in self.counters.destinations.items() if counted.waiting}

    def _restart(self) -> None:
        """Stop as by SIGTERM, and be started again (config_change/)."""
        self.again = not self._stopping.is_set()
        self._stopping.set()

    def _end(self) -> None:
        self.again = False
        self._stopping.set()

    def _value(self, symbol: str) -> tuple[float | None, int]:
        newest = self.intake.newest(symbol)
        return (None, q.NO_DATA) if newest is None else (newest.value, newest.quality)

    def _moment_ms(self) -> tuple[int, int]:
        return self.clock.now_ms(), self.clock.mono_ns() // 1_000_000

    async def run(self, notify: Callable[[str], None]) -> None:
        """Until SIGTERM or SIGINT. Raises what a task of ours died of."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self._end)
        self.journal.start()
        for settings in self.config.destination:
            self.counters.destination(settings.id)
        await self.outbox.load()
        await self.intake.begin()
        # The three stages of rule 2: what brings readings, what closes windows and looks at them, what sends.
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
                asyncio.create_task(self.watch.run(), name="alerts"),
                asyncio.create_task(self.requests.run(), name="requests"),
                asyncio.create_task(self.people.run(), name="people"),
                *_tasks_of("cameras", self.cameras),
                *_tasks_of("index", self.index),
                asyncio.create_task(self.changes.run(), name="configuration"),
            ],
            [*_tasks("worker", self.workers), *_tasks("witness", self.witnesses)],
        ]
        asking = [asyncio.create_task(self.reports.run(), name="reports")]
        asking += _tasks_of("sampler", self.sampler)
        asking += [] if self.commands is None else _tasks("commands", self.commands.tasks)
        stopped = asyncio.create_task(self._stopping.wait())
        gc.freeze()  # what is loaded now stays: the collector need not look at it again
        notify("READY=1\nSTATUS=running")
        log.info("running", station=self.config.station.code, entries=self.journal.size)
        try:
            tasks = [*asking, *(task for stage in stages for task in stage)]
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            _raise_first(tasks)
            notify(reloading() if self.again else "STOPPING=1\nSTATUS=stopping")
            log.info("stopping", again=self.again)
            await _cancel(asking, STOP_SAMPLER_S)
            await _cancel(stages[0])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SENDING_S):
                    await self.journal.commit()
                    await self._send_rest()
        finally:
            await _cancel(asking, STOP_SAMPLER_S)
            for stage in stages:
                await _cancel(stage)
            stopped.cancel()
            await self.journal.close(STOP_JOURNAL_S)
            self.intake.uncommitted.close()

    async def _send_rest(self) -> None:
        """Let the workers go on while there is something to send and anybody takes it."""
        while any(
            self.counters.destination(id).waiting
            and not worker.counters.retry_in_s
            and not (worker.counters.delay_ms and worker.counters.oldest_unsent_ms is None)
            for id, worker in self.workers.items()
        ):
            await self.journal.commit()  # marks wait for no company now
            await asyncio.sleep(0.05)

    async def _watchdog(self, notify: Callable[[str], None]) -> None:
        while True:
            if stands := self.heartbeat.reason():
                log.error("systemd is not told that this works", reason=stands)
                notify(f"STATUS={stands}")
            else:
                notify(f"WATCHDOG=1\nSTATUS={self.status.sentence()}")
            memory.give_back()
            await asyncio.sleep(WATCHDOG_S)


def _tasks(kind: str, parts: Mapping[str, Any]) -> list[asyncio.Task]:
    """`run()` of each of them, as a task."""
    return [asyncio.create_task(part.run(), name=f"{kind} {id}") for id, part in parts.items()]


def _tasks_of(name: str, part: Any) -> list[asyncio.Task]:
    """... of a part that this station may have."""
    return [] if part is None else [asyncio.create_task(part.run(), name=name)]


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


async def _cancel(tasks: list[asyncio.Task], seconds: float = STOP_TASKS_S) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task did not end well", task=task.get_name(), reason=repr(error))
