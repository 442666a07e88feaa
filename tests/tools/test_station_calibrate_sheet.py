"""A calibration's certificate and records: in both languages, the same bytes again, and read back whole."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
from pypdf import PdfReader

from gateway.calibration import given
from gateway.calibration.given import Known
from gateway.calibration.record import Certificate, Limits
from tools.people import Failure, UsageError
from tools.station.calibrate import page, paper, shown
from tools.station.calibrate.asked import points_of, standard_of
from tools.station.calibrate.certificate import Checked
from tools.station.calibrate.finish import finish, is_recorded
from tools.station.calibrate.fit import Taken, fitted, two_points
from tools.station.calibrate.model import Calibration, Instrument, parse
from tools.station.calibrate.pending import Pending
from tools.station.folder import KEY, SITE, Folder

AT_MS = 1_774_404_660_000  # 2026-03-25 09:11 in Vietnam
CHECKED = Checked(AT_MS + 30_000, 99.7, 100.0)


def made(through: bool = False, **changed) -> Calibration:
    points = (
        Taken(0.0, 5.0132, 0.011, 30, AT_MS - 660_000, AT_MS - 600_000),
        Taken(100.0, 85.0, 0.06, 29, AT_MS - 60_000, AT_MS),
    )
    whole = Calibration(
        device="nt-01", station="Trạm nước thải (NUO001)", channel="cod", symbol="COD", unit="mg/l", number=7,
        taken=points, points=two_points(fitted(points), points), line=fitted(points), old_number=6,
        old_points=((0.0, -0.5), (100.0, 101.0)), limits=Limits(0.0, 100.0, 5.0, 3.0), residual_max=1.0,
        within_s=60.0, deviation_max=0.5, standards=(Certificate("VMI-0417", 100.0, 1.0, "2027-05-01"),),
        instrument=Instrument("Hach <CODmax II>", "hach-codmax2", "user manual", "rs485, unit 2", "A-4711"),
        by="Nguyễn Thị Lan", at_ms=AT_MS, piecewise=False, through=through, firmware="quantrac 0.2.0",
    )  # fmt: skip
    return dataclasses.replace(whole, **changed)


@pytest.fixture
def folder(tmp_path) -> Folder:
    (tmp_path / SITE).write_text('{"id": "nt-01"}')
    (tmp_path / KEY).write_text("00" * 32)
    return Folder.at(tmp_path)


def text_of(pdf: bytes) -> str:
    return "\n".join(each.extract_text() for each in PdfReader(io.BytesIO(pdf)).pages)


def test_a_pdf_says_everything_on_one_page_in_both_languages():
    pdf = paper.render(made(), CHECKED)
    assert len(PdfReader(io.BytesIO(pdf)).pages) == 1
    text = re.sub(r"\s+", " ", text_of(pdf))
    for words in (
        "BIÊN BẢN HIỆU CHUẨN", "CALIBRATION CERTIFICATE", "Trạm nước thải (NUO001)", "A-4711", "VMI-0417",
        "2027-05-01", "5.0132", "Nguyễn Thị Lan", "2026-03-25 09:11:00", "1.25021", "VƯỢT GIỚI HẠN", "BEYOND",
        "99.7 mg/l", "NGƯỜI THỰC HIỆN", "signature and name", "rs485, unit 2", "quantrac 0.2.0",
    ):  # fmt: skip
        assert words in text, words
    assert paper.render(made(), CHECKED) == pdf
    assert "CALIBRATION" not in text_of(paper.render(made(), None, "vi"))
    assert "HIỆU CHUẨN" not in text_of(paper.render(made(), None, "en"))


def test_many_points_and_long_names_stay_readable():
    many = tuple([Taken(25.0 * n, 5 + 20.0 * n, 0.1, 12, AT_MS - 1000, AT_MS) for n in range(5)])
    long = made(
        taken=many, points=tuple([(p.raw, p.reference) for p in many]), piecewise=True, through=True,
        station="Trạm quan trắc nước thải tự động, liên tục của khu công nghiệp " * 2,
        standards=tuple([Certificate(f"VMI-{n}" + "x" * 90, 1.0, 0.1, "2027-05-01") for n in range(5)]),
    )  # fmt: skip
    assert len(PdfReader(io.BytesIO(paper.render(long, CHECKED))).pages) <= 2


def test_a_page_needs_nothing_else_and_is_escaped():
    html = page.render(made(), CHECKED).decode()
    assert "Hach &lt;CODmax II&gt;" in html and "<CODmax" not in html
    assert not re.search(r"(src|href|url\()", html)
    assert "Sai số còn lại<small>Residual</small>" in html and "BEYOND" in html
    assert page.render(made(), CHECKED).decode() == html


def test_the_table_fits_and_says_the_drift():
    text = shown.table(made())
    assert max(map(len, text.splitlines())) <= 79
    assert "drift at zero (0): +4.588 mg/l, allowed 5: holds" in text
    assert "drift at span (100): -14.2" in text and "mg/l, allowed 3: BEYOND the limit" in text


@pytest.mark.parametrize(("through", "kind"), [(False, "adjustment"), (True, "correction")])
def test_a_gateway_takes_its_record(through, kind):
    known = {"COD": Known("mg/l", Limits(0.0, 100.0, 5.0, 3.0))}
    record, faults = given.read(json.loads(json.dumps(made(through).record())), known, AT_MS)
    assert not faults and record is not None
    assert (record.kind, record.at_ms, record.serial) == (kind, AT_MS, "A-4711")
    assert [point.reference for point in record.points] == [0.0, 100.0]


def test_it_is_read_back_whole(folder):
    pending = Pending(folder, "cod")
    assert pending.found() is None
    pending.keep(made())
    assert pending.found() == made() and parse(made(True).encode()) == made(True)
    pending.path.write_bytes(pending.path.read_bytes()[:-40])
    assert pending.found() is None  # the device says what is in force


def test_finishing_twice_is_finishing_once(folder):
    Pending(folder, "cod").keep(made())
    files = finish(folder, made(), CHECKED, "both")
    first = [(folder.path / path).read_bytes() for path in files]
    (record,) = folder.records("calibrated")
    assert record["certificate"] == str(files.pdf) and record["number"] == 7 and record["by"] == made().by
    assert record["fit"] == [list(point) for point in made().points] and record["drift"]["ok"] is False
    assert Pending(folder, "cod").found() is None and is_recorded(folder, made())
    finish(folder, made(), CHECKED, "both")
    assert folder.records("calibrated") == [record]
    assert [(folder.path / path).read_bytes() for path in files] == first


def test_a_folder_that_cannot_be_written_is_a_sentence(folder):
    (folder.path / "certificates").write_text("in the way")
    with pytest.raises(Failure, match="cannot be written"):
        finish(folder, made(), None, "both")
    with pytest.raises(Failure, match="cannot be written"):
        Pending(folder, "cod").keep(made())


def test_what_the_command_line_names():
    assert points_of("0, 50,100", None, None) == [0, 50, 100]
    assert points_of(None, 7, 4) == [7, 4] and points_of(None, None, None) is None
    assert standard_of("KT;22/118;100;1,0;2027-05-01") == ("KT;22/118", 100.0, 1.0, "2027-05-01")
    for text, zero, span in (("0", None, None), ("0,0", None, None), ("0,a", None, None), ("0,1", 0, 1)):
        with pytest.raises(UsageError):
            points_of(text, zero, span)
    with pytest.raises(UsageError, match="go together"):
        points_of(None, 0, None)
    for wrong in ("KT", "KT;100;-1;2027-05-01", "KT;100;1;soon", ";100;1;2027-05-01", "K;x;1;2027-05-01"):
        with pytest.raises(UsageError):
            standard_of(wrong)
