# Broken Modbus answers against the real master, poller and judge. Runs inside MicroPython:
#
#   micropython -X heapsize=1m tests/firmware/fuzz_bus.py rtu|tcp ANSWERS SECONDS SEED [nocrc|nounit]
#
# Every request has a truth of its own; what is sent back is a mutation of the good answer to it. A mutation
# never is a good answer with other numbers: where the check sum is made right, the head, the length or the
# unit is wrong; where it is not, at most three bits are turned, or it was never a whole answer.
# Prints one line of JSON: how many answers, how many readings with a number, how many of them wrong.

import json
import random
import struct
import sys
import time

from firmware import bus
from firmware.clock import Clock
from firmware.config import Channel, Unit, Value
from firmware.poller import Counters, Poller
from protocol import modbus, modbus_requests

COUNT = 6  # registers in a poll: three values
BAD_MAX = 7  # in a row: with nine the poller takes a unit for lost, and asks it once a minute
HEAD = 3  # unit, function, byte count
UNITS = (1, 2, 3)
EXCEPTIONS = (1, 2, 3, 4, 5, 6, 8, 10, 11)
r = random.getrandbits


def below(n):
    return r(16) % n


def noise(n):
    return bytes([r(8) for _ in range(n)])


def sealed(body):
    return body + struct.pack("<H", modbus.crc16(body))


def flipped(data, bits, span=None):
    data = bytearray(data)
    first = below(8 * (span or len(data)))
    for k in range(bits):  # never the same bit twice
        bit = (first + k * (1 + r(2))) % (8 * (span or len(data))) if k else first
        data[bit >> 3] ^= 1 << (bit & 7)
    return bytes(data)


# One of the ways in which a frame of an instrument goes wrong: (kind, bytes).
def mutate_rtu(good, request):
    kind = below(16)
    body = good[:-2]
    if kind < 3:
        return "good", good
    if kind == 3:
        return "flip", flipped(good, 1 + below(3))
    if kind == 4:
        return "cut", good[: below(len(good))]
    if kind == 5:
        return "cut, sealed", sealed(body[: 1 + below(len(body) - 1)])
    if kind == 6:
        return "head lost", good[1 + below(len(good) - 1) :]
    if kind == 7:
        return "longer", good + noise(1 + r(3)) if r(1) else noise(1 + r(3)) + good
    if kind == 8:
        return "longer, sealed", sealed(body + noise(1 + r(3)) if r(1) else noise(1 + r(3)) + body)
    if kind == 9:
        return "other unit", sealed(bytes([body[0] ^ (1 + below(255))]) + body[1:HEAD] + noise(2 * COUNT))
    if kind == 10:
        other = body[:1] + bytes([body[1] ^ (1 + below(255))]) + body[2:HEAD]
        return "other function", sealed(other + noise(2 * COUNT))
    if kind == 11:
        return "other count", sealed(body[:2] + bytes([body[2] ^ (1 + below(255))]) + noise(2 * COUNT))
    if kind == 12:
        other = sealed(bytes([body[0] ^ (1 + below(7))]) + noise(1 + below(40)))
        return "merged", (good + good, other + good, good + other, other + other)[r(2)]
    if kind == 13:
        data = noise(1 + below(60))
        if data[:HEAD] == good[:HEAD]:
            data = b"\0" + data
        return "noise", sealed(data) if r(1) else data
    if kind == 14:
        code = EXCEPTIONS[below(len(EXCEPTIONS))]
        data = bytes([body[0], body[1] | 0x80, code])
        return "exception", sealed(data) if r(2) else sealed(data + noise(1 + r(2)))
    if r(1):
        return "echo", request + (good if r(1) else flipped(good, 1))
    return "silence", b""


def mutate_tcp(good, request):
    kind = below(12)
    if kind < 3:
        return "good", good
    if kind == 3:
        # Not the number itself: one that is ahead is that of an answer to come, which nobody can know.
        return "flip", good[:2] + flipped(good[2:], 1 + below(3), 7)
    if kind == 4:
        return "cut", good[: below(len(good))]
    if kind == 5:
        return "head lost", good[1 + below(len(good) - 1) :]
    if kind == 6:
        return "longer", good + noise(1 + r(3))
    if kind == 7:
        return "other unit", good[:6] + bytes([good[6] ^ (1 + below(255))]) + good[7:9] + noise(2 * COUNT)
    if kind == 8:
        return "other function", good[:7] + bytes([good[7] ^ (1 + below(255))]) + good[8:9] + noise(2 * COUNT)
    if kind == 9:
        number = (good[0] << 8 | good[1]) - 1 - below(1000) & 0xFFFF
        old = struct.pack(">H", number) + good[2:9] + noise(len(good) - 9)
        return "older", (old, old + good, old + old)[below(3)]
    if kind == 10:
        code = EXCEPTIONS[below(len(EXCEPTIONS))]
        return "exception", good[:4] + b"\0\3" + good[6:7] + bytes([good[7] | 0x80, code])
    return "silence", b""


class Board:
    def __init__(self):
        self.now = 0
        self.line = None

    def ticks_ms(self):
        return self.now

    def ticks_us(self):
        return self.now * 1000

    def ticks_diff(self, a, b):
        return a - b

    station_ticks = ticks_ms

    def station_speed(self):
        return 1

    def real_ms(self, ms):
        return ms

    async def sleep_ms(self, ms):
        self.now += ms

    def idle(self):
        pass

    def rtc(self):
        return None

    def random_bytes(self, n):
        return noise(n)

    async def open_rtu(self, settings):
        self.line.pending = []
        return self.line

    async def open_tcp(self, host, port):
        self.line.pending = []
        return self.line


class Line:
    def __init__(self, board, tcp):
        self.pending = []  # [ms until it comes, bytes]
        self.truth = {}  # unit -> registers
        self.kinds = {}
        self.bad = {}  # unit -> answers in a row that were not good
        self.answers = 0
        self._board = board
        self._tcp = tcp

    async def write(self, data):
        unit = data[6] if self._tcp else data[0]
        words = [r(15) for _ in range(COUNT)]  # floats of any size, but no NaN
        self.truth[unit] = words
        pdu = struct.pack(">BB", 3, 2 * COUNT) + struct.pack(f">{COUNT}H", *words)
        if self._tcp:
            good = data[:4] + struct.pack(">HB", len(pdu) + 1, unit) + pdu
            kind, answer = mutate_tcp(good, data)
        else:
            good = sealed(bytes([unit]) + pdu)
            kind, answer = mutate_rtu(good, data)
        bad = 0 if kind == "good" else self.bad.get(unit, 0) + 1
        if bad > BAD_MAX:
            bad, kind, answer = 0, "good", good
        self.bad[unit] = bad
        self.answers += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.pending = []
        wait = below(20)
        while answer:
            size = len(answer) if r(1) else 1 + below(len(answer))
            self.pending.append([wait, answer[:size]])
            answer = answer[size:]
            wait = 0

    def read_now(self):
        return b""

    async def read(self, n, timeout_ms=None):
        if not self.pending or self.pending[0][0] > timeout_ms:
            self._board.now += timeout_ms
            if self.pending:
                self.pending[0][0] -= timeout_ms
            return b""
        wait, data = self.pending.pop(0)
        self._board.now += wait
        if len(data) > n:
            self.pending.insert(0, [0, data[n:]])
        return data[:n]

    def close(self):
        pass


class Store:
    def __init__(self, line):
        self.readings = 0
        self.empty = 0
        self.wrong = 0
        self.first = None
        self._line = line

    def put(self, channel, stamp, raw_bits, quality, calibration):
        if raw_bits is None:
            self.empty += 1
            return
        self.readings += 1
        words = self._line.truth[UNITS[channel // 3]]
        at = channel % 3 * 2
        if raw_bits != words[at] << 16 | words[at + 1]:
            self.wrong += 1
            self.first = self.first or [channel, raw_bits, quality]

    def event(self, kind, detail):
        pass


def run(tcp, answers, seconds):
    board = Board()
    board.line = line = Line(board, tcp)
    store = Store(line)
    settings = {"id": "fuzz", "kind": "rtu", "path": "", "baud": 9600, "parity": "N", "stopbits": 1}
    if tcp:
        settings = {"id": "fuzz", "kind": "tcp", "host": "10.0.0.1", "port": 502}
    pdu = modbus_requests.read_pdu(3, 0, COUNT)
    units = [
        Unit("fuzz", unit, 1000, 0, 100, 2, 0, [(pdu, 0)], 0,
             [Value(3 * i + k, 0, 2 * k, "float32", "ABCD", 1, 1, 0, None, None, ()) for k in range(3)], [])
        for i, unit in enumerate(UNITS)
    ]  # fmt: skip
    channels = [Channel(f"c{i}", 0, []) for i in range(9)]
    counters = Counters()
    poller = Poller(board, Clock(board), store, bus.open_line(board, settings), units, channels, counters)
    end = time.ticks_add(time.ticks_ms(), seconds * 1000)

    def alive():
        if line.answers >= answers or (line.answers & 63 == 0 and time.ticks_diff(end, time.ticks_ms()) < 0):
            poller.stopped = True

    try:
        poller.run(alive).send(None)  # nothing here ever waits, so it runs to its end
    except StopIteration:
        pass
    print(json.dumps({
        "answers": line.answers, "readings": store.readings, "empty": store.empty, "wrong": store.wrong,
        "first": store.first, "kinds": line.kinds, "timeouts": counters.timeouts,
        "bad_replies": counters.bad_replies, "exceptions": counters.exceptions,
    }))  # fmt: skip


def main(kind, answers, seconds, seed, broken=""):
    random.seed(int(seed))
    parse_rtu = modbus.parse_rtu
    if broken == "nocrc":
        modbus.parse_rtu = lambda adu, unit, pdu: parse_rtu(sealed(adu[:-2]), unit, pdu)
    if broken == "nounit":
        modbus._same_unit = lambda answered, unit: None
    run(kind == "tcp", int(answers), int(seconds))


main(*sys.argv[1:])
