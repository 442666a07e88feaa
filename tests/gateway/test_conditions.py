"""gateway/conditions.py: what has to last, contacts, calibrations that are overdue."""

from __future__ import annotations

import pytest

from gateway import conditions as module
from gateway.conditions import CLEAR_S, DAY_MS, RAISE_OTHERS_S, Condition, Lasting, contacts, overdue, unknown
from protocol import quality as q
from tests.gateway.configured import channel, configured

AWAY = Condition("The device st-01 is not connected.", "no data", "st-01")
DISK = Condition("The disk has 3 MiB left.", "disk short", "gateway")


def test_what_comes_and_goes_within_a_moment_calls_nobody():
    lasting, raised = Lasting(), []
    for second in range(0, 600, 10):  # a device that is away for 100 s of every 200
        raised += lasting.begun([AWAY] if second % 200 < 100 else [], float(second))
    assert raised == []
    assert [lasting.begun([AWAY], 1000.0 + s) for s in (0, 119, 120, 500)] == [[], [], [AWAY], [AWAY]]


def test_control_without_patience_it_does(monkeypatch):
    monkeypatch.setitem(module.RAISE_S, "no data", 0.0)
    with pytest.raises(AssertionError):
        test_what_comes_and_goes_within_a_moment_calls_nobody()


def test_a_condition_is_over_when_it_was_away_for_a_while():
    lasting = Lasting()
    lasting.begun([DISK], 0.0)
    assert lasting.begun([DISK], RAISE_OTHERS_S) == [DISK] and lasting.over([DISK.key], 31.0) == []
    for at_s, there, over in (
        (40.0, [], []),
        (90.0, [DISK], []),
        (100.0, [], []),
        (159.0, [], []),
        (160.0, [], [DISK.key]),
    ):
        lasting.begun(there, at_s)
        assert lasting.over([DISK.key], at_s) == over, at_s
    assert CLEAR_S == 60.0


def test_a_sentence_without_a_rule_is_no_condition():
    assert Lasting().begun([Condition("3 documents are parked.")], 1e6) == []


def test_contacts(tmp_path):
    door = channel("DOOR", "", 0, 'contact = "door"') + channel("AC", "", 0, 'contact = "mains"')
    channels = configured(tmp_path, door + channel("COD", "mg/l")).channel
    values = {"DOOR": (1.0, q.OK), "AC": (0.0, q.OK), "COD": (99.0, q.OK)}
    assert [c.key for c in contacts(channels, values.__getitem__)] == [("door open", "DOOR")]
    assert unknown(channels, values.__getitem__) == set()
    values |= {"DOOR": (1.0, q.TIMEOUT), "AC": (1.0, q.OK)}
    assert [c.key for c in contacts(channels, values.__getitem__)] == [("mains lost", "AC")]
    assert unknown(channels, values.__getitem__) == {("door open", "DOOR")}, "it stands as it is"
    (lost,) = contacts(channels, values.__getitem__)
    assert Lasting().begun([lost], 5.0) == [lost], "the battery does not wait"


def known(last_ms: int | None):
    return lambda channel: last_ms


def test_calibrations(tmp_path):
    channels = configured(tmp_path, channel("COD", "mg/l", 2, "calibrate_days = 90")).channel
    now_ms = 1000 * DAY_MS
    assert [c.text for c in overdue(channels, known(now_ms - 91 * DAY_MS), 0, now_ms)] == [
        "COD was calibrated 91 days ago: 90 are allowed."
    ]
    assert list(overdue(channels, known(now_ms - 90 * DAY_MS), 0, now_ms)) == []
    assert [c.key for c in overdue(channels, known(None), now_ms - 91 * DAY_MS, now_ms)] == [
        ("calibration overdue", "COD")
    ]
    young = overdue(channels, known(None), now_ms - 89 * DAY_MS, now_ms)
    assert list(young) == [], "the journal is younger than that"
