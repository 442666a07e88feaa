"""A device, a gateway and a bad link between them, for tests of the session under faults.

Messages may be lost, doubled, overtaken, recorded and replayed; the link may be cut; the device may restart
under a higher boot number, with its store in flash or in memory; the gateway may restart, or lose what it has
taken and not committed. Whatever happens, check() must hold; once faults end, drain() must bring all home.
"""

from protocol.gateway_session import ACCEPT, GAP, GREET, REPEAT, GatewaySession
from protocol.session import DeviceSession, span
from tests.protocol._store import Hellos, Store, value

ACK_TIMEOUT_MS = 50

# How often each happening is chosen in a random run.
WEIGHTS = {
    "make": 9,
    "time": 6,
    "up": 4,
    "down": 1,
    "send": 12,
    "deliver": 25,
    "overtake": 3,
    "lose": 3,
    "replay": 3,
    "commit": 6,
    "good": 4,
    "device restarts": 1,
    "gateway restarts": 1,
    "journal fails": 1,
    "batch": 2,
}


class World:
    def __init__(self, device=DeviceSession, gateway=GatewaySession, store=Store, capacity=40, batch=4):
        self.device_class, self.gateway_class = device, gateway
        self.now = 0
        self.store = store(1, capacity, batch)
        self.hellos = Hellos(self.store)
        self.journal = []  # (boot, seq, value), on disk
        self.taken = []  # accepted, not committed
        self.made = []  # names of all records ever made
        self.lost = set()  # names of records that a restart took from memory
        self.up = False
        self.to_gateway, self.to_device = [], []
        self.recorded = []  # (queue name, message), for replays
        self.skipped = 0
        self._start_device()
        self._start_gateway()

    def _start_device(self):
        self.device = self.device_class(
            self.hellos, self.store, lambda later, earlier: later - earlier, 3, ACK_TIMEOUT_MS
        )

    def _start_gateway(self):
        boot, seq = self.journal[-1][:2] if self.journal else (0, 0)
        self.gateway = self.gateway_class("st-01", boot, seq)
        self.taken = []

    # ---- What can happen

    def make(self, count, kind=0):
        first = self.store.made + 1
        self.store.make(count, kind)
        self.made += [(self.store.boot, seq) for seq in range(first, first + count)]

    def link_up(self):
        self.up = True
        self.device.link_up(self.now)

    def link_down(self, losing=True):
        self.up = False
        self.device.link_down(self.now)
        if losing:
            self.to_gateway, self.to_device = [], []

    def restart_device(self, rise, flash):
        self.lost.update(self.store.restart(self.store.boot + rise, flash))
        self._start_device()
        self.up = False

    def restart_gateway(self):
        self._start_gateway()

    def fail_journal(self):
        self.taken = []
        self.gateway.fall_back()

    def send(self):
        """The device sends all that it would send now."""
        while self.up and (message := self.device.next(self.now)) is not None:
            self._put("to_gateway", message)

    def _put(self, queue, message):
        getattr(self, queue).append(message)
        self.recorded.append((queue, message))

    def answer(self, message):
        if self.up:
            self._put("to_device", message)

    def gateway_receives(self, place=0):
        message = self.to_gateway.pop(place)
        verdict = self.gateway.receive(message)
        if verdict == GREET:
            self.answer(self.gateway.welcome(1, True))
        elif verdict == ACCEPT:
            boot, first, _ = span(message)
            values = [row[2] for row in message.rows] if hasattr(message, "rows") else [message.detail]
            self.taken += [(boot, first + n, one) for n, one in enumerate(values)]
        elif verdict in (REPEAT, GAP):
            self.answer(self.gateway.ack(1, True))

    def device_receives(self, place=0):
        self.device.receive(self.to_device.pop(place), self.now)

    def commit(self):
        if self.taken:
            self.journal += self.taken
            self.gateway.committed(*self.taken[-1][:2])
            self.taken = []
            self.answer(self.gateway.ack(1, True))

    def good_moment(self):
        """Three rounds without a fault: faults alone seldom let a session get far."""
        if not self.up:
            self.link_up()
        for _ in range(3):
            self.send()
            while self.to_gateway:
                self.gateway_receives()
            self.commit()
            while self.to_device:
                self.device_receives()

    def random_run(self, rng, steps=60):
        """Happenings chosen by a random.Random, check() after each, then drain()."""
        for _ in range(steps):
            self._happen(rng)
            self.check()
        self.drain()

    def _happen(self, rng):
        queue = rng.choice((self.to_gateway, self.to_device))
        receives = self.gateway_receives if queue is self.to_gateway else self.device_receives
        (happening,) = rng.choices(list(WEIGHTS), WEIGHTS.values())
        if happening == "make":
            self.make(rng.randint(1, 9), rng.choice((0, 0, 0, 1, 2)))
        elif happening == "time":
            self.now += rng.choice((1, ACK_TIMEOUT_MS, 1000, 8000))
        elif happening == "up":
            self.link_up()
        elif happening == "down":
            self.link_down(rng.random() < 0.5)
        elif happening == "send":
            self.send()
        elif happening == "deliver" and queue:
            receives()
        elif happening == "overtake" and queue:
            receives(rng.randrange(len(queue)))
        elif happening == "lose" and queue:
            queue.pop(rng.randrange(len(queue)))
        elif happening == "replay" and self.recorded:
            name, message = rng.choice(self.recorded)
            getattr(self, name).append(message)
        elif happening == "commit":
            self.commit()
        elif happening == "good":
            self.good_moment()
        elif happening == "device restarts":
            self.restart_device(rng.randint(1, 3), rng.random() < 0.7)
        elif happening == "gateway restarts":
            self.restart_gateway()
        elif happening == "journal fails":
            self.fail_journal()
        elif happening == "batch":
            self.store.batch_rows = rng.randint(1, 6)

    # ---- What must hold

    def check(self):
        names = [record[:2] for record in self.journal]
        assert names == sorted(set(names)), "journaled twice or out of order"
        assert all(record[2] == value(*record[:2]) for record in self.journal), "a value under another's name"
        assert set(names) <= set(self.made), "journaled and never made"
        missing = set(self.store.released) - set(names)
        assert not missing, f"acknowledged and not on disk: {sorted(missing)[:3]}"

    def drain(self):
        """No more faults: everything the device still holds arrives, within a bounded time."""
        self.link_down()
        self.link_up()
        for _ in range(3000):
            self.now += 10
            self.send()
            while self.to_gateway:
                self.gateway_receives()
            self.commit()
            while self.to_device:
                self.device_receives()
            if not self.store.records and not self.taken:
                break
        self.check()
        names = {record[:2] for record in self.journal}
        missing = set(self.made) - names - set(self.store.discarded) - self.lost
        assert not self.store.records and not missing, f"did not drain: {sorted(missing)[:3]}"
