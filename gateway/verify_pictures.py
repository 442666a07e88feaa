"""The pictures of a bundle: each is named by an entry, by its SHA-256; what is named and not there is told.

Rule 1: a picture whose bytes are others than its entry says, and one that no entry names, make the bundle
        wrong.
Rule 2: one that an entry names and that is not there is no fault: cameras' pictures are kept for a time
        (keep_days). How many are missing is said: whoever needs them asks whether they should still be there.
Rule 3: a picture shows what a camera gave at the time that the entry says; whether it was of the station
        then, no proof can tell.
"""

from __future__ import annotations

from hashlib import sha256

from gateway.calibration import record
from gateway.camera import picture
from gateway.journal.kinds import CALIBRATION, EVENT
from gateway.journal.leaf import Leaf
from gateway.pictures import BYTES_MAX
from gateway.verify_bundle import Manifest, picture_name
from gateway.verify_places import Bundle
from protocol.merkle import EvidenceError


def named(kind: int, body: bytes) -> str | None:
    """The SHA-256, in hex, of the picture that an entry names; None where it names none."""
    if kind == EVENT:
        taken = picture.parse(body)
        return None if taken is None else taken.digest.hex()
    if kind == CALIBRATION:
        found = record.parse(body)
        return None if found is None or not found.photo else found.photo
    return None


class Pictures:
    """take() the entries of a bundle, then claim()."""

    def __init__(self) -> None:
        self._named: dict[str, int] = {}  # digest -> the entry

    def take(self, index: int, leaf: Leaf) -> None:
        """The next entry."""
        digest = named(leaf.kind, leaf.body)
        if digest is not None:
            self._named.setdefault(digest, index)

    def claim(self, bundle: Bundle, manifest: Manifest) -> tuple[bool, str] | None:
        """(whether any is shown, what is shown); None where no picture is named. EvidenceError."""
        for name in manifest.pictures:
            digest = name.partition(".")[0]
            if digest not in self._named:
                raise EvidenceError(f"{picture_name(name)} is named by no entry")
            if sha256(bundle.read(picture_name(name), BYTES_MAX)).hexdigest() != digest:
                raise EvidenceError(
                    f"{picture_name(name)} is another picture than entry {self._named[digest]} says"
                )
        if not self._named:
            return None
        there = {name.partition(".")[0] for name in manifest.pictures}
        missing = sorted(index for digest, index in self._named.items() if digest not in there)
        text = f"{len(there)} pictures are those of the log, by their hash"
        if missing:
            text += f"; {len(missing)} are named in it and not here, the first by entry {missing[0]}"
        return bool(there), text
