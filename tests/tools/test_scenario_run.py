"""tools/scenario: the real gateway through a bad hour in virtual time, and broken ones that are caught."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.forward.port import Confirmation, Document
from simulator.scenario import Scenario, ScenarioError, parse
from simulator.scenario_words import ACT, FAULT
from tools.people import UsageError
from tools.scenario import acts, faults
from tools.scenario.check import judge
from tools.scenario.check_read import Rows
from tools.scenario.devices import LightDevice
from tools.scenario.run import Outcome, run
from tools.scenario.say import run_scenario

HEAD = """
title = "A bad hour"
story = "The line to the department is down; then the card goes read-only, and the power."
outcome = "Nothing is lost, and every file arrives."
[station]
kind = "wastewater"
begins = "2026-03-27T00:00"
days = 0.06
"""
STORY = (
    HEAD
    + """
[[fault]]
where = "province"
how = "cut"
at = "00:10"
for = "15min"
[[fault]]
where = "link"
how = "flip"
probability = 0.05
at = "00:30"
for = "5min"
[[fault]]
where = "disk"
how = "read-only"
at = "00:40"
for = "15min"
[[fault]]
where = "gateway"
how = "power"
at = "00:44"
for = "10min"
[[act]]
what = "mark"
by = "Lan"
channel = "COD"
mark = "calibrating"
minutes = 10
at = "01:02"
"""
    + "\n".join(
        f'[[expect]]\nwhat = "{what}"'
        for what in (
            "nothing lost",
            "nothing doubled",
            "nothing unexpected",
            "nothing missing",
            "every file",
            "recovers",
        )
    )
)


def wrong(outcome: Outcome) -> list[str]:
    return [str(verdict) for verdict in judge(outcome) if not verdict.holds]


def rows(outcome: Outcome) -> list[tuple]:
    return sorted(tuple(row) for row in Rows(outcome.journal_path))


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Outcome:
    return run(parse(STORY, "bad-hour"), 7, tmp_path_factory.mktemp("sound") / "run")


def test_a_sound_gateway_comes_through(sound):
    numbers = sound.numbers
    assert wrong(sound) == [] and sound.notes == []
    assert numbers.attempts == numbers.acknowledged == numbers.ok > 800
    assert numbers.recovered > 0 and sound.kills == 1
    assert set(sound.drained_ms) == {0, 1, 2, 3} and None not in sound.drained_ms.values()
    log = (sound.directory / "gateway.log").read_text("utf-8")
    assert "readonly database" in log and "2026-03-27T01:0" in log and "a request what=mark" in log


def left_behind(outcome: Outcome) -> dict[str, Any]:
    """What the ledger knows, and the hashes of all files that the province has."""
    arrivals = outcome.ledger.arrivals
    files = [path for path in outcome.directory.glob("province/**/*.txt")]
    return {
        "numbers": outcome.numbers,
        "made": list(outcome.ledger.readings()),
        "journaled": rows(outcome),
        "arrived": [one for one in arrivals if one.destination == "province"],
        "messages": [(one.id, one.t_ms) for one in arrivals if one.destination == "national"],
        "files": sorted((path.name, sha256(path.read_bytes()).hexdigest()) for path in files),
        "drained": outcome.drained_ms,
    }


def test_the_same_seed_gives_the_same_run_and_another_does_not(sound, tmp_path):
    """Readings, documents and their times, hashes of files; but for messages, which carry a signature."""
    again = run(parse(STORY, "bad-hour"), 7, tmp_path / "again")
    assert wrong(again) == []
    first, second = left_behind(sound), left_behind(again)
    assert first["files"] and first["messages"] and len(first["made"]) > 800
    for what in first:
        assert first[what] == second[what], f"{what} are others"
    other = left_behind(run(parse(STORY, "bad-hour"), 8, tmp_path / "other"))
    assert [what for what in ("made", "journaled", "files", "arrived") if other[what] == first[what]] == [
        "made"
    ]


def acknowledges_at_once(*arguments: Any) -> Gateway:
    """Tells devices that readings are on disk when it has merely taken them."""
    gateway = Gateway(*arguments)
    feed = gateway.intake.feed

    def eager(device: Any, data: bytes, flush: Any, stream: Any = None) -> bytes:
        answer = feed(device, data, flush, stream)
        device.session.committed(*device.session.pending)
        device.answer_due = True
        flush()
        return answer

    gateway.intake.feed = eager
    return gateway


def marks_at_once(*arguments: Any) -> Gateway:
    """Marks documents as delivered when it has merely begun to send them."""
    gateway = Gateway(*arguments)
    destination = gateway.workers["province"]._destination
    deliver, sending = destination.deliver, []

    async def eager(document: Document) -> Confirmation:
        sending.append(asyncio.create_task(deliver(document)))
        sending[-1].add_done_callback(lambda task: task.cancelled() or task.exception())
        return Confirmation(document.name, len(document.body), "surely")

    destination.deliver = eager
    return gateway


@pytest.mark.parametrize(
    ("broken", "found"),
    [(acknowledges_at_once, "nothing lost"), (marks_at_once, "every file")],
    ids=["acknowledges before the commit", "marks before the confirmation"],
)
def test_control_a_broken_gateway_is_caught(broken, found, tmp_path, sound):
    outcome = run(parse(STORY, "bad-hour"), 8, tmp_path / "broken", broken)
    assert any(found in sentence for sentence in wrong(outcome))
    if broken is acknowledges_at_once:
        assert outcome.numbers.lost > 0
    assert rows(outcome) != rows(sound)


def scenario(*parts: str) -> Scenario:
    return parse(HEAD + "\n".join(parts) + '\n[[expect]]\nwhat = "nothing lost"\n', "told")


def test_the_engine_knows_every_fault_and_act_that_may_be_written():
    written = {(where, how) for where, hows in FAULT.items() for how in hows}
    assert written <= set(faults.FAULTS) and set(ACT) <= {*acts.ACTS, acts.ORDER}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (['[[fault]]\nwhere = "witness"\nhow = "cut"\nat = "00:10"\nfor = "5min"'], "this station has none"),
        (
            [
                '[[fault]]\nwhere = "link"\nhow = "cut"\nat = "00:10"\nfor = "9min"',
                '[[fault]]\nwhere = "link"\nhow = "cut"\nat = "00:15"\nfor = "9min"',
            ],
            "two of them at once",
        ),
    ],
)
def test_what_cannot_be_is_an_error_of_the_scenario(parts, said, tmp_path):
    with pytest.raises(ScenarioError, match=said):
        run(scenario(*parts), 1, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        run(scenario(), 1, Path(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


SHORT = HEAD.replace("days = 0.06", "days = 0.02")
"""Half an hour."""
REFUSED = '[[act]]\nwhat = "resume"\nby = "Lan"\nat = "00:10"\n'


def dies_once(*arguments: Any) -> Gateway:
    """A task of it dies of a mistake after ten minutes."""
    gateway = Gateway(*arguments)
    if gateway.journal.size == 0:

        async def die() -> None:
            await asyncio.sleep(600)
            raise ZeroDivisionError("a mistake of the gateway")

        gateway.retention.run = die
    return gateway


def leaves_a_task(*arguments: Any) -> Gateway:
    """A task that nobody waits for dies of a mistake."""
    gateway = Gateway(*arguments)

    async def die() -> None:
        raise ZeroDivisionError("a mistake beside")

    asyncio.get_running_loop().call_later(60, lambda: asyncio.create_task(die()) and None)
    return gateway


def test_a_gateway_that_dies_by_itself_makes_the_run_fail(tmp_path):
    story = parse(SHORT + '[[expect]]\nwhat = "nothing missing"\n', "dies")
    outcome = run(story, 1, tmp_path / "run", dies_once)
    (verdict,) = wrong(outcome)
    assert "The gateway ended by itself: ZeroDivisionError('a mistake of the gateway')" in verdict
    assert outcome.numbers.attempts == outcome.numbers.ok > 100, "it was started again"


def test_an_exception_that_nobody_caught_makes_the_run_fail(tmp_path):
    story = parse(SHORT + '[[expect]]\nwhat = "nothing missing"\n', "beside")
    (verdict,) = wrong(run(story, 1, tmp_path / "run", leaves_a_task))
    assert "ZeroDivisionError('a mistake beside')" in verdict


def test_a_device_that_dies_makes_the_run_fail(tmp_path, monkeypatch):
    poll = LightDevice._poll

    def dying(device: LightDevice, true_ms: int) -> None:
        if device.flash.held > 100 or true_ms % 1_200_000 < 30_000:
            raise ZeroDivisionError("a mistake of the device")
        poll(device, true_ms)

    monkeypatch.setattr(LightDevice, "_poll", dying)
    story = parse(SHORT + '[[expect]]\nwhat = "nothing lost"\n', "device")
    (verdict,) = wrong(run(story, 1, tmp_path / "run"))
    assert "st-01 measures ended by itself: ZeroDivisionError" in verdict


@pytest.mark.parametrize("told", [True, False], ids=["expected", "control"])
def test_a_refusal_makes_the_command_fail_unless_the_story_tells_it(told, tmp_path, capsys):
    file = tmp_path / "resumed.toml"
    expect = 'what = "refused"\nby = "Lan"\nact = "resume"\n' if told else 'what = "nothing lost"\n'
    file.write_text(f"{SHORT}{REFUSED}[[expect]]\n{expect}", "utf-8")
    assert run_scenario(str(file), 1, True, tmp_path / "run", False) == (0 if told else 1)
    said = capsys.readouterr().out
    assert ("WRONG  nothing beside the story: Lan wanted to resume: province is not paused." in said) != told
