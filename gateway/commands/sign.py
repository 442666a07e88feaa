"""Signing answers to the department with the log's key, which the department has: log.vkey.

Rule 1: the key of this moment, under the log's name of this moment: both may change (journal/keys.py).
Rule 2: only what cannot be taken for a checkpoint (message.py, rule 4).
"""

from __future__ import annotations

from pathlib import Path

from gateway.commands.message import RESULT_HEAD
from gateway.errors import JournalError
from gateway.journal.keys import KEY_FILE, NEW_EPOCH, VKEY_FILE, load, published


class Signing:
    """Signs for the log that was first called `base`, whose key is in `state_dir`."""

    def __init__(self, state_dir: Path, base: str):
        self._state_dir, self._base = state_dir, base

    def __call__(self, text: str) -> bytes:
        """The note. Reads files. JournalError: the key is gone, or not this log's."""
        if not text.startswith(f"{RESULT_HEAD}\n"):
            raise ValueError("the log's key signs answers here, and nothing else")
        path, public = self._state_dir / KEY_FILE, published(self._state_dir, self._base)
        if public is None or not path.exists():
            raise JournalError(f"{path} is gone: put it back from a backup, or {NEW_EPOCH}")
        signer = load(path, public.name)
        if signer.verifier != public:
            raise JournalError(f"{path} does not belong to {VKEY_FILE}: put the right one back.")
        return f"{text}\n{signer.sign(text)}".encode()
