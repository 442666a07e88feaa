# station.json as the device uses it: checked once at start, then fixed.
#
# Rule 1: every fault is reported at once, each with its place and what to write instead (ConfigError).
# Rule 2: what a poll needs is prepared here: requests as bytes, register counts, status words as whole
#         numbers.
# Rule 3: needed once: app.py forgets this module after the start, which gives a device some 20 KB back.
# Rule 4: the other end of a TCP connection is an IPv4 address, never a name: looking one up can take half a
#         minute while the network is down, and every bus would wait for it.
# Rule 5: the file is made by `quantrac station new`; nobody is expected to write one by hand.

import binascii
import hashlib
import json
from collections import namedtuple

from protocol import calibration, fields, modbus, quality, registers
from protocol.errors import ConfigError
from protocol.messages import CHANNELS_MAX

FILE = "station.json"
POLL_MS_MAX = 86400000  # half of what the ticks of a device can tell apart is six days

# memory_records: 0 = as many as the board has room for
Config = namedtuple("Config", ("id", "key", "hash", "link", "buses", "units", "channels", "memory_records"))
Channel = namedtuple("Channel", ("name", "calibration", "points"))
# requests: (pdu, wait_ms after it); the first `starts` of them write, the others are the reads in order
Unit = namedtuple(
    "Unit",
    (
        "bus",
        "unit",
        "poll_ms",
        "phase_ms",
        "timeout_ms",
        "retries",
        "gap_ms",
        "requests",
        "starts",
        "values",
        "statuses",
    ),
)
_value = ("channel", "read", "at", "type", "order", "multiply", "divide", "offset", "min", "max", "watched")
_status = ("read", "at", "type", "mask", "values", "otherwise")
Value = namedtuple("Value", _value)
Status = namedtuple("Status", _status)

_must = fields.MUST
_quality = fields.whole(0, len(quality.NAMES) - 1)
_register = fields.whole(0, 0xFFFF)
_serial = (
    ("path", fields.filled, _must),
    ("baud", fields.whole(300, 1000000), 9600),
    ("parity", fields.choice(("N", "E", "O")), "N"),
    ("stopbits", fields.choice((1, 2)), 1),
)
_tcp = (("host", fields.address, _must), ("port", fields.whole(1, 65535), _must))
_FILE = (
    ("id", fields.filled, _must),
    ("key", fields.text, _must),
    ("link", None, _must),
    ("buses", None, _must),
    ("units", None, _must),
    ("channels", None, _must),
    ("memory_records", fields.whole(64, 1000000), 0),
)
_LINK = {"serial": _serial, "tcp": _tcp}
_BUS = {"rtu": _serial, "tcp": _tcp}
_UNIT = (
    ("bus", fields.filled, _must),
    ("unit", fields.whole(0, 255), _must),
    ("profile", fields.text, ""),
    ("poll_ms", fields.whole(10, POLL_MS_MAX), _must),
    ("phase_ms", fields.whole(0, POLL_MS_MAX), 0),
    ("timeout_ms", fields.whole(10, 60000), 500),
    ("retries", fields.whole(0, 10), 2),
    ("gap_ms", fields.whole(0, 60000), 0),
    ("start", None, []),
    ("reads", None, _must),
    ("values", None, _must),
    ("statuses", None, []),
)
_START = (
    ("function", fields.whole(1, 16), _must),
    ("address", _register, _must),
    ("words", fields.list_of(_register), []),
    ("wait_ms", fields.whole(0, 600000), 0),
)
_READ = (
    ("function", fields.choice((1, 2, 3, 4)), _must),
    ("address", _register, _must),
    ("count", fields.whole(1, 2000), _must),
)


def _perhaps(check):
    return lambda value: None if value is None else check(value)


_VALUE = (
    ("channel", fields.whole(0, CHANNELS_MAX - 1), _must),
    ("read", fields.whole(0, 100), _must),
    ("at", fields.whole(0, 2000), _must),
    ("type", fields.choice(registers.TYPES), _must),
    ("order", fields.choice(registers.ORDERS), "ABCD"),
    ("multiply", fields.not_zero, 1),
    ("divide", fields.not_zero, 1),
    ("offset", fields.number, 0),
    ("min", _perhaps(fields.number), None),
    ("max", _perhaps(fields.number), None),
    ("status", None, None),
)
_STATUS = (
    ("read", fields.whole(0, 100), _must),
    ("at", fields.whole(0, 2000), _must),
    ("type", fields.choice(registers.TYPES[:4]), "uint16"),
    ("mask", fields.whole(0, 0xFFFFFFFF), 0xFFFF),
    ("values", None, _must),
    ("otherwise", _quality, _must),
)
_CHANNEL = (
    ("name", fields.filled, _must),
    ("calibration", fields.whole(0, 0xFFFF), 0),
    ("points", None, []),
)


# The file's bytes -> Config
def parse(data):
    try:
        given = json.loads(data)
    except ValueError:
        given = None
    if given is None:
        raise ConfigError(f"{FILE} is not JSON: make it again with the tools, it may have been cut")
    faults = []
    top = fields.read(faults, "", given, _FILE)
    if top is None:
        raise fields.fail(FILE, faults)
    link = _by_kind(faults, "link", top["link"], _LINK)
    buses = _list(faults, "buses", top["buses"], _bus)
    channels = _list(faults, "channels", top["channels"], _channel)
    if len(channels) > CHANNELS_MAX:
        faults.append(f"channels: write at most {CHANNELS_MAX}")
    names = [bus["id"] for bus in buses if bus]
    units = _list(faults, "units", top["units"], _unit)
    for i, unit in enumerate(units):
        if unit and unit.bus not in names:
            faults.append(
                "units[{}].bus: write one of {}".format(i, ", ".join([str(name) for name in names]))
            )
        for value in unit.values if unit else ():
            if value.channel >= len(channels):
                faults.append(f"units[{i}].values: there is no channel {value.channel}")
    key = _key(faults, top["key"])
    if faults:
        raise fields.fail(FILE, faults)
    return Config(
        top["id"],
        key,
        hashlib.sha256(data).digest()[:8],
        link,
        buses,
        units,
        channels,
        top["memory_records"],
    )


def _key(faults, text):
    key = b""
    try:
        key = binascii.unhexlify(text)
    except (ValueError, TypeError):
        pass
    if len(key) != 32 and text is not None:
        faults.append("key: write 64 hexadecimal digits")
    return key


def _list(faults, where, given, make):
    if not isinstance(given, list):
        faults.append(f"{where}: write a list")
        return []
    return [make(faults, f"{where}[{i}]", entry) for i, entry in enumerate(given)]


# A table whose `kind` decides what else it holds, as a dict.
def _by_kind(faults, where, given, kinds, more=()):
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        faults.append("{}.kind: write one of {}".format(where, ", ".join(sorted(kinds))))
        return None
    return fields.read(faults, where, given, (("kind", fields.text, _must),) + more + kinds[kind])


def _bus(faults, where, given):
    return _by_kind(faults, where, given, _BUS, (("id", fields.filled, _must),))


def _channel(faults, where, given):
    table = fields.read(faults, where, given, _CHANNEL)
    if table is None:
        return None
    try:
        calibration.check(table["points"])
    except (ConfigError, TypeError) as error:
        faults.append(f"{where}.points: {error}")
    return Channel(table["name"], table["calibration"], table["points"])


def _unit(faults, where, given):
    before = len(faults)
    table = fields.read(faults, where, given, _UNIT)
    if table is None:
        return None
    starts = _list(faults, where + ".start", table["start"], lambda f, w, g: fields.read(f, w, g, _START))
    reads = _list(faults, where + ".reads", table["reads"], lambda f, w, g: fields.read(f, w, g, _READ))
    values = _list(faults, where + ".values", table["values"], lambda f, w, g: fields.read(f, w, g, _VALUE))
    statuses = _list(faults, where + ".statuses", table["statuses"], _status_table)
    if len(faults) > before:
        return None
    for i, value in enumerate(values):
        value["status"] = _watched(faults, f"{where}.values[{i}].status", value["status"], len(statuses))
    for name, entries in (("values", values), ("statuses", statuses)):
        for i, entry in enumerate(entries):
            if entry["read"] >= len(reads):
                faults.append(f"{where}.{name}[{i}].read: there are {len(reads)} reads")
            elif entry["at"] + registers.words_of(entry["type"]) > reads[entry["read"]]["count"]:
                faults.append(f"{where}.{name}[{i}].at: ends beyond its read")
    requests = []
    try:
        for start in starts:
            pdu = modbus.start_pdu(start["function"], start["address"], start["words"])
            requests.append((pdu, start["wait_ms"]))
        for read in reads:
            pdu = modbus.read_pdu(read["function"], read["address"], read["count"])  # pyright: ignore[reportOptionalSubscript]
            requests.append((pdu, 0))
    except ConfigError as error:
        faults.append(f"{where}: {error}")
    if len(faults) > before:
        return None
    return Unit(
        table["bus"],
        table["unit"],
        table["poll_ms"],
        table["phase_ms"] % table["poll_ms"],
        table["timeout_ms"],
        table["retries"],
        table["gap_ms"],
        requests,
        len(starts),
        [Value(*[value[key] for key in _value[:-1]], value["status"]) for value in values],
        [Status(*[status[key] for key in _status]) for status in statuses],
    )


# Which statuses decide on a value: none, one, or a list of which the first that is not OK counts.
def _watched(faults, where, given, n):
    watched = given if isinstance(given, list) else [] if given is None else [given]
    if any([fields.whole(0, n - 1)(number) for number in watched]):
        faults.append(f"{where}: there are {n} statuses")
    return tuple(watched)


def _status_table(faults, where, given):
    table = fields.read(faults, where, given, _STATUS)
    if table is None:
        return None
    words = {}
    try:
        for key, quality in table["values"].items():
            words[int(key)] = quality
            if _quality(quality):
                faults.append(f"{where}.values.{key}: write {_quality(quality)}")
    except (AttributeError, ValueError, TypeError):
        faults.append(f"{where}.values: write a table from numbers to qualities")
    table["values"] = words
    return table
