"""The tables for `quantrac report`: where they lie, what a missing or a broken one means; a whole report."""

from __future__ import annotations

import sqlite3

import openpyxl
import pytest

from gateway import config as configuration
from gateway.calibration import given
from gateway.calibration.checks import Charted
from gateway.calibration.record import Record
from gateway.journal.kinds import CALIBRATION
from gateway.reports.period import period
from gateway.reports.period_quality_blocks import file_of
from tests.gateway.calibration_rig import CHANNELS, points, said
from tests.gateway.period_rig import records, site
from tools import report as tool
from tools import report_read, report_tables
from tools.people import Failure

DAY = period("2026-03-25")
CHECKS = "time,point,reference,indicated\n" + "".join(f"2026-03-25 {h:02}:00,span,80,84\n" for h in range(6))
QAL3 = 'limits = { max = 75.0, basis = "QCVN 40:2011 A" }\nqal3 = { s_span = 1.0 }'


@pytest.fixture
def station(tmp_path):
    path = site(tmp_path, records(DAY, 3, margin=0))
    text = path.read_text(encoding="utf-8")
    first = 'limits = { max = 75.0, basis = "QCVN 40:2011 A" }'
    path.write_text(text.replace(first, QAL3), encoding="utf-8")
    (tmp_path / "qal3").mkdir()
    return path


def read(path):
    return report_tables.instruments(configuration.load(path))


def test_tables_lie_in_the_state_directory(station):
    (none,) = read(station)
    assert (none.symbol, none.checks, none.done, dict(none.s_ams)) == ("COD", None, None, {"span": 1.0})
    (station.parent / "qal3" / "COD.csv").write_text(CHECKS, encoding="utf-8-sig")
    (there,) = read(station)
    assert there.checks == CHECKS


def test_a_table_that_cannot_be_read_is_named(station):
    table = station.parent / "qal3" / "COD.csv"
    table.write_bytes(b"time\xff\xfe")
    with pytest.raises(Failure, match="UTF-8"):
        read(station)
    table.unlink()
    table.mkdir()
    with pytest.raises(Failure, match="cannot be read"):
        read(station)


@pytest.mark.parametrize("symbol", ["../../etc/passwd", "..", "PM2,5", "a/b", "C\\D"])
def test_a_symbol_never_leads_out_of_the_folder(symbol):
    name = file_of(symbol)
    assert "/" not in name and "\\" not in name and not name.startswith(".")


def test_the_report_has_its_charts_and_the_file_of_interventions(station, tmp_path, capsys):
    (station.parent / "qal3" / "COD.csv").write_text(CHECKS, encoding="utf-8")
    out = tmp_path / "out"
    assert tool.print_report(station, DAY, out, "vi", False) == 0
    assert "qal3-COD.csv" in capsys.readouterr().out
    lines = (out / "qal3-COD.csv").read_text(encoding="utf-8-sig").splitlines()
    # differences of 4 with s = 1: beyond 3 s at once, and U = 3.499 is beyond 2.85 at the first check
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["2026-03-25 00:00:00", "span", "drift up"], ["2026-03-25 00:00:00", "span", "shewhart"],
    ]  # fmt: skip
    rows = list(openpyxl.load_workbook(out / "report.xlsx")["QAL3"].iter_rows(values_only=True))
    assert len(rows) == 7 and rows[1][3] == 4
    assert "CUSUM" in (out / "report.html").read_text(encoding="utf-8")


RECORDED = said(certificate=said()["certificate"] | {"valid_until": "2027-01-01"})


def recorded(station, *records) -> None:
    """Entries of calibrations, as the gateway writes them."""
    bodies = [one._replace(photo="").body() for one in records]
    connection = sqlite3.connect(station.parent / "journal.db")
    ((last, arrived_ms),) = connection.execute("SELECT MAX(idx), MAX(arrived_ms) FROM entry")
    with connection:
        for number, body in enumerate(bodies, 1):
            connection.execute(
                "INSERT INTO entry VALUES (?, ?, 1, 0, 0, 0, ?, 0, NULL, NULL, ?, ?)",
                (last + number, CALIBRATION, arrived_ms, bytes(32), body),
            )
    connection.close()


def span_record(hour: int, reading_: float, **changed) -> Record:
    at = {"at": f"2026-03-25T{hour:02}:00", "points": points((0, 0.0), (80, reading_))}
    found, faults = given.read(RECORDED | at | changed, CHANNELS, DAY.to_ms)
    assert found is not None, faults
    return found


def indicated(one) -> list[tuple[int, float]]:
    """(hour, difference) of what is charted at span."""
    return [((each.time_ms - DAY.from_ms) // 3_600_000, each.difference) for each in one.charts.plotted]


def test_records_of_the_journal_go_before_the_table(station):
    """The table has 84 of 80 at 0 to 5 o'clock; records of 3 and 6 o'clock show 81 and 82."""
    (station.parent / "qal3" / "COD.csv").write_text(CHECKS, encoding="utf-8")
    recorded(station, span_record(3, 81.0), span_record(6, 82.0))
    report = report_read.read(configuration.load(station), DAY)
    (one,) = report.added.qal3
    assert indicated(one) == [(0, 4.0), (1, 4.0), (2, 4.0), (3, 1.0), (6, 2.0)]
    assert one.passed_over == 3 and [made.record.at_ms for made in report.beside.records] == [
        DAY.from_ms + 3 * 3_600_000, DAY.from_ms + 6 * 3_600_000,
    ]  # fmt: skip


def test_control_without_the_rule_both_are_charted(station, monkeypatch):
    monkeypatch.setattr(Charted, "first_ms", property(lambda self: None))
    with pytest.raises(AssertionError):
        test_records_of_the_journal_go_before_the_table(station)


def test_records_need_no_table_and_an_adjustment_ends_what_was_out(station):
    """84 of 80 with s = 1 is out of control at once (beyond 3 s); it is adjusted, and shows 80."""
    adjusted = {"kind": "adjustment", "points": points((0, 0.0, 0.0), (80, 84.0, 80.0))}
    recorded(station, span_record(3, 84.0, **adjusted))
    (one,) = report_read.read(configuration.load(station), DAY).added.qal3
    assert indicated(one) == [(3, 4.0), (3, 0.0)] and one.passed_over == 0
    assert {(f.chart, f.ended is not None and f.ended.by) for f in one.charts.findings} == {
        ("drift up", "Lan"), ("shewhart", "Lan"),
    }  # fmt: skip


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_report_lists_records(station, tmp_path, language):
    recorded(station, span_record(3, 84.0))
    out = tmp_path / "out"
    assert tool.print_report(station, DAY, out, language, False) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "KT-22/118 (2027-01-01)" in page and "A-4711" in page
    assert ("không đạt" if language == "vi" else "BEYOND") in page
    book = openpyxl.load_workbook(out / "report.xlsx")
    (sheet,) = [each for each in book if any("KT-22/118" in str(c.value) for row in each for c in row)]
    # 84 of 80 is a slope of 1.05: 105 at span, 100 mg/l: a drift of 5
    assert [row[5].value for row in sheet.iter_rows(min_row=2)] == [pytest.approx(5.0)]
