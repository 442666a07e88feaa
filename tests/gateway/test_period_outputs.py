"""The files of a report: the same figures in each, the same bytes each time, no word of others as markup."""

from __future__ import annotations

import csv
import io
import math
import re
import time
import zipfile
from datetime import datetime, timedelta
from html.parser import HTMLParser

import openpyxl
import pypdf
import pytest

from gateway.interruptions import CHANNEL, DESTINATION, Interruption
from gateway.quality_words import WORDS
from gateway.reports import (
    period_blocks,
    period_csv,
    period_html,
    period_model,
    period_pdf,
    period_pdf_paper,
    period_texts,
    period_texts_added,
    period_xlsx,
)
from gateway.reports.alert_words import RULES, SPANS
from gateway.reports.interruption import CAUSES_VI
from gateway.reports.message import rfc3339
from gateway.reports.period import period
from gateway.reports.period_series import PERCENTILES
from gateway.reports.period_words import LANGUAGES, TEXTS, Words
from gateway.reports.period_xlsx_book import Book
from gateway.reports.period_xlsx_rows import Rows
from gateway.zone import HOUR_MS
from tests.gateway.period_rig import SETTINGS, STATION, records, report_of
from tests.gateway.test_period import ZONES

ASKED = period("2026-03")
EVIL = '<script>alert("1")</script>&amp;\''


def beside(name: str = "COD", what: str = "Nguyễn Văn A xác nhận") -> period_model.Beside:
    begin = ASKED.from_ms + 5 * HOUR_MS
    return period_model.Beside(
        (
            period_model.Alert(
                name,
                "limit",
                begin,
                begin + HOUR_MS,
                81.5,
                75.0,
                "QCVN",
                (period_model.Acted(begin, "acknowledged", what, what),),
            ),
            period_model.Alert(name, "other", begin, None, None, None, "", ()),
        ),
        (period_model.Calibration(begin, "device/st-01", name, 7, ((4.0, 0.0), (20.0, 200.5))),),
        (
            period_model.Stop(
                Interruption((CHANNEL, name), begin, begin + HOUR_MS, "no readings arrived"), 12, 3
            ),
            period_model.Stop(Interruption((DESTINATION, "province"), begin, None, what), 5, 5),
        ),
    )


@pytest.fixture(scope="module")
def report() -> period_model.Report:
    return report_of(records(ASKED, 11), ASKED, beside=beside())


class Page(HTMLParser):
    """Tags, and the text of each cell of each row."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data


def rendered(report: period_model.Report, language: str = "vi") -> dict[str, bytes]:
    return {
        "html": period_html.render(report, language), "pdf": period_pdf.render(report, language),
        "xlsx": period_xlsx.render(report, language), "hours": period_csv.hours(report),
        "days": period_csv.days(report), "exceedances": period_csv.exceedances(report),
        "capture": period_csv.capture(report),
    }  # fmt: skip


def rows_of(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_csv_parses_back_to_the_same_figures(report):
    for data, of in ((period_csv.hours(report), "hours"), (period_csv.days(report), "days")):
        rows = iter(rows_of(data))
        for channel in report.channels:
            buckets = getattr(channel, of)
            for at, start in enumerate(buckets.start_ms):
                row = next(rows)
                assert (row["start"], row["symbol"], row["unit"]) == (
                    rfc3339(start),
                    channel.symbol,
                    channel.unit,
                )
                assert int(row["valid_windows"]) == buckets.valid[at]
                mean = float(row["mean"]) if row["mean"] else math.nan
                assert mean == buckets.mean[at] or (math.isnan(mean) and not buckets.valid[at])
                assert (row["valid"] == "yes") == buckets.is_valid(at, report.share_min)
        assert next(rows, None) is None
    found = [
        (row["symbol"], row["from"], float(row["worst"])) for row in rows_of(period_csv.exceedances(report))
    ]
    assert found == [(c.symbol, rfc3339(e.from_ms), e.worst) for c in report.channels for e in c.exceedances]
    assert len(found) > 100


def test_csv_tells_the_capture_to_the_minute(report):
    for row, channel in zip(rows_of(period_csv.capture(report)), report.channels, strict=True):
        minutes = {name: int(row[f"{name}_minutes"]) for name in period_model.CLASSES}
        assert minutes == {name: ms // 60_000 for name, ms in channel.capture_ms.items()}
        assert sum(minutes.values()) == 31 * 1440
        assert round(sum(float(row[f"{name}_percent"]) for name in period_model.CLASSES), 2) == 100.0


def test_the_workbook_opens_with_numbers_and_times(report):
    words = Words("vi")
    book = openpyxl.load_workbook(io.BytesIO(period_xlsx.render(report, "vi")))
    sheet = book[words("statistics")]
    for row, channel in zip(sheet.iter_rows(min_row=2, values_only=True), report.channels, strict=True):
        found = channel.statistics
        assert found is not None
        assert row[:3] == (channel.symbol, channel.unit, found.windows)
        for cell, figure in zip(row[3 : 4 + len(PERCENTILES)], (found.mean, *found.percentiles), strict=True):
            assert math.isclose(cell, figure, rel_tol=1e-15)  # 16 digits are written
        moment = datetime(1970, 1, 1) + timedelta(
            milliseconds=report.labelled(found.minimum.start_ms) + 7 * HOUR_MS
        )
        assert row[4 + len(PERCENTILES) + 1] == moment
    hours = book[words("table_hour")]
    first = report.channels[0]
    for at, start in enumerate(first.hours.start_ms):
        row = 2 + (start - ASKED.from_ms) // HOUR_MS
        value = hours.cell(row, 2).value
        if first.hours.valid[at]:
            assert math.isclose(value, first.hours.mean[at], rel_tol=1e-15)
        else:
            assert value is None
    assert hours.max_row == 1 + 31 * 24
    exceeded = book[words("exceedances")]
    assert exceeded.max_row - 1 == sum(len(channel.exceedances) for channel in report.channels)


def pdf_text(data: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    return "\n".join(page.extract_text() for page in pages)


@pytest.mark.parametrize("language", LANGUAGES)
def test_html_and_pdf_hold_the_figures(report, language):
    words = Words(language)
    page = Page(period_html.render(report, language).decode())
    text = pdf_text(period_pdf.render(report, language))
    assert page.tags.count("svg") == len(report.channels)
    for channel in report.channels:
        found = channel.statistics
        assert found is not None
        figures = [words.figure(found.mean, channel.decimals)]
        figures += [words.figure(value, channel.decimals) for value in found.percentiles]
        (row,) = [
            row for row in page.rows if row[:3] == [channel.symbol, channel.unit, words.count(found.windows)]
        ]
        assert row[3 : 4 + len(PERCENTILES)] == figures
        for figure in figures:
            assert figure in text
        for part in period_model.shares(channel.capture_ms).values():
            assert words.share(part) in text
    for needed in (
        words("title"),
        STATION.name,
        report.evidence.root,
        words("operator"),
        words("facility_head"),
    ):
        assert needed in page.text
        assert needed in text


def test_the_pdf_numbers_its_pages_and_names_the_station_on_each(report):
    pages = pypdf.PdfReader(io.BytesIO(period_pdf.render(report, "vi"))).pages
    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        text = page.extract_text()
        assert f"Trang {number}/{len(pages)}" in text
        assert "Trạm quan trắc nước thải (NUO001)" in text
        assert page.mediabox.width == pytest.approx(595.28, abs=0.1)  # A4, points


def test_the_page_needs_nothing_from_elsewhere(report):
    html = period_html.render(report, "vi").decode()
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "url(" not in html and "@import" not in html and "://" not in html


def test_words_of_others_are_text():
    station = STATION._replace(name=EVIL)
    settings = tuple(setting._replace(limits=setting.limits._replace(basis=EVIL)) for setting in SETTINGS)
    rows = [(*row[:7], row[7] and EVIL) for row in records(period("2026-03-25"), 3)]
    evil = report_of(rows, period("2026-03-25"), settings, beside(EVIL, EVIL))._replace(station=station)
    for language in LANGUAGES:
        page = Page(period_html.render(evil, language).decode())
        assert "script" not in page.tags
        assert page.text.count(EVIL) > 8
        assert pypdf.PdfReader(io.BytesIO(period_pdf.render(evil, language))).pages
    formula = evil._replace(station=STATION._replace(name="=HYPERLINK(1)"))
    book = openpyxl.load_workbook(io.BytesIO(period_xlsx.render(formula, "vi")))
    cells = [cell for row in book.worksheets[0].iter_rows() for cell in row if cell.value == "=HYPERLINK(1)"]
    assert cells and {cell.data_type for cell in cells} <= {"s", "inlineStr"}


def test_control_an_unescaped_page_is_found(report, monkeypatch):
    monkeypatch.setattr(period_html, "escape", str)
    page = Page(period_html.render(report._replace(station=STATION._replace(name=EVIL)), "vi").decode())
    assert "script" in page.tags


def test_the_same_report_gives_the_same_bytes_in_every_time_zone(report, monkeypatch):
    first = rendered(report)
    for zone in ZONES[1:3]:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            again = rendered(report_of(records(ASKED, 11), ASKED, beside=beside()))
        finally:
            monkeypatch.undo()
            time.tzset()
        assert [name for name in first if first[name] != again[name]] == []


def test_another_moment_on_the_machine_does_not_show(report, monkeypatch):
    first = rendered(report)
    later = time.time() + 400 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert [name for name, data in rendered(report).items() if data != first[name]] == []


def test_the_dates_in_a_file_are_those_of_the_report(report):
    reach = datetime(1970, 1, 1) + timedelta(milliseconds=report.reach_ms)
    made = pypdf.PdfReader(io.BytesIO(period_pdf.render(report, "vi"))).metadata
    assert made is not None and made.creation_date is not None
    assert made.creation_date.replace(tzinfo=None) == reach
    book = openpyxl.load_workbook(io.BytesIO(period_xlsx.render(report, "vi")))
    assert book.properties.created == reach


def test_both_languages_have_all_texts_and_the_same_parts():
    for name, (vietnamese, english) in TEXTS.items():
        assert vietnamese.strip() and english.strip(), name
        parts = [set(re.findall(r"\{(\w+)\}", text)) for text in (vietnamese, english)]
        assert parts[0] == parts[1], name


def test_a_list_that_is_cut_says_so(report):
    words = Words("vi")
    count = sum(len(channel.exceedances) for channel in report.channels)
    assert count > period_blocks.LINES_MAX
    page = Page(period_html.render(report, "vi").decode())
    said = words("longest_lines", shown=period_blocks.LINES_MAX, count=words.count(count), file="report.xlsx")
    assert said in page.text


def test_a_channel_without_any_value_is_shown_without_a_figure():
    rows = [row for row in records(period("2026-03-25"), 3) if row[1] != "Flow"]
    report = report_of(rows, period("2026-03-25"))
    outputs = rendered(report)
    page = Page(outputs["html"].decode())
    assert ["Flow", "m3/h", "0", *["–"] * (3 + len(PERCENTILES))] in page.rows
    assert "Flow" in pdf_text(outputs["pdf"])


def test_means_of_too_few_windows_are_marked():
    asked = period("2026-03-25")
    rows = [row for row in records(asked, 3, gaps=0.5)]
    page = Page(period_html.render(report_of(rows, asked), "vi").decode())
    marked = [cell for row in page.rows for cell in row if re.fullmatch(r"[0-9,]+\*", cell)]
    assert len(marked) > 20


def test_no_text_is_overwritten_by_another():
    assert not period_texts.TEXTS.keys() & period_texts_added.TEXTS.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_fields_to_sign_say_who_signs_and_how(report, language):
    words = Words(language)
    page = Page(period_html.render(report, language).decode()).text
    last = pypdf.PdfReader(io.BytesIO(period_pdf.render(report, language))).pages[-1].extract_text()
    for name in ("operator", "sign_operator", "facility_head", "sign_facility_head"):
        assert words(name) in page and words(name) in last
    first = pypdf.PdfReader(io.BytesIO(period_pdf.render(report, language))).pages[0].extract_text()
    for line in period_texts.LETTER_HEAD:
        assert (line in page) == (line in first) == (language == "vi")


@pytest.mark.parametrize(
    ("name", "vi", "en"),
    [
        ("2026-H1", "6 tháng đầu năm 2026", "first half of 2026"),
        ("2026-H2", "6 tháng cuối năm 2026", "second half of 2026"),
        ("2026-Q3", "quý 3/2026", "quarter 3/2026"),
        ("2026-03", "tháng 03/2026", "month 2026-03"),
        ("2026-03-25", "ngày 25/03/2026", "day 2026-03-25"),
        ("2026", "năm 2026", "year 2026"),
    ],
)
def test_a_period_has_the_name_that_people_call_it(name, vi, en):
    assert (Words("vi").period(period(name)), Words("en").period(period(name))) == (vi, en)


def parted(report) -> set[int]:
    """The pages on which lines of the table of means are."""
    pages = pypdf.PdfReader(io.BytesIO(period_pdf.render(report, "vi"))).pages
    texts = [" ".join(page.extract_text().split()) for page in pages]
    found = set()
    for channel in report.channels:
        line = f"{channel.symbol} {channel.unit} {Words('vi').count(channel.statistics.windows)}"
        found |= {number for number, text in enumerate(texts) if line in text}
    return found


def many_channels():
    """A report whose first table ends far down on the first page."""
    report = report_of(records(period("2026-03-25"), 3), period("2026-03-25"))
    cod = report.channels[0]
    return report._replace(channels=tuple(cod._replace(symbol=f"X{number:02}") for number in range(10)))


def test_a_short_table_is_on_one_page():
    assert len(parted(many_channels())) == 1


def test_control_a_table_that_begins_wherever_it_is_is_found(monkeypatch):
    monkeypatch.setattr(period_pdf_paper.Paper, "room", lambda self, height: None)
    assert len(parted(many_channels())) == 2


def test_the_longest_lines_of_a_long_list_stay():
    rows, lengths = [[str(at)] for at in range(300)], [at % 7 for at in range(300)]
    table, note = period_blocks.longest([period_blocks.Column("x")], rows, lengths, Words("en"))
    kept = [int(row[0]) for row in table.rows]
    assert kept == sorted(kept) and len(kept) == period_blocks.LINES_MAX
    assert {at for at in range(300) if at % 7 == 6} <= set(kept) and all(at % 7 >= 4 for at in kept)
    assert "300" in note.text
    assert len(period_blocks.longest([period_blocks.Column("x")], rows[:9], lengths[:9], Words("en"))) == 1


def test_what_stopped_several_channels_at_once_is_one_line(report):
    stop = Interruption((CHANNEL, "COD"), report.period.from_ms, report.period.from_ms + HOUR_MS, "it is off")
    stops = [
        period_model.Stop(stop._replace(what=what), 12, 3)
        for what in ((CHANNEL, "COD"), (CHANNEL, "pH"), (DESTINATION, "sent"))
    ]
    beside = period_model.Beside(interruptions=stops)
    page = Page(period_html.render(report._replace(beside=beside), "vi").decode())
    rows = [row for row in page.rows if len(row) == 6 and row[4] == "it is off"]
    assert [(row[0], row[5]) for row in rows] == [
        ("Thông số COD, pH", "6/24"), ("Truyền dữ liệu đến sent", "3/12"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("limit", "vượt giới hạn: COD"),
        ("near day", "gần giá trị giới hạn (trung bình ngày): COD"),
        ("door open", "cửa trạm đang mở: COD"),
        ("another", "another: COD"),
    ],
)
def test_alerts_are_told_in_words(report, rule, said):
    alert = period_model.Alert("COD", rule, report.period.from_ms, None, 80.0, 75.0, "", ())
    page = Page(
        period_html.render(report._replace(beside=period_model.Beside(alerts=[alert])), "vi").decode()
    )
    assert said in [row[0] for row in page.rows]


def test_the_font_has_every_letter_of_ours():
    paper = period_pdf_paper.Paper(Words("vi"), "")
    texts = [*TEXTS.values(), *RULES.values(), *SPANS.values(), *CAUSES_VI.items(), *WORDS.values()]
    letters = set("".join("".join(both) for both in texts)) - {"\n"}
    for style in ("", "B"):
        known = paper.fonts[f"{period_pdf_paper.FONT.lower()}{style}"].cmap
        assert not {letter for letter in letters if ord(letter) not in known}


@pytest.mark.parametrize("lines", range(0, 60, 6))
def test_no_signature_stands_alone(report, lines):
    """However much stands before it, the last section is on the page of the signatures."""
    spans = tuple(period_model.Revised("COD", at, at + 1, 1, 2, "late data") for at in range(lines))
    pages = pypdf.PdfReader(io.BytesIO(period_pdf.render(report._replace(revised=spans), "vi"))).pages
    last = pages[-1].extract_text()
    assert Words("vi")("operator") in last and Words("vi")("evidence") in last


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        return {name: book.read(name) for name in book.namelist()}


def by_cells(report: period_model.Report) -> dict[str, bytes]:
    """The parts of the workbook as the library writes them, cell by cell."""

    def line(sheet: Rows, row: int, cells) -> None:
        sheet._by_cells(row, cells)
        sheet._write_single_row(row + 1)  # at once, so that styles are numbered in the order of rows

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rows, "line", line)
        return parts_of(period_xlsx.render(report, "vi"))


def test_rows_are_written_as_the_library_writes_cells(report):
    """Also texts with signs of their own, blanks at the ends, and one that is too long for a cell."""
    strange = report._replace(
        station=report.station._replace(name=" <b>&\"'\t\x01 _x0041_ ", facility="ô" * 40_000),
        beside=beside("a < b & c", " blank \n"),
    )
    for one in (report, strange):
        assert parts_of(period_xlsx.render(one, "vi")) == by_cells(one)


def test_control_a_row_of_another_style_is_found(report, monkeypatch):
    wanted = by_cells(report)
    monkeypatch.setattr(Book, "_figure", lambda self, decimals, valid: self._share)
    assert parts_of(period_xlsx.render(report, "vi")) != wanted


def test_a_cell_that_is_no_number_is_refused(report):
    book = Book(report, Words("vi"))
    with pytest.raises(ValueError, match="cannot hold NAN"):
        book.sheet("x", ["a"], [[math.nan]])


def test_names_with_commas_and_quotes_stay_one_cell_of_a_csv(report):
    unit = 'mg,"l"'
    named = report._replace(channels=tuple(one._replace(unit=unit) for one in report.channels))
    assert {row["unit"] for row in rows_of(period_csv.hours(named))} == {unit}
    assert period_csv.hours(named).replace(b'"mg,""l"""', b"mg/l").count(b'"') == 0
