"""How a log goes on under another key or another name: the entry that says so, and the names of epochs.

    {"what": "key" | "epoch", "at_ms", "reason", "old", "new": verifier keys, "signed": [notes], "kept"}

Rule 1: a key follows another under the same name. An epoch goes on under a name that nothing was ever signed
        under: the log's first name with "/epoch-2", "/epoch-3", ... It begins where the old one was not gone
        on with; `kept` entries stand before it, and `signed` holds what was signed of the old one and is not
        in this log, so that everybody sees what is missing.
Rule 2: the entry is believed for its place in a log: a checkpoint of the log with it as the last entry, by
        the new key and, where it is still there, by the old one (a handover). The entry alone proves nothing,
        and whether its notes are signed is for whoever knows the keys to find out.
Rule 3: whatever the bytes, parse_log_entry() returns an entry as log_entry() would write it, or raises
        EvidenceError.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from protocol import cbor, checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.errors import CodecError
from protocol.merkle import SIZE_MAX, EvidenceError
from protocol.note import ED25519, Verifier

KEY, EPOCH = "key", "epoch"
REASON_MAX = 500
"""Characters: what a person says in a sentence or two."""
SIGNED_MAX = 64
"""Notes that an epoch shows as given up: the mark, and one for each witness."""

_NAME = re.compile(r"([^/]+(?:/[^/]+){3})(?:/epoch-([2-9]|[1-9][0-9]{1,8}))?", re.ASCII)
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class LogEntry(NamedTuple):
    """What happened to the log. Times in Unix ms of station time."""

    what: str  # KEY or EPOCH
    at_ms: int
    reason: str
    old: str  # the verifier key that signed until here
    new: str  # and the one from here on
    signed: tuple[bytes, ...]  # notes of the old log that this one is not the continuation of, as they were
    kept: int  # entries before this one

    @property
    def old_key(self) -> Verifier:
        return note.parse_vkey(self.old)

    @property
    def new_key(self) -> Verifier:
        return note.parse_vkey(self.new)

    def given_up(self) -> list[Checkpoint]:
        """What the notes in `signed` say, in their order; their signatures are not verified here."""
        return [checkpoint.parse(note.parse(data).text) for data in self.signed]


def log_entry(entry: LogEntry) -> bytes:
    """The body of its entry in the journal. EvidenceError: it is not as it must be."""
    _check(entry)
    return cbor.dumps(entry._asdict())


def parse_log_entry(body: bytes, index: int) -> LogEntry:
    """The body of entry `index` of a log."""
    try:
        found: Any = cbor.loads(body)
    except CodecError as error:
        raise EvidenceError(f"entry {index} does not say what happened to the log: {error}") from None
    if not isinstance(found, dict) or found.keys() != set(LogEntry._fields):
        raise EvidenceError(f"entry {index} does not say what happened to the log: its fields are others")
    if type(found["signed"]) is list:
        found["signed"] = tuple(found["signed"])
    entry = LogEntry(**found)
    try:
        _check(entry)
        if entry.kept != index:
            raise EvidenceError(f"it stands behind {index} entries and says {entry.kept}")
    except EvidenceError as error:
        raise EvidenceError(f"entry {index} does not say what happened to the log: {error}") from None
    return entry


def _check(entry: LogEntry) -> None:
    for value, wanted in zip(entry, (str, int, str, str, str, tuple, int), strict=True):
        if type(value) is not wanted:
            raise EvidenceError(f"a field of it is no {wanted.__name__}")
    if not 0 <= entry.at_ms <= SIZE_MAX or not 0 <= entry.kept < SIZE_MAX:
        raise EvidenceError("its time and the number of entries before it are 0 to 2**63 - 1")
    if not entry.reason.strip() or len(entry.reason) > REASON_MAX or _UNPRINTABLE.search(entry.reason):
        raise EvidenceError(f"its reason is a line of 1 to {REASON_MAX} characters")
    _check_keys(entry)
    if len(entry.signed) > SIGNED_MAX:
        raise EvidenceError(f"it shows more than {SIGNED_MAX} checkpoints as given up")
    base, _ = epoch_of(entry.old_key.name)
    for data in entry.signed:
        if epoch_of(checkpoint.parse(note.parse(data).text).origin)[0] != base:
            raise EvidenceError("it shows the checkpoint of another log as given up")


def _check_keys(entry: LogEntry) -> None:
    old, new = entry.old_key, entry.new_key
    for key, text in ((old, entry.old), (new, entry.new)):
        if key.vkey != text or key.algorithm != ED25519:
            raise EvidenceError(f"{key.name} is no verifier key of a log as it is written")
    if old.public == new.public:
        raise EvidenceError("the new key is the old one")
    (old_base, old_number), (new_base, new_number) = epoch_of(old.name), epoch_of(new.name)
    match entry.what:
        case "key":
            if old.name != new.name or entry.signed:
                raise EvidenceError("another key goes on with the same log, and gives up nothing of it")
        case "epoch":
            if old_base != new_base or new_number <= old_number:
                raise EvidenceError(f"{new.name} is no later epoch of {old.name}")
        case _:
            raise EvidenceError("it says neither that the key changed nor that an epoch began")


# Names ------------------------------------------------------------------------------------------------------


def epoch_of(name: str) -> tuple[str, int]:
    """A log's first name, and which epoch of it this name is: 1 for the first. EvidenceError."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise EvidenceError(f"{name!r} is no log of a gateway: quantrac/<province>/<facility>/<station>")
    return found[1], int(found[2] or 1)


def epoch_name(base: str, number: int) -> str:
    """The name of epoch `number` of the log that was first called `base`."""
    return base if number == 1 else f"{base}/epoch-{number}"
