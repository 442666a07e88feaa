# A board with pins that the test moves, and a clock that runs while the firmware sleeps. In MicroPython too.
import asyncio

from firmware.clock import Clock
from tests.firmware.bench_board import BenchBoard


class Stop(Exception):
    pass


async def nothing():
    pass


# steps: (at ms, what to do then). Ends the firmware's endless loop by Stop at `end_ms`.
class WiredBoard(BenchBoard):
    def __init__(self, end_ms=0, steps=(), files=None, speed=1):
        super().__init__(speed)
        self.pins = {}
        self.levels = {}  # of outputs
        self.moves = []  # (ms, pin, on)
        self.files = files or Files()
        self._end_ms = end_ms
        self._steps = list(steps)
        self._near_ms = self._done_ms = 0

    def input(self, pin, pull=None):
        return lambda: self.pins.get(pin, 1 if pull == "up" else 0)

    def counter(self, pin, pull="up", gap_ms=2):
        return lambda: self.pins.get(pin, 0)

    def adc_uv(self, pin):
        value = self.pins.get(pin, 0)
        if isinstance(value, list):
            value = value.pop(0)
        if value is None:
            raise OSError(5)
        return value

    def output(self, pin, active=1):
        def write(on):
            self.levels[pin] = active if on else 1 - active
            self.moves.append((self.now_ms, pin, on))

        self.levels[pin] = 1 - active
        return write

    async def sleep_ms(self, ms):
        end_ms = self.now_ms + ms
        while self._steps and self._steps[0][0] <= end_ms:
            at_ms, do = self._steps.pop(0)
            self.now_ms = self._done_ms = max(self.now_ms, at_ms)
            do()
        if self._near_ms:
            next_ms = self._steps[0][0] if self._steps else self._end_ms
            if next_ms - end_ms > self._near_ms and end_ms - self._done_ms > self._near_ms:
                end_ms = next_ms - self._near_ms
        self.now_ms = end_ms
        if end_ms >= self._end_ms:
            raise Stop

    # near_ms: what is further than that from any step passes in one sleep; 0: nothing does.
    def go(self, coroutine, end_ms, steps=(), near_ms=0):
        self._end_ms = end_ms
        self._near_ms = near_ms
        self._steps = list(steps)
        try:
            asyncio.run(coroutine)
        except Stop:
            pass
        asyncio.run(nothing())  # MicroPython keeps the last task, and with it all of this


class Files:
    def __init__(self):
        self.content = {}
        self.broken = False
        self.log = []

    def read(self, name):
        if name not in self.content:
            raise OSError(2)
        return self.content[name]

    def make(self, folder):
        pass

    def replace(self, name, data):
        if self.broken:
            raise OSError(28)
        self.content[name] = data
        self.log.append(name)


# What the store got: rows and events in order
class Kept:
    def __init__(self):
        self.rows = []
        self.events = []
        self.flushes = 0

    def put(self, channel, stamp, raw_bits, why, calibration):
        self.rows.append((channel, stamp, raw_bits, why, calibration))

    def event(self, kind, detail):
        self.events.append((kind, detail))

    def flush_soon(self):
        self.flushes += 1

    def texts(self, kind):
        return [detail for k, detail in self.events if k == kind]


class Channel:
    def __init__(self, name="c", points=(), calibration=0):
        self.name = name
        self.points = points
        self.calibration = calibration


class Config:
    def __init__(self, inputs=(), outputs=(), alarms=(), analogs=(), counters=(), channels=None):
        self.inputs = inputs
        self.outputs = outputs
        self.alarms = alarms
        self.analogs = analogs
        self.counters = counters
        self.channels = channels or [Channel(f"c{i}") for i in range(4)]


def clock_of(board, time_ms=None):
    clock = Clock(board)
    if time_ms is not None:
        clock.tell(time_ms, True)
    return clock
