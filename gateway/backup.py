"""`quantrac gateway backup`: all that a gateway needs to go on elsewhere, while it runs.

    config.toml   the configuration           state/      of state_dir: keys, marks, log.vkey, photos
    journal.db    as of one moment            beside/     other files that the configuration names,
    manifest.json what is here, with SHA-256                  in its folder; elsewhere/  ... outside of it

Rule 1: a backup is whole and checked, or it is not there: it is written as OUT.part, synced, and renamed.
Rule 2: what says what was signed is copied first, then the keys, then the journal: no mark in a backup is
        newer than its journal. Keys that changed meanwhile make it fail.
Rule 3: the gateway is not held up: the journal is only read, and while it is read the gateway writes on.
Rule 4: it holds the log's key, link keys and passwords: folders of mode 0700, files of mode 0600.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway import pictures
from gateway.config import Config
from gateway.errors import JournalError
from gateway.journal import database, durable, keys
from gateway.journal.checkpoints import LOG_ENTRIES, origin, standing
from gateway.journal.stopped import JOURNAL_FILE
from gateway.journal.tree import Tree
from gateway.succession import parse_log_entry
from protocol.merkle import EvidenceError

FORMAT = "quantrac-backup-1"
MANIFEST = "manifest.json"
CONFIG_FILE = "config.toml"
STATE, BESIDE, ELSEWHERE = "state", "beside", "elsewhere"
SPARE_BYTES = 16 << 20
"""Room that is left where a backup is written."""
_CHUNK = 1 << 20


class Copied(NamedTuple):
    """A file of a backup."""

    sha256: str
    bytes: int
    place: str  # where it belongs: below state_dir, below the configuration's folder, or anywhere


class Manifest(NamedTuple):
    """What manifest.json says."""

    at_ms: int  # station time
    log: str  # the verifier key of the log
    entries: int  # that the journal holds
    signed: int  # entries of its newest checkpoint, 0 before the first
    files: dict[str, Copied]


class BackedUp(NamedTuple):
    """What came of it."""

    manifest: Manifest
    bytes: int
    unsigned: str  # why the log that was copied is not signed on, a sentence; "" while it is


def log_name(config: Config) -> str:
    """The first name of a configuration's log."""
    station = config.station
    return origin(station.province, station.facility, station.code)


def backup(config: Config, out: Path, at_ms: int) -> BackedUp:
    """Write the backup. JournalError, OSError; FileExistsError when `out` is there already."""
    state_dir = config.gateway.state_dir
    journal = state_dir / JOURNAL_FILE
    if not journal.exists():
        raise JournalError(f"{journal} does not exist: has this gateway ever run?")
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists: give --out another name.")
    if out.absolute().is_relative_to(state_dir.absolute()):
        raise JournalError(
            f"{out} is inside of {state_dir}: put it onto another disk, which does not die with it."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    _room(journal, out.parent)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        found = _Backup(config, part).write(at_ms)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    os.replace(part, out)
    durable.sync_folder(out.parent)
    return found


def _room(journal: Path, folder: Path) -> None:
    wal = journal.with_name(journal.name + "-wal")
    needed = journal.stat().st_size + (wal.stat().st_size if wal.exists() else 0) + SPARE_BYTES
    if (free := shutil.disk_usage(folder).free) < needed:
        raise JournalError(
            f"The journal needs {needed >> 20} MiB, and {folder} has {free >> 20} MiB left: make room there."
        )


class _Backup:
    def __init__(self, config: Config, part: Path):
        self._config, self._part = config, part
        self._state_dir = config.gateway.state_dir
        self._files: dict[str, Copied] = {}

    def write(self, at_ms: int) -> BackedUp:
        for path in [*keys.remembered(self._state_dir), *self._earlier()]:
            self._state(path)
        before = self._keys()
        for path in before:
            self._state(path)
        self._named()
        entries, signed, log, unsigned = self._journal()
        for path in self._photos():  # behind the journal: what it names is there before it
            self._state(path)
        if self._keys() != before:
            raise JournalError("The log's key changed while it was copied: begin once more.")
        manifest = Manifest(at_ms, log, entries, signed, dict(sorted(self._files.items())))
        self._write(MANIFEST, encode(manifest))
        for folder, _, _ in os.walk(self._part):
            durable.sync_folder(Path(folder))
        return BackedUp(manifest, sum(file.bytes for file in self._files.values()), unsigned)

    def _earlier(self) -> list[Path]:
        return sorted((self._state_dir / keys.EARLIER_FOLDER).glob("*.checkpoint"))

    def _photos(self) -> list[Path]:
        """Of calibrations, which stay for ever; pictures of cameras are kept for a time, and left out."""
        folder = self._state_dir / pictures.FOLDER
        return sorted(path for kind in pictures.MEDIA for path in folder.glob(f"*{kind}") if path.is_file())

    def _keys(self) -> dict[Path, bytes]:
        """The log's own files, and all else in keys/."""
        there = sorted((self._state_dir / "keys").rglob("*"))
        paths = [path for path in there if path.is_file() and path.suffix != ".new"]
        public = self._state_dir / keys.VKEY_FILE
        return {path: path.read_bytes() for path in [*paths, *([public] if public.exists() else [])]}

    def _state(self, path: Path) -> None:
        place = path.absolute().relative_to(self._state_dir.absolute()).as_posix()
        self._copy(path, f"{STATE}/{place}", place)

    def _named(self) -> None:
        """The configuration, and the files that it names."""
        config = self._config.path.absolute()
        self._copy(config, CONFIG_FILE, "")
        for number, path in enumerate(named_files(self._config)):
            path = Path(os.path.normpath(path.absolute()))
            if path.is_relative_to(self._state_dir.absolute()):
                if f"{STATE}/{path.relative_to(self._state_dir.absolute()).as_posix()}" not in self._files:
                    self._state(path)
            elif path.is_relative_to(config.parent):
                place = path.relative_to(config.parent).as_posix()
                self._copy(path, f"{BESIDE}/{place}", place)
            else:
                self._copy(path, f"{ELSEWHERE}/{number}-{path.name}", str(path))

    def _journal(self) -> tuple[int, int, str, str]:
        """(entries, entries signed, verifier key, why it is not signed on) of the copy, which is checked."""
        copy = self._part / JOURNAL_FILE
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # VACUUM takes an empty file
        try:
            with closing(database.connect_to_read(self._state_dir / JOURNAL_FILE)) as connection:
                connection.execute("PRAGMA query_only = OFF")  # it concerns the file that is made, too
                connection.execute("VACUUM INTO ?", (str(copy),))
            found = look(copy, self._part / STATE, log_name(self._config))
        except sqlite3.Error as error:
            raise JournalError(f"The journal cannot be copied: {error}. Check the disks.") from error
        self._files[JOURNAL_FILE] = Copied(*digest(copy, sync=True), JOURNAL_FILE)
        return found

    def _copy(self, path: Path, name: str, place: str) -> None:
        self._files[name] = Copied(*self._write(name, path.read_bytes()), place)

    def _write(self, name: str, data: bytes) -> tuple[str, int]:
        target = self._part / name
        for folder in reversed(target.relative_to(self._part).parents[:-1]):
            (self._part / folder).mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return sha256(data).hexdigest(), len(data)


def named_files(config: Config) -> list[Path]:
    """The files that a configuration names, wherever they are; those that are there."""
    found = dict.fromkeys(path for path in _paths(config) if path.is_file())
    found.pop(config.path, None)
    return list(found)


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _paths(item)


def look(journal: Path, state: Path, base: str) -> tuple[int, int, str, str]:
    """What stands in a copied journal: entries, entries signed, verifier key, why it would not be signed on.

    `state` holds the files of its state_dir. JournalError when its tail is broken.
    """
    connection = sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    with closing(connection):
        size = database.check_tail(connection)
        row = connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        key = keys.published(state, base)
        if key is None:
            return size, row[0] if row else 0, "", f"{keys.VKEY_FILE} is not there."
        notes = [row[1]] if row else []
        notes += [path.read_bytes() for path in keys.remembered(state)]
        try:
            history = [parse_log_entry(body, index) for index, body in connection.execute(LOG_ENTRIES)]
            apart = standing(key, history, notes, size, Tree(connection).hash_at).apart
        except EvidenceError as error:
            return size, row[0] if row else 0, key.vkey, str(error)
    why = apart[0].why if apart else ""
    if not why and not (state / keys.KEY_FILE).exists():
        why = f"{keys.KEY_FILE} is not there."
    return size, row[0] if row else 0, key.vkey, why


# The manifest -----------------------------------------------------------------------------------------------


def encode(manifest: Manifest) -> bytes:
    """manifest.json."""
    files = {name: file._asdict() for name, file in manifest.files.items()}
    said = {"format": FORMAT, **manifest._asdict(), "files": files}
    return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()


def decode(data: bytes) -> Manifest:
    """The inverse. JournalError."""
    try:
        said = json.loads(data)
        if said.pop("format") != FORMAT:
            raise ValueError("another format")
        files = {name: Copied(**file) for name, file in said.pop("files").items()}
        manifest = Manifest(**said, files=files)
        texts = [manifest.log, *(text for file in files.values() for text in (file.sha256, file.place))]
        numbers = [
            manifest.at_ms,
            manifest.entries,
            manifest.signed,
            *(file.bytes for file in files.values()),
        ]
        if {type(text) for text in texts} != {str} or {type(number) for number in numbers} != {int}:
            raise ValueError("a field has another type")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(
            f"{MANIFEST} is none of a backup ({error}): give the folder that backup made."
        ) from None
    return manifest


def digest(path: Path, sync: bool = False) -> tuple[str, int]:
    """(SHA-256, bytes) of a file; with `sync` it is on the disk afterwards."""
    made, size = sha256(), 0
    with open(path, "rb") as file:
        while part := file.read(_CHUNK):
            made.update(part)
            size += len(part)
        if sync:
            os.fsync(file.fileno())
    return made.hexdigest(), size
