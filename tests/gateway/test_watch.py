"""gateway/watch.py: conditions, people, nobody, hours and days, each an entry, whatever is killed."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway import hours
from gateway import watch as module
from gateway.alert_states import parse
from gateway.conditions import Condition
from gateway.feed_entries import AlertSource
from gateway.hours import DAY_MS, HOUR_MS
from gateway.interruptions import Interruption
from gateway.journal.kinds import CALIBRATION
from gateway.journal.reader import reading
from gateway.journal.writer import Entry
from protocol import cbor
from protocol import quality as q
from tests.gateway.configured import channel, configured
from tests.gateway.feed_rig import LENGTH_MS, LOCAL, PLAIN, POLICE, all_of, config_of, written
from tests.gateway.test_provincial import T0
from tests.gateway.watch_rig import Watched, by_the_journal, said, watched

DISK = Condition("The disk has 3 MiB left.", "disk short", "gateway")
AWAY = Interruption(("channel", "COD"), T0, None, "the instrument does not answer")
MIN = 60.0


def told(config) -> list[tuple[str, str, str]]:
    return [(alert.rule, alert.symbol, alert.said) for alert in said(config)]


# Conditions, people, nobody ---------------------------------------------------------------------------------


def test_a_condition_is_raised_once_and_cleared(tmp_path):
    config = config_of(tmp_path, "windows")

    async def story():
        async with watched(config) as at:
            at.found = [DISK, Condition("3 documents are parked.")]
            await at.later(29)
            assert told(config) == []
            await at.later(1)
            await at.later(100)
            assert at.standing() == [("disk short", "gateway", "raised")]
            at.found = []
            await at.later(61)
            assert at.standing() == []
        assert told(config) == [("disk short", "gateway", "raised"), ("disk short", "gateway", "cleared")]
        assert said(config)[0].basis == "The disk has 3 MiB left."

    asyncio.run(story())


def test_nobody_acts_and_it_is_escalated_once(tmp_path):
    config = config_of(tmp_path, "windows")
    assert config.alerts.escalate_min == 60

    async def story():
        async with watched(config) as at:
            await at.at.close(T0, {"COD": 80.0})
            await at.later(59 * MIN)
            assert at.standing() == [("limit", "COD", "raised")]
            await at.later(2 * MIN)
            await at.later(600 * MIN)
        assert told(config) == [("limit", "COD", "raised"), ("limit", "COD", "escalated")]

    asyncio.run(story())


def test_who_acts_in_time_is_named_and_it_is_not_escalated(tmp_path):
    config = config_of(tmp_path, "windows")

    async def story():
        async with watched(config) as at:
            await at.at.close(T0, {"COD": 80.0})
            await at.later(10 * MIN)
            answer = await at.acknowledge("COD", "Lan", "valve shut")
            assert answer.ok and answer.said == "limit/COD/20260325000000 is acknowledged by Lan."
            await at.later(600 * MIN)
            (row,) = at.watch.listed()
            assert (row["state"], row["by"], row["note"]) == ("acknowledged", "Lan", "valve shut")
            assert row["windows"] == [{
                "symbol": "COD", "start": "2026-03-25T00:00:00+07:00", "revision": 1, "value": 80.0,
                "limit": 75.0,
            }]  # fmt: skip
            await at.at.close(T0 + LENGTH_MS, {"COD": 10.0})
            assert at.watch.listed() == []
        assert told(config) == [("limit", "COD", word) for word in ("raised", "acknowledged", "cleared")]
        assert [(a.by, a.note) for a in said(config)] == [("", ""), ("Lan", "valve shut"), ("", "")]

    asyncio.run(story())


def test_control_who_is_not_heard_is_escalated(tmp_path, monkeypatch):
    monkeypatch.setattr(
        module, "acknowledge", lambda book, named, by, note: book.standing["limit", "COD"].raised
    )
    with pytest.raises(AssertionError):
        test_who_acts_in_time_is_named_and_it_is_not_escalated(tmp_path)


def test_an_alert_is_named_as_far_as_is_needed(tmp_path):
    async def story():
        async with watched(config_of(tmp_path, "windows")) as at:
            assert (await at.acknowledge("COD")).said == "No alert 'COD' is raised: there is none."
            await at.at.close(T0, {"COD": 80.0, "pH": 5.0})
            at.open = [AWAY]
            answer = await at.acknowledge("COD")
            assert not answer.ok and answer.said.startswith(
                "'COD' may be limit/COD/20260325000000, channel int"
            )
            assert not (await at.acknowledge("Temp")).ok
            for name in ("limit/COD", "channel interrupted/COD/20260325000000", "pH"):
                assert (await at.acknowledge(name)).ok
            assert {state for _, _, state in at.standing()} == {"acknowledged"} and len(at.standing()) == 3

    asyncio.run(story())


def test_an_interruption_is_acknowledged_or_escalated_and_ends_by_its_own_entry(tmp_path):
    config = config_of(tmp_path, "windows")

    async def story():
        async with watched(config) as at:
            at.open = [AWAY]
            await at.later(61 * MIN)
            assert at.standing() == [("channel interrupted", "COD", "escalated")]
            await at.acknowledge("COD", "Lan")
        async with watched(config) as at:
            at.open = None  # the interruptions are read from the journal only now
            await at.watch.look()
            assert at.standing() == [("channel interrupted", "COD", "acknowledged")]
            at.open = [AWAY]
            await at.later(600 * MIN)
            assert at.standing() == [("channel interrupted", "COD", "acknowledged")]
            at.open = [AWAY._replace(from_ms=T0 + 7200_000)]
            await at.later(1)
            assert at.standing() == [("channel interrupted", "COD", "raised")], "another one"
            at.open = []
            assert at.standing() == []
        assert told(config) == [
            ("channel interrupted", "COD", word) for word in ("escalated", "acknowledged")
        ]

    asyncio.run(story())


async def _calibrated(at: Watched, config) -> None:
    """As a device's greeting brings it."""
    (quantity,) = [c.source.quantity for c in config.channel if c.symbol == "COD"]
    now_ms = at.at.now_ms
    body = {"what": "in force", "quantity": quantity, "calibration": 3, "points": [], "since_ms": now_ms}
    source = at.at.journal.source("device/st-01")
    entry = Entry(CALIBRATION, source, 0, 0, 0, now_ms, 5, None, None, cbor.dumps(body))
    await at.at.journal.commit(entries=[entry], now_ms=now_ms)


def test_a_door_a_calibration_and_a_contact_that_does_not_answer(tmp_path):
    channels = channel("DOOR", "", 0, 'contact = "door"') + channel("COD", "mg/l", 2, "calibrate_days = 10")
    config = configured(tmp_path, channels)

    async def story():
        async with watched(config) as at:
            await at.at.close(T0, {"COD": 1.0})
            await _calibrated(at, config)
            at.values["DOOR"] = (1.0, q.OK)
            await at.watch.look()
            assert at.standing() == [("door open", "DOOR", "raised")]
            at.values["DOOR"] = (None, q.TIMEOUT)
            await at.later(600)
            assert at.standing() == [("door open", "DOOR", "raised")], "nobody knows whether it is shut"
            at.values["DOOR"] = (0.0, q.OK)
            await at.later(61)
            assert at.standing() == []
            await at.later(11 * DAY_MS / 1000)
            await at.later(31)
            assert at.standing() == [("calibration overdue", "COD", "raised")]
            await _calibrated(at, config)
            await at.later(61)
            await at.later(61)
            assert at.standing() == []

    asyncio.run(story())


async def _played(config, seed: int, kills: bool) -> None:
    """A station's days: the same for each seed, with starts in between or without."""
    events = Random(seed)
    plan = [
        (
            events.choice([10.0, 65.0, 80.0]),
            events.random() < 0.3,
            events.random() < 0.2,
            events.random() < 0.5,
        )
        for _ in range(60)
    ]
    breaks, i, clock, lasting = Random(seed + 7), 0, (0, 0.0), None
    while i < len(plan):
        async with watched(config) as at:
            if clock[0]:
                at.at.now_ms, at.mono_s = clock
            for _ in range(breaks.randrange(1, 9) if kills else len(plan)):
                if i == len(plan):
                    break
                value, disk, acts, more = plan[i]
                at.found = [DISK] if disk else []
                last = lasting
                if more and lasting is None:
                    lasting = AWAY._replace(from_ms=T0 + i * LENGTH_MS)
                elif not more and lasting is not None:
                    lasting = None
                if lasting != last:  # as notices.py says it
                    one = lasting or last._replace(to_ms=T0 + i * LENGTH_MS)
                    await at.at.journal.commit(entries=[at.at.event(one.event())], now_ms=at.at.now_ms)
                at.open = [lasting] if lasting else []
                await at.at.close(T0 + i * LENGTH_MS, {"COD": value})
                await at.later(31)
                await at.later(100)
                if acts:
                    await at.acknowledge("limit/COD", f"person {i}")
                await at.later(30 * MIN)
                i += 1
            clock = (at.at.now_ms, at.mono_s)
            assert at.watch.listed() == by_the_journal(at.at.journal.path, at.open)


@pytest.mark.parametrize("seed", range(4))
def test_restarted_anywhere_the_same_is_said(tmp_path, seed):
    """What a start has to wait for again (30 s of a condition) is over within the same step."""
    found = []
    for name, kills in (("whole", False), ("again", True)):
        (tmp_path / name).mkdir()
        config = configured(tmp_path / name, channel("COD", "mg/l", 2, "limits = { max = 75.0 }"))
        asyncio.run(_played(config, seed, kills))
        found.append([(a.rule, a.symbol, a.said, a.by, a.since_ms) for a in said(config)])
    limits = [[row for row in rows if row[0] in ("limit", "near")] for rows in found]
    assert limits[0] == limits[1] and {row[2] for row in limits[0]} >= {"raised", "acknowledged", "cleared"}
    words = [[row[:4] for row in rows] for rows in found]
    assert words[0] == words[1] and {row[0] for row in words[0]} == {
        "limit", "near", "disk short", "channel interrupted",
    }  # fmt: skip


def test_control_a_start_that_forgets_says_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.gateway.feed_rig.learn", lambda reader: ([], {}))
    with pytest.raises(AssertionError):
        test_restarted_anywhere_the_same_is_said(tmp_path, 1)


# Hours and days ---------------------------------------------------------------------------------------------

NEVER = "[alerts]\nescalate_min = 0\n"
SPANS = f'limits = {{ max = 75.0, compare = ["hour", "day"], {PLAIN} }}'


async def _day(at: Watched, first: int, values: list[float | None], look_every: int = 5) -> None:
    for i, value in enumerate(values):
        await at.at.close(
            T0 + (first + i) * LENGTH_MS, {"COD": value}, quality=q.OK if value is not None else q.TIMEOUT
        )
        if i % look_every == 0:
            await at.watch.look()
    await at.watch.look()


def test_an_hour_is_compared_when_it_is_whole_and_carries_its_windows(tmp_path):
    """Hour 0: eleven windows of 70 and one of 140, mean 910 / 12 = 75.83. Hour 1: all 70."""
    config = configured(
        tmp_path, channel("COD", "mg/l", 2, SPANS), (LOCAL + "SEND").replace("SEND", 'send = ["alerts"]\n')
    )

    async def story():
        async with watched(config) as at:
            await at.watch.look()
            await _day(at, 0, [70.0] * 6 + [140.0] + [70.0] * 4)
            assert told(config) == []
            await _day(at, 11, [70.0])
            assert told(config) == [("limit hour", "COD", "raised")]
            (cause,) = said(config)[0].windows
            assert cause[1:] == (T0, 1, 75.83, 75.0, HOUR_MS)
            await _day(at, 12, [70.0] * 12)
            assert told(config)[1:] == [("limit hour", "COD", "cleared")]
            feed = at.at.feed(AlertSource)
            await all_of(feed)
            cleared = at.at.messages("local")[-1]
            assert (cleared["rule"], cleared["state"], cleared["windows"][0]["span_min"]) == (
                "limit hour",
                "cleared",
                60,
            )
            assert len(cleared["windows"][0]["receipts"]) == 12

    asyncio.run(story())


def test_a_day_and_a_late_hour(tmp_path):
    """A day from T0 (midnight GMT+7): 288 windows of 80. Then hour 2 of the next day comes late, at 99."""
    config = configured(tmp_path, NEVER + channel("COD", "mg/l", 2, SPANS))

    async def story():
        async with watched(config) as at:
            await at.watch.look()
            await _day(at, 0, [80.0] * 288, look_every=50)
            await _day(at, 288, [70.0] * 24 + [None] * 12 + [70.0] * 24, look_every=50)
            assert told(config) == [
                ("limit hour", "COD", "raised"), ("limit day", "COD", "raised"),
                ("limit hour", "COD", "cleared"),
            ]  # fmt: skip
            for i in range(312, 324):
                await at.at.close(T0 + i * LENGTH_MS, {"COD": 99.0}, revision=2)
            await at.watch.look()
            assert told(config)[3:] == [("limit hour", "COD", "past")]
            assert said(config)[3].since_ms == T0 + DAY_MS + 2 * HOUR_MS
            await _day(at, 348, [70.0] * 228, look_every=50)
            assert told(config)[4:] == [("limit day", "COD", "cleared")]

    asyncio.run(story())


def _reference(config, name: str, length_ms: int) -> set[int]:
    """Starts of the whole spans whose sent figure exceeds, by plain loops over the newest windows."""
    with reading(config.gateway.state_dir / "journal.db") as reader:
        rows = sorted(reader.windows(0, 1 << 60, "COD"), key=lambda w: (w.start_ms, w.revision))
    newest = {window.start_ms: window for window in rows}
    found = set()
    for start in range(T0, max(newest) + LENGTH_MS - length_ms + 1, HOUR_MS if name != "day" else DAY_MS):
        within = [w for s, w in newest.items() if start <= s < start + length_ms]
        good = [w.value for w in within if w.quality == q.OK]
        if len(good) * LENGTH_MS >= 0.75 * length_ms and round(sum(good) / len(good), 2) > 75.0:
            found.add(start)
    return found


async def _killed(config, seed: int) -> None:
    random, i, count = Random(seed), 0, 12 * 30
    revisions: dict[int, int] = {}
    while i < count:
        async with watched(config) as at:
            await at.watch.look()
            for _ in range(random.randrange(1, 40)):
                if i < count:
                    quality = random.choice([q.OK] * 9 + [q.TIMEOUT])
                    await at.at.close(T0 + i * LENGTH_MS, {"COD": random.uniform(60, 90)}, quality=quality)
                    i += 1
                if random.random() < 0.1 and i > 24:
                    j = random.randrange(i - 24, i)
                    revisions[j] = revisions.get(j, 1) + 1
                    await at.at.close(
                        T0 + j * LENGTH_MS, {"COD": random.uniform(60, 200)}, revision=revisions[j]
                    )
                if random.random() < 0.2:
                    await at.watch.look()
    async with watched(config) as at:
        await at.watch.look()


def _covered(config, rule: str, length_ms: int) -> list[list[int]]:
    spans: list[list[int]] = []
    for alert in said(config):
        if alert.rule != rule:
            continue
        if alert.said == "raised":
            spans.append([alert.since_ms, 1 << 62])
        elif alert.said == "cleared":
            spans[[end for _, end in spans].index(1 << 62)][1] = alert.windows[0].start_ms
        elif alert.said == "past":
            spans.append([alert.since_ms, alert.since_ms + length_ms])
    return spans


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_time_every_hour_that_exceeds_is_told_and_none_twice(tmp_path, seed):
    config = configured(tmp_path, NEVER + channel("COD", "mg/l", 2, SPANS))
    asyncio.run(_killed(config, seed))
    spans = _covered(config, "limit hour", HOUR_MS)
    exceeding = _reference(config, "hour", HOUR_MS)
    assert len(exceeding) > 5
    for start in exceeding:
        cover = [span for span in spans if span[0] <= start < span[1]]
        near = [
            span
            for span in spans
            if span[1] <= start and all(s in exceeding for s in range(span[1], start, HOUR_MS))
        ]  # late hours in a row are one
        assert len(cover) == 1 or (not cover and near), (start - T0) // HOUR_MS
    names = [(alert.said, alert.since_ms) for alert in said(config) if alert.rule == "limit hour"]
    assert len([one for one in names if one[0] == "raised"]) == len(
        {one for one in names if one[0] == "raised"}
    )


def test_control_a_mark_that_runs_ahead_loses_hours(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MARKED", "SELECT MAX(idx) FROM entry")
    with pytest.raises(AssertionError):
        for seed in range(4):
            (tmp_path / str(seed)).mkdir()
            test_killed_at_any_time_every_hour_that_exceeds_is_told_and_none_twice(tmp_path / str(seed), seed)


def test_moving_means_of_eight_hours(tmp_path):
    """Ozone of QCVN 05:2023, 120 over 8 h: seven hours of 100 and one of 300: (7 x 100 + 300) / 8 = 125."""
    ozone = channel(
        "O3", "ug/m3", 2, 'limits = { rule = "QCVN 05:2023", warn_share = 1.0, clear_share = 1.0 }'
    )
    config = configured(tmp_path, NEVER + ozone)

    async def story():
        async with watched(config) as at:
            await at.watch.look()
            for hour, value in enumerate([100.0] * 7 + [300.0] + [100.0] * 8 + [10.0]):
                for i in range(12):
                    await at.at.close(T0 + hour * HOUR_MS + i * LENGTH_MS, {"O3": value})
                await at.watch.look()
        ours = [(a.said, (a.since_ms - T0) // HOUR_MS) for a in said(config) if a.rule == "limit 8 hours"]
        assert ours == [("raised", 0), ("cleared", 0)]
        by_hour = [(a.said, (a.since_ms - T0) // HOUR_MS) for a in said(config) if a.rule == "limit hour"]
        assert by_hour == [("raised", 7), ("cleared", 7)]

    asyncio.run(story())


def test_hours_are_those_that_are_sent(tmp_path):
    """What is compared is what hours.of() gives, valid or not: a half-empty hour is not compared."""
    config = configured(tmp_path, NEVER + channel("COD", "mg/l", 2, SPANS))

    async def story():
        async with watched(config) as at:
            await at.watch.look()
            await _day(at, 0, [99.0] * 8 + [None] * 4)
            assert told(config) == []
            with reading(at.at.journal.path) as reader:
                (hour,) = hours.of(reader.windows(T0, T0 + HOUR_MS), 1, 0.75)
            assert (hour.value, hour.status) == (99.0, "02")

    asyncio.run(story())


def test_who_begins_to_compare_hours_hears_of_those_that_come(tmp_path):
    """... and so does who stopped it for a while."""
    windows = SPANS.replace('["hour", "day"]', '["window"]')
    for first, limits in ((0, SPANS), (48, windows), (96, SPANS)):
        config = configured(tmp_path, NEVER + channel("COD", "mg/l", 2, limits))

        async def story(config=config, first=first):
            async with watched(config) as at:
                await at.watch.look()
                await _day(at, first, [70.0] * 12 + [99.0] * 24 + [70.0] * 12)

        asyncio.run(story())
    hourly = [(a.said, (a.since_ms - T0) // HOUR_MS) for a in said(config) if a.rule == "limit hour"]
    assert [word for word, _ in hourly] == ["raised", "cleared"] * 2
    assert hourly[2][1] - hourly[0][1] == 8, "those between, compared as windows, are not told of as hours"


def test_messages_of_alerts_carry_the_state_and_who_acts(tmp_path):
    config = config_of(tmp_path, "alerts", destinations=POLICE + "SEND")

    async def story():
        async with watched(config) as at:
            feed = at.at.feed(AlertSource)
            await feed.look()
            await at.at.close(T0, {"COD": 80.0})
            await at.later(61 * MIN)
            await at.acknowledge("COD", "Lan", "valve shut")
            await at.at.close(T0 + LENGTH_MS, {"COD": 10.0})
            await all_of(feed)
            found = at.at.messages()
            assert [row["state"] for row in found] == ["raised", "escalated", "acknowledged", "cleared"]
            assert {row["alert"] for row in found} == {"limit/COD/20260325000000"}
            assert (found[2]["by"], found[2]["note"]) == ("Lan", "valve shut") and "by" not in found[3]

    asyncio.run(story())


def test_what_a_body_of_a_later_version_says_is_passed_over(tmp_path):
    config = config_of(tmp_path, "windows")

    async def story():
        async with written(config) as at:
            await at.say("alert", "COD", "postponed", "limit", T0, "", [], "x", "y", "z")
            await at.say("alert", "COD", "raised", "limit", T0, "permit", [["COD", T0, 1, 80.0, 75.0]])
        async with watched(config) as at:
            await at.watch.look()
            assert at.standing() == [("limit", "COD", "raised")]
        assert parse(b"\xff") is None

    asyncio.run(story())
