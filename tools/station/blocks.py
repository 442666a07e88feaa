"""The gateway's blocks for a station: one [[device]], and a [[channel]] for everything that it measures.

Rule 1: what follows from the profile is written (symbol, unit, decimals, range, how often there is a new
        value), and what the site chose stands in its place. Nothing else is made up.
Rule 2: the gateway's own reader has the last word: what it refuses is refused here, in its words, alone and
        together with the configuration that the blocks are meant for.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway.check import PLACEHOLDER
from gateway.config_links import LinkFault, SerialLink, device_link
from gateway.errors import Fault
from gateway.limits.rule import SYMBOLS
from protocol.profile import Quantity
from tools.demo.site import table
from tools.station.site import Site

USUAL_TTY = {"usb": "/dev/ttyACM0", "serial": "/dev/ttyUSB0"}
NAME = "gateway.toml"
UPDATE_S_MAX = 86_400
_ALONE = """\
[station]
province = "LCa"
facility = "NONE"
code = "NUO001"
name = "-"
kind = "wastewater"

[gateway]

"""


def kind_of(path: Path) -> str:
    """The kind of station that a gateway's configuration is for; "" when it does not say."""
    station = _raw(path).get("station")
    return str(station.get("kind", "")) if isinstance(station, dict) else ""


def _raw(path: Path) -> dict[str, Any]:
    """A configuration's tables as they are written, {} of one that cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError):
        return {}


def _tables(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = table.get(key)
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []


def gateway_link(link: dict[str, Any]) -> str:
    """How the gateway reaches a device with this link, as far as it can be known."""
    kind = link.get("kind")
    if kind == "tcp":
        return f"tcp-listen://{link['host']}:{link['port']}"
    return f"serial:{USUAL_TTY[kind]}?baud={link.get('baud', 115200)}" if kind in USUAL_TTY else ""


def channel_tables(id: str, checked: Site, kept: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The [[channel]] tables by channel, in the device's order. `kept`: what the site says of them."""
    found: dict[str, dict[str, Any]] = {}
    for unit in checked.units:
        for quantity, name in zip(unit.quantities, unit.names, strict=True):
            poll_ms = unit.given["every"].get(quantity.id, unit.given["poll_ms"])
            found[name] = _of_quantity(quantity, poll_ms)
    for row in checked.wired["analogs"]:
        low, high = sorted((row["low"], row["high"]))
        ends = [low if row["min"] is None else row["min"], high if row["max"] is None else row["max"]]
        found[checked.channels[row["channel"]]["name"]] = {"decimals": 2, "plausible": ends}
    for row in checked.wired["counters"]:
        found[checked.channels[row["channel"]]["name"]] = {"decimals": 2}
    return {name: ordered(id, name, one | kept.get(name, {})) for name, one in found.items()}


def _of_quantity(quantity: Quantity, poll_ms: int | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "decimals": quantity.decimals,
        "plausible": list(quantity.plausible),
    }
    if quantity.unit == "deg":
        entry["average"] = "vector"
    elif quantity.id.endswith("total"):
        entry["average"] = "total"
    if poll_ms and quantity.update_s * 1000 > poll_ms:
        entry["update_s"] = min(int(quantity.update_s), UPDATE_S_MAX)
    return entry


def ordered(device: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A [[channel]] table with its source, in the order in which people read it."""
    first = ("symbol", "unit", "decimals", "source", "limits", "plausible")
    given = {**given, "source": {"device": device, "quantity": name}}
    order = [key for key in first if key in given] + [key for key in given if key not in first]
    return {key: given[key] for key in order if given[key] not in ({}, None)}


def text(id: str, link: str, channels: dict[str, dict[str, Any]]) -> str:
    """gateway.toml."""
    device = {"id": id, "link": link, "key_file": key_file(id)}
    parts = [
        f"# Station {id}, for the gateway's configuration: put these blocks there.\n"
        f"# The gateway needs a copy of link.key at {key_file(id)}, mode 0600.\n",
        table("[[device]]", device),
    ]
    for one in channels.values():
        block = table("[[channel]]", one)
        if not one.get("unit") and not one.get("unit_when_none"):
            block += (
                '# unit_when_none = "-"   # where the department takes it: keeps a fault flag (02) visible\n'
            )
        parts.append(block)
    return "\n".join(parts)


def key_file(id: str) -> str:
    """Where the gateway looks for the station's link key, from its configuration's folder."""
    return f"gateway/keys/{id}.link"


def symbols(channels: dict[str, dict[str, Any]]) -> list[str]:
    """Sentences about symbols that no department is known to take."""
    return [
        f"{one['symbol']} is no symbol of the regulation's table: write the department's as "
        f"symbol.QUANTITY=..., or sent.QUANTITY=no when it is not to be sent"
        for one in channels.values()
        if one.get("symbol") and one["symbol"] not in SYMBOLS and one.get("sent", True)
    ]


# Held against the gateway


def check_alone(faults: list[str], blocks: str, channels: dict[str, dict[str, Any]]) -> None:
    """What the gateway refuses in the blocks by themselves."""
    _, found = configuration.parse(Path(NAME), (_ALONE + blocks).encode())
    faults += [_said(fault, list(channels)) for fault in found if not fault.where.endswith(_key_file(0))]


def check_with(
    faults: list[str], notes: list[str], path: Path, blocks: str, id: str, again: bool = False
) -> None:
    """What the gateway would refuse once the blocks stand in its configuration.

    again: the station may be there already; then only what others have is looked at.
    """
    there, ours = _raw(path), tomllib.loads(blocks)
    if not there:
        faults += [f"--gateway {fault}" for fault in configuration.read(path)[1]]
        return
    if str(there.get("station", {}).get("province", "")).startswith(PLACEHOLDER):
        notes.append(
            f"{path} is as `gateway init` wrote it: put the blocks in the place of its example, the "
            "[[device]] and the [[channel]]s that are there"
        )
        return
    devices, channels = _tables(there, "device"), _tables(there, "channel")
    if again and any(device.get("id") == id for device in devices):
        notes.append(f"{path} has station {id} already: put {NAME} in the place of its blocks there")
        _check_others(faults, path, devices, channels, ours, id)
        return
    labels = [str(one.get("symbol")) for one in channels]
    labels += [str(one["source"]["quantity"]) for one in ours["channel"]]
    _, found = configuration.parse(path, path.read_bytes().rstrip() + b"\n\n" + blocks.encode())
    for fault in found:
        if not fault.where.endswith(_key_file(len(devices))):
            faults.append(f"with {path}: {_said(fault, labels)}")


def _check_others(
    faults: list[str],
    path: Path,
    devices: list[dict[str, Any]],
    channels: list[dict[str, Any]],
    ours: dict[str, Any],
    id: str,
) -> None:
    """Symbols and ports that others than this station have."""
    sources = [(one.get("symbol"), one.get("source")) for one in channels]
    taken = {
        symbol for symbol, source in sources if not (isinstance(source, dict) and source.get("device") == id)
    }
    for one in ours["channel"]:
        if one.get("symbol") in taken:
            faults.append(f"with {path}: '{one['symbol']}' is another channel's symbol there, write another")
    place = _place(ours["device"][0]["link"])
    for device in devices:
        if device.get("id") != id and place is not None and _place(device.get("link")) == place:
            link = ours["device"][0]["link"]
            faults.append(f"with {path}: {link} belongs to {device.get('id')} there, write another")


def _place(link: Any) -> tuple[Any, ...] | None:
    """The port or the address of a link; what is wrong with it is said elsewhere."""
    try:
        found = device_link(link)
    except LinkFault:
        return None
    return ("serial", found.path) if isinstance(found, SerialLink) else (found.host, found.port)


def _key_file(at: int) -> str:
    """The place of what is put there only with the blocks."""
    return f"device[{at}].key_file"


def _said(fault: Fault, labels: list[str]) -> str:
    """A fault without the lines of a file that nobody has; `labels`: what the channels are called."""
    where = re.sub(r"^.*?: ", "", fault.where)

    def named(match: re.Match[str]) -> str:
        at = int(match[1])
        return f"channel {labels[at]}" if at < len(labels) else match[0]

    said = re.sub(r"channel\[([0-9]+)\]", named, f"{where}: {fault.what} {fault.instead}")
    return f"{said} Write symbol.QUANTITY=... with its instrument." if where.endswith("].symbol") else said
