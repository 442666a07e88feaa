"""gateway/alerts.py: every step of the table, late revisions, restarts anywhere; all or nothing on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from gateway import alerts as module
from gateway.alerts import CLEAR, EXCEEDS, PAST, RAISED, STEPS, WITHIN, WITHOUT, Alert, Alerts, Cause, parse
from gateway.interruptions import Interruption
from gateway.journal.kinds import EVENT, WINDOW
from gateway.journal.reader import reading
from gateway.windows import Window
from protocol import cbor
from protocol import quality as q
from tests.gateway.configured import channel, configured
from tests.gateway.feed_rig import CHANNELS, LENGTH_MS, Written, config_of, window, written
from tests.gateway.journal_rig import Disk, io_error
from tests.gateway.test_provincial import T0


def at(i: int, value: float | None, quality: int = q.OK, revision: int = 1, symbol: str = "COD") -> Window:
    return window(symbol, T0 + i * LENGTH_MS, value, quality, revision)


def play(config, *windows: Window, alerts: Alerts | None = None) -> list[tuple[str, str, int]]:
    """(symbol, what is said, number of the window since which) of windows that close one by one."""
    alerts = alerts or Alerts(config.channel)
    said = [alert for each in windows for alert in alerts.closed([each])]
    return [(alert.symbol, alert.said, (alert.since_ms - T0) // LENGTH_MS) for alert in said]


@pytest.fixture
def config(tmp_path):
    return configured(tmp_path, CHANNELS)


def test_raised_by_the_first_that_exceeds_and_cleared_by_the_first_within(config):
    rows = [at(0, 70.0), at(1, 75.5), at(2, 80.0), at(3, 74.0), at(4, 70.0), at(5, 76.0)]
    assert play(config, *rows) == [("COD", "raised", 1), ("COD", "cleared", 1), ("COD", "raised", 5)]


def test_what_is_said_carries_its_window(config):
    alerts = Alerts(config.channel)
    (raised,) = alerts.closed([at(1, 75.508), at(1, 7.0, symbol="pH")])
    assert raised == Alert(
        "COD", "raised", T0 + LENGTH_MS, "QCVN 40:2011 A", (Cause("COD", T0 + LENGTH_MS, 1, 75.51, 75.0),)
    )
    (cleared,) = alerts.closed([at(2, 75.0)])
    assert cleared.windows == (Cause("COD", T0 + 2 * LENGTH_MS, 1, 75.0, 75.0),)
    for alert in (raised, cleared):
        assert parse(alert.event()) == alert
        assert cbor.loads(alert.event())[:4] == ["alert", "COD", alert.said, "limit"]


def test_both_limits_and_channels_apart(config):
    rows = [at(0, 5.9, symbol="pH"), at(0, 90.0), at(1, 9.1, symbol="pH"), at(2, 9.0, symbol="pH")]
    assert play(config, *rows) == [("pH", "raised", 0), ("COD", "raised", 0), ("pH", "cleared", 0)]
    assert play(config, at(0, 1000.0, symbol="Temp")) == [], "it has no limit"


@pytest.mark.parametrize("value, said", [(75.0, []), (75.004, []), (75.006, [("COD", "raised", 0)])])
def test_the_figure_that_is_sent_is_compared_and_the_limit_is_allowed(config, value, said):
    assert play(config, at(0, value)) == said


def test_control_the_unrounded_mean_would_raise_an_alert_about_the_limit_itself(config, monkeypatch):
    monkeypatch.setattr(module.provincial, "number", lambda value, decimals: repr(value))
    with pytest.raises(AssertionError):
        test_the_figure_that_is_sent_is_compared_and_the_limit_is_allowed(config, 75.004, [])


@pytest.mark.parametrize("quality", [q.CALIBRATING, q.TIMEOUT, q.COVERAGE, q.OUT_OF_RANGE, q.NO_DATA])
def test_what_is_not_valid_changes_nothing(config, quality):
    bad = [at(0, 500.0, quality), at(1, 80.0), at(2, 10.0, quality), at(3, None, quality), at(4, 10.0)]
    assert play(config, *bad) == [("COD", "raised", 1), ("COD", "cleared", 1)]


# Revisions --------------------------------------------------------------------------------------------------


def test_a_revision_of_the_newest_counts_as_the_newest(config):
    rows = [
        at(0, 70.0),
        at(0, 80.0, revision=2),
        at(0, 81.0, revision=3),
        at(0, 60.0, revision=4),
        at(1, 60.0),
    ]
    assert play(config, *rows) == [("COD", "raised", 0), ("COD", "cleared", 0)]


def test_a_late_one_that_exceeds_is_told_once_and_moves_nothing(config):
    rows = [at(i, 10.0, q.TIMEOUT) for i in range(6)] + [at(6, 10.0)]
    late = [
        at(1, 80.0, revision=2),
        at(2, 81.0, revision=2),
        at(3, 82.0, revision=2),
        at(2, 83.0, revision=3),
    ]
    assert play(config, *rows, *late, at(5, 90.0, revision=2), at(7, 10.0)) == [
        ("COD", "past", 1), ("COD", "past", 5),
    ]  # fmt: skip


def test_a_late_one_within_a_raised_time_is_no_news(config):
    rows = [
        at(0, 80.0),
        at(1, 10.0, q.TIMEOUT),
        at(2, 80.0),
        at(1, 90.0, revision=2),
        at(0, 79.0, revision=2),
    ]
    assert play(config, *rows, at(3, 10.0), at(1, 91.0, revision=3)) == [
        ("COD", "raised", 0), ("COD", "cleared", 0),
    ]  # fmt: skip


# The table --------------------------------------------------------------------------------------------------


def test_the_table_is_what_happens(config):
    """Each state with each input, told by what it does."""
    unlimited = configured(config.path.parent, channel("COD", "mg/l", 2)).channel
    for state in (CLEAR, RAISED):
        for shows in (EXCEEDS, WITHIN, WITHOUT, PAST):
            before = [at(1, 10.0, q.TIMEOUT), at(5, 80.0 if state == RAISED else 10.0)]
            alerts = Alerts(config.channel)
            for each in before:
                alerts.closed([each])
            if shows == WITHOUT:
                alerts = Alerts(unlimited, alerts.raised.values(), {"COD": before[-1].start_ms})
            row = {PAST: at(1, 99.0, revision=2), EXCEEDS: at(6, 99.0)}.get(shows, at(6, 10.0))
            then, said = STEPS.get((state, shows), (state, ""))
            assert [alert.said for alert in alerts.closed([row])] == ([said] if said else [])
            assert (RAISED if alerts.raised else CLEAR) == then


def test_an_alert_of_a_channel_that_has_no_limit_any_more_ends(config, tmp_path):
    alerts = Alerts(config.channel)
    alerts.closed([at(0, 80.0)])
    other = configured(tmp_path, channel("pH", "", 2)).channel
    alerts = Alerts(other, alerts.raised.values())
    (ended,) = alerts.closed([at(1, 7.0, symbol="pH")])
    assert (ended.symbol, ended.said, ended.since_ms, ended.windows) == ("COD", "cleared", T0, ())
    assert parse(ended.event()) == ended and alerts.closed([at(2, 7.0, symbol="pH")]) == []


# Across restarts --------------------------------------------------------------------------------------------


def walk(seed: int, count: int = 300) -> list[Window]:
    random, found, revisions = Random(seed), [], {}
    for i in range(count):
        quality = random.choice([q.OK, q.OK, q.OK, q.TIMEOUT])
        found.append(at(i, random.choice([10.0, 80.0]), quality))
        if random.random() < 0.3:
            j = random.randrange(max(0, i - 20), i + 1)
            revisions[j] = revisions.get(j, 1) + 1
            found.append(at(j, random.choice([10.0, 80.0]), revision=revisions[j]))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_restarted_anywhere_raised_and_cleared_are_the_same(config, seed):
    rows = walk(seed)
    one, said = Alerts(config.channel), []
    for row in rows:
        said += one.closed([row])
    random, again, newest = Random(seed + 100), [], {}
    alerts = Alerts(config.channel)
    for row in rows:
        if random.random() < 0.2:
            alerts = Alerts(config.channel, [found for a in again if (found := parse(a.event()))], newest)
        again += alerts.closed([row])
        newest["COD"] = max(newest.get("COD", 0), row.start_ms)
    steps = [[a for a in told if a.said != "past"] for told in (said, again)]
    assert steps[0] == steps[1] and len(steps[0]) > 40
    assert {a.since_ms for a in said if a.said == "past"} <= {a.since_ms for a in again}


def test_control_without_the_newest_window_a_restart_takes_a_late_one_for_it(config):
    alerts = Alerts(config.channel)
    alerts.closed([at(5, 10.0)])
    assert [a.said for a in alerts.closed([at(1, 80.0, revision=2)])] == ["past"]
    assert [a.said for a in Alerts(config.channel).closed([at(1, 80.0, revision=2)])] == ["raised"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", cbor.dumps(7), cbor.dumps([]), cbor.dumps(["alert"]), cbor.dumps({"what": "alert"}),
        cbor.dumps(["alert", "COD", "raised", "limit", 1, "", [[1]]]),
        cbor.dumps(["alert", "COD", "raised", "limit", 1, "", [], "more of a later version"]),
        Interruption(("channel", "COD"), 1, 2, "x").event(),
    ],
)  # fmt: skip
def test_what_is_none_or_of_a_later_version_is_passed_over(body):
    assert parse(body) is None


# In the transaction of its windows --------------------------------------------------------------------------


def on_disk(path: Path) -> tuple[list[tuple[str, str]], list[float | None]]:
    """What is said, and the values of the windows, each followed from the entries."""
    with reading(path) as reader:
        said = [found for e in reader.entries(kinds=(EVENT,)) if (found := parse(e.body))]
        rows = [w.value for w in reader.windows(0, 1 << 60, "COD")]
        entries = [e.kind for e in reader.entries() if e.kind in (EVENT, WINDOW)]
    assert len([k for k in entries if k == WINDOW]) == len(rows)
    return [(a.symbol, a.said) for a in said], rows


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fails", range(2, 8))
def test_whatever_commit_fails_a_window_that_exceeds_and_its_alert_are_there_together(tmp_path, fails, after):
    config = config_of(tmp_path, "alerts")

    async def story():
        once = Disk(
            lambda sql, n: io_error() if sql == "COMMIT" and n == fails and not once.failed else None, after
        )
        site = await Written(config, once).open()
        rows: list = []
        try:
            for i, value in enumerate((10.0, 80.0, 10.0)):
                await site.close(T0 + i * LENGTH_MS, {"COD": value})
                said, rows = on_disk(site.journal.path)
                assert said == [("COD", "raised"), ("COD", "cleared")][: max(0, len(rows) - 1)]
        finally:
            await site.journal.close(timeout_s=2.0)
        assert len(rows) == 3 and once.failed == 1

    asyncio.run(story())


def test_killed_at_any_time_no_alert_without_its_window_none_twice(tmp_path):
    config, random = config_of(tmp_path, "alerts"), Random(3)
    values = [random.choice([10.0, 80.0]) for _ in range(40)]

    async def story():
        todo = list(enumerate(values))
        while todo:
            async with written(config) as site:
                for _ in range(random.randrange(1, 6)):
                    if todo:
                        i, value = todo.pop(0)
                        await site.close(T0 + i * LENGTH_MS, {"COD": value})

    asyncio.run(story())
    said, rows = on_disk(config.gateway.state_dir / "journal.db")
    expected, state = [], False
    for value in values:
        if (value > 75.0) != state:
            state = not state
            expected.append(("COD", "raised" if state else "cleared"))
    assert rows == values and said == expected


def test_control_an_alert_in_a_transaction_of_its_own_is_lost(tmp_path, monkeypatch):
    """Killed between the two, now and then."""
    whole, random = Written.closed, Random(9)

    async def apart(self, rows):
        learned, self.alerts = self.alerts, Alerts(())
        await whole(self, rows)
        self.alerts = learned
        if random.random() < 0.8:
            told = [self.event(alert.event()) for alert in learned.closed(rows)]
            await self.journal.commit(entries=told, now_ms=self.now_ms)

    monkeypatch.setattr(Written, "closed", apart)
    with pytest.raises(AssertionError):
        test_killed_at_any_time_no_alert_without_its_window_none_twice(tmp_path)


def test_control_forgotten_over_a_restart_an_alert_is_said_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.gateway.feed_rig.learn", lambda reader: ([], {}))
    with pytest.raises(AssertionError):
        test_killed_at_any_time_no_alert_without_its_window_none_twice(tmp_path)
