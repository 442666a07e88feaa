# station.json as the device uses it: what is measured, and what is wired to the device. Checked once, then
# fixed.
#
# Rule 1: every fault is reported at once, each with its place and what to write instead (ConfigError, and as
#         a list in .faults). Every field has to be there and right, unknown ones are faults: the tools write
#         them all, and a default in place of a lost one would be a wrong reading.
# Rule 2: what a poll needs is prepared here: requests as bytes, register counts, status words as whole
#         numbers. What io.py and analog.py need are rows, in the order of the tables below.
# Rule 3: loaded when needed and forgotten afterwards, also while everything else runs: so it is small, and
#         lets go of what it has read as it uses it. That is why the tables below are texts.
# Rule 4: the other end of a TCP connection is an IPv4 address, never a name: looking one up can take half a
#         minute while the network is down, and every bus would wait for it.
# Rule 5: a pin has one use, a channel one source. The pins of a bus stand in its path, where the board has
#         UARTs of its own: "uart1 tx=4 rx=5 de=6".
#
# A table is "name check limits; ...". Checks, with ? where null will do:
#   i whole number from, to    f number from, to    z number other than 0    c one of these texts
#   t text    T text that is not empty, to so many bytes    n small letters, digits, - and _    a IPv4 address
#   l list    d table    w list of whole numbers from, to    x looked at elsewhere

import hashlib
import json
from collections import namedtuple

from protocol import calibration, modbus_requests, quality, registers
from protocol._compat import bytes_of
from protocol.errors import ConfigError
from protocol.messages import CHANNELS_MAX

FILE = "station.json"
_FAULTS_MAX = 20  # more need memory, and nobody reads them

# memory_records: 0 = as many as the board has room for. inputs to alarms: rows. store: a table.
Config = namedtuple(
    "Config", "hash buses units channels memory_records inputs outputs analogs counters alarms store"
)
Channel = namedtuple("Channel", ("name", "calibration", "points"))
# requests: (pdu, wait_ms after it); the first `starts` of them write, the others are the reads in order
Unit = namedtuple(
    "Unit",
    "bus unit poll_ms phase_ms timeout_ms retries gap_ms requests starts values statuses",
)
Value = namedtuple("Value", "channel read at type order multiply divide offset min max watched")
Status = namedtuple("Status", "read at type mask values otherwise")

_FILE = (
    "buses l;units l;channels l;memory_records i 0 1000000;inputs l;outputs l;analogs l;counters l;alarms l;"
    "store d"
)
_BUS = {
    "rtu": "kind t;id T;path T;baud i 300 1000000;parity c N E O;stopbits i 1 2",
    "tcp": "kind t;id T;host a;port i 1 65535",
}
_UNIT = (
    "bus T;unit i 0 255;profile t;poll_ms i 10 86400000;phase_ms i 0 86400000;timeout_ms i 10 60000;"
    "retries i 0 10;gap_ms i 0 60000;start l;reads l;values l;statuses l"
)
_START = "function i 1 16;address i 0 65535;words w 0 65535;wait_ms i 0 600000"
_READ = "function i 1 4;address i 0 65535;count i 1 2000"
_VALUE = (
    "channel i 0 254;read i 0 100;at i 0 2000;type c int16 uint16 int32 uint32 float32 float64;"
    "order c ABCD CDAB BADC DCBA;multiply z;divide z;offset f -3e38 3e38;min f? -3e38 3e38;"
    "max f? -3e38 3e38;status x"
)
_STATUS = (
    "read i 0 100;at i 0 2000;type c int16 uint16 int32 uint32;mask i 0 4294967295;values d;otherwise i 0 11"
)
_CHANNEL = "name T 1 32;calibration i 0 65535;points l"
_STORE = "thin_at f 0.05 0.95;hold_ms i 0 2400"
_ROWS = (
    (
        "inputs",
        "id n;kind c door mains maintenance sampler float other;pin i 0 48;active i 0 1;pull c? up down;"
        "debounce_ms i 0 60000;channels w 0 254",
    ),
    (
        "outputs",
        "id n;kind c relay sampler alarm;pin i 0 48;active i 0 1;pulse_ms i 0 86400000;per_day i 0 1000;"
        "lock_ms i 0 86400000;feedback n?;feedback_ms i 0 600000",
    ),
    (
        "analogs",
        "channel i 0 254;pin i 0 48;shunt_ohm f 0.001 1000000;low f -3e38 3e38;high f -3e38 3e38;"
        "samples i 1 100;take c median mean;poll_ms i 10 86400000;phase_ms i 0 86400000;"
        "min f? -3e38 3e38;max f? -3e38 3e38",
    ),
    (
        "counters",
        "channel i 0 254;pin i 0 48;pull c? up down;gap_ms i 0 1000;take c amount rate;multiply z;divide z;"
        "per_ms i 1 86400000;wrap i 0 4294967295;poll_ms i 10 86400000;phase_ms i 0 86400000;"
        "min f? -3e38 3e38;max f? -3e38 3e38",
    ),
    (
        "alarms",
        "output n?;channel i 0 254;min f? -3e38 3e38;max f? -3e38 3e38;hysteresis f 0 3e38;"
        "delay_ms i 0 86400000;hold_ms i 0 86400000",
    ),
)


# The file's bytes -> Config
def parse(data):
    given = None
    try:
        given = json.loads(data)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deeply
        pass
    if given is None:
        raise ConfigError(f"{FILE} is not JSON: make it again with the tools, it may have been cut")
    faults = []
    top = _read(faults, "", given, _FILE)
    if top is None:
        _fail(faults)
    given = None
    if top[3] is not None and 0 < top[3] < 64:
        faults.append(f"memory_records = {top[3]}: write 0, or at least 64")
    pins = {}  # in use -> where
    sources = {}  # of channels, likewise
    channels = _list(faults, "channels", top[2], _channel)
    n = len(channels)
    names = [channel and channel.name for channel in channels]
    for i, name in enumerate(names):
        if name and name in names[:i]:
            faults.append(f"channels[{i}].name: there is one of this name already, write another")
    if n > CHANNELS_MAX:
        faults.append(f"channels: write at most {CHANNELS_MAX}")
    buses = _list(faults, "buses", top[0], _bus)
    ids = [bus["id"] for bus in buses if bus]
    for i, bus in enumerate(buses):
        if bus:
            if bus["id"] in ids[:i]:
                faults.append(f"buses[{i}].id: there is one of this name already, write another")
            for word in bus.get("path", "").split()[1:]:
                number = word[word.find("=") + 1 :]
                if 0 < len(number) < 9 and not number.strip("0123456789"):
                    _once(faults, pins, f"buses[{i}].path", int(number))
    units = _list(faults, "units", top[1], _unit)
    for i, unit in enumerate(units):
        if unit:
            if unit.bus not in ids:
                faults.append(f"units[{i}].bus: write one of {', '.join([str(id) for id in ids])}")
            for k, value in enumerate(unit.values):
                _once(faults, sources, f"units[{i}].values[{k}].channel", value.channel, n)
    rows = []
    for k, (name, spec) in enumerate(_ROWS):
        made = [row for row in _list(faults, name, top[4 + k], spec) if row]
        rows.append(made)
        for i, row in enumerate(made):
            where = f"{name}[{i}]"
            if name == "alarms":
                _once(faults, {}, where + ".channel", row[1], n)
                _order(faults, where, row[2], row[3])
                if row[2] is None and row[3] is None:
                    faults.append(f"{where}.min: write min, max, or both")
                continue
            if k < 2:
                _once(faults, pins, where + ".pin", row[2])
                continue
            _once(faults, pins, where + ".pin", row[1])
            _once(faults, sources, where + ".channel", row[0], n)
            _order(faults, where, row[-2], row[-1])
            if k == 2 and row[3] == row[4] and row[3] is not None:
                faults.append(f"{where}.low: write another value than high")
            if row[-4] and row[-3]:
                row[-3] %= row[-4]
    _wires(faults, rows, n)
    store = None
    if top[9] is not None:
        store = _read(faults, "store", top[9], _STORE)
    if faults:
        _fail(faults)
    row = [hashlib.sha256(data).digest()[:8], buses, units, channels, top[3]]
    row.extend([tuple([tuple(row) for row in made]) for made in rows])
    row.append({"thin_at": store[0], "hold_ms": store[1]})  # pyright: ignore[reportOptionalSubscript]
    return Config(*row)


def _fail(faults):
    error = ConfigError(FILE + ": " + "; ".join(faults[:_FAULTS_MAX]))
    error.faults = faults  # pyright: ignore[reportAttributeAccessIssue]
    raise error


# A table as a list in the order of its spec, None for what is wrong; None when it is no table at all.
def _read(faults, where, given, spec):
    if len(faults) >= _FAULTS_MAX:
        _fail(faults)
    if not isinstance(given, dict):
        faults.append(f"{where or 'file'}: write a table")
        return None
    dot = where + "." if where else ""
    row = []
    known = []
    for field in spec.split(";"):
        key, check, *limits = field.split()
        known.append(key)
        value = given.get(key)
        wanted = _wrong(value, check, limits)
        if key not in given:
            faults.append(f"{dot}{key}: missing, write {wanted or 'it, or null'}")
        elif wanted:
            faults.append(f"{dot}{key} = {repr(value)[:40]}: write {wanted}")
            value = None
        row.append(value)
    for key in given:
        if key not in known and len(faults) < _FAULTS_MAX:
            faults.append(f"{dot}{repr(key)[1:-1][:40]}: unknown, write one of {', '.join(known)}")
    return row


# What to write instead, or None when the value will do.
def _wrong(value, check, limits):
    if value is None and "?" in check:
        return None
    check = check[0]
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or isinstance(value, float)
    text = isinstance(value, str)
    low, high = limits if len(limits) == 2 else (0, 0)
    if check == "i":
        wanted = f"a whole number from {low} to {high}"
        good = whole and int(low) <= value <= int(high)  # pyright: ignore[reportOperatorIssue]
    elif check == "f":
        wanted = f"a number from {low} to {high}"
        good = number and float(low) <= value <= float(high)  # pyright: ignore[reportOperatorIssue]
    elif check == "z":
        wanted = "a number other than 0"
        good = number and 1e-30 < abs(value) < calibration.LIMIT  # pyright: ignore[reportArgumentType]
    elif check == "c":
        wanted = "one of " + ", ".join(limits)
        good = text and value in limits
    elif check == "w":
        wanted = f"a list of whole numbers from {low} to {high}"
        good = isinstance(value, list) and not any([_wrong(item, "i", limits) for item in value])
    elif check == "l":
        wanted = "a list"
        good = isinstance(value, list)
    elif check == "d":
        wanted = "a table"
        good = isinstance(value, dict)
    elif check == "n":
        wanted = "up to 32 small letters, digits, - and _"
        good = text and 0 < len(value) < 33 and not value.strip("abcdefghijklmnopqrstuvwxyz0123456789-_")
    elif check == "a":
        wanted = "an IPv4 address such as 192.168.1.20 (a device looks no names up)"
        parts = value.split(".") if text else ()
        good = len(parts) == 4 and all(
            [not part.strip("0123456789") and part == str(int(part or "256"))[:3] for part in parts]
        )
        good = good and max([int(part) for part in parts]) < 256
    elif check == "x":
        return None
    else:
        wanted = "a text" if check == "t" else "a text that is not empty"
        if high:
            wanted += f", of at most {high} bytes"
        good = False
        try:
            good = text and len(bytes_of(value)) <= int(high or "99999") and (check == "t" or value.strip())
        except ValueError:  # half of a letter: it could not be sent
            pass
    return None if good else wanted


# make: a function of (faults, where, entry), or the spec of a table.
def _list(faults, where, given, make):
    made = []
    for i, entry in enumerate(given or ()):
        given[i] = None
        place = f"{where}[{i}]"
        if isinstance(make, str):
            made.append(_read(faults, place, entry, make))
        else:
            made.append(make(faults, place, entry))
    return made


# A pin, or one of n channels.
def _once(faults, used, where, number, n=None):
    if number is None:
        return
    if number in used:
        faults.append(f"{where} = {number}: {used[number]} has this one already, write another")
    used[number] = where
    if n is not None and number >= n:
        faults.append(f"{where} = {number}: there are {n} channels")


def _order(faults, where, low, high):
    if low is not None and high is not None and low >= high:
        faults.append(f"{where}.min: write less than max")


# What inputs, outputs and alarms say of each other.
def _wires(faults, rows, n):
    inputs, outputs, _, _, alarms = rows
    used = {}
    for i, row in enumerate(inputs):
        _once(faults, used, f"inputs[{i}].id", row[0])
        if row[6] and (row[1] != "maintenance" or max(row[6]) >= n):
            faults.append(f"inputs[{i}].channels: write [], or channels below {n} for a maintenance switch")
    contacts = [row[0] for row in inputs if row[1] == "sampler"]
    samplers = 0
    for i, row in enumerate(outputs):
        where = f"outputs[{i}]"
        _once(faults, used, where + ".id", row[0])
        if row[1] == "sampler":
            samplers += 1
            for at, key in ((4, "pulse_ms"), (5, "per_day")):
                if row[at] == 0:
                    faults.append(f"{where}.{key}: write at least 1 for a sampler")
            if row[7] and row[8] == 0:
                faults.append(f"{where}.feedback_ms: write how long the feedback may take")
        if row[7] and row[7] not in contacts:
            faults.append(f"{where}.feedback: write the id of an input of kind sampler, or null")
        if samplers > 1:
            faults.append(f"{where}.kind: there is a sampler already, write another kind")
    lights = [row[0] for row in outputs if row[1] == "alarm"]
    for i, row in enumerate(alarms):
        if row[0] and row[0] not in lights:
            faults.append(f"alarms[{i}].output: write the id of an output of kind alarm, or null")


# As a dict: what a bus needs depends on its kind, and on the board.
def _bus(faults, where, given):
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in _BUS:
        faults.append(f"{where}.kind: write one of {', '.join(sorted(_BUS))}")
        return None
    before = len(faults)
    _read(faults, where, given, _BUS[kind])
    return given if len(faults) == before else {"id": given.get("id")}


def _channel(faults, where, given):
    row = _read(faults, where, given, _CHANNEL)
    if row is None:
        return None
    points = ()
    try:
        calibration.check(row[2] or ())
        points = tuple([tuple(point) for point in row[2] or ()])
    except (ConfigError, TypeError) as error:
        faults.append(f"{where}.points: {error}")
    return Channel(row[0], row[1], points)


def _unit(faults, where, given):
    before = len(faults)
    row = _read(faults, where, given, _UNIT)
    if row is None:
        return None
    starts = _list(faults, where + ".start", row[8], _START)
    reads = _list(faults, where + ".reads", row[9], _READ)
    values = _list(faults, where + ".values", row[10], _VALUE)
    statuses = _list(faults, where + ".statuses", row[11], _STATUS)
    if len(faults) > before:
        return None
    for i, value in enumerate(values):
        place = f"{where}.values[{i}]"
        watched = value[10]
        watched = watched if isinstance(watched, list) else [] if watched is None else [watched]
        if _wrong(watched, "w", (0, len(statuses) - 1)):
            faults.append(f"{place}.status: there are {len(statuses)} statuses")
        value[10] = tuple(watched)
        value[4] = registers.ORDERS[registers.ORDERS.index(value[4])]  # one text for all
        value[3] = _inside(faults, place, reads, value[0:4], 1)
        _order(faults, place, value[8], value[9])
    for i, status in enumerate(statuses):
        place = f"{where}.statuses[{i}]"
        status[2] = _inside(faults, place, reads, status, 0)
        words = {}
        for key, why in status[4].items():
            if not key or key.strip("0123456789") or _wrong(why, "i", (0, len(quality.NAMES) - 1)):
                faults.append(f"{place}.values.{repr(key)[1:-1][:40]}: write a number as key and a quality")
            else:
                words[int(key)] = why
        status[4] = words
    requests = []
    place = ""
    try:
        for i, start in enumerate(starts):
            place = f"{where}.start[{i}]"
            requests.append((modbus_requests.start_pdu(start[0], start[1], start[2]), start[3]))
        for i, read in enumerate(reads):
            place = f"{where}.reads[{i}]"
            requests.append((modbus_requests.read_pdu(read[0], read[1], read[2]), 0))
    except ConfigError as error:
        faults.append(f"{place}: {error}")
    if len(faults) > before:
        return None
    row[4] %= row[3]
    row = row[:2] + row[3:8]  # no profile: it is for people
    row.extend((tuple(requests), len(starts)))
    row.append(tuple([Value(*value) for value in values]))
    row.append(tuple([Status(*status) for status in statuses]))
    return Unit(*row)


# row: read, at, type from `first` on. The type, as the one text for all.
def _inside(faults, where, reads, row, first):
    read, at, type = row[first : first + 3]
    if read >= len(reads):
        faults.append(f"{where}.read: there are {len(reads)} reads")
    elif at + registers.words_of(type) > reads[read][2]:
        faults.append(f"{where}.at: ends beyond its read")
    return registers.TYPES[registers.TYPES.index(type)]
