"""What a device's seals say of the records of a bundle (protocol/seal_check.py).

Rule: WRONG ends the verification. What is not sealed (yet), or was lost by the device's own account, is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.journal.kinds import FRAME
from gateway.journal.leaf import Leaf
from protocol.cose import payload_of
from protocol.errors import CodecError, ConfigError
from protocol.merkle import EvidenceError
from protocol.messages import decode

PREFIX = "device/"


def check_seals(leaves: Iterable[tuple[int, Leaf]], key: bytes, device: str) -> Iterator[tuple[bool, str]]:
    """(whether it is proved, a sentence) of the device's records among consecutive entries. EvidenceError."""
    try:
        from protocol.seal_check import LOST, SEALED, WRONG, check
    except ImportError:
        yield False, "seals cannot be checked: this program has no protocol/seal_check.py"
        return
    counts: dict[str, list[int]] = {}
    first_of: dict[str, str] = {}
    try:
        for verdict in check(_messages(leaves, PREFIX + device), device, key):
            if verdict.kind == WRONG:
                raise EvidenceError(f"{PREFIX}{device}: {verdict.text}")
            found = counts.setdefault(verdict.kind, [0, 0])
            found[0] += verdict.records
            found[1] += verdict.readings
            first_of.setdefault(verdict.kind, verdict.text)
    except ConfigError as error:
        raise EvidenceError(f"--seal-key: {error}") from None
    if SEALED not in counts:
        raise EvidenceError(f"{PREFIX}{device}: no seal in the bundle is good: {_why(first_of)}")
    for kind, (records, readings) in counts.items():
        if kind == SEALED:
            yield (
                True,
                (f"{records} records of {PREFIX}{device} ({readings} readings) are those sealed, in order"),
            )
        elif records:
            why = "the device says that it lost some" if kind == LOST else "no seal behind them is here"
            yield (
                False,
                f"{records} records of {PREFIX}{device} are not proved by a seal: {why} ({first_of[kind]})",
            )


def _why(first_of: dict[str, str]) -> str:
    return next(iter(first_of.values()), "there is none")


def _messages(leaves: Iterable[tuple[int, Leaf]], source: str) -> Iterator[object]:
    for _, leaf in leaves:
        if leaf.kind == FRAME and leaf.source == source:
            try:
                yield decode(payload_of(leaf.body))
            except CodecError:  # as the gateway: what cannot be read is no record
                continue
