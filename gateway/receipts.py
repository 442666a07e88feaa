"""Receipts (C2SP tlog-proof) of what stands in the journal: one disputed value proved, nothing else shown.

Rule 1: a receipt leads to the newest checkpoint. Before there is one for an entry: JournalError.
Rule 2: of an entry that retention has pruned the hash is kept, and so a receipt can be made: for whoever has
        its bytes, from an earlier bundle.
Rule 3: `extra` carries the entry's own bytes, so that the receipt alone is enough. Nobody signed it:
        hash it, as protocol.receipt.check() does with what it is given.
"""

from __future__ import annotations

from gateway.errors import JournalError
from gateway.journal.reader import Reader
from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import inclusion_proof
from protocol.receipt import Receipt

_WINDOW = "SELECT idx FROM window WHERE start_ms = ? AND symbol = ? ORDER BY revision DESC LIMIT 1"


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
    if stored is None and index >= reader.whole().first:
        raise JournalError(f"The journal has no entry {index}: they are 0 to {reader.size() - 1}.")
    data, signed = newest_checkpoint(reader, index + 1)
    path = inclusion_proof(index, signed.size, reader.tree().hash_at)
    return Receipt(index, path, data, None if stored is None else stored.leaf_bytes())


def receipt_of_window(reader: Reader, symbol: str, start_ms: int) -> Receipt:
    """Of the newest revision of a channel's window that starts at `start_ms` (Unix ms). JournalError."""
    found = reader.rows(_WINDOW, start_ms, symbol)
    if not found:
        raise JournalError(f"The journal has no window of {symbol} that starts at {start_ms} (Unix ms).")
    return receipt(reader, found[0][0])
