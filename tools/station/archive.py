"""The archive of a station: one zip with a manifest that names every file, its bytes and its SHA-256.

    manifest.json    what it is, of which station, of when, every file, the photographs' hashes
    said.json        what the device said of itself; not there when nobody asked it
    site.json, gateway.toml, records.jsonl, device/..., certificates/..., backups/...    as in folder.py
    link.key         only when it was asked for

Rule 1: a seal key never gets into one, nor a private key of any kind, under whatever name.
Rule 2: an archive that is read is believed file by file: every hash is right, and nothing is there that the
        manifest does not name. Names that lead out of the folder are refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.people import Failure
from tools.station.folder import BACKUPS, CERTIFICATES, DEVICE, GATEWAY, KEY, PHOTOS, RECORDS, SITE

FORMAT = "quantrac station backup 1"
MANIFEST, SAID = "manifest.json", "said.json"
SEAL_KEY = "seal.key"
KEY_DIGITS = 64
BYTES_MAX = 256 * 1024 * 1024
"""Of all files together: a zip can promise more than any disk holds."""
NAME = re.compile(r"(?!.*(?:^|/)\.)[^\x00-\x1f\\:]{1,200}")
SECRET_NAMES = (".key", ".pem")
UNFINISHED = (".part", ".new", ".pending")
PRIVATE = b"PRIVATE KEY-----"
KEPT_BACKUPS = ("*.update", "station-*.json")


@dataclass
class Archive:
    """What is in one. files: name -> content; photos: name -> SHA-256; said: of `said.json`, or None."""

    id: str
    made_ms: int
    by: str
    files: dict[str, bytes]
    photos: dict[str, str] = field(default_factory=dict)
    said: dict[str, Any] | None = None

    @property
    def secret(self) -> bool:
        """Whether it has to be kept from others: the link key, or a network's password."""
        return KEY in self.files or has_password(self.files.get(SITE, b""))


def collect(folder: Path, with_key: bool) -> tuple[dict[str, bytes], dict[str, str], list[str]]:
    """(files, hashes of photographs, names that were left out because they are secret).

    Failure when a file that is no key holds the text of one: it would carry it out.
    """
    paths = [folder / name for name in (SITE, GATEWAY, RECORDS)]
    paths += sorted((folder / DEVICE).rglob("*")) + sorted((folder / CERTIFICATES).rglob("*"))
    for pattern in KEPT_BACKUPS:
        paths += sorted((folder / BACKUPS).glob(pattern))
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    keys = list(_keys(folder))
    for path in paths:
        if not path.is_file() or path.is_symlink() or path.name.endswith(UNFINISHED):
            continue
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        if path.name.endswith(SECRET_NAMES) or PRIVATE in content:
            left_out.append(name)
            continue
        for what, key in keys:
            if key in content.lower():
                raise Failure(f"{path} holds the {what}: take it out, then make the backup.")
        if not NAME.fullmatch(name):
            raise Failure(f"{path}: its name cannot be kept in an archive, rename it.")
        files[name] = content
    if with_key:
        files[KEY] = (folder / KEY).read_bytes()
    photos = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / PHOTOS).rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    return files, photos, left_out


def _keys(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The keys in the folder: what each is, and its hexadecimal digits."""
    for what, path in (("link key", folder / KEY), ("seal key", folder / DEVICE / SEAL_KEY)):
        try:
            words = path.read_bytes().lower().split()
        except OSError:
            continue
        yield from ((what, word) for word in words if len(word) == KEY_DIGITS)


def has_password(site: bytes) -> bool:
    """Whether a site.json holds the password of a network."""
    try:
        network = json.loads(site).get("network")
    except (ValueError, AttributeError):
        return False
    return isinstance(network, dict) and bool(network.get("password"))


def packed(archive: Archive) -> bytes:
    """The zip. The same archive gives the same bytes."""
    files = dict(archive.files)
    if archive.said is not None:
        files[SAID] = _json(archive.said)
    manifest = {
        "format": FORMAT,
        "id": archive.id,
        "made_ms": archive.made_ms,
        "by": archive.by,
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in sorted(files.items())
        },
        "photos": archive.photos,
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in [(MANIFEST, _json(manifest)), *sorted(files.items())]:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o600 if name == KEY else 0o644) << 16
            file.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def unpacked(data: bytes, shown: str) -> Archive:
    """What is in a zip, every hash checked. shown: its name for people. Failure with one sentence."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            manifest = _manifest(file, shown)
            files = _files(file, manifest["files"], shown)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise Failure(f"{shown} is damaged, or no backup of a station: use another copy.") from None
    said = files.pop(SAID, None)
    try:
        told = None if said is None else json.loads(said)
        if told is not None and not isinstance(told["hello"]["channels"], list):
            raise ValueError
        site = json.loads(files[SITE])
        good = isinstance(site, dict) and site.get("id") == manifest["id"]
    except (ValueError, KeyError, TypeError):
        good, told = False, None
    if not good:
        raise Failure(
            f"{shown} holds no site.json of {manifest['id']}: it is no backup that can be restored."
        )
    return Archive(manifest["id"], manifest["made_ms"], manifest["by"], files, manifest["photos"], told)


def _manifest(file: zipfile.ZipFile, shown: str) -> dict[str, Any]:
    if MANIFEST not in file.namelist() or file.getinfo(MANIFEST).file_size > BYTES_MAX:
        raise Failure(f"{shown} is no backup of a station: {MANIFEST} is not in it.")
    kinds = {"format": str, "id": str, "made_ms": int, "by": str, "files": dict, "photos": dict}
    manifest: dict[str, Any] = {}
    try:
        manifest = json.loads(file.read(MANIFEST))
        good = all(isinstance(manifest[name], kind) for name, kind in kinds.items())
        told = manifest["format"]
    except (ValueError, KeyError, TypeError):
        good, told = False, None
    if good and told == FORMAT:
        return manifest
    if isinstance(told, str) and told.startswith(FORMAT[:-1]):
        raise Failure(f"{shown} was made by a newer Quantrac ({told}): restore it with that one.")
    raise Failure(f"{shown} is no backup of a station: its {MANIFEST} says something else.")


def _files(file: zipfile.ZipFile, named: dict[str, Any], shown: str) -> dict[str, bytes]:
    entries = [entry for entry in file.infolist() if entry.filename != MANIFEST]
    if sorted(entry.filename for entry in entries) != sorted(named):
        raise Failure(f"{shown} does not hold the files that it names: use another copy.")
    if sum(entry.file_size for entry in entries) > BYTES_MAX:
        raise Failure(f"{shown} holds more than {BYTES_MAX:,} bytes: it is no backup of a station.")
    files = {}
    for entry in entries:
        name = entry.filename
        if not NAME.fullmatch(name) or name.startswith("/") or name.endswith((SEAL_KEY, ".pem")):
            raise Failure(
                f"{shown} holds {name!r}, which no backup does: it was not made by `station backup`."
            )
        files[name] = file.read(entry)
        wanted = named[name].get("sha256") if isinstance(named[name], dict) else None
        if hashlib.sha256(files[name]).hexdigest() != wanted:
            raise Failure(f"{shown} is damaged: {name} is not what was kept. Use another copy.")
    return files


def _json(table: dict[str, Any]) -> bytes:
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()
