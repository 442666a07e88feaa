"""Calibrations in force are entries of their own, which follow from the greetings that bring them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ingest import calibrations
from gateway.ingest.calibrations import Check, told
from gateway.journal.kinds import CALIBRATION, EVENT, HELLO
from gateway.journal.leaf import Leaf
from gateway.journal.reader import Reader
from protocol import cbor
from protocol.merkle import EvidenceError
from tests.gateway.evidence_rig import START, Run, Story, greeting, live
from tests.gateway.intake_rig import CHANNELS, hello

COD = CHANNELS[0]
POINTS = [[0.0, 10.0], [100.0, 210.0]]
OTHER = ((0.0, 11.0), (100.0, 211.0))
NOW = START + 1_000_000


def greets(*channels: tuple, ticks_ms: int = 60_000, boot: int = 1):
    return hello(boot=boot, channels=channels, ticks_ms=ticks_ms)


def said(body: bytes) -> tuple:
    found = cbor.loads(body)
    assert list(found) and found.pop("what") == "in force"
    return tuple(found[name] for name in ("quantity", "calibration", "points", "since_ms"))


def test_only_what_is_new_is_told():
    held: calibrations.Held = {}
    first = greets(("cod", 1000, 3, ((0.0, 1.0), (1.0, 3.0))), ("ph", 1000, 0, ()))
    (body,) = told(held, first, NOW)
    assert said(body) == ("cod", 3, [[0.0, 1.0], [1.0, 3.0]], NOW - 60_000)
    assert told(held, first, NOW + 5) == []
    moved = greets(("ph", 1000, 0, ()), ("cod", 500, 3, ((0.0, 1.0), (1.0, 3.0))))
    assert told(held, moved, NOW) == [], "another place and pace are no calibration"
    assert [said(b)[:2] for b in told(held, greets(("cod", 1000, 3, ((0.0, 2.0),))), NOW)] == [("cod", 3)]
    assert [said(b)[:3] for b in told(held, greets(("cod", 1000, 0, ())), NOW)] == [("cod", 0, [])]
    assert told(held, greets(("cod", 1000, 0, ())), NOW) == []
    assert [said(b)[0] for b in told(held, first, NOW)] == ["cod"], "in force again"


# In the journal ---------------------------------------------------------------------------------------------


def recalibrated(boot: int, points=OTHER):
    async def chapter(run: Run) -> None:
        run.story.boot, run.story.seq = boot, 1
        run.greet(points=points, ticks_ms=5000)
        await run.tick()

    return chapter


def entries(story: Story) -> list:
    reader = Reader(story.state_dir / "journal.db")
    found = list(reader.entries())
    reader.close()
    return found


def in_force(story: Story) -> list[tuple]:
    found = [e for e in entries(story) if e.kind == CALIBRATION]
    assert all(e.source == "device/st-01" and e.body for e in found)
    return [said(e.body) for e in found if e.body]


def test_a_device_that_is_calibrated_anew_is_told_of_once_over_restarts(tmp_path):
    story = Story(tmp_path).start(greeting, live(1), greeting)
    assert [found[:3] for found in in_force(story)] == [(COD, 1, POINTS)]
    story.start(greeting, recalibrated(2), live(1), recalibrated(2), recalibrated(3))
    assert [found[:3] for found in in_force(story)[1:]] == [(COD, 1, [list(point) for point in OTHER])]
    story.start(recalibrated(4, ()))
    assert len(in_force(story)) == 3 and in_force(story)[2][:3] == (COD, 1, [])
    *_, hello_entry, last = [e for e in entries(story) if e.kind in (HELLO, CALIBRATION)]
    assert (hello_entry.kind, last.idx) == (HELLO, hello_entry.idx + 1), "right behind its greeting"
    assert in_force(story)[2][3] == last.arrived_ms - 5000, "since the boot that greets"


def test_a_journal_from_before_gets_them_with_the_next_new_greeting(tmp_path, monkeypatch):
    story = Story(tmp_path)
    with monkeypatch.context() as before:
        before.setattr(calibrations, "told", lambda held, hello, now_ms: [])
        story.start(greeting, live(1))
    assert in_force(story) == []
    story.start(greeting, live(1))
    assert in_force(story) == [], "it has not said anything new"
    story.start(recalibrated(2, tuple(map(tuple, POINTS))), live(1))
    assert [found[:3] for found in in_force(story)] == [(COD, 1, POINTS)]
    check(story)


# That they follow -------------------------------------------------------------------------------------------


def leaves(story: Story) -> list[Leaf]:
    return [Leaf(e.kind, e.source, e.arrived_ms, e.mono_ms, e.body) for e in entries(story) if e.body]


def check(story: Story | list[Leaf]) -> int:
    found = Check()
    for index, leaf in enumerate(leaves(story) if isinstance(story, Story) else story):
        found.take(index, leaf)
    found.end()
    return found.found


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> list[Leaf]:
    story = Story(tmp_path_factory.mktemp("calibrated"))
    return leaves(story.start(greeting, live(1), recalibrated(2), live(1), recalibrated(3, ())))


def places(leaves: list[Leaf], kind: int) -> list[int]:
    return [place for place, leaf in enumerate(leaves) if leaf.kind == kind]


def test_all_of_a_journal_follow(made):
    assert check(made) == 3


def lie(**changed) -> bytes:
    return cbor.dumps({"what": "in force", "quantity": COD, "calibration": 1, "points": [], **changed})


def test_one_that_no_greeting_brings_is_named(made):
    first, second, third = places(made, CALIBRATION)
    for changed in (
        [*made, made[third]],
        [*made[:second], made[second]._replace(body=lie(since_ms=5)), *made[second + 1 :]],
        [*made[:second], made[second]._replace(source="device/st-02"), *made[second + 1 :]],
        [*made[: second - 1], made[second], made[second - 1], *made[second + 1 :]],
        [*made[:second], made[second], *made[second:]],
    ):
        with pytest.raises(EvidenceError, match="a calibration that no greeting before it brings"):
            check(changed)
    with pytest.raises(EvidenceError, match="entry 0: a calibration that no"):
        check([made[first], *made])


def test_one_that_is_missing_is_named(made):
    _, second, third = places(made, CALIBRATION)
    for place in (second, third):
        with pytest.raises(
            EvidenceError, match=f"entry {place - 1}: a calibration that this greeting brings"
        ):
            check([*made[:place], *made[place + 1 :]])


def test_what_is_no_calibration_is_a_sentence(made):
    for body in (b"x", lie(), cbor.dumps({"what": "in force"})):
        with pytest.raises(EvidenceError, match=r"no calibration as a gateway writes it|no greeting before"):
            check([*made, Leaf(CALIBRATION, "device/st-01", NOW, 1, body)])


def test_another_what_is_passed_over(made, tmp_path):
    """A record of a calibration, as a later version writes it: by whom, zero and span, which certificate."""
    record = Leaf(
        CALIBRATION, "device/st-01", NOW, 1, cbor.dumps({"what": "record", "by": "Lan", "zero": 0.1})
    )
    odd = Leaf(CALIBRATION, "device/st-01", NOW, 1, cbor.dumps(["a list"]))
    event = Leaf(EVENT, "device/st-01", NOW, 1, cbor.dumps(["a name", "st-01"]))
    for place in (0, places(made, CALIBRATION)[1] + 1, len(made)):
        assert check([*made[:place], record, odd, event, *made[place:]]) == 3


def known(path: Path) -> dict:
    reader = Reader(path)
    try:
        return calibrations.learn(reader)
    finally:
        reader.close()


def test_a_start_knows_what_is_in_force(tmp_path):
    story = Story(tmp_path).start(greeting)
    assert known(story.state_dir / "journal.db") == {"device/st-01": {COD: (1, POINTS)}}
