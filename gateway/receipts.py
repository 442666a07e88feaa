"""Receipts (C2SP tlog-proof) of what stands in the journal: one disputed value proved, nothing else shown.

Rule 1: a receipt leads to a checkpoint by the log's present key, which whoever asks has: to the newest one
        that witnesses have cosigned, where they have, else to the newest. Before there is one for an entry:
        NotThere.
Rule 2: of an entry that retention has pruned the hash is kept, and so a receipt can be made: for whoever has
        its bytes, from an earlier bundle.
Rule 3: `extra` carries the entry's own bytes, so that the receipt alone is enough. Nobody signed it:
        hash it, as protocol.receipt.check() does with what it is given.
Rule 4: of a delivery it is this gateway's word, signed before anybody asked: when it had the destination's
        confirmation, of which bytes. The destination signs nothing.
"""

from __future__ import annotations

import re

from gateway.errors import NotThere
from gateway.journal.bodies import DELIVERED, delivery
from gateway.journal.kinds import DELIVERY, EVENT, LOG
from gateway.journal.reader import Reader
from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import inclusion_proof
from protocol.receipt import Receipt

LOOK_CHECKPOINTS = 288
"""Checkpoints among which cosigned ones are looked for: a day's; the newest, then the oldest that will do."""
LENGTH_MS_MAX = 3_600_000
"""Of a window, as configurations may have it."""

_WINDOW = (
    "SELECT idx FROM window WHERE start_ms = ? AND symbol = ? AND revision = COALESCE(?, revision) "
    "ORDER BY revision DESC LIMIT 1"
)
_LENGTH = (
    "SELECT start_ms FROM window WHERE start_ms >= ? AND start_ms < ? AND end_ms = ? AND symbol = ? LIMIT 1"
)
_HANDED_OVER = f"SELECT COALESCE(MAX(idx), -1) FROM entry WHERE kind >= {EVENT} AND kind = {LOG}"
_NEWEST = "SELECT note FROM checkpoint WHERE size >= ? ORDER BY size DESC LIMIT ?"
_OLDEST = "SELECT note FROM checkpoint WHERE size >= ? ORDER BY size LIMIT ?"
_COSIGNATURE = re.compile(rb"^\xe2\x80\x94 [^ \n]+ [A-Za-z0-9+/]{102}==$", re.MULTILINE)
"""As a witness writes it (C2SP tlog-cosignature): four bytes of key id, eight of time, 64 of signature."""
_SETTLED = "SELECT state, settled_ms, last_error FROM outbox WHERE destination = ? AND key = ?"
_ARRIVED = "SELECT idx, arrived_ms FROM entry WHERE idx >= ? ORDER BY idx LIMIT 1"
_NAMING = (
    "SELECT idx, body FROM entry INDEXED BY entry_rare "
    f"WHERE kind >= {EVENT} AND kind = {DELIVERY} AND idx >= ? AND instr(body, ?) ORDER BY idx LIMIT 1"
)


def newest_checkpoint(reader: Reader, at_least: int) -> tuple[bytes, Checkpoint]:
    """The best signed note of `at_least` so many entries, and what it says (not verified: it is ours)."""
    at_least = max(at_least, reader.rows(_HANDED_OVER)[0][0] + 1)
    found = [data for (data,) in reader.rows(_NEWEST, at_least, LOOK_CHECKPOINTS)]
    if not found:
        raise NotThere(
            f"No checkpoint covers the journal's first {at_least} entries yet: one is signed with every "
            "window. If none is, the gateway's status says why."
        )
    best = max(found, key=_cosignatures)  # the newest of those that have the most
    if not _cosignatures(best) and len(found) == LOOK_CHECKPOINTS:
        oldest = [data for (data,) in reader.rows(_OLDEST, at_least, LOOK_CHECKPOINTS)]
        best = max([best, *reversed(oldest)], key=_cosignatures)
    return best, checkpoint.parse(note.parse(best).text)


def _cosignatures(data: bytes) -> int:
    return len(_COSIGNATURE.findall(data))


def receipt(reader: Reader, index: int) -> Receipt:
    """Of one entry. NotThere."""
    stored = next(reader.entries(index, index), None)
    if stored is None and index >= reader.whole().first:
        raise NotThere(f"The journal has no entry {index}: they are 0 to {reader.size() - 1}.")
    data, signed = newest_checkpoint(reader, index + 1)
    path = inclusion_proof(index, signed.size, reader.tree().hash_at)
    return Receipt(index, path, data, None if stored is None else stored.leaf_bytes())


def receipt_of_window(reader: Reader, symbol: str, start_ms: int, revision: int | None = None) -> Receipt:
    """Of a channel's window that starts at `start_ms` (Unix ms), in its newest revision or in this one.
    NotThere.
    """
    found = reader.rows(_WINDOW, start_ms, symbol, revision)
    if not found:
        which = "" if revision is None else f", revision {revision},"
        raise NotThere(f"The journal has no window of {symbol}{which} that starts at {start_ms} (Unix ms).")
    return receipt(reader, found[0][0])


def receipt_of_window_ending(
    reader: Reader, symbol: str, end_ms: int, revision: int | None = None
) -> Receipt:
    """The same by the window's end, however long it is."""
    found = reader.rows(_LENGTH, end_ms - LENGTH_MS_MAX, end_ms, end_ms, symbol)
    if not found:
        raise NotThere(f"The journal has no window of {symbol} that ends at {end_ms} (Unix ms).")
    return receipt_of_window(reader, symbol, found[0][0], revision)


def receipt_of_delivery(reader: Reader, destination: str, key: str, since_ms: int = 0) -> Receipt:
    """That `destination` confirmed the document `key`. NotThere when it has not, or nobody knows of it.

    since_ms: where to begin to look for one that has left the outbox; it was not delivered before.
    """
    settled = reader.rows(_SETTLED, destination, key)
    if settled:
        state, at_ms, error = settled[0]
        if state == 0:
            raise NotThere(f"The document {key} waits to be delivered to {destination}.")
        if state != 1:
            raise NotThere(f"The document {key} was not taken by {destination}: {error}")
        since_ms = at_ms
    for first in (_first_since(reader, since_ms), 0):  # from the beginning: clocks are set back
        while rows := reader.rows(_NAMING, first, key.encode()):
            ((index, body),) = rows
            found = delivery(body)
            if found is not None and found[:2] == (destination, DELIVERED) and key in found.names():
                return receipt(reader, index)
            first = index + 1
    raise NotThere(f"No entry tells that {key} was delivered to {destination}.")


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
