"""Whether the choices for a station fit together: its lines, its names, its limits, and the gateway.

Rule 1: every fault at once, each with what to write; notes are what is allowed and probably not meant.
Rule 2: a measuring range reaches at least 3 times the limit (Thông tư 10/2021, Điều 35). Held against it is
        the range that the technician wrote, as the instrument is set; without one, what its profile takes for
        plausible, and that is said. A limit with a lower end (pH, oxygen) and degrees Celsius are scales, of
        which three times a value means nothing.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.check_limits import RANGE_TO_LIMIT_MIN
from gateway.config_permit import Limits
from gateway.config_words import sentences
from gateway.limits.books import read, rules
from gateway.limits.choose import choose
from gateway.limits.rule import LimitsFault, unit_of
from protocol import fields, instruments
from protocol.errors import ConfigError
from protocol.profile import KINDS
from tools.station import blocks, words
from tools.station.build import build
from tools.station.choices import NO_KEY, Choices, site_of
from tools.station.site import Site, check

LAW = "Thông tư 10/2021, Điều 35"
_WIFI = (("kind", fields.text, fields.MUST), ("ssid", fields.filled, fields.MUST))
_WIRED = tuple((name, fields.whole(0, 48), fields.MUST) for name in ("spi", "sck", "mosi", "miso", "cs"))
_NETWORKS = {
    "wifi": (
        *_WIFI,
        ("password", fields.text, None),
        ("country", fields.text, None),
        ("address", None, None),
    ),
    "w5500": (
        ("kind", fields.text, fields.MUST),
        *_WIRED,
        ("rst", fields.whole(0, 48), None),
        ("int", fields.whole(0, 48), None),
        ("address", None, None),
    ),
}


@dataclass(frozen=True)
class Fit:
    """A station that fits. `site`: what site.json holds; `channels`: the gateway's tables by channel."""

    site: dict[str, Any]
    checked: Site
    channels: dict[str, dict[str, Any]]
    blocks: str
    notes: list[str]
    held: dict[str, str]  # of channels with a limit: what the range was held against, for people


def fit(faults: list[str], choices: Choices, config: Path | None = None, again: bool = False) -> Fit | None:
    """The station; None, and the faults, when something is wrong.

    config: the gateway's configuration that the blocks are meant for; again: it may have them already.
    """
    notes: list[str] = []
    site = site_of(faults, choices)
    labels = [_label(unit) for unit in site["units"]]
    raw: list[str] = []
    _check_given(faults, choices)
    checked = check(raw, {**site, "key": NO_KEY} | ({} if choices.link else {"link": {"kind": "usb"}}))
    if checked and not raw and choices.link:
        try:
            build({**site, "key": NO_KEY})
        except ConfigError as error:
            raw = getattr(error, "faults", [str(error)])
    faults += [_worded(fault, labels, site) for fault in raw if not _said_already(fault, choices)]
    if checked is None:
        return None
    _check_pins(faults, choices, site)
    kept = site["gateway"]["channels"]
    tables = blocks.channel_tables(choices.id, checked, kept)
    for name in kept:
        if name not in tables:
            faults.append(f"channels.{name}: no such channel, write one of {', '.join(tables)}")
    held = _limit(faults, notes, choices, site, tables, config)
    link = choices.gateway_link or blocks.gateway_link(choices.link)
    site["gateway"]["link"] = link
    made = blocks.text(choices.id, link, tables)
    if tables and link:
        blocks.check_alone(faults, made, tables)
    if not faults and config is not None:
        blocks.check_with(faults, notes, config, made, choices.id, again)
    if faults:
        return None
    notes += [*_of_kind(checked, choices.kind, labels), *blocks.symbols(tables)]
    used = {unit.given["bus"] for unit in checked.units}
    notes += [f"line {bus['id']} has no instrument" for bus in checked.buses if bus["id"] not in used]
    if choices.link["kind"] == "tcp" and "network" not in choices.identity and _on_a_board(choices):
        notes.append("a board reaches its gateway only through a network: write [network] in the --from file")
    return Fit(site, checked, tables, made, notes, held)


def _label(unit: dict[str, Any]) -> str:
    at = f":{unit['unit']}" if "unit" in unit else ""
    return f"{unit.get('profile')}@{unit.get('bus')}{at}"


def _worded(fault: str, labels: list[str], site: dict[str, Any]) -> str:
    """A fault of site.py with instruments and buses as people call them."""
    fault = re.sub(r"units\[(\d+)\]", lambda m: f"instrument {int(m[1]) + 1} ({labels[int(m[1])]})", fault)
    fault = re.sub(r"(\([^()]*@[^()]*\)) \([a-z0-9-]+\)", r"\1", fault)  # its profile, said twice
    fault = re.sub(r'(no profile is called "(.*)": write one of ).*', _likely, fault)
    return re.sub(r"buses\[(\d+)\]", lambda m: f"bus {site['buses'][int(m[1])].get('id')}", fault)


def _likely(match: re.Match[str]) -> str:
    """In the place of all names, those that may have been meant."""
    names = instruments.names()
    near = [name for name in names if match[2] and match[2] in name] or difflib.get_close_matches(
        match[2], names
    )
    return match[1] + ", ".join(near or names)


def _said_already(fault: str, choices: Choices) -> bool:
    """What _check_given() says in better words."""
    return (fault.startswith("buses:") and not choices.buses) or (
        fault.startswith("units:") and not choices.instruments
    )


def _check_given(faults: list[str], choices: Choices) -> None:
    if choices.kind not in KINDS:
        faults.append(f'kind "{choices.kind}": write --kind with one of {", ".join(KINDS)}')
    if not choices.link:
        faults.append(f"link: write --link with {words.LINK_EXAMPLES}")
    if not choices.buses:
        faults.append(f"bus: write --bus ID=PATH, with a path such as {words.BUS_EXAMPLES}")
    if not choices.instruments:
        faults.append(f"instrument: write --instrument PROFILE@BUS:UNIT, as {words.INSTRUMENT_EXAMPLE}")
    network = choices.identity.get("network")
    if network is not None:
        kind = network.get("kind") if isinstance(network, dict) else None
        if kind not in _NETWORKS:
            faults.append(f"network.kind: write one of {', '.join(_NETWORKS)}")
        else:
            fields.read(faults, "network", network, _NETWORKS[kind])


def _on_a_board(choices: Choices) -> bool:
    return any(str(bus.get("path")).startswith("uart") for bus in choices.buses)


def _check_pins(faults: list[str], choices: Choices, site: dict[str, Any]) -> None:
    """UARTs and pins that the link, the network and the lines want at once. site.py has the others."""
    uarts: dict[str, str] = {}
    own = [("the link", choices.link)] + [(f"bus {bus['id']}", bus) for bus in site["buses"]]
    for where, line in own:
        uart = str(line.get("path", "")).split(" ")[0]
        if uart.startswith("uart"):
            other = uarts.setdefault(uart, where)
            if other != where:
                faults.append(f"{where}: {other} has {uart}, write another UART and its pins")
    taken = {pin: "the link" for pin in words.pins_of(str(choices.link.get("path", "")))}
    for name in ("network", "board"):
        tables = [choices.identity.get(name) or {}]
        tables += [one for one in tables[0].values() if isinstance(one, dict)]
        for key in ("sck", "mosi", "miso", "cs", "rst", "int", "sda", "scl"):
            for one in tables:
                if isinstance(one.get(key), int):
                    other = taken.setdefault(one[key], f"{name}.{key}")
                    if other != f"{name}.{key}":
                        faults.append(f"{name}.{key} = {one[key]}: {other} has this pin, write another")
    wanted = [
        (f"bus {bus['id']}", pin) for bus in site["buses"] for pin in words.pins_of(bus.get("path", ""))
    ]
    for kind in ("inputs", "outputs", "analogs", "counters"):
        rows = site.get(kind, [])
        wanted += [
            (f"{kind}[{i}]", row["pin"])
            for i, row in enumerate(rows)
            if isinstance(row, dict) and "pin" in row
        ]
    for where, pin in wanted:
        if pin in taken:
            faults.append(f"{where}: {taken[pin]} has pin {pin}, write another")


def _of_kind(checked: Site, kind: str, labels: list[str]) -> list[str]:
    """Notes on profiles."""
    notes = []
    for unit in checked.units:
        at = int(unit.where[len("units[") : -1])
        if kind not in unit.profile.station_kinds:
            whose = ", ".join(unit.profile.station_kinds)
            notes.append(f"instrument {at + 1} ({labels[at]}): its profile is for {whose}, not for {kind}")
        if unit.profile.mark == "GENERIC":
            notes.append(
                f"instrument {at + 1} ({labels[at]}): for tests only, no real instrument has this map"
            )
    return notes


# Limits


def _limit(
    faults: list[str],
    notes: list[str],
    choices: Choices,
    site: dict[str, Any],
    tables: dict[str, dict[str, Any]],
    config: Path | None,
) -> dict[str, str]:
    """Put the limits into the tables and into the site; what was held against them, by channel."""
    by_symbol = {str(one.get("symbol")): name for name, one in tables.items()}
    wanted: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, given in choices.limits.items():
        name = by_symbol.get(key) or (key if key in tables else None)
        if name is None:
            faults.append(f"limit of {key}: no such channel, write one of {', '.join(by_symbol)}")
        else:
            wanted[name] = key, given  # one that was written later counts
    held: dict[str, str] = {}
    for name, (key, given) in wanted.items():
        if given:
            most = highest(faults, f"limit of {key}", given, tables[name], config)
            site["gateway"]["channels"].setdefault(name, {})["limits"] = given
            tables[name] = blocks.ordered(choices.id, name, {**tables[name], "limits": given})
            if most is not None:
                held[name] = _reach(faults, notes, site, name, tables[name], most)
    return held


def highest(
    faults: list[str], where: str, given: dict[str, Any], table: dict[str, Any], config: Path | None
) -> float | None:
    """The figure that the range has to reach three times; None where there is none, or no sense in it."""
    if not given.get("rule") and given.get("max") is None and given.get("min") is None:
        faults.append(f"{where}: write max, min, or the name of a rule")
        return None
    if not given.get("rule") and not str(given.get("basis", "")).strip():
        faults.append(
            f"{where}: on what is it based? Write the rule or the permit behind it, as "
            f'"{words.LIMIT_EXAMPLE}", or --basis for all'
        )
        return None
    try:
        limits = Limits.model_validate(given)
        figures = limits.figures
        if limits.rule:
            known = rules(_own_rules(config))
            if limits.rule not in known:
                faults.append(f'{where}: there is no rule "{limits.rule}", write one of {", ".join(known)}')
                return None
            figures = choose(
                known[limits.rule], limits.asked(str(table.get("symbol")), str(table.get("unit", "")))
            )
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            what, instead = sentences(dict(entry), Limits)
            faults.append(f"{where}: {what} {instead}")
        return None
    except LimitsFault as fault:
        faults.append(f"{where}: {fault.what} {fault.instead}")
        return None
    if any(figure.min is not None for figure in figures) or str(table.get("symbol")).lower() == "ph":
        return None
    return max((figure.max for figure in figures if figure.max is not None), default=None)


def _own_rules(config: Path | None) -> list:
    """Rules in files that the gateway's configuration names."""
    if config is None:
        return []
    from gateway.config import load

    return [read(path, set()) for path in load(config).limits.files]


def _reach(
    faults: list[str], notes: list[str], site: dict[str, Any], name: str, table: dict[str, Any], most: float
) -> str:
    """What the range was held against, for people; a fault where it does not reach."""
    if "plausible" not in table:
        return ""
    low, high = table["plausible"]
    unit = table.get("unit", "")
    whose = "as you wrote it" if _own_range(site, name) else "its profile's, no range= was written"
    said = f"{low:g} to {high:g} {unit}".strip() + f" ({whose})"
    need = RANGE_TO_LIMIT_MIN * most
    if high >= need:
        return said
    what = (
        f"{table['symbol']}: its measuring range, {said}, ends below {RANGE_TO_LIMIT_MIN} times the limit "
        f"{most:g}, which is {need:g} ({LAW})"
    )
    if unit_of(unit) == "oC":
        notes.append(f"{what}; of degrees Celsius that means little, so it is not refused")
        return said
    faults.append(
        f"{what}: set the instrument to {need:g} or more and write that as range.QUANTITY=0..{need:g}, "
        "or take another one"
    )
    return said


def _own_range(site: dict[str, Any], name: str) -> bool:
    """Whether the technician wrote a range for this channel."""
    return any(
        unit.get("rename", {}).get(id, id) == name for unit in site["units"] for id in unit.get("ranges", {})
    )
