"""A witness: remembers the newest checkpoint of every log it knows, and signs only what goes on from there.

    POST /add-checkpoint                     old size, consistency proof, checkpoint -> a cosignature
    GET  /<sha256 of the origin>/checkpoint  the newest that it cosigned, cosignature included

C2SP tlog-witness with Ed25519 cosignatures (tlog-cosignature, type 0x04). A small one, and a real one: it
makes every check that the specification demands. witness_server.py serves it.

    not a request of this kind; old size above the checkpoint's       400
    a log that it does not know, by its origin                        404
    no signature of the log's key, or a wrong one                     403
    another old size than that of the newest it cosigned              409, and that size
    the log does not go on from there, or has no root of its size     422
    all is well                                                       200, and the cosignature

Rule 1: what it cosigned is on disk before anybody is told: <folder>/<sha256 of the origin>/checkpoint.
Rule 2: looking and writing are one step. add() is called by one thread, and nothing is awaited in it.
Rule 3: a file of its own that is damaged is an error (500), never a log that is seen for the first time.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import checkpoint as checkpoints
from protocol import note as notes
from protocol.checkpoint import Checkpoint
from protocol.merkle import EMPTY_ROOT, HASH_BYTES, PROOF_MAX, EvidenceError, check_consistency
from protocol.note import COSIGNATURE, Note, Signer, Verifier

REQUEST_BYTES_MAX = 65_536
"""63 hashes are 3 KB; the rest is for a checkpoint with signatures of many keys."""
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
KEY_FILE = "witness.key"
VKEY_FILE = "witness.vkey"
_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}")


class Answer(NamedTuple):
    """Of HTTP."""

    status: int
    body: bytes
    content_type: str = TEXT


class _No(Exception):
    def __init__(self, status: int, why: object, content_type: str = TEXT):
        self.answer = Answer(status, f"{why}\n".encode(), content_type)


class Witness:
    """Its key, vkey and memory are in `folder`, made when missing.

    log_vkeys: files with a log's vkey on each line. They are read at each request, so that a log may be made
    known at any time; one that does not exist yet holds nothing.
    `wrong`, for tests: it answers with a cosignature that does not hold.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        log_vkeys: Iterable[Path | str] = (),
        now_s: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.folder = Path(folder)
        self.wrong = False
        self._log_vkeys = [Path(path) for path in log_vkeys]
        self._now_s = now_s
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._signer = Signer(name, _load_or_make_key(self.folder / KEY_FILE), COSIGNATURE)
        self.vkey = self._signer.verifier.vkey
        _write(self.folder / VKEY_FILE, f"{self.vkey}\n".encode())

    def add(self, body: bytes) -> Answer:
        """POST /add-checkpoint."""
        try:
            old, proof, data = _request(body)
            note, keys = self._signed(data)
            new = _checkpoint(note)
            if old > new.size:
                raise _No(400, f"The old size {old} is above the checkpoint's, {new.size}.")
            known = self._known(new.origin)
            size, root = (known.size, known.root) if known else (0, EMPTY_ROOT)
            if old != size:
                raise _No(409, size, SIZE)
            try:
                check_consistency(size, new.size, root, new.root, proof)
            except EvidenceError as error:
                raise _No(422, error) from None
        except _No as no:
            return no.answer
        line = self._signer.sign(note.text, self._now_s())
        kept = tuple(s for s in note.signatures if s[:2] in {key[:2] for key in keys})
        self._remember(new.origin, notes.with_signatures(Note(note.text, kept), line).encode())
        if self.wrong:
            line = self._signer.sign(f"not this\n{note.text}", self._now_s())
        return Answer(200, line.encode())

    def newest(self, origin_hash: str) -> Answer:
        """GET /<origin hash>/checkpoint."""
        if not _ORIGIN_HASH.fullmatch(origin_hash):
            return Answer(404, b"No log is called by this.\n")
        try:
            return Answer(200, (self.folder / origin_hash / "checkpoint").read_bytes())
        except FileNotFoundError:
            return Answer(404, b"No checkpoint of this log was cosigned.\n")

    def _signed(self, data: bytes) -> tuple[Note, list[Verifier]]:
        """The note, and which keys of its log have signed it."""
        try:
            note = notes.parse(data)
        except EvidenceError as error:
            raise _No(400, error) from None
        origin = note.text.partition("\n")[0]
        trusted = [key for key in self._logs() if key.name == origin]
        if not trusted:
            raise _No(404, "This log is not known here.")
        try:
            return note, [key for key, _ in notes.verify(note, trusted)]
        except EvidenceError as error:
            raise _No(403, error) from None

    def _logs(self) -> list[Verifier]:
        lines = [
            line
            for path in self._log_vkeys
            if path.exists()
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        return [notes.parse_vkey(line) for line in lines if line]

    # Memory -------------------------------------------------------------------------------------------------

    def _file(self, origin: str) -> Path:
        return self.folder / hashlib.sha256(origin.encode()).hexdigest() / "checkpoint"

    def _known(self, origin: str) -> Checkpoint | None:
        """The newest checkpoint that it cosigned. EvidenceError when its own file is damaged."""
        try:
            note = notes.parse(self._file(origin).read_bytes())
        except FileNotFoundError:
            return None
        notes.verify(note, [self._signer.verifier])
        return checkpoints.parse(note.text)

    def _remember(self, origin: str, data: bytes) -> None:
        path = self._file(origin)
        if not path.parent.exists():
            path.parent.mkdir()
            _sync_folder(self.folder)
        _write(path, data)

    def snapshot(self) -> dict[Path, bytes]:
        """What it remembers now."""
        return {path: path.read_bytes() for path in self.folder.glob("*/checkpoint")}

    def roll_back(self, snapshot: dict[Path, bytes]) -> None:
        """For tests: it forgets what came after, as a witness restored from a backup would."""
        for path in self.snapshot():
            path.unlink()
        for path, data in snapshot.items():
            _write(path, data)


def _request(body: bytes) -> tuple[int, list[bytes], bytes]:
    """(old size, consistency proof, note) of a request, its form checked."""
    head, mark, note = body.partition(b"\n\n")
    lines = head.split(b"\n")
    if not mark or not lines[0].startswith(b"old ") or not head.isascii():
        raise _No(400, "A request is a line with the old size, the proof, an empty line, and a checkpoint.")
    if len(lines) - 1 > PROOF_MAX:
        raise _No(400, f"A proof has {PROOF_MAX} hashes at most.")
    try:
        old = checkpoints.number(lines[0].removeprefix(b"old ").decode(), "the old size")
        proof = [notes.unbase64(line.decode(), "a hash of the proof") for line in lines[1:]]
    except EvidenceError as error:
        raise _No(400, error) from None
    if any(len(hash) != HASH_BYTES for hash in proof):
        raise _No(400, f"A hash of the proof is not {HASH_BYTES} bytes.")
    return old, proof, note


def _checkpoint(note: Note) -> Checkpoint:
    try:
        return checkpoints.parse(note.text)
    except EvidenceError as error:
        empty = note.text.split("\n")[1:2] == ["0"]  # of size 0: its root is what can be wrong
        raise _No(422 if empty else 400, error) from None


def _load_or_make_key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(path, pem, 0o600)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is no Ed25519 key")
    return key


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Whole and on disk, or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
