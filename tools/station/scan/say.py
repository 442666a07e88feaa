"""What `quantrac station scan` prints: text of at most 80 columns, JSON, and the station's record."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from protocol.registers import ORDERS
from tools.station.scan.faults import Hint
from tools.station.scan.identify import Unit
from tools.station.scan.plan import ANYTHING
from tools.station.scan.ports import Port
from tools.station.scan.run import Result
from tools.station.scan.settings import Setting, spans

COLUMNS = 80
VALUES_SHOWN = 3
HOW = {
    "identified": "identified",
    "fits": "fits",
    "perhaps": "perhaps: compare its type plate",
    "unknown": "unknown: answers, no profile fits",
}


def wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """Lines of a text with these beginnings."""
    return textwrap.wrap(text, COLUMNS, initial_indent=first, subsequent_indent=rest, break_long_words=False)


# ---- ports


def ports_text(ports: list[Port]) -> list[str]:
    """A paragraph for each port."""
    if not ports:
        return wrapped(
            "No serial port is there. Plug the board or the adapter in; then look at the cable (some only "
            "charge) and whether the system sees it (lsusb)."
        )
    lines = []
    for port in ports:
        lines.append(f"{port.device}  {_port_what(port)}")
        for what in (port.usb and f"USB {port.usb} {port.serial_number}".rstrip(), _port_note(port)):
            if what:
                lines += wrapped(what, "    ", "    ")
    if any(port.kind == "adapter" for port in ports):
        lines += ["", *wrapped("Which units are on a bus: quantrac station scan --port PORT")]
    return lines


def _port_what(port: Port) -> str:
    if port.station:
        return f"station {port.station}, firmware {port.firmware}"
    return f"MicroPython {port.micropython}, {port.what}" if port.micropython else port.what


def _port_note(port: Port) -> str:
    return f"in use by {port.in_use_by}; not opened" if port.in_use_by else port.note


def ports_object(ports: list[Port]) -> dict[str, Any]:
    return {"ports": [{key: value or None for key, value in vars(port).items()} for port in ports]}


# ---- a bus


def bus_text(result: Result) -> list[str]:
    """Units, what is wrong, and what was asked."""
    lines = []
    for unit in result.units:
        lines += _unit_lines(unit, result.fixed)
    if not result.units:
        lines.append("No unit answered.")
    for hint in result.hints:
        lines += ["", *wrapped(hint.text, f"{hint.kind}: ", "  ")]
        lines += _orders_table(hint, result.units)
    if result.units and not result.hints:
        lines += ["", "No fault of the wiring showed."]
    return [*lines, "", *_covered_lines(result)]


def _unit_lines(unit: Unit, fixed: bool) -> list[str]:
    setting = "" if fixed else f"  {unit.spot.setting!s:12}"
    lines = [f"unit {unit.spot.unit:3}{setting}  {unit.profile or '-':22} {HOW[unit.how]}"]
    if unit.also:
        lines += wrapped(f"fits as well: {', '.join(unit.also)}", "          ", "          ")
    if unit.asked_order:
        lines.append(f"          its word order is {unit.asked_order} (the profile asks for it)")
    values = _values(unit)
    if values:
        more = f", and {len(values) - VALUES_SHOWN} more" if len(values) > VALUES_SHOWN else ""
        shown = ", ".join(
            f"{one['symbol']} {one['value']:g} {one['unit']}".rstrip() for one in values[:VALUES_SHOWN]
        )
        lines += wrapped(shown + more, "          ", "          ")
    return lines


def _values(unit: Unit) -> list[dict[str, Any]]:
    if unit.fit is None:
        return []
    return [
        {
            "quantity": q.id,
            "symbol": q.symbol,
            "value": round(value, q.decimals),
            "unit": q.unit,
        }
        for q in unit.fit.profile.quantities
        if math.isfinite(value := unit.fit.values.get(q.id, math.nan))
    ]


def _orders_table(hint: Hint, units: list[Unit]) -> list[str]:
    """The values under every order, for a hint about it; * marks those within the profile's range."""
    unit = next((u for u in units if hint.kind == "word-order" and u.spot.unit == hint.unit), None)
    if unit is None or unit.fit is None:
        return []
    lines = ["", "    " + " " * 16 + "".join(f"{order:>14}" for order in ORDERS)]
    for quantity, values in unit.orders.items():
        cells = []
        for order in ORDERS:
            value = values[order]
            text = "-" if value is None else f"{value:.5g}"
            cells.append(text + (" *" if order == unit.wrong_order else "  "))
        lines.append(f"    {quantity[:16]:16}" + "".join(f"{cell:>14}" for cell in cells).rstrip())
    return [*lines, "    * plausible for this quantity"]


def _covered_lines(result: Result) -> list[str]:
    lines = []
    for units, settings in _covered(result).items():
        where = ", ".join(map(str, settings)) + (", as the serial server is set" if result.fixed else "")
        lines += wrapped(f"{units} at {where}", "Asked: ", "       ")
    silent = sorted({(str(s.setting), spans(list(s.units))) for s in result.covered if s.read != ANYTHING})
    for setting, units in silent:
        lines += wrapped(
            f"{units} at {setting}, for instruments that keep silent about registers they do not know",
            "       ",
            "       ",
        )
    if result.gave_up:
        lines += wrapped(f"Given up after a few questions: {_list(result.gave_up)}", "", "  ")
    if result.refused:
        lines += wrapped(f"Not asked, since this port cannot be set so: {_list(result.refused)}", "", "  ")
    waits = sorted({round(step.wait_s * 1000) for step in result.covered if step.read == ANYTHING})
    lines += wrapped(
        f"{result.requests} requests in {result.seconds:.0f} s, reads only. Answers had "
        f"{' to '.join(map(str, dict.fromkeys((waits[0], waits[-1]))))} ms to begin. Elsewhere nothing was "
        "looked for: --full asks every address at every setting, --wait-ms waits longer."
    )
    return lines


def _list(settings: list[Setting]) -> str:
    return ", ".join(map(str, settings))


def _covered(result: Result) -> dict[str, list[Setting]]:
    """Addresses -> the settings at which these were asked."""
    units_at: dict[Setting, set[int]] = {}
    for step in result.covered:
        if step.read == ANYTHING:
            units_at.setdefault(step.setting, set()).update(step.units)
    covered: dict[str, list[Setting]] = {}
    for setting, units in units_at.items():
        covered.setdefault(spans(list(units)), []).append(setting)
    return covered


def bus_object(result: Result) -> dict[str, Any]:
    """The same for programs."""
    return {
        "port": result.port,
        "units": [unit_object(unit, result) for unit in result.units],
        "hints": [{"kind": hint.kind, "unit": hint.unit, "text": hint.text} for hint in result.hints],
        "covered": [
            {
                "settings": str(step.setting),
                "units": spans(list(step.units)),
                "table": step.read.table,
                "register": step.read.register,
                "count": step.read.size,
                "wait_ms": round(step.wait_s * 1000),
            }
            for step in result.covered
        ],
        "refused": [str(setting) for setting in result.refused],
        "gave_up": [str(setting) for setting in result.gave_up],
        "requests": result.requests,
        "seconds": round(result.seconds, 1),
    }


def unit_object(unit: Unit, result: Result) -> dict[str, Any]:
    """A unit with its values, and how well its answers came."""
    tally = result.tallies[unit.spot]
    return {
        **_where(unit),
        "also": unit.also,
        "values": _values(unit),
        "word_order": unit.wrong_order or unit.asked_order,
        "orders": unit.orders,
        "hints": _hints_of(unit, result),
        "requests": tally.asked,
        "damaged": tally.damaged,
        "slowest_ms": round(tally.slowest_s * 1000),
    }


def record(result: Result) -> dict[str, Any]:
    """The facts of the station's record "scanned"."""
    return {
        "port": result.port,
        "units": [{**_where(unit), "hints": _hints_of(unit, result)} for unit in result.units],
        "hints": [hint.text for hint in result.hints],
    }


def _where(unit: Unit) -> dict[str, Any]:
    baud, parity, stopbits = unit.spot.setting
    return {
        "unit": unit.spot.unit,
        "baud": baud,
        "parity": parity,
        "stopbits": stopbits,
        "profile": unit.profile,
        "how": unit.how,
    }


def _hints_of(unit: Unit, result: Result) -> list[str]:
    return [hint.text for hint in result.hints if hint.unit == unit.spot.unit]
