"""Which calibration of each quantity is in force: an entry of its own (CALIBRATION), so that whoever looks
for calibrations finds them by their kind, and can have a receipt of one.

    {"what": "in force", "quantity": name, "calibration": id, "points": [[raw, engineering], ...],
     "since_ms": Unix ms}                                               source: the device

Rule 1: written right behind the greeting (HELLO) that brings it, when it is another one than the newest entry
        of its quantity says. Id 0 without points is none; it is written where there was one before.
Rule 2: follows from the greetings: Check (quantrac rebuild) makes it once more. No window rests on it.
Rule 3: since_ms is the start of the boot that greets. Boots before it that never greeted may have had it.
Rule 4: readings say themselves by which calibration they are to be read, each by its id.
Rule 5: another "what" is passed over: a person's record of a calibration (calibration/record.py) is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.journal.kinds import CALIBRATION, HELLO
from gateway.journal.leaf import Leaf
from protocol import cbor
from protocol.cose import payload_of
from protocol.errors import CodecError
from protocol.merkle import EvidenceError
from protocol.messages import Hello, decode

if TYPE_CHECKING:
    from gateway.journal.reader import Reader

IN_FORCE = "in force"

Held = dict[str, tuple[int, list]]
"""quantity -> (id, points) that the newest entry says."""
NONE: tuple[int, list] = (0, [])


def learn(reader: Reader) -> dict[str, Held]:
    """By source, from the journal."""
    found: dict[str, Held] = {}
    for entry in reader.entries(kinds=(CALIBRATION,)):
        if entry.body is not None:
            _take(found.setdefault(entry.source, {}), entry.body)
    return found


def told(held: Held, hello: Hello, now_ms: int) -> list[bytes]:
    """Entries of what a greeting of this moment brings that `held` has not; `held` has it then."""
    bodies = []
    for quantity, _, calibration, points in hello.channels:
        brought = (calibration, [list(point) for point in points])
        if held.get(quantity, NONE) != brought:
            held[quantity] = brought
            bodies.append(_body(quantity, *brought, now_ms - hello.ticks_ms))
    return bodies


def _body(quantity: str, calibration: int, points: list, since_ms: int) -> bytes:
    return cbor.dumps(
        {
            "what": IN_FORCE, "quantity": quantity, "calibration": calibration, "points": points,
            "since_ms": since_ms,
        }
    )  # fmt: skip


def _take(held: Held, body: bytes) -> bool:
    """Whether an entry says that something is in force; `held` has it then."""
    said: Any = cbor.loads(body)
    if not isinstance(said, dict) or said.get("what") != IN_FORCE:
        return False
    held[said["quantity"]] = (said["calibration"], said["points"])
    return True


class Check:
    """Takes all entries of a journal in their order. EvidenceError names one that no greeting gives, or the
    greeting behind which one is missing; a journal from before there were any misses none.
    """

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._due: list[bytes] = []
        self._source, self._index = "", -1  # of the greeting
        self.found = 0

    def take(self, index: int, leaf: Leaf) -> None:
        """The next entry."""
        try:
            self._next(index, leaf)
        except (CodecError, KeyError, TypeError) as error:
            raise EvidenceError(f"entry {index} is no calibration as a gateway writes it") from error

    def _next(self, index: int, leaf: Leaf) -> None:
        held = self._held.setdefault(leaf.source, {}) if leaf.kind in (HELLO, CALIBRATION) else {}
        if leaf.kind == CALIBRATION and _take(dict(held), leaf.body):
            if leaf.source != self._source or self._due[:1] != [leaf.body]:
                raise EvidenceError(f"entry {index}: a calibration that no greeting before it brings")
            _take(held, self._due.pop(0))
            self.found += 1
            return
        self.end()
        if leaf.kind == HELLO:
            self._source, self._index = leaf.source, index
            self._due = _of(held, leaf)

    def end(self) -> None:
        """There are no more behind the newest greeting."""
        if self._due and self._held[self._source]:
            raise EvidenceError(f"entry {self._index}: a calibration that this greeting brings is missing")
        self._due = []


def _of(held: Held, leaf: Leaf) -> list[bytes]:
    try:
        hello: Any = decode(payload_of(leaf.body))
    except CodecError:  # as in replay.py
        return []
    return told(dict(held), hello, leaf.arrived_ms)
