"""What a checked site says of lines, instruments, pins and channels, for a sheet.

Rule 1: a site with faults gives what can be read of it; the faults are told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.errors import ConfigError
from tools.station.build import build
from tools.station.sheet import plain
from tools.station.sheet.model import COUNTER, LOOP, RS485, TCP, Channel, Instrument, Line, Pin, Target
from tools.station.site import Site, Unit, check

GROUPS = ("inputs", "outputs", "analogs", "counters")
Gateway = Mapping[str, Sequence[Target]]


def checked(site: dict[str, Any]) -> tuple[Site | None, list[str]]:
    """The site as build.py reads it, and its faults. None when hardly anything of it is a site."""
    faults: list[str] = []
    found = None
    try:
        found = check(faults, site)
        if found and not faults:
            build(site)
        return found, [plain.text(fault) for fault in faults]
    except ConfigError as error:
        return found, [plain.text(fault) for fault in getattr(error, "faults", None) or [str(error)]]
    except (TypeError, KeyError, ValueError, AttributeError) as error:  # what no check was written for
        return None, [*map(plain.text, faults), f"site.json: {plain.text(str(error))}"]


def lines(site: Site | None) -> tuple[Line, ...]:
    found = []
    for bus in site.buses if site else ():
        if bus["kind"] == "tcp":
            path, settings = f"{plain.text(bus['host'])}:{plain.text(bus['port'])}", ("", "", "")
        else:
            path = plain.text(bus["path"])
            settings = tuple(plain.text(bus[key]) for key in ("baud", "parity", "stopbits"))
        found.append(Line(plain.text(bus["id"]), bus["kind"], path, *settings))
    return tuple(found)


def instruments(site: Site | None) -> tuple[Instrument, ...]:
    found = []
    for unit in site.units if site else ():
        answers = plain.table(unit.given.get("answers"))
        said = ", ".join(f"{plain.text(id)} = {plain.text(answer)}" for id, answer in answers.items())
        bus, address = plain.text(unit.given["bus"]), plain.whole(unit.given["unit"])
        found.append(Instrument(bus, address, unit.profile, tuple(unit.names), said))
    return tuple(found)


def pins(site: Site | None) -> tuple[Pin, ...]:
    if site is None:
        return ()
    names = [channel["name"] for channel in site.channels]
    found = []
    for group in GROUPS:
        for row in site.wired[group]:
            name = row["id"] if "id" in row else names[row["channel"]]
            found.append(Pin(group, plain.text(name), row.get("kind", ""), plain.text(row["pin"]), row))
    return tuple(found)


def channels(site: Site | None, gateway: Gateway) -> tuple[Channel, ...]:
    """In the device's order."""
    if site is None:
        return ()
    kinds = {bus["id"]: bus["kind"] for bus in site.buses}
    found = [
        _measured(unit, at, TCP if kinds.get(unit.given["bus"]) == "tcp" else RS485, gateway)
        for unit in site.units
        for at in range(len(unit.names))
    ]
    names = [channel["name"] for channel in site.channels]
    for group, kind in (("analogs", LOOP), ("counters", COUNTER)):
        for row in site.wired[group]:
            found.append(_wired(names[row["channel"]], kind, row, gateway))
    return tuple(found)


def _measured(unit: Unit, at: int, kind: str, gateway: Gateway) -> Channel:
    quantity, name, given = unit.quantities[at], unit.names[at], unit.given
    ends = [plain.number(end) for end in plain.rows(quantity.plausible)]
    low, high = ends if len(ends) == 2 else (None, None)  # of a profile that waits for an answer
    poll_ms = plain.whole(given["every"].get(quantity.id, given["poll_ms"]))
    source = f"{plain.text(given['bus'])} / {plain.text(given['unit'])}"
    return Channel(
        name, source, kind, plain.text(quantity.unit), low, high, poll_ms, plain.whole(quantity.decimals),
        unit.profile.mark, tuple(gateway.get(name, ())),
    )  # fmt: skip


def _wired(name: str, kind: str, row: dict[str, Any], gateway: Gateway) -> Channel:
    ends = sorted((row["low"], row["high"])) if kind == LOOP else (row["min"], row["max"])
    low, high = plain.number(ends[0]), plain.number(ends[1])
    found = tuple(gateway.get(name, ()))
    unit = found[0].unit if found else ""
    decimals = found[0].decimals if found else None
    return Channel(
        name, f"GPIO {row['pin']}", kind, unit, low, high, plain.whole(row["poll_ms"]), decimals, "", found
    )
