"""The log's key and its name, and how another key takes its place.

    keys/log.key         signs; made once, when there was no log before
    keys/log.key.next    the one that follows, only while a handover is under way
    log.vkey             its verifier key, one line; the log's name of today is in it
    log.checkpoint       the newest checkpoint that was signed: gateway/journal/checkpoints.py
    witness/             what witnesses have shown that we signed: gateway/witness.py
    earlier-epochs/      such checkpoints of epochs that were given up

Rule 1: a key that is gone is never made anew: that would be another log under the same name.
Rule 2: whether a handover took place is for the journal to say, which holds its entry or does not. settle()
        brings the files to where the journal is, from whatever a crash left. log.key.next goes last: while it
        is there, all of it is done once more.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import JournalError
from gateway.journal import durable
from gateway.succession import LogEntry, epoch_of
from protocol import note
from protocol.merkle import EvidenceError
from protocol.note import Signer, Verifier

KEY_FILE = "keys/log.key"
NEXT_FILE = "keys/log.key.next"
VKEY_FILE = "log.vkey"
MARK_FILE = "log.checkpoint"
SHOWN_FOLDER = "witness"
EARLIER_FOLDER = "earlier-epochs"

NEW_EPOCH = "begin a new epoch: quantrac gateway new-epoch CONFIG --reason ..."
"""The way on where what was signed cannot be gone on with."""


def signer(state_dir: Path, base: str) -> Signer:
    """The log's key; made, with log.vkey, where there was no log. JournalError: not to be used, or gone.

    `base` is the log's first name; log.vkey says which epoch of it goes on.
    """
    path, public = state_dir / KEY_FILE, state_dir / VKEY_FILE
    known = published(state_dir, base)
    if path.exists():
        made = load(path, base if known is None else known.name)
    elif known is not None or (state_dir / MARK_FILE).exists():
        raise JournalError(f"{path} is gone: put it back from a backup, or {NEW_EPOCH}")
    else:
        made = make(path, base)
    if known is None:
        durable.replace(public, line(made.verifier))
    elif known != made.verifier:
        raise JournalError(f"{path} does not belong to {public}: put the right one back, or {NEW_EPOCH}")
    return made


def published(state_dir: Path, base: str) -> Verifier | None:
    """What log.vkey says; None when it is not there. JournalError when it is of another log."""
    path = state_dir / VKEY_FILE
    try:
        key = note.parse_vkey(path.read_text(encoding="utf-8").removesuffix("\n"))
        named = epoch_of(key.name)[0]
    except FileNotFoundError:
        return None
    except (EvidenceError, UnicodeDecodeError) as error:
        raise JournalError(f"{path} is no verifier key ({error}): put it back.") from None
    if named != base:
        raise JournalError(f"{path} does not belong to {base}, but to {key.name}: put the right one back.")
    return key


def line(key: Verifier) -> bytes:
    """As it stands in log.vkey."""
    return f"{key.vkey}\n".encode()


def load(path: Path, name: str) -> Signer:
    """The key in a file, to sign as `name`. JournalError: others can read it, or it is none."""
    private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise JournalError(f"{path} is no key ({error}): put it back from a backup.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise JournalError(f"{path} is no Ed25519 key: put the right one back from a backup.")
    return Signer(name, key)


def private(path: Path) -> None:
    """JournalError unless nobody else can read it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise JournalError(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")


def make(path: Path, name: str) -> Signer:
    """A new key, on the disk."""
    key = Ed25519PrivateKey.generate()
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
        durable.sync_folder(path.parent.parent)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    durable.replace(path, pem, 0o600)
    return Signer(name, key)


# A handover -------------------------------------------------------------------------------------------------


def settle(state_dir: Path, newest: LogEntry | None, stored: bytes | None) -> bool:
    """Finish the handover that the journal's newest LOG entry tells of, or undo one that it does not hold;
    `stored` is the journal's newest checkpoint. Returns whether one was finished.
    """
    path, following, public = (state_dir / name for name in (KEY_FILE, NEXT_FILE, VKEY_FILE))
    under_way = following.exists()
    if under_way and (newest is None or not _is(following, newest.new_key)):
        following.unlink()
        durable.sync_folder(following.parent)
        under_way = False
    if newest is None:
        return False
    if under_way:
        _put_away(state_dir, newest)
        if stored is not None:
            durable.replace(state_dir / MARK_FILE, stored)
    if under_way or (path.exists() and _is(path, newest.new_key)):
        fresh = line(newest.new_key)
        if not public.exists() or public.read_bytes() != fresh:
            durable.replace(public, fresh)
    if under_way:
        os.replace(following, path)
        durable.sync_folder(path.parent)
    return under_way


def _is(path: Path, key: Verifier) -> bool:
    return load(path, key.name).verifier == key


def _put_away(state_dir: Path, newest: LogEntry) -> None:
    """What is signed under another name than the one that goes on now is held against nobody any more."""
    folder, number = state_dir / EARLIER_FOLDER, epoch_of(newest.old_key.name)[1]
    for path in remembered(state_dir):
        data = path.read_bytes()
        if data.startswith(f"{newest.new_key.name}\n".encode()):
            continue
        folder.mkdir(mode=0o700, exist_ok=True)
        durable.sync_folder(state_dir)
        durable.replace(folder / f"epoch-{number}-{path.name}", data)
        path.unlink()
        durable.sync_folder(path.parent)


def remembered(state_dir: Path) -> list[Path]:
    """The files that say what was signed: the mark, and what witnesses have shown."""
    found = [state_dir / MARK_FILE, *sorted((state_dir / SHOWN_FOLDER).glob("*.checkpoint"))]
    return [path for path in found if path.exists()]
