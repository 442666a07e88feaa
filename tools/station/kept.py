"""What the folder keeps of updates: packages and configurations that were sent, and the one under way.

    backups/firmware-<version>-<counter>.update     each package, from before it is applied
    backups/station-<hash>.json                     each configuration, by the hash that HELLO tells
    backups/under-way.json                          what is applied and has no verdict yet (on_trial.py)

Rule 1: under-way.json is on disk before the device is told to apply: whoever is interrupted after that finds
        out what became of it by saying the same again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.journal import durable
from protocol.errors import ConfigError
from tools.people import Failure
from tools.station import package
from tools.station.folder import BACKUPS, DEVICE, Folder
from tools.station.on_trial import Change, as_table, from_table
from tools.station.package import Package

UNDER_WAY = "under-way.json"
STATION = "station.json"
HASH_BYTES = 8
"""Of the SHA-256 of station.json, as HELLO tells it."""
GREETING = re.compile(rb"quantrac [\x21-\x7e]{1,23}")


@dataclass(frozen=True)
class Kept:
    """A package that is in the folder."""

    path: Path
    package: Package
    sha256: str


def keep(path: Path, data: bytes) -> None:
    """A file, whole or not at all, and on disk. Failure with what to do."""
    try:
        durable.make_folder(path.parent)
        durable.replace(path, data)
    except OSError as error:
        raise Failure(f"{path} cannot be written ({error.strerror}): nothing was changed.") from error


def keep_package(folder: Folder, data: bytes, given: Package) -> Path:
    version = re.sub(r"[^0-9A-Za-z.+-]", "_", given.version)
    path = folder.path / BACKUPS / f"firmware-{version}-{given.counter}.update"
    keep(path, data)
    return path


def packages(folder: Folder) -> list[Kept]:
    """Every package in the folder, oldest counter first. What cannot be read is passed over."""
    found: dict[str, Kept] = {}
    for path in [*(folder.path / DEVICE).glob("*.pkg"), *(folder.path / BACKUPS).glob("*.update")]:
        try:
            data = path.read_bytes()
            read = package.read(data, None)
        except (OSError, ConfigError):
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        found.setdefault(sha256, Kept(path, read, sha256))
    return sorted(found.values(), key=lambda kept: kept.package.counter)


def running(folder: Folder, firmware: str, but: str = "") -> Kept | None:
    """The package that is likely to run: of those that greet as `firmware`, the last that was confirmed, else
    the newest that did not go back. `but`: the SHA-256 of one that it cannot be."""
    ends = {one["sha256"]: one.get("confirmed") for one in updates(folder, "firmware")}
    alike = [
        kept
        for kept in packages(folder)
        if greeting(kept.package) == firmware and kept.sha256 != but and ends.get(kept.sha256) is not False
    ]
    confirmed = [kept for kept in alike if ends.get(kept.sha256)]
    return (confirmed or alike or [None])[-1]


def greeting(given: Package) -> str | None:
    """What a device that runs it tells as its firmware; None when its bytecode does not show it."""
    found = GREETING.search(given.files.get("firmware/station.mpy", b""))
    return found[0].decode() if found else None


def updates(folder: Folder, what: str) -> list[dict[str, Any]]:
    """The records of updates of one kind, "firmware" or "configuration", oldest first."""
    return [
        one for one in folder.records("updated") if one.get("what", "firmware") == what and "sha256" in one
    ]


def highest_counter(folder: Folder) -> int:
    """Of every package that the station is known to have had; 0 when none is."""
    told = [one.get("counter") for one in folder.records("updated", "flashed")]
    told += [kept.package.counter for kept in packages(folder) if kept.path.parent.name == DEVICE]
    return max((counter for counter in told if isinstance(counter, int)), default=0)


def config_hash(data: bytes) -> str:
    return hashlib.sha256(data).digest()[:HASH_BYTES].hex()


def keep_config(folder: Folder, data: bytes) -> None:
    keep(folder.path / BACKUPS / f"station-{config_hash(data)}.json", data)


def config(folder: Folder, hash: str) -> dict[str, Any] | None:
    """The configuration with this hash, when the folder has it."""
    for path in (folder.path / DEVICE / STATION, folder.path / BACKUPS / f"station-{hash}.json"):
        try:
            data = path.read_bytes()
            table = json.loads(data)
        except (OSError, ValueError):
            continue
        if config_hash(data) == hash and isinstance(table, dict):
            return table
    return None


def under_way(folder: Folder) -> Change | None:
    """The change that was applied, as far as is known, and has no verdict yet."""
    try:
        return from_table(json.loads((folder.path / BACKUPS / UNDER_WAY).read_bytes()))
    except (OSError, ValueError):
        return None


def begin(folder: Folder, change: Change) -> None:
    keep(folder.path / BACKUPS / UNDER_WAY, json.dumps(as_table(change)).encode())


def end(folder: Folder) -> None:
    (folder.path / BACKUPS / UNDER_WAY).unlink(missing_ok=True)
