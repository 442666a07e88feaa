"""What is wired to the device itself: contacts, relays, 4-20 mA loops, pulse counters, local alarms.

A site names channels, station.json numbers them. Pins that are used twice, a sampler without a limit, an
alarm that nothing measures: refused here as the device would refuse them (firmware/config.py), but in time.
"""

from typing import Any

from protocol import fields
from protocol.profile import ratio

LIMIT = 3.0e38
PIN_MAX = 48
HOLD_MS = 2400
"""What a station device waits by default and at most (firmware/uplink.py)."""
DAY_MS = 86400000

_MUST = fields.MUST


def _perhaps(check):
    return lambda value: None if value is None else check(value)


def _number(value: Any) -> str | None:
    good = not fields.number(value) and -LIMIT <= value <= LIMIT
    return None if good else "a number up to 3.0e38"


def _scale(value: Any) -> str | None:
    return "a number other than 0" if _number(value) or abs(value) < 1e-30 else None


def _ohms(value: Any) -> str | None:
    return "a number from 0.001 to 1000000" if _number(value) or not 0.001 <= value <= 1e6 else None


def _not_below_0(value: Any) -> str | None:
    return "a number of at least 0" if _number(value) or value < 0 else None


def _share(value: Any) -> str | None:
    return "a number from 0.05 to 0.95" if _number(value) or not 0.05 <= value <= 0.95 else None


def name(value: Any) -> str | None:
    """What a channel, an input or an output may be called."""
    good = not fields.identifier(value) and len(value) <= 32
    return None if good else "up to 32 small letters, digits, - and _"


_PIN = fields.whole(0, PIN_MAX)
_LEVEL = fields.choice((0, 1))
_PULL = _perhaps(fields.choice(("up", "down")))
_MS = fields.whole(0, DAY_MS)
_POLL = fields.whole(10, DAY_MS)
_BOUND = _perhaps(_number)
_KINDS_IN = ("door", "mains", "maintenance", "sampler", "float", "other")
_KINDS_OUT = ("relay", "sampler", "alarm")

_INPUT = (
    ("id", name, _MUST),
    ("kind", fields.choice(_KINDS_IN), _MUST),
    ("pin", _PIN, _MUST),
    ("active", _LEVEL, 1),  # the level that means: door open, mains there, maintenance on ...
    ("pull", _PULL, None),
    ("debounce_ms", fields.whole(0, 60000), 50),
    ("channels", fields.list_of(name), []),  # of a maintenance switch; none: all
)
_OUTPUT = (
    ("id", name, _MUST),
    ("kind", fields.choice(_KINDS_OUT), _MUST),
    ("pin", _PIN, _MUST),
    ("active", _LEVEL, 1),
    ("pulse_ms", _MS, 0),  # of a sampler; of a relay: the longest time on, 0 for any
    ("per_day", fields.whole(0, 1000), 0),
    ("lock_ms", _MS, 0),
    ("feedback", _perhaps(name), None),  # id of an input of kind sampler
    ("feedback_ms", fields.whole(0, 600000), 0),
)
_ANALOG = (
    ("channel", name, _MUST),
    ("pin", _PIN, _MUST),
    ("shunt_ohm", _ohms, _MUST),
    ("low", _number, _MUST),  # the value at 4 mA
    ("high", _number, _MUST),  # at 20 mA
    ("samples", fields.whole(1, 100), 10),
    ("take", fields.choice(("median", "mean")), "mean"),
    ("poll_ms", _POLL, _MUST),
    ("phase_ms", _MS, 0),
    ("min", _BOUND, None),
    ("max", _BOUND, None),
)
_COUNTER = (
    ("channel", name, _MUST),
    ("pin", _PIN, _MUST),
    ("pull", _PULL, "up"),
    ("gap_ms", fields.whole(0, 1000), 2),
    ("take", fields.choice(("amount", "rate")), _MUST),
    ("scale", _scale, 1),  # of one pulse
    ("per_ms", fields.whole(1, DAY_MS), 1000),  # of a rate: 1000 per second, 3600000 per hour
    ("wrap", fields.whole(0, 0xFFFFFFFF), 0),
    ("poll_ms", _POLL, _MUST),
    ("phase_ms", _MS, 0),
    ("min", _BOUND, None),
    ("max", _BOUND, None),
)
_ALARM = (
    ("channel", name, _MUST),
    ("output", _perhaps(name), None),
    ("min", _BOUND, None),
    ("max", _BOUND, None),
    ("hysteresis", _not_below_0, 0),
    ("delay_ms", _MS, 0),
    ("hold_ms", _MS, 0),
)
_STORE = (("thin_at", _share, 0.5), ("hold_ms", fields.whole(0, HOLD_MS), HOLD_MS))
TABLES = {"inputs": _INPUT, "outputs": _OUTPUT, "analogs": _ANALOG, "counters": _COUNTER, "alarms": _ALARM}


def read(faults: list[str], given: dict) -> dict[str, list[dict]]:
    """The tables with defaults filled in; rows that hold a fault are left out.

    Pins are unique here, also against those in the paths of `given["buses"]` ("uart1 tx=4 rx=5 de=6").
    """
    pins: dict[int, str] = {}
    for i, bus in enumerate(given["buses"] if isinstance(given["buses"], list) else ()):
        path = bus.get("path") if isinstance(bus, dict) else None
        for word in path.split()[1:] if isinstance(path, str) else ():
            number = word.partition("=")[2]
            if number.isdecimal() and number.isascii():
                _pin(faults, pins, f"buses[{i}].path ({word})", int(number))
    tables: dict[str, list[dict]] = {}
    for kind, table in TABLES.items():
        tables[kind] = rows = []
        if not isinstance(given[kind], list):
            faults.append(f"{kind}: write a list of tables, each under [[{kind}]]")
            continue
        for i, entry in enumerate(given[kind]):
            where = f"{kind}[{i}]"
            before = len(faults)
            row = fields.read(faults, where, entry, table)
            if row is None or len(faults) > before:
                continue
            if "pin" in row:
                _pin(faults, pins, where + ".pin", row["pin"])
            if row.get("min") is not None and row.get("max") is not None and row["min"] >= row["max"]:
                faults.append(f"{where}.min: write less than max")
            if row.get("phase_ms", 0) >= row.get("poll_ms", DAY_MS + 1):
                faults.append(f"{where}.phase_ms: write less than poll_ms ({row['poll_ms']})")
            if "low" in row and row["low"] == row["high"]:
                faults.append(f"{where}.low: write another value than high")
            rows.append(row | {"where": where})
    _together(faults, tables)
    return tables


def store(faults: list[str], given: object) -> dict:
    """How the device keeps records: {"thin_at": share of flash in use from which it may thin,
    "hold_ms": how long readings wait to share a frame (less: sooner at the gateway, more wear of its card)}.
    """
    return fields.read(faults, "store", given, _STORE) or {}


def _pin(faults: list[str], pins: dict[int, str], where: str, pin: int) -> None:
    other = pins.setdefault(pin, where)
    if other != where:
        faults.append(f"{where} = {pin}: {other} has this pin already, write another")


def _together(faults: list[str], tables: dict[str, list[dict]]) -> None:
    """What inputs, outputs and alarms say of each other."""
    ids: dict[str, str] = {}
    for row in (*tables["inputs"], *tables["outputs"]):
        other = ids.setdefault(row["id"], row["where"])
        if other != row["where"]:
            faults.append(f'{row["where"]}.id = "{row["id"]}": {other} is called so already, write another')
    for row in tables["inputs"]:
        if row["channels"] and row["kind"] != "maintenance":
            faults.append(f"{row['where']}.channels: only a maintenance switch has any, leave it out")
    contacts = [row["id"] for row in tables["inputs"] if row["kind"] == "sampler"]
    samplers = [row for row in tables["outputs"] if row["kind"] == "sampler"]
    for row in samplers[1:]:
        faults.append(f"{row['where']}.kind: {samplers[0]['where']} is the sampler, write another kind")
    for row in samplers:
        for key in ("pulse_ms", "per_day"):
            if not row[key]:
                faults.append(f"{row['where']}.{key}: write at least 1 for a sampler")
        if row["feedback"] and not row["feedback_ms"]:
            faults.append(f"{row['where']}.feedback_ms: write how long the feedback may take")
    for row in tables["outputs"]:
        if row["feedback"] and row["feedback"] not in contacts:
            known = ", ".join(contacts) or "the id of an input of kind sampler, and add it"
            faults.append(f'{row["where"]}.feedback = "{row["feedback"]}": write {known}')
    lights = [row["id"] for row in tables["outputs"] if row["kind"] == "alarm"]
    for row in tables["alarms"]:
        if row["output"] and row["output"] not in lights:
            known = ", ".join(lights) or "the id of an output of kind alarm, and add it"
            faults.append(f'{row["where"]}.output = "{row["output"]}": write {known}')
        if row["min"] is None and row["max"] is None:
            faults.append(f"{row['where']}.min: write min, max, or both")


def number(faults: list[str], tables: dict[str, list[dict]], names: list[str]) -> dict[str, list[dict]]:
    """The tables as station.json has them: channels by number, a counter's scale as a ratio."""

    def find(where: str, channel: str) -> int:
        if channel not in names:
            faults.append(f'{where} = "{channel}": no such channel, write one of {", ".join(names)}')
            return 0
        return names.index(channel)

    result: dict[str, list[dict]] = {}
    for kind, rows in tables.items():
        result[kind] = []
        for row in rows:
            new = {key: value for key, value in row.items() if key != "where"}
            if "channel" in new:
                new["channel"] = find(row["where"] + ".channel", new["channel"])
            if "channels" in new:
                new["channels"] = [find(row["where"] + ".channels", channel) for channel in new["channels"]]
            if "scale" in new:
                new["multiply"], new["divide"] = ratio(new.pop("scale"))
            result[kind].append(new)
    return result
