"""What changes in the middle of a station's life (its configuration, an instrument's table, a word of a
person, the sign of a zero) never makes a window that does not come out again, and rewrites none for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest

from gateway import verify_cut, verify_entries, windows
from gateway.accumulate import State
from gateway.ingest.intake import Intake
from gateway.windows import Window, Windows
from protocol import quality as q
from protocol.merkle import EvidenceError
from tests.gateway import evidence_rig
from tests.gateway.bundle_rig import told, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, channel
from tests.gateway.test_passed_on import BUS, METER, SOURCE, past, rows, shows
from tools.log.rebuild import rebuild

Chapter = Callable[[Run], Awaitable[None]]
PLAIN = channel("A", SOURCE) + channel("Flow", BUS)


def holds(story: Story) -> None:
    """All of it comes out again, from the journal and from a bundle."""
    assert rebuild(story.config).windows
    assert wrong(told(story)) == ""


def reconfigured(story: Story, old: str, new: str) -> None:
    text = story.config.read_text()
    assert old in text
    story.config.write_text(text.replace(old, new))


async def late(run: Run, at_ms: int, value: float) -> None:
    shows(run, at_ms, value)
    run.pass_ms(40_000)
    await run.tick()


def revised(story: Story, symbol: str) -> list[int]:
    """Numbers of the windows that have more than one revision."""
    return [number for number, found in rows(story, symbol).items() if len(found) > 1]


# A zero -----------------------------------------------------------------------------------------------------


def test_a_negative_zero_is_carried_on_as_what_the_database_keeps(tmp_path):
    async def zero(run: Run) -> None:
        run.greet()
        shows(run, START + 1000, -0.0)
        await past(run, 1)

    async def silence(run: Run) -> None:
        await past(run, 2)

    holds(Story(tmp_path, PLAIN).start(zero, silence).start(silence))


def test_control_a_zero_with_its_sign_does_not_come_out_again(tmp_path, monkeypatch):
    def as_it_is(channel, before: Window | None) -> State:
        return State() if before is None else before.state()

    monkeypatch.setattr(windows, "left", as_it_is)
    monkeypatch.setattr("gateway.ingest.replay.left", as_it_is)
    monkeypatch.setattr("gateway.verify_windows.left", as_it_is)
    with pytest.raises((AssertionError, EvidenceError)):
        test_a_negative_zero_is_carried_on_as_what_the_database_keeps(tmp_path)


# Another configuration --------------------------------------------------------------------------------------


async def one_value(run: Run) -> None:
    run.greet()
    shows(run, START + 1000, 5.0)
    await past(run, 6)


async def rising(run: Run) -> None:
    run.greet()
    for number in range(6):
        shows(run, run.story.now_ms + 1000, 100.0 + 10 * number)
        await past(run, 1)


@pytest.mark.parametrize(
    "more", ["checks = { stuck_min = 600 }", "update_s = 1800", 'average = "total"', 'average = "last"']
)
def test_a_late_reading_of_before_rewrites_its_window_alone(tmp_path, more):
    """Windows that were made by another configuration stay, though this one would leave them something."""

    async def again(run: Run) -> None:
        run.greet()
        await late(run, START + 2 * LENGTH_MS + 1000, 5.5)

    story = Story(tmp_path, PLAIN).start(one_value)
    reconfigured(story, PLAIN, channel("A", SOURCE, more) + channel("Flow", BUS))
    story.start(again)
    assert revised(story, "A") == [2]
    holds(story)


@pytest.mark.parametrize("more", ["checks = { stuck_min = 600 }", "update_s = 1800"])
def test_control_without_that_all_behind_it_are_rewritten(tmp_path, monkeypatch, more):
    monkeypatch.setattr(windows, "keeps", lambda *_: False)
    with pytest.raises(AssertionError):
        test_a_late_reading_of_before_rewrites_its_window_alone(tmp_path, more)


def test_a_window_of_another_length_stays_as_it_is(tmp_path):
    async def again(run: Run) -> None:
        run.greet()
        await late(run, START + LENGTH_MS + 2000, 111.0)
        await late(run, START + 2 * LENGTH_MS + 2000, 111.0)

    story = Story(tmp_path, METER).start(rising)
    story.config.write_text(re.sub("window_minutes = 5", "window_minutes = 10", story.config.read_text()))
    story.start(again)
    found = rows(story, "Meter")
    assert {window.end_ms - window.start_ms for number in range(6) for window in found[number]} == {LENGTH_MS}
    assert revised(story, "Meter") == []
    holds(story)


def test_another_average_begins_anew(tmp_path):
    """What a meter showed is no value of the same channel read as a mean, nor the other way."""
    story = Story(tmp_path, METER).start(rising)
    reconfigured(story, 'average = "total"', "checks = { stuck_min = 11 }")

    async def same(run: Run) -> None:
        run.greet()
        for _ in range(4):
            shows(run, run.story.now_ms + 1000, 150.0)
            await past(run, 1)

    begin = len(rows(story, "Meter"))
    found = rows(story.start(same), "Meter")
    made = [found[number][-1] for number in sorted(found) if number >= begin]
    assert made[0].average == "mean" and {row.meter for row in made} == {None}
    assert "STUCK" in made[-1].flags  # for longer than 11 minutes, over windows
    holds(story)


# Said while a window is computed again ----------------------------------------------------------------------


def interrupted(by: Chapter) -> Chapter:
    """`by(run)` happens while a late window is computed."""

    async def chapter(run: Run) -> None:
        run.greet()
        run.frame(START + 1000)
        await past(run, 3)
        run.frame(START + LENGTH_MS + 1000)
        run.pass_ms(40_000)
        read = run.intake.journal.read

        async def slow(function, *arguments):
            found = await read(function, *arguments)
            run.intake.journal.read = read
            await by(run)
            return found

        run.intake.journal.read = slow
        await run.tick()
        await run.tick()
        await past(run, 1)

    return chapter


async def recalibrated(run: Run) -> None:
    run.greet(points=((0.0, 50.0), (100.0, 60.0)))
    await run.intake.journal.commit()


def test_a_table_that_comes_while_a_window_is_computed_again(tmp_path):
    story = Story(tmp_path).start(interrupted(recalibrated))
    assert revised(story, "COD") == [1]
    holds(story)


def test_control_a_revision_that_does_not_look_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Intake, "_told_so_far", lambda _: 0)
    with pytest.raises((AssertionError, EvidenceError)):
        test_a_table_that_comes_while_a_window_is_computed_again(tmp_path)


def test_a_greeting_that_says_nothing_new_holds_up_no_revision(tmp_path):
    async def greets(run: Run) -> None:
        run.greet()

    story = Story(tmp_path).start(interrupted(greets))
    assert revised(story, "COD") == [1]
    holds(story)


async def closed_early(run: Run) -> None:
    """Clocks that are ahead closed a window before its end; and then somebody says that he calibrates."""
    run.greet()
    run.frame(START + 1000)
    run.pass_ms(LENGTH_MS - 100_000)
    for lane in run.intake.windows.lanes.values():
        lane.progress = START + LENGTH_MS + 1
    await run.tick()
    assert run.intake.windows.next_ms == START + LENGTH_MS > run.story.now_ms
    run.pass_ms(10_000)
    await run.intake.mark("COD", q.CALIBRATING, 4, "Lan", "zero")
    run.frame(START + 9000)
    run.pass_ms(3000)
    await run.tick()
    await past(run, 2)


def test_a_closed_window_does_not_become_calibrated(tmp_path):
    found = rows(Story(tmp_path).start(closed_early), "COD")
    assert len(found[0]) == 2 and "01" not in {row.status for row in found[0]}
    assert found[1][-1].status == "01"


# Where a run is cut -----------------------------------------------------------------------------------------


def test_a_cut_behind_a_revision_that_an_older_gateway_did_not_begin_with(tmp_path, monkeypatch):
    """Until schema 5 a gateway went on with what it had when it closed the window, until its next start."""
    real = evidence_rig.channels_of
    monkeypatch.setattr(
        evidence_rig, "channels_of", lambda config: [c._replace(holds=False) for c in real(config)]
    )
    monkeypatch.setattr(verify_entries, "BESIDE_MIN", 0)
    monkeypatch.setattr(verify_entries, "is_possible", lambda: True)

    async def chapter(run: Run) -> None:
        run.greet()
        run.frame(START + 1000)
        await past(run, 3)
        run.frame(START + 2 * LENGTH_MS + 1000)
        run.pass_ms(40_000)
        await run.tick()
        for _ in range(2):
            run.poll()
            await run.tick()
        await past(run, 1)
        for _ in range(3):
            run.poll()
            run.frame()
            await past(run, 1)

    bundle = told(Story(tmp_path).start(chapter))
    cuts: list[verify_cut.Cut] = []
    monkeypatch.setattr(verify_cut, "find", lambda *of: cuts.extend(verify_cut.possible(*of)))
    assert wrong(bundle) == ""
    for cut in cuts:
        monkeypatch.setattr(verify_cut, "find", lambda *_, cut=cut: cut)
        assert wrong(bundle) == ""
    assert cuts


def test_control_a_revision_that_nobody_looks_at_is_found(tmp_path, monkeypatch):
    right = verify_cut._said

    def all_first(entries):
        said = right(entries)
        return said._replace(rows=[(index, start, end, 1) for index, start, end, _ in said.rows])

    monkeypatch.setattr(verify_cut, "_said", all_first)
    with pytest.raises(AssertionError):
        test_a_cut_behind_a_revision_that_an_older_gateway_did_not_begin_with(tmp_path, monkeypatch)


def test_what_is_taken_back_is_on_the_list_once():
    there = Windows([], windows.Settings())
    there.mark_late([START], 0.0)
    (late_window,) = there.late_due(100.0)
    assert there.late_waiting == 0
    there.mark_late([START], 0.0)
    there.again(late_window)
    assert there.late_waiting == 1
