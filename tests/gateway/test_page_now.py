# runs on: cpython
"""gateway.web.page.now: the three answers, and a channel's row, from the object of /api/v1/current."""

from types import SimpleNamespace

import pytest

from gateway.limits.choose import WINDOW, Figure
from gateway.web.page import now
from gateway.web.page.words import Words

VI, EN = Words("vi"), Words("en")
T = "2026-03-25T10:00:30.000+07:00"


def channel(symbol="COD", low=None, high=75.0, warn_share=0.8):
    figures = (Figure(WINDOW, high, low, "QCVN 40:2011 A", "law"),) if (low, high) != (None, None) else ()
    limits = SimpleNamespace(figures=figures, warn_share=warn_share)
    return SimpleNamespace(symbol=symbol, limits=limits)


def told(
    symbol="COD", value: float | None = 34.29, quality="OK", t: str | None = "2026-03-25T10:00:18.000+07:00"
):
    window = {"value": 35.12345, "status": "00", "quality": "OK", "end": T, "valid_share": 1.0, "revision": 1}
    return {
        "symbol": symbol, "unit": "mg/l", "decimals": 4, "value": value, "quality": quality, "t": t,
        "window": window,
    }  # fmt: skip


def destination(**changes):
    return {
        "id": "province", "refused": False, "oldest_unsent_s": None, "backlog": 0, "parked": 0,
    } | changes  # fmt: skip


def current(**changes):
    return {
        "t": T, "simulated_clock": False, "problems": [], "alerts": [], "channels": [told()],
        "devices": {"st-01": {"connected": 1}}, "buses": {"tank": {"up": True}},
        "destinations": [destination()], "journal": {"status": "", "entries": 2759},
        "clock": {"trusted": True}, "disk": {"left_days": 300.0},
    } | changes  # fmt: skip


def look(object=None, channels=None, t=VI):
    return now.look(object or current(), SimpleNamespace(channel=channels or [channel()]), t)


def answers(**changes):
    return {answer.name: answer.state for answer in look(current(**changes))["answers"]}


def test_all_is_well():
    found = look()
    assert [answer.state for answer in found["answers"]] == ["good", "good", "good"]
    assert found["answers"][1].text == "2.759 mục trong nhật ký đã ký."
    assert found["worst"] == "good" and found["clock"] == "10:00:30"


@pytest.mark.parametrize(
    ("changes", "which", "state"),
    [
        ({"devices": {"st-01": {"connected": 0}}}, "measures", "bad"),
        ({"buses": {"tank": {"up": False}}}, "measures", "bad"),
        ({"channels": [told(quality="TIMEOUT", value=None)]}, "measures", "bad"),
        ({"channels": [told(quality="NO_DATA", value=None, t=None)]}, "measures", "bad"),
        ({"channels": [told(value=75.1)]}, "measures", "bad"),
        ({"channels": [told(value=61.0)]}, "measures", "care"),
        ({"channels": [told(quality="CALIBRATING")]}, "measures", "care"),
        ({"journal": {"status": "disk I/O error", "entries": 1}}, "stores", "bad"),
        ({"clock": {"trusted": False}}, "stores", "care"),
        ({"disk": {"left_days": 3.0}}, "stores", "care"),
        ({"destinations": [destination(refused=True)]}, "sends", "bad"),
        ({"destinations": [destination(backlog=4, oldest_unsent_s=901.0)]}, "sends", "bad"),
        ({"destinations": [destination(parked=1)]}, "sends", "care"),
        ({"destinations": []}, "sends", "off"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_the_answer_to_its_own_question_alone(changes, which, state):
    expected = {"measures": "good", "stores": "good", "sends": "good"} | {which: state}
    assert answers(**changes) == expected


def test_what_is_a_moment_late_is_no_reason_to_run():
    assert answers(destinations=[destination(backlog=2, oldest_unsent_s=899.0)])["sends"] == "good"


def test_the_words_are_in_the_language_that_is_asked_for():
    vi, en = look(t=VI)["rows"][0], look(t=EN)["rows"][0]
    assert (vi.value, vi.mean, vi.word, vi.age) == ("34,29", "35,1234", "đang đo", "12 giây")
    assert (en.value, en.mean, en.word, en.age) == ("34.29", "35.1234", "measuring", "12 s")


def test_a_value_that_was_not_measured_is_a_dash_and_has_no_bar():
    row = look(current(channels=[told(quality="FAULT", value=12.0)]))["rows"][0]
    assert (row.value, row.bar, row.word, row.sign) == ("–", None, "thiết bị đo báo lỗi", "✕")


def test_a_bar_shows_where_the_value_stands():
    # 0 to 75 x 1.25 = 93.75: the limit lies at 80 %, the warning (60) at 64 %, 34.29 at 36.6 %.
    bar = look()["rows"][0].bar
    assert (bar.value, bar.low, bar.high, bar.warn_low, bar.warn_high) == (36.6, None, 80.0, None, 64.0)
    # 6 to 9: a quarter of the range at each end, 5.25 to 9.75; 7.5 is the middle. Warned beyond 6.3 and 8.7.
    bar = look(current(channels=[told("pH", 7.5)]), [channel("pH", 6.0, 9.0)])["rows"][0].bar
    assert (bar.value, bar.low, bar.high, bar.warn_low, bar.warn_high) == (50.0, 16.7, 83.3, 23.3, 76.7)


@pytest.mark.parametrize("value", [-1e9, -3.0, 0.0, 1e-9, 75.0, 1e9])
@pytest.mark.parametrize(
    ("low", "high"), [(None, 75.0), (6.0, None), (6.0, 9.0), (-5.0, None), (None, -1.0), (5.0, 5.0)]
)
def test_a_bar_never_leaves_its_ground(value, low, high):
    bar = now._bar(value, channel(low=low, high=high), VI)
    assert all(0.0 <= at <= 100.0 for at in bar[:5] if at is not None)


def test_a_channel_without_a_limit_has_no_bar():
    assert look(channels=[channel(high=None)])["rows"][0].bar is None


def test_what_the_gateway_names_as_a_cause_is_told_in_words():
    assert VI.basis("the gateway was not running").startswith("bộ thu thập dữ liệu không hoạt động")
    assert VI.basis("The device st-01 is not connected: check its power and its cable.").startswith(
        "Thiết bị"
    )
    assert VI.basis("QCVN 40:2011 A") == EN.basis("QCVN 40:2011 A") == "QCVN 40:2011 A"


def test_alerts_and_problems_are_told_in_words():
    alert = {
        "alert": "limit/COD/20260325100000", "rule": "limit hour", "about": "COD", "state": "escalated",
        "since": T, "basis": "QCVN 40:2011 A",
        "windows": [{"symbol": "COD", "value": 80.5, "limit": 75.0}],
    }  # fmt: skip
    problem = "The device st-01 is not connected: check its power and its cable."
    found = look(current(alerts=[alert], problems=[problem]))
    assert found["problems"] == ["Thiết bị st-01 chưa kết nối: kiểm tra nguồn điện và cáp."]
    (told_alert,) = found["alerts"]
    assert told_alert["rule"] == "vượt giới hạn (trung bình giờ)" and told_alert["word"] == "CHƯA AI XỬ LÝ"
    assert told_alert["causes"] == ["COD 80,5 (giới hạn 75)"] and told_alert["since"] == "10:00 25/03/2026"
