"""The check of what the gateway reads itself: every poll is in the journal once, true, or says why not.

Rule 1: what is true is what an instrument has answered (polled.py has noted it), at most ANSWER_MS before the
        row's time. Each answer counts for one row.
Rule 2: what should be there follows from the scene: every instant at which a poll is due, but for those at
        which a fault kept the gateway from running. For stories in which the gateway's clock is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from protocol.reading import float_bits
from simulator.ledger import Row
from simulator.scene import load_scene
from tools.scenario.check_read import Evidence

ANSWER_MS = 5_000
STARTING_MS = 120_000
"""Before and behind a time in which the gateway is off: it ends in the middle of a poll, and starts."""


def every_poll(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """One row for each due poll and channel; each value an answer; so many reasons at least."""
    rows = list(evidence.polls)
    twice = [one for one, count in Counter((row.device, row.boot, row.sequence) for row in rows).items()
             if count > 1]  # fmt: skip
    strange = list(_strange(evidence, rows))
    missing, doubled, due = _instants(evidence, rows)
    without = sum(row.value is None for row in rows)
    faults = [
        f"{len(found)} {what} ({found[0]})"
        for what, found in (("twice", [*twice, *doubled]), ("never answered", strange), ("missing", missing))
        if found
    ]
    found = f"{len(rows)} of {due}, {without} without a value; {', '.join(faults) or 'in order'}"
    wrong = twice or doubled or strange or len(missing) > given.get("but", 0)
    return bool(due and rows) and not wrong and without >= given.get("without", 0), found


def _strange(evidence: Evidence, rows: Iterable[Row]) -> Iterator[Row]:
    """Rows whose value no instrument has answered shortly before."""
    places: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: (row.channel, row.t_ms)):
        if row.value is None:
            continue
        answers, place = evidence.answers.get(row.channel), places.get(row.channel, 0)
        wanted = float_bits(row.value)
        while answers is not None and place < len(answers.times):
            if answers.times[place] > row.t_ms:
                place = len(answers.times)
            elif answers.times[place] >= row.t_ms - ANSWER_MS and answers.bits[place] == wanted:
                break
            else:
                place += 1
        if answers is None or place >= len(answers.times):
            yield row
        else:
            places[row.channel] = place + 1


def _instants(evidence: Evidence, rows: Iterable[Row]) -> tuple[list[str], list[str], int]:
    """(missing, twice, how many are due), as channel and time since the beginning."""
    every = {
        (channel.symbol, unit.poll_ms, unit.phase_ms)
        for unit in load_scene(evidence.scenario.station.kind).units_of("gateway")
        for channel in unit.channels
    }
    times: dict[str, list[int]] = {symbol: [] for symbol in evidence.answers}
    for row in rows:
        times.setdefault(row.channel, []).append(row.t_ms)
    missing, twice, count = [], [], 0
    for symbol, found in sorted(times.items()):
        poll_ms, phase_ms = next((p, s) for name, p, s in every if symbol.split("_")[0] == name)
        counts = Counter((t_ms - phase_ms) // poll_ms for t_ms in found)
        first = -(-(evidence.begins_ms - phase_ms) // poll_ms)
        last = (evidence.ends_ms - phase_ms) // poll_ms
        for number in range(first, last):
            at_ms = number * poll_ms + phase_ms - evidence.begins_ms
            if _was_on(evidence, at_ms):
                count += 1
                missing += [f"{symbol} at {at_ms / 3_600_000:.3f} h"] if not counts[number] else []
            twice += [f"{symbol} at {at_ms / 3_600_000:.3f} h"] if counts[number] > 1 else []
    return missing, twice, count


def _was_on(evidence: Evidence, at_ms: int) -> bool:
    return not any(
        from_ms - STARTING_MS <= at_ms <= to_ms + STARTING_MS
        for fault in evidence.scenario.faults
        if fault.where == "gateway"
        for from_ms, to_ms in fault.spans(evidence.scenario.station.length_ms)
    )
