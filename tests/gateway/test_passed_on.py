"""A late reading changes what the window behind begins with, a meter or a value that holds: so that is
revised, too.
"""

from __future__ import annotations

import random

import pytest

from gateway.journal.kinds import WINDOW
from gateway.journal.reader import Reader
from gateway.windows import BEFORE, Window, Windows
from protocol.messages import Readings
from protocol.reading import float_bits
from tests.gateway.bundle_rig import told, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, channel, kinds
from tests.gateway.test_verify_random import something
from tools.log.rebuild import rebuild

SOURCE = '{ device = "st-01", quantity = "ph" }'
BUS = '{ bus = "tank", unit = 1, table = "holding", register = 0, type = "float32", poll_ms = 30000 }'
METER = channel("Meter", SOURCE, 'average = "total"') + channel("Flow", BUS)
SLOW = channel("Slow", SOURCE, "update_s = 1800") + channel("Flow", BUS)


def shows(run: Run, at_ms: int, value: float) -> None:
    """The meter (channel 1, without calibration) shows this."""
    story = run.story
    run.say(Readings(story.boot, story.seq, at_ms, 1, ((1, 0, float_bits(value), 0, 0),)))
    story.seq += 1


async def past(run: Run, windows: int) -> None:
    """So many windows go by, of which the device says nothing but that it is there."""
    for _ in range(windows):
        run.pass_ms(LENGTH_MS + 130_000)  # the grace
        run.story.now_ms -= 130_000
        await run.tick()
    run.pass_ms(130_000)
    await run.tick()


def rows(story: Story, symbol: str) -> dict[int, list[Window]]:
    """All revisions of each window, by its number since START."""
    reader = Reader(story.state_dir / "journal.db")
    found: dict[int, list[Window]] = {}
    for window in reader.windows(0, 1 << 62, symbol):
        found.setdefault((window.start_ms - START) // LENGTH_MS, []).append(window)
    reader.close()
    return found


async def outage(run: Run) -> None:
    """100 at first, 150 four windows later; and then it turns out that it showed 130 between the two."""
    run.greet()
    shows(run, START + 1000, 100.0)
    await past(run, 4)
    shows(run, START + 4 * LENGTH_MS + 1000, 150.0)
    await past(run, 2)
    shows(run, START + 2 * LENGTH_MS + 1000, 130.0)
    run.pass_ms(40_000)
    await run.tick()


def test_a_meters_increase_is_told_once(tmp_path):
    story = Story(tmp_path, METER).start(outage)
    found = rows(story, "Meter")
    assert [row.value for row in found[2]] == [0.0, 30.0]
    assert [row.value for row in found[4]] == [50.0, 20.0]
    assert found[4][1].reason == BEFORE and found[2][1].reason == "late data"
    assert [row.meter for row in found[3]] == [100.0, 130.0]
    assert sum(windows[-1].value for windows in found.values() if windows[-1].value) == 50.0
    assert rebuild(story.config).revisions
    assert wrong(told(story)) == ""


def test_control_without_it_the_increase_is_told_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(Windows, "passes_on", lambda *_: False)
    with pytest.raises(AssertionError):
        test_a_meters_increase_is_told_once(tmp_path)


def test_all_of_it_is_one_transaction(tmp_path):
    """Nobody who reads the journal, and no crash, finds one of them without the others."""
    story = Story(tmp_path, METER).start(outage)
    reader = Reader(story.state_dir / "journal.db")
    revised = [idx for (idx,) in reader.rows("SELECT idx FROM window WHERE revision > 1 ORDER BY idx")]
    kinds = {entry.idx: entry.kind for entry in reader.entries(revised[0], revised[-1])}
    reader.close()
    assert len(revised) == 3 and set(kinds.values()) == {WINDOW} and len(kinds) == 3


def test_what_the_newest_window_leaves_is_what_its_revision_says(tmp_path):
    """The late reading is of the newest closed window: the open one begins with it, restarted or not."""

    async def chapter(run: Run) -> None:
        run.greet()
        shows(run, START + 1000, 100.0)
        await past(run, 2)
        shows(run, START + LENGTH_MS + 5000, 140.0)
        run.pass_ms(40_000)
        await run.tick()
        shows(run, START + 2 * LENGTH_MS + 1000, 150.0)
        await past(run, 2)

    story = Story(tmp_path, METER).start(chapter)
    found = rows(story, "Meter")
    assert [row.value for row in found[1]] == [0.0, 40.0]
    assert [row.value for row in found[2]] == [10.0]
    assert rebuild(story.config).windows and wrong(told(story)) == ""


def test_control_an_open_window_that_does_not_hear_of_it_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Windows, "took", lambda *_: None)
    with pytest.raises(AssertionError):
        test_what_the_newest_window_leaves_is_what_its_revision_says(tmp_path)


def test_a_value_that_holds_is_the_late_one(tmp_path):
    async def chapter(run: Run) -> None:
        run.greet()
        shows(run, START + 1000, 7.0)
        await past(run, 6)
        shows(run, START + 2 * LENGTH_MS + 1000, 8.0)
        run.pass_ms(40_000)
        await run.tick()

    story = Story(tmp_path, SLOW).start(chapter)
    found = rows(story, "Slow")
    assert [row.value for row in found[1]] == [7.0] and found[1][0].status == "00"
    assert {(windows[0].value, windows[-1].value) for n, windows in found.items() if 2 <= n < 6} == {
        (7.0, 8.0)
    }
    assert rebuild(story.config).revisions and wrong(told(story)) == ""


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_it_is_passed_on_and_comes_out_again(tmp_path, seed):
    chance = random.Random(seed)

    async def chapter(run: Run) -> None:
        run.greet()
        for _ in range(10):
            await something(run, chance)
            run.frame(run.story.now_ms - LENGTH_MS - chance.randrange(LENGTH_MS))
            run.pass_ms(40_000)
            await run.tick()

    story = Story(tmp_path, kinds()).start(chapter)
    reasons = {w.reason for windows in rows(story, "Meter").values() for w in windows}
    assert BEFORE in reasons
    assert rebuild(story.config).revisions
