# The station device, put together: the only file that knows all the others.
#
# Rule 1: the system is declared. tasks() is the whole list of what runs, made once at the start.
# Rule 2: each task reports to the watch (watch.py), which starts it again when it ends by an exception, and
#         resets the board when it falls silent.
# Rule 3: in safe mode there are no inputs and loops, and outputs stay off; buses, store, link and commands
#         stay. A store whose files make it or the link fail again and again is set aside, files and all, not
#         deleted.
# Rule 4: "stop" on the console, or its end, stops measuring; what is held goes out first, for DRAIN_MS at
#         most. A reset that was asked for first gets its answer out and what is in memory on flash.

import asyncio
import binascii
import json

from firmware.arbiter import Arbiter
from firmware.bus import open_line
from firmware.clock import Clock
from firmware.lazy import call
from firmware.poller import Counters, Poller
from firmware.store import Store, pieces
from firmware.uplink import Uplink
from firmware.watch import REASON_MAX, Watch
from protocol import framing, messages
from protocol.cose import Mac0
from protocol.errors import ConfigError
from protocol.session import DeviceSession

FIRMWARE = "quantrac 0.1.0"
REPORT_MS = 1000
DRAIN_MS = 10000
LEAVE_MS = 3000
MEMORY_RECORDS = 1024  # at most, when station.json does not say: the flash takes what is older
MEMORY_RECORDS_MIN = 384
_COMMANDS_MAX = 4  # waiting


class Station:
    # identity: of identity.load(). safe: why it runs in safe mode, or "". passes: safe mode ends by itself.
    # events: [(kind, text)] of the start. ConfigError when the configuration cannot be used on this board.
    def __init__(self, board, identity, config, boot, safe, passes, events):
        self.id, key, link, _ = identity
        self.board = board
        self.config = config
        self.counter = None  # of commands: the highest that was seen
        self.answered = None  # the last command with its answer
        self.counters = Counters()
        self.clock = Clock(board)
        self.arbiter = Arbiter()
        sealer = None
        try:
            state = call("firmware.identity", "seal", board.files)
            if state:
                from firmware.sealer import Sealer

                sealer = Sealer(board.files, self.id, state)
        except ConfigError as error:  # no reason to measure nothing
            events = list(events) + [(messages.FLASH_FAULT, str(error))]  # noqa: RUF005 (MicroPython)
        most = config.memory_records or MEMORY_RECORDS
        ring = pieces(most, config.memory_records or MEMORY_RECORDS_MIN)
        if ring is None:
            raise ConfigError("memory_records: not enough memory: write a smaller number, or 0")
        thin_at = 100 if safe else int(100 * config.store["thin_at"])
        self.store = Store(boot, ring, self.clock, board.files, self.arbiter, thin_at=thin_at, sealer=sealer)
        self.boot = self.store.boot
        if self.boot != boot:  # a number that is on flash already
            board.next_boot(self.boot - 1)
        self.session = DeviceSession(self.hello, self.store, board.ticks_diff)
        mac = Mac0(self.id, key)
        if not self.fits(mac):
            raise ConfigError(
                "channels: the greeting does not fit a frame: shorten names, or use two devices"
            )
        self.uplink = Uplink(
            board,
            link,
            self.session,
            mac,
            self.clock,
            self.store,
            self.renumber,
            self._commanded,
            config.store["hold_ms"],
        )
        self.watch = Watch(board, self.store, safe, self.leave if passes else None, self.arbiter)
        self.io = None
        self.loops = None
        if not safe:
            if config.inputs or config.outputs or config.alarms:
                from firmware.io import Io

                self.io = Io(board, self.clock, self.store, config, self.arbiter)
            if config.analogs or config.counters:
                from firmware.analog import Analog

                self.loops = Analog(board, self.clock, self.io or self.store, config)
        else:
            for row in config.outputs:
                board.output(row[2], row[3])  # off, as at every start
        self.pollers = []
        for bus in config.buses:
            line = open_line(board, bus, self.arbiter)
            units = [unit for unit in config.units if unit.bus == line.id]
            sink = self.io or self.store
            self.pollers.append(Poller(board, self.clock, sink, line, units, config.channels, self.counters))
        self._commands = []
        self._wake = asyncio.Event()
        self._leaving = None
        self._failed = 0
        store = self.store
        started = f"{FIRMWARE}, {board.reset_reason}"
        if self.clock.told:
            started += ", time from the board"
        # Records may reach the gateway in another life of ours: this one says by which table they are read.
        hash = binascii.hexlify(config.hash).decode()
        store.event(messages.START, f"{started}, configuration {hash}")
        for kind, text in events:
            store.event(kind, text)
        if safe and not passes:
            store.event(messages.SAFE_MODE, safe)
        self.watch.told_before()

    # name, coroutine function, ms within which it reports. 0: not supervised: installing an update takes
    # minutes.
    def tasks(self):
        slow_ms = 30000 + max([unit.timeout_ms for unit in self.config.units] or [0])
        table = [("poller " + poller.line.id, poller.run, slow_ms) for poller in self.pollers]
        table.append(("store", self.store.run, slow_ms))
        table.append(("uplink", self._link, 90000))
        table.append(("commands", self._command, 0))
        table.append(("report", self._report, 0))
        if self.io:
            table.append(("io", self.io.run, slow_ms))
        if self.loops:
            table.append(("loops", self.loops.run, slow_ms))
        return table

    def hello(self):
        config = self.config
        intervals = {}
        for unit in config.units:
            for value in unit.values:
                intervals[value.channel] = unit.poll_ms
        for row in config.analogs:
            intervals[row[0]] = row[7]
        for row in config.counters:
            intervals[row[0]] = row[9]
        channels = [
            (channel.name, intervals.get(i, 0), channel.calibration, channel.points)
            for i, channel in enumerate(config.channels)
        ]
        reason = self.board.reset_reason
        while len(reason.encode()) > REASON_MAX:  # bytes: a bus may have any name
            reason = reason[:-1]
        store_boot, store_seq = self.store.first()
        return messages.Hello(
            messages.VERSION,
            FIRMWARE,
            self.id,
            self.boot,
            self.board.random_bytes(8),
            config.hash,
            channels,
            store_boot,
            store_seq,
            self.clock.told,
            self.clock.ticks(),
            reason,
        )

    # Whether the greeting, as it is now, can be sent.
    def fits(self, mac=None):
        return len(messages.encode(self.hello())) + (mac or self.uplink.mac).overhead <= framing.MAX_BODY

    # Our boot number is not new to the gateway (flash was wiped, a device was replaced): take one that is.
    # What is held has never been accepted, so it goes out under new numbers.
    def renumber(self, boot):
        self.store.renumber(boot)
        self.boot = self.store.boot
        self.board.next_boot(self.boot - 1)

    # ---- commands

    def _commanded(self, command):
        if len(self._commands) < _COMMANDS_MAX:
            self._commands.append(command)
            self._wake.set()

    async def _command(self):
        while True:
            while not self._commands:
                self._wake.clear()
                await self._wake.wait()
            command = self._commands[0]
            try:
                ok, text, data = await call("firmware.commands", "run", self, command)
            except MemoryError:  # to load it: no reason to give up measuring
                ok, text, data = False, "not enough memory", None
            self._commands.pop(0)
            self.uplink.answer(messages.Result(command.id, ok, text, data))

    # Start anew, soon.
    def leave(self, reason):
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(reason))

    async def _leave(self, reason):
        board, store = self.board, self.store
        for poller in self.pollers:
            poller.stopped = True
        began = board.ticks_ms()
        while board.ticks_diff(board.ticks_ms(), began) < LEAVE_MS:
            store.flush_soon()
            await board.sleep_ms(100)
            if not self.uplink.results and store.held == store.flushed:
                await board.sleep_ms(200)  # the answer is on its way
                break
        if self.io:
            self.io.close()
        if reason == "repl asked":
            board.enter_repl()
        board.reset(reason)

    # ---- running

    async def run(self):
        running = []
        for name, run, limit_ms in self.tasks():
            start = run
            if limit_ms:
                start = self._supervised(run, self.watch.add(name, limit_ms))
            running.append((name, asyncio.create_task(self.watch.guard(name, start))))
        running.append(("watch", asyncio.create_task(self.watch.run())))
        while await self.board.command() not in ("stop", None):
            pass
        for poller in self.pollers:
            poller.stopped = True
        for name, task in running:
            if name.startswith("poller"):
                await task
        self.store.seal_rest()
        self.uplink.hurry()
        await self._drain()
        for _, task in running:
            task.cancel()
        await self.board.sleep_ms(0)
        call("firmware.crashes", "up", self.board.files)  # no start that died
        self._print(True)

    def _supervised(self, run, alive):
        return lambda: run(alive)

    # The link; in safe mode its failures, too, which stored records may be the cause of.
    async def _link(self, alive):
        self.uplink.alive = alive
        self._failed += 1
        if self._failed > 2 and self.watch.safe:
            self.store.set_aside()
        await self.uplink.run()

    async def _drain(self):
        board = self.board
        began = board.ticks_ms()
        while self.store.held and board.ticks_diff(board.ticks_ms(), began) < DRAIN_MS:
            await board.sleep_ms(20)

    async def _report(self):
        while True:
            self._print(False)
            await self.board.sleep_ms(REPORT_MS)

    def _print(self, final):
        board, store, counters, uplink = self.board, self.store, self.counters, self.uplink
        lines = [poller.line for poller in self.pollers]
        kind, detail = store.newest_event
        free, used = board.heap()
        skipped = sum([poller.skipped for poller in self.pollers])
        line = {
            "boot": self.boot,
            "emitted": store.emitted,
            "acked": store.acked,
            "held": store.held,
            "capacity": store.capacity,
            "discarded": store.discarded,
            "flushed": store.flushed,
            "flash_bytes": store.flash_bytes,
            "flash_faults": store.flash_faults,
            "thinned": store.thinned,
            "state": self.session.state,
            "polls": counters.polls,
            "skipped": skipped + self.loops.skipped if self.loops else skipped,
            "timeouts": counters.timeouts,
            "bad_replies": counters.bad_replies,
            "exceptions": counters.exceptions,
            "strays": sum([line.strays for line in lines]),
            "echoes": sum([line.echoes for line in lines]),
            "noise_bytes": sum([line.noise_bytes for line in lines]),
            "link_losses": uplink.losses,
            "bad_frames": uplink.bad_frames,
            "noise": uplink.noise,
            "told": self.clock.told,
            "drift_ppm": self.clock.drift_ppm,
            "event": f"{messages.EVENT_NAMES[kind]} {detail}",
            "crashes": self.watch.crashes,
            "safe": self.watch.safe,
            "missed_feeds": board.missed_feeds,
            "heap_free": free,
            "heap_used": used,
            "heap_low": self.watch.headroom,
            "epoch": store.sealer and store.sealer.epoch,
            "final": final,
        }
        board.report(json.dumps(line))
