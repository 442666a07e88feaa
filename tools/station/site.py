"""What a technician writes about a station's wiring, checked: every fault at once, with what to write.

Two units with one address, an instrument at another baud rate than its bus, a channel named twice: all of it
would only show up at the station, so it is refused here.
"""

from typing import NamedTuple

from protocol import fields, instruments, profile_ask
from protocol import profile as profiles
from protocol.calibration import check as check_points
from protocol.errors import ConfigError
from protocol.messages import CHANNELS_MAX
from protocol.profile import BAUDS, Profile, Quantity
from tools.station import wiring

NAME_BYTES_MAX = 32  # of a device or a channel, by messages.cddl
RETRIES = 2

_MUST = fields.MUST
_SERIAL = (
    ("path", fields.filled, _MUST),
    ("baud", fields.choice(BAUDS), None),
    ("parity", fields.choice(("N", "E", "O")), None),
    ("stopbits", fields.choice((1, 2)), None),
)
_TCP = (("host", fields.address, _MUST), ("port", fields.whole(1, 65535), _MUST))
_LINKS = {
    "serial": (("path", fields.filled, _MUST), ("baud", fields.choice(BAUDS), 115200)),
    "tcp": _TCP,
    "usb": (),
}
_BUSES = {"rtu": _SERIAL, "tcp": _TCP}
_SITE = (
    ("id", fields.identifier, _MUST),
    ("key", fields.text, _MUST),
    ("seal_key", fields.text, None),
    ("link", None, _MUST),
    ("buses", None, _MUST),
    ("units", None, _MUST),
    ("calibrations", None, {}),
    ("inputs", None, []),
    ("outputs", None, []),
    ("analogs", None, []),
    ("counters", None, []),
    ("alarms", None, []),
    ("store", None, {}),
    ("network", None, None),  # these two are for identity.json: see firmware/boards/net.py and metal.py
    ("board", None, None),
    ("gateway", None, {}),  # what `station new` keeps for the gateway's blocks: the device never sees it
)
_POLL_MS = fields.whole(10, 86400000)
_UNIT = (
    ("bus", fields.identifier, _MUST),
    ("profile", fields.identifier, _MUST),
    ("unit", fields.whole(1, 247), None),
    ("poll_ms", _POLL_MS, _MUST),
    ("phase_ms", fields.whole(0, 86400000), 0),
    ("every", None, {}),
    ("quantities", fields.list_of(fields.identifier), None),
    ("rename", None, {}),
    ("ranges", None, {}),  # what the instrument is set to, in the place of what its profile believes
    ("answers", None, {}),  # to what its profile asks
    ("timeout_ms", fields.whole(10, 60000), None),
    ("retries", fields.whole(0, 10), RETRIES),
    ("gap_ms", fields.whole(0, 60000), None),
    ("baud", fields.choice(BAUDS), None),
    ("parity", fields.choice(("N", "E", "O")), None),
    ("stopbits", fields.choice((1, 2)), None),
)
_CALIBRATION = (("id", fields.whole(1, 0xFFFF), _MUST), ("points", None, _MUST))
_USUAL = {"baud": 9600, "parity": "N", "stopbits": 1}


class Unit(NamedTuple):
    """One instrument on a bus: what the site says of it, its profile, and its channels from `first` on."""

    where: str
    given: dict
    profile: Profile
    quantities: list[Quantity]
    names: list[str]
    first: int


class Site(NamedTuple):
    """A checked site; `channels`, `wired` (inputs to alarms) and `store` are those of station.json."""

    id: str
    key: str
    link: dict
    buses: list[dict]
    units: list[Unit]
    channels: list[dict]
    wired: dict[str, list[dict]]
    store: dict


def check(faults: list[str], site: object) -> Site | None:
    """The site with defaults filled in, as far as it can be read; what is wrong is added to `faults`."""
    given = fields.read(faults, "", site, _SITE)
    if given is None:
        return None
    _check_identity(faults, given)
    link = _by_kind(faults, "link", given["link"], _LINKS, ())
    buses = [
        _by_kind(faults, f"buses[{i}]", bus, _BUSES, (("id", fields.identifier, _MUST),))
        for i, bus in enumerate(_list(faults, "buses", given["buses"]))
    ]
    buses = [bus for bus in buses if bus]
    units = []
    for i, table in enumerate(_list(faults, "units", given["units"])):
        unit = _choose(faults, f"units[{i}]", table, sum(len(u.names) for u in units))
        if unit:
            units.append(unit)
    _check_addresses(faults, buses, units)
    for bus in buses:
        if bus["kind"] == "rtu":
            _settle_line(faults, bus, [unit for unit in units if unit.given["bus"] == bus["id"]])
    tables = wiring.read(faults, given)
    channels = _channels(faults, units, tables)
    _calibrate(faults, channels, given["calibrations"])
    wired = wiring.number(faults, tables, [channel["name"] for channel in channels])
    store = wiring.store(faults, given["store"])
    return Site(given["id"], given["key"], link or {}, buses, units, channels, wired, store)


def _list(faults: list[str], where: str, given: object) -> list:
    if isinstance(given, list) and given:
        return given
    if given is not None:
        faults.append(f"{where}: write a list with at least one table")
    return []


def _by_kind(faults: list[str], where: str, given: object, kinds: dict, more: tuple) -> dict | None:
    """A table whose `kind` decides what else it holds."""
    if given is None:
        return None
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        faults.append(f"{where}.kind: write one of {', '.join(kinds)}")
        return None
    return fields.read(faults, where, given, (*more, ("kind", fields.text, _MUST), *kinds[kind]))


def _check_identity(faults: list[str], given: dict) -> None:
    if given["id"] and len(given["id"]) > NAME_BYTES_MAX:
        faults.append(f"id: {len(given['id'])} characters, write at most {NAME_BYTES_MAX}")
    for name in ("key", "seal_key"):
        key = given[name]
        if key is not None and (len(key) != 64 or key.strip("0123456789abcdef")):
            faults.append(f"{name}: write 64 small hexadecimal digits (32 random bytes)")
    if given["key"] is not None and given["seal_key"] == given["key"]:
        faults.append("seal_key: write other digits than those of key, which the gateway knows")


def _choose(faults: list[str], where: str, given: object, first: int) -> Unit | None:
    """A unit with its profile, the chosen quantities and their channel names; None when it cannot be used."""
    unit = fields.read(faults, where, given, _UNIT)
    if unit is None or unit["profile"] is None:
        return None
    try:
        profile = instruments.load(unit["profile"])
    except ConfigError as error:
        faults.append(f"{where}.profile: {error}")
        return None
    profile = _answer(faults, where, profile, unit["answers"])
    known = [quantity.id for quantity in profile.quantities]
    ids = known if unit["quantities"] is None else unit["quantities"]
    for id in ids:
        if id not in known:
            faults.append(
                f'{where}.quantities: {profile.name} has no "{id}", write one of {", ".join(known)}'
            )
    if len(set(ids)) != len(ids) or not ids:
        faults.append(f"{where}.quantities: write each quantity once, and at least one")
    ids = [id for id in dict.fromkeys(ids) if id in known]
    rename = unit["rename"]
    if not isinstance(rename, dict):
        faults.append(f'{where}.rename: write {{ quantity = "name" }}')
        rename = {}
    for id, name in rename.items():
        if id not in ids:
            faults.append(f"{where}.rename.{id}: not a chosen quantity, write one of {', '.join(ids)}")
        if fields.identifier(name) or len(name) > NAME_BYTES_MAX:
            faults.append(f"{where}.rename.{id}: write {fields.identifier(None)}, at most {NAME_BYTES_MAX}")
    if unit["poll_ms"] and unit["phase_ms"] and unit["phase_ms"] >= unit["poll_ms"]:
        faults.append(f"{where}.phase_ms = {unit['phase_ms']}: write less than poll_ms ({unit['poll_ms']})")
    every = unit["every"]
    if not isinstance(every, dict):
        faults.append(f"{where}.every: write {{ quantity = poll_ms }}")
        unit["every"] = every = {}
    for id, poll_ms in every.items():
        if id not in ids:
            faults.append(f"{where}.every.{id}: not a chosen quantity, write one of {', '.join(ids)}")
        if _POLL_MS(poll_ms):
            faults.append(f"{where}.every.{id} = {poll_ms!r}: write {_POLL_MS(poll_ms)}")
    if every and profile.starts:
        faults.append(f"{where}.every: {profile.name} is started by a command before each poll, leave it out")
    for key in ("unit", "timeout_ms", "gap_ms"):
        if unit[key] is None:
            unit[key] = getattr(profile.link, key)
    ranges = _ranges(faults, where, unit["ranges"], ids)
    quantities = [_ranged(profile.quantity(id), ranges.get(id)) for id in ids]
    return Unit(where, unit, profile, quantities, [rename.get(id, id) for id in ids], first)


def _answer(faults: list[str], where: str, profile: Profile, answers: object) -> Profile:
    """The profile with what the technician answered to its questions; what is wrong of them is noted."""
    try:
        return profiles.answered(profile, answers)
    except ConfigError as error:
        faults += [f"{where}.{fault}" for fault in getattr(error, "faults", [f"answers: {error}"])]
        return profiles.answered(profile, profile_ask.examples(profile.asks))  # so that the rest is looked at


def _ranges(faults: list[str], where: str, given: object, ids: list[str]) -> dict[str, list]:
    """[lowest, highest] by quantity, of those that will do."""
    if not isinstance(given, dict):
        faults.append(f"{where}.ranges: write {{ quantity = [lowest, highest] }}")
        return {}
    good = {}
    for id, span in given.items():
        if id not in ids:
            faults.append(f"{where}.ranges.{id}: not a chosen quantity, write one of {', '.join(ids)}")
        elif fields.span(span):
            faults.append(f"{where}.ranges.{id} = {span!r}: write {fields.span(None)}")
        else:
            good[id] = span
    return good


def _ranged(quantity: Quantity, span: list | None) -> Quantity:
    """The quantity with the instrument's own range; a little below its lower end it still scatters."""
    if span is None:
        return quantity
    low, high = span
    return quantity._replace(plausible=(min(float(low), quantity.plausible[0]), float(high)))


def _check_addresses(faults: list[str], buses: list[dict], units: list[Unit]) -> None:
    ids = [bus["id"] for bus in buses]
    for id in sorted({id for id in ids if id and ids.count(id) > 1}):
        faults.append(f'buses: "{id}" twice, write another id')
    taken: dict[tuple, Unit] = {}
    for unit in units:
        if unit.given["bus"] not in ids:
            faults.append(
                f'{unit.where}.bus = "{unit.given["bus"]}": no such bus, '
                f"write one of {', '.join(map(str, ids))}"
            )
        other = taken.setdefault((unit.given["bus"], unit.given["unit"]), unit)
        if other is not unit:
            faults.append(
                f"{unit.where}.unit = {unit.given['unit']}: {other.where} ({other.profile.name}) has this "
                f"address on bus {unit.given['bus']}; give {unit.profile.name} another one and write it here"
            )


def _settle_line(faults: list[str], bus: dict, units: list[Unit]) -> None:
    """One baud rate, parity and stop bits for all units of a line; what is left open, the units decide."""
    for key, usual in _USUAL.items():
        wanted = {}
        for unit in units:
            value = unit.given[key]
            if value is None and key in unit.profile.link.stated:
                value = getattr(unit.profile.link, key)
            if value is not None:
                wanted.setdefault(value, unit)
        if bus[key] is None:
            bus[key] = next(iter(wanted), usual)
        for value, unit in wanted.items():
            if value != bus[key]:
                faults.append(
                    f"{unit.where}: {unit.profile.name} talks with {key} {value}, bus {bus['id']} with "
                    f"{bus[key]}; put it on another bus, or set the instrument and write "
                    f"{key} = {bus[key]!r} in its unit"
                )


def _channels(faults: list[str], units: list[Unit], tables: dict[str, list[dict]]) -> list[dict]:
    owners: dict[str, str] = {}
    channels = []
    for unit in units:
        for quantity, name in zip(unit.quantities, unit.names, strict=True):
            owner = owners.setdefault(name, unit.where)
            if owner is not unit.where or any(channel["name"] == name for channel in channels[unit.first :]):
                faults.append(
                    f'{unit.where}: channel "{name}" exists already ({owner}); '
                    f'write rename = {{ {quantity.id} = "..." }}, or leave it out of quantities'
                )
            channels.append({"name": name, "calibration": 0, "points": []})
    for row in (*tables["analogs"], *tables["counters"]):
        owner = owners.setdefault(row["channel"], row["where"])
        if owner is not row["where"]:
            faults.append(
                f'{row["where"]}.channel = "{row["channel"]}": exists already ({owner}), write another'
            )
            continue
        channels.append({"name": row["channel"], "calibration": 0, "points": []})
    if len(channels) > CHANNELS_MAX:
        faults.append(f"{len(channels)} channels: write at most {CHANNELS_MAX}, choose quantities")
    return channels


def _calibrate(faults: list[str], channels: list[dict], calibrations: object) -> None:
    if not isinstance(calibrations, dict):
        faults.append("calibrations: write { channel = { id = 1, points = [[raw, engineering], ...] } }")
        return
    by_name = {channel["name"]: channel for channel in channels}
    for name, given in calibrations.items():
        where = f"calibrations.{name}"
        if name not in by_name:
            faults.append(f"{where}: no such channel, write one of {', '.join(by_name)}")
            continue
        calibration = fields.read(faults, where, given, _CALIBRATION)
        if calibration is None or calibration["points"] is None:
            continue
        if not isinstance(calibration["points"], list):
            faults.append(f"{where}.points: write [[raw, engineering], ...]")
            continue
        try:
            check_points(calibration["points"])
        except ConfigError as error:
            faults.append(f"{where}.points: {error}")
            continue
        by_name[name].update(
            calibration=calibration["id"],
            points=[[float(x) for x in point] for point in calibration["points"]],
        )
