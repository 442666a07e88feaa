"""Checks of what destinations have: every window's document, once, oldest first.

Rule 1: what should be there follows from the scenario's own time: every five minutes from its beginning to
        its end, and not from what the gateway believes to have sent. Left out are windows of a time in which
        the gateway itself was off (gateway/decisions/0004), and only those that touch such a fault.
Rule 2: the newest windows may still be open, or under way, when a scenario ends.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from gateway.reports.layout import stamp
from gateway.windows import OFF
from tools.scenario.check_read import GRID_MS, Evidence
from tools.scenario.site import NATIONAL, PROVINCE

OPEN_MS = 15 * 60_000  # before the end: windows whose documents may be missing
AROUND_OFF_MS = 2 * GRID_MS


def every_file(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """At the destination there is one document for each window, none other, and they came oldest first."""
    destination = given.get("destination", PROVINCE)
    wanted = _wanted(evidence, destination)
    came = [
        found for one in evidence.ledger.arrivals if (found := _stamp(destination, one.destination, one.id))
    ]
    counts = Counter(came)
    if destination == NATIONAL:  # delivers at least once: what came again, with the same bytes, is one
        came = list(dict.fromkeys(came))
        counts = Counter(came)
    missing = sorted(wanted - counts.keys())
    known = {stamp(start_ms + GRID_MS) for start_ms in _starts(evidence)}
    strange = sorted(counts.keys() - known)
    twice = [one for one, count in counts.items() if count > 1]
    behind = [later for earlier, later in pairwise(came) if later < earlier]
    faults = [
        f"{len(names)} {what} ({names[0]})"
        for what, names in (("missing", missing), ("never due", strange), ("twice", twice), ("late", behind))
        if names
    ]
    return bool(wanted) and not faults, f"{len(counts)} of {len(wanted)}; {', '.join(faults) or 'in order'}"


def _starts(evidence: Evidence) -> range:
    begins_ms = evidence.begins_ms
    return range(begins_ms - begins_ms % GRID_MS, evidence.ends_ms, GRID_MS)


def _wanted(evidence: Evidence, destination: str) -> set[str]:
    """Stamps of the windows that must have come."""
    first = {window.start_ms for window in evidence.windows if window.reason == OFF and window.revision == 1}
    told = {window.start_ms for window in evidence.windows if window.reason != OFF and window.revision == 1}
    off = set() if destination == NATIONAL else {s for s in first - told if _was_off(evidence, s)}
    last_ms = evidence.ends_ms - OPEN_MS
    return {
        stamp(start_ms + GRID_MS)
        for start_ms in _starts(evidence)
        if start_ms >= evidence.begins_ms and start_ms + GRID_MS <= last_ms and start_ms not in off
    }


def _was_off(evidence: Evidence, start_ms: int) -> bool:
    """Whether a fault kept the gateway from running in this window, or right before or behind it."""
    at_ms = start_ms - evidence.begins_ms
    return any(
        from_ms - AROUND_OFF_MS <= at_ms <= to_ms + AROUND_OFF_MS
        for fault in evidence.scenario.faults
        if fault.where == "gateway"
        for from_ms, to_ms in fault.spans(evidence.scenario.station.length_ms)
    )


def _stamp(wanted: str, destination: str, id: str) -> str:
    """The stamp of a first revision's document for that destination; "" for any other document."""
    if wanted != destination:
        return ""
    if destination == NATIONAL:
        *_, kind, label, revision = ["", "", *id.split("/")]
        return label if kind == "window" and revision == "1" else ""
    name = id.rsplit("/", 1)[-1]
    return name[:-4].rsplit("_", 1)[-1] if name.endswith(".txt") and "_" in name else ""
