"""Serial ports of this machine, and what is behind each of them.

Rule 1: a device that runs is not disturbed. Our own greets by itself, so listening is enough; bytes are sent
        only where somebody asked for it (`ask`), only to what may be a bare board, and only when it was
        silent: Ctrl-B, which makes MicroPython's prompt print its version, and which stops nothing.
Rule 2: a port that another program has open is not opened: two readers would take each other's bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.people import Failure, UsageError
from tools.station.link import StationLink

BOARDS = {
    (0x2E8A, 0x0005): "MicroPython board (RP2040 or RP2350)",
    (0x2E8A, 0x000B): "RP2040 or RP2350 board (CircuitPython)",
    (0x2E8A, 0x0009): "RP2350 board (not MicroPython)",
    (0x2E8A, 0x000A): "RP2040 board (not MicroPython)",
    (0x2E8A, 0x000C): "debug probe of Raspberry Pi",
    (0x303A, 0x4001): "MicroPython board (ESP32-S2 or S3)",
    (0x303A, 0x1001): "ESP32 (C3, C6, S3; its own USB)",
    (0xF055, 0x9800): "MicroPython board (pyboard)",
}
"""(USB vendor, product): what it is. The vendors are Raspberry Pi, Espressif and the pyboard."""
VENDORS = {0x2E8A: "Raspberry Pi board", 0x303A: "Espressif board", 0xF055: "MicroPython board"}
CHIPS = {
    (0x0403, 0x6001): "FTDI FT232R",
    (0x0403, 0x6010): "FTDI FT2232",
    (0x0403, 0x6011): "FTDI FT4232",
    (0x0403, 0x6014): "FTDI FT232H",
    (0x0403, 0x6015): "FTDI FT-X",
    (0x1A86, 0x7523): "CH340",
    (0x1A86, 0x5523): "CH341",
    (0x1A86, 0x55D3): "CH343",
    (0x1A86, 0x55D4): "CH9102",
    (0x10C4, 0xEA60): "CP210x",
    (0x10C4, 0xEA70): "CP2105",
    (0x067B, 0x2303): "PL2303",
    (0x04E2, 0x1411): "XR21B1411",
    (0x04D8, 0x00DF): "MCP2200",
}
"""USB-serial chips: most RS-485 adapters have one, and so do ESP32 boards without a USB of their own."""
CHIP_VENDORS = {0x0403: "FTDI", 0x1A86: "WCH", 0x10C4: "Silicon Labs", 0x067B: "Prolific", 0x04E2: "Exar"}

GREETING_S = 9.0
"""A device that nobody answered greets every 8 s."""
BANNER_S = 1.0
ASK = b"\r\x02"  # an empty line and Ctrl-B
BANNER = re.compile(rb"MicroPython (\S+) on ([^;\r\n]+); ([^\r\n]+)")


@dataclass
class Port:
    """`kind`: board, adapter (a USB-serial chip), station (it has greeted) or unknown; `what` for people."""

    device: str
    kind: str
    what: str
    usb: str = ""
    serial_number: str = ""
    in_use_by: str = ""
    station: str = ""
    firmware: str = ""
    micropython: str = ""
    note: str = ""


def known_ports() -> list[Port]:
    """The ports of this machine, by their USB ids. Nothing is opened."""
    from serial.tools import list_ports

    found = []
    for info in sorted(list_ports.comports()):
        if info.vid is None and info.hwid in ("n/a", None) and not Path(info.device).is_symlink():
            continue  # /dev/ttyS0 to ttyS31, which Linux names whether they are there or not
        kind, what = _behind(info.vid, info.pid)
        usb = "" if info.vid is None else f"{info.vid:04x}:{info.pid or 0:04x}"
        found.append(Port(info.device, kind, what, usb, info.serial_number or ""))
    for port in found:
        port.in_use_by = holder(port.device)
    return found


def _behind(vendor: int | None, product: int | None) -> tuple[str, str]:
    if vendor is None:
        return "unknown", "serial port of the machine"
    ids = (vendor, product or 0)
    if ids in BOARDS or vendor in VENDORS:
        return "board", BOARDS.get(ids) or VENDORS[vendor]
    if ids in CHIPS or vendor in CHIP_VENDORS:
        chip = CHIPS.get(ids) or CHIP_VENDORS[vendor]
        return "adapter", f"{chip}: RS-485 adapter, or a board's USB"
    return "unknown", "USB device"


async def look(
    ports: list[Port],
    seconds: float = GREETING_S,
    ask: bool = False,
    progress: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Listen on all of them at once, at most so long, and note who greets; then ask where it may be done.

    `progress(seconds)`: so many have passed.
    """
    free = [port for port in ports if not port.in_use_by]
    tasks = [asyncio.create_task(_listen(port, seconds, ask)) for port in free]
    try:
        while tasks:
            _, pending = await asyncio.wait(tasks, timeout=0.25)
            progress(0.25)
            if not pending:
                break
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _listen(port: Port, seconds: float, ask: bool) -> None:
    with _as_it_was(port) as opened:
        if not opened:
            return
        try:
            async with StationLink(port.device) as link:
                heard = _Ear(link)
                await link.wait(lambda: link.station is not None, seconds)
                if link.station is not None:
                    port.kind, port.station = "station", link.station.id
                    port.what, port.firmware = "Quantrac station", link.station.hello.firmware
                elif heard.bytes:
                    port.note = "sends bytes that are no greeting of ours"
                elif ask and port.kind != "unknown":
                    await _ask(port, link, heard)
        except (UsageError, Failure) as error:
            port.note = str(error)
        except OSError as error:
            port.note = _why(error)


class _Ear:
    """Keeps what a link hears."""

    def __init__(self, link: StationLink) -> None:
        self.bytes = b""
        self._feed = link.feed
        link.feed = self._heard  # type: ignore[method-assign]

    def _heard(self, data: bytes) -> None:
        self.bytes = (self.bytes + data)[-4096:]
        self._feed(data)


async def _ask(port: Port, link: StationLink, heard: _Ear) -> None:
    if link._write is None:  # it has gone meanwhile
        return
    link._write(ASK)
    for _ in range(round(BANNER_S / 0.05)):
        await asyncio.sleep(0.05)
        banner = BANNER.search(heard.bytes)
        if banner:
            port.kind, port.micropython = "board", banner[1].decode(errors="replace")
            port.what = banner[3].decode(errors="replace").strip()
            return
    prompt = b">>>" in heard.bytes
    port.note = "a MicroPython prompt, without its version" if prompt else "does not answer as MicroPython"


@contextlib.contextmanager
def _as_it_was(port: Port) -> Iterator[bool]:
    """The port's settings are the same afterwards. False, with a note, when it cannot be opened."""
    try:
        fd = os.open(port.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        port.note = _why(error)
        yield False
        return
    try:
        before = termios.tcgetattr(fd)
    except termios.error:
        before = None
    try:
        yield True
    finally:
        if before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, before)
        os.close(fd)


def holder(device: str) -> str:
    """Which other program has it open: its name and process id, as far as this user may see; else ""."""
    real = os.path.realpath(device)
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(link) == real:
                        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                        return f"{name} (process {process.name})"
    return ""


def _why(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "you may not open it: add your user to the group dialout and log in again"
    if error.errno == errno.EBUSY:
        return "in use by another program"
    return f"cannot be opened ({error.strerror})"
