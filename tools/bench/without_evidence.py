"""`quantrac gateway run`, but for the Merkle tree and its signatures: what evidence costs (`bench ingest`).

    python -m tools.bench.without_evidence gateway run CONFIG

A program of its own, so that no configuration and no environment can take the evidence out of a real
gateway. Its journal is worthless, and says so: every leaf is zero, and it is refused when it is opened again.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import app
from gateway.journal import writer
from protocol.merkle import HASH_BYTES, Frontier

NOTHING = bytes(HASH_BYTES)


class _NoTree(Frontier):
    """Counts, and hashes nothing."""

    def extend(self, leaves: Iterable[bytes]) -> list[tuple[int, int, bytes]]:
        return []


def main() -> None:
    from tools.cli import app as command

    writer.leaf = lambda *_: NOTHING
    writer.Tree.frontier = lambda self, size: _NoTree()
    app.Checkpoints = lambda state_dir, name: None  # pyright: ignore[reportAttributeAccessIssue]
    command()


if __name__ == "__main__":
    main()
