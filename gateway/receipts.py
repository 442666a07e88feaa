"""Receipts (C2SP tlog-proof) of what stands in the journal: one disputed value proved, nothing else shown.

Rule 1: a receipt leads to the newest checkpoint. Before there is one for an entry: JournalError.
Rule 2: `extra` carries the entry's own bytes, so that the receipt alone is enough. Nobody signed it:
        hash it, as protocol.receipt.check() does with what it is given.
Rule 3: of a delivery it is this gateway's word, signed before anybody asked: when it had the destination's
        confirmation, of which bytes. The destination signs nothing.
"""

from __future__ import annotations

from gateway.errors import JournalError
from gateway.journal.bodies import DELIVERED, delivery
from gateway.journal.kinds import DELIVERY, EVENT
from gateway.journal.reader import Reader
from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import inclusion_proof
from protocol.receipt import Receipt

_WINDOW = "SELECT idx FROM window WHERE start_ms = ? AND symbol = ? ORDER BY revision DESC LIMIT 1"
_SETTLED = "SELECT state, settled_ms, last_error FROM outbox WHERE destination = ? AND key = ?"
_ARRIVED = "SELECT idx, arrived_ms FROM entry WHERE idx >= ? ORDER BY idx LIMIT 1"
_NAMING = (
    "SELECT idx, body FROM entry INDEXED BY entry_rare "
    f"WHERE kind >= {EVENT} AND kind = {DELIVERY} AND idx >= ? AND instr(body, ?) ORDER BY idx LIMIT 1"
)


def newest_checkpoint(reader: Reader, at_least: int) -> tuple[bytes, Checkpoint]:
    """The newest signed note of `at_least` so many entries, and what it says (not verified: it is ours)."""
    data = reader.checkpoint(at_least)
    if data is None:
        raise JournalError(
            f"No checkpoint covers the journal's first {at_least} entries yet: one is signed with every "
            "window. If none is, the gateway's status says why."
        )
    return data, checkpoint.parse(note.parse(data).text)


def receipt(reader: Reader, index: int) -> Receipt:
    """Of one entry. Raises JournalError."""
    stored = next(reader.entries(index, index), None)
    if stored is None:
        raise JournalError(f"The journal has no entry {index}: they are 0 to {reader.size() - 1}.")
    data, signed = newest_checkpoint(reader, index + 1)
    path = inclusion_proof(index, signed.size, reader.tree().hash_at)
    return Receipt(index, path, data, stored.leaf_bytes())


def receipt_of_window(reader: Reader, symbol: str, start_ms: int) -> Receipt:
    """Of the newest revision of a channel's window that starts at `start_ms` (Unix ms). JournalError."""
    found = reader.rows(_WINDOW, start_ms, symbol)
    if not found:
        raise JournalError(f"The journal has no window of {symbol} that starts at {start_ms} (Unix ms).")
    return receipt(reader, found[0][0])


def receipt_of_delivery(reader: Reader, destination: str, key: str, since_ms: int = 0) -> Receipt:
    """That `destination` confirmed the document `key`. JournalError when it has not, or nobody knows of it.

    since_ms: where to begin to look for one that has left the outbox; it was not delivered before.
    """
    settled = reader.rows(_SETTLED, destination, key)
    if settled:
        state, at_ms, error = settled[0]
        if state == 0:
            raise JournalError(f"The document {key} waits to be delivered to {destination}.")
        if state != 1:
            raise JournalError(f"The document {key} was not taken by {destination}: {error}")
        since_ms = at_ms
    for first in (_first_since(reader, since_ms), 0):  # from the beginning: clocks are set back
        while rows := reader.rows(_NAMING, first, key.encode()):
            ((index, body),) = rows
            found = delivery(body)
            if found is not None and found[:2] == (destination, DELIVERED) and key in found.names():
                return receipt(reader, index)
            first = index + 1
    raise JournalError(f"No entry tells that {key} was delivered to {destination}.")


def _first_since(reader: Reader, since_ms: int) -> int:
    """The first entry that arrived then or later, where arrival times rise."""
    low, high = 0, reader.size()
    while low < high:
        middle = (low + high) // 2
        index, arrived_ms = reader.rows(_ARRIVED, middle)[0]
        if arrived_ms < since_ms:
            low = index + 1
        else:
            high = middle
    return low
