"""What is typed of a station, as tables: a link, a bus, an instrument, a limit.

    usb | uart0 tx=0 rx=1 | /dev/ttyS0 baud=9600 | tcp 192.168.1.10:7311                    a link, or a bus
    eh-ca80-cod@rs485:3,poll_ms=60000,quantities=cod,range=0..250                           an instrument
    COD=75 QCVN 40:2011 A | pH=6..9 QCVN 40:2011 A | COD=rule QCVN 40:2011; column=A; kq=0.9       a limit

A word that cannot be read is a fault with what to write, and the rest is read all the same.
"""

from __future__ import annotations

import re
from typing import Any

from protocol import fields

BUS_EXAMPLES = '"uart1 tx=4 rx=5 de=6", "/dev/ttyUSB0" or "tcp 192.168.1.20:502"'
LINK_EXAMPLES = '"usb", "uart0 tx=0 rx=1", "/dev/ttyS0" or "tcp 192.168.1.10:7311"'
INSTRUMENT_EXAMPLE = "eh-ca80-cod@rs485:3,poll_ms=60000,range=0..250"
LIMIT_EXAMPLE = "COD=75 QCVN 40:2011 A"
TCP_PORT = 502
NUMBERS = ("poll_ms", "phase_ms", "timeout_ms", "retries", "gap_ms", "baud", "stopbits")
CHANNEL_KEYS = {
    "symbol": "symbol",
    "units": "unit",
    "decimals": "decimals",
    "average": "average",
    "sent": "sent",
}
"""What may be said of an instrument's channels, and its key in the gateway's [[channel]]."""
PER_QUANTITY = ("every", "rename", "range", *CHANNEL_KEYS)
_SETTINGS = {"baud": int, "parity": str, "stopbits": int}
_PINS = ("tx", "rx", "de")
_NUMBER = r"-?\d+(?:\.\d+)?"
_SPAN = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")
_LIMIT = re.compile(rf"((?:{_NUMBER})?\.\.(?:{_NUMBER})?|{_NUMBER})(?:\s+(.+))?")


def link(faults: list[str], text: str) -> dict[str, Any]:
    """The device's link of identity.json; {} for none, or one that cannot be read."""
    text = text.strip()
    if text == "usb":
        return {"kind": "usb"}
    if _is_tcp(text):
        return _tcp(faults, f'link "{text}"', text, None)
    found = _line(faults, f'link "{text}"', text, LINK_EXAMPLES) if text else {}
    for name in ("parity", "stopbits"):
        if found.pop(name, None) is not None:
            faults.append(f'link "{text}": it is always 8N1, leave {name} out')
    return {"kind": "serial", **found} if found else {}


def bus(faults: list[str], id: str, text: str) -> dict[str, Any] | None:
    """A bus of site.json; None for one that cannot be read."""
    where, text = f"bus {id}", text.strip()
    kind, found = (
        ("tcp", _tcp(faults, where, text, TCP_PORT))
        if _is_tcp(text)
        else ("rtu", _line(faults, where, text, BUS_EXAMPLES))
    )
    return {"id": id, **found, "kind": kind} if found else None


def named_bus(faults: list[str], text: str) -> dict[str, Any] | None:
    """A bus as `ID=PATH`."""
    id, equals, path = text.partition("=")
    if not equals or fields.identifier(id):
        faults.append(f'bus "{text}": write ID=PATH, as rs485={BUS_EXAMPLES.split(", ")[0]}')
        return None
    return bus(faults, id, path)


def _is_tcp(text: str) -> bool:
    return text.startswith(("tcp://", "tcp ")) or bool(re.fullmatch(r"[\d.]+:\d+", text))


def _tcp(faults: list[str], where: str, text: str, port: int | None) -> dict[str, Any]:
    host, _, digits = re.sub(r"^tcp(://|\s+)", "", text).strip().partition(":")
    number = int(digits) if digits.isascii() and digits.isdigit() else port if not digits else None
    if fields.address(host) or number is None or not 1 <= number <= 65535:
        faults.append(f"{where}: write tcp ADDRESS:PORT with {fields.address(None)}")
        return {}
    return {"kind": "tcp", "host": host, "port": number}


def _line(faults: list[str], where: str, text: str, examples: str) -> dict[str, Any]:
    """{"path", and the settings that it names} of a serial line; {} when it cannot be read."""
    path: list[str] = []
    found: dict[str, Any] = {}
    before = len(faults)
    for word in text.split():
        name, _, value = word.partition("=")
        if name not in _SETTINGS:
            path.append(word)
        elif _SETTINGS[name] is int and not value.isdecimal():
            faults.append(f"{where}: {name} is a number, as {name}=9600")
        else:
            found[name] = _SETTINGS[name](value)
    if not path or not path[0].startswith(("/", "uart")) or (path[0][0] == "/" and len(path) > 1):
        faults.append(f"{where}: write {examples}")
    elif path[0].startswith("uart"):
        _check_pins(faults, where, path)
    return {"path": " ".join(path), **found} if len(faults) == before else {}


def _check_pins(faults: list[str], where: str, words: list[str]) -> None:
    if not re.fullmatch(r"uart\d", words[0]):
        faults.append(f"{where}: {words[0]} is no UART, write uart0, uart1 ...")
    pins: dict[str, str] = {}
    for word in words[1:]:
        name, _, number = word.partition("=")
        if name not in _PINS or not re.fullmatch(r"\d{1,2}", number):
            faults.append(
                f'{where}: "{word}" is no pin, write tx=4, rx=5, and de=6 where a pin turns the line'
            )
        elif name in pins:
            faults.append(f"{where}: {name} stands twice, leave one out")
        elif number in pins.values():
            faults.append(f"{where}: pin {number} stands twice, write another")
        pins.setdefault(name, number)
    for name in ("tx", "rx"):
        if name not in pins:
            faults.append(f"{where}: {name}= is missing, write the number of its pin")


def text_of(line: dict[str, Any]) -> str:
    """A link or a bus as it is typed."""
    if line["kind"] in ("usb", "tcp"):
        return "usb" if line["kind"] == "usb" else f"tcp {line['host']}:{line['port']}"
    return " ".join([str(line["path"]), *(f"{key}={line[key]}" for key in _SETTINGS if line.get(key))])


def pins_of(path: str) -> list[int]:
    """The pins in the path of a board's serial line; none of a tty."""
    return [int(word.partition("=")[2]) for word in path.split()[1:]] if path.startswith("uart") else []


def instrument(faults: list[str], text: str) -> dict[str, Any]:
    """An instrument as `PROFILE@BUS:UNIT,key=value,...`; what can be read of it."""
    head, *rest = text.split(",")
    more: list[str] = []
    for word in rest:  # "quantities=ph,cod" and "symbol.pm25=PM2,5" have commas of their own
        if "=" in word or not more:
            more.append(word.strip())
        else:
            more[-1] += "," + word
    profile, _, place = head.strip().partition("@")
    id, colon, unit = place.partition(":")
    found: dict[str, Any] = {"profile": profile, **({"bus": id} if id else {})}
    where = f'instrument "{text}"'
    if not profile or (colon and not unit.isdecimal()):
        faults.append(f"{where}: write PROFILE@BUS:UNIT, as {INSTRUMENT_EXAMPLE}")
    elif colon:
        found["unit"] = int(unit)
    for word in more:
        _instrument_word(faults, where, found, word)
    return found


def _instrument_word(faults: list[str], where: str, found: dict[str, Any], word: str) -> None:
    name, equals, value = word.partition("=")
    key, dot, which = name.partition(".")
    if not equals or not value or (dot and not which):
        faults.append(f'{where}: "{word}" is no key=value')
    elif key == "ask" and dot:
        found.setdefault("answers", {})[which] = value
    elif key == "range" and not dot:
        found["range"] = _span(faults, where, value)
    elif key in PER_QUANTITY and dot:
        found.setdefault(key, {})[which] = _of_quantity(faults, where, key, value)
    elif key == "quantities" and not dot:
        found[key] = [part for part in re.split(r"[+,]", value) if part]
    elif key == "parity" and not dot:
        found[key] = value
    elif key in NUMBERS and not dot:
        found[key] = _whole(faults, f"{where}: {key}", value)
    else:
        known = [*NUMBERS, "parity", "quantities", "range", *(f"{name}.QUANTITY" for name in PER_QUANTITY)]
        faults.append(f'{where}: unknown "{name}", write one of {", ".join([*known, "ask.QUESTION"])}')


def _of_quantity(faults: list[str], where: str, key: str, value: str) -> Any:
    if key == "range":
        return _span(faults, where, value)
    if key in ("every", "decimals"):
        return _whole(faults, f"{where}: {key}", value)
    if key == "sent":
        return value in ("yes", "true")
    return value


def _whole(faults: list[str], where: str, value: str) -> int | None:
    if value.isascii() and value.isdecimal():
        return int(value)
    faults.append(f'{where}="{value}" is no whole number')
    return None


def span(text: str) -> list[float | None] | None:
    """[lowest, highest] of "0..250", "0.." or "..250"; None when it is none of these."""
    found = _SPAN.fullmatch(text.strip())
    if not found or (found[1] is None and found[2] is None):
        return None
    return [None if end is None else float(end) for end in found.groups()]


def _span(faults: list[str], where: str, text: str) -> list[float] | None:
    found = span(text)
    if found and found[0] is not None and found[1] is not None and found[0] < found[1]:
        return [found[0], found[1]]
    faults.append(f'{where}: "{text}" is no range, write the lowest and the highest value, as 0..250')
    return None


def limit(faults: list[str], text: str, basis: str) -> tuple[str, dict[str, Any]] | None:
    """(symbol or channel, its `limits`) of "COD=75 BASIS", "pH=6..9 BASIS" or "COD=rule NAME; column=A; ...".

    basis: of those that name none. "COD=none" is {}: no limit.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or not value:
        faults.append(f'limit "{text}": write SYMBOL=FIGURE BASIS, as "{LIMIT_EXAMPLE}"')
        return None
    if value == "none":
        return name, {}
    if value.startswith("rule "):
        return name, _rule(faults, text, value.removeprefix("rule "))
    found = _LIMIT.fullmatch(value)
    ends = span(found[1]) if found and ".." in found[1] else [None, float(found[1])] if found else None
    if found is None or ends is None:
        faults.append(f'limit "{text}": write SYMBOL=FIGURE BASIS, as "{LIMIT_EXAMPLE}" or "pH=6..9 ..."')
        return None
    low, high = ends
    figures = {key: end for key, end in (("min", low), ("max", high)) if end is not None}
    return name, {**figures, "basis": found[2] or basis}


def _rule(faults: list[str], text: str, value: str) -> dict[str, Any]:
    rule, *rest = [part.strip() for part in value.split(";")]
    found: dict[str, Any] = {"rule": rule}
    for word in rest:
        key, equals, given = word.partition("=")
        if not equals:
            faults.append(f'limit "{text}": "{word}" is no key=value, as column=A or kq=0.9')
            continue
        number = re.fullmatch(_NUMBER, given) and key not in ("column", "size", "parameter", "basis")
        found[key] = float(given) if number else given
    return found
