"""A person calibrates or maintains an instrument: windows say so until it ends, and everybody finds it."""

from __future__ import annotations

from random import Random

import pytest

from gateway.errors import CommandError
from gateway.marks import LENGTH_MS_MAX, Mark, Marks, parse
from gateway.windows import Windows
from protocol import cbor
from protocol import quality as q
from tests.gateway.bundle_rig import told, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, live
from tests.gateway.test_passed_on import rows
from tools.log.rebuild import rebuild

MINUTE = 60_000


def mark(quality: int, from_min: float, to_min: float, symbol: str = "COD") -> Mark:
    return Mark(symbol, quality, int(from_min * MINUTE), int(to_min * MINUTE), "Lan", "zero and span")


def found(marks: Marks, from_min: float, to_min: float, symbol: str = "COD") -> int | None:
    return marks.of_window(symbol, int(from_min * MINUTE), int(to_min * MINUTE))


def test_a_window_that_it_touches_and_no_other():
    marks = Marks()
    marks.take(mark(q.CALIBRATING, 7, 12))
    assert [found(marks, n, n + 5) for n in (0, 5, 10, 15)] == [None, q.CALIBRATING, q.CALIBRATING, None]
    assert found(marks, 2, 7) is None and found(marks, 12, 17) is None  # edges
    assert found(marks, 5, 10, "pH") is None


def test_it_ends_when_he_says_so_and_the_newest_word_counts():
    marks = Marks()
    marks.take(mark(q.CALIBRATING, 0, 60))
    marks.take(mark(q.OK, 11, 11))
    assert [found(marks, n, n + 5) for n in (5, 10, 15)] == [q.CALIBRATING, q.CALIBRATING, None]
    marks.take(mark(q.MAINTENANCE, 20, 30))
    marks.take(mark(q.CALIBRATING, 22, 26))
    assert [found(marks, n, n + 5) for n in (20, 25, 30)] == [q.CALIBRATING, q.CALIBRATING, None]
    assert (
        marks.now("COD", 25 * MINUTE) == (q.CALIBRATING, 26 * MINUTE)
        and marks.now("COD", 27 * MINUTE) is None
    )


def test_against_a_minute_by_minute_reference():
    for seed in range(300):
        rng, marks, minutes, now = Random(seed), Marks(), {}, 0
        for _ in range(rng.randrange(1, 8)):
            now += rng.randrange(0, 20)
            quality, length = rng.choice([q.OK, q.CALIBRATING, q.MAINTENANCE]), rng.randrange(1, 30)
            marks.take(mark(quality, now, now + length))
            minutes = {minute: was for minute, was in minutes.items() if minute < now}
            if quality:
                minutes |= dict.fromkeys(range(now, now + length), quality)
        for start in range(0, 200, 5):
            within = [minutes[minute] for minute in range(start, start + 5) if minute in minutes]
            assert found(marks, start, start + 5) == min(within, default=None), seed


def test_those_of_one_channel_do_not_push_out_those_of_another(monkeypatch):
    monkeypatch.setattr("gateway.marks.MARKS_MAX", 3)
    marks = Marks()
    for number in range(5):
        marks.take(mark(q.CALIBRATING, 10 * number, 10 * number + 5))
        marks.take(mark(q.MAINTENANCE, 0, 5, "pH")) if not number else None
    assert [found(marks, n, n + 5) for n in range(0, 50, 10)] == [None, None, *[q.CALIBRATING] * 3]
    assert found(marks, 0, 5, "pH") == q.MAINTENANCE


def test_it_is_read_back():
    one = mark(q.MAINTENANCE, 1, 2)
    assert parse(one.event()) == one
    assert parse(cbor.dumps([*cbor.loads(one.event()), "of a later version"])) == one
    with pytest.raises(ValueError):
        parse(one._replace(quality=q.FAULT).event())


async def calibrated(run: Run) -> None:
    run.greet()
    await live(2)(run)
    await run.intake.mark("COD", q.CALIBRATING, 12, "Lan", "zero and span")
    await live(4)(run)


def lived(folder) -> Story:
    """Two windows, then twelve minutes of calibration, told in the middle; a restart in the middle of it."""
    story = Story(folder).start(calibrated)
    return story.start(live(1))


def test_the_windows_say_so_and_come_out_again(tmp_path):
    story = lived(tmp_path)
    revisions = rows(story, "COD")
    statuses = [revisions[n][-1].status for n in sorted(revisions)]
    assert [number for number, status in enumerate(statuses) if status == "01"] == [2, 3, 4]
    assert "01" not in {row.status for windows in rows(story, "PH").values() for row in windows}
    assert rebuild(story.config).windows == len(revisions)
    assert wrong(told(story)) == ""
    late = told(story, START + 4 * LENGTH_MS, START + 6 * LENGTH_MS)
    assert wrong(late) == ""  # a range that begins behind the word is told it, too


def test_a_restart_in_the_middle_changes_nothing(tmp_path):
    async def before(run: Run) -> None:
        run.greet()
        await run.intake.mark("COD", q.MAINTENANCE, 60, "Lan", "pump")
        await live(1)(run)

    story = Story(tmp_path).start(before).start(live(2))
    assert {row.status for windows in rows(story, "COD").values() for row in windows} == {"01"}
    assert rebuild(story.config).windows


def test_control_a_gateway_that_forgets_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Marks, "of_window", lambda *_: None)
    with pytest.raises(AssertionError):
        test_the_windows_say_so_and_come_out_again(tmp_path)


def test_control_a_scratch_without_marks_is_found(tmp_path, monkeypatch):
    """A late reading of a calibrated window: its revision is calibrated, too."""

    async def chapter(run: Run) -> None:
        await calibrated(run)
        run.frame(START + 3 * LENGTH_MS + 1000)
        run.pass_ms(40_000)
        await run.tick()

    def story(name: str) -> Story:
        (tmp_path / name).mkdir()
        return Story(tmp_path / name).start(chapter)

    assert {row.status for row in rows(story("right"), "COD")[3]} == {"01"}
    right = Windows.scratch

    def forgetful(self, start_ms):
        other = right(self, start_ms)
        other.marks = Marks()
        return other

    monkeypatch.setattr(Windows, "scratch", forgetful)
    assert {row.status for row in rows(story("wrong"), "COD")[3]} != {"01"}


@pytest.mark.parametrize(
    ("symbol", "minutes"), [("CODD", 5), ("COD", -1), ("COD", LENGTH_MS_MAX / MINUTE + 1)]
)
def test_what_cannot_be_is_a_sentence(tmp_path, symbol, minutes):
    async def chapter(run: Run) -> None:
        with pytest.raises(CommandError, match=r"Name one of|days are the most"):
            await run.intake.mark(symbol, q.CALIBRATING, minutes, "Lan", "")

    Story(tmp_path).start(chapter)
