# An RS-485 line with its time in us, for one poller: nothing else runs, so a read or a sleep moves the clock
# itself. Waits end on whole ms, as those of a board do. In MicroPython too.
import asyncio

from firmware.bus import RtuLine
from firmware.clock import Clock
from firmware.poller import Counters, Poller
from protocol import modbus, modbus_requests
from tests.firmware.bench_board import BenchBoard
from tests.firmware.wired_board import Channel, Kept, Stop, nothing


# A store that counts. first, last: of each (channel, quality), ms of its stamp
class Tally(Kept):
    def __init__(self):
        super().__init__()
        self.count = {}
        self.first = {}
        self.last = {}
        self.numbers = set()

    def put(self, channel, stamp, raw_bits, why, calibration):
        key = channel, why
        self.count[key] = self.count.get(key, 0) + 1
        self.first.setdefault(key, stamp[0])
        self.last[key] = stamp[0]
        if raw_bits is not None:
            self.numbers.add(raw_bits)

    # Records of a channel: with this quality, or all
    def of(self, channel, why=None):
        return sum([n for (c, w), n in self.count.items() if c == channel and why in (None, w)])

    def whys(self):
        return {why for _, why in self.count}


class PacedBoard(BenchBoard):
    def __init__(self):
        super().__init__()
        self.us = 0
        self.end_us = 0
        self.steps = []  # (at us, what to do)
        self.stream = None

    def ticks_ms(self):
        return self.us // 1000

    # Wraps, as on a board: after that, its whole ms are not those of ticks_ms().
    def ticks_us(self):
        return (self.us + 1000000000) & 0x3FFFFFFF

    def ticks_diff(self, a, b):
        return ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def station_ticks(self):
        return self.us // 1000

    def idle(self):
        pass

    def move(self, us):
        while self.steps and self.steps[0][0] <= us:
            at, do = self.steps.pop(0)
            self.us = max(self.us, at)
            do()
        self.us = us
        if us >= self.end_us:
            raise Stop

    async def sleep_ms(self, ms):
        self.move((self.us // 1000 + ms) * 1000 if ms else self.us)

    async def open_rtu(self, bus):
        return self.stream


# instruments: unit -> function(stream, request) that calls stream.answer; any other unit is silent.
class PacedStream:
    def __init__(self, board, baud, instruments):
        self.board = board
        self.byte_us = 10000000 // baud
        self.silence_us = modbus.silence_us(baud)
        self.asked = {}  # unit -> ms of the requests to it
        self.watched = ()  # the units whose times are kept
        self.hasty = 0  # requests that came before the line had been silent for long enough
        self.busy_us = 0  # what the line needs for the good transactions, silences included
        self._instruments = instruments
        self._coming = []  # [us when the next byte is there, us between bytes, bytes]
        self._quiet_from = -1000000

    async def write(self, data):
        us = self.board.us
        if us - self._quiet_from < self.silence_us:
            self.hasty += 1
        times = self.asked.setdefault(data[0], [])
        if data[0] in self.watched:
            times.append(us // 1000)
        self.board.us = us + len(data) * self.byte_us
        self._quiet_from = self.board.us
        instrument = self._instruments.get(data[0])
        if instrument:
            instrument(self, bytes(data))

    # Bytes that begin so many us after the end of the request.
    def answer(self, data, after_us=0):
        self.noise(data, self.board.us + (after_us or self.silence_us) + self.byte_us, self.byte_us)

    def noise(self, data, us, apart_us):
        self._coming.append([us, apart_us, data])
        self._coming.sort()

    def read_now(self):
        return self._take(256)

    def _take(self, n):
        taken = b""
        while self._coming and self._coming[0][0] <= self.board.us and len(taken) < n:
            us, apart_us, data = self._coming[0]
            there = min((self.board.us - us) // apart_us + 1, len(data), n - len(taken))
            taken += data[:there]
            self._quiet_from = us + (there - 1) * apart_us
            self._coming[0] = [us + there * apart_us, apart_us, data[there:]]
            if there == len(data):
                self._coming.pop(0)
        return taken

    async def read(self, n, timeout_ms=None):
        data = self._take(n)
        if data:
            return data
        end = (self.board.us // 1000 + timeout_ms) * 1000
        if self._coming and self._coming[0][0] < end:
            end = max(self._coming[0][0], self.board.us)
        self.board.move(max(end, self.board.us))
        return self._take(n)

    def close(self):
        pass


# A good answer to a read of registers, each of which holds `word`.
def good(word=7):
    def instrument(stream, request):
        count = request[4] << 8 | request[5]
        body = bytes([request[1], 2 * count]) + bytes([word >> 8, word & 0xFF]) * count
        answer = modbus.rtu(request[0], body)
        stream.answer(answer)
        stream.busy_us += (len(request) + len(answer)) * stream.byte_us + 2 * stream.silence_us

    return instrument


# As config.Unit and config.Value, without the whole of config.py in the heap of a small interpreter
class Table:
    def __init__(self, **fields):
        for name in fields:
            setattr(self, name, fields[name])


def entry(number, channel, poll_ms=1000, timeout_ms=300, retries=2, count=8, gap_ms=0, reads=1, address=0):
    value = Table(
        channel=channel,
        read=reads - 1,
        at=0,
        type="uint16",
        order="ABCD",
        multiply=1,
        divide=1,
        offset=0,
        min=None,
        max=None,
        watched=(),
    )
    return Table(
        bus="rs485",
        unit=number,
        poll_ms=poll_ms,
        phase_ms=0,
        timeout_ms=timeout_ms,
        retries=retries,
        gap_ms=gap_ms,
        requests=[(modbus_requests.read_pdu(3, address + i * count, count), 0) for i in range(reads)],
        starts=0,
        values=(value,),
        statuses=(),
    )


# board, stream, store and poller of a line with these instruments and entries
def line(entries, instruments, baud=9600, arbiter=None):
    board = PacedBoard()
    board.stream = PacedStream(board, baud, instruments)
    store = Tally()
    bus = {"id": "rs485", "kind": "rtu", "path": "x", "baud": baud, "parity": "N", "stopbits": 1}
    channels = [Channel(f"c{i}") for i in range(16)]
    made = RtuLine(board, bus, arbiter)
    poller = Poller(board, Clock(board), store, made, entries, channels, Counters())
    return board, board.stream, store, poller


def run(board, coroutine, ms, steps=()):
    board.end_us = ms * 1000
    board.steps = list(steps)
    try:
        asyncio.run(coroutine)
    except Stop:
        pass
    asyncio.run(nothing())  # MicroPython keeps the last task, and with it all of this
