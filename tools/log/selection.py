"""Which entries a bundle takes: the run, and what its windows rest on beside it.

Rule 1: the run begins with the newest entry that arrived FUTURE_MS before the range (no reading of it can
        have come earlier), and ends with the first revision of its last window.
        What retention has pruned cannot be shown: a range that needs it is refused.
Rule 2: beside it: what says the meaning of numbers (greetings, tables, corrections, placements, the
        configuration), the rows before the range, later revisions of its windows with what they rest on.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from gateway import marks
from gateway.ingest import corrections
from gateway.ingest.polls import parse_configuration
from gateway.ingest.replay import LEARNED
from gateway.journal.bodies import event
from gateway.journal.kinds import CALIBRATION, CONFIGURATION, EVENT, HELLO, POLL
from gateway.journal.reader import Reader, Stored
from gateway.lane import FUTURE_MS
from gateway.reports.layout import named_after
from gateway.reports.message import rfc3339
from gateway.windows import Settings
from tools.people import Failure

_GROUPS = (
    "SELECT start_ms, MAX(end_ms), MIN(idx), MAX(idx) FROM window "
    "WHERE start_ms < ? AND end_ms > ? AND revision = 1 GROUP BY start_ms ORDER BY start_ms"
)
_REVISED = "SELECT idx FROM window WHERE start_ms >= ? AND start_ms < ? AND revision > 1 AND idx > ?"
_BEFORE = (
    "SELECT idx FROM window WHERE start_ms = (SELECT MAX(start_ms) FROM window WHERE start_ms < ?) "
    "AND (idx < ? OR idx > ?)"
)
_HOLDING = (
    "SELECT idx FROM entry JOIN source ON source.id = source "
    "WHERE idx >= ? AND idx <= ? AND name = ? AND last_ms >= ? AND first_ms < ?"
)
_ARRIVED = "SELECT arrived_ms FROM entry WHERE idx = ?"
TELLING = ("placed", "table", "gap", marks.EVENT_NAME)
"""Events that change what comes after them, however much later."""


class Selection(NamedTuple):
    """Entries of a bundle, and the windows that they are about."""

    from_ms: int
    to_ms: int
    windows: int
    first: int
    last: int
    others: tuple[int, ...]
    labels: tuple[int, ...]  # Unix ms that files of its windows are stamped with


def select(reader: Reader, from_ms: int, to_ms: int) -> Selection:
    """What the windows that touch from_ms <= time < to_ms rest on. Failure when there are none."""
    groups = reader.rows(_GROUPS, to_ms, from_ms)
    if not groups:
        raise Failure("No window of this time is closed. Give another --from and --to.")
    from_ms, to_ms = groups[0][0], groups[-1][1]
    whole, whole_ms = _whole(reader)
    if from_ms < whole_ms:
        possible = reader.rows("SELECT MIN(start_ms) FROM window WHERE start_ms >= ?", whole_ms)[0][0]
        since = "of a later time" if possible is None else f"from {rfc3339(possible)} on"
        raise Failure(
            f"The readings of {rfc3339(from_ms)} were pruned by retention: a bundle is possible {since}."
        )
    last = max(group[3] for group in groups)
    first = _first(reader, from_ms - FUTURE_MS, whole, last)
    others = {idx for (idx,) in reader.rows(_BEFORE, from_ms, first, last)}
    revised = {idx for (idx,) in reader.rows(_REVISED, from_ms, to_ms, last)}
    others |= revised
    end = max([last, *revised]) + 1
    for begin, until, source in reader.spans(from_ms, to_ms):
        found = reader.rows(_HOLDING, begin, min(until, end - 1), source, from_ms, to_ms)
        others |= {idx for (idx,) in found if not first <= idx <= last}
    telling, configurations = _telling(reader, end, others, range(first, last + 1))
    return Selection(
        from_ms, to_ms, len(groups), first, last, tuple(sorted(others | telling)),
        tuple(_labels(groups, configurations)),
    )  # fmt: skip


def _whole(reader: Reader) -> tuple[int, int]:
    """The first entry of a run at the earliest, and the first time that it is enough for by rule 1."""
    first, from_ms = reader.whole()
    return first, max(from_ms, reader.rows(_ARRIVED, first)[0][0] + FUTURE_MS) if first else from_ms


def _first(reader: Reader, before_ms: int, whole: int, last: int) -> int:
    """The entry by rule 1, where arrival times rise; else one that fulfils it. None before `whole`."""
    low, high = whole, last
    while low < high:
        middle = (low + high) // 2
        if reader.rows(_ARRIVED, middle)[0][0] > before_ms:
            high = middle
        else:
            low = middle + 1
    return max(whole, low - 1)


def _telling(reader: Reader, end: int, others: set[int], run: range) -> tuple[set[int], list[Stored]]:
    """Entries outside of the run that say what the others mean; and all configurations up to its end."""
    found: set[int] = set()
    configurations: dict[int, Stored] = {}  # by boot
    for entry in reader.entries(0, end - 1, LEARNED):
        if entry.kind == CONFIGURATION:
            configurations[parse_configuration(entry.body)[0]] = entry
        elif entry.kind == HELLO or (entry.kind == CALIBRATION and corrections.parse(entry.body) is not None):
            found.add(entry.idx)
        elif entry.kind == EVENT:
            name, details = event(entry.body)
            if name in TELLING:
                found.add(entry.idx)
            elif name == "located" and (entry.idx in others or entry.idx in run):
                found |= {stored.idx for stored in reader.without_time(entry.source, *details[:3])}
    before = [entry.idx for entry in configurations.values() if entry.idx < run.start]
    found |= {max(before)} if before else set()
    found |= {entry.idx for entry in configurations.values() if entry.idx >= run.stop}
    for idx in others:
        entry = next(reader.entries(idx, idx))
        if entry.kind == POLL and entry.boot in configurations:
            found.add(configurations[entry.boot].idx)
    return {idx for idx in found if idx not in run}, list(configurations.values())


def _labels(groups: list[tuple], configurations: list[Stored]) -> list[int]:
    """Stamps of the windows whose files can be written again."""
    starts = sorted((entry.idx, entry.body) for entry in configurations)
    found = []
    for start_ms, end_ms, idx, _ in groups:
        place = bisect_left(starts, (idx, b"")) - 1
        if place < 0:
            continue
        _, settings, channels = parse_configuration(starts[place][1])
        if all(channel.decimals is not None for channel in channels):
            found.append(named_after(Settings(*settings).label, start_ms, end_ms))
    return found
