"""What a configuration wants of the machine: what its gateway has to read, write, listen on and talk to.

Rule 1: the service gets that and no more (unit.py).
Rule 2: a configuration with a fault is not installed: the service would not start.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gateway import config as configuration
from gateway.backup import named_files
from gateway.config import Config, DirectoryDestination
from gateway.config_links import ModbusRtu, SerialLink, TcpListen, TlsListen
from gateway.config_types import CREDENTIAL
from tools.doctor.own_page import Web, web_of
from tools.people import UsageError
from tools.service.place import CREDENTIALS, HIDDEN, Place

CONFIG_NAME = "config.toml"
PORT_MIN = 1024
"""Below, listening needs a right of its own."""
CLASSES = {"ttyACM": ("ttyACM",), "ttyUSB": ("ttyUSB",), "ttyAMA": ("ttyAMA",), "ttyS": ("ttyS",)}
BY_NAME = ("ttyACM", "ttyUSB")
"""What a name of udev's (/dev/quantrac, /dev/serial) may be: a Pi's built-in ports have no such name."""
BUILT_IN = ("ttyAMA", "ttyS")


class Wanted(NamedTuple):
    """Paths as the machine calls them."""

    config: Path
    station: str
    state_dir: Path
    writes: tuple[Path, ...]  # folders beside state_dir
    serial: tuple[str, ...]  # classes of serial ports, as /proc/devices names them
    low_ports: bool
    credentials: tuple[str, ...]  # names
    secrets: tuple[Path, ...]  # files that only the service's user may read
    web: Web


def config_file(given: Path) -> Path:
    """The configuration that CONFIG-or-DIR names. UsageError."""
    path = given / CONFIG_NAME if given.is_dir() else given
    if not path.is_file():
        raise UsageError(
            f"{path} is not there. Make one first: quantrac gateway init /etc/quantrac, then edit it."
        )
    return path.absolute()


def wanted(path: Path, place: Place) -> Wanted:
    """Of the configuration in `path`, as found here. UsageError, ConfigFaults."""
    target = place.target(path)
    for hidden in HIDDEN:
        if target.is_relative_to(hidden):
            raise UsageError(
                f"A service does not see {hidden}. Move the folder of {target} to /etc/quantrac, then say "
                "sudo quantrac gateway install /etc/quantrac"
            )
    with lent(place):
        config = configuration.load(path)
    names = credentials(path)
    return Wanted(
        config=target,
        station=config.station.code,
        state_dir=place.target(config.gateway.state_dir),
        writes=tuple(
            place.target(one.path) for one in config.destination if isinstance(one, DirectoryDestination)
        ),
        serial=tuple(dict.fromkeys(name for port in _ports(config) for name in classes(port))),
        low_ports=any(port < PORT_MIN for port in _listens(config)),
        credentials=names,
        secrets=tuple(_secrets(config, place)),
        web=web_of(config),
    )


@contextmanager
def lent(place: Place) -> Iterator[None]:
    """Let "credential:NAME" be found where the unit will load it from."""
    before = os.environ.get("CREDENTIALS_DIRECTORY")
    if before is None:
        os.environ["CREDENTIALS_DIRECTORY"] = str(place.real(CREDENTIALS))
    try:
        yield
    finally:
        if before is None:
            del os.environ["CREDENTIALS_DIRECTORY"]


def credentials(path: Path) -> tuple[str, ...]:
    """Names of the credentials that a configuration asks for."""
    found = tomllib.loads(path.read_text("utf-8-sig"))
    return tuple(dict.fromkeys(_credentials(found)))


def _credentials(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _credentials(item)
    elif isinstance(value, list):
        for item in value:
            yield from _credentials(item)
    elif isinstance(value, str) and value.startswith(CREDENTIAL):
        yield value.removeprefix(CREDENTIAL)


def classes(port: str) -> tuple[str, ...]:
    """The classes that the serial port of this path may be of."""
    name = Path(port).name
    if Path(port).parent == Path("/dev"):
        for prefix, found in CLASSES.items():
            if name.startswith(prefix) and name[len(prefix) :].isdigit():
                return found
        if name.startswith("serial"):
            return BUILT_IN
    return BY_NAME


def _ports(config: Config) -> Iterator[str]:
    for item in (*config.device, *config.bus):
        if isinstance(item.link, SerialLink | ModbusRtu):
            yield item.link.path


def _listens(config: Config) -> Iterator[int]:
    yield config.gateway.web.port
    for device in config.device:
        if isinstance(device.link, TcpListen | TlsListen):
            yield device.link.port


def _secrets(config: Config, place: Place) -> Iterator[Path]:
    lent_folder = place.real(CREDENTIALS)
    links = [device.link for device in config.device]
    more = [link.key for link in links if isinstance(link, TlsListen)]
    for path in dict.fromkeys([*named_files(config), *more]):
        if not path.is_relative_to(lent_folder):
            yield place.target(path)
