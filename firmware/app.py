# The station device, put together: the only file that knows all the others.
#
# Rule 1: the system is declared. TASKS below is the whole list of what runs, made once at start.
# Rule 2: a task that ends by an exception is shown, counted ("crashes") and started again after RESTART_MS.
# Rule 3: "stop" on the console, or its end, stops measuring; what is held goes out first, for DRAIN_MS at
#         most.

import asyncio
import json
import sys

from firmware.board import open_board
from firmware.bus import open_line
from firmware.clock import Clock
from firmware.poller import Counters, Poller
from firmware.store import Store, pieces
from firmware.uplink import Uplink
from protocol import framing, messages
from protocol.cose import Mac0
from protocol.errors import ConfigError
from protocol.session import DeviceSession

FIRMWARE = "quantrac 0.1.0"
REPORT_MS = 1000
RESTART_MS = 1000
DRAIN_MS = 10000
MEMORY_RECORDS = 4096  # kept at most, when station.json does not say
MEMORY_RECORDS_MIN = 256
STATION_FILE = "station.json"


def _configuration(board):
    from firmware import config

    parsed = config.parse(board.read_file(STATION_FILE))
    for name in ("firmware.config", "protocol.fields"):  # never used again: make room
        folder, module = name.split(".")
        delattr(sys.modules[folder], module)
        del sys.modules[name]
    return parsed


def _ring(memory_records):
    ring = pieces(memory_records or MEMORY_RECORDS, memory_records or MEMORY_RECORDS_MIN)
    if ring is None:
        raise ConfigError(
            f"{STATION_FILE}: not enough memory: write a smaller memory_records, or use a larger board"
        )
    return ring


class App:
    def __init__(self, directory):
        self.board = board = open_board(directory)
        self.config = config = _configuration(board)
        self.boot = board.next_boot()
        self.crashes = 0
        self.counters = Counters()
        self.clock = Clock(board)
        self.store = Store(self.boot, _ring(config.memory_records), self.clock)
        self.session = DeviceSession(self.hello, self.store, board.ticks_diff)
        mac = Mac0(config.id, config.key)
        self.uplink = Uplink(board, config.link, self.session, mac, self.clock, self.store, self.renumber)
        self.lines = [open_line(board, bus) for bus in config.buses]
        self.pollers = [
            Poller(
                board,
                self.clock,
                self.store,
                line,
                [unit for unit in config.units if unit.bus == line.id],
                config.channels,
                self.counters,
            )
            for line in self.lines
        ]
        if len(messages.encode(self.hello())) + mac.overhead > framing.MAX_BODY:
            raise ConfigError(
                f"{STATION_FILE}: its channels do not fit one frame: shorten names, or use two devices"
            )

    # name -> coroutine function. Pollers end when they are stopped, the others run until the end.
    def tasks(self):
        table = [("poller " + line.id, poller.run) for line, poller in zip(self.lines, self.pollers)]  # noqa: B905 (MicroPython has no strict=)
        table.append(("uplink", self.uplink.run))
        table.append(("report", self.report))
        return table

    def hello(self):
        intervals = {}
        for unit in self.config.units:
            for value in unit.values:
                intervals[value.channel] = unit.poll_ms
        channels = [
            (channel.name, intervals.get(i, 0), channel.calibration, channel.points)
            for i, channel in enumerate(self.config.channels)
        ]
        store_boot, store_seq = self.store.first()
        return messages.Hello(
            messages.VERSION,
            FIRMWARE,
            self.config.id,
            self.boot,
            self.board.random_bytes(8),
            self.config.hash,
            channels,
            store_boot,
            store_seq,
            self.clock.told,
            self.clock.ticks(),
            self.board.reset_reason,
        )

    # Our boot number is not new to the gateway (flash was wiped, a device was replaced): take one that is.
    # What is held has never been accepted, so it goes out under the new number.
    def renumber(self, boot):
        self.boot = self.store.boot = self.board.next_boot(boot)

    async def run(self):
        self.store.event(messages.START, f"{FIRMWARE}, {self.board.reset_reason}")
        running = [(name, asyncio.create_task(self._guard(run))) for name, run in self.tasks()]
        while await self.board.command() not in ("stop", None):
            pass
        for poller in self.pollers:
            poller.stopped = True
        for name, task in running:
            if name.startswith("poller"):
                await task
        await self._drain()
        for _, task in running:
            task.cancel()
        await self.board.sleep_ms(0)
        self._print(True)

    async def _guard(self, run):
        while True:
            try:
                await run()
                return
            except Exception as error:
                self.crashes += 1
                self.board.crash(error)
            await self.board.sleep_ms(RESTART_MS)

    async def _drain(self):
        board = self.board
        began = board.ticks_ms()
        while self.store.held and board.ticks_diff(board.ticks_ms(), began) < DRAIN_MS:
            await board.sleep_ms(20)

    async def report(self):
        while True:
            self._print(False)
            await self.board.sleep_ms(REPORT_MS)

    def _print(self, final):
        store, counters, uplink = self.store, self.counters, self.uplink
        kind, detail = store.newest_event
        line = {
            "boot": self.boot,
            "emitted": store.emitted,
            "acked": store.acked,
            "held": store.held,
            "capacity": store.capacity,
            "discarded": store.discarded,
            "state": self.session.state,
            "polls": counters.polls,
            "skipped": sum([poller.skipped for poller in self.pollers]),
            "timeouts": counters.timeouts,
            "bad_replies": counters.bad_replies,
            "exceptions": counters.exceptions,
            "strays": sum([line.strays for line in self.lines]),
            "echoes": sum([line.echoes for line in self.lines]),
            "noise_bytes": sum([line.noise_bytes for line in self.lines]),
            "link_losses": uplink.losses,
            "bad_frames": uplink.bad_frames,
            "noise": uplink.noise,
            "event": f"{messages.EVENT_NAMES[kind]} {detail}",
            "crashes": self.crashes,
            "final": final,
        }
        self.board.report(json.dumps(line))


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "/"
    app = None
    try:
        app = App(directory)
    except (ConfigError, OSError) as error:
        print(f"the station cannot start in {directory}: {error}", file=sys.stderr)
    if app is None:
        sys.exit(2)
    try:
        asyncio.run(app.run())
    except KeyboardInterrupt:
        sys.exit(130)
