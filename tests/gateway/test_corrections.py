"""Corrections apply from a moment on and never backwards: by hand, with restarts, rebuilds and bundles."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway.calibration import correct
from gateway.calibration.correct import NoCorrection, corrected, left
from gateway.calibration.desk import CalibrationDesk
from gateway.calibration.history import kept
from gateway.calibration.record import Point
from gateway.config import load
from gateway.errors import CommandError, JournalError
from gateway.ingest import corrections, polls
from gateway.ingest.corrections import Correction, parse, wiring_of
from gateway.ingest.raw import RawFeed
from gateway.journal.kinds import CALIBRATION, POLL
from gateway.journal.reader import reading
from gateway.lane import Lane
from protocol import cbor
from protocol.calibration import engineering
from protocol.messages import Result, decode
from protocol.reading import float_bits
from tests.gateway import test_verify_cut
from tests.gateway.bundle_rig import told, wrong
from tests.gateway.calibration_rig import points, said
from tests.gateway.evidence_rig import LENGTH_MS, START, STEP_MS, Run, Story, late
from tests.gateway.intake_rig import hello, wire
from tests.gateway.test_calibration_desk import order
from tests.gateway.test_commands import NONCES, run
from tests.gateway.test_passed_on import rows
from tools.log.rebuild import rebuild

FLAT = 20.0
"""What the bus shows all the time in these stories."""


def found(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(reference, before, None) for reference, before in pairs]


# By hand ----------------------------------------------------------------------------------------------------


def test_the_worked_example():
    """Of gateway/calibration/correct.py."""
    first = corrected((), found((0, 1.0), (50, 51.5), (100, 102.0)))
    assert first == (pytest.approx((1.0, 0.0)), pytest.approx((102.0, 100.0)))
    assert engineering(51.5, first) == pytest.approx(50.0)
    second = corrected(first, found((0, 0.5), (100, 100.5)))
    assert second == (pytest.approx((1.0, -0.5)), pytest.approx((102.0, 99.5)))


def test_what_is_left_is_what_it_will_show():
    """1 and 102 of 0 and 100; behind the correction they show 0 and 100, and without it what they showed."""
    some = found((0, 1.0), (100, 102.0))
    made = corrected((), some)
    assert [point.after for point in left((), made, some)] == [pytest.approx(0.0), pytest.approx(100.0)]
    now = found((0, 0.5), (100, 100.5))  # as it is corrected; raw it would show 0.5 * 1.01 + 1 = 1.505
    assert [point.after for point in left(made, (), now)] == [pytest.approx(1.505), pytest.approx(102.505)]


def test_against_the_references_themselves():
    rng = Random(4)
    for _ in range(300):
        slope, offset = rng.uniform(0.6, 1.8), rng.uniform(-20, 20)
        standing: tuple = ()
        for _ in range(4):  # each time it drifts on, and is corrected anew
            references = sorted(rng.sample(range(0, 200), rng.randrange(2, 6)))
            raws = [slope * x + offset for x in references]
            shown = [engineering(raw, standing) for raw in raws]
            if not 0.5 < (shown[-1] - shown[0]) / (references[-1] - references[0]) < 2:
                break
            standing = corrected(standing, found(*zip(references, shown, strict=True)))
            for raw, reference in zip(raws, references, strict=True):
                assert engineering(raw, standing) == pytest.approx(reference, abs=1e-6)
            slope, offset = slope * rng.uniform(0.9, 1.1), offset + rng.uniform(-3, 3)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (((0, 0.0), (100, 40.0)), "is repaired"),
        (((0, 100.0), (100, 0.0)), "is repaired"),
        (((0, 0.0), (100, 300.0)), "is repaired"),
    ],
)
def test_what_is_too_far_off_is_repaired(pairs, why):
    with pytest.raises(NoCorrection, match=why):
        corrected((), found(*pairs))
    with pytest.raises(NoCorrection, match="no inverse"):
        left(((0, 0), (1, 5), (2, 3)), (), found((0, 1), (1, 2)))


def test_an_entry_is_read_back_and_nothing_else_is_one():
    one = Correction("Flow", 3, ((1.0, 0.0), (102.0, 100.0)), "tank 1 holding", "anna")
    assert parse(one.body()) == one
    assert parse(one._replace(points=()).body()) == one._replace(points=())
    for bad in (
        one._replace(calibration=0), one._replace(calibration=1 << 16), one._replace(points=((2, 1), (1, 2))),
        one._replace(who=7), one._replace(points=((1,),)), one._replace(points=((1, float("inf")),)),
    ):  # fmt: skip
        assert (
            parse(
                cbor.dumps({**bad._asdict(), "what": "correction", "points": [list(p) for p in bad.points]})
            )
            is None
        )
    for data in (
        b"",
        b"\xff",
        cbor.dumps([]),
        cbor.dumps({"what": "correction"}),
        cbor.dumps({"what": "in force"}),
    ):
        assert parse(data) is None


# A gateway's life -------------------------------------------------------------------------------------------


def flat(run_: Run, value: float = FLAT) -> None:
    """A reading of the bus."""
    index = len(run_.intake._channels) - 1
    run_.intake.poll("tank", [(index, run_.story.now_ms - 50, float_bits(value), 0)])


def lives(windows: float):
    """So many windows, with a constant reading of the bus every 30 s."""

    async def chapter(run_: Run) -> None:
        for _ in range(int(windows * LENGTH_MS) // STEP_MS):
            run_.pass_ms(STEP_MS)
            run_.frame()
            flat(run_)
            await run_.tick()

    return chapter


def given(kind: str = "correction", **changed):
    """A person corrects: 11 and 21 were shown of 10 and 20, so FLAT = 20 becomes 19."""

    async def chapter(run_: Run) -> None:
        config = load(run_.story.config)
        desk = CalibrationDesk(
            config, run_.intake.journal, lambda: (run_.story.now_ms, 5), corrects=run_.intake
        )
        shown = {"points": points((10, 11.0), (20, 21.0)), **changed}
        certificate = said()["certificate"] | {"valid_until": "2027-01-01"}
        asked = order(
            channel="Flow", kind=kind, certificate=certificate, remark=str(run_.story.now_ms), **shown
        )
        answer = await desk.do(asked)
        assert answer.ok, answer.said

    return chapter


async def greeted(run_: Run) -> None:
    run_.greet()


def values(story: Story) -> list[float]:
    revisions = rows(story, "Flow")
    return [revisions[n][-1].value for n in sorted(revisions)]


def corrected_story(folder) -> Story:
    """Two windows and a half, then the correction, then two more; a restart, and one more."""
    story = Story(folder).start(greeted, lives(2.5), given(), lives(2.5))
    return story.start(lives(1))


def test_it_holds_from_here_on_and_nothing_before_becomes_another(tmp_path):
    story = corrected_story(tmp_path)
    shown = values(story)
    assert shown[0] == shown[1] == 20.0 and shown[3:] == [19.0] * (len(shown) - 3) and len(shown) >= 5
    assert shown[2] == pytest.approx(19.5, abs=0.06), "half of its readings came before"
    assert all(len(revisions) == 1 for revisions in rows(story, "Flow").values())
    with reading(story.state_dir / "journal.db") as reader:
        polled = [decode(entry.body).rows[0] for entry in reader.entries() if entry.kind == POLL]
        (entry,) = [each for each in reader.entries(kinds=(CALIBRATION,)) if parse(each.body)]
        (record,) = [each.record for each in kept(reader)]
    assert {bits for _, _, bits, _, _ in polled} == {float_bits(20.0)}, "what it indicated stays as it was"
    ids = [row[4] for row in polled]
    assert ids == sorted(ids) and set(ids) == {0, 1} and entry.source == "bus/tank"
    assert [point.after for point in record.points] == [pytest.approx(10.0), pytest.approx(20.0)]


def test_it_comes_out_again(tmp_path):
    story = corrected_story(tmp_path)
    assert rebuild(story.config).windows == len(rows(story, "Flow"))
    assert wrong(told(story)) == ""
    behind = told(story, START + 4 * LENGTH_MS, START + 5 * LENGTH_MS)  # it stands before this range
    assert wrong(behind) == ""
    with reading(story.state_dir / "journal.db") as reader:
        (index,) = [each.idx for each in reader.entries(kinds=(CALIBRATION,)) if parse(each.body)]
    assert index in behind.manifest.others
    changed = behind.files[f"entries/{index}.bin"]
    assert wrong(behind.but({f"entries/{index}.bin": changed[:-1] + b"b"}))


def test_control_applied_to_all_readings_alike_closed_windows_would_become_others(tmp_path, monkeypatch):
    """Points in the place of those that older readings name: what ids are for."""

    def backwards(self, one) -> None:
        self._newest[one.quantity] = one
        for number in (0, 1):
            self.lane.corrected(one.quantity, number, one.points)

    monkeypatch.setattr(polls.BusIngest, "correct", backwards)
    with pytest.raises(Exception, match=r"."):
        test_it_comes_out_again(tmp_path)


def test_control_a_bundle_without_the_correction_is_found_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(corrections, "tell", lambda lane, body: None)
    story = corrected_story(tmp_path)
    assert wrong(told(story)) != ""


def test_late_readings_of_a_window_before_change_nothing_of_it(tmp_path):
    story = Story(tmp_path).start(greeted, lives(3), given(), lives(2), late(4 * LENGTH_MS))
    assert any(len(revisions) > 1 for revisions in rows(story, "COD").values())
    assert all(len(revisions) == 1 for revisions in rows(story, "Flow").values())
    assert rebuild(story.config).revisions and wrong(told(story)) == ""


def test_a_second_one_is_behind_the_first_and_it_ends(tmp_path):
    """19 is shown where 20 is indicated; then 9.5 and 19.5 of 10 and 20 (0.5 too low): 19 becomes 19.5."""
    again = given(points=points((10, 9.5), (20, 19.5)))
    ends = given("uncorrected", points=points((10, 10.0), (20, 20.0)))
    story = Story(tmp_path).start(greeted, lives(1), given(), lives(1), again, lives(1))
    story.start(lives(1), ends, lives(3))
    shown = values(story)
    assert shown[:4] == pytest.approx([20.0, 19.0, 19.5, 19.5]) and set(shown[4:]) == {20.0}
    assert rebuild(story.config).windows and wrong(told(story)) == ""
    with reading(story.state_dir / "journal.db") as reader:
        made = [one for each in reader.entries(kinds=(CALIBRATION,)) if (one := parse(each.body))]
        last = [each.record for each in kept(reader)][-1]
    assert [one.calibration for one in made] == [1, 2, 3] and made[2].points == ()
    assert [point.after for point in last.points] == [pytest.approx(10.5), pytest.approx(20.5)]


def test_another_wiring_is_another_instrument(tmp_path):
    story = Story(tmp_path)
    plain = story.config.read_text(encoding="utf-8")
    wired(story, given()).start(greeted, lives(1))
    story.config.write_text(plain.replace("register = 0", "register = 8"), encoding="utf-8")
    start_wired(story, lives(2))
    assert values(story)[-1] == 20.0, "it is read elsewhere: the correction was of another instrument"
    story.config.write_text(plain, encoding="utf-8")
    start_wired(story, lives(2))
    assert values(story)[-1] == 19.0
    assert rebuild(story.config).windows and wrong(told(story)) == ""


def start_wired(story: Story, *chapters) -> Story:
    """As app.py starts it: with how channels are wired."""
    from tests.gateway import evidence_rig

    made = evidence_rig.Intake

    def intake(*arguments):
        return made(*arguments, wiring=wiring_of(load(story.config)))

    evidence_rig.Intake = intake
    try:
        return story.start(*chapters)
    finally:
        evidence_rig.Intake = made


def wired(story: Story, *chapters) -> Story:
    return start_wired(story, greeted, lives(1), *chapters, lives(1))


def test_a_disk_that_refuses_leaves_it_as_it_was(tmp_path):
    async def refused(run_: Run) -> None:
        commit = run_.intake.journal.commit

        async def refuses(**more):
            raise JournalError("The disk is full.")

        run_.intake.journal.commit = refuses
        with pytest.raises(JournalError):
            await given()(run_)
        run_.intake.journal.commit = commit

    story = Story(tmp_path).start(greeted, lives(1), refused, lives(3))
    assert set(values(story)) == {20.0} and len(values(story)) > 2 and rebuild(story.config).windows


def test_control_brought_into_force_before_it_is_on_the_disk_its_readings_are_lost(tmp_path, monkeypatch):
    """A reading names a correction that is in no entry: nobody can say what it means."""
    made = polls.BusIngest.next

    def early(self, symbol, pairs, who):
        one = made(self, symbol, pairs, who)
        self.correct(one)
        return one

    monkeypatch.setattr(polls.BusIngest, "next", early)
    with pytest.raises(Exception, match=r"."):
        test_a_disk_that_refuses_leaves_it_as_it_was(tmp_path)


def test_what_cannot_be_corrected_is_a_sentence_and_nothing_is_entered(tmp_path):
    async def wrongly(run_: Run) -> None:
        for chapter, sentence in (
            (given("uncorrected"), "Flow is not corrected now."),
            (given(points=points((0, 0.0), (100, 10.0))), "is repaired"),
            (given(points=points((10, 11.0, 1.0), (20, 21.0, 2.0))), "there is no after"),
        ):
            with pytest.raises(AssertionError, match=sentence):
                await chapter(run_)
        with pytest.raises(CommandError, match="There is no channel"):
            await run_.intake.correct("None", (), "anna")

    story = Story(tmp_path).start(greeted, wrongly, lives(1))
    with reading(story.state_dir / "journal.db") as reader:
        entries = list(reader.entries(kinds=(CALIBRATION,)))
        assert kept(reader) == [] and not any(parse(each.body) for each in entries)


def test_cut_anywhere_two_processes_find_what_one_finds(tmp_path, monkeypatch):
    monkeypatch.setattr(test_verify_cut.verify_entries, "BESIDE_MIN", 0)
    monkeypatch.setattr(test_verify_cut.verify_entries, "is_possible", lambda: True)
    cutting = test_verify_cut.Cutting(monkeypatch)
    whole, parts = cutting.outcomes(told(corrected_story(tmp_path)))
    assert "follow from the readings" in whole and parts and set(parts) == {whole}


def test_the_raw_feed_tells_what_is_corrected():
    lane = Lane("bus/tank", [], None)  # type: ignore[arg-type]
    lane.tables[1] = [("Flow", 1000, 1, ((11.0, 10.0), (21.0, 20.0))), ("pH", 1000, 0, ())]
    channels = [load_channel("Flow"), load_channel("pH")]
    feed = RawFeed(channels, lambda name, at_ms, told_, means: [told_])
    entries = [(POLL, 1, 1, 1, 2)]
    (told_,) = feed.polled(
        "bus/tank", entries, [(0, 5, float_bits(20.0), 0), (1, 5, float_bits(7.0), 0)], lane
    )
    assert [(symbol, value) for symbol, _, value, _ in told_] == [("Flow", 19.0), ("pH", 7.0)]


def load_channel(symbol: str):
    from gateway.windows import Channel

    return Channel(symbol, "", "bus/tank", symbol, 1000)


# A device ---------------------------------------------------------------------------------------------------


def test_a_device_is_sent_its_points(tmp_path):
    """It has (0, 10), (100, 210) in force; 11 and 112 are shown of 10 and 110: slope 1.01, offset 0.9."""

    async def use(rig, connect):
        device = await connect(lambda c: Result(c.id, True, "calibrated", None))
        table = (("cod", 10_000, 1, ((0.0, 10.0), (100.0, 210.0))), ("ph", 10_000, 0, ()))
        device.writer.write(wire(hello(nonce=next(NONCES), channels=table)))
        symbol, quantity = rig.intake._channels[0].symbol, rig.intake._channels[0].quantity
        await asyncio.sleep(0.3)
        number, standing = rig.intake.standing(symbol)
        assert (number, [list(p) for p in standing]) == (1, [[0.0, 10.0], [100.0, 210.0]])
        made = correct.corrected(standing, found((10, 11.0), (110, 112.0)))
        await rig.intake.correct(symbol, made, "anna", [b"\xa0"])
        (command,) = device.commands
        assert command.name == "calibrate" and command.args["channel"] == quantity and command.args["id"] == 2
        assert command.args["points"] == [
            pytest.approx([0.0, (10 - 0.9) / 1.01]), pytest.approx([100.0, (210 - 0.9) / 1.01]),
        ]  # fmt: skip
        device.answer = lambda c: Result(c.id, False, "id: write a number from 3", None)
        with pytest.raises(CommandError, match="did not take it: id: write a number"):
            await rig.intake.correct(symbol, made, "anna", [b"\xa1\x61a\x01"])

    run(tmp_path, use)
    with reading(tmp_path / "journal.db") as reader:
        bodies = [entry.body for entry in reader.entries(kinds=(CALIBRATION,))]
    assert b"\xa0" in bodies and b"\xa1\x61a\x01" not in bodies
