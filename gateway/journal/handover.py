"""The log goes on under another key, or as a new epoch.

    keys/log.key.next -> one transaction: the LOG entry, the checkpoint of the handover -> the rest (keys.py)

Rule 1: the journal decides. Before the COMMIT nothing has happened; after it all has, and whoever opens the
        journal next finishes what a crash left undone.
Rule 2: the new key signs the checkpoint of a handover, and the old one where it is at hand. Nobody is given
        it before it is remembered outside of the journal.
Rule 3: an epoch begins only where the gateway does not sign any more: something was signed that the journal
        does not go on from, or the key is gone. Its entry holds the notes that are given up.
Rule 4: no name is used twice: an epoch's number is above all that are known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal import durable, keys
from gateway.journal.checkpoints import begins_with, standing
from gateway.journal.kinds import LOG
from gateway.journal.stopped import Now, StoppedLog
from gateway.succession import EPOCH, KEY, SIGNED_MAX, LogEntry, epoch_name, epoch_of, log_entry
from protocol import checkpoint, note
from protocol.merkle import EvidenceError
from protocol.note import Signer, Verifier


class Begun(NamedTuple):
    """A handover that took place."""

    entry: LogEntry
    finished: bool = False  # it was under way before and was finished now: nothing new was begun


def under_way(log: StoppedLog) -> Begun | None:
    """Finish, or undo, what a crash left of a handover; the one that was finished."""
    if log.settle() and log.newest is not None:
        return Begun(log.newest, True)
    return None


def rotate_key(log: StoppedLog, reason: str, now: Now) -> Begun:
    """Another key signs from here on, the log stays the same. JournalError when it is not signed at all."""
    if begun := under_way(log):
        return begun
    old = keys.signer(log.state_dir, log.base)
    if found := loss(log, at_hand(log.state_dir), ""):
        raise JournalError(
            f"No checkpoint is signed: {found.sentence} Another key does not change that: "
            f"put the right journal back, or {keys.NEW_EPOCH}"
        )
    begun = _hand_over(log, KEY, reason, now, old.verifier.name, [old])
    log.settle()
    return begun


def new_epoch(log: StoppedLog, reason: str, now: Now) -> tuple[Begun, Loss | None]:
    """The log goes on under another name with the entries that there are. JournalError when nothing is wrong.

    Returns what was given up, too; None for an epoch that was under way before.
    """
    if begun := under_way(log):
        return begun, None
    found = given_up(log)
    begun = begin_epoch(log, reason, now, found, old_signers(log.state_dir, log.key()))
    log.settle()
    return begun, found


def given_up(log: StoppedLog) -> Loss:
    """What a new epoch would give up. JournalError when nothing is wrong."""
    found = loss(log, at_hand(log.state_dir), missing_key(log.state_dir, log.key()))
    if found is None:
        raise JournalError(
            "Nothing is wrong: the journal goes on from all that was signed, and its key is there. A new "
            "epoch begins only where the gateway does not sign any more."
        )
    return found


def begin_epoch(
    log: StoppedLog, reason: str, now: Now, found: Loss, olds: Sequence[Signer], used: int = 1
) -> Begun:
    """The transaction of a new epoch that gives up what was `found`; log.settle() has to follow.

    `olds` are the keys of the log until here that are at hand; `used` is the largest number of an epoch that
    is known elsewhere.
    """
    number = max([used, epoch_of(log.key().name)[1], *_numbers(log.state_dir, log.base)]) + 1
    for size, data in found.stored:
        _keep(log.state_dir, f"journal-{size}.checkpoint", data)
    sizes = [size for size, _ in found.stored]
    return _hand_over(
        log, EPOCH, reason, now, epoch_name(log.base, number), olds, found.signed[:SIGNED_MAX], sizes
    )


def _hand_over(
    log: StoppedLog,
    what: str,
    reason: str,
    now: Now,
    name: str,
    olds: Sequence[Signer],
    signed: Sequence[bytes] = (),
    without: Iterable[int] = (),
) -> Begun:
    now = log.after(now)
    new = keys.make(log.state_dir / keys.NEXT_FILE, name)
    entry = LogEntry(what, now.ms, reason, log.key().vkey, new.verifier.vkey, tuple(signed), log.size)
    log.add(LOG, log_entry(entry), now, [new, *olds], without)
    return Begun(entry)


def _keep(state_dir: Path, name: str, data: bytes) -> None:
    folder = state_dir / keys.EARLIER_FOLDER
    durable.make_folder(folder, 0o700)
    durable.replace(folder / name, data)


def _numbers(state_dir: Path, base: str) -> Iterator[int]:
    """Epochs that the files in state_dir know of."""
    paths = [*keys.remembered(state_dir), *(state_dir / keys.EARLIER_FOLDER).glob("*.checkpoint")]
    for path in paths:
        try:
            found, number = epoch_of(path.read_bytes().partition(b"\n")[0].decode("utf-8", "replace"))
        except EvidenceError:
            continue
        if found == base:
            yield number


# What is given up -------------------------------------------------------------------------------------------


class Loss(NamedTuple):
    """Why the log cannot be gone on with as it is."""

    signed: list[bytes]  # notes that the journal does not go on from, the largest first
    stored: list[tuple[int, bytes]]  # (size, note) of those that stand in the journal itself
    why: list[str]  # sentences; what is missing comes first
    through: int  # entries that were signed, by these notes; 0 without any
    kept: int  # entries that the journal holds

    @property
    def sentence(self) -> str:
        return " ".join(self.why)


def at_hand(state_dir: Path) -> list[bytes]:
    """The notes in state_dir that say what was signed."""
    return [path.read_bytes() for path in keys.remembered(state_dir)]


def loss(log: StoppedLog, notes: Iterable[bytes], missing: str) -> Loss | None:
    """What keeps the log from going on as it is: the journal's own checkpoints, these notes, and what is
    `missing` otherwise, a sentence. None when all is well.
    """
    key = log.key()
    stored = list(_apart(log))
    notes = [*(data for _, data in stored), *(data for _, data in log.stored[:1]), *notes]
    found = standing(key, log.history, dict.fromkeys(notes), log.size, log.tree.hash_at).apart
    if not found and not stored and not missing:
        return None
    sizes = {apart.data: apart.signed.size for apart in found if apart.signed is not None}
    signed = sorted(sizes, key=lambda data: -sizes[data])
    through = max(sizes.values(), default=0)
    why = []
    if through > log.size:
        why.append(
            f"{through} entries were signed, the journal holds {log.size}: "
            f"entries {log.size} to {through - 1} are missing."
        )
    elif signed:
        why.append(f"The journal's first {through} entries are not those that were signed.")
    why += [_sentence(apart.why) for apart in found if apart.signed is None]
    return Loss(signed, stored, why + ([missing] if missing else []), through, log.size)


def _apart(log: StoppedLog) -> Iterator[tuple[int, bytes]]:
    """Checkpoints in the journal that are not of its own entries: from the newest to the first that is."""
    for size, data in log.stored:
        try:
            begins_with(checkpoint.parse(note.parse(data).text), log.size, log.tree.hash_at)
        except EvidenceError:
            yield size, data
        else:
            return


def missing_key(state_dir: Path, key: Verifier) -> str:
    """Why `key` cannot sign; "" when it can. JournalError when it only has to be made private."""
    path = state_dir / keys.KEY_FILE
    if not path.exists():
        return f"{path} is gone."
    keys.private(path)
    return "" if old_signers(state_dir, key) else f"{path} is not the key of this log."


def old_signers(state_dir: Path, key: Verifier) -> list[Signer]:
    """The key of the log until here, where it is at hand."""
    try:
        signer = keys.load(state_dir / keys.KEY_FILE, key.name)
    except (JournalError, OSError):
        return []
    return [signer] if signer.verifier == key else []


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."
