"""A run of entries cut in two, so that two processes compute its windows.

    cut = find(entries, manifest)                       None: it has to be computed in one go
    later = compute(entries, manifest, cut, codes)      in the second process: windows that close behind it
    recomputation.take(...) of all before it            in the first one
    later.join(recomputation, files)                    None instead: the first one goes on with the rest

Rule 1: what comes out is what one process finds: the same windows, and of what is wrong the same first thing.
        The later part begins as a gateway that was started there would: lanes that know what was said before,
        the readings of windows that are still open read anew. It passes over records that came before any
        reading of its windows could (FUTURE_MS), and takes all else.
Rule 2: the cut stands right behind the rows of a window, where nothing ties the parts together:
        - no row behind it is of an earlier window, which would be computed from earlier readings;
        - the newest window before it was not revised: whether the next one begins with that depends on the
          version of the gateway (Windows.took), and a gateway that starts there always does;
        - no entry "located" brings readings across;
        - no boot was "placed" twice: whether the second time counts depends on the readings between;
        - between the records that are read anew nothing was said about what numbers mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.ingest import corrections
from gateway.ingest.replay import LEARNED
from gateway.journal.bodies import event
from gateway.journal.kinds import CALIBRATION, EVENT, RECORDS, WINDOW
from gateway.journal.leaf import Leaf
from gateway.lane import FUTURE_MS
from gateway.verify_bundle import Manifest
from gateway.verify_entries import Entries
from gateway.verify_files import Codes, Files
from gateway.verify_replay import EVER_MS
from gateway.verify_windows import Part, Recomputation
from gateway.windows import parse_body
from protocol.errors import CodecError

TEACHING = ("placed", "table", "located")
"""Events that say what numbers mean."""
EARLIER_SHARE = 0.72
"""Of the entries: the process that computes the later windows has the receipts to check, too."""


class Cut(NamedTuple):
    """The later part: it begins with this entry, and is about windows that start at `time_ms` or later."""

    first: int
    time_ms: int


class Later(NamedTuple):
    """What came out of the later part."""

    part: Part
    expected: dict[str, bytes]  # provincial files
    unknown: set[str]

    def join(self, earlier: Recomputation, files: Files) -> None:
        """Behind the part before it."""
        earlier.join(self.part)
        files.expected |= self.expected
        files.unknown |= self.unknown


def find(entries: Entries, manifest: Manifest) -> Cut | None:
    """Where to cut: near to EARLIER_SHARE of the run; None where rule 2 allows none."""
    wanted = manifest.first + (manifest.last + 1 - manifest.first) * EARLIER_SHARE
    return min(possible(entries, manifest), key=lambda cut: abs(cut.first - wanted), default=None)


def possible(entries: Entries, manifest: Manifest) -> list[Cut]:
    """Every place for a cut."""
    try:
        said = _said(entries)
        cuts = [] if said.placed_again else list(_between(said.rows))
    except Exception:  # a stranger may put anything into an entry: whoever computes will say what is wrong
        return []
    return [
        cut
        for cut in cuts
        if manifest.first < cut.first <= manifest.last and manifest.from_ms < cut.time_ms < manifest.to_ms
        if cut.first > said.located and cut.time_ms > said.located_ms + FUTURE_MS
    ]


class _Said(NamedTuple):
    """What rule 2 asks for."""

    rows: list[tuple[int, int, int, int]]  # entry, start and end of its window, revision
    placed_again: bool
    located: int  # the last entry "located"
    located_ms: int  # ... and the latest time of one


def _said(entries: Entries) -> _Said:
    rows, placed, placed_again, located, located_ms = [], set(), False, -1, -EVER_MS
    for index in sorted(entries.rare):
        leaf = entries.leaf(index)
        if leaf.kind == WINDOW:
            window, _ = parse_body(leaf.body)
            rows.append((index, window.start_ms, window.end_ms, window.revision))
        elif leaf.kind == EVENT:
            name, details = event(leaf.body)
            if name == "placed":
                boot = leaf.source, details[0]
                placed_again |= boot in placed
                placed.add(boot)
            elif name == "located":
                located, located_ms = index, max(located_ms, leaf.arrived_ms)
    return _Said(rows, placed_again, located, located_ms)


def _between(rows: list[tuple[int, int, int, int]]) -> Iterator[Cut]:
    """Every place right behind rows at which all later ones are of later windows."""
    oldest = [EVER_MS]  # start of a window behind a row, the last row first
    for _, start_ms, _, _ in reversed(rows):
        oldest.append(min(oldest[-1], start_ms))
    newest_ms = revised_ms = -EVER_MS
    for (index, _, end_ms, revision), (following, *_), start_ms in zip(
        rows, rows[1:], reversed(oldest[1:-1]), strict=False
    ):
        newest_ms = max(newest_ms, end_ms)
        revised_ms = max(revised_ms, end_ms) if revision > 1 else revised_ms
        if following > index + 1 and revised_ms < newest_ms <= start_ms:
            yield Cut(index + 1, newest_ms)


def compute(entries: Entries, manifest: Manifest, cut: Cut, codes: Codes) -> Later | None:
    """The later part; None where it cannot be had alone. EvidenceError: the first thing wrong with it."""
    files = Files(codes)
    part = Recomputation(entries.leaf, cut.time_ms, manifest.to_ms, cut.first, files.hear)
    anew = False  # whether records that are read anew have come
    early_ms = cut.time_ms - FUTURE_MS
    for index in entries.indices():
        is_before = index < cut.first
        if is_before and entries.is_early_record(index, early_ms):
            part.replay.pass_over(index)
            continue
        leaf = entries.leaf(index)
        if is_before:
            if leaf.kind in RECORDS:
                anew = True
            elif anew and leaf.kind in LEARNED and _teaches(leaf):
                return None
        part.take(index, leaf)
    part.end()
    return Later(part.since(cut.time_ms), files.expected, files.unknown)


def _teaches(leaf: Leaf) -> bool:
    """Whether an entry of these kinds says something about what numbers mean."""
    if leaf.kind == CALIBRATION:
        return corrections.parse(leaf.body) is not None
    try:
        return leaf.kind != EVENT or event(leaf.body)[0] in TEACHING
    except CodecError:
        return True  # whoever computes the earlier part says that it is wrong
