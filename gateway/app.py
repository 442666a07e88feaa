"""The gateway as a process: the only place that wires its parts together.

    links, lines -> intake (windows) -> journal -> outbox -> workers -> destinations
                                                       status pages look at all of them

Rule 1: what can be wrong with the configuration is said before anything starts (exit status 2).
Rule 2: one gateway for one state_dir: a lock that the kernel gives back whatever way the process ends.
Rule 3: SIGTERM ends it within 10 s: sources first, then what is queued is written, then what is written is sent
        for as long as the time allows; the rest waits in the outbox for the next start.
Rule 4: a task that ends by a mistake of ours ends the process, so that systemd starts it afresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import sdnotify

from gateway import config as configuration
from gateway.clock import Clock
from gateway.config_model import Config
from gateway.counters import Counters
from gateway.documents import Draft, documents, readings_drafts
from gateway.errors import JournalError
from gateway.forward.make import make
from gateway.forward.worker import Worker
from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake, channels_of, settings_of
from gateway.ingest.line import Line
from gateway.ingest.links import link_of
from gateway.ingest.raw import RawFeed
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.lock import lock
from gateway.logs import get_logger, set_up_logging
from gateway.metrics import exporter
from gateway.status import Status
from gateway.web.server import Server
from gateway.windows import Window

log = get_logger("gateway")

STOP_SENDING_S = 4.0
"""Of the 10 s in which SIGTERM has to be over: what is queued is still sent for so long."""
WATCHDOG_S = 10.0
"""How often systemd is told that the loop is alive."""
CLOCK_LOOK_S = 0.02


class Gateway:
    """One running gateway. Raises JournalError when its journal cannot be opened."""

    def __init__(self, config: Config, clock: Clock):
        self.config = config
        self.clock = clock
        self.counters = Counters()
        self.journal = Journal(config.gateway.state_dir / "journal.db")
        self.outbox = JournalOutbox(self.journal, clock.now_ms, self.counters)
        self.intake = Intake(
            self.journal, channels_of(config), settings_of(config), self._link_keys(), self.now,
            self._documents, self.counters, self._raw_feed(),
        )  # fmt: skip
        self.intake.open()
        self.links = {
            device.id: link_of(self.intake, self.intake.devices[device.id], device.link) for device in config.device
        }
        self.lines = {bus.id: Line(bus, config.channel, clock, self.intake.poll) for bus in config.bus}
        self.workers = {
            settings.id: Worker(settings.id, make(config, settings), self.outbox) for settings in config.destination
        }
        self.status = Status(config, clock, self.intake, self.lines, self.workers)
        self.server = Server(
            config.gateway.web.host, config.gateway.web.port,
            self.status.current, self.status.problems, exporter(self.status.families),
        )  # fmt: skip

    def _documents(self, windows: list[Window]) -> list[Draft]:
        self.status.closed(windows)
        return documents(self.config, windows)

    def _raw_feed(self) -> RawFeed | None:
        if not any("readings" in destination.send for destination in self.config.destination):
            return None
        symbols = [channel.symbol for channel in self.config.channel]
        return RawFeed(symbols, lambda name, t_ms, rows: readings_drafts(self.config, name, t_ms, rows))

    def _link_keys(self) -> dict[str, bytes]:
        return {
            device.id: bytes.fromhex(device.key_file.read_text(encoding="ascii").strip())
            for device in self.config.device
        }

    def now(self) -> Moment:
        """This instant on all clocks."""
        return Moment(self.clock.now_ms(), self.clock.mono_ns(), self.clock.trusted)

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
        sources = [*(link.run() for link in self.links.values()), *(line.run() for line in self.lines.values())]
        inner = [self.intake.run(), self.server.run(), self._watchdog(notify)]
        stages = [self._tasks(sources), self._tasks(inner), self._tasks([w.run() for w in self.workers.values()])]
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
            await self.journal.commit()
            await self._send_rest()
        finally:
            for stage in stages:
                await _cancel(stage)
            stopped.cancel()
            await self.journal.close()

    def _tasks(self, coroutines: list) -> list[asyncio.Task]:
        return [asyncio.create_task(coroutine) for coroutine in coroutines]

    async def _send_rest(self) -> None:
        """Let the workers go on while there is something to send and anybody takes it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SENDING_S):
                while any(
                    self.counters.destination(id).waiting and not worker.counters.retry_in_s
                    for id, worker in self.workers.items()
                ):
                    await asyncio.sleep(0.05)

    async def _watchdog(self, notify: Callable[[str], None]) -> None:
        while True:
            notify(f"WATCHDOG=1\nSTATUS={self.status.sentence()}")
            await asyncio.sleep(WATCHDOG_S)


def _raise_first(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and task.exception() is not None:
            raise task.exception()  # type: ignore[misc]


async def _cancel(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main(config_path: Path, clock_path: Path | None) -> int:
    """`quantrac gateway run`: returns the exit status."""
    set_up_logging()
    config = configuration.load(config_path)
    state_dir = config.gateway.state_dir
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(state_dir / "gateway.lock"):
            notify = sdnotify.SystemdNotifier().notify
            return asyncio.run(_run(config, clock_path, notify))
    except JournalError as error:
        log.error("the journal cannot be used", reason=str(error))
        print(error, file=sys.stderr)
        return 1


async def _run(config: Config, clock_path: Path | None, notify: Callable[[str], None]) -> int:
    clock = Clock() if clock_path is None else await _simulated(clock_path, notify)
    await Gateway(config, clock).run(notify)
    return 0


async def _simulated(path: Path, notify: Callable[[str], None]) -> Clock:
    """The clock of a simulation, once whoever runs the simulation has fixed it."""
    log.warning("the clock is a simulated one", file=str(path))
    notify("STATUS=waiting for the clock")
    while not path.exists():
        await asyncio.sleep(CLOCK_LOOK_S)
    return Clock.from_file(path)
