"""A station's folder as a Sheet: what stands in its files, as far as it can be read.

Rule 1: nothing of what is missing or damaged stops a sheet: it says so itself.
Rule 2: a key's file is read for its fingerprint, and to keep the key out of texts: nothing else of it stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError
from tools.station import folder as folders
from tools.station.build import build
from tools.station.folder import Folder
from tools.station.seal_paper import fingerprint
from tools.station.sheet import pictures, plain, targets, wired
from tools.station.sheet.blocks import without
from tools.station.sheet.model import CHANGED, MISSING, OUTSIDE, THERE, File, Live, Sheet

NAMED = {  # kind of record -> where the file's name stands, where its hash, the folder that it lies in
    "calibrated": ("certificate", "certificate_sha256", folders.CERTIFICATES),
    "backed-up": ("file", "sha256", folders.BACKUPS),
    "restored": ("file", "sha256", folders.BACKUPS),
    "photo": ("file", "sha256", folders.PHOTOS),
}
ID_MAX = 40  # letters; one that is right has 32 at most
PICTURES_MAX = 40
PIECE = 16  # digits
SECRET_WORDS, SECRET_MIN = ("pass", "key", "psk"), 8  # WPA takes no shorter one


def read(folder: Folder, made_ms: int, live: Live | None = None) -> Sheet:
    """Everything about the station. OSError only when the folder itself cannot be read."""
    path = folder.path
    keys = _keys(path)
    site, faults = _site(path / folders.SITE)
    site = {key: value for key, value in site.items() if key not in ("key", "seal_key")}
    blank = "00" * 32  # a site is checked with a key
    checked, more = wired.checked({**site, "key": blank})
    faults += more
    records = folder.records()
    secrets = tuple(sorted({piece for key in keys for piece in _pieces(key.hex())} | _passwords(path)))
    id = plain.text(site.get("id"))
    there, gateway, wrong = targets.read(path / folders.GATEWAY, id)
    files = {name: _named(path, name, place, sha) for name, place, sha in _names(records)}
    new = next((one for one in reversed(records) if one["kind"] == "new"), {})
    return Sheet(
        id=without(id, secrets)[:ID_MAX],
        made_ms=made_ms,
        kind=plain.text(plain.table(site.get("gateway")).get("kind"), 40),
        link=plain.table(site.get("link")),
        gateway_link=plain.text(plain.table(site.get("gateway")).get("link")),
        link_key=fingerprint(keys[0].hex()) if keys[0] else "",
        seal=plain.text(new.get("seal")),
        seal_key_here=(path / folders.DEVICE / "seal.key").exists(),
        update_key=_file(path, f"{folders.DEVICE}/update.pub"),
        config=_file(path, f"{folders.DEVICE}/station.json"),
        config_differs=_differs(path / folders.DEVICE / "station.json", {**site, "key": blank}),
        faults=tuple(faults + wrong),
        lines=wired.lines(checked),
        instruments=wired.instruments(checked),
        pins=wired.pins(checked),
        alarms=tuple(plain.tables(site.get("alarms"))),
        channels=wired.channels(checked, gateway),
        gateway_there=there,
        records=tuple(records),
        unreadable=_unreadable(path / folders.RECORDS),
        files=files,
        pictures=_pictures(path, records, files),
        live=live,
        secrets=secrets,
    )


def _keys(path: Path) -> list[bytes]:
    """The link key of the folder first, b"" when there is none; then whatever else is secret in there."""
    found = []
    for name in (folders.KEY, f"{folders.DEVICE}/link.key", f"{folders.DEVICE}/seal.key"):
        try:
            words = (path / name).read_text(encoding="ascii").split()
        except (OSError, ValueError):
            words = []
        found.append(_key(words[0] if words else None))
    site, _ = _site(path / folders.SITE)
    found += [_key(site.get(name)) for name in ("key", "seal_key")]  # they do not belong there
    return found


def _key(said: object) -> bytes:
    """32 bytes; b"" when the digits are something else."""
    try:
        key = bytes.fromhex(said) if isinstance(said, str) else b""
    except ValueError:
        key = b""
    return key if len(key) == 32 else b""


def _pieces(digits: str) -> list[str]:
    """A key as it may be found in a text: a quarter of it, too, is kept out; so a paper's lines count it."""
    return [digits[at : at + PIECE] for at in range(0, len(digits), PIECE)]


def _passwords(path: Path) -> set[str]:
    """Of the network that a device joins."""
    found = set()
    for name in (folders.SITE, f"{folders.DEVICE}/identity.json"):
        network = plain.table(_site(path / name)[0].get("network"))
        found |= {
            said
            for key, said in network.items()
            if isinstance(said, str) and len(said) >= SECRET_MIN and any(word in key for word in SECRET_WORDS)
        }
    return found


def _site(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        site = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path.name}: {plain.text(str(error))}"]
    return (site, []) if isinstance(site, dict) else ({}, [f"{path.name}: no table"])


def _differs(path: Path, site: dict[str, Any]) -> bool:
    """Whether the device's file measures otherwise than the site says. Calibrations may have come since."""
    try:
        made = build(site)
    except (ConfigError, ValueError, TypeError, KeyError, AttributeError):
        return False  # the site's faults are told
    try:
        return _uncalibrated(json.loads(path.read_text(encoding="utf-8"))) != _uncalibrated(made)
    except (ValueError, TypeError, KeyError, RecursionError):
        return True
    except OSError:
        return False  # told as well


def _uncalibrated(station: dict[str, Any]) -> dict[str, Any]:
    return {**station, "channels": [channel["name"] for channel in station["channels"]]}


def _unreadable(path: Path) -> tuple[int, int]:
    """How many lines are no record of any kind known here: all of them, and those behind the newest test."""
    count = since = 0
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return 0, 0
    for line in lines:
        try:
            kind = plain.text(plain.table(json.loads(line)).get("kind"))
        except (ValueError, RecursionError):
            kind = ""
        if kind == "tested":
            since = 0
        elif line.strip() and kind not in folders.KINDS:
            count, since = count + 1, since + 1
    return count, since


def _names(records: Iterable[dict[str, Any]]) -> Iterable[tuple[str, str, str]]:
    """(name, folder that it may lie in, its hash as recorded or "") of all files that records name."""
    for record in records:
        if record["kind"] in NAMED:
            name, sha, place = NAMED[record["kind"]]
            if file := plain.text(record.get(name)):
                yield file, place, plain.text(record.get(sha))


def _named(path: Path, name: str, place: str, sha256: str) -> File:
    found = _file(path, name)
    if found.state == MISSING and "/" not in name:
        found = _file(path, f"{place}/{name}")
    if sha256 and found.state == THERE and found.sha256 != sha256.lower():
        return File(name, found.sha256, CHANGED)
    return File(name, found.sha256, found.state)


def _file(path: Path, name: str) -> File:
    """A file of the folder. One that lies elsewhere is not looked at: a name may be anybody's."""
    try:
        where = (path / name).resolve()
        if not where.is_relative_to(path.resolve()):
            return File(name, "", OUTSIDE)
        with where.open("rb") as file:
            return File(name, hashlib.file_digest(file, "sha256").hexdigest(), THERE)
    except (OSError, ValueError):
        return File(name, "", MISSING)


def _pictures(path: Path, records: list[dict[str, Any]], files: dict[str, File]) -> dict[str, bytes]:
    """Small ones of the newest photographs that are what was recorded."""
    found: dict[str, bytes] = {}
    for record in [one for one in records if one["kind"] == "photo"][-PICTURES_MAX:]:
        name = plain.text(record.get("file"))
        if name in found or name not in files or files[name].state != THERE:
            continue
        where = path / name if (path / name).is_file() else path / folders.PHOTOS / name
        made = pictures.small(where.read_bytes()) if where.stat().st_size <= pictures.BYTES_MAX else None
        if made:
            found[name] = made
    return found
