"""`quantrac station restore`: a station's folder from its backup, and, when asked, a running station, too.

Rule 1: every hash of the archive is right before anything is written, and then into a folder beside DIR that
        takes its name at the end.
Rule 2: the replacement measures as the device did: its station.json is the one that ran, with the
        calibrations as the device told them. site.json gets them, too, so that `station new --again` keeps
        them.
Rule 3: a seal key is never restored. What two boards seal with one key proves nothing of either.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.journal import durable
from protocol.errors import ConfigError
from tools.people import Failure, UsageError
from tools.station import build, kept, package
from tools.station.access import Access
from tools.station.archive import Archive, has_password, unpacked
from tools.station.changes import same_points
from tools.station.folder import BACKUPS, DEVICE, KEY, SITE, Folder
from tools.station.link import read_key
from tools.station.voice import Voice, date, whoever

IDENTITY, CONFIG = f"{DEVICE}/identity.json", f"{DEVICE}/{kept.STATION}"
NO_KEY = "0" * 64
"""Where the link key is not known yet: build.py wants one, and no file gets this one."""


@dataclass(frozen=True)
class RestoreOptions:
    """What the command line said. access.dir is the folder to make, `key` the link key's file."""

    file: Path
    access: Access
    key: Path | None = None
    yes: bool = False
    wait: bool = True
    patience_s: float = 30.0


def run_restore(options: RestoreOptions) -> int:
    """Lay the folder out, and bring a station to its state. 0; 1 when a person left the station alone.

    Failure and UsageError with what to do.
    """
    data = options.file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    archive = unpacked(data, str(options.file))
    voice = Voice()
    target = options.access.dir
    if not (options.access.port and _is_of(target, sha256)):
        _check_dir(target)
        key = _key(options, archive)
        if options.access.port and key is None:
            raise UsageError(
                "The link key is not in this backup, and the station cannot be spoken to without it: name "
                "the gateway's copy with --key FILE."
            )
        notes = _lay_out(target, archive, key, whoever(options.access.by), options.file, sha256)
        voice.say(
            f"{target} is the folder of {archive.id} as of {date(archive.made_ms)}, {len(archive.files)} "
            "files."
        )
        for note in notes:
            voice.say(note)
        if not options.access.port:
            _next_steps(voice, target, key is not None)
    if not options.access.port:
        return 0
    from tools.station.restore_device import bring_back

    return asyncio.run(bring_back(options, archive, sha256, voice))


def _is_of(path: Path, sha256: str) -> bool:
    """Whether the folder was laid out from this very archive: then only the station is left to be done."""
    if not (path / SITE).is_file():
        return False
    return any(one.get("sha256") == sha256 for one in Folder(path).records("restored"))


def _check_dir(path: Path) -> None:
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise UsageError(f"{path} is there and not empty: name a new folder.")
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"There is no folder {path.absolute().parent} to make {path.name} in: make it first."
        )


def _key(options: RestoreOptions, archive: Archive) -> str | None:
    """The link key in hex: of --key, else the archive's; None when it is in neither."""
    if options.key is not None:
        return read_key(options.key).hex()
    held = archive.files.get(KEY, b"").decode("ascii", "replace").strip()
    return held if len(held) == len(NO_KEY) and not held.strip("0123456789abcdef") else None


# ---- the folder


def _lay_out(path: Path, archive: Archive, key: str | None, by: str, file: Path, sha256: str) -> list[str]:
    """Make the folder; what a person has to know of it."""
    files, notes = contents(archive, key)
    part = path.absolute().with_name(f".{path.absolute().name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(0o700)
        for name, content in files.items():
            place = part / name
            place.parent.mkdir(parents=True, exist_ok=True)
            secret = name.endswith(".key") or (name in (SITE, IDENTITY) and has_password(files[SITE]))
            durable.replace(place, content, build.SECRET if secret else 0o644)
        Folder(part).record("restored", by, file=str(file.resolve()), sha256=sha256, onto="folder")
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
        os.rename(part, path)
        durable.sync_folder(path.absolute().parent)
    except OSError as error:
        raise Failure(f"{path} cannot be made ({error.strerror}): nothing was restored.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return notes


def contents(archive: Archive, key: str | None) -> tuple[dict[str, bytes], list[str]]:
    """The files of the folder, with the calibrations as the device had them, and what there is to say.

    key: the link key in hex, or None: then no link.key is among them. Failure when the device's files are
    neither in the archive nor to be made of its site.json.
    """
    notes: list[str] = []
    files = dict(archive.files)
    site = json.loads(files[SITE])
    rows = archive.said["hello"]["channels"] if archive.said else []
    told = {row["name"]: {"id": row["calibration"], "points": row["points"]} for row in rows}
    if told:
        held = site.get("calibrations", {})
        site["calibrations"] = {
            name: held[name] if _same(held.get(name), one) else one for name, one in told.items() if one["id"]
        }
    else:
        notes.append(
            "The backup does not say how the device was calibrated: calibrations are those of the folder, "
            "later ones are missing. Hold them against the certificates."
        )
    files[SITE] = _json(site, ensure_ascii=False)
    made = _made({**site, "key": key or NO_KEY}, notes)
    config = _calibrated(_ran(archive, notes) or made.get(kept.STATION), told, notes)
    identity = files.get(IDENTITY) or made.get("identity.json")
    if config is None or identity is None:
        raise Failure(
            "The device's files are not in the backup, and cannot be made of its site.json: see above."
        )
    if made and json.loads(made[kept.STATION]) != json.loads(config):
        notes.append(
            "device/station.json is the one that ran. This software would make it otherwise from site.json; "
            "`station new --again` does, and shows the difference."
        )
    files |= {IDENTITY: identity, CONFIG: config}
    files.pop(KEY, None)
    if key is not None:
        files[KEY] = files[f"{DEVICE}/{KEY}"] = f"{key}\n".encode()
    return files, notes


def _made(site: dict[str, Any], notes: list[str]) -> dict[str, bytes]:
    """The device's files as this software makes them; none, and a note, when it cannot."""
    try:
        return build.files(site)
    except ConfigError as error:
        notes.append(f"This software cannot build the backup's site.json any more: {error}.")
        return {}


def _ran(archive: Archive, notes: list[str]) -> bytes | None:
    """The configuration that the device ran, else the folder's; None when there is none."""
    ran = archive.said["hello"].get("configuration") if archive.said else None
    kept_ones = [name for name in archive.files if name.startswith(f"{BACKUPS}/station-")]
    for name in (CONFIG, *kept_ones):
        if name in archive.files and kept.config_hash(archive.files[name]) == ran:
            return archive.files[name]
    found = archive.files.get(CONFIG)
    if ran is not None and found is not None:
        notes.append(
            f"The device ran configuration {ran}, which is not in the backup: {CONFIG} is the folder's, "
            "which may measure otherwise."
        )
    return found


def _calibrated(config: bytes | None, told: dict[str, dict], notes: list[str]) -> bytes | None:
    """A station.json with these calibrations; the same bytes where it has them already."""
    try:
        station = json.loads(config or b"")
        rows = {row["name"]: row for row in station["channels"]}
    except (ValueError, KeyError, TypeError):
        return None
    changed = False
    for name, one in told.items():
        row = rows.get(name)
        if row is None:
            notes.append(f"The device measured {name}, which is no channel of {CONFIG}.")
        elif not _same({"id": row.get("calibration", 0), "points": row.get("points", [])}, one):
            row.update(calibration=one["id"], points=one["points"])
            changed = True
    return _json(station) if changed else config


def _same(held: dict[str, Any] | None, told: dict[str, Any]) -> bool:
    """Whether a calibration is the one that the device told, which rounds points to 32-bit floats."""
    return bool(held) and held.get("id") == told["id"] and same_points(held.get("points", []), told["points"])


def _json(table: dict[str, Any], ensure_ascii: bool = True) -> bytes:
    return (json.dumps(table, indent=1, ensure_ascii=ensure_ascii) + "\n").encode()


def _next_steps(voice: Voice, path: Path, has_key: bool) -> None:
    if not has_key:
        voice.say(
            f"The link key is not in it: copy the gateway's, 64 digits, into {path}/{KEY} and "
            f"{path}/{DEVICE}/{KEY} (mode 0600) before anything else."
        )
    voice.say(
        "A seal key is in no backup, and is not copied from board to board. For a replacement the inspector "
        f"makes a new one and puts its 64 digits into {path}/{DEVICE}/seal.key before `station flash`; "
        "without it the board's records go out without seals."
    )
    if not (path / DEVICE / package.PUBLIC_FILE).exists():
        voice.say(
            f"{package.PUBLIC_FILE} is not in it: without it in {path}/{DEVICE} the board takes no updates."
        )
    voice.say("Next, the board; then look at its values:")
    voice.command(f"quantrac station flash --dir {path}")
    voice.command(f"quantrac station read --dir {path}")
