"""What only some stations' reports have: figures against the pure modules, absent parts, both languages."""

from __future__ import annotations

import csv
import io
import math
from random import Random

import openpyxl
import pytest

from gateway.fees import vnd
from gateway.indices import words as indices
from gateway.loads import load, series
from gateway.qal3 import Constants
from gateway.reports import (
    period_added,
    period_build,
    period_csv_added,
    period_html,
    period_model,
    period_pdf,
    period_signs,
    period_xlsx,
)
from gateway.reports.period import between, period
from gateway.reports.period_loads import Rates, gaps_alike, months_of
from gateway.reports.period_missing import missing, why
from gateway.reports.period_model import Setting
from gateway.reports.period_qal3 import Instrument
from gateway.reports.period_runs import Limits
from gateway.reports.period_sections import sections
from gateway.reports.period_words import LANGUAGES, Words
from gateway.spans import Span
from gateway.suspicion import track
from gateway.suspicion.look import look
from gateway.windows import Window
from gateway.zone import DAY_MS, HOUR_MS
from protocol import quality as q
from tests.gateway.period_rig import GRID, LENGTH, SETTINGS, STATION, by_hour, records
from tests.gateway.test_period_outputs import Page, pdf_text

MARCH = period("2026-03")
TEN = between(MARCH.from_ms, MARCH.from_ms + 10 * DAY_MS)
RATES = Rates("Flow", True, {"COD": 2000.0})
AIR = (
    Setting("PM2,5", "ug/m3", 1, Limits()), Setting("PM10", "mg/m3", 4, Limits()),
    Setting("O3", "ppb", 1, Limits()), Setting("Wind", "m/s", 1, Limits()),
)  # fmt: skip
RIVER = (
    Setting("pH", "", 2, Limits()), Setting("COD", "mg/l", 1, Limits()), Setting("NO3", "ug/l", 1, Limits()),
    Setting("NH4", "mmol/l", 2, Limits()), Setting("DO", "mg/l", 2, Limits()),
    Setting("Temp", "°C", 1, Limits()),
)  # fmt: skip


def report_of(rows, asked, settings=SETTINGS, kind="wastewater", rates=Rates(), instruments=()):  # noqa: B008
    """As tools/report.py makes it, of one part."""
    newest_ms = max(row[3] for row in rows)

    def keeps(symbol: str, unit: str) -> bool:
        return period_added.keeps(asked, settings, symbol, unit)

    part = period_build.collect(asked, settings, GRID, by_hour(rows, asked), newest_ms, keeps)
    evidence = period_model.Evidence(1, "", 0, "")
    station, beside = STATION._replace(kind=kind), period_model.Beside()
    report = period_build.build(station, asked, settings, GRID, [part], newest_ms, beside, evidence)
    return report._replace(added=period_added.added(report, settings, [part], rates, instruments))


def rows_of(settings, asked, seed: int, gaps: float = 0.02) -> list:
    """Windows of these channels, about 1 to 60 by their place, most of them valid."""
    chance = Random(seed)
    found = []
    for start in range(asked.from_ms, asked.to_ms, LENGTH):
        for place, one in enumerate(sorted(settings)):
            if chance.random() >= gaps:
                value = abs(chance.gauss(7.0 + place, 1.0)) * (1e-3 if one.unit == "mg/m3" else 1)
                quality = chance.choice((q.OK,) * 30 + (q.TIMEOUT,))
                found.append((start, one.symbol, 1, start + LENGTH, one.unit, value, quality, ""))
    return found


def windows_of(rows) -> dict:
    """Window objects by symbol and start, for the modules that take them."""
    return series(
        Window(
            row[1],
            row[4],
            row[0],
            row[3],
            row[2],
            row[5],
            row[6],
            q.status(row[6]),
            1,
            1,
            1.0,
            row[5],
            row[5],
            "",
        )
        for row in rows
    )


@pytest.fixture(scope="module")
def rows():
    return records(TEN, 4)


@pytest.fixture(scope="module")
def report(rows):
    return report_of(rows, TEN)


def test_loads_are_those_of_the_windows(rows, report):
    found, windows = report.added.loads, windows_of(rows)
    (one,) = found.loads
    assert (found.flow, one.whole.symbol, len(one.days)) == ("Flow", "COD", 10)
    whole = Span(TEN.from_ms, TEN.to_ms)
    assert one.whole == load(windows["Flow"], windows["COD"], "COD", whole, LENGTH)
    for day in one.days:
        wanted = load(windows["Flow"], windows["COD"], "COD", day.period, LENGTH)
        assert day == wanted._replace(gaps=())
        flows, cods = (
            {ms: one.value for ms, one in windows[name].items() if one.quality == q.OK}
            for name in ("Flow", "COD")
        )
        both = [ms for ms in flows if ms in cods and 0 <= ms - day.period.start_ms < DAY_MS]
        by_hand = sum(flows[ms] * cods[ms] * LENGTH / HOUR_MS / 1000 for ms in both)
        assert math.isclose(day.mass_kg, by_hand, rel_tol=1e-12)
    gaps = sum(gap.end_ms - gap.start_ms for gap, _ in gaps_alike(found))
    assert gaps + one.whole.covered_ms == 10 * DAY_MS


def test_the_files_hold_the_loads(report):
    files = period_csv_added.files(report.added)
    text = files["loads.csv"](report).decode("utf-8-sig")
    read = list(csv.DictReader(io.StringIO(text)))
    (one,) = report.added.loads.loads
    assert [float(row["mass_kg"]) for row in read if row["span"] == "day"] == [
        day.mass_kg for day in one.days
    ]
    assert all(float(row["covered_hours"]) + float(row["uncovered_hours"]) == 24 for row in read[:10])
    book = openpyxl.load_workbook(io.BytesIO(period_xlsx.render(report, "en")))
    cells = list(book["Loads by day"].iter_rows(min_row=2, values_only=True))
    assert [row[3] for row in cells] == pytest.approx([day.mass_kg for day in one.days], rel=1e-14)


def test_a_fee_is_of_whole_quarters_with_rates(rows):
    quarter = period("2026-Q1")
    found = report_of(rows, quarter, rates=RATES).added.loads
    (draft,) = found.drafts
    (line,) = draft.lines
    assert line.fee_vnd == draft.total_vnd == vnd(found.loads[0].whole.mass_kg, 2000.0)
    assert line.load.share < 10 / 90  # of the quarter, though the report reaches only to the tenth day
    assert report_of(rows, TEN, rates=RATES).added.loads.drafts == ()
    titles = [one.name for one in sections(report_of(rows, quarter, rates=RATES), Words("vi"))]
    assert "fees" in titles and "signs" in titles


def test_what_is_not_there_is_no_section(rows):
    no_flow = tuple(one for one in SETTINGS if one.symbol != "Flow")
    short = between(TEN.from_ms, TEN.from_ms + 2 * DAY_MS)
    bare = report_of([row for row in rows if row[1] != "Flow"], short, no_flow)
    assert bare.added == period_added.Added()
    names = {one.name for one in sections(bare, Words("en"))}
    assert not names & {"loads", "fees", "index", "qal3", "signs"}
    assert period_csv_added.files(bare.added) == {}
    there = [one.name for one in sections(report_of(rows, TEN), Words("en"))]
    assert {"loads", "signs"} <= set(there) and not {"fees", "index", "qal3"} & set(there)


def test_several_flows_are_not_guessed_from(rows):
    settings = (*SETTINGS, Setting("Flow2", "l/s", 1, Limits()))
    found = report_of(rows, TEN, settings)
    assert (found.added.loads.volume, found.added.loads.flows) == (None, ("Flow", "Flow2"))
    assert "Flow2" in Page(period_html.render(found, "vi").decode()).text
    assert report_of(rows, TEN, settings, rates=Rates("Flow")).added.loads.loads


def signs_setting(symbol: str) -> Setting:
    return Setting(symbol, "mg/l", 2, Limits(75.0))


def steady_rows(asked) -> list:
    """Two channels with noise; on the last two days the one of COD is gone."""
    chance = Random(3)
    found = []
    for start in range(asked.from_ms, asked.to_ms, LENGTH):
        quiet = start >= asked.to_ms - 2 * DAY_MS
        for symbol, noise in (("COD", 0.01 if quiet else 2.0), ("TSS", 2.0)):
            value = 40 + chance.gauss(0, noise)
            found.append((start, symbol, 1, start + LENGTH, "mg/l", value, q.OK, ""))
    return found


def test_signs_are_those_of_the_windows_and_say_look_here():
    settings, rows = (signs_setting("COD"), signs_setting("TSS")), steady_rows(TEN)
    report = report_of(rows, TEN, settings)
    windows, span = windows_of(rows), Span(TEN.from_ms, TEN.to_ms)
    tracks = [track(windows[one.symbol], one.symbol, span, LENGTH, 2) for one in settings]
    wanted = look(tracks, {"COD": 75.0, "TSS": 75.0})
    assert list(report.added.signs.signs) == wanted != []
    for language, hint in (("vi", "không phải là kết luận"), ("en", "no verdicts")):
        for text in (
            Page(period_html.render(report, language).decode()).text,
            pdf_text(period_pdf.render(report, language)),
        ):
            plain = " ".join(text.split())
            assert hint in plain
            assert "fraud" not in plain and "gian lận" not in plain
        assert (wanted[0].vi if language == "vi" else wanted[0].en) in Page(
            period_html.render(report, language).decode()
        ).text


def test_control_a_track_without_its_quiet_days_has_no_sign(monkeypatch):
    settings = (signs_setting("COD"), signs_setting("TSS"))
    report = report_of(steady_rows(TEN)[: 2 * 8 * 288], TEN, settings)
    assert report.added.signs.signs == ()


def test_signs_are_not_looked_for_beyond_half_a_year(rows):
    report = report_of(rows, period("2026"))
    assert report.added.signs.signs is None
    for language in LANGUAGES:
        assert Words(language)("signs_long") in Page(period_html.render(report, language).decode()).text
    for name in ("2026-Q1", "2026-H1", "2026-H2"):
        asked = period(name)
        assert period_signs.can_look(asked.from_ms, asked.to_ms), name
    assert report_of(rows, period("2026-H1")).added.signs.signs is not None


CHECKS = "time,point,reference,indicated\n" + "".join(
    f"2026-0{month}-0{day} 09:00,span,80,{80 + 0.9 * n}\n"
    for n, (month, day) in enumerate((m, d) for m in (2, 3) for d in (1, 3, 5))
)
INSTRUMENT = Instrument("COD", "mg/l", {"span": 1.0}, Constants(), CHECKS)


def full(language: str) -> dict[str, bytes]:
    """All outputs of a report that has loads, fees, QAL3 and signs."""
    rows = records(TEN, 4)
    report = report_of(
        rows,
        period("2026-Q1"),
        rates=RATES,
        instruments=(INSTRUMENT, INSTRUMENT._replace(symbol="pH", checks=None)),
    )
    files = {name: make(report) for name, make in period_csv_added.files(report.added).items()}
    return files | {
        "html": period_html.render(report, language), "pdf": period_pdf.render(report, language),
        "xlsx": period_xlsx.render(report, language),
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_section_in_both_languages_and_the_same_bytes(language):
    words, once = Words(language), full(language)
    assert {name: data for name, data in full(language).items() if data != once[name]} == {}
    page, text = Page(once["html"].decode()), " ".join(pdf_text(once["pdf"]).split())
    for name in ("loads", "fees", "qal3", "signs"):
        assert words(name) in page.text and words(name) in text
    assert once["qal3-COD.csv"].startswith(b"\xef\xbb\xbf") and "loads.csv" in once
    assert page.tags.count("svg") == 2 + 3  # two charts of the instrument, three channels
    titles = openpyxl.load_workbook(io.BytesIO(once["xlsx"])).sheetnames
    assert {words("fees")[:31], "QAL3", words("signs")} <= set(titles)


def test_months_and_days_are_cut_where_the_period_is():
    span = Span(MARCH.from_ms - 2 * DAY_MS, MARCH.from_ms + DAY_MS)
    assert months_of(span) == [Span(span.start_ms, MARCH.from_ms), Span(MARCH.from_ms, span.end_ms)]


ENGLISH = ("hours", "missing", "needs", "group", "window", "mean", "this")


def missing_of(kind: str, settings, gaps: float) -> list[str]:
    """Everything that the index of a random station lacks."""
    found = report_of(rows_of(settings, TEN, 9, gaps), TEN, settings, kind).added.rating
    said = [part for day in found.days for part in day.rated.missing]
    hours = found.hours() if kind == "ambient-air" else ()
    return [*said, *(part for hour in hours for part in hour.rated.missing)]


@pytest.mark.parametrize(("kind", "settings"), [("ambient-air", AIR), ("surface-water", RIVER)])
def test_what_an_index_lacks_is_told_in_vietnamese(kind, settings):
    parts = {part for gaps in (0.0, 0.3, 0.6) for part in missing_of(kind, settings, gaps)}
    assert len(parts) > 4
    for part in parts:
        said = missing([part], Words("vi"))
        assert not [word for word in ENGLISH if word in said.split()], said
        assert missing([part], Words("en")) == part


def test_reasons_of_gaps_are_told_in_both_languages():
    assert why("Flow: TIMEOUT; COD: no window", Words("en")) == (
        "Flow: the instrument does not answer; COD: no window"
    )
    assert why("no window", Words("vi")) == "không có phiên"
    assert "không trả lời" in why("Flow: TIMEOUT", Words("vi"))


@pytest.mark.parametrize("rgb", [each.rgb for each in (*indices.AIR, *indices.WATER)])
def test_every_colour_has_a_name(rgb):
    assert all(Words(language).colour(rgb) for language in LANGUAGES)


def test_a_class_is_shown_with_its_colour_and_advice():
    settings = (Setting("PM10", "ug/m3", 1, Limits()), Setting("PM2.5", "ug/m3", 1, Limits()))
    report = report_of(rows_of(settings, TEN, 2, 0.0), TEN, settings, "ambient-air")
    for language in LANGUAGES:
        html = period_html.render(report, language).decode()
        rated = report.added.rating.days[3].rated.rated
        assert rated.name.en == "Good"
        assert html.count('<i style="background:#00e400"></i>') == 11  # ten days, and their class
        assert Words(language).both(rated.everybody) in Page(html).text
