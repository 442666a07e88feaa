# The seal under power cuts: a device with a seal key on littlefs, cut at every block operation:
#
#   micropython -m tests.power.seal_cuts SCENARIO [CONTROL] [nested] [blocks=24] [size=4096] [seed=1]
#
# After the next start there is a key, and what the gateway got, before and after, verifies: nothing is
# wrong, no epoch goes back, and what is not sealed is what was measured last before the cut.

import binascii
import json
import sys

from firmware import identity, sealer
from firmware.sealer import Sealer
from firmware.store import Store
from protocol import messages
from protocol.messages import Readings, Summary
from protocol.seal_check import LOST, SEALED, UNSEALED, WRONG, check
from tests.firmware.flash_rig import Station
from tests.power import torn
from tests.power.store_cuts import Off, _Files, options_of

KEY = bytes(range(32))
DEVICE = "st-01"
UNSEALED_MAX = 5 * (3 + 10 + 5)  # readings: of an interval, of what memory holds in an outage, of a flush

sealer.INTERVAL_MS = 3000
sealer.KEY_SEALS = 3
sealer.WIPES_MAX = 1


def _prepare(directory):
    _Files(directory).append("seal.key", binascii.hexlify(KEY), "wb")


def _station(directory, boot):
    files = _Files(directory)
    state = identity.seal(files)
    assert state, "the key is lost"
    return Station(files, boot, ring=64, reserve=8192, thin_at=100, sealer=Sealer(files, DEVICE, state))


# The gateway takes what there is, and says so.
def _take(store, journal):
    while store.held:
        message = store.batch(*store.first())
        if message is None:
            break
        message = messages.decode(messages.encode(message))
        journal.append(message)
        store.release(*_end(message))


def _end(message):
    if type(message) in (Readings, Summary):
        return message.boot, message.first_seq + len(message.rows) - 1
    return message.boot, message.seq


# Time passes; the gateway hears from the device every so many seconds, or never.
def _go(station, seconds, seen, every=0):
    n = [0]

    def tick(station):
        if seen["flash"].dead:
            raise Off
        n[0] += 1
        station.put(5)
        if seen.get("full"):
            station.store.event(messages.DOOR, "x" * 500)
        if every and n[0] % every == 0:
            _take(station.store, seen["journal"])

    station.go(seconds * 1000, tick)
    if seen["flash"].dead:
        raise Off


def _greet(directory, boot, seen):
    station = _station(directory, boot)
    if seen["journal"]:
        station.store.release(*_end(seen["journal"][-1]))
    return station


# The link is there, two lives long, the first of which ends as one that was asked for.
def _link(directory, seen):
    seen["journal"] = []
    station = _station(directory, 7)
    _go(station, 17, seen, 2)
    station.store.flush_soon()
    _go(station, 2, seen, 1)
    _go(_greet(directory, 8, seen), 15, seen, 1)


# Nobody listens, three lives long; then somebody does.
def _outage(directory, seen):
    seen["journal"] = []
    for boot in (7, 8):
        _go(_station(directory, boot), 20, seen)
    station = _station(directory, 9)
    _go(station, 13, seen)
    _take(station.store, seen["journal"])
    _go(station, 5, seen, 2)


# The flash is full, so that seals go as well as records; then somebody listens.
def _full(directory, seen):
    seen["journal"] = []
    seen["full"] = True
    station = _station(directory, 7)
    _go(station, 7, seen, 2)
    _go(station, 40, seen)
    station = _station(directory, 8)
    _go(station, 30, seen)
    _take(station.store, seen["journal"])
    _go(station, 1, seen)  # so that the discards are forgotten, and then something else is written
    station.files.replace("state/other", b"x")
    _go(station, 6, seen, 3)
    seen["lost"] = 1


SCENARIOS = {"link": _link, "outage": _outage, "full": _full}


# What is cut when cuts are nested: a start, and some time without a gateway.
def _next_life(directory, seen):
    _go(_greet(directory, 19, seen), 12, seen)


def _check(directory, seen):
    seen = dict(seen)
    seen["journal"] = journal = list(seen.get("journal", ()))
    station = _greet(directory, 20, seen)
    _go(station, 8, seen, 2)
    station.store.seal()
    _take(station.store, journal)
    station.go(1000)
    counts = {}
    unsealed = {}
    for verdict in check(journal, DEVICE, KEY):
        assert verdict.kind != WRONG, verdict.text
        counts[verdict.kind] = counts.get(verdict.kind, 0) + 1
        if verdict.kind == UNSEALED:
            unsealed[verdict.last[0]] = verdict.readings
    assert counts[SEALED] >= 4 and 20 not in unsealed
    assert seen.get("lost", 0) <= counts.get(LOST, 0), "nothing was discarded"
    for boot in unsealed:
        assert unsealed[boot] <= UNSEALED_MAX, f"boot {boot}: {unsealed[boot]} readings are not sealed"


def _break(control):
    if control == "early":  # goes on behind a seal that nobody may ever see
        run = Sealer.run
        Sealer.run = lambda self, seal, arbiter, ticks, oldest: run(self, seal, arbiter, ticks, 1 << 60)
    elif control == "in-place":
        _Files.in_place = True
    elif control == "late-key":  # seals with the next key before that is on flash
        keep = Sealer._keep

        def late(self, ticks, oldest):
            replace = self._files.replace
            if self._count >= sealer.KEY_SEALS or not self._count:
                self._files.replace = lambda name, data: None
            keep(self, ticks, oldest)
            self._files.replace = replace

        Sealer._keep = late
    elif control == "unsealed":  # what was discarded is told without a seal behind it
        Store.seal_rest = lambda self, needed=False: None
    elif control:
        raise ValueError(control)


# What littlefs leaves of former keys: the most that the chip holds, an hour after each turn of a week; and
# how often it still holds the very first, which the inspector wrote, as a file of that length.
def _left(wipes, length):
    sealer.KEY_SEALS = 288
    sealer.WIPES_MAX = wipes
    flash = torn.Flash(64)
    torn.mount(flash, True)
    files = _Files(torn.ROOT)
    digits = binascii.hexlify(KEY) + b"\n"
    files.append("seal.key", digits + b" " * (length - len(digits)), "wb")
    one = Sealer(files, DEVICE, identity.seal(files))
    keys = []
    most = ticks = first = 0
    for n in range(7 * 288 + 12):
        before = one._key
        one.make(7, n + 2, (0, 0), ticks)
        one._ahead = n + 2, bytes([n & 255] * 32)
        ticks += sealer.INTERVAL_MS
        one._keep(ticks, n + 3)
        while one._wipes:
            one._keep(ticks, 0)
        if one._key != before:
            keys.append(binascii.hexlify(before))
        if n % 288 == 11 and keys:
            data = bytes(flash.data)
            most = max(most, len([1 for key in keys if key in data]))
            first += keys[0] in data
    print(json.dumps({"turns": len(keys), "left": most, "first": first}))


def main(arguments):
    if arguments[0] == "left":
        _left(int(arguments[1]), int(arguments[2]))
        return
    options, control = options_of(arguments[1:])
    _break(control)
    options.setdefault("blocks", 16 if arguments[0] == "full" else 32)
    print(json.dumps(torn.run(SCENARIOS[arguments[0]], _check, _prepare, _next_life, **options)))


if __name__ == "__main__":
    main(sys.argv[1:])
