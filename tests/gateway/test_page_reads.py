# runs on: cpython
"""gateway.page_reads and gateway.alert_history: what the page shows of the past, from a real journal."""

import asyncio

import pytest

from gateway import page_reads
from gateway.alert_history import episodes
from gateway.alert_states import Alert, Cause
from gateway.marks import Mark
from gateway.page_reads import EVENTS_PAGE, PageReads
from protocol import quality as q
from tests.gateway.feed_rig import LENGTH_MS, config_of, written
from tests.gateway.test_provincial import T0

CAUSE = Cause("COD", T0, 1, 80.0, 75.0)


def alert(said, since_ms=T0, rule="limit", about="COD", by="", note="", windows=(CAUSE,)):
    return Alert(about, said, since_ms, "QCVN", windows, rule, by, note)


def told(*said):
    return episodes([(one.event(), T0 + n * 1000) for n, one in enumerate(said)])


def station(tmp_path, case):
    async def story():
        config = config_of(tmp_path, "alerts")
        async with written(config) as at:
            await case(at, PageReads(at.journal, at.state_dir))

    asyncio.run(story())


def test_an_alert_is_one_line_from_raised_to_cleared():
    raised, acted = alert("raised"), alert("acknowledged", by="lan", note="pump stopped")
    (one,) = told(raised, alert("escalated"), acted, alert("cleared"))
    assert (one.since_ms, one.until_ms, one.state) == (T0, T0 + 3000, "clear")
    assert (one.by, one.note, one.value, one.limit) == ("lan", "pump stopped", 80.0, 75.0)
    (one,) = told(raised, alert("escalated"))
    assert (one.until_ms, one.state) == (None, "escalated")


def test_alerts_of_two_rules_do_not_mix_and_what_was_never_raised_is_no_line():
    found = told(
        alert("raised"), alert("raised", rule="near"), alert("cleared"), alert("cleared", about="pH")
    )
    assert [(one.rule, one.until_ms is None) for one in found] == [("limit", False), ("near", True)]


def test_an_alert_that_was_found_late_is_over():
    (one,) = told(alert("past"))
    assert (one.state, one.until_ms) == ("clear", T0)


def test_other_events_are_passed_over():
    assert episodes([(b"\xff", T0), (b"\x82\x64markx", T0)]) == []


def test_events_newest_first_page_by_page_without_one_lost_or_twice(tmp_path):
    async def case(at, reads):
        for n in range(EVENTS_PAGE + 30):
            await at.say("meter", "COD", "went back", T0 + n, 1, 1, float(n))
        first = await reads.events(None)
        second = await reads.events(first[-1].entry)
        assert len(first) == EVENTS_PAGE and first[0].entry > first[-1].entry > second[0].entry
        assert [one.detail[3 + 1] for one in first + second if one.name == "meter"] == [
            float(n) for n in reversed(range(EVENTS_PAGE + 30))
        ]
        assert await reads.events(0) == []

    station(tmp_path, case)


def test_control_a_page_that_is_cut_at_the_wrong_end_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(page_reads, "_NEWEST", page_reads._NEWEST.replace("DESC", "ASC"))
    with pytest.raises((AssertionError, IndexError)):
        test_events_newest_first_page_by_page_without_one_lost_or_twice(tmp_path)


def test_alerts_and_marks_and_evidence(tmp_path):
    async def case(at, reads):
        evidence = reads.evidence()
        assert evidence.checkpoint == "" and evidence.vkey.startswith("quantrac/LCa/DEMO/NUO001+")
        for n, value in enumerate((80.0, 10.0, 90.0)):
            await at.close(T0 + n * LENGTH_MS, {"COD": value})
        newest, oldest = await reads.alerts()
        assert (newest.since_ms, newest.until_ms) == (T0 + 2 * LENGTH_MS, None)
        assert oldest.since_ms == T0 and oldest.until_ms is not None
        marks = [Mark("COD", q.CALIBRATING, T0 + n, T0 + n + 1, "lan", "zero") for n in range(3)]
        for mark in marks:
            await at.journal.commit(entries=[at.event(mark.event())], now_ms=at.now_ms)
        assert await reads.marks() == marks[::-1]
        assert reads.evidence().checkpoint.startswith("quantrac/LCa/DEMO/NUO001\n")

    station(tmp_path, case)
