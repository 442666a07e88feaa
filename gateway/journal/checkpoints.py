"""What this gateway signs of its journal; and that it never signs two histories.

Rule 1: a checkpoint says that the first `size` entries have this root (C2SP tlog-checkpoint). It is signed
        only while the journal begins with everything that was signed before.
Rule 2: the newest one is remembered outside of the journal, in state_dir/log.checkpoint, and is on disk there
        before anybody is given it. A journal from a backup, or one whose tail was cut, is shorter than that,
        or another: then nothing is signed, and `reason` says what is missing. Measuring, keeping and
        delivering go on.
        So it is when a witness has shown one that we signed and do not remember: all of state_dir came from a
        backup then.
Rule 3: the same for a key that is missing or that others can read.

compare(), sign() and remember() belong to the journal's writing thread; `latest` and `reason` may be read
from any.
"""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import JournalError
from gateway.journal import durable
from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import EvidenceError, HashAt, root_at
from protocol.note import Signer

INSERT_CHECKPOINT = "INSERT INTO checkpoint VALUES (?, ?, ?)"
KEY_FILE = "keys/log.key"
VKEY_FILE = "log.vkey"
MARK_FILE = "log.checkpoint"
SHOWN_FOLDER = "witness"  # what witnesses showed us that we had signed: gateway/witness.py


def origin(province: str, facility: str, station: str) -> str:
    """The log's name: the first line of its checkpoints, and the name of its key."""
    return f"quantrac/{province}/{facility}/{station}"


class Checkpoints:
    """Signs as `name`, with the key of this state_dir, made when there was no log before."""

    def __init__(self, state_dir: Path, name: str):
        self._mark = state_dir / MARK_FILE
        self._shown = state_dir / SHOWN_FOLDER
        self._signer: Signer | None = None
        self.latest = b""  # the newest checkpoint that may be given to anybody
        self.reason = ""  # why nothing is signed; "" while all is well
        try:
            self._signer = signer(state_dir, name)
        except (JournalError, OSError) as error:
            self.reason = f"No checkpoint is signed: {error}"

    def compare(self, size: int, hash_at: HashAt, stored: bytes | None) -> None:
        """Hold a journal of `size` entries against what was signed: its own newest checkpoint, the mark."""
        if self._signer is None:
            return
        try:
            self.reason = ""
            notes = [stored] if stored is not None else []
            notes += [
                path.read_bytes() for path in (self._mark, *self._shown.glob("*.checkpoint")) if path.exists()
            ]
            newest = -1
            for data in notes:
                signed = self._read(data)
                _begins_with(signed, size, hash_at)
                if signed.size > newest:
                    newest, self.latest = signed.size, data
        except (EvidenceError, JournalError, OSError) as error:
            self.reason = f"No checkpoint is signed: {error} Put the journal back that was signed."

    def _read(self, data: bytes) -> Checkpoint:
        assert self._signer is not None
        found = note.parse(data)
        note.verify(found, [self._signer.verifier])
        return checkpoint.parse(found.text)

    def sign(self, size: int, root: bytes) -> bytes | None:
        """The checkpoint of a journal of `size` entries; None while there is a reason not to."""
        if self._signer is None or self.reason:
            return None
        text = Checkpoint(self._signer.verifier.name, size, root).text()
        return f"{text}\n{self._signer.sign(text)}".encode()

    def remember(self, data: bytes) -> None:
        """It is in the journal: keep it outside as well, then let it go out."""
        try:
            durable.replace(self._mark, data)
        except OSError:
            return  # the next one will be; this one goes to nobody
        self.latest = data


def _begins_with(signed: Checkpoint, size: int, hash_at: HashAt) -> None:
    if signed.size > size:
        raise EvidenceError(
            f"{signed.size} entries were signed, the journal holds {size}: "
            f"entries {size} to {signed.size - 1} are missing."
        )
    if root_at(signed.size, hash_at) != signed.root:
        raise EvidenceError(f"the journal's first {signed.size} entries are not those that were signed.")


# The key ----------------------------------------------------------------------------------------------------


def signer(state_dir: Path, name: str) -> Signer:
    """The log's key; made, with log.vkey, where there was no log. JournalError: not to be used, or gone."""
    path, public = state_dir / KEY_FILE, state_dir / VKEY_FILE
    if path.exists():
        made = _load(path, name)
    elif public.exists() or (state_dir / MARK_FILE).exists():
        raise JournalError(f"{path} is gone: put it back from a backup.")
    else:
        made = _make(path, name)
    vkey = made.verifier.vkey + "\n"
    if not public.exists():
        durable.replace(public, vkey.encode())
    elif public.read_text(encoding="utf-8") != vkey:
        raise JournalError(f"{path} does not belong to {public}: put the right one back.")
    return made


def _load(path: Path, name: str) -> Signer:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise JournalError(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise JournalError(f"{path} is no key ({error}): put it back from a backup.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise JournalError(f"{path} is no Ed25519 key: put the right one back from a backup.")
    return Signer(name, key)


def _make(path: Path, name: str) -> Signer:
    key = Ed25519PrivateKey.generate()
    durable.make_folder(path.parent, 0o700)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    durable.replace(path, pem, 0o600)
    return Signer(name, key)
