# runs on: cpython, micropython
# A trap is declared with a guard, or not at all.

from protocol import profile_trap as trap
from protocol.errors import ConfigError
from protocol.profile import parse
from tests.protocol._check import raises
from tests.protocol.test_profile import quantity, status, table

FAULTY = {"0": "OK", "1": "FAULT", "2": "MAINTENANCE", "3": "CALIBRATING"}
WORD = {"type": "uint16", "word_order": "ABCD", "register": 31000, "printed": "31000"}
START = {"function": 6, "register": 1, "words": [1], "wait_ms": 10}

# kind: (what the trap holds besides, a profile with its guard, one without it)
CASES = {
    trap.ZERO: ({}, {}, {"status": [status(values={"0": "OK"}, otherwise="OK")]}),
    trap.HELD: ({}, {}, {"status": [status(values={"0": "OK"}, otherwise="OK")]}),
    trap.NAN: ({}, {}, {"quantity": [quantity(**WORD)]}),
    trap.CODE: (
        {"number": 65535},
        {"quantity": [quantity(**WORD)]},
        {"quantity": [quantity(plausible=[0, 1e6])]},
    ),
    trap.SATURATES: (
        {"number": 2000},
        {"quantity": [quantity(**WORD)]},
        {"quantity": [quantity(plausible=[0, 3e3])]},
    ),
    trap.FROZEN: ({}, {}, {"status": [status(values={"0": "OK"}, otherwise="FAULT")]}),
    trap.GAS: ({}, {}, {"status": [status(values={"0": "OK"}, otherwise="FAULT")]}),
    trap.START: ({}, {"start": [START]}, {}),
    trap.STARTUP: ({}, {"link": {"startup_ms": 1}}, {}),
    trap.SLOW: ({}, {"link": {"gap_ms": 1}}, {}),
    trap.BLOCK: ({}, {"link": {"max_block": 4}}, {}),
    trap.SINGLE: ({}, {"link": {"merge": False}}, {}),
    trap.UNKNOWN: ({}, {"link": {"whole": True}}, {}),
    trap.LITERAL: (
        {},
        {"quantity": [quantity(**WORD)]},
        {"quantity": [quantity(register=1, printed="30002")]},
    ),
}


def whole(kind, more, changes):
    given = table(status=[status(values=FAULTY)], trap=[dict(more, kind=kind, source="page 1")])
    given.update(changes)
    return given


def test_each_kind_needs_its_guard():
    assert set(CASES) | {trap.FIRST} == set(trap.KINDS)
    for kind, (more, guarded, bare) in CASES.items():
        made = parse(whole(kind, more, guarded))
        assert trap.of(made.traps, kind).quantities == ("cod",), kind
        found = raises(ConfigError, parse, whole(kind, more, bare)).faults
        assert len(found) == 1 and kind + " needs" in found[0], (kind, found)
    assert parse(whole(trap.FIRST, {}, {})).traps[0].answer == "exception"


def test_faults_of_a_trap():
    for words, more in (
        ("trap[0].kind", {"kind": "bites"}),
        ("trap[0].answer", {"answer": "rudely"}),
        ('no quantity "bod"', {"quantities": ["bod"]}),
        ("trap[0].number: missing", {"kind": trap.CODE}),
        ("trap[0].colour: unknown", {"colour": 1}),
        ("trap[0].source", {"source": ""}),
    ):
        given = whole(trap.FIRST, {}, {})
        given["trap"][0].update(more)
        found = raises(ConfigError, parse, given).faults
        assert any([words in fault for fault in found]), (words, found)


def test_a_trap_of_some_quantities():
    made = parse(
        whole(trap.NAN, {"quantities": ["cod"]}, {"quantity": [quantity(), quantity(id="two", register=9)]})
    )
    assert trap.of(made.traps, trap.NAN, "cod") and trap.of(made.traps, trap.NAN, "two") is None
    assert trap.of(made.traps, trap.ZERO) is None
