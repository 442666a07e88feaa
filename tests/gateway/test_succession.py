"""The entry that says how a log goes on: one form, strictly read."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.succession import LogEntry, epoch_name, epoch_of, log_entry, parse_log_entry
from protocol import cbor, checkpoint
from protocol.checkpoint import Checkpoint
from protocol.merkle import EvidenceError
from protocol.note import COSIGNATURE, Signer

BASE = "quantrac/LCa/DEMO/NUO001"


def signer(name: str = BASE, seed: int = 1, algorithm: int = 1) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32), algorithm)


OLD, NEW, SECOND = signer(), signer(seed=2), signer(f"{BASE}/epoch-2", 3)
NOTE = checkpoint.sign(Checkpoint(BASE, 9, b"r" * 32), OLD)
KEY = LogEntry("key", 1_774_397_100_000, "yearly", OLD.verifier.vkey, NEW.verifier.vkey, (), 4)
EPOCH = LogEntry("epoch", 1, "Đĩa hỏng", OLD.verifier.vkey, SECOND.verifier.vkey, (NOTE,), 4)


@pytest.mark.parametrize("entry", [KEY, EPOCH, EPOCH._replace(signed=()), EPOCH._replace(kept=0)])
def test_what_is_written_is_read(entry):
    body = log_entry(entry)
    assert parse_log_entry(body, entry.kept) == entry
    fields = {"what", "at_ms", "reason", "old", "new", "signed", "kept"}
    assert set(cbor.loads(body)) == fields  # type: ignore[arg-type]


def test_what_it_gives_up():
    assert [(found.origin, found.size) for found in EPOCH.given_up()] == [(BASE, 9)]


WRONG = {
    "what": [KEY._replace(what="lost"), KEY._replace(what="epoch"), EPOCH._replace(what="key")],
    "time": [KEY._replace(at_ms=-1), KEY._replace(at_ms=1 << 63), KEY._replace(at_ms=True)],
    "reason": [KEY._replace(reason=text) for text in ("", " ", "a\nb", "x\x1b[2J", "a" * 501, None)],
    "key": [
        KEY._replace(new=KEY.old),
        KEY._replace(old=""),
        KEY._replace(old=KEY.old + "\n"),
        KEY._replace(new=signer("quantrac/LCa/DEMO/NUO002", 2).verifier.vkey),
        KEY._replace(new=signer(BASE, 2, COSIGNATURE).verifier.vkey),
        KEY._replace(old=signer("log").verifier.vkey, new=signer("log", 2).verifier.vkey),
    ],
    "epoch": [
        EPOCH._replace(new=signer(f"{BASE}/epoch-2").verifier.vkey),
        EPOCH._replace(new=signer(f"{BASE}/epoch-1", 3).verifier.vkey),
        EPOCH._replace(new=signer(f"{BASE}/epoch-02", 3).verifier.vkey),
        EPOCH._replace(new=signer(f"{BASE}2/epoch-2", 3).verifier.vkey),
        EPOCH._replace(old=SECOND.verifier.vkey, new=OLD.verifier.vkey),
        EPOCH._replace(old=SECOND.verifier.vkey, new=signer(f"{BASE}/epoch-2", 4).verifier.vkey),
    ],
    "signed": [
        KEY._replace(signed=(NOTE,)),
        EPOCH._replace(signed=(b"",)),
        EPOCH._replace(signed=(NOTE,) * 65),
        EPOCH._replace(
            signed=(checkpoint.sign(Checkpoint("a/b/c/d", 9, b"r" * 32), signer("a/b/c/d")),)
        ),
    ],
    "kept": [KEY._replace(kept=-1), KEY._replace(kept=5), KEY._replace(kept=1 << 63)],
}  # fmt: skip


@pytest.mark.parametrize("entry", [entry for entries in WRONG.values() for entry in entries])
def test_what_is_not_as_it_must_be_is_neither_written_nor_read(entry):
    with pytest.raises(EvidenceError):
        parse_log_entry(cbor.dumps(entry._asdict()), 4)
    if entry.kept != 5:  # its place is the reader's to know
        with pytest.raises(EvidenceError):
            log_entry(entry)


@pytest.mark.parametrize("field", LogEntry._fields)
def test_every_field_stands_there_once_and_no_other(field):
    found = EPOCH._asdict() | {"signed": [NOTE]}
    less = {name: value for name, value in found.items() if name != field}
    for wrong in (less, {**less, "more": 1}, {**found, "more": 1}, {**found, field: None}, list(found)):
        with pytest.raises(EvidenceError):
            parse_log_entry(cbor.dumps(wrong), 4)
    for garbage in (b"", b"\xff", log_entry(EPOCH) + b"\0", log_entry(EPOCH)[:-1]):
        with pytest.raises(EvidenceError):
            parse_log_entry(garbage, 4)


def test_names_of_epochs():
    for number in (1, 2, 10, 999):
        assert epoch_of(epoch_name(BASE, number)) == (BASE, number)
    assert epoch_of("quantrac/LCa/DEMO/epoch-2") == ("quantrac/LCa/DEMO/epoch-2", 1), (
        "a station may be called so"
    )
    for wrong in ("", "a/b/c", f"{BASE}/epoch-1", f"{BASE}/epoch-", f"{BASE}/epoch-2/epoch-3", f"{BASE}/"):
        with pytest.raises(EvidenceError):
            epoch_of(wrong)
