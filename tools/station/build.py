"""From a checked site and the instruments' profiles to a device's identity.json, its keys and station.json.

The device uses the result as it is: requests already merged, scales as exact ratios, qualities as numbers.
What does not fit the line's time or the device's greeting is refused here.

seal.key holds the first of the keys that seal (firmware/sealer.py): once the device has turned it, nobody
may find it any more. littlefs keeps a short file among the names, where it stands until those are written
anew. So this one is filled with blanks to a block of its own, which the sealer writes over like its own.
What is no littlefs (the disk of the computer that made these files, above all an SSD or a memory card) keeps
what was replaced or deleted for as long as it likes: make them where nothing is kept, in /dev/shm.
"""

import json
import os
from pathlib import Path

from protocol import cose, fields, framing, messages, modbus, modbus_requests
from protocol.errors import ProtocolError
from protocol.plan import GAP_REGISTERS, plan
from protocol.profile import Quantity, ratio
from protocol.registers import words_of
from tools.station.site import NAME_BYTES_MAX, Site, Unit, check

SEAL_BYTES = 1100  # as firmware/sealer.py writes it: too long for littlefs to keep it among the names
SECRET = 0o600  # who reads link.key can speak for the device; who reads seal.key, seal for it
IDENTITY = "identity.json"  # a secret where it holds a network's password


def build(site: dict) -> dict:
    """The content of `station.json`: what is measured, and how.

    site: {"id", "key": 64 hex digits, "seal_key"?: 64 others, "link", "buses": [...], "units": [...],
    "calibrations"?, "inputs"?, "outputs"?, "analogs"?, "counters"?, "alarms"?, "store"?: see wiring.py}.
    A unit: {"bus", "profile", "poll_ms", "unit"? (default: the profile's), "phase_ms"?, "quantities"?
    (default: all), "rename"?: {quantity: channel name}, "timeout_ms"?, "retries"?, "gap_ms"?, "baud"?,
    "parity"?, "stopbits"? (as the instrument was set, when that is not how it leaves the factory)}.
    "every"?: {quantity: poll_ms} polls some quantities at another pace than the unit's.
    calibrations: {channel: {"id", "points": [[raw, engineering], ...]}}.
    A line's baud, parity and stopbits may be left out: then its units decide.
    Raises ConfigError with every fault in `.faults`, each with what to write instead.
    """
    faults: list[str] = []
    checked = check(faults, site)
    if checked is None or faults:
        raise fields.fail("site", faults)
    units = [entry for unit in checked.units for entry in _entries(unit)]
    _check_load(faults, checked.buses, units)
    _check_hello(faults, checked, units)
    if faults:
        raise fields.fail("site", faults)
    return {
        "buses": checked.buses,
        "units": units,
        "channels": checked.channels,
        "memory_records": 0,  # as many as the board has room for
        **checked.wired,
        "store": checked.store,
    }


def files(site: dict) -> dict[str, bytes]:
    """Every file a new device holds, by name. ConfigError as build().

    seal.key is one of them when the site has a `seal_key`. It is for a device that is new: written over the
    file of one that runs, it begins the chain and the keys anew.
    """
    station = build(site)  # checks the whole site
    checked = check([], site)
    assert checked
    more = {name: site[name] for name in ("network", "board") if site.get(name)}
    identity = {"id": site["id"], "link": checked.link, **more}
    seal = {"seal.key": f"{site['seal_key']}\n".encode().ljust(SEAL_BYTES)} if site.get("seal_key") else {}
    return {
        IDENTITY: _json(identity),
        "link.key": f"{site['key']}\n".encode(),
        **seal,
        "station.json": _json(station),
    }


def write(directory: Path | str, site: dict) -> None:
    """Put a device's files into `directory`, each whole or not at all; keys for their owner's eyes only.

    Raises ConfigError as build(), OSError when the directory cannot be written.
    """
    for name, content in files(site).items():
        path = Path(directory) / name
        part = path.with_name(name + ".part")
        mode = SECRET if name.endswith(".key") or (name == IDENTITY and "network" in site) else 0o644
        part.unlink(missing_ok=True)  # whatever its mode was
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        part.replace(path)


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _entries(unit: Unit) -> list[dict]:
    """One entry for each pace at which the unit is polled, its own first; blocks are merged within a pace."""
    own_ms, every = unit.given["poll_ms"], unit.given["every"]
    paces = [every.get(quantity.id, own_ms) for quantity in unit.quantities]
    return [
        _unit(unit, poll_ms, [i for i, pace in enumerate(paces) if pace == poll_ms])
        for poll_ms in sorted(set(paces), key=lambda pace: (pace != own_ms, pace))
    ]


def _unit(unit: Unit, poll_ms: int, chosen: list[int]) -> dict:
    """chosen: which of the unit's quantities."""
    profile, given = unit.profile, unit.given
    quantities = [unit.quantities[i] for i in chosen]
    statuses = [profile.status(id) for id in dict.fromkeys(id for q in quantities for id in q.statuses)]
    polled = [*quantities, *statuses]
    if profile.link.whole:  # the instrument answers its own blocks only: read what was not chosen, too
        polled += [entry for entry in (*profile.quantities, *profile.statuses) if entry not in polled]
    items = [(entry.table, entry.register, words_of(entry.type)) for entry in polled]
    blocks = plan(items, profile.link.max_block, GAP_REGISTERS, profile.link.merge)
    place = {i: (read, items[i][1] - block[1]) for read, block in enumerate(blocks) for i in block[3]}
    return {
        "bus": given["bus"],
        "unit": given["unit"],
        "profile": profile.name,
        "poll_ms": poll_ms,
        "phase_ms": given["phase_ms"] % poll_ms,
        "timeout_ms": given["timeout_ms"],
        "retries": given["retries"],
        "gap_ms": given["gap_ms"],
        "start": [
            {
                "function": start.function,
                "address": start.register,
                "words": list(start.words),
                "wait_ms": start.wait_ms,
            }
            for start in profile.starts
        ],
        "reads": [
            {"function": modbus_requests.TABLES[table], "address": address, "count": count}
            for table, address, count, _ in blocks
        ],
        "values": [
            _value(quantity, unit.first + chosen[i], place[i], statuses)
            for i, quantity in enumerate(quantities)
        ],
        "statuses": [
            {
                "read": place[len(quantities) + i][0],
                "at": place[len(quantities) + i][1],
                "type": status.type,
                "mask": status.mask,
                "values": {str(code): quality for code, quality in sorted(status.values.items())},
                "otherwise": status.otherwise,
            }
            for i, status in enumerate(statuses)
        ],
    }


def _value(quantity: Quantity, channel: int, place: tuple[int, int], statuses: list) -> dict:
    multiply, divide = ratio(quantity.scale)
    ids = [status.id for status in statuses]
    watched = [ids.index(id) for id in quantity.statuses]
    return {
        "channel": channel,
        "read": place[0],
        "at": place[1],
        "type": quantity.type,
        "order": quantity.word_order,
        "multiply": multiply,
        "divide": divide,
        "offset": quantity.offset,
        "min": quantity.plausible[0],
        "max": quantity.plausible[1],
        # none, the one, or a list of which the first that is not OK counts
        "status": None if not watched else watched[0] if len(watched) == 1 else watched,
    }


def _check_load(faults: list[str], buses: list[dict], units: list[dict]) -> None:
    """Whether the polls of a line fit into its time at all: a lower bound, instruments answering at once."""
    for bus in buses:
        share = 0.0
        for unit in units:
            if unit["bus"] != bus["id"]:
                continue
            busy_ms = sum(start["wait_ms"] for start in unit["start"])
            for read in unit["reads"]:
                request = modbus_requests.read_pdu(read["function"], read["address"], read["count"])
                busy_ms += unit["gap_ms"]
                if bus["kind"] == "rtu":
                    octets = len(request) + 3 + modbus.rtu_reply_length(request)
                    busy_ms += octets * 11000 / bus["baud"] + 2 * modbus.silence_us(bus["baud"]) / 1000
            share += busy_ms / unit["poll_ms"]
        if share > 1:
            faults.append(
                f"bus {bus['id']}: its polls need {share:.1f} times the time there is; raise poll_ms, "
                "leave quantities out, or move units to another bus"
            )


def _check_hello(faults: list[str], site: Site, units: list[dict]) -> None:
    """The device tells its whole channel table in one frame: its longest HELLO has to fit."""
    interval_ms = {value["channel"]: unit["poll_ms"] for unit in units for value in unit["values"]}
    for row in (*site.wired["analogs"], *site.wired["counters"]):
        interval_ms[row["channel"]] = row["poll_ms"]
    table = [
        [channel["name"], interval_ms[i], channel["calibration"], channel["points"]]
        for i, channel in enumerate(site.channels)
    ]
    most = 2**53 - 1
    text = "x" * NAME_BYTES_MAX
    hello = messages.Hello(
        messages.VERSION,
        text,
        site.id,
        2**32 - 1,
        b"\xff" * 8,
        b"\xff" * 8,
        table,
        2**32 - 1,
        most,
        1,
        most,
        text,
    )
    try:
        sealed = cose.Mac0(site.id, bytes.fromhex(site.key)).seal(messages.encode(hello))
        framing.encode(sealed)
    except ProtocolError as error:
        faults.append(
            f"{len(site.channels)} channels do not fit the device's greeting: shorten names ({error})"
        )
