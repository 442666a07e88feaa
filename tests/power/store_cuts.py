# Promise 2 under power cuts: the store on littlefs, cut at every block operation. Inside MicroPython:
#
#   micropython -m tests.power.store_cuts SCENARIO [CONTROL] [nested] [blocks=24] [size=4096] [seed=1]
#
# What was put is, after the next start, either acknowledged, or readable as it was, or named in a DISCARDED
# event, or was among the newest that no flush had reached yet. Nothing comes twice, nothing in another order.

import json
import random
import sys

from firmware import segments
from firmware.files import Files
from firmware.store import Store
from protocol import messages
from tests.firmware.flash_rig import Station, drain
from tests.power import torn


class Off(Exception):
    pass


class _Files(Files):
    in_place = False

    def replace(self, name, data):
        if not self.in_place:
            return Files.replace(self, name, data)
        self.remove(name)
        self.append(name, data, "wb")


def _station(directory, boot, seen, reserve=131072):
    station = Station(_Files(directory), boot, ring=64, reserve=reserve, thin_at=100)
    station.safe = 0
    seen.setdefault("lives", []).append(station)
    return station


# Time passes: each second six records, of 550 bytes. Stops when the power goes; notes what is safe by then.
def _go(station, seconds, seen, acked=None):
    store = station.store
    station.board.stride = 4

    def tick(station):
        if seen["flash"].dead:
            raise Off
        station.safe = store._oldest - 1
        station.put(5)
        text = f"{station.n} " + "x" * 500
        station.note((messages.DOOR, text))
        store.event(messages.DOOR, text)
        if acked and station.n % acked == 0:
            number = max(0, store.emitted - 10)
            if not seen.get("early"):
                seen["acked"] = store.boot, number
            store.release(store.boot, number)

    station.go(seconds * 1000, tick)
    if seen["flash"].dead:
        raise Off
    station.safe = store._oldest - 1


# ---- scenarios


# An outage of two lives, acknowledgements in between, deletion of what is acknowledged.
def _outage(directory, seen):
    _go(_station(directory, 7, seen), 40, seen)
    station = _station(directory, 8, seen)
    _go(station, 25, seen)
    seen["acked"] = (7, 150)
    if not seen.get("early"):
        station.store.release(7, 150)  # half of a segment
    _go(station, 5, seen)
    _go(station, 30, seen, 50)
    station.store.flush_soon()
    _go(station, 3, seen)


# The flash is full: the oldest goes; a start; then the link is back for a moment, and the discards are told.
def _full(directory, seen):
    _go(_station(directory, 7, seen), 60, seen)
    station = _station(directory, 8, seen)
    _go(station, 30, seen)
    boot, number = station.store.first()
    seen["acked"] = (boot, number + 20)
    station.store.release(boot, number + 20)
    _go(station, 20, seen)


# Which boot gets which number above 9000.
def _moves(store):
    boots = sorted(set([entry[0] for entry in store._segments.entries] + [store.boot]))
    return {boot: 9001 + i for i, boot in enumerate(boots)}


# The gateway is ahead: three boots move above its number.
def _ahead(directory, seen):
    for boot in (5, 6, 7):
        station = _station(directory, boot, seen)
        _go(station, 14, seen)
    seen["above"] = 9000
    seen.setdefault("moved", {}).update(_moves(station.store))
    station.store.renumber(9000)
    _go(station, 14, seen)


SCENARIOS = {"outage": _outage, "full": _full, "ahead": _ahead}


# ---- what must hold


# [((boot, number), to (boot, number)), ...] of DISCARDED events
def _named(events):
    ranges = []
    for kind, detail in events:
        if kind == messages.DISCARDED:
            low, high = detail.split(" records, ")[1].split(" to ")
            last, boot = high.split(" of boot ")
            first, _, since = low.partition(" of boot ")
            ranges.append(((int(since or boot), int(first)), (int(boot), int(last))))
    return ranges


# What is cut when cuts are nested: a start, and half a minute without a gateway.
def _next_life(directory, seen):
    seen["lives"] = []
    station = _station(directory, 19, seen)
    store = station.store
    above = seen.get("above", 0)
    if store.boot < above:
        seen.get("moved", {}).update(_moves(store))
        store.renumber(above)
    if seen.get("acked"):
        store.release(*seen["acked"])
    _go(station, 15, seen)


def _check(directory, seen):
    station = _station(directory, 20, {})
    store = station.store
    above = seen.get("above", 0)
    if above:
        # Our number is below the gateway's, and it says so; or all have moved, and its answer frees nothing.
        if store.boot < above:
            seen["moved"] = _moves(store)
            store.renumber(above)
        assert not [entry for entry in store._segments.entries if entry[0] <= above], "moved by halves"
    acked = seen.get("acked", (above, 5))
    store.release(*acked)
    events = []
    found = drain(store, events=events, wire=False, doors=True)
    station.go(1000)  # deletes, and forgets what was told
    if store.held:
        found.update(drain(store, events=events, wire=False, doors=True))
    station.go(1000)
    assert store.flash_faults == 0 and store.flash_bytes == 0
    ranges = _named(events)
    for life in seen["lives"]:
        missing = 0
        for name in sorted(life.made):
            now = seen.get("moved", {}).get(name[0], name[0]), name[1]
            gone = [1 for low, high in ranges if low <= now <= high or low <= name <= high]
            if now in found:
                assert found[now] == life.made[name], f"{name} is not what it was"
                assert not gone, f"{name} is here, and was told as discarded"
            elif not gone and now > acked:
                assert name[1] > life.safe, f"{name} is lost"
                missing = missing or name
                continue
            assert not missing, f"{missing} is missing, {name} is not"


class _Always:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


# Single bits of a full chip flip, one at a time: what can still be read is what was measured.
def _rot(flips, seed=1, check_sums=True):
    flash = torn.Flash(24)
    torn.mount(flash, True)
    torn.umount()
    seen = {}
    torn._powered(flash, 0, _outage_only, seen)
    made = {}
    for life in seen["lives"]:
        made.update(life.made)
    counts = {"flips": 0, "unreadable": 0, "wrong": 0, "records": 0, "missing": 0}
    written = [at for at in range(len(flash.data)) if flash.data[at] != 0xFF]
    random.seed(seed)
    real = segments.crc32
    if not check_sums:
        segments.crc32 = lambda *_: _Always()
    try:
        for _ in range(flips):
            worn = torn.Flash(24, image=flash.data)
            worn.data[random.choice(written)] ^= 1 << random.randrange(8)
            counts["flips"] += 1
            seen = {}
            torn._powered(worn, 0, _readable, seen)
            found = seen["found"]
            for name in found:
                if found[name] != made.get(name):
                    counts["wrong"] += 1
            counts["records"] += len(found)
            counts["unreadable"] += not found
            counts["missing"] += len(made) - len(found)
    finally:
        segments.crc32 = real
    return counts


def _outage_only(directory, seen):
    _go(_station(directory, 7, seen), 40, seen)


def _readable(directory, seen):
    try:
        store = _station(directory, 20, {}).store
        seen["found"] = drain(store, events=[], wire=False, doors=True)
    except OSError:
        seen["found"] = {}  # the file system's own tables were hit, and it says so


# Words of a command line: (numbers and "nested" by name, the control, "" for none).
def options_of(words):
    options = {}
    control = ""
    for word in words:
        if "=" in word:
            name, value = word.split("=")
            options[name] = int(value)
        elif word == "nested":
            options["nested"] = True
        else:
            control = word
    return options, control


def main(arguments):
    scenario = arguments[0]
    if scenario == "rot":
        print(json.dumps(_rot(int(arguments[1]), check_sums="no-crc" not in arguments)))
        return
    options, control = options_of(arguments[1:])
    run = SCENARIOS[scenario]
    if control == "early":  # freed before the gateway has it

        def run(directory, seen):
            seen["early"] = True
            SCENARIOS[scenario](directory, seen)

    elif control == "in-place":
        _Files.in_place = True
    elif control == "no-note":
        Store._note = lambda self: None
    elif control:
        raise ValueError(control)
    options.setdefault("blocks", {"outage": 24, "full": 16, "ahead": 40}[scenario])
    counts = torn.run(run, _check, None, _next_life, **options)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
