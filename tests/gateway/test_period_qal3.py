"""gateway/reports/period_qal3.py and its section: sums by a slow loop, what a person keeps, controls."""

from __future__ import annotations

import csv
import io
from datetime import datetime

from gateway import qal3
from gateway.qal3 import Check, Intervention
from gateway.reports import period_html, period_qal3
from gateway.reports.period_qal3 import judged, read_interventions
from gateway.reports.period_words import LANGUAGES, Words
from gateway.zone import GMT7
from tests.gateway.period_rig import records
from tests.gateway.test_period_added import CHECKS, INSTRUMENT, MARCH, TEN, report_of
from tests.gateway.test_period_outputs import Page

DONE = "time,point,action,by\n2026-03-04 10:00,span,=Chỉnh,Nguyễn\n"
INTERVENED = INSTRUMENT._replace(done=DONE)


def _ms(text: str) -> int:
    return round(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=GMT7).timestamp() * 1000)


def slow(checks: str, done: str, from_ms: int) -> list[tuple[int, float, float]]:
    """(time, U, D) of span checks from `from_ms` on, s = 1, kx = 0.501, by the formula in gateway/qal3.py."""
    rows = list(csv.DictReader(io.StringIO(checks)))
    resets = sorted(_ms(row["time"]) for row in csv.DictReader(io.StringIO(done)))
    up = down = 0.0
    found = []
    for row in rows:
        at_ms = _ms(row["time"])
        while resets and resets[0] <= at_ms:
            resets.pop(0)
            up = down = 0.0
        d = float(row["indicated"]) - float(row["reference"])
        up, down = max(0.0, up + d - 0.501), max(0.0, down - d - 0.501)
        if at_ms >= from_ms:
            found.append((at_ms, round(up, 9), round(down, 9)))
    return found


def differences() -> list[str]:
    """Where the report's charts differ from the slow loop, and its section from its findings."""
    (one,) = judged([INTERVENED], MARCH.from_ms, MARCH.to_ms)
    mine = [(each.time_ms, round(each.up.value, 9), round(each.down.value, 9)) for each in one.charts.plotted]
    found = [] if mine == slow(CHECKS, DONE, MARCH.from_ms) else ["charts"]
    report = report_of(records(TEN, 4), MARCH, instruments=[INTERVENED])
    for language in LANGUAGES:
        words = Words(language)
        rows = [row[:5] for row in Page(period_html.render(report, language).decode()).rows]
        wanted = [
            ["COD", words("span"), words(each.chart), words.moment(each.since_ms), words.plain(each.value, 4)]
            for each in qal3.charts(
                qal3.read_checks(CHECKS)[0], {"span": 1.0}, read_interventions(DONE)[0]
            ).findings
        ]
        assert wanted
        found += [f"{language}: {row}" for row in wanted if row not in rows]
    return found


def test_charts_and_findings_are_those_of_a_slow_loop():
    assert differences() == []


def test_control_charts_that_forget_what_was_before_the_period_are_found(monkeypatch):
    real = period_qal3.charts

    def forgetful(checks, *rest):
        return real([check for check in checks if check.time_ms >= MARCH.from_ms], *rest)

    monkeypatch.setattr(period_qal3, "charts", forgetful)
    assert differences() != []


def test_control_an_intervention_that_changes_nothing_is_found(monkeypatch):
    real = period_qal3.charts
    monkeypatch.setattr(period_qal3, "charts", lambda checks, s, _, constants: real(checks, s, (), constants))
    assert differences() != []


def test_control_a_check_of_the_other_sign_is_found(monkeypatch):
    real = period_qal3.read_checks

    def turned(text):
        checks, faults = real(text)
        return [one._replace(reference=one.indicated, indicated=one.reference) for one in checks], faults

    monkeypatch.setattr(period_qal3, "read_checks", turned)
    assert differences() != []


def test_charts_begin_before_the_period():
    """U of differences 0, 0.9, 1.8, 2.7, 3.6, 4.5 with kx 0.501: 0, 0.399, 1.698, 3.897 (beyond 2.85), ..."""
    (found,) = judged([INSTRUMENT], MARCH.from_ms, MARCH.to_ms)
    assert [round(each.up.value, 3) for each in found.charts.plotted] == [3.897, 6.996, 10.995]
    whole = qal3.charts(qal3.read_checks(CHECKS)[0], {"span": 1.0})
    assert found.charts.plotted == whole.plotted[3:]
    assert {each.chart for each in found.charts.findings} == {each.chart for each in whole.findings}


def test_an_intervention_ends_a_finding():
    done = DONE + "2026-03-04,x,y,z\n"
    (found,) = judged([INSTRUMENT._replace(done=done)], MARCH.from_ms, MARCH.to_ms)
    assert any(each.ended is not None and each.ended.by == "Nguyễn" for each in found.charts.findings)
    assert len(found.faults) == 1 and found.faults[0].startswith("Line 3:")
    kept, faults = read_interventions(done)
    assert isinstance(kept[0], Intervention) and len(faults) == 1
    assert read_interventions("a,b\n")[1]


def test_checks_without_s_ams_are_left_out_and_named():
    table = CHECKS + "2026-03-01 09:00,zero,0,1\n"
    (found,) = judged([INSTRUMENT._replace(checks=table)], MARCH.from_ms, MARCH.to_ms)
    assert found.left_out == ("zero",)
    assert all(isinstance(check, Check) for check in qal3.read_checks(table)[0])
