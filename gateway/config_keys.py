"""Verifier keys in the files that a configuration names: of witnesses, of the department."""

from __future__ import annotations

from protocol.merkle import EvidenceError
from protocol.note import COSIGNATURE, ED25519, Verifier, parse_vkey

WITNESS_NAME_MAX = 100  # characters, for tables and metrics
KEYS_MAX = 8


def witness_key(content: bytes) -> Verifier:
    """The verifier key in the file of a `[[witness]]`. EvidenceError when it is none of a witness."""
    try:
        verifier = parse_vkey(content.decode().strip())
    except UnicodeDecodeError:
        raise EvidenceError("it is not text") from None
    if verifier.algorithm != COSIGNATURE:
        raise EvidenceError("it is of a log, not of a witness")
    if not verifier.name.isprintable() or len(verifier.name) > WITNESS_NAME_MAX:
        raise EvidenceError(f"its name is longer than {WITNESS_NAME_MAX} characters, or not printable")
    return verifier


def department_keys(data: bytes) -> list[Verifier]:
    """The verifier keys in the department's file. EvidenceError when one of them is none of Ed25519."""
    try:
        lines = [line.strip() for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise EvidenceError("it is not text") from None
    keys = [parse_vkey(line) for line in lines]
    if not 1 <= len(keys) <= KEYS_MAX:
        raise EvidenceError(f"it holds {len(keys)} keys: 1 to {KEYS_MAX} are possible")
    if any(key.algorithm != ED25519 for key in keys):
        raise EvidenceError("it holds the key of a witness (type 4), which signs no commands")
    if len({key.name for key in keys}) < len(keys) or len({key.public for key in keys}) < len(keys):
        raise EvidenceError("two of its keys have one name, or are one key: counters are of one key each")
    return keys
