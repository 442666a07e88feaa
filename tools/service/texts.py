"""The other files of the service: its account, names of serial ports, the clock, the journal's limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tools.people import UsageError
from tools.service.place import SERIAL_GROUP, STATE, USER

SYSUSERS_FILE = Path("/etc/sysusers.d/quantrac.conf")
UDEV_FILE = Path("/etc/udev/rules.d/70-quantrac.rules")
MODULES_FILE = Path("/etc/modules-load.d/quantrac.conf")
JOURNALD_FILE = Path("/etc/systemd/journald.conf.d/quantrac.conf")
CHRONY_FILE = Path("/etc/chrony/conf.d/quantrac.conf")
SOURCES_FILE = Path("/etc/chrony/sources.d/quantrac.sources")

SYSUSERS = f"""\
# The account of the gateway: no password, no shell; it may use serial ports.
u {USER} - "Quantrac gateway" {STATE}
m {USER} {SERIAL_GROUP}
"""

MODULES = """\
# Drivers of USB serial ports are there before the gateway: it may open only classes of ports known then.
cdc_acm
usbserial
ftdi_sio
cp210x
ch341
pl2303
"""

JOURNALD = """\
# The system's log stays on the card through a power cut, and small.
[Journal]
Storage=persistent
SystemMaxUse=200M
SystemKeepFree=1G
MaxFileSec=1week
# All but errors wait in memory for five minutes: the card is written seldom.
SyncIntervalSec=5m
"""

CHRONY = """\
# A board without a battery wakes up in the past: its clock may be stepped in the first updates; later it
# only runs faster or slower.
makestep 1 3
rtcsync
# Where the network comes late, sources are tried again soon.
maxupdateskew 100
"""

UDEV_HEAD = """\
# Names of serial ports that stay, whatever the order in which they are found:
#   /dev/quantrac/usb-SERIAL-if00          by the adapter's own serial number
#   /dev/quantrac/path-PLACE               by the socket that it is plugged into
SUBSYSTEM!="tty", GOTO="quantrac_end"
KERNEL!="ttyACM*|ttyUSB*|ttyAMA*", GOTO="quantrac_end"
ENV{ID_SERIAL_SHORT}=="?*", ENV{ID_USB_INTERFACE_NUM}=="?*", \
SYMLINK+="quantrac/usb-$env{ID_SERIAL_SHORT}-if$env{ID_USB_INTERFACE_NUM}"
ENV{ID_PATH}=="?*", SYMLINK+="quantrac/path-$env{ID_PATH}"
"""
UDEV_FOOT = """\
LABEL="quantrac_end"
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VALUE = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


class Port(NamedTuple):
    """A port to be called /dev/quantrac/`name`, by one property that udev knows of it."""

    name: str
    property: str  # "ID_SERIAL_SHORT" or "ID_PATH"
    value: str
    interface: str = ""  # of an adapter with several


def port_named(name: str, properties: dict[str, str]) -> Port:
    """By its serial number, else by the socket; `properties` as udev knows them. UsageError."""
    if not _NAME.fullmatch(name) or name.startswith(("usb-", "path-")):
        raise UsageError(
            f"'{name}' is no name for a port: write letters, digits, '-' and '_', such as st-01."
        )
    for key in ("ID_SERIAL_SHORT", "ID_PATH"):
        value = properties.get(key, "")
        if _VALUE.fullmatch(value):
            interface = properties.get("ID_USB_INTERFACE_NUM", "") if key == "ID_SERIAL_SHORT" else ""
            return Port(name, key, value, interface if _VALUE.fullmatch(interface) else "")
    raise UsageError(
        f"udev knows neither a serial number nor a place of the port for '{name}': is it plugged in?"
    )


def udev(ports: list[Port]) -> str:
    """The rules, with the names that somebody gave."""
    lines = []
    for port in ports:
        which = f'ENV{{{port.property}}}=="{port.value}"'
        if port.interface:
            which += f', ENV{{ID_USB_INTERFACE_NUM}}=="{port.interface}"'
        lines.append(f'{which}, SYMLINK+="quantrac/{port.name}"\n')
    return UDEV_HEAD + "".join(lines) + UDEV_FOOT


def ports_in(text: str) -> list[Port]:
    """Names that were given at an earlier time, from the text of the rules."""
    found = re.findall(
        r'^ENV\{(ID_SERIAL_SHORT|ID_PATH)\}=="([^"?]+)"(?:, ENV\{ID_USB_INTERFACE_NUM\}=="([^"?]+)")?, '
        r'SYMLINK\+="quantrac/([A-Za-z0-9_-]+)"$',
        text, re.MULTILINE,
    )  # fmt: skip
    return [Port(name, key, value, interface) for key, value, interface, name in found]


def sources(servers: list[str]) -> str:
    """Time servers of the facility's own. UsageError."""
    for server in servers:
        if not _HOST.fullmatch(server):
            raise UsageError(f"'{server}' is no time server: write a name or an address.")
    return "".join(f"server {server} iburst\n" for server in servers)
