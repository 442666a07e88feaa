# How an instrument deceives or refuses whoever reads it carelessly, as far as a document says so.
#
# Rule 1: a trap is data for the simulator and for people. It changes nothing of how a station reads: that is
#         what statuses, plausible ranges, [[start]] and the limits of [link] are for.
# Rule 2: a trap without its guard is a fault: each kind names what the profile must hold against it.
#
# Sizes: number is what stands in the registers, unscaled (of a float32: its bits, when nan-on-fault).

from collections import namedtuple

from protocol import fields, quality

Trap = namedtuple("Trap", "kind answer number quantities source")

ZERO, HELD, NAN, CODE = "zero-on-fault", "held-on-fault", "nan-on-fault", "code-on-fault"
FROZEN, GAS, SATURATES = "frozen-in-maintenance", "calibration-as-value", "saturates"
START, STARTUP, FIRST, SLOW = "start-needed", "silent-after-power-up", "first-unanswered", "slow-after-answer"
BLOCK, SINGLE, UNKNOWN, LITERAL = "short-blocks", "one-value-a-request", "unknown-silent", "literal-address"
KINDS = {  # kind: what it does, for people
    ZERO: "in a fault the value is 0, as if it had been measured",
    HELD: "in a fault the last good value goes on",
    NAN: "in a fault the value is not a number (NaN)",
    CODE: "in a fault a code stands in the place of the value",
    FROZEN: "in maintenance the last value goes on, frozen",
    GAS: "the calibration gas or standard appears as a value",
    SATURATES: "the value stops at the end of the range",
    START: "without a start command the value is an old one",
    STARTUP: "no answer at all for a while after power-up",
    FIRST: "the first request may go unanswered",
    SLOW: "an answer waits until a pause after the last one is over",
    BLOCK: "a longer block is refused",
    SINGLE: "more than one value in a request is refused",
    UNKNOWN: "no answer at all to a register that it does not know",
    LITERAL: "the printed number, though it looks like 3xxxx or 4xxxx, is the address on the wire",
}
ANSWERS = ("exception", "silence")

_TRAP = (
    ("kind", fields.choice(sorted(KINDS)), fields.MUST),
    ("answer", fields.choice(ANSWERS), "exception"),
    ("number", fields.whole(-0x80000000, 0xFFFFFFFF), None),
    ("quantities", fields.list_of(fields.identifier), None),  # of which it is true; left out: of all
    ("source", fields.filled, fields.MUST),
)


def parse(faults, given, link, quantities, statuses, starts):
    # The Traps of a profile's [[trap]] tables, each with its guard in the rest of the profile.
    ids = [q.id for q in quantities]

    def make(faults, where, values):
        chosen = ids if values["quantities"] is None else values["quantities"]
        for id in chosen:
            if id not in ids:
                faults.append(
                    f'{where}.quantities: no quantity "{id}", write some of {", ".join(map(str, ids))}'
                )
        if values["kind"] in (CODE, SATURATES) and values["number"] is None:
            faults.append(f"{where}.number: missing, write what stands in the registers then")
        of = [q for q in quantities if q.id in chosen]
        if values["kind"] and link and not faults:
            lacking = _lacking(values["kind"], values["number"], link, of, statuses, starts)
            if lacking:
                faults.append(f"{where}: {values['kind']} needs {lacking}")
        return Trap(values["kind"], values["answer"], values["number"], tuple(chosen), values["source"])

    return fields.each(faults, "trap", given, _TRAP, make)


def _lacking(kind, number, link, quantities, statuses, starts):
    # What a profile has to hold against a trap and does not, worded after "needs"; None when it is there.
    if kind in (ZERO, HELD):
        return _told(quality.FAULT, quantities, statuses)
    if kind == FROZEN:
        return _told(quality.MAINTENANCE, quantities, statuses)
    if kind == GAS:
        return _told(quality.CALIBRATING, quantities, statuses)
    if kind == NAN:
        return None if all([q.type in ("float32", "float64") for q in quantities]) else "a float"
    if kind in (CODE, SATURATES):
        inside = [q.id for q in quantities if q.plausible[0] <= number * q.scale + q.offset <= q.plausible[1]]
        return f"a plausible range of {inside[0]} that the number lies outside of" if inside else None
    guards = {
        START: (starts, "a [[start]]"),
        STARTUP: (link.startup_ms, "link.startup_ms"),
        SLOW: (link.gap_ms, "link.gap_ms"),
        BLOCK: (link.max_block < 125, "link.max_block"),
        SINGLE: (not link.merge, "link.merge = false"),
        UNKNOWN: (link.whole or not link.merge, "link.whole = true or link.merge = false"),
        LITERAL: (
            [q for q in quantities if _literal(q)],
            "a printed number that is the register, from 30001",
        ),
    }
    held, words = guards.get(kind, (True, None))
    return None if held else words


def _told(wanted, quantities, statuses):
    # Whether every quantity has a status that can say the wanted quality.
    able = [s.id for s in statuses if wanted in s.values.values() or s.otherwise == wanted]
    for quantity in quantities:
        if not [id for id in quantity.statuses if id in able]:
            return f"a status of {quantity.id} that can say {quality.NAMES[wanted]}"
    return None


def _literal(quantity):
    return quantity.printed == str(quantity.register) and quantity.register > 30000


def of(traps, kind, quantity=None):
    # The trap of that kind, of that quantity when one is given; None when the instrument has none.
    for trap in traps:
        if trap.kind == kind and (quantity is None or quantity in trap.quantities):
            return trap
    return None
