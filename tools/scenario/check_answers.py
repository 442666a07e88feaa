"""The check of what a real device reads: each answer of its instruments is in the journal, once, unchanged.

Rule 1: what is true is what an instrument has answered (polled.py has noted it). Answers of a channel within
        SAME_MS of each other are one poll, whose earlier answers came to harm on the line.
Rule 2: a poll is one row, with its time and one of its values, or with a reason. A row with a value and no
        poll is one that nobody measured. For stories in which the gateway's clock is right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from protocol.reading import float_bits
from simulator.ledger import Row
from tools.scenario.check_read import Evidence
from tools.scenario.polled import Answers

SAME_MS = 4_000

_Poll = tuple[int, int, set[int]]
"""(first answer, last answer, the values' bits)"""


def every_answer(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """One row for each answered poll, but for so many; each value an answer."""
    rows: dict[str, list[Row]] = {symbol: [] for symbol in evidence.device_answers}
    for row in evidence.rows:
        rows.setdefault(row.channel, []).append(row)
    missing, twice, strange, count = 0, 0, 0, 0
    for symbol, found in rows.items():
        polls = _polls(evidence.device_answers.get(symbol, Answers()))
        here = _rows_of(polls, sorted(found, key=lambda row: row.t_ms))
        count += len(polls)
        missing += sum(not those for those in here[:-1])
        twice += sum(len(those) > 1 for those in here[:-1])
        strange += sum(
            row.value is not None and float_bits(row.value) not in bits
            for (_, _, bits), those in zip([*polls, (0, 0, set[int]())], here, strict=True)
            for row in those
        )
    found = f"{missing} of {count} missing, {twice} twice, {strange} never answered"
    return count > 0 and missing <= given.get("but", 0) and not twice and not strange, found


def _polls(answers: Answers) -> list[_Poll]:
    found: list[_Poll] = []
    for at_ms, bits in zip(answers.times, answers.bits, strict=True):
        if found and at_ms - found[-1][1] <= SAME_MS:
            found[-1] = (found[-1][0], at_ms, found[-1][2] | {bits})
        else:
            found.append((at_ms, at_ms, {bits}))
    return found


def _rows_of(polls: Sequence[_Poll], rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each poll; last, those of none."""
    found: list[list[Row]] = [[] for _ in range(len(polls) + 1)]
    ends = [poll[1] for poll in polls]
    for row in rows:
        place = bisect_left(ends, row.t_ms - SAME_MS)
        near = place < len(polls) and polls[place][0] - SAME_MS <= row.t_ms
        found[place if near else -1].append(row)
    return found
