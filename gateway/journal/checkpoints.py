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
Rule 4: the log goes on under another key, or as a new epoch with another name, where an entry of the journal
        says so (handover.py). What was signed with earlier keys of the same name counts as before; what was
        signed for an earlier epoch is not held against the journal: its entry tells what was given up.

compare(), sign() and remember() belong to the journal's writing thread; `latest` and `reason` may be read
from any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal import durable
from gateway.journal.keys import (
    KEY_FILE,
    MARK_FILE,
    NEW_EPOCH,
    SHOWN_FOLDER,
    VKEY_FILE,
    remembered,
    settle,
    signer,
)
from gateway.journal.kinds import LOG
from gateway.succession import LogEntry, epoch_of, parse_log_entry
from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import EvidenceError, HashAt, root_at
from protocol.note import Signer, Verifier

__all__ = ["KEY_FILE", "MARK_FILE", "SHOWN_FOLDER", "VKEY_FILE", "Checkpoints", "origin", "signer"]

INSERT_CHECKPOINT = "INSERT INTO checkpoint VALUES (?, ?, ?)"
LOG_ENTRIES = f"SELECT idx, body FROM entry WHERE kind >= 4 AND kind = {LOG} ORDER BY idx"


def origin(province: str, facility: str, station: str) -> str:
    """The log's first name: that of its key, and the first line of its checkpoints. Later epochs of it have
    "/epoch-2" and so on behind it (gateway/succession.py).
    """
    return f"quantrac/{province}/{facility}/{station}"


class Checkpoints:
    """Signs the log that was first called `base`, with the key of this state_dir, made when there was no log
    before.
    """

    def __init__(self, state_dir: Path, base: str):
        self._state_dir, self._base = state_dir, base
        self._mark = state_dir / MARK_FILE
        self._signer: Signer | None = None
        self.latest = b""  # the newest checkpoint that may be given to anybody
        self.reason = ""  # why nothing is signed; "" while all is well
        try:
            self._signer = signer(state_dir, base)
        except (JournalError, OSError) as error:
            self.reason = f"No checkpoint is signed: {error}"

    def compare(
        self, size: int, hash_at: HashAt, stored: bytes | None, log_entries: Iterable[tuple[int, bytes]] = ()
    ) -> None:
        """Hold a journal of `size` entries against what was signed: its own newest checkpoint, the mark, what
        witnesses showed. `log_entries` are what the journal says of the log itself.
        """
        try:
            self.reason = ""
            history = [parse_log_entry(body, index) for index, body in log_entries]
            settle(self._state_dir, history[-1] if history else None, stored)
            self._signer = signer(self._state_dir, self._base)
            notes = [stored] if stored is not None else []
            notes += [path.read_bytes() for path in remembered(self._state_dir)]
            found = standing(self._signer.verifier, history, notes, size, hash_at)
            if found.apart:
                raise EvidenceError(_sentence(max(found.apart, key=_told).why))
            if found.latest:
                self.latest = found.latest
        except EvidenceError as error:
            self.reason = f"No checkpoint is signed: {error} Put the right journal back, or {NEW_EPOCH}"
        except (JournalError, OSError) as error:
            self.reason = f"No checkpoint is signed: {error}"

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


# What was signed, and the journal ---------------------------------------------------------------------------


class Apart(NamedTuple):
    """Something that keeps the journal from being signed."""

    data: bytes  # a note, b"" for none
    signed: Checkpoint | None  # what it says; None for what cannot be believed or read
    why: str


class Standing(NamedTuple):
    """How a journal stands to what was signed of it."""

    latest: bytes  # the newest note that it goes on from, b"" for none
    apart: list[Apart]


def standing(
    key: Verifier, history: Sequence[LogEntry], notes: Iterable[bytes], size: int, hash_at: HashAt
) -> Standing:
    """Of a journal of `size` entries, which goes on under `key`, to these notes."""
    keys = {known for entry in history for known in (entry.old_key, entry.new_key)} | {key}
    earlier = {entry.old_key.name for entry in history} - {key.name}
    why = _another_key(key, history)
    newest, latest, apart = -1, b"", [Apart(b"", None, why)] if why else []
    for data in notes:
        signed = None
        try:
            if data.partition(b"\n")[0].decode("utf-8", "replace") in earlier:
                continue
            signed = opened(data, [known for known in keys if known.name == key.name])
            begins_with(signed, size, hash_at)
        except EvidenceError as error:
            apart.append(Apart(data, signed, str(error)))
            continue
        if signed.size > newest:
            newest, latest = signed.size, data
    return Standing(latest, apart)


def opened(data: bytes, keys: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint in a note, signed by one of the keys that a log of this name had. EvidenceError."""
    found = note.parse(data)
    signers = {key.name for key, _ in note.verify(found, keys)}
    signed = checkpoint.parse(found.text)
    if signed.origin not in signers:
        raise EvidenceError(f"{signed.origin} has not signed the checkpoint")
    return signed


def _told(apart: Apart) -> int:
    """What is said of several: how much is missing, rather than what cannot be read."""
    return -1 if apart.signed is None else apart.signed.size


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _another_key(key: Verifier, history: Sequence[LogEntry]) -> str:
    if history and history[-1].new != key.vkey:
        return f"the journal goes on under the key {history[-1].new}, and {VKEY_FILE} says {key.vkey}."
    if not history and (number := epoch_of(key.name)[1]) > 1:
        return (
            f"{VKEY_FILE} is of epoch {number}, and the journal does not hold the entry that it begins with."
        )
    return ""


def begins_with(signed: Checkpoint, size: int, hash_at: HashAt) -> None:
    """EvidenceError unless a journal of `size` entries goes on from what was signed."""
    if signed.size > size:
        raise EvidenceError(
            f"{signed.size} entries were signed, the journal holds {size}: "
            f"entries {size} to {signed.size - 1} are missing."
        )
    if root_at(signed.size, hash_at) != signed.root:
        raise EvidenceError(f"the journal's first {signed.size} entries are not those that were signed.")
