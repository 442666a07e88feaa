"""tools/scenario/world.py: a gateway that reads instruments itself and is killed, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.journal.uncommitted import Uncommitted
from protocol.reading import float_bits
from simulator.scenario import parse
from tools.scenario.check import judge
from tools.scenario.check_read import of_outcome
from tools.scenario.run import Outcome, run
from tools.scenario.world import World

POLL_MS, PHASE_MS = 20_000, 10_000
"""Of the flow meter, which the gateway reads."""
STORY = """
title = "t"
story = "Something kills the gateway three times, each a second after it has read the flow meter."
outcome = "Nothing is lost but what was under way."
[station]
kind = "wastewater"
begins = "2026-03-27T00:00"
days = 0.015
poll_s = 60
polled = true
national = false
""" + "".join(
    f"""
[[fault]]
where = "gateway"
how = "kill"
at = "00:{minute:02}"
"""
    for minute in (4, 8, 12)
)
EXPECT = "".join(
    f"""
[[expect]]
what = "{what}"
"""
    for what in ("nothing lost", "nothing missing", "nothing doubled", "nothing unexpected", "every poll")
)


@pytest.fixture(autouse=True)
def a_second_after_a_poll(monkeypatch) -> None:
    """When faults kill: before the journal's thread, which waits two seconds for company, has committed."""

    async def then(world: World, random: Random) -> None:
        del random
        await asyncio.sleep((POLL_MS - (world.true_ms() - PHASE_MS) % POLL_MS) / 1000 + 1)

    monkeypatch.setattr(World, "in_the_middle", then)


def unstored(outcome: Outcome) -> int:
    """Answers of the flow meter that the journal does not have."""
    evidence = of_outcome(outcome)
    answered = Counter(evidence.answers["Flow"].bits)
    stored = Counter(float_bits(row.value) for row in evidence.polls if row.value is not None)
    assert answered.total() > 50 and not stored - answered
    return (answered - stored).total()


def test_a_kill_loses_nothing_of_what_the_gateway_has_read(tmp_path):
    outcome = run(parse(STORY + EXPECT, "killed"), 1, tmp_path / "run")
    assert [str(verdict) for verdict in judge(outcome) if not verdict.holds] == []
    assert outcome.kills == 3 and unstored(outcome) == 0
    assert (tmp_path / "run/gateway.log").read_text("utf-8").count("a killed gateway had not stored") == 3
    assert not [*Path(tmp_path / "run/memory").glob("*")], "a gateway that ends well leaves nothing there"


def keeps_nothing(*arguments: Any) -> Gateway:
    config, clock, begun, journal, _, random = arguments
    return Gateway(config, clock, begun, journal, Uncommitted(None), random)


def test_control_without_that_memory_each_kill_loses_a_reading(tmp_path):
    outcome = run(parse(STORY + EXPECT, "killed"), 1, tmp_path / "run", keeps_nothing)
    assert outcome.kills == 3 and unstored(outcome) == 3


def test_control_a_power_cut_empties_it(tmp_path):
    powerless = STORY.replace('how = "kill"', 'how = "power"\nfor = "30s"')
    outcome = run(parse(powerless + EXPECT, "killed"), 1, tmp_path / "run")
    assert outcome.kills == 3 and unstored(outcome) == 3
