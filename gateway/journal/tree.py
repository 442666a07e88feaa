"""The Merkle tree of a journal's entries, as it lies in the database.

Rule 1: the leaves are the column `leaf`, and in `pruned` those of blocks whose raw entries are gone; `node`
        keeps the roots of complete blocks of 256, 65,536, ... leaves. Nothing is ever computed from the
        start: a checkpoint needs the frontier, a proof 256 hashes a level.
Rule 2: nodes follow from the leaves. They are written in the transaction that completes their block, and what
        is missing (a journal of schema 1) is made when the journal is opened.
"""

from __future__ import annotations

import sqlite3

from gateway.errors import JournalError
from protocol.merkle import HASH_BYTES, TILE_LEVELS, Frontier, node_hash

INSERT_NODE = "INSERT INTO node VALUES (?, ?, ?)"
_LEAVES = "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
_PRUNED = "SELECT leaves FROM pruned WHERE block = ?"
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
        first, end = index * width, (index + 1) * width
        if stored == 0:
            hashes = self._leaves(first, end)
        else:
            hashes = [row[0] for row in self._connection.execute(_NODES, (stored, first, end))]
        if len(hashes) != width:
            first = index << level
            raise JournalError(
                f"Hashes of the entries {first} to {first + (1 << level) - 1} are missing: "
                "restore the journal from a backup."
            )
        while len(hashes) > 1:
            hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    def _leaves(self, first: int, end: int) -> list[bytes]:
        """Of entries first..end - 1, all in one block of 256; fewer when the journal does not hold them."""
        hashes = [row[0] for row in self._connection.execute(_LEAVES, (first, end))]
        if len(hashes) < end - first:
            kept = self._connection.execute(_PRUNED, (first >> TILE_LEVELS,)).fetchone()
            if kept is not None:
                base = first >> TILE_LEVELS << TILE_LEVELS
                return [kept[0][HASH_BYTES * i :][:HASH_BYTES] for i in range(first - base, end - base)]
        return hashes

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
