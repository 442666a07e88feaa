# A device's store for session tests: records of several boots in memory, bounded, oldest out first.
#
# Each record has a value of its own, so that a record in the wrong place is seen.

from protocol.messages import Event, Hello, Readings, Summary


class Store:
    def __init__(self, boot, capacity=1000000, batch=4):
        self.records = []  # (boot, seq, value), ascending
        self.boot = boot
        self.made = 0  # in this boot
        self.capacity = capacity
        self.batch_rows = batch
        self.discarded = []
        self.released = []

    def make(self, count=1, kind=0):
        for _ in range(count):
            self.made += 1
            self.records.append((self.boot, self.made, value(self.boot, self.made), kind))
            if len(self.records) > self.capacity:
                self.discarded.append(self.records.pop(0)[:2])

    # A restart: the next boot. What is in flash stays, what is in memory does not.
    def restart(self, boot, flash=True):
        self.boot = boot
        self.made = 0
        lost = []
        if not flash:
            lost = [record[:2] for record in self.records]
            self.records = []
        return lost

    def first(self):
        return self.records[0][:2] if self.records else (self.boot, self.made + 1)

    # Rows as long as they are of one boot and kind: 0 is Readings, 1 an Event, 2 a Summary.
    def batch(self, boot, seq):
        rows = []
        kind = 0
        for record in self.records:
            if record[0] == boot and record[1] == seq + len(rows):
                if rows and record[3] != kind:
                    break
                kind = record[3]
                if kind == 1:
                    return Event(boot, seq, 0, 1, 9, record[2])
                rows.append((0, 0, record[2], 0, 0) if kind == 0 else (0, 0, record[2], 0, 1, 0, 0))
                if len(rows) == self.batch_rows:
                    break
        if not rows:
            return None
        if kind == 0:
            return Readings(boot, seq, 0, 1, tuple(rows))
        return Summary(boot, seq, 60000, 1, 60000, tuple(rows))

    def release(self, boot, seq):
        while self.records and self.records[0][:2] <= (boot, seq):
            self.released.append(self.records.pop(0)[:2])


def value(boot, seq):
    return (boot * 7919 + seq) & 0xFFFFFFFF


# make_hello for a store: nonces count up.
class Hellos:
    def __init__(self, store, device="st-01"):
        self.store = store
        self.device = device
        self.made = 0

    def __call__(self):
        self.made += 1
        boot, seq = self.store.first()
        return Hello(1, "", self.device, self.store.boot, nonce(self.made), bytes(8), (), boot, seq, 1, 0, "")


def nonce(number):
    return number.to_bytes(8, "big")
