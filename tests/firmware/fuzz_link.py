# Broken frames against the real uplink, framing, COSE, messages and session. Runs inside MicroPython:
#
#   micropython -X heapsize=1m tests/firmware/fuzz_link.py FRAMES SECONDS SEED [notag]
#
# Real frames of a gateway, mutated: on the wire, below the check sum (made right again), below the tag
# (sealed again with the right key). What is sealed again is never something that a gateway could have meant:
# it answers another greeting, is no whole message, or speaks of records that were never sent.
# Half of them come while the device greets, half while it waits for an acknowledgement of what it has sent.
# Prints one line of JSON: how many frames, and what they have moved (must be nothing).

import asyncio
import json
import random
import sys
import time

from firmware.clock import Clock
from firmware.store import Store, pieces
from firmware.uplink import Uplink
from protocol import cose, framing, messages
from protocol.cose import Mac0
from protocol.session import GREETING, LIVE, DeviceSession

T = 1760000000000
BOOT = 7
RECORDS = 60
KEY = bytes(range(32))
BATCH = 8  # frames in one read
r = random.getrandbits


def below(n):
    return r(16) % n


def noise(n):
    return bytes([r(8) for _ in range(n)])


def flipped(data, bits):
    data = bytearray(data)
    first = below(8 * len(data))
    for k in range(bits):
        bit = (first + k * (1 + r(3))) % (8 * len(data)) if k else first
        data[bit >> 3] ^= 1 << (bit & 7)
    return bytes(data)


class Board:
    name = "fuzz"
    reset_reason = "fuzz"

    def __init__(self):
        self.stream = None

    def ticks_ms(self):
        return 5000  # time stands still: no time-out ever comes

    station_ticks = ticks_ms

    def ticks_diff(self, a, b):
        return a - b

    def station_speed(self):
        return 1

    def real_ms(self, ms):
        return ms

    def rtc(self):
        return None

    def set_rtc(self, ms):
        pass

    def random_bytes(self, n):
        return noise(n)

    async def sleep_ms(self, ms):
        await asyncio.sleep_ms(0)

    async def open_link(self, link):
        return self.stream


class Fuzz:
    def __init__(self, frames, seconds):
        self.frames = 0
        self.kinds = {}
        self.moved = []
        self.mac = Mac0("st-01", KEY)
        self.thief = Mac0("st-01", bytes(32))
        self.nonce = None
        self.echo = []  # frames of the device
        self.halt = asyncio.Event()
        self._most = frames
        self._seconds = seconds
        self._welcomed = False
        self._fresh = False
        self._decoder = framing.Decoder()
        board = Board()
        board.stream = self
        self.clock = Clock(board)
        self.store = Store(BOOT, pieces(256, 64), self.clock)
        self.session = DeviceSession(self.hello, self.store, board.ticks_diff)
        self.uplink = Uplink(
            board, {"kind": "fuzz"}, self.session, self.mac, self.clock, self.store, self.ahead, self.command
        )
        for n in range(RECORDS):
            self.store.put(n % 12, self.clock.stamp(), n, 0, 0)
        self._end = time.ticks_add(time.ticks_ms(), seconds * 500)

    def hello(self):
        boot, seq = self.store.first()
        return messages.Hello(
            messages.VERSION, "fuzz", "st-01", BOOT, noise(8), bytes(8), [], boot, seq, 0, 5000, "fuzz"
        )

    def ahead(self, boot):
        self.moved.append("boot")

    def command(self, command):
        self.moved.append("command")

    def check(self):
        if self.store.first() != (BOOT, 1) or self.session.acked > (BOOT, 0):
            self.moved.append("records")
        if self.clock.now() != self.now:
            self.moved.append("time")
        if self.session.state != (LIVE if self._welcomed else GREETING):
            self.moved.append("state")
        if len(self.moved) > 3:
            self.halt.set()

    # ---- the stream that the uplink opens

    async def write(self, data):
        for body in self._decoder.feed(data):
            self.echo = [bytes(data)] + self.echo[:3]  # noqa: RUF005 (small)
            message = messages.decode(self.mac.open(body))
            if isinstance(message, messages.Hello):
                self.nonce = message.nonce
                self.now = self.clock.now()

    async def read(self, n, timeout_ms=None):
        await asyncio.sleep_ms(0)
        while self.nonce is None:
            await asyncio.sleep_ms(1)
        if self._fresh:  # let it send what it has
            for _ in range(100):
                await asyncio.sleep_ms(0)
            self._fresh = False
            self.now = self.clock.now()
        self.check()
        if self.frames >= self._most or time.ticks_diff(self._end, time.ticks_ms()) < 0:
            if self._welcomed:
                self.halt.set()
                await asyncio.sleep_ms(1000)
            return self.welcome()
        out = [self.mutated() for _ in range(BATCH)]
        self.frames += BATCH
        return b"".join(out)

    def close(self):
        self.moved.append("the link broke")
        self.halt.set()

    # The first half is over.
    def welcome(self):
        self._most = self.frames + self._most
        self._end = time.ticks_add(time.ticks_ms(), self._seconds * 500)
        self._welcomed = True
        self._fresh = True
        return b"\0" + self.frame(messages.Welcome(messages.VERSION, self.nonce, BOOT, 0, T, True))

    def frame(self, message):
        return framing.encode(self.mac.seal(messages.encode(message)))

    # What a gateway says at this point; with another nonce if it is to be sealed as it is.
    def message(self, nonce):
        kind = below(4)
        if kind == 0:
            return messages.Welcome(messages.VERSION, nonce, BOOT, 0, T + r(30), True)
        if kind == 1 and nonce is not self.nonce:
            return messages.Command(T, 1, "reboot", {})
        return messages.Ack(nonce, BOOT, 1 + below(RECORDS), T + r(30), True, 0)

    def mutated(self):
        kind = below(16)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        message = self.message(self.nonce)
        mac = self.mac
        payload = messages.encode(message)
        body = mac.seal(payload)
        if kind < 5:
            frame = framing.encode(body)
            if kind == 0:
                return flipped(frame, 1 + below(8))
            if kind == 1:
                return frame[: below(len(frame) - 1)]
            if kind == 2:
                at = 1 + below(len(frame) - 2)  # not before it: after a zero it would be a good frame
                return frame[:at] + noise(1 + below(8)) + frame[at:]
            if kind == 3:
                other = framing.encode(mac.seal(messages.encode(self.message(self.nonce))))
                at = below(len(frame) - 1)  # and not joined where both are alike: that would be the other one
                return frame[:at] + other[at + 1 + below(20) :]
            return noise(below(200))
        if kind == 5:
            body = flipped(body, 1 + below(3))
        elif kind == 6:
            body = body[: 1 + below(len(body) - 1)] if r(1) else body + noise(1 + r(4))
        elif kind == 7:
            body = self.thief.seal(payload)
        elif kind == 8:
            at = below(len(body) - 1)
            body = body[:at] + noise(1 + r(3)) + body[at:]
        elif kind < 15:
            stranger = bytes([x ^ 0xFF for x in self.nonce])
            if kind == 9:
                payload = payload[: below(len(payload))]
            elif kind == 10:
                payload += noise(1 + r(4))
            elif kind == 11:
                payload = payload[:1] + bytes([payload[1] ^ (1 + below(15))]) + payload[2:]
            elif kind == 12:
                payload = noise(1 + below(60))
            elif kind == 13:
                payload = flipped(messages.encode(messages.Ack(stranger, BOOT, 9, T, True, 0)), 1 + below(3))
            elif r(1):
                payload = messages.encode(messages.Welcome(messages.VERSION, stranger, BOOT, 0, T, True))
            else:
                payload = messages.encode(messages.Ack(self.nonce, BOOT, 100000 + r(20), T, True, 0))
            body = mac.seal(payload)
        else:
            return self.echo[below(len(self.echo))]
        return framing.encode(body)

    async def run(self):
        task = asyncio.create_task(self.uplink.run())
        await self.halt.wait()
        if task.done():
            self.moved.append("the task ended")
        task.cancel()
        print(json.dumps({
            "frames": self.frames, "moved": self.moved[:5], "kinds": self.kinds, "live": self._welcomed,
            "bad_frames": self.uplink.bad_frames, "noise": self.uplink.noise, "ignored": self.session.ignored,
        }))  # fmt: skip


def main(frames, seconds, seed, broken=""):
    random.seed(int(seed))
    if broken == "notag":
        cose.compare_digest = lambda a, b: True
    asyncio.run(Fuzz(int(frames) // 2, int(seconds)).run())


main(*sys.argv[1:])
