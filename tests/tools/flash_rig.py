"""For the tests of `station flash`: a station's folder, its firmware, a board in a directory."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from simulator.bus import PtyPair
from simulator.station import StationProcess
from tests.firmware import update_rig
from tools.station import build, package, packages
from tools.station.flash import on_board
from tools.station.flash.board import About, Held
from tools.station.flash.wanted import Firmware
from tools.station.folder import DEVICE, KEY, SITE
from tools.station.link import Station, StationLink

ABOUT = About(
    "micropython", (1, 28, 0), "linux", "3.4.0; MicroPython v1.28.0 on 2026-04-06", 0x0B06, "a board", False
)
LINK_KEY, SEAL_KEY = "5a" * 32, "c3" * 32
BLOCK = 4096
WAIT_S = 60.0


def folder(
    path: Path, id: str = "st-01", seal: str | None = None, signed: bool = False, poll_ms: int = 5000
) -> Path:
    """A station's folder as `station new` leaves it. Its link and its line are ptys beside it."""
    device = path / DEVICE
    device.mkdir(parents=True, exist_ok=True)
    site = {
        "id": id,
        "link": {"kind": "serial", "path": str(path / "link"), "baud": 115200},
        "buses": [
            {
                "id": "rs485",
                "kind": "rtu",
                "path": str(path / "bus"),
                "baud": 9600,
                "parity": "N",
                "stopbits": 1,
            }
        ],
        "units": [{"bus": "rs485", "profile": "supmea-sup-ph8001", "poll_ms": poll_ms}],
    }
    build.write(device, {**site, "key": LINK_KEY, **({"seal_key": seal} if seal else {})})
    (path / SITE).write_text(json.dumps(site), encoding="utf-8")
    (path / KEY).write_text(LINK_KEY + "\n", encoding="ascii")
    if signed:
        (device / package.PUBLIC_FILE).write_bytes(package.public_text(update_rig.key(0)))
    return path


@functools.cache
def compiled(version: str) -> dict[str, bytes]:
    """The firmware of this checkout for the unix port, as it greets with this version."""
    return package.read(packages.make(update_rig.key(0), version, "unix", 1), None).files


def signed_package(version: str, counter: int) -> bytes:
    """The same, signed with the key of these tests."""
    made_ms = update_rig.T + counter
    settings = {"version": version, "counter": counter, "created_ms": made_ms, "expires_ms": made_ms + 1}
    return package.make(compiled(version), update_rig.key(0), **settings, ports=["unix"])


def laid_out(data: bytes, path: Path) -> dict[str, bytes]:
    """A device with this package as its slot, and the files of the station's folder, as on its first day."""
    made = {file.name: file.read_bytes() for file in (path / DEVICE).iterdir()}
    return {**made, **package.layout(data, package.public_text(update_rig.key(0)))}


async def greets(directory: Path, path: Path) -> Station:
    """Start what is in `directory` on the unix port's VM, with the starter that lies there: its greeting."""
    cable = await PtyPair(path / "link", path / "port").start()
    device = StationProcess(directory, heap="256k")
    try:
        async with StationLink(str(path / "port"), bytes.fromhex(LINK_KEY)) as link:
            await device.start()
            assert device.runtime == "MicroPython"
            return await link.greeted(WAIT_S)
    finally:
        await device.kill()
        await cable.stop()


def small(version: str, more: int = 0) -> Firmware:
    """A firmware of a few bytes, and `more`, which nobody starts: for the many steps of a sweep."""
    files = update_rig.firmware(version)
    files["protocol/crc.mpy"] = b"." * (more + 1)

    def made(counter: int) -> bytes:
        return package.make(
            files, None, version=version, counter=counter, created_ms=1, expires_ms=2, ports=["unix"]
        )

    return Firmware(version, files, False, False, made)


class Cut(Exception):
    """The power went, or the cable was pulled."""


class FolderBoard:
    """A board whose flash is a directory, looked at by the very code that runs on a board.

    `cut_at`: the operation before which the power goes, counted from 0; a write is three, with a cut in its
    middle leaving half a file.
    """

    def __init__(self, root: Path, cut_at: int | None = None, free: int = 1 << 20) -> None:
        self.about = ABOUT
        self.root = root
        self.operations = 0
        self._cut_at = cut_at
        self._flash = free

    def _operation(self) -> None:
        if self.operations == self._cut_at:
            raise Cut
        self.operations += 1

    def look(self, wanted: list[str]) -> Held:
        table = json.loads(on_board.look(f"{self.root}/", wanted))
        used = sum(
            -(-path.stat().st_size // BLOCK) * BLOCK for path in self.root.rglob("*") if path.is_file()
        )
        return Held.told(json.dumps({**table, "block": BLOCK, "free": self._flash - used}))

    def write(self, name: str, data: bytes, progress: Callable[[int], None]) -> None:
        self._operation()
        with (self.root / name).open("wb") as file:
            for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                file.write(part)
                file.flush()
                self._operation()
        progress(len(data))

    def digest(self, name: str) -> str:
        return on_board.digest(str(self.root / name))

    def rename(self, name: str, to: str) -> None:
        self._operation()
        os.replace(self.root / name, self.root / to)

    def remove(self, name: str) -> None:
        self._operation()
        path = self.root / name
        path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def no_bars(name: str, size: int):
    yield lambda done: None


def tree(path: Path) -> dict[str, bytes]:
    return update_rig.tree(path)


@contextmanager
def copied(path: Path):
    """A copy that a starter may write to."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(shutil.copytree(path, Path(place) / "copy"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
