"""Alerts as a person reads them, in both languages: what must stand there, and what must not be possible."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway import alerts, conditions
from gateway.alert_people import INTERRUPTED
from gateway.alert_states import STEPS
from gateway.limits.choose import DAY, HOUR, HOURS_8
from gateway.reports import alert_words
from gateway.reports.alert_text import LINE_LENGTH_MAX, SUBJECT_LENGTH_MAX, date_header
from tests.gateway.forward_rig import T0
from tests.gateway.notify_rig import alert, teller

# T0 is 2026-03-25 00:00 GMT+7; the i-th alert of the rig: COD, 80 + i/100 mg/l, limit 75, entry i.

VI = """\
Trạm quan trắc: Trạm nước thải (NUO001)

Vượt giới hạn: COD
   Thông số: COD
   Trạng thái: phát sinh
   Kết quả quan trắc: 80,07 mg/l
   Giá trị giới hạn: 75 mg/l
   Phiên quan trắc: COD, bắt đầu 00:00 25/03/2026
   Căn cứ: QCVN 40:2011 A
   Từ: 00:00 25/03/2026
   Mã cảnh báo: limit/COD/20260325000000; mục 7 của nhật ký

Thông báo tự động của bộ thu thập dữ liệu; xin không trả lời thư này.
"""
EN = """\
Station: Trạm nước thải (NUO001)

Limit exceeded: COD
   Channel: COD
   State: acknowledged
   Value: 80.07 mg/l
   Limit: 75 mg/l
   Window: COD, beginning 00:00 25/03/2026, revision 3
   Basis: QCVN 40:2011 A
   Since: 00:00 25/03/2026
   Acknowledged by: Lan
   Note: valve shut
   Alert code: limit/COD/20260325000000; entry 7 of the log

Sent by the station's data logger; nobody reads answers.
"""


def acknowledged() -> dict:
    found = alert(7, T0, state="acknowledged", by="Lan", note="valve shut")
    found["windows"][0]["revision"] = 3
    return found


def test_one_alert_in_vietnamese_and_english():
    vi, en = teller("vi").notice([alert(7, T0)]), teller("en").notice([acknowledged()])
    assert (vi.text, vi.urgent) == (VI, True)
    assert vi.subject == "[NUO001] Vượt giới hạn: COD 80,07 mg/l (giới hạn 75 mg/l)"
    assert (en.text, en.urgent) == (EN, False)
    assert en.subject == "[NUO001] Limit exceeded: COD, acknowledged"


def test_an_hour_beyond_its_limit_a_warning_and_an_interruption():
    hour = alert(1, T0, rule="limit hour")
    assert teller().notice([hour]).text.splitlines()[2] == "Vượt giới hạn (trung bình giờ): COD"
    near = teller().notice([alert(1, T0, rule="near")]).text
    assert "   Ngưỡng cảnh báo sớm: 75 mg/l" in near and "Giá trị giới hạn" not in near
    cut = alert(
        2, T0, 0, rule="destination interrupted", about="province", state="cleared", basis="",
        cause="10.0.0.5:22 cannot be reached.", until="2026-03-25T02:30:00+07:00",
    )  # fmt: skip
    text = teller("en").notice([cut]).text
    assert "   About: province\n" in text and "   Cause: 10.0.0.5:22 cannot be reached.\n" in text
    assert "   Until: 02:30 25/03/2026\n" in text and "Value" not in text


def test_many_keep_their_order_and_say_how_many_they_are():
    three = [alert(1, T0), alert(2, T0, about="pH"), alert(3, T0)]
    vi, en = teller("vi").notice(three), teller("en").notice(three)
    assert vi.subject == "[NUO001] 3 cảnh báo: COD, pH" and en.subject == "[NUO001] 3 alerts: COD, pH"
    assert "gộp 3 cảnh báo" in vi.text and "joins 3 alerts" in en.text
    assert re.findall(r"^(\d)\. Vượt", vi.text, re.M) == ["1", "2", "3"]
    assert re.findall(r"mục (\d+) của", vi.text) == ["1", "2", "3"]


def test_nothing_that_came_from_outside_makes_another_line_or_header():
    evil = alert(
        1, T0, state="acknowledged", by="Lan\r\nBcc: x@y.vn", note="a\n   Giá trị giới hạn: 999 mg/l\x07"
    )
    evil["about"] = "COD\r\nSubject: all is well"
    found = teller().notice([evil])
    assert "\n" not in found.subject and "\r" not in found.text and "\x07" not in found.text
    assert not [line for line in found.text.splitlines() if line.strip().startswith(("Bcc", "Subject"))]
    assert found.text.count("\n   Giá trị giới hạn: ") == 1  # the true one
    assert "   Ghi chú: a Giá trị giới hạn: 999 mg/l\n" in found.text
    long = teller().notice([alert(1, T0, about="x" * 5000, basis="y" * 5000)])
    assert len(long.subject) == SUBJECT_LENGTH_MAX
    assert max(len(line) for line in long.text.splitlines()) <= LINE_LENGTH_MAX + 40


def test_every_rule_and_state_that_the_gateway_has_is_translated_and_can_be_chosen():
    rules = {alerts.LIMIT, alerts.WARNING, alerts.FAULT, *conditions.RULES}
    rules |= {f"{kind} {INTERRUPTED}" for kind in ("channel", "destination")}
    assert set(alert_words.RULES) == rules
    assert set(alert_words.SPANS) == {HOUR, HOURS_8, DAY}
    assert set(alert_words.STATES) == {said for _, said in STEPS.values()}


def test_every_text_is_there_in_both_languages_and_used():
    source = Path(alert_words.__file__).with_name("alert_text.py").read_text(encoding="utf-8")
    used = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    for name, (vi, en) in alert_words.TEXTS.items():
        assert name in used and vi and en and vi != en, name
        assert re.findall(r"\{\w+\}", vi) == re.findall(r"\{\w+\}", en), name


@pytest.mark.parametrize(
    ("time_ms", "said"),
    [
        (T0, "Wed, 25 Mar 2026 00:00:00 +0700"),
        (T0 - 1, "Tue, 24 Mar 2026 23:59:59 +0700"),
        (1_798_736_400_000, "Fri, 01 Jan 2027 00:00:00 +0700"),  # 2026-12-31T17:00:00Z
    ],
)
def test_the_date_of_a_mail(time_ms, said):
    assert date_header(time_ms) == said
