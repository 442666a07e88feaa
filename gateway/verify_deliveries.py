"""What a bundle's entries say of deliveries: who confirmed what, and in which words. Pure.

Rule 1: it is the gateway's word, signed before anybody asked: no destination signs anything. So nothing here
        can be wrong; what is compared is only told.
Rule 2: bundles come from strangers: what is kept of one is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.journal.bodies import DELIVERED, Settled, delivery
from gateway.journal.kinds import DELIVERY
from gateway.journal.leaf import Leaf

DESTINATIONS_MAX = 20
DIGESTS_MAX = 4
"""Of one file name: to several destinations and again after a crash it has the same bytes."""


class Deliveries:
    """Hears of the entries; `names` are the provincial files of the bundle."""

    def __init__(self, names: tuple[str, ...]):
        self._digests: dict[str, set[bytes]] = {name: set() for name in names}
        self._counts: dict[str, int] = {}
        self._newest: dict[str, Settled] = {}

    def take(self, leaf: Leaf) -> None:
        """One entry, in the order of the log."""
        found = delivery(leaf.body) if leaf.kind == DELIVERY else None
        if found is None or found.state != DELIVERED or not found.documents:
            return
        if found.destination not in self._counts and len(self._counts) == DESTINATIONS_MAX:
            return
        self._counts[found.destination] = self._counts.get(found.destination, 0) + len(found.documents)
        self._newest[found.destination] = found.documents[-1]
        for document in found.documents:
            digests = self._digests.get(document.remote.rpartition("/")[2])
            if digests is not None and len(digests) < DIGESTS_MAX:
                digests.add(document.digest)

    def confirmed(self, digests: Mapping[str, bytes]) -> int:
        """Of files with these SHA-256, how many were confirmed with exactly these bytes."""
        return sum(digest in self._digests.get(name, ()) for name, digest in digests.items())

    def lines(self) -> list[str]:
        """A sentence for each destination; none without deliveries."""
        return [
            f"{destination} confirmed {count} documents{_words(self._newest[destination])}"
            for destination, count in sorted(self._counts.items())
        ]


def _words(newest: Settled) -> str:
    if newest.size is None:
        return ""
    return f', the newest as {newest.remote}, {newest.size} bytes: "{newest.answer}"'
