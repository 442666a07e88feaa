"""gateway/calibration: entered, heard by alerts, passed over by windows, bundles and rebuilds; controls."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import pictures, watch
from gateway.calibration import desk as module
from gateway.calibration.desk import CalibrationDesk
from gateway.calibration.history import History, history, in_force_ms, kept
from gateway.config import load
from gateway.feed_entries import event_of
from gateway.journal.kinds import CALIBRATION
from gateway.journal.reader import reading
from gateway.requests import CALIBRATE, RECORD_MAX, Answer, Order, parse
from gateway.zone import DAY_MS
from tests.gateway.bundle_rig import told, wrong
from tests.gateway.calibration_rig import picture, points, said, text
from tests.gateway.configured import STATION, channel, configured, written
from tests.gateway.evidence_rig import Run, Story, live
from tests.gateway.test_watch import _calibrated
from tests.gateway.watch_rig import watched
from tools.log.rebuild import rebuild

LIMITED = "calibrate_days = 10\ncalibration = { span = 100.0, zero_drift_max = 1.5, span_drift_max = 3.0 }"
COD = channel("COD", "mg/l", 2, LIMITED)
T0_TEXT = "2026-03-25T07:00"


def order(**changed) -> Order:
    return Order(CALIBRATE, (), "", "anna", "", record=text(**changed))


class Entered:
    """A journal with a desk in front of it."""

    def __init__(self, config, journal, now_ms: int):
        self.config, self.journal, self.now_ms, self.heard = config, journal, now_ms, 0
        self.desk = CalibrationDesk(config, journal, lambda: (self.now_ms, 5), self._hear)

    def _hear(self) -> None:
        self.heard += 1

    async def give(self, **changed) -> Answer:
        return await self.desk.do(order(**{"certificate": certificate("2027-01-01"), **changed}))

    def records(self):
        with reading(self.journal.path) as reader:
            return [each.record for each in kept(reader)]


def entered(tmp_path, case) -> None:
    config = configured(tmp_path, COD + channel("pH", "", 2))

    async def main() -> None:
        async with watched(config) as at:
            at.at.now_ms = 1_774_397_100_000 + DAY_MS
            await case(Entered(config, at.at.journal, at.at.now_ms))

    asyncio.run(main())


def test_it_is_entered_and_what_came_of_it_is_said(tmp_path):
    async def case(at: Entered) -> None:
        answer = await at.give()
        assert answer == Answer(
            "COD: the check is entered.\n"
            "Against a true instrument, zero drifted by +1, span (100) by +2 mg/l.\n"
            "This is within what is allowed: zero 1.5 mg/l and span 3 mg/l."
        )
        answer = await at.give(at="2026-03-26T07:00", points=points((0, 1.0), (100, 105.5)), who="Minh")
        assert "span (100) by +3.5 mg/l.\nThis is BEYOND what is allowed" in answer.said
        assert [(each.who, each.entered_by) for each in at.records()] == [("Lan", "anna"), ("Minh", "anna")]
        answer = await at.give(channel="pH", points=points((7, 7.1), (4, 4.2)))
        assert answer.said.endswith("No limit is set for its drift.")
        assert at.heard == 3

    entered(tmp_path, case)


def test_what_is_wrong_is_said_and_nothing_is_stored(tmp_path):
    async def case(at: Entered) -> None:
        answer = await at.give(channel="CODD", who="")
        assert not answer.ok and "'CODD'" in answer.said and "who is a line" in answer.said
        for bad in ("", "[]", "{", "[" * 15_000, '"x"', "null", "1e999"):
            answer = await at.desk.do(Order(CALIBRATE, (), "", "anna", "", record=bad))
            assert not answer.ok and answer.said.startswith("This is no record")
        assert at.records() == [] and at.heard == 0

    entered(tmp_path, case)


def test_the_same_is_not_entered_twice(tmp_path):
    async def case(at: Entered) -> None:
        assert (await at.give(certificate=certificate("2026-03-25"))).ok
        again = await at.desk.do(order()._replace(who="somebody else"))
        assert not again.ok and again.said == "This calibration of COD is entered already."
        assert (await at.give(remark="another one")).ok and len(at.records()) == 2

    entered(tmp_path, case)


def test_a_photo_is_there_before_its_record(tmp_path):
    async def case(at: Entered) -> None:
        answer = await at.give(photo="ab" * 32)
        assert not answer.ok and answer.said == "There is no picture abababab... here: hand it over first."
        digest = pictures.keep(at.config.gateway.state_dir, picture())
        assert (await at.give(photo=digest)).ok and at.records()[0].photo == digest

    entered(tmp_path, case)


def test_control_without_looking_a_record_names_a_photo_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(module.pictures, "find", lambda state_dir, digest: state_dir)
    with pytest.raises(AssertionError):
        test_a_photo_is_there_before_its_record(tmp_path)


def test_requests_hold_a_record_and_who_gives_it():
    good = order()
    assert parse(good.encode()) == good
    for bad in (
        good._replace(who=""), good._replace(ids=(1,)), good._replace(record=7),
        good._replace(record="x" * (RECORD_MAX + 1)),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            parse(bad.encode())


# Who hears of it --------------------------------------------------------------------------------------------


def overdue_until_recorded(tmp_path, channels: str = "") -> None:
    config = configured(tmp_path, channels or COD)

    async def story():
        async with watched(config) as at:
            desk = CalibrationDesk(
                config, at.at.journal, lambda: (at.at.now_ms, int(at.mono_s * 1000)), at.watch.calibrated
            )
            await _calibrated(at, config)
            await at.later(11 * DAY_MS / 1000)
            await at.later(31)
            assert at.standing() == [("calibration overdue", "COD", "raised")]
            long_ago = await desk.do(order(at="2026-03-01T07:00"))
            assert long_ago.ok
            await at.later(61)
            await at.later(1)
            assert at.standing() != [], "that one is older than ten days, too"
            answer = await desk.do(order(at="2026-04-04T07:00", certificate=certificate("2027-01-01")))
            assert answer.ok, answer.said
            await at.later(0)
            await at.later(61)
            assert at.standing() == []

    asyncio.run(story())


def certificate(until: str) -> dict:
    return said()["certificate"] | {"valid_until": until}


def test_a_persons_record_counts_as_a_calibration(tmp_path):
    overdue_until_recorded(tmp_path)


def test_control_without_records_it_stays_overdue(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "newest_ms", lambda records: {})
    with pytest.raises(AssertionError):
        overdue_until_recorded(tmp_path)


BUS = """
[[bus]]
id = "tank"
link = "modbus-tcp://127.0.0.1:5020"
[[channel]]
symbol = "COD"
unit = "mg/l"
source = { bus = "tank", unit = 1, register = 0 }
calibrate_days = 10
[[channel]]
symbol = "Load"
unit = "kg/h"
source = { mass_of = "COD", flow = "Flow" }
calibrate_days = 10
[[channel]]
symbol = "Flow"
unit = "m3/h"
source = { bus = "tank", unit = 1, register = 4 }
"""


def test_a_channel_of_the_gateways_own_bus_is_due_too_and_one_made_of_others_is_not(tmp_path):
    config = load(written(tmp_path, STATION + BUS))

    async def story():
        async with watched(config) as at:
            desk = CalibrationDesk(config, at.at.journal, lambda: (at.at.now_ms, 5), at.watch.calibrated)
            await at.at.close(at.at.now_ms, {"COD": 1.0})
            await at.later(11 * DAY_MS / 1000)
            await at.later(31)
            assert at.standing() == [("calibration overdue", "COD", "raised")]
            answer = await desk.do(order(at="2026-04-04T07:00", certificate=certificate("2027-01-01")))
            assert answer.ok, answer.said
            await at.later(0)
            await at.later(61)
            assert at.standing() == []
            assert "'Load' is no channel that is measured" in (await desk.do(order(channel="Load"))).said

    asyncio.run(story())


def test_the_page_is_told_per_channel(tmp_path):
    async def case(at: Entered) -> None:
        assert (await at.give()).ok
        assert (await at.give(at="2026-03-26T06:00", points=points((0, 1.5), (100, 101.0)))).ok
        with reading(at.journal.path) as reader:
            records = [each.record for each in kept(reader)]
            cod, ph = history(at.config.channel, records, in_force_ms(reader), 0)
        assert isinstance(cod, History) and (cod.symbol, cod.unit) == ("COD", "mg/l")
        assert cod.newest is not None and cod.newest.record.at_ms == cod.calibrated_ms
        assert cod.due_ms == cod.calibrated_ms + 10 * DAY_MS
        # zero 1.0 of a true one, then 1.5 - 1.0; span 102 - 100, then 101 - 102
        assert [drift for _, *drift in cod.drifts()] == [
            pytest.approx([1.0, 2.0]), pytest.approx([0.5, -1.0]),
        ]  # fmt: skip
        assert (cod.limits.zero_drift_max, cod.limits.span_drift_max) == (1.5, 3.0)
        assert ph.newest is None and (ph.calibrated_ms, ph.due_ms, ph.records) == (None, None, ())

    entered(tmp_path, case)


def test_it_is_told_as_an_event_with_every_figure(tmp_path):
    async def case(at: Entered) -> None:
        await at.give()
        with reading(at.journal.path) as reader:
            (entry,) = reader.entries(kinds=(CALIBRATION,))
            found = json.dumps(event_of(entry))
        assert "KT-22/118" in found and "51.5" in found and '"record"' in found

    entered(tmp_path, case)


# Who passes over it -----------------------------------------------------------------------------------------


def recorded(records: int):
    async def chapter(run: Run) -> None:
        run.greet()
        await live(2)(run)
        config = load(run.story.config)
        desk = CalibrationDesk(config, run.intake.journal, lambda: (run.story.now_ms, 5))
        for number in range(records):
            answer = await desk.do(order(remark=str(number), certificate=certificate("2027-01-01")))
            assert answer.ok, answer.said
        await live(2)(run)

    return chapter


def test_windows_bundles_and_rebuilds_are_the_same_with_it(tmp_path):
    plain = Story(tmp_path / "plain").start(recorded(0)).start(live(1))
    story = Story(tmp_path / "with").start(recorded(3)).start(live(1))
    assert rebuild(story.config).windows == rebuild(plain.config).windows
    assert rebuild(story.config).calibrations == rebuild(plain.config).calibrations
    bundle = told(story)
    assert wrong(bundle) == ""
    with reading(story.state_dir / "journal.db") as reader:
        (_, *entries) = [each.entry for each in kept(reader)]
        stored = next(reader.entries(entries[0], entries[0])).leaf_bytes()
    assert bundle.files[f"entries/{entries[0]}.bin"] == stored
    changed = stored.replace(b"KT-22/118", b"KT-22/119")
    assert changed != stored and wrong(bundle.but({f"entries/{entries[0]}.bin": changed}))
