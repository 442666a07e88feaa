"""Link strings of the configuration: one line that says how something is reached.

    serial:/dev/ttyACM0?baud=115200                        a station device on a serial port
    tcp-listen://127.0.0.1:7311                            a station device that connects to us
    tls-listen://0.0.0.0:7312?cert=tls.crt&key=tls.key     the same over TLS, for devices on a network
    modbus-tcp://192.168.1.20:502                          instruments behind Modbus TCP
    modbus-rtu:/dev/ttyUSB0?baud=9600&parity=N&stopbits=1  instruments on an RS-485 line

Every parser returns a small record or raises `LinkFault(what, instead)`: two sentences for whoever wrote it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

BAUDS = (1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200, 230400, 460800, 921600)

DEVICE_EXAMPLE = "serial:/dev/ttyACM0?baud=115200"
TLS_EXAMPLE = "tls-listen://0.0.0.0:7312?cert=gateway/keys/tls.crt&key=gateway/keys/tls.key"
BUS_EXAMPLE = "modbus-rtu:/dev/ttyUSB0?baud=9600&parity=N&stopbits=1"


class LinkFault(ValueError):
    """A link string that cannot be used."""

    def __init__(self, what: str, instead: str):
        super().__init__(what)
        self.what = what
        self.instead = instead


class SerialLink(NamedTuple):
    """A station device on a serial port."""

    path: str
    baud: int  # bit/s
    parity: str  # "N" | "E" | "O"
    stopbits: int  # 1 | 2


class TcpListen(NamedTuple):
    """A station device that connects to this address of ours."""

    host: str
    port: int


class TlsListen(NamedTuple):
    """A station device that connects to this address of ours over TLS 1.2 or newer."""

    host: str
    port: int
    cert: Path  # PEM: our certificate, then those between it and the one that devices trust
    key: Path  # PEM: its private key, not encrypted


class ModbusTcp(NamedTuple):
    """Instruments behind Modbus TCP."""

    host: str
    port: int


class ModbusRtu(NamedTuple):
    """Instruments on an RS-485 line of ours."""

    path: str
    baud: int  # bit/s
    parity: str  # "N" | "E" | "O"
    stopbits: int  # 1 | 2


def device_link(text: object, base: Path = Path()) -> SerialLink | TcpListen | TlsListen:
    """Parse the `link` of a `[[device]]`; relative paths in it start at `base`."""
    kind, rest = _split(text, DEVICE_EXAMPLE)
    if kind == "serial":
        return SerialLink(*_serial(rest, DEVICE_EXAMPLE, baud=115200))
    if kind == "tcp-listen":
        return TcpListen(*_address(rest, "tcp-listen://127.0.0.1:7311", port=None))
    if kind == "tls-listen":
        address, _, query = rest.partition("?")
        return TlsListen(*_address(address, TLS_EXAMPLE, port=None), *_certificate(query, base))
    raise LinkFault(
        f"A device link cannot begin with '{kind}:'.",
        f'Write "{DEVICE_EXAMPLE}", "tcp-listen://127.0.0.1:7311" or "{TLS_EXAMPLE}".',
    )


def bus_link(text: object) -> ModbusTcp | ModbusRtu:
    """Parse the `link` of a `[[bus]]`."""
    kind, rest = _split(text, BUS_EXAMPLE)
    if kind == "modbus-tcp":
        return ModbusTcp(*_address(rest, "modbus-tcp://192.168.1.20:502", port=502))
    if kind == "modbus-rtu":
        return ModbusRtu(*_serial(rest, BUS_EXAMPLE, baud=9600))
    raise LinkFault(
        f"A bus link cannot begin with '{kind}:'.",
        f'Write "{BUS_EXAMPLE}" or "modbus-tcp://192.168.1.20:502".',
    )


def _split(text: object, example: str) -> tuple[str, str]:
    if not isinstance(text, str):
        raise LinkFault("A link is text in quotes.", f'Write for example "{example}".')
    kind, colon, rest = text.partition(":")
    if not colon or not rest:
        raise LinkFault(f"'{text}' is not a link.", f'Write for example "{example}".')
    return kind, rest


def _address(rest: str, example: str, port: int | None) -> tuple[str, int]:
    instead = f'Write for example "{example}".'
    if not rest.startswith("//"):
        raise LinkFault("A network link needs '//' before the address.", instead)
    host, colon, digits = rest[2:].rpartition(":")
    if not colon or "]" in digits:  # no port, or the colon is inside an IPv6 address
        host, digits = rest[2:], ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        host.encode("idna")  # as looking it up does: labels that are empty or too long trip it there
    except UnicodeError:
        host = ""
    if not host or set(host) & set(" /?#@[]") or not host.isprintable():
        raise LinkFault(f"'{rest[2:]}' has no usable host.", instead)
    if not digits:
        if port is None:
            raise LinkFault("The port is missing.", instead)
        return host, port
    if not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits[:6]) <= 65535:
        raise LinkFault(f"'{digits}' is not a port.", f"Write a whole number from 1 to 65535, {instead[6:]}")
    return host, int(digits)


def _certificate(query: str, base: Path) -> tuple[Path, Path]:
    instead = f'Write for example "{TLS_EXAMPLE}".'
    found: dict[str, Path] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in ("cert", "key"):
            raise LinkFault(f"A TLS link has no '{name}'.", "It has cert and key.")
        if not value or not value.isprintable():
            raise LinkFault(f"The {name} of this link is not a path.", instead)
        found[name] = base / value
    for name in ("cert", "key"):
        if name not in found:
            raise LinkFault(f"The {name} file of this link is missing.", instead)
    return found["cert"], found["key"]


def _serial(rest: str, example: str, baud: int) -> tuple[str, int, str, int]:
    instead = f'Write for example "{example}".'
    path, _, query = rest.partition("?")
    if not path.startswith("/") or not path.isprintable():
        raise LinkFault(f"'{path}' is not the path of a serial port.", instead)
    settings = {"baud": str(baud), "parity": "N", "stopbits": "1"}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in settings:
            raise LinkFault(f"A serial link has no '{name}'.", "It has baud, parity and stopbits.")
        settings[name] = value
    if settings["baud"] not in {str(b) for b in BAUDS}:
        raise LinkFault(
            f"'{settings['baud']}' is not a baud rate.", f"Write one of {', '.join(map(str, BAUDS))}."
        )
    if settings["parity"] not in ("N", "E", "O"):
        raise LinkFault(f"'{settings['parity']}' is not a parity.", "Write N (none), E (even) or O (odd).")
    if settings["stopbits"] not in ("1", "2"):
        raise LinkFault(
            f"'{settings['stopbits']}' stop bits do not exist.", "Write stopbits=1 or stopbits=2."
        )
    return path, int(settings["baud"]), settings["parity"], int(settings["stopbits"])
