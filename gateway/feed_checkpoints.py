"""Signed checkpoints for `send = ["checkpoints"]`. Position: the entries that one signs.

Rule 1: each that was signed goes out; one who asks for the first time gets the newest: it covers all before.
        Where none may be given to anybody yet, that is each that is signed from this start on.
Rule 2: none goes out that is newer than what may be given to anybody (journal/checkpoints.py, rule 2).
"""

from __future__ import annotations

from gateway.config_model import Config
from gateway.documents import Draft, checkpoint_drafts
from gateway.feed import Source
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from protocol import checkpoint as checkpoints
from protocol import note

AT_ONCE = 256
"""Checkpoints queued in one transaction: a day's are some 300."""

_SIGNED = "SELECT size, at_ms, note FROM checkpoint WHERE size > ? AND size <= ? ORDER BY size LIMIT ?"
_NEWEST = "SELECT COALESCE(MAX(size), -1) FROM checkpoint WHERE size <= ?"


class CheckpointSource(Source):
    send = "checkpoints"

    def __init__(self, config: Config, journal: Journal):
        super().__init__(config, journal)
        self._size_at_start = journal.size

    def end(self) -> int:
        newest = self._journal.checkpoint
        return checkpoints.parse(note.parse(newest).text).size if newest else -1

    def before_newest(self, reader: Reader, end: int) -> int:
        return end - 1 if end >= 0 else reader.rows(_NEWEST, self._size_at_start)[0][0]

    def drafts(self, reader: Reader, after: int, end: int, checkpoint: bytes) -> tuple[list[Draft], int]:
        rows = reader.rows(_SIGNED, after, end, AT_ONCE)
        drafts = [
            draft
            for size, at_ms, data in rows
            for draft in checkpoint_drafts(self._config, size, at_ms, data)
        ]
        return drafts, rows[-1][0] if len(rows) == AT_ONCE else end
