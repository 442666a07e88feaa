"""What a station's folder says of its channels: unit, decimals, range, limits, and where the registers are.

Rule 1: a station can be looked at without it. Whatever a file does not say stays None; nothing is guessed.
Rule 2: the folder may be older than the station: `is_of(hello)` compares the configuration's hashes.

Registers, ranges and wiring come from device/station.json (where it is missing, from site.json as build.py
compiles it), symbols and limits from the blocks of gateway.toml, units it does not name from the profile.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import instruments, registers
from protocol.errors import ConfigError
from protocol.messages import Hello
from protocol.modbus_requests import TABLES
from protocol.profile import Profile, Quantity
from tools.people import UsageError
from tools.station.folder import DEVICE, GATEWAY, Folder

STATION = "station.json"
HASH_BYTES = 8  # as firmware/config.py cuts it, and HELLO carries it
REGISTERS, LOOP, COUNTER = "registers", "loop", "counter"
_TABLE_OF = {function: table for table, function in TABLES.items()}


@dataclass(frozen=True)
class Block:
    """One request that the station makes, as station.json has it. `timeout_ms`: what the unit is given."""

    bus: str
    unit: int
    function: int
    address: int
    count: int
    timeout_ms: int


@dataclass(frozen=True)
class Place:
    """Where a value stands in the answer to a block, and how it is read there."""

    block: Block
    at: int
    type: str
    order: str
    multiply: float
    divide: float
    offset: float

    def words(self, answer: list[int]) -> list[int] | None:
        """The value's own registers; None when the answer is too short."""
        found = answer[self.at : self.at + registers.words_of(self.type)]
        return found if len(found) == registers.words_of(self.type) else None


@dataclass(frozen=True)
class Channel:
    """`low`, `high`: of the raw value, beyond which the station says OUT_OF_RANGE. `min`, `max`: limits.

    `row`: of a loop or a counter, as station.json has it.
    """

    name: str
    kind: str = REGISTERS
    unit: str = ""
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    min: float | None = None
    max: float | None = None
    place: Place | None = None
    row: dict | None = None


@dataclass(frozen=True)
class Known:
    """A station's folder, read. `units`: (bus, unit) -> its profile's name."""

    id: str
    hash: bytes
    channels: dict[str, Channel]
    units: dict[tuple[str, int], str]
    paths: dict[str, str]
    inputs: tuple[dict, ...]
    outputs: tuple[dict, ...]

    def is_of(self, hello: Hello) -> bool:
        """Whether the station runs the configuration that the folder holds."""
        return hello.device == self.id and bytes(hello.config_hash) == self.hash

    @property
    def blocks(self) -> list[Block]:
        """The requests behind the channels, each once."""
        return list(dict.fromkeys(c.place.block for c in self.channels.values() if c.place))


def known(folder: Folder) -> Known:
    """What the folder says. UsageError or ConfigError when its files cannot be read."""
    data = _station_json(folder)
    try:
        station = json.loads(data)
        names = [str(channel["name"]) for channel in station["channels"]]
        return Known(
            folder.id,
            hashlib.sha256(data).digest()[:HASH_BYTES],
            _channels(station, names, _told(folder.path / GATEWAY, folder.id)),
            {(unit["bus"], unit["unit"]): unit["profile"] for unit in station["units"]},
            {bus["id"]: bus.get("path") or f"{bus['host']}:{bus['port']}" for bus in station["buses"]},
            tuple(station["inputs"]),
            tuple(station["outputs"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"{folder.path / DEVICE / STATION} cannot be read ({error!r}): restore it from a backup, "
            "or make the folder anew."
        ) from None


def _station_json(folder: Folder) -> bytes:
    path = folder.path / DEVICE / STATION
    if path.is_file():
        return path.read_bytes()
    from tools.station.build import files

    return files(folder.site())[STATION]


def _channels(station: dict, names: list[str], told: dict[str, dict]) -> dict[str, Channel]:
    found = {}
    for unit in station["units"]:
        profile = None
        with suppress(ConfigError):
            profile = instruments.load(unit["profile"])
        for value in unit["values"]:
            name = names[value["channel"]]
            place = _place(unit, value)
            quantity = _quantity(profile, place)
            facts: dict[str, Any] = {"low": value["min"], "high": value["max"], "place": place}
            if quantity:
                facts |= {"unit": quantity.unit, "decimals": quantity.decimals}
            found[name] = Channel(name, **(facts | told.get(name, {})))
    for kind, rows in ((LOOP, station["analogs"]), (COUNTER, station["counters"])):
        for row in rows:
            name = names[row["channel"]]
            facts = {"low": row["min"], "high": row["max"], "row": row, **told.get(name, {})}
            found[name] = Channel(name, kind, **facts)
    return {name: found[name] for name in names if name in found}


def _place(unit: dict, value: dict) -> Place:
    read = unit["reads"][value["read"]]
    block = Block(
        unit["bus"], unit["unit"], read["function"], read["address"], read["count"], unit["timeout_ms"]
    )
    how = [value[key] for key in ("at", "type", "order", "multiply", "divide", "offset")]
    return Place(block, *how)


def _quantity(profile: Profile | None, place: Place) -> Quantity | None:
    """The profile's entry that stands at this place."""
    at = (_TABLE_OF.get(place.block.function), place.block.address + place.at)
    entries = profile.quantities if profile else ()
    return next((entry for entry in entries if (entry.table, entry.register) == at), None)


def _told(path: Path, id: str) -> dict[str, dict]:
    """What the gateway's blocks say of the station's channels: {name: {unit, decimals, min, max}}."""
    try:
        blocks = tomllib.loads(path.read_text(encoding="utf-8")).get("channel", [])
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{path} is no TOML ({error}): correct it, or restore it from a backup.") from None
    found: dict[str, dict] = {}
    for block in blocks if isinstance(blocks, list) else ():
        source = block.get("source") if isinstance(block, dict) else None
        if isinstance(source, dict) and source.get("device") == id:
            found.setdefault(str(source.get("quantity")), _facts(block))
    return found


def _facts(block: dict) -> dict:
    """Of one block, as the gateway itself reads it; nothing of one that the gateway would refuse."""
    from pydantic import ValidationError

    from gateway.config_model import Channel as Configured
    from gateway.limits.books import rules
    from gateway.limits.choose import choose
    from gateway.limits.rule import LimitsFault

    try:
        channel = Configured.model_validate(block)
    except ValidationError:
        return {}
    figures = channel.limits.figures
    if channel.limits.rule:
        figures = ()
        with suppress(LimitsFault, KeyError):  # a rule in a file of the operator's, which is not here
            rule = rules([])[channel.limits.rule]
            figures = choose(rule, channel.limits.asked(channel.symbol, channel.unit))
    most = [figure.max for figure in figures if figure.max is not None]
    least = [figure.min for figure in figures if figure.min is not None]
    facts = {"min": max(least, default=None), "max": min(most, default=None)}
    return facts | {"unit": channel.unit, "decimals": channel.decimals}
