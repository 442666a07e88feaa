"""Reading the configuration: all of its faults at once, each with its place and what to write instead.

    load(path) -> Config, or ConfigFaults with every Fault
    read(path) -> (Config or None, faults), never raises for anything a file can hold
    parse(path, data): the same of bytes that are to stand there

The steps: bytes -> TOML -> each table by its own model (so that one bad table hides no other) -> checks
across tables and of the files they name. Settings are declared in config_model.py;
everybody else imports their types from here.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.config_cross import across
from gateway.config_department_checks import commanded
from gateway.config_limits import resolve
from gateway.config_lines import Place, line_of, lines
from gateway.config_links import ModbusRtu, ModbusTcp, SerialLink, TcpListen, TlsListen
from gateway.config_model import (
    ARRAYS,
    DESTINATION_KINDS,
    SINGLE,
    Bus,
    BusSource,
    Channel,
    Config,
    Destination,
    Device,
    DeviceSource,
    DirectoryDestination,
    Fees,
    FileDestination,
    FtpDestination,
    FtpsDestination,
    Gateway,
    HttpsDestination,
    MqttDestination,
    NotifyDestination,
    Public,
    SftpDestination,
    Station,
    Witness,
)
from gateway.config_words import sentences, shown, unknown
from gateway.errors import ConfigFaults, Fault

FILE_BYTES_MAX = 1_000_000  # a configuration of 200 channels has 60 kB; more than this is another file
TABLES_MAX = 4000  # of one kind; 250 devices of ten channels are 2,500

__all__ = [
    "Bus",
    "BusSource",
    "Channel",
    "Config",
    "ConfigFaults",
    "Destination",
    "Device",
    "DeviceSource",
    "DirectoryDestination",
    "Fees",
    "FileDestination",
    "FtpDestination",
    "FtpsDestination",
    "Gateway",
    "HttpsDestination",
    "ModbusRtu",
    "ModbusTcp",
    "MqttDestination",
    "NotifyDestination",
    "Public",
    "SerialLink",
    "SftpDestination",
    "Station",
    "TcpListen",
    "TlsListen",
    "Witness",
    "load",
    "parse",
    "read",
    "spoken",
]


def load(path: Path | str) -> Config:
    """The configuration in `path`, or ConfigFaults that says everything wrong with it."""
    config, faults = read(path)
    if config is None or faults:
        raise ConfigFaults(path, faults)
    return config


def read(path: Path | str) -> tuple[Config | None, list[Fault]]:
    """The configuration if it could be built, and every fault in it."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None, [
            Fault(str(path), "There is no such file.", "Make one with `quantrac gateway init DIR`.")
        ]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is not a usable path"
        return None, [
            Fault(str(path), f"It cannot be read: {reason}.", "Give the path of a readable TOML file.")
        ]
    return parse(path, data)


def parse(path: Path, data: bytes) -> tuple[Config | None, list[Fault]]:
    """read() of these bytes, as if they stood in `path`: relative paths in them begin beside it."""
    text, table, fault = _toml(path, data)
    if fault:
        return None, [fault]
    return _Reader(path, text, table, hashlib.sha256(data).hexdigest()).read()


def _toml(path: Path, data: bytes) -> tuple[str, dict[str, Any], Fault | None]:
    if len(data) > FILE_BYTES_MAX:
        return (
            "",
            {},
            Fault(str(path), "It is larger than 1 MB.", "Give the path of the gateway's configuration."),
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}:{data[: error.start].count(10) + 1}"
        return "", {}, Fault(where, "This is not UTF-8 text.", "Save the file as UTF-8.")
    text = text.replace("\r\n", "\n")
    try:
        return text, tomllib.loads(text), None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = re.search(r"\(at line (\d+), column (\d+)\)", message)
        where = f"{path}:{at[1]}" if at else f"{path}:{text.count(chr(10)) + 1}"
        what = re.sub(r" \(at [^)]*\)$", "", message)
        instead = 'Write a line as: name = "text", name = 5, or a table as [table]. See https://toml.io.'
        return "", {}, Fault(where, f"This is not TOML: {what}.", instead)
    except (ValueError, RecursionError):
        return "", {}, Fault(str(path), "It holds a number or nesting beyond reason.", "Shorten it.")


class _Reader:
    """One reading of one file."""

    def __init__(self, path: Path, text: str, table: dict[str, Any], fingerprint: str):
        self.path = path
        self.table = table
        self.fingerprint = fingerprint
        self.lines = lines(text)
        self.faults: list[Fault] = []

    def read(self) -> tuple[Config | None, list[Fault]]:
        parts: dict[str, Any] = {}
        for key in self.table:
            if key not in SINGLE and key not in ARRAYS:
                self.fault((key,), *unknown(key, [*SINGLE, *ARRAYS]))
        for key, model in SINGLE.items():
            parts[key] = self.one(model, self.table.get(key, {}), (key,))
        for key, model in ARRAYS.items():
            parts[key] = self.many(key, model)
        for place, what, instead in [*resolve(parts)]:
            self.fault(place, what, instead)
        for place, what, instead in across(self.table, parts, self.path.absolute().parent):
            self.fault(place, what, instead)
        for place, what, instead in commanded(self.table, parts):
            self.fault(place, what, instead)
        self.faults.sort(key=lambda fault: self._order(fault.where))
        if self.faults:
            return None, self.faults
        made: dict[str, Any] = {k: part if k in SINGLE else tuple(part.values()) for k, part in parts.items()}
        return Config(path=self.path, fingerprint=self.fingerprint, **made), []

    def many(self, key: str, model: Any) -> dict[int, BaseModel]:
        """The good ones of an array of tables, by their index."""
        tables = self.table.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
            self.fault(
                (key,), f"'{key}' is not a list of tables.", f"Write each one below its own line [[{key}]]."
            )
            return {}
        if len(tables) > TABLES_MAX:
            self.fault((key,), f"There are {len(tables)} of these.", f"At most {TABLES_MAX} are possible.")
            return {}
        good = {}
        for index, item in enumerate(tables):
            kind = self.kind(item, (key, index)) if key == "destination" else model
            made = self.one(kind, item, (key, index)) if kind else None
            if made is not None:
                good[index] = made
        return good

    def kind(self, item: dict[str, Any], place: Place) -> type[BaseModel] | None:
        """The model of a destination, by its `kind`."""
        kind = item.get("kind")
        if isinstance(kind, str) and kind in DESTINATION_KINDS:
            return DESTINATION_KINDS[kind]
        choice = f"Write kind = one of {', '.join(DESTINATION_KINDS)}."
        if kind is None:
            self.fault(place, "'kind' is missing.", choice)
        else:
            self.fault((*place, "kind"), f"{shown(kind)} is not a kind of destination.", choice)
        return None

    def one(self, model: type[BaseModel], item: Any, place: Place) -> BaseModel | None:
        if not isinstance(item, dict):
            self.fault(
                place, f"'{place[-1]}' is not a table.", f"Write its settings below a line [{place[0]}]."
            )
            return None
        try:
            return model.model_validate(item, context={"base": self.path.absolute().parent})
        except ValidationError as error:
            for entry in error.errors(include_url=False):
                inner, section = _inside(model, entry["loc"])
                self.fault(place + inner, *sentences({**entry, "loc": inner}, section))
        return None

    def fault(self, place: Place, what: str, instead: str) -> None:
        line = line_of(self.lines, place)
        at = f"{self.path}:{line}" if line else str(self.path)
        self.faults.append(Fault(f"{at}: {spoken(place)}", what, instead))

    def _order(self, where: str) -> int:
        at = re.match(r":(\d+): ", where[len(str(self.path)) :])
        return int(at[1]) if at else 0


def _inside(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[Place, type[BaseModel] | None]:
    """The place within a table without pydantic's union tags, and the model that holds its last key."""
    place: list[str | int] = []
    section: type[BaseModel] | None = model
    rest = list(loc)
    while rest:
        key = rest.pop(0)
        place.append(key)
        if not rest or section is None:
            break
        field = section.model_fields.get(str(key))
        section = _section(field.annotation if field else None, rest)
    return tuple(place), section


def _section(annotation: Any, rest: list[str | int]) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for option in getattr(annotation, "__args__", ()):
        tagged = getattr(option, "__metadata__", ())
        if tagged and rest and getattr(tagged[0], "tag", None) == rest[0]:
            rest.pop(0)  # the tag is pydantic's, not the person's
            return option.__origin__
    return None


def spoken(place: Place) -> str:
    """("channel", 0, "source", "unit") -> "channel[0].source.unit"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
