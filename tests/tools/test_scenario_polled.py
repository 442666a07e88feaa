"""tools/scenario/polled.py, check_polls.py: instruments that the gateway reads itself, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.scenario import ScenarioError, parse
from tools.scenario import check, check_polls
from tools.scenario.check_read import of_outcome
from tools.scenario.run import Outcome, run

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
"""
STORY = (
    HEAD
    + """
[[fault]]
where = "bus.gateway"
how = "wrong"
probability = 0.5
at = "00:05"
for = "5min"
[[fault]]
where = "bus.gateway"
how = "slow"
channel = "Flow"
latency_s = 2.0
at = "00:15"
for = "5min"
[[fault]]
where = "bus.gateway"
how = "refuse"
channel = "Flow"
at = "00:25"
for = "5min"
[[expect]]
what = "every poll"
without = 20
[[expect]]
what = "nothing missing"
[[expect]]
what = "status"
channel = "Flow"
from = "00:25"
to = "00:30"
is = "02"
because = "BAD_REPLY"
"""
)
"""Rows at 00:00:10, 00:00:30 ...: every 20 s."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    return run(parse(STORY, "polled"), 3, tmp_path_factory.mktemp("polled") / "run")


def test_what_the_gateway_reads_is_true_or_says_why_not(outcome):
    assert [str(verdict) for verdict in check.judge(outcome) if not verdict.holds] == []
    evidence = of_outcome(outcome)
    rows = list(evidence.polls)
    assert {row.channel for row in rows} == {"Flow"} and {row.device for row in rows} == {"bus/tank"}
    assert len(rows) > len(evidence.answers["Flow"].times) * 0.7 > 50
    assert "Flow" not in {row.channel for row in evidence.rows}, "the device does not read it, too"


def test_controls_what_is_left_out_doubled_or_changed_is_found(outcome):
    evidence = of_outcome(outcome)
    rows = list(evidence.polls)
    good = next(place for place, row in enumerate(rows) if row.value is not None)
    value = rows[good].value or 0.0
    asked = {"without": 20}
    assert check_polls.every_poll(evidence, asked)[0]
    for broken, told in (
        (rows[:good] + rows[good + 1 :], "1 missing"),
        ([*rows, rows[good]], "twice"),
        ([*rows, rows[good]._replace(sequence=9999)], "twice"),
        ([rows[good]._replace(value=value + 0.5), *rows[good + 1 :]], "1 never answered"),
        ([rows[good]._replace(channel="Flow_2"), *rows[good + 1 :]], "1 never answered"),
        ([], "0 without a value"),
    ):
        holds, found = check_polls.every_poll(replace(evidence, polls=broken), asked)
        assert not holds and told in found, found
    assert not check_polls.every_poll(evidence, {"without": 100})[0]
    assert not check_polls.every_poll(replace(evidence, answers={}), asked)[0]


@pytest.mark.parametrize(
    ("fault", "polled", "said"),
    [
        ('where = "bus.gateway"\nhow = "mute"\nchannel = "COD"', True, "COD is read by the device"),
        ('where = "bus"\nhow = "silent"\nchannel = "Flow"', True, "Flow is read by the gateway"),
        ('where = "bus.gateway"\nhow = "cut"', False, "write polled = true"),
    ],
)
def test_a_fault_on_a_bus_that_is_not_there_is_told(fault, polled, said, tmp_path):
    head = HEAD if polled else HEAD.replace("polled = true", "")
    text = f'{head}[[fault]]\n{fault}\nat = "00:05"\nfor = "5min"\n[[expect]]\nwhat = "nothing lost"\n'
    with pytest.raises(ScenarioError, match=said):
        run(parse(text, "told"), 1, tmp_path / "never")
