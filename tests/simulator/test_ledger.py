"""simulator/ledger.py: the seven numbers, each with something that moves it and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.ledger import UNPLACED_MS, Ledger, Numbers, Row

COUNT = 100


def made(acknowledged: int = COUNT) -> tuple[Ledger, list[Row]]:
    """A device's two boots, and a journal that holds all of them."""
    ledger, rows = Ledger(), []
    for boot in (1, 2):
        for n in range(1, COUNT + 1):
            channel, value = ("COD", 40.0 + n) if n % 2 else ("pH", None)
            ledger.emitted("st-01", boot, n, 1000 * n, channel, value)
            rows.append(Row("st-01", boot, n, 1000 * n, channel, value))
    ledger.acknowledged("st-01", 2, acknowledged)
    ledger.arrived("province", "a_1.txt", "11", 5)
    ledger.arrived("national", "x/window/1/1", "22", 6)
    return ledger, rows


GOOD = Numbers(attempts=200, acknowledged=200, ok=200)


def seven(found: Numbers) -> Numbers:
    return replace(found, examples=())


def test_all_is_well():
    ledger, rows = made()
    found = ledger.numbers(rows)
    assert found == GOOD
    assert ledger.missing(rows) == 0 and ledger.astray(rows, 0) == []
    assert ledger.numbers(iter(reversed(rows))) == GOOD, "the order of the journal does not matter"


def test_a_record_that_is_no_reading_has_a_place_and_is_not_counted():
    ledger, rows = made()
    ledger.passed("st-01", 2, COUNT + 1)
    ledger.emitted("st-01", 2, COUNT + 2, 5, "COD", 1.0)
    ledger.acknowledged("st-01", 2, COUNT + 2)
    rows.append(Row("st-01", 2, COUNT + 2, 5, "COD", 1.0))
    assert ledger.numbers(rows) == replace(GOOD, attempts=201, acknowledged=201, ok=201)
    assert ledger.missing(rows) == 0 and len(list(ledger.readings())) == 201
    wrong = Row("st-01", 2, COUNT + 1, 5, "COD", 1.0)
    assert ledger.numbers([*rows, wrong]).unexpected == 1, "nobody measured that one"
    assert ledger.numbers(rows[:-1]).lost == 1


def test_an_acknowledgement_of_a_boot_is_one_of_all_before():
    ledger, rows = made(acknowledged=30)
    assert seven(ledger.numbers(rows)) == replace(GOOD, acknowledged=130, ok=130)


def test_lost_is_what_was_acknowledged_and_is_not_there():
    ledger, rows = made(acknowledged=30)
    found = ledger.numbers([row for row in rows if (row.boot, row.sequence) not in {(1, 7), (2, 31)}])
    assert seven(found) == replace(GOOD, acknowledged=130, ok=129, lost=1)
    assert found.examples == ("st-01, boot 1, reading 7 is lost",)
    assert ledger.missing(rows[:-3]) == 3


def test_lost_is_what_was_acknowledged_and_never_made():
    ledger, rows = made()
    ledger.acknowledged("st-01", 2, COUNT + 2)
    assert seven(ledger.numbers(rows)) == replace(GOOD, acknowledged=202, lost=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": 41.5},
        {"value": None},
        {"channel": "pH"},
        {"channel": "Flow"},
        {"sequence": 101},
        {"sequence": 0},
        {"boot": 3},
        {"device": "st-02"},
    ],
)
def test_unexpected_is_what_was_never_measured(wrong):
    ledger, rows = made()
    found = ledger.numbers([*rows[1:], rows[0]._replace(**wrong)])
    assert found.unexpected == 1 and found.examples
    assert found.ok == 199
    assert found.lost == (0 if wrong.keys() & {"value", "channel"} else 1)


def test_a_value_is_compared_as_the_wire_carries_it():
    ledger, rows = made()
    ledger.emitted("st-01", 2, COUNT + 1, 0, "COD", 0.1)
    near = Row("st-01", 2, COUNT + 1, 0, "COD", 0.10000000149011612)  # 0.1 in float32
    assert ledger.numbers([*rows, near]).unexpected == 0
    assert ledger.numbers([*rows, near._replace(value=0.1001)]).unexpected == 1


def test_duplicated_is_what_is_there_twice():
    ledger, rows = made()
    found = ledger.numbers([*rows, rows[4], rows[4], rows[9]])
    assert found.duplicated == 3 and found.ok == 198


def test_a_document_may_come_again_only_where_that_is_the_rule():
    ledger, rows = made()
    ledger.arrived("national", "x/window/1/1", "22", 7)
    assert ledger.numbers(rows) == GOOD
    ledger.arrived("national", "x/window/1/1", "33", 8)
    assert ledger.numbers(rows).duplicated == 1
    ledger.arrived("province", "a_1.txt", "11", 9)
    assert ledger.numbers(rows).duplicated == 2
    ledger.arrived("province", "a_2.txt", "11", 9)
    assert ledger.numbers(rows).duplicated == 2


def test_recovered_is_what_waited_at_the_edge_of_a_fault_and_is_there():
    ledger, rows = Ledger(), []
    for n in range(1, 51):
        ledger.emitted("st-01", 1, n, n, "COD", 1.0)
        rows.append(Row("st-01", 1, n, n, "COD", 1.0))
        if n == 10:
            ledger.acknowledged("st-01", 1, 8)
            ledger.edge()  # 9 and 10 wait
        if n == 40:
            ledger.edge()  # 9 to 40
    ledger.acknowledged("st-01", 1, 50)
    ledger.edge()
    assert ledger.numbers(rows).recovered == 32
    assert ledger.numbers(rows[:20]).recovered == 12


def test_times_are_held_against_when_it_truly_was():
    ledger, rows = made()
    rows[3] = rows[3]._replace(t_ms=rows[3].t_ms + 60_001)
    rows[5] = rows[5]._replace(t_ms=UNPLACED_MS)
    assert ledger.astray(rows, 60_000) == [rows[3]]


def test_the_ledger_misses_no_reading():
    ledger, _ = made()
    with pytest.raises(ValueError, match="reading 103 comes after 100"):
        ledger.emitted("st-01", 2, 103, 0, "COD", 1.0)
