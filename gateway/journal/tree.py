"""The Merkle tree of a journal's entries, as it lies in the database.

Rule 1: the leaves are the column `leaf`; `node` keeps the roots of complete blocks of 256, 65,536, ...
        leaves. Nothing is ever computed from the start: a checkpoint needs the frontier, a proof 256 hashes
        a level.
Rule 2: nodes follow from the leaves. They are written in the transaction that completes their block, and what
        is missing (a journal of schema 1) is made when the journal is opened.
"""

from __future__ import annotations

import sqlite3

from gateway.errors import JournalError
from protocol.merkle import TILE_LEVELS, Frontier, node_hash

INSERT_NODE = "INSERT INTO node VALUES (?, ?, ?)"
_LEAVES = "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
_NODES = "SELECT hash FROM node WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
_BLOCKS_AT_ONCE = 256
"""Blocks of 256 leaves whose nodes are made in one transaction."""


class Tree:
    """hash_at() as protocol.merkle wants it. Belongs to the connection's thread."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    def hash_at(self, level: int, index: int) -> bytes:
        """The root of the complete subtree over the leaves index << level to ((index + 1) << level) - 1.

        JournalError when the journal does not hold it.
        """
        stored = level - level % TILE_LEVELS
        width = 1 << (level - stored)
        if stored == 0:
            rows = self._connection.execute(_LEAVES, (index * width, (index + 1) * width)).fetchall()
        else:
            rows = self._connection.execute(_NODES, (stored, index * width, (index + 1) * width)).fetchall()
        if len(rows) != width:
            first = index << level
            raise JournalError(
                f"Hashes of the entries {first} to {first + (1 << level) - 1} are missing: "
                "restore the journal from a backup."
            )
        hashes = [row[0] for row in rows]
        while len(hashes) > 1:
            hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    def frontier(self, size: int) -> Frontier:
        """Of the first `size` entries."""
        return Frontier.at(size, self.hash_at)

    def complete(self, size: int) -> None:
        """Make the nodes that are missing for `size` entries, block after block."""
        level = TILE_LEVELS
        while size >> level:
            have = self._connection.execute(
                "SELECT COALESCE(MAX(idx) + 1, 0) FROM node WHERE level = ?", (level,)
            ).fetchone()[0]
            for first in range(have, size >> level, _BLOCKS_AT_ONCE):
                blocks = range(first, min(first + _BLOCKS_AT_ONCE, size >> level))
                rows = [(level, index, self._block(level, index)) for index in blocks]
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(INSERT_NODE, rows)
                self._connection.execute("COMMIT")
            level += TILE_LEVELS

    def _block(self, level: int, index: int) -> bytes:
        """hash_at() for a level whose own nodes are not there yet."""
        return node_hash(self.hash_at(level - 1, 2 * index), self.hash_at(level - 1, 2 * index + 1))
