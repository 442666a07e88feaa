# A board whose time stands still until somebody moves it: three days of a station in minutes, repeatable but
# for the order of tasks that become ready in the same millisecond. For MicroPython's unix port only.
#
# Rule 1: time comes from the controller (simulator/stepped.py) over stdin and stdout. When no task is ready,
#         the board says what it wrote and until when it has nothing to do, and hears what time it is by then,
#         what came meanwhile, and until when nothing will come: up to there it steps alone.
# Rule 2: nothing takes time but waiting, sending on RS-485 (as uart.flush() does), asking for ticks_us(), and
#         `turn_us` for each turn of the event loop.
# Rule 3: the clock that asyncio reads is ahead of every real one (_AHEAD_MS): tasks that its C code makes
#         ready "now" in real time are ready before all others here.
# Rule 4: ticks_ms() wraps as on a board, soon after the start.
#
# To the controller, item after item: kind + 128, port, length, us now (<BBHq), data:
#   O open, name   D data   C close   R report   P pin=value   H heap   X reset, reason   B watchdog bit
#   K crash, text   T rtc, Unix ms   F a file is written, name   and at last W waits, until us or -1 (<q)
# From it: now us, quiet until us, number of items (<qqI), then the items:
#   o opened   x refused   d data   c hung up   p pin=value   h asks for the heap
# Port 0 is the console.
#
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false

import asyncio
import gc
import io
import random
import struct
import sys
from asyncio import core

from firmware import board as boards
from firmware.boards.common import Common
from protocol._compat import const

_AHEAD_MS = const(1 << 44)
_TICKS = const(0x3FFFFFFF)
_HALF = const(0x20000000)
_TURNS_MAX = const(1000)  # of the loop without time: somebody waits by sleep_ms(0)
_CONNECT_MS = const(5000)
_EIO = const(5)
_ECONNREFUSED = const(111)

gc.threshold(16384)  # as on the unix board

_in = sys.stdin.buffer
_out = sys.stdout.buffer


def _receive(buffer):
    view = memoryview(buffer)
    at = 0
    while at < len(view):
        got = _in.readinto(view[at:])
        if not got:
            sys.exit(0)  # the controller has gone
        at += got


# The task that runs now sleeps until its stream is touched, at most so long.
def _pause(stream, timeout_ms):
    stream.task = task = core.cur_task
    if timeout_ms is None:
        task.data = stream  # a cancelled task is taken away by remove()
    else:
        core._task_queue.push(task, core.ticks_add(core.ticks(), timeout_ms))
    yield
    stream.task = None


class Stream:
    def __init__(self, board, baud=0):
        self.task = None
        self.data = b""
        self.open = None  # not known yet
        self._board = board
        self._byte_us = baud and 10000000 // baud  # when sending is waited for
        streams = board.streams
        port = 0
        while port < len(streams) and streams[port] is not None:
            port += 1
        if port == len(streams):
            streams.append(None)
        streams[port] = self
        self._port = port

    def remove(self, task):
        self.task = None

    def touch(self):
        task = self.task
        if task is None or (task.data is not None and task.data is not self):  # cancelled meanwhile
            return
        if task.data is None:
            core._task_queue.remove(task)
        self.task = None
        core._task_queue.push(task)

    async def connect(self, name):
        self._board.send(79, self._port, name.encode())
        if self.open is None:
            await _pause(self, _CONNECT_MS)
        if not self.open:
            self.close()
            raise OSError(_ECONNREFUSED)
        return self

    async def read(self, n, timeout_ms=None):
        if not self.data and self.open:
            await _pause(self, timeout_ms)
        return self._take(n)

    def read_now(self):
        return self._take(256)

    def _take(self, n):
        if not self.data and not self.open:
            raise OSError(_EIO)
        data = self.data[:n]
        self.data = self.data[n:]
        return data

    async def write(self, data):
        if not self.open:
            raise OSError(_EIO)
        self._board.send(68, self._port, data)
        self._board.us += len(data) * self._byte_us
        await asyncio.sleep_ms(0)

    def close(self):
        if self.open is not False:
            self._board.send(67, self._port, b"")
        self.open = False
        self._board.streams[self._port] = None
        self.touch()


class Board(Common):
    name = "stepped"
    identity = "stepped"
    flash_stops_uart = True

    # options: seed, first ticks_ms, turn_us, the RTC's Unix ms or "", reset reason
    def __init__(self, directory, options):
        super().__init__(directory)
        self.us = 0
        self.streams = []
        self.map = True  # asyncio asks whether anything is waited for
        random.seed(int(options[0]))
        self._first = int(options[1])
        self._turn_us = int(options[2])
        if self.reset_reason is None:
            self.reset_reason = options[4]
        self._turns = 0
        self._quiet = 0
        self._said = False  # something was sent that the controller has not been woken for
        self._head = bytearray(20)
        self._item = bytearray(4)
        self._pins = {}
        self._dog_us = 0
        self._fed = 0
        self._rtc = None  # Unix us minus our own
        self._console = Stream(self)
        self._console.open = True
        self._exchange(0)
        self._began = self.us
        if options[3]:
            self._rtc = int(options[3]) * 1000 - self.us
        self._append = self.files.append
        self.files.append = self._write  # replace() goes through it too
        core.ticks = lambda: _AHEAD_MS + self.us // 1000
        core._io_queue = self

    # ---- time, and the loop's waiting

    def send(self, kind, port, data, said=True):
        self._said = said or self._said
        _out.write(struct.pack("<BBHq", kind | 128, port, len(data), self.us))
        if data:
            _out.write(data)

    def wait_io_event(self, dt):
        self.us += self._turn_us
        if dt == 0:
            self._turns += 1
            if self.us < self._quiet and self._turns < _TURNS_MAX:
                return
            until = self.us if self._turns < _TURNS_MAX else (self.us // 1000 + 1) * 1000
        elif dt > 0:
            until = (self.us // 1000 + dt) * 1000
        else:
            until = -1
        self._turns = 0
        if self._dog_us and (until < 0 or until > self._fed + self._dog_us):
            until = self._fed + self._dog_us
        if self._said or until < 0 or until >= self._quiet:
            self._exchange(until)
            while dt < 0 and core._task_queue.peek() is None:  # asyncio takes for granted that one is ready
                self._exchange(until)
        else:
            self.us = max(self.us, until)
        if self._dog_us and self.us >= self._fed + self._dog_us:
            self.send(66, 0, b"")
            self._halt()

    def _exchange(self, until):
        self.send(87, 0, struct.pack("<q", until))
        self._said = False
        head = self._head
        _receive(head)
        self.us, self._quiet, items = struct.unpack("<qqI", head)
        item = self._item
        while items:
            items -= 1
            _receive(item)
            kind, port, size = struct.unpack("<BBH", item)
            data = bytearray(size)
            if size:
                _receive(data)
            data = bytes(data)
            if kind == 112:
                pin, _, level = data.partition(b"=")
                self._pins[pin.decode()] = int(level)
            elif kind == 104:
                gc.collect()
                self.send(72, 0, f"{gc.mem_alloc()} {gc.mem_free()} {self.longest_feed_ms}".encode())
            else:
                stream = self.streams[port] if port < len(self.streams) else None
                if stream is None:
                    continue
                if kind == 100:
                    stream.data += data
                else:
                    stream.open = kind == 111
                stream.touch()

    # Nothing goes on here: the controller ends this process.
    def _halt(self):
        while True:
            self._exchange(-1)

    def ticks_ms(self):
        return (self._first + self.us // 1000) & _TICKS

    def ticks_us(self):
        self.us += 2  # so that whoever waits by asking over and over comes to an end
        return (self._first * 1000 + self.us) & _TICKS

    def ticks_diff(self, a, b):
        return ((a - b + _HALF) & _TICKS) - _HALF

    def station_ticks(self):
        return (self.us - self._began) // 1000

    def station_speed(self):
        return 1

    def real_ms(self, station_ms):
        return station_ms

    sleep_ms = staticmethod(asyncio.sleep_ms)  # pyright: ignore[reportArgumentType]

    def rtc(self):
        return None if self._rtc is None else (self._rtc + self.us) // 1000

    def set_rtc(self, ms):
        self._rtc = ms * 1000 - self.us
        self.send(84, 0, str(ms).encode())

    # ---- supervision

    idle = staticmethod(gc.collect)

    def heap(self):
        return gc.mem_free(), gc.mem_alloc()

    def watchdog(self, limit_ms):
        super().watchdog(limit_ms)
        self._dog_us = limit_ms * 1000
        self._fed = self.us

    def feed(self):
        super().feed()
        self._fed = self.us

    def reset(self, reason):
        self._reason = reason
        super().reset(reason)

    def _restart(self):
        self.send(88, 0, self._reason.encode())
        self._halt()

    def random_bytes(self, n):
        return bytes([random.getrandbits(8) for _ in range(n)])

    def _write(self, *what):
        self.send(70, 0, what[0].encode(), False)
        self._append(*what)

    # ---- pins: whatever the controller says

    def input(self, pin, pull=None):
        rest = 1 if pull == "up" else 0
        return lambda: self._pins.get(str(pin), rest)

    def counter(self, pin, pull="up", gap_ms=2):
        return lambda: self._pins.get(str(pin), 0)

    def adc_uv(self, pin):
        return self._pins.get(str(pin), 0)

    def output(self, pin, active=1):
        def put(on):
            self.send(80, 0, f"{pin}={1 if bool(on) == bool(active) else 0}".encode())

        put(False)
        return put

    # ---- streams

    async def open_rtu(self, bus):
        return await Stream(self, bus["baud"]).connect(bus["path"])

    async def open_tcp(self, host, port):
        return await Stream(self).connect(f"{host}:{port}")

    async def open_link(self, link):
        return await Stream(self).connect(link.get("path") or "{}:{}".format(link["host"], link["port"]))

    # ---- the console

    async def command(self):
        console = self._console
        while b"\n" not in console.data:
            if not console.open:
                return None
            await _pause(console, None)
        line, _, console.data = console.data.partition(b"\n")
        return line.decode().strip()

    def report(self, text):
        self.send(82, 0, text.encode(), False)  # nobody waits for it

    def crash(self, error):
        text = io.StringIO()
        sys.print_exception(error, text)  # pyright: ignore[reportArgumentType]
        self.send(75, 0, text.getvalue().encode())


# micropython -c "from firmware.boards import stepped; stepped.main()" DIRECTORY OPTIONS
def main():
    boards.open_board = lambda directory: Board(directory, sys.argv[2:])
    from firmware.app import main as run

    run()
