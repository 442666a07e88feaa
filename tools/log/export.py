"""`quantrac export`: a bundle of a time's entries, for people who trust nobody (gateway/verify_bundle.py).

Rule 1: the journal is only read; the gateway may run meanwhile. The whole bundle is of one moment of it.
Rule 2: the bundle appears under its name when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway import config as configuration
from gateway import pictures
from gateway.errors import JournalError
from gateway.journal.checkpoints import VKEY_FILE, origin
from gateway.journal.kinds import CALIBRATION, EVENT
from gateway.journal.reader import Reader, reading
from gateway.receipts import newest_checkpoint
from gateway.reports.message import rfc3339
from gateway.succession import epoch_of
from gateway.verify_bundle import (
    CHECKPOINT,
    CONSISTENCY,
    MANIFEST,
    PICTURES_MAX,
    README,
    VKEY,
    Manifest,
    entry_name,
    handover_name,
    picture_name,
    proof_name,
)
from gateway.verify_pictures import named
from gateway.verify_places import ZIP_MEMBERS_MAX
from gateway.verify_run import RUN_MAX, Run
from protocol import checkpoint as checkpoints
from protocol import note as notes
from protocol.merkle import consistency_proof, inclusion_proof, leaf_hash
from protocol.note import parse_vkey
from protocol.receipt import Receipt
from tools.log import readme
from tools.log.handovers import Handovers
from tools.log.progress import Bar
from tools.log.selection import Selection, select
from tools.people import Failure, UsageError

_FILES = (
    "SELECT DISTINCT name, body FROM outbox WHERE kind = 'windows' AND name LIKE '%.txt' "
    "AND at_ms >= ? AND at_ms <= ? ORDER BY name"
)
_FILE_AT = "SELECT at_ms FROM outbox WHERE name = ? LIMIT 1"


class Exported(NamedTuple):
    """What a bundle has."""

    manifest: Manifest
    checkpoint: checkpoints.Checkpoint
    pictures_missing: int = 0  # that entries of the run name, and that are kept no more


class Target(Protocol):
    def write(self, name: str, data: bytes) -> None: ...


class _Folder:
    def __init__(self, path: Path):
        self._path = path
        for folder in ("entries", "proofs", "files", "handovers"):
            (path / folder).mkdir(parents=True)

    def write(self, name: str, data: bytes) -> None:
        if name.startswith("pictures/"):
            (self._path / "pictures").mkdir(exist_ok=True)
        (self._path / name).write_bytes(data)


class _Zip:
    def __init__(self, file: zipfile.ZipFile):
        self._file = file

    def write(self, name: str, data: bytes) -> None:
        self._file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


@contextmanager
def _target(out: Path) -> Iterator[Target]:
    """Where to write; under its name once all went well."""
    if out.exists():
        raise UsageError(f"{out} exists: give --out another name.")
    part = out.with_name(out.name + ".part")
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)
    try:
        if out.suffix == ".zip":
            with zipfile.ZipFile(part, "w") as file:
                yield _Zip(file)
        else:
            yield _Folder(part)
    except BaseException:
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
        raise
    os.replace(part, out)


def export(config_path: Path, from_ms: int, to_ms: int, out: Path, seen: Path | None = None) -> Exported:
    """Write the bundle under this name. Raises Failure, JournalError, EvidenceError, UsageError,
    ConfigFaults.
    """
    return export_to(_target(out), config_path, from_ms, to_ms, seen)


def export_to(
    place: AbstractContextManager[Target],
    config_path: Path,
    from_ms: int,
    to_ms: int,
    seen: Path | None = None,
) -> Exported:
    """Write the bundle piece by piece, wherever `place` puts it. Raises as export() does."""
    if to_ms <= from_ms:
        raise UsageError("--to is not behind --from.")
    config = configuration.load(config_path)
    state_dir = config.gateway.state_dir
    path = state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    vkey = (state_dir / VKEY_FILE).read_bytes()
    station = config.station
    name = origin(station.province, station.facility, station.code)
    if epoch_of(parse_vkey(vkey.decode().strip()).name)[0] != name:
        raise Failure(f"{state_dir / VKEY_FILE} is of another log than {name}.")
    with reading(path) as reader:
        reader.rows("BEGIN")
        with place as target:
            return _Export(reader, select(reader, from_ms, to_ms), vkey, target, state_dir).write(
                None if seen is None else seen.read_bytes()
            )


class _Export:
    def __init__(self, reader: Reader, selection: Selection, vkey: bytes, target: Target, state_dir: Path):
        self._reader, self._selection, self._vkey, self._target = reader, selection, vkey, target
        self._state_dir = state_dir

    def write(self, seen: bytes | None) -> Exported:
        selection, target = self._selection, self._target
        first, last = selection.first, selection.last
        if last - first >= RUN_MAX:
            raise Failure(
                f"The time has {last - first + 1} entries, and a bundle at most {RUN_MAX}: shorten it."
            )
        log = Handovers(self._reader, parse_vkey(self._vkey.decode().strip()))
        earlier = None if seen is None else self._seen(seen, log)
        at_least = max([last + 1, *(index + 1 for index in selection.others), earlier.size if earlier else 0])
        note, signed = newest_checkpoint(self._reader, at_least)
        others = sorted({*selection.others, *(index for index in log.indexes if not first <= index <= last)})
        files = self._files()
        seen_in, missing = self._pictures(first, last)
        count = 2 * (last - first + 1 + len(others)) + len(files) + len(log.indexes) + len(seen_in)
        if isinstance(target, _Zip) and count > ZIP_MEMBERS_MAX - 8:
            raise Failure("The time has more entries than a .zip takes here: give --out a folder.")
        target.write(VKEY, self._vkey)
        target.write(CHECKPOINT, note)
        self._run(first, last, signed.size, note)
        hash_at = self._reader.tree().hash_at
        for index in others:
            entry = next(self._reader.entries(index, index))
            target.write(entry_name(index), entry.leaf_bytes())
            proof = inclusion_proof(index, signed.size, hash_at)
            target.write(proof_name(index), Receipt(index, proof, note).encode())
        for index in log.indexes:
            target.write(handover_name(index), log.handover(index))
        for name, data in files.items():
            target.write(f"files/{name}", data)
        for path in seen_in:
            data = pictures.read(path)
            if data is None or sha256(data).hexdigest() != seen_in[path].partition(".")[0]:
                raise Failure(f"{path} was changed while it was read: give the export again.")
            target.write(picture_name(seen_in[path]), data)
        if earlier is not None and seen is not None:
            proof = consistency_proof(earlier.size, signed.size, hash_at)
            receipt = Receipt(earlier.size, proof, log.signed_once(seen)).encode()
            target.write(CONSISTENCY, receipt.partition(b"\n")[2])
        manifest = Manifest(
            *selection[:5], tuple(others), tuple(files), "", None if earlier is None else earlier.size,
            tuple(sorted(seen_in.values())),
        )  # fmt: skip
        text = readme.text(manifest, signed).encode()
        manifest = manifest._replace(readme=sha256(text).hexdigest())
        target.write(README, text)
        target.write(MANIFEST, manifest.encode())
        return Exported(manifest, signed, missing)

    def _run(self, first: int, last: int, size: int, note: bytes) -> None:
        hash_at, target = self._reader.tree().hash_at, self._target
        leaves = bytearray()
        with Bar("entries", 2 * (last - first + 1)) as bar:
            for entry in self._reader.entries(first, last):
                data = entry.leaf_bytes()
                if entry.idx != first + len(leaves) // 32 or leaf_hash(data) != entry.leaf:
                    raise JournalError(f"Entry {entry.idx} is damaged: restore the journal from a backup.")
                leaves += entry.leaf
                target.write(entry_name(entry.idx), data)
                bar.advance()
            paths = [inclusion_proof(index, size, hash_at) for index in (first, last)]
            run = Run(first, bytes(leaves), size, *paths)
            for index in range(first, last + 1):
                target.write(proof_name(index), run.receipt(index, note))
                bar.advance()

    def _files(self) -> dict[str, bytes]:
        labels = set(self._selection.labels)
        found: dict[str, bytes] = {}
        for name, data in self._reader.rows(_FILES, min(labels, default=0), max(labels, default=0)):
            if self._reader.rows(_FILE_AT, name)[0][0] not in labels:
                continue
            if name in found:
                raise JournalError(f"The outbox holds two different files called {name}.")
            found[name] = data
        return found

    def _pictures(self, first: int, last: int) -> tuple[dict[Path, str], int]:
        """Pictures that entries of the run name, by where they lie; and how many are not there any more."""
        entries = self._reader.entries(first, last, (EVENT, CALIBRATION))
        digests = {digest for entry in entries if (digest := named(entry.kind, entry.body)) is not None}
        found = {digest: pictures.find(self._state_dir, digest) for digest in digests}
        there = {path: f"{digest}{path.suffix}" for digest, path in found.items() if path is not None}
        if len(there) > PICTURES_MAX:
            raise Failure(f"The time has more than {PICTURES_MAX} pictures: shorten it.")
        return there, len(digests) - len(there)

    def _seen(self, data: bytes, log: Handovers) -> checkpoints.Checkpoint:
        """What the checkpoint in hand says, if this log goes on behind it."""
        earlier = log.history.opened("The checkpoint in hand", data)
        newest = checkpoints.parse(notes.parse(self._reader.checkpoint() or b"").text)
        if not 0 < earlier.size <= newest.size:
            raise Failure(
                f"The checkpoint in hand has {earlier.size} entries, the journal's newest {newest.size}."
            )
        return earlier


def print_export(config: Path, from_ms: int, to_ms: int, out: Path, seen: Path | None, as_json: bool) -> int:
    """What `quantrac export` says."""
    manifest, signed, missing = export(config, from_ms, to_ms, out, seen)
    begin, end = rfc3339(manifest.from_ms), rfc3339(manifest.to_ms)
    if as_json:
        said = {
            "bundle": str(out), "from": begin, "to": end, "windows": manifest.windows,
            "first": manifest.first, "last": manifest.last, "others": len(manifest.others),
            "files": len(manifest.files),
            "pictures": len(manifest.pictures), "pictures_missing": missing,
            "checkpoint": signed.size,
        }  # fmt: skip
        print(json.dumps(said))
        return 0
    count = manifest.last - manifest.first + 1
    print(f"{out}: {manifest.windows} windows from {begin} to {end}")
    print(f"  {count} entries, {len(manifest.others)} beside them, {len(manifest.files)} provincial files")
    if manifest.pictures or missing:
        print(f"  {len(manifest.pictures)} pictures, and {missing} named that are kept no more")
    print(f"Next: quantrac verify {out} --vkey FILE (the log's key, as the department keeps it)")
    return 0
