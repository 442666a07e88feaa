"""The handovers of a log, as a bundle carries them: gateway/verify_handovers.py checks them.

Rule: a handover is written with the signatures of the keys that it is about, the new one's first: it has one
text, so that no bit of it can be changed unseen. Witnesses cosign the checkpoints behind it as well.
"""

from __future__ import annotations

from gateway.errors import JournalError
from gateway.journal.checkpoints import LOG_ENTRIES, VKEY_FILE
from gateway.journal.reader import Reader
from gateway.succession import parse_log_entry
from gateway.verify_handovers import History
from protocol import note as notes
from protocol.merkle import inclusion_proof
from protocol.note import Note, Verifier
from protocol.receipt import Receipt

_CHECKPOINT = "SELECT note FROM checkpoint WHERE size = ?"


class Handovers:
    """Those of a journal; `indexes` are its LOG entries. JournalError, EvidenceError: it is damaged."""

    def __init__(self, reader: Reader, log: Verifier):
        self._reader = reader
        entries = [parse_log_entry(body, index) for index, body in reader.rows(LOG_ENTRIES)]
        self.indexes = [entry.kept for entry in entries]
        self.history = History(log, entries)
        if entries and entries[-1].new_key != log:
            raise JournalError(
                f"{VKEY_FILE} is not the key that the journal goes on under ({entries[-1].new}): the key is "
                "being changed. Start the gateway, then try again."
            )

    def signed_once(self, data: bytes) -> bytes:
        """The note, signed by one key of this log alone."""
        note = notes.parse(data)
        key = self.history.signer_of(note)
        return note._replace(
            signatures=tuple(s for s in note.signatures if key and s[:2] == key[:2])
        ).encode()

    def handover(self, index: int) -> bytes:
        """The file of a LOG entry."""
        found = self._reader.rows(_CHECKPOINT, index + 1)
        if not found:
            raise JournalError(
                f"The journal does not hold the checkpoint that entry {index} was handed over with: "
                "put it back from a backup."
            )
        at = self.indexes.index(index)
        entry, before = self.history.entries[at], self.history.entries[max(0, at - 1)]
        note = notes.parse(found[0][0])
        keys = dict.fromkeys([entry.new_key, entry.old_key, before.new_key if at else entry.old_key])
        by_key = {signature[:2]: signature for signature in note.signatures}
        signed = tuple(by_key[key[:2]] for key in keys if key[:2] in by_key)
        proof = inclusion_proof(index, index + 1, self._reader.tree().hash_at)
        return Receipt(index, proof, Note(note.text, signed).encode()).encode()
