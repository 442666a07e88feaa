# A station's store on a directory, with time that the test moves: for both runtimes.

import gc
import os

from firmware.clock import Clock
from firmware.files import Files
from firmware.store import Store, pieces
from protocol import messages
from protocol.reading import float_bits
from tests.firmware.bench_board import BenchBoard

T = 1760000000000


class Stop(Exception):
    pass


# A board on which sleeping moves the clock, and calls tick() each time; after `until` it ends the task.
class Sleeper(BenchBoard):
    def __init__(self):
        BenchBoard.__init__(self)
        self.until = 0
        self.tick = None
        self.stride = 1  # time goes so much faster than it says

    async def sleep_ms(self, ms):
        self.now_ms += ms * self.stride
        if self.now_ms > self.until:
            raise Stop
        if self.tick:
            self.tick()


def fresh_directory():
    folder = os.getenv("TMPDIR") or "/tmp"
    path = folder + "/quantrac-" + "".join([f"{byte:02x}" for byte in os.urandom(6)])
    os.mkdir(path)
    return path


def remove_tree(path):
    for name in os.listdir(path):
        inner = path + "/" + name
        if os.stat(inner)[0] & 0x4000:
            remove_tree(inner)
        else:
            os.remove(inner)
    os.rmdir(path)


# Files on a flash of that many bytes, that can be made to fail: fails(operation, name) -> errno or 0.
class SmallFiles(Files):
    def __init__(self, directory, size=10000000):
        Files.__init__(self, directory)
        self.size = size
        self.fails = None
        self.writes = 0

    def _may(self, operation, name):
        error = self.fails(operation, name) if self.fails else 0
        if error:
            raise OSError(error, "flash")

    def append(self, name, data, mode="ab"):
        self._may("append", name)
        self.writes += 1
        Files.append(self, name, data, mode)

    def rename(self, name, to):
        self._may("rename", name)
        Files.rename(self, name, to)

    def remove(self, name):
        self._may("remove", name)
        Files.remove(self, name)

    def free(self):
        used = 0
        for folder in ("log", "state"):
            used += sum([(size + 4095) // 4096 * 4096 for _, size in self.names(folder)])
        return max(0, self.size - used)


# One life of a station's store after another on the same files.
class Station:
    def __init__(self, files, boot=7, ring=256, told=True, **more):
        self.board = Sleeper()
        self.clock = Clock(self.board)
        if told:
            self.clock.tell(T, True)
        self.files = files
        self.made = {}  # (boot, number) -> what was put, as drain() gives it
        self.alive = 0
        self.store = Store(boot, pieces(ring, ring), self.clock, files, **more)
        self.n = 0

    def put(self, n=1, channels=12):
        for _ in range(n):
            self.n += 1
            raw = float_bits(20 + self.n % channels + (self.n * 7919 % 100) / 100)
            self.note((self.n % channels, raw, 0, self.n // 1000))
            time_ms, told = self.clock.stamp()
            self.store.put(self.n % channels, (time_ms, told), raw, 0, self.n // 1000)

    # What of this life is on flash, in order.
    def flushed(self):
        return [self.made[name] for name in sorted(self.made) if name[1] < self.store._oldest]

    def note(self, record):
        store = self.store
        self.made[store.boot, store.emitted + 1] = record

    # each: called every step_ms with this station
    def go(self, ms, each=None, step_ms=1000):
        board = self.board
        board.until = board.now_ms + ms
        due = [board.now_ms + step_ms]

        def tick():
            while each and board.now_ms >= due[0]:
                due[0] += step_ms
                each(self)

        def alive():
            self.alive += 1

        board.tick = tick
        try:
            self.store.run(alive).send(None)
        except Stop:
            pass

    # A second of twelve channels.
    def second(self):
        self.put(12)


# Records of a message, as {(boot, number): (channel, raw, quality, calibration) or event}
def records_of(message):
    found = {}
    kind = type(message)
    if kind is messages.Seal:
        found[message.boot, message.seq] = tuple(message[2:])
    elif kind is messages.Event:
        found[message.boot, message.seq] = message.kind, message.detail
    elif kind is messages.Readings:
        for i, (channel, _, raw, quality, calibration) in enumerate(message.rows):
            found[message.boot, message.first_seq + i] = channel, raw, quality, calibration
    else:
        for i, row in enumerate(message.rows):
            found[message.boot, message.first_seq + i] = row
    return found


# What the store holds, in its order, acknowledged message by message; at most `most` messages. Events go to
# the list `events`, DOORs among the records when asked. wire: every message is encoded and decoded.
def drain(store, most=1000000, events=None, wire=True, doors=False):
    found = {}
    before = (0, 0)
    while store.held and most:
        most -= 1
        if most % 100 == 0 and hasattr(gc, "mem_free"):
            gc.collect()  # before what is kept lies scattered among what is not
        boot, number = store.first()
        assert (boot, number) > before, "the order"
        message = store.batch(boot, number)
        if message is None:
            break
        if wire:
            message = messages.decode(messages.encode(message))
        for name, record in sorted(records_of(message).items()):
            assert name > before and name not in found, "doubled"
            before = name
            if type(message) is messages.Event and not (doors and message.kind == messages.DOOR):
                if events is not None:
                    events.append(record)
            else:
                found[name] = record
        store.release(*before)
    return found


# Calls the test with files of their own, and clears up.
def on_flash(size=10000000):
    def around(test):
        def run():
            directory = fresh_directory()
            try:
                test(SmallFiles(directory, size))
            finally:
                remove_tree(directory)

        return run

    return around


def names(files):
    return [name for name, _ in files.names("log")]


def ranges(events):
    found = []
    for kind, detail in events:
        if kind == messages.DISCARDED:
            words = detail.split()
            n, first, last, boot = int(words[0]), int(words[2]), int(words[4]), int(words[-1])
            found.append((boot, first, last))
            assert n == last - first + 1
    return found
