"""The files that a board is to hold: the station's own, and the firmware as a package.

Rule 1: the firmware is always one package, which the starter mounts: one file that is whole or not there. A
        mixture of two versions cannot be.
Rule 2: without an update key nobody signs it. It comes by cable from who holds the board in his hands; the
        starter looks at its hash alone. A board without update.pub takes no updates by its link.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigError
from tools.people import UsageError
from tools.station import bytecode, kept, package, packages
from tools.station.flash import hand_over
from tools.station.folder import DEVICE, Folder

IDENTITY, LINK_KEY, STATION = "identity.json", "link.key", "station.json"


@dataclass(frozen=True)
class Firmware:
    """A package, or what one is made of once its counter is known. `exact`: this very package is wanted."""

    version: str
    files: dict[str, bytes]
    signed: bool
    exact: bool
    package: Callable[[int], bytes]

    @property
    def contents(self) -> str:
        """The SHA-256 of the contents, as a manifest has it."""
        return hashlib.sha256(
            b"".join(self.files[path] for path in sorted(self.files, key=_stem))
        ).hexdigest()


def _stem(path: str) -> str:
    return path.removesuffix(".mpy")


def station_files(folder: Folder) -> dict[str, bytes]:
    """identity.json, link.key, station.json, and where there are some update.pub and seal.key.

    UsageError when one is missing.
    """
    device = folder.path / DEVICE
    found = {}
    for name in (IDENTITY, LINK_KEY, STATION):
        try:
            found[name] = (device / name).read_bytes()
        except OSError as error:
            raise UsageError(
                f"{device / name} cannot be read ({error.strerror}): make the station's files with "
                "`station new`."
            ) from error
    public = device / package.PUBLIC_FILE
    if public.exists():
        found[package.PUBLIC_FILE] = public.read_bytes()
    seal = hand_over.read(device / hand_over.FILE)
    if seal is not None:
        found[hand_over.FILE] = seal
    return found


def checkout_version() -> str:
    """What the firmware of this checkout tells in its greeting, without the name."""
    text = (bytecode.ROOT / "firmware" / "station.py").read_text(encoding="utf-8")
    found = packages.FIRMWARE.search(text)
    return found[0].split('"')[1].removeprefix("quantrac ") if found else "0"


def firmware(
    folder: Folder, port: str, arch: str, given: Path | None, key: Path | None, public: bytes | None
) -> Firmware:
    """`given`: a package; else this checkout, signed with `key` where one is named.

    UsageError, ConfigError with what to do when a device would not take it.
    """
    if given is not None:
        return _given(given, port, public)
    if key is not None:
        return _signed(folder, port, key, public)
    with tempfile.TemporaryDirectory(prefix="quantrac-") as place:
        bytecode.build(place, port, arch if arch in bytecode.ARCHITECTURES else None)
        files = package.collect(place)
    version = checkout_version()

    def made(counter: int) -> bytes:
        return package.make(
            files, None, version=version, counter=counter, created_ms=1, expires_ms=2, ports=[port]
        )

    return Firmware(version, files, False, False, made)


def _given(path: Path, port: str, public: bytes | None) -> Firmware:
    try:
        data = path.read_bytes()
        read = package.read(data, public)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a package.") from error
    except ConfigError as error:
        raise UsageError(f"{path}: {error}.") from None
    if port not in read.ports:
        raise UsageError(
            f"{path} is for {', '.join(read.ports)}, this board is {port}: take another package."
        )
    return Firmware(read.version, read.files, public is not None, True, lambda _: data)


def _signed(folder: Folder, port: str, key: Path, public: bytes | None) -> Firmware:
    """One that is in the folder already, when it holds the same: repeated, it is the same to the byte."""
    pem = key.read_bytes()
    device = folder.path / DEVICE / package.PUBLIC_FILE
    if public is None or public.strip() != package.public_text(pem).strip():
        raise UsageError(
            f"{device} is not the public half of {key}, so the station would refuse its updates: copy the "
            "update.pub that belongs to it there, or leave --update-key out."
        )
    data = packages.make(pem, checkout_version(), port)
    read = package.read(data, public)
    for one in kept.packages(folder):
        if one.package.files == read.files and one.package.ports == read.ports:
            old = one.path.read_bytes()
            try:
                package.read(old, public)
            except ConfigError:
                continue
            data = old
    return Firmware(read.version, read.files, True, False, lambda _: data)
