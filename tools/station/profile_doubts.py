"""What is no fault of a profile, and is wrong more often than not.

Rule 1: a doubt is a sentence: what it is about, why it is suspicious, what to do.
Rule 2: it is looked for in what the file says, with questions answered; nothing is read from a line.
"""

from __future__ import annotations

from itertools import pairwise

from protocol import profile_trap as trap
from protocol.profile import Profile, Quantity
from protocol.registers import words_of

WHOLE = {
    "int16": (-0x8000, 0x7FFF),
    "uint16": (0, 0xFFFF),
    "int32": (-0x80000000, 0x7FFFFFFF),
    "uint32": (0, 0xFFFFFFFF),
}


def doubts(profile: Profile, given: Profile | None = None) -> list[str]:
    """Sentences about a profile without open questions; `given`: the same with them, as the file has it."""
    found = _statuses(profile)
    for q, table in zip(profile.quantities, profile.table["quantity"], strict=True):
        found += [*_range(q), *_printed_as_wire(profile, q)]
        if q.type in ("float32", "float64", "int32", "uint32") and "word_order" not in table:
            found.append(
                f"{q.id}: word_order is not written, ABCD is assumed. Write the order that the "
                "document states; when it states none, ask for it with an [[ask]] of kind word_order."
            )
    found += _overlaps(profile) + _printed_steps(given or profile)
    return found


def _statuses(profile: Profile) -> list[str]:
    bare = [q.id for q in profile.quantities if not q.statuses and q.table in ("holding", "input")]
    if not bare:
        return []
    which = "No quantity has" if len(bare) == len(profile.quantities) else f"{', '.join(bare)}: without"
    return [
        f"{which} a status register. A fault or a calibration then looks like a measurement: look for one in "
        "the document, or say in the file's comment that none was read."
    ]


def _range(q: Quantity) -> list[str]:
    """The plausible range against what the type can carry at this scale."""
    if q.type not in WHOLE or q.table in ("coil", "discrete"):
        return []
    ends = sorted(number * q.scale + q.offset for number in WHOLE[q.type])
    low, high = q.plausible
    if low >= ends[0] and high <= ends[1]:
        return []
    return [
        f"{q.id}: plausible is {low:g} to {high:g}, {q.type} with this scale carries {ends[0]:g} to "
        f"{ends[1]:g}. Make the range narrower, or check type and scale."
    ]


def _printed_as_wire(profile: Profile, q: Quantity) -> list[str]:
    literal = trap.of(profile.traps, trap.LITERAL, q.id)
    if literal or not (30001 <= q.register <= 39999 or 40001 <= q.register <= 49999):
        return []
    base = 40001 if q.register > 40000 else 30001
    return [
        f"{q.id}: register {q.register} looks like a printed number; most are sent minus {base}, as "
        f"{q.register - base}. When the document really shows {q.register} on the wire, say so "
        "with a [[trap]] of kind literal-address."
    ]


def _overlaps(profile: Profile) -> list[str]:
    places = sorted((q.table, q.register, q.register + words_of(q.type), q.id) for q in profile.quantities)
    return [
        f"{one[3]} and {two[3]}: both lie in {one[0]} register {two[1]}. Correct register or type of one."
        for one, two in pairwise(places)
        if one[0] == two[0] and two[1] < one[2]
    ]


def _printed_steps(profile: Profile) -> list[str]:
    """Printed numbers of one table stand in one distance from the wire; one that does not is a slip."""
    found = []
    for table in ("coil", "discrete", "holding", "input"):
        steps: dict[int, list[str]] = {}
        for q in profile.quantities:
            counted = q.table == table and q.printed.isdigit() and isinstance(q.register, int)
            if counted and not _printed_as_wire(profile, q):
                steps.setdefault(int(q.printed) - q.register, []).append(q.id)
        if len(steps) > 1:
            which = "; ".join(f"{step} for {', '.join(ids)}" for step, ids in steps.items())
            found.append(
                f"In {table}, printed number minus register is {which}. One manual counts in one way: "
                "correct the odd one."
            )
    return found
