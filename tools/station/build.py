"""From a checked site and the instruments' profiles to a device's `station.json`.

The device uses the result as it is: requests already merged, scales as exact ratios, qualities as numbers.
What does not fit the line's time or the device's greeting is refused here.
"""

from protocol import cose, fields, framing, messages, modbus
from protocol.errors import ProtocolError
from protocol.plan import GAP_REGISTERS, plan
from protocol.profile import Quantity, ratio
from protocol.registers import words_of
from tools.station.site import NAME_BYTES_MAX, Site, Unit, check


def build(site: dict) -> dict:
    """The content of `station.json`.

    site: {"id", "key": 64 hex digits, "link", "buses": [...], "units": [...], "calibrations"?}.
    A unit: {"bus", "profile", "poll_ms", "unit"? (default: the profile's), "phase_ms"?, "quantities"?
    (default: all), "rename"?: {quantity: channel name}, "timeout_ms"?, "retries"?, "gap_ms"?, "baud"?,
    "parity"?, "stopbits"? (as the instrument was set, when that is not how it leaves the factory)}.
    calibrations: {channel: {"id", "points": [[raw, engineering], ...]}}.
    A line's baud, parity and stopbits may be left out: then its units decide.
    Raises ConfigError with every fault in `.faults`, each with what to write instead.
    """
    faults: list[str] = []
    checked = check(faults, site)
    if checked is None or faults:
        raise fields.fail("site", faults)
    units = [_unit(unit) for unit in checked.units]
    _check_load(faults, checked.buses, units)
    _check_hello(faults, checked, units)
    if faults:
        raise fields.fail("site", faults)
    return {
        "id": checked.id,
        "key": checked.key,
        "link": checked.link,
        "buses": checked.buses,
        "units": units,
        "channels": checked.channels,
    }


def _unit(unit: Unit) -> dict:
    profile, quantities, given = unit.profile, unit.quantities, unit.given
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
        "poll_ms": given["poll_ms"],
        "phase_ms": given["phase_ms"],
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
            {"function": modbus.TABLES[table], "address": address, "count": count}
            for table, address, count, _ in blocks
        ],
        "values": [_value(q, unit.first + i, place[i], statuses) for i, q in enumerate(quantities)],
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
                request = modbus.read_pdu(read["function"], read["address"], read["count"])
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
