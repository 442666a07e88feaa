"""tools/scenario/department.py, check_orders.py: the department's orders and the sampler, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway.sampling.bottles import FILLED, NO_FEEDBACK, Bottle
from simulator.ledger import Arrival
from simulator.scenario import ScenarioError, parse
from simulator.scenario_model import Act
from tests.tools.scenario_rig import evidence, scenario
from tools.scenario import check
from tools.scenario.check_orders import answered, bottles, sent_again
from tools.scenario.department import DepartmentSide, Order
from tools.scenario.notes import Note
from tools.scenario.run import run

HEAD = """
title = "t"
story = "s"
outcome = "o"
[station]
kind = "wastewater"
begins = "2026-03-27T00:00"
days = 0.03
poll_s = 60
polled = true
sampler = true
department = true
"""
STORY = (
    HEAD
    + """
[[fault]]
where = "department"
how = "cut"
at = "00:04"
for = "16min"
[[fault]]
where = "sampler"
how = "blind"
at = "00:25"
for = "10min"
[[act]]
what = "order"
by = "the department"
verb = "sample"
bottles = 2
at = "00:06"
[[act]]
what = "order"
by = "the department"
verb = "sample"
lasts = "5min"
at = "00:08"
[[act]]
what = "order"
by = "the department"
verb = "sample"
at = "00:26"
[[expect]]
what = "answered"
at = "00:06"
within = "17min"
is = "done"
[[expect]]
what = "answered"
at = "00:08"
within = "15min"
is = "refused"
says = "It expired at"
[[expect]]
what = "answered"
at = "00:26"
within = "6min"
is = "unknown"
[[expect]]
what = "refused"
by = "the department"
act = "order"
[[expect]]
what = "bottles"
from = "00:00"
to = "00:24"
count = 2
because = "department"
[[expect]]
what = "bottles"
from = "00:25"
to = "00:40"
count = 1
state = "no feedback"
[[expect]]
what = "every poll"
"""
)
MINUTE_MS = 60_000


def test_orders_wait_for_the_line_and_have_one_signed_answer_each(tmp_path):
    """Bottles are drawn between polls of the same line: one about to begin once killed the gateway."""
    outcome = run(parse(STORY, "orders"), 5, tmp_path / "run")
    assert [str(verdict) for verdict in check.judge(outcome) if not verdict.holds] == []
    assert [order.state for order in outcome.orders] == ["done", "refused", "unknown"]
    assert len(outcome.full_ms) == 3, "the third was full, and nobody could say so"


def an_order(state: str = "done", after_min: float = 3) -> Order:
    begins_ms = evidence(scenario('what = "nothing lost"')).begins_ms
    at_ms = begins_ms + 60 * MINUTE_MS
    return Order(Act(), at_ms, b"", at_ms + round(after_min * MINUTE_MS), state, "Bottle 1.")


@pytest.mark.parametrize(
    ("order", "given", "right"),
    [
        (an_order(), {}, True),
        (an_order("refused"), {}, False),
        (an_order("", 0), {}, False),
        (an_order(after_min=11), {}, False),
        (an_order(), {"says": "Bottle 2."}, False),
        (an_order(), {"at": 61 * MINUTE_MS}, False),
    ],
)
def test_an_answer_is_the_right_one_in_time(order, given, right):
    found = replace(evidence(scenario('what = "nothing lost"')), orders=[order])
    asked = {"at": 60 * MINUTE_MS, "within": 10 * MINUTE_MS, "is": "done"}
    assert answered(found, asked | given)[0] == right


def a_bottle(at_min: float, state: str = FILLED, who: str = "rule") -> Bottle:
    begins_ms = evidence(scenario('what = "nothing lost"')).begins_ms
    return Bottle(1, state, begins_ms + round(at_min * MINUTE_MS), "why", who)


@pytest.mark.parametrize(
    ("there", "full_min", "given", "right"),
    [
        ([a_bottle(70)], [70.2], {}, True),
        ([], [], {}, False),
        ([], [], {"count": 0}, True),
        ([a_bottle(70)], [70.2], {"count": 0}, False),
        ([a_bottle(70)], [70.2], {"because": "department"}, False),
        ([a_bottle(70)], [], {}, False),  # told as filled, and it is empty
        ([a_bottle(70)], [75], {}, False),
        ([a_bottle(70, NO_FEEDBACK)], [70.2], {"state": NO_FEEDBACK}, True),
        ([a_bottle(70, NO_FEEDBACK)], [70.2], {}, False),
        ([a_bottle(200)], [200.2], {}, False),
    ],
)
def test_a_bottle_counts_where_journal_and_sampler_agree(there, full_min, given, right):
    found = evidence(scenario('what = "nothing lost"'))
    full_ms = [found.begins_ms + round(minute * MINUTE_MS) for minute in full_min]
    found = replace(found, bottles=there, full_ms=full_ms)
    asked = {"from": 60 * MINUTE_MS, "to": 120 * MINUTE_MS, "count": 1}
    assert bottles(found, asked | given)[0] == right


def test_what_is_sent_again_has_the_same_bytes():
    found = evidence(scenario('what = "nothing lost"'))
    one = next(one for one in found.ledger.arrivals if one.destination == "national")
    asked: dict[str, Any] = {"destination": "national", "least": 1}
    assert not sent_again(found, asked)[0]
    found.ledger.arrivals.append(one)
    assert sent_again(found, asked)[0] and not sent_again(found, asked | {"least": 2})[0]
    found.ledger.arrivals.append(Arrival("national", one.id, "other", one.t_ms))
    assert not sent_again(found, asked)[0]


def test_an_answer_that_the_station_has_not_signed_is_a_note(tmp_path):
    notes: list[Note] = []
    file = tmp_path / "log.vkey"
    key = "quantrac/LCa/DEMO/NUO001"
    there = evidence(scenario('what = "nothing lost"')).begins_ms
    side = DepartmentSide(key, file, lambda: there, there, Random(1), notes.append)
    file.write_text(side.department.vkey + "\n", "utf-8")
    side.order(Act(by="the department", what="order", given={"verb": "status"}))
    side.answered(b"quantrac-result/v1\nstation x\n\n\xe2\x80\x94 nobody AAAA\n")
    assert "does not hold" in notes[0].text and side.orders[0].state == "" and len(side.waiting) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("department = true", "", "write department = true"),
        ('verb = "sample"\nlasts', 'verb = "resend"\nlasts', "needs from and to"),
        ("polled = true", "", "write polled = true, too"),
    ],
)
def test_what_a_station_lacks_is_told(old, new, said, tmp_path):
    with pytest.raises(ScenarioError, match=said):
        run(parse(STORY.replace(old, new), "told"), 1, tmp_path / "never")
