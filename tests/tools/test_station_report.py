"""`quantrac station report` and `photo`: what a sheet holds, what it says is missing, what it never shows."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import string
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pypdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from simulator.bus import PtyPair
from simulator.station import StationProcess
from tests.firmware.bench import serial_server
from tests.tools.station_folder_rig import (
    BEGAN_MS,
    BY,
    LINK_KEY,
    SEAL_KEY,
    WASTEWATER,
    Afternoon,
    ambient_air,
    digest,
    photo,
    wastewater,
)
from tests.tools.station_folder_rig import (
    unit as rig_unit,
)
from tools.cli import app
from tools.people import UsageError
from tools.station import seal_paper
from tools.station.access import Access
from tools.station.build import write
from tools.station.folder import DEVICE, KEY, KINDS, RECORDS, SITE, Folder
from tools.station.sheet import blocks, html, pdf, pictures, texts, texts_missing
from tools.station.sheet.diagram import Box, Stroke, Text, drawn
from tools.station.sheet.live import asked
from tools.station.sheet.missing import missing
from tools.station.sheet.model import Live, Sheet
from tools.station.sheet.pdf_paper import wrapping
from tools.station.sheet.read import read
from tools.station.sheet.run import ReportOptions, made, run_photo, run_report
from tools.station.sheet.sections import sections
from tools.station.sheet.words import ALL, LANGUAGES, Words

ROOT = Path(__file__).resolve().parents[2]
NOW_MS = BEGAN_MS + 5 * 3_600_000
DAY_MS = 86_400_000
EVIL = "<script>alert('x')</script>&\"{name}\x1b[31m\u202e"
EVIL_SEEN = "<script>alert('x')</script>&\"{name} [31m"


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(data.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def quantrac(*arguments: object) -> tuple[int, str, str]:
    """(status, stdout, stderr), in this process."""
    result = CliRunner().invoke(app, ["station", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def pdf_text(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)


def squeezed(text: str) -> str:
    """Without white space: a cell's lines follow each other."""
    return re.sub(r"\s+", "", text)


def keys(sheet: Sheet) -> list[str]:
    return [item.key for item in missing(sheet)]


@pytest.fixture(scope="module")
def sheets(tmp_path_factory) -> dict[str, Sheet]:
    folder = tmp_path_factory.mktemp("stations")
    return {
        "nt-01": read(wastewater(folder / "nt-01"), NOW_MS),
        "kk-02": read(ambient_air(folder / "kk-02"), NOW_MS),
    }


# ---- words


def test_every_text_is_there_in_both_languages_with_the_same_parts():
    for name, both in ALL.items():
        assert len(both) == 2 and all(text.strip() for text in both), name
        parts = [sorted({part for _, part, _, _ in string.Formatter().parse(text) if part}) for text in both]
        assert parts[0] == parts[1], name
    assert not set(texts.TEXTS) & set(texts_missing.MISSING)


def test_every_text_is_said_somewhere_and_every_word_that_is_said_is_a_text():
    files = sorted((ROOT / "tools/station/sheet").glob("*.py"))
    source = "".join(path.read_text() for path in files if not path.name.startswith("texts"))
    said = set(re.findall(r"""words\(\s*["'](\w+)["']""", source))
    said |= {f"missing_{key}" for key in re.findall(r'_item\("(\w+)"', source)}
    assert len(said) > 100 and said <= set(ALL)
    literals = set(re.findall(r"""["']([\w-]+)["']""", source))
    groups = set(re.findall(r"""f["'](\w+)_\{""", source))
    groups |= set(re.findall(r"""known\(["'](\w+)["']""", source))
    for name in set(ALL) - {"page"}:  # which the gateway's paper says
        assert name in literals or name.split("_")[0] in groups, name
    for kind in KINDS:
        assert f"record_{kind}" in ALL


# ---- what a sheet holds


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["nt-01", "kk-02"])
def test_html_and_pdf_hold_every_value_of_the_folder(sheets, name, language):
    sheet, words = sheets[name], Words(language)
    page, text = Page(html.render(sheet, language)), pdf_text(pdf.render(sheet, language))
    wanted = [words("title"), *[words(role) for role in ("technician", "facility", "inspector")]]
    for section in sections(sheet, words):
        wanted.append(section.title)
        for block in section.blocks:
            match block:
                case blocks.Facts(rows):
                    wanted += [said for row in rows for said in row]
                case blocks.Table():
                    wanted += [cell for row in block.rows for cell in row]
                    wanted += [column.heading for column in block.columns]
                case blocks.Points(lead, rows):
                    wanted += [lead, *rows]
                case blocks.Note(said):
                    wanted.append(said)
                case blocks.Pictures(found):
                    wanted += [said for one in found for said in (one.title, *one.lines)]
    assert len(wanted) > 200
    seen, printed = squeezed(page.text), squeezed(text)
    for said in wanted:
        assert squeezed(said) in seen, said
        assert squeezed(said) in printed, said
    # ... and of the folder's own files, not by way of the sections
    for record in sheet.records:
        for said in (BY, *re.findall(r"[0-9a-f]{64}", json.dumps(record))):
            assert squeezed(said) in seen and squeezed(said) in printed
    for one in sheet.instruments:
        for said in (
            one.profile.title,
            one.profile.name,
            one.profile.source,
            one.profile.mark,
            *one.channels,
        ):
            assert squeezed(said) in seen and squeezed(said) in printed
    for said in (sheet.config.sha256, sheet.update_key.sha256, sheet.seal, sheet.link_key):
        assert len(said) >= 16 and said in seen and said in printed
    assert page.tags.count("img") == len(sheet.all("photo")) == len(sheet.pictures)


def test_the_figures_are_those_of_the_records(sheets):
    text = pdf_text(pdf.render(sheets["nt-01"], "en"))
    for said in (
        "1.0187", "0.1123", "-0.0118 mg/l", "VMI-cod-0417", "valid until 2027-05-01", "≤ 74.25 mg/l",
        "Kq 0.9",
        "6 – 9 (window; QCVN 40:2011/BTNMT cột A)", "2026-03-25 09:30", "RPI_PICO2_W", "shunt 150 Ω",
        "uart1 tx=4 rx=5 de=6", "at most 24 a day", "no term set", "every 30 days",
    ):  # fmt: skip
        assert squeezed(said) in squeezed(text), said
    text = squeezed(pdf_text(pdf.render(sheets["kk-02"], "vi")))
    for said in ("CHƯA HIỆU CHUẨN", "KHÔNG ĐẠT", "4,2 (3)", "chưa gán", "0.1.9 (nạp", "thông số"):
        assert squeezed(said) in text, said


def test_the_pdf_is_for_signing(sheets):
    for language, of in (("vi", "Trang {}/{}"), ("en", "Page {} of {}")):
        pages = pypdf.PdfReader(io.BytesIO(pdf.render(sheets["nt-01"], language))).pages
        for number, page in enumerate(pages, 1):
            text = page.extract_text()
            assert of.format(number, len(pages)) in text and "nt-01" in text.splitlines()[0]
            assert (page.mediabox.width, page.mediabox.height) == pytest.approx((595.28, 841.89), abs=0.1)
        last = pages[-1].extract_text()
        assert Words(language)("inspector") in last and sheets["nt-01"].config.sha256 in last


def test_heads_are_repeated_on_every_page(tmp_path):
    folder = wastewater(tmp_path / "nt", ["flashed"])
    files = {f"firmware/part_{number:03}.mpy": digest(str(number)) for number in range(150)}
    folder.record("flashed", BY, port="x", board="b", micropython="1", firmware="f", image=None, files=files)
    pages = pypdf.PdfReader(io.BytesIO(pdf.render(read(folder, NOW_MS), "en"))).pages
    with_files = [page.extract_text() for page in pages if "firmware/part_" in page.extract_text()]
    assert len(with_files) >= 3
    assert all(re.search(r"^File\b", text, re.M) and "SHA-256" in text for text in with_files)
    assert sum(text.count("firmware/part_") for text in with_files) == 150


def test_the_page_needs_nothing_from_elsewhere(sheets):
    data = html.render(sheets["nt-01"], "vi")
    page = Page(data)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "href"]
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert b"url(" not in data and b"@import" not in data and b"://" not in data


def test_a_picture_is_small_and_without_what_the_camera_noted():
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "taken at the owner's house", 6
    out = io.BytesIO()
    Image.open(io.BytesIO(photo("x"))).save(out, "JPEG", exif=exif)
    small = pictures.small(out.getvalue())
    assert small and len(small) < 60_000 and b"owner" not in small and b"owner" in out.getvalue()
    image = Image.open(io.BytesIO(small))
    assert image.height == 480 > image.width  # turned as the camera was held
    assert pictures.small(photo("x", "PNG"))
    assert pictures.small(out.getvalue()) == small
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    for other in (b"", b"GIF89a", b"%PDF-1.4", photo("x")[:500], out.getvalue()[:-9000], bomb.getvalue()):
        found = pictures.small(other)
        assert found is None or Image.open(io.BytesIO(found)).format == "JPEG"
    assert pictures.small(bomb.getvalue()) is None and pictures.small(photo("x")[:500]) is None


# ---- what is missing


def forget(name: str):
    def damage(folder: Folder) -> None:
        (folder.path / name).unlink()

    return damage


def overwrite(name: str, content: bytes):
    def damage(folder: Folder) -> None:
        (folder.path / name).write_bytes(content)

    return damage


def change_site(**more: Any):
    def damage(folder: Folder) -> None:
        site = json.loads((folder.path / SITE).read_text())
        (folder.path / SITE).write_text(json.dumps({**site, **more}))

    return damage


def change(kind: str, where: dict[str, Any] | None = None, **more: Any):
    """Change a record of that kind, the first that holds `where`."""

    def damage(folder: Folder) -> None:
        lines = [json.loads(line) for line in (folder.path / RECORDS).read_text().splitlines()]
        one = next(line for line in lines if line["kind"] == kind and (where or {}).items() <= line.items())
        one.update(more)
        (folder.path / RECORDS).write_text("".join(json.dumps(line) + "\n" for line in lines))

    return damage


def add(kind: str, **facts: Any):
    def damage(folder: Folder) -> None:
        folder.record(kind, BY, **facts)

    return damage


def seal_left(folder: Folder) -> None:
    write(folder.path / DEVICE, {**WASTEWATER, "key": LINK_KEY, "seal_key": SEAL_KEY})


def torn(folder: Folder) -> None:
    with (folder.path / RECORDS).open("ab") as file:
        file.write(b'{"kind": "ph\n')


def photo_changed(folder: Folder) -> None:
    next((folder.path / "photos").iterdir()).write_bytes(photo("another"))


def found(address: int, **more: Any) -> dict[str, Any]:
    profiles = {1: "supmea-sup-ph8001", 2: "hach-codmax2", 3: "yosemitech-y560", 4: "generic-tss"}
    made = {"unit": address, "baud": 9600, "parity": "N", "stopbits": 1, "profile": profiles.get(address)}
    return made | {"how": "x", "hints": []} | more


ALL_FOUND = [found(address) for address in (1, 2, 3, 4)]
UPDATE = {"from": "0.2.0", "to": "0.3.0", "counter": 8, "sha256": "ab" * 32}
DRIFTED = {"zero": 0.1, "span": 9.0, "zero_max": 1.0, "span_max": 3.0, "ok": False}
OLD_STANDARD = [{"number": "A", "value": 1.0, "uncertainty": 0.1, "valid_until": "2026-03-24"}]
SAME_DAY = [{"number": "A", "value": 1.0, "uncertainty": 0.1, "valid_until": "2026-03-25"}]
COD = {"channel": "cod"}
OTHER = found(4, profile="keller-series30")
DOOR_FAILED = [{"name": "door", "ok": False, "said": ""}]
NO_COLUMN = b"""[[channel]]
symbol = "COD"
unit = "mg/l"
source = { device = "nt-01", quantity = "cod" }
limits = { rule = "QCVN 40:2011" }
"""
CASES = {
    "nothing": ((), None, []),
    "no scan": (["scanned"], None, ["scan"]),
    "an instrument was silent": ((), change("scanned", units=ALL_FOUND[:3]), ["silent"]),
    "other settings": ((), change("scanned", units=[*ALL_FOUND[:3], found(4, parity="E")]), ["settings"]),
    "another profile": ((), change("scanned", units=[*ALL_FOUND[:3], OTHER]), ["profile"]),
    "no profile fits": ((), change("scanned", units=[*ALL_FOUND[:3], found(4, profile=None)]), []),
    "a stranger": ((), change("scanned", units=[*ALL_FOUND, found(9)]), ["strangers"]),
    "not flashed": (["flashed"], None, ["flash"]),
    "not tested": (["tested"], None, ["test"]),
    "not tested since": ((), add("flashed", board="b", files={}), ["test", "backup"]),
    "failed": ((), change("tested", inputs=DOOR_FAILED), ["test_failed", "test_open"]),
    "no calibration of two": (["calibration of cod", "calibration of flow"], None, ["never"]),
    "overdue": ((), change("calibrated", COD, calibrated_ms=NOW_MS - 31 * DAY_MS), ["overdue"]),
    "not overdue": ((), change("calibrated", COD, calibrated_ms=NOW_MS - 29 * DAY_MS), []),
    "drift": ((), change("calibrated", COD, drift=DRIFTED), ["drift"]),
    "a standard had expired": ((), change("calibrated", COD, standards=OLD_STANDARD), ["expired"]),
    "its last day": ((), change("calibrated", COD, standards=SAME_DAY), []),
    "an update waits": ((), add("updated", **UPDATE, confirmed=None), ["update", "backup"]),
    "it went back": ((), add("updated", **UPDATE, confirmed=False, why="lost"), ["update_back", "backup"]),
    "it was kept": ((), add("updated", **UPDATE, confirmed=True), ["backup"]),
    "no backup": (["backed-up"], None, ["backup"]),
    "no photo": (["photo"], None, ["photo"]),
    "a certificate is gone": (["certificate"], None, ["file_missing"]),
    "a photo was changed": ((), photo_changed, ["file_changed"]),
    "a photo elsewhere": ((), change("photo", file="../../etc/passwd"), ["file_outside"]),
    "a backup elsewhere": ((), change("backed-up", file="/media/usb/nt-01.zip"), []),
    "the seal key is here": ((), seal_left, ["seal_key"]),
    "no seal": ((), change("new", seal=None), ["seal"]),
    "no key for updates": (["update key"], None, ["update_key"]),
    "no link key": ((), forget(KEY), ["link_key"]),
    "no gateway": (["gateway"], None, ["gateway"]),
    "a broken gateway": ((), overwrite("gateway.toml", b"[[channel"), ["faults", "gateway"]),
    "a rule that is wrong": (
        (),
        overwrite("gateway.toml", NO_COLUMN),
        ["faults", "targets"],
    ),
    "no configuration": ((), forget(f"{DEVICE}/station.json"), ["config"]),
    "another configuration": ((), change_site(inputs=WASTEWATER["inputs"][1:]), ["config_differs"]),
    "a broken site": ((), change_site(buses=[]), ["faults", "faults"]),
    "a damaged record": ((), torn, ["records"]),
}  # fmt: skip


def test_lines_that_cannot_be_read_are_told_and_settled_by_a_test(tmp_path):
    folder = wastewater(tmp_path / "nt-01")
    torn(folder)
    sheet = read(folder, NOW_MS)
    assert sheet.unreadable == (1, 1) and keys(sheet) == ["records"]
    change_test = next(one for one in sheet.records if one["kind"] == "tested")
    folder.record("tested", BY, **{key: change_test[key] for key in ("inputs", "outputs", "channels", "ok")})
    sheet = read(folder, NOW_MS)
    assert sheet.unreadable == (1, 0) and keys(sheet) == []
    assert "that cannot be read, and are not here: 1." in Page(html.render(sheet, "en")).text


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_found(tmp_path, case):
    without, damage, wanted = CASES[case]
    folder = wastewater(tmp_path / "nt-01", without)
    if damage:
        damage(folder)
    sheet = read(folder, NOW_MS)
    items = missing(sheet)
    if case == "a broken site":
        assert "faults" in keys(sheet)
    else:
        assert [item.key for item in items] == wanted
    for language in LANGUAGES:  # each can be said
        words = Words(language)
        for item in items:
            assert "{" not in words(f"missing_{item.key}", **item.parts)


def test_a_map_that_no_maker_vouches_for_is_compared_with_a_display_or_a_standard(tmp_path):
    channels = [{"name": name, "ok": None, "said": ""} for name in ("ph", "temperature", "cod", "nh4", "tss")]
    without = ["calibration of nh4", "calibration of ph"]
    folder = wastewater(tmp_path / "nt-01", without)
    change("tested", channels=channels)(folder)
    change("calibrated", {"channel": "tss"}, slope=1000.0)(folder)  # grams for milligrams: another register?
    told = [item for item in missing(read(folder, NOW_MS)) if item.key == "compare"]
    assert [(item.parts["address"], item.parts["mark"], item.parts["names"]) for item in told] == [
        ("3", "CODE", "nh4"),  # of cod a standard has shown it; pH has its maker's word
        ("4", "GENERIC", "tss"),
    ]


@pytest.mark.parametrize("display", [True, False, None, "yes"])
def test_a_plausible_value_is_no_comparison_with_a_display(tmp_path, display):
    """The channel passed test-io; without somebody's word on the display the point stays."""
    without = ["calibration of nh4", "calibration of tss"]
    folder = wastewater(tmp_path / "nt-01", without)
    (test,) = folder.records("tested")
    rows = [{**row, "ok": True, "display": display} for row in test["channels"]]
    change("tested", channels=rows)(folder)
    told = [item.parts["names"] for item in missing(read(folder, NOW_MS)) if item.key == "compare"]
    assert told == ([] if display is True else ["nh4", "tss"])
    change("tested", channels=[{"name": row["name"], "ok": True, "said": ""} for row in rows])(folder)
    told = [item.parts["names"] for item in missing(read(folder, NOW_MS)) if item.key == "compare"]
    assert told == ["nh4", "tss"]  # a record of before the question


def test_one_point_is_one(tmp_path):
    sheet = read(wastewater(tmp_path / "nt-01", ["photo"]), NOW_MS)
    assert "1 point to settle before" in Page(html.render(sheet, "en")).text
    status, out, _ = quantrac("report", "--dir", tmp_path / "nt-01", "--out", tmp_path, "--lang", "en")
    assert status == 0 and re.search(r"\b1 point to|[2-9] points to", out)


def test_which_package_runs_and_what_the_flashed_one_is(tmp_path):
    folder = wastewater(tmp_path / "nt-01")

    def text() -> str:
        return Page(html.render(read(folder, NOW_MS), "en")).text

    assert "fall-back" not in text() and "The package that runs" not in text()
    folder.record("updated", BY, **{**UPDATE, "sha256": "cd" * 32}, confirmed=None)
    assert "fall-back" not in text()
    folder.record("updated", BY, **{**UPDATE, "sha256": "cd" * 32}, confirmed=True)
    assert "a.pkg (as flashed, now the fall-back)" in text()
    assert "0.3.0, updated" in text() and "not the one in the table below" in text()
    folder.record("updated", BY, **UPDATE, confirmed=False, why="lost")  # it went where the fall-back was
    assert "a.pkg (as flashed, replaced since)" in text() and "quantrac 0." not in text()
    folder.record("flashed", BY, board="b", firmware="0.4.0", files={"a.pkg": "ef" * 32})
    assert "a.pkg (" not in text() and "The package that runs" not in text()


def test_no_number_is_broken_and_none_is_the_arithmetics_own(tmp_path):
    folder = wastewater(tmp_path / "nt-01")
    change("calibrated", COD, residuals=[-3.4e-08, 6.7e-07, -0.01234], offset=-1e-12)(folder)
    folder.record("updated", BY, **{**UPDATE, "counter": 1796069963}, confirmed=True)
    text = pdf_text(pdf.render(read(folder, NOW_MS), "en"))
    assert "1796069963" in text and "-0.0123 mg/l" in text
    assert not re.search(r"e-\d\d mg/l|e-12|-0 ", text)


def test_the_drawing_stands_on_one_page(sheets, monkeypatch):
    """Pushed down by what the device said; the gateway's box says the gateway's own port."""
    units = tuple(("rs485", str(at), "10", "0", "0", "0", "5", "0") for at in range(1, 5))
    sheet = sheets["nt-01"]._replace(live=Live("port", units=units))

    def drawing() -> list[str]:
        pages = pypdf.PdfReader(io.BytesIO(pdf.render(sheet, "en"))).pages
        return [page.extract_text() for page in pages if "Station device\n" in page.extract_text()]

    (page,) = drawing()
    assert "Instruments are drawn in the order" in page and "output: sampler" in page
    assert "Gateway\nserial:/dev/serial/by-id/usb-Quantrac" in page
    monkeypatch.setattr(pdf, "DRAWING_MAX", 0.0)
    (page,) = drawing()
    assert "Instruments are drawn in the order" not in page  # the control: it would go on overleaf


def test_what_the_device_says_is_held_against_the_folder(sheets):
    sheet = sheets["nt-01"]
    numbers = {name: (at, 2) for at, name in enumerate([c.name for c in sheet.channels], 1)}
    units = tuple(("rs485", str(at), "1017", "13", "2", "4", "56", "0") for at in range(1, 5))
    good = Live(
        "port", id="nt-01", config=sheet.config.sha256[:16], boot=3, calibrations=numbers, units=units
    )
    cases = {
        (): good,
        ("no_answer",): Live("port", "nothing came: check the cable"),
        ("live_id",): good._replace(id="nt-02"),
        ("live_config",): good._replace(config="00" * 8),
        ("live_safe",): good._replace(safe="memory_records: write a whole number"),
        ("live_trial",): good._replace(trial="0.3.0"),
        ("live_calibration",): good._replace(calibrations=numbers | {"cod": (99, 2)}),
        ("live_lost",): good._replace(units=(*units[:3], ("rs485", "4", "0", "10", "1"))),
    }
    for wanted, live in cases.items():
        asked_sheet = sheet._replace(live=live)
        assert keys(asked_sheet) == list(wanted)
        for language in LANGUAGES:
            (section,) = [one for one in sections(asked_sheet, Words(language)) if one.name == "live"]
            assert section.blocks
        assert html.render(asked_sheet, "vi")
    inputs = (("door", "1"), ("mains", "0"), ("siren", "1"), ("bottle", "None"))
    for language, said in (
        ("en", "door: open, mains: lost, siren: on, bottle: None"),
        ("vi", "door: mở, mains: mất điện, siren: bật"),
    ):
        shown = sheet._replace(live=good._replace(inputs=inputs, firmware="quantrac 0.2.0"))
        text = Page(html.render(shown, language)).text
        assert said in text and "quantrac 0.2.0" not in text
        page = squeezed(pdf_text(pdf.render(shown, language)))
        counted = ("Requests", "Timeouts", "Bad replies", "Exceptions", "Last answer took (ms)")
        assert language == "vi" or all(squeezed(name) in page for name in counted)
        assert "1017132456" in page  # the counters, each in its column


# ---- what it never shows


def outputs(folder: Folder, out: Path, *more: object) -> list[bytes]:
    """Everything that comes out: files as they are, texts of the PDFs, both ways of speaking."""
    said = []
    for how in ([], ["--json"]):
        status, text, errors = quantrac("report", "--dir", folder.path, "--out", out, *how, *more)
        assert status == 0, errors
        said.append((text + errors).encode())
    for path in out.iterdir():
        said.append(path.read_bytes())
        if path.suffix == ".pdf":
            reader = pypdf.PdfReader(path)
            said += [squeezed(pdf_text(path.read_bytes())).encode(), repr(reader.metadata).encode()]
    return said


def with_keys_everywhere(tmp_path: Path) -> Folder:
    """A technician typed keys where none belong, and the device's files are still here."""
    folder = wastewater(tmp_path / "nt-01")
    seal_left(folder)
    site = json.loads((folder.path / SITE).read_text())
    network = {"ssid": "plant", "password": "correct horse battery"}
    (folder.path / SITE).write_text(json.dumps(site | {"seal_key": SEAL_KEY, "network": network}))
    for key in (LINK_KEY, SEAL_KEY.upper()):
        run_photo([ROOT / "README.md"], folder, f"the key {key}", f"An {key}")
        folder.record("tested", f"{key} An", inputs=[{"name": key, "ok": True, "said": f"x{key}x"}], ok=True)
        folder.record("scanned", "An", port=key, units=[], hints=[key, "correct horse battery"])
        folder.record(
            "flashed", "An", port="x" * 290 + key, board=key, firmware=" ".join(seal_paper.lines(key))
        )
    return folder


def leaks(said: list[bytes]) -> set[str]:
    """Which of the secrets are in there, a quarter of a key being one."""
    pieces = {key[at : at + 16]: key for key in (LINK_KEY, SEAL_KEY) for at in range(0, 64, 16)}
    secrets = pieces | {"correcthorsebattery": "password"}
    return {
        named
        for secret, named in secrets.items()
        if any(secret.encode() in re.sub(rb"\s", b"", text.lower()) for text in said)
    }


def test_no_key_is_in_anything_that_comes_out(tmp_path):
    folder = with_keys_everywhere(tmp_path)
    said = outputs(folder, tmp_path / "out")
    assert leaks(said) == set()
    assert any("•••".encode() in text for text in said)
    assert any(read(folder, NOW_MS).link_key.encode() in text for text in said)


def test_a_station_that_is_called_like_its_key_is_not(tmp_path):
    folder = wastewater(tmp_path / "nt-01")
    change_site(id=LINK_KEY, key="ab", seal_key=7)(folder)
    assert leaks(outputs(folder, tmp_path / "out")) == set()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"commissioning-____________.en.pdf"}
    assert "ab" not in read(folder, NOW_MS).secrets


def test_control_without_the_rule_the_keys_are_found(tmp_path, monkeypatch):
    folder = with_keys_everywhere(tmp_path)
    monkeypatch.setattr(blocks, "without", lambda text, secrets: text)
    assert leaks(outputs(folder, tmp_path / "out")) == {LINK_KEY, SEAL_KEY, "password"}


# ---- hostile and damaged folders


def evil(tmp_path: Path) -> Folder:
    """Every text that a record may hold is somebody's attempt."""
    folder = wastewater(tmp_path / "nt-01")
    for kind, fields in KINDS.items():
        facts: dict[str, Any] = {name: EVIL for name in re.findall(r"\b([a-z_0-9]+)\b", fields)}
        facts["units"] = [{"unit": EVIL, "baud": EVIL, "profile": EVIL, "how": EVIL, "hints": [EVIL, EVIL]}]
        facts["inputs"] = facts["channels"] = [{"name": EVIL, "ok": EVIL, "said": EVIL}]
        facts["files"], facts["standards"] = {EVIL: EVIL}, [{"number": EVIL, "valid_until": EVIL}, EVIL]
        facts["points"], facts["drift"] = [[0, 1], [EVIL, 2], EVIL], {"zero": EVIL, "ok": EVIL}
        folder.record(
            kind, EVIL, **{name: value for name, value in facts.items() if name not in ("kind", "by")}
        )
        folder.record("calibrated", EVIL, channel="cod", unit=EVIL, points=[[0, 1]], certificate=EVIL)
    (folder.path / "gateway.toml").write_text(
        "[[channel]]\n"
        + f"symbol = {json.dumps(EVIL)}\nunit = {json.dumps(EVIL)}\n"
        + 'source = { device = "nt-01", quantity = "cod" }\n'
        + f"limits = {{ max = 1.0, basis = {json.dumps('<script>')} }}\n"
    )
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_others_are_text(tmp_path, language):
    sheet = read(evil(tmp_path), NOW_MS)
    page = Page(html.render(sheet, language))
    assert "script" not in page.tags and page.text.count(EVIL_SEEN) > 20
    assert "\x1b" not in page.text and "\u202e" not in page.text
    text = squeezed(pdf_text(pdf.render(sheet, language)))
    assert text.count(squeezed(EVIL_SEEN)) > 20


def test_control_an_unescaped_page_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "escape", lambda text, quote=True: text)
    assert "script" in Page(html.render(read(evil(tmp_path), NOW_MS), "vi")).tags


@pytest.fixture(scope="module")
def wrap():
    return wrapping(Words("vi"))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 2000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "unit", "ok", "zero", "number", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = sorted({name for text in KINDS.values() for name in re.findall(r"\b([a-z_0-9]+)\b", text)})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(
        st.tuples(
            st.sampled_from(sorted(KINDS)),
            st.dictionaries(st.sampled_from([*FIELDS, "at_ms", "by"]), JUNK, max_size=8),
        ),
        max_size=4,
    )
)
def test_whatever_stands_in_a_record_gives_a_sheet(sheets, records):
    of = sheets["nt-01"]
    made = tuple({"at_ms": 0, "by": "", **facts, "kind": kind} for kind, facts in records)
    sheet = of._replace(records=(*of.records, *made))
    for language in LANGUAGES:
        assert sections(sheet, Words(language))
    assert missing(sheet) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(sorted(WASTEWATER)),
    value=JUNK,
    inside=st.sampled_from(["", "bus", "unit", "profile", "pin"]),
)
def test_whatever_stands_in_a_site_gives_a_sheet(tmp_path_factory, wrap, key, value, inside):
    folder = tmp_path_factory.mktemp("site")
    given = WASTEWATER[key]
    if inside and isinstance(given, list):
        value = [{**given[0], inside: value}, *given[1:]]
    (folder / SITE).write_text(json.dumps({**WASTEWATER, key: value}))
    sheet = read(Folder.at(folder), NOW_MS)
    assert sections(sheet, Words("vi")) and "link_key" in keys(sheet)
    drawn(sheet, Words("vi"), wrap, 182, 4)


def test_damaged_files_still_give_whole_sheets(tmp_path):
    for number, (name, content) in enumerate([
        (SITE, b"\xff{"), (SITE, b"[]"), (RECORDS, b"\xff\xfe\n[1]\n" + b"[" * 5000),
        ("gateway.toml", b"\xff"),
        (f"{DEVICE}/station.json", b"{"), (KEY, b"x"), (f"{DEVICE}/seal.key", b"\xff" * 2000),
    ]):  # fmt: skip
        folder = wastewater(tmp_path / str(number))
        (folder.path / name).write_bytes(content)
        sheet = read(folder, NOW_MS)
        language = LANGUAGES[number % 2]
        assert Page(html.render(sheet, language)).text and pdf_text(pdf.render(sheet, language))
        assert keys(sheet), name
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / SITE).write_text("{}")
    status, out, _ = quantrac("report", "--dir", bare)
    assert status == 0 and (bare / "commissioning-station.vi.pdf").exists() and "link.key" in out


# ---- how it looks


LONG = "tram-quan-trac-nuoc-thai-cong-ng"  # as long as a name may be


def crowded(tmp_path: Path) -> Folder:
    """As much as a station can have, and long texts without spaces."""
    site = json.loads(json.dumps(WASTEWATER)) | {"id": LONG}
    unit = site["units"][3]
    site["units"] = [
        unit | {"unit": at, "poll_ms": 60000, "rename": {"tss": f"{LONG[:28]}-{at:02}"}}
        for at in range(1, 15)
    ]
    site["inputs"] = [
        {"id": f"{LONG[:28]}-{at:02}", "kind": "other", "pin": at + 7} for at in range(8)
    ]  # fmt: skip
    site["outputs"], site["alarms"] = [], []
    made = Afternoon(tmp_path / "long", site)
    made.record("new", id=LONG, seal="ab" * 8)
    made.scan("/dev/serial/by-id/" + "usb-FTDI_USB-RS485_Cable_" * 4, {1: ["W" * 400, "word order " * 30]})
    for channel in made.channels:
        made.record(
            "calibrated", channel=channel, unit="mg/l", number=123456, points=[[1.23456e-9, 9.87654e12]] * 5,
            slope=1.23456e-9, offset=-9.87654e12, residuals=[1e-9] * 5,
            drift={"zero": -1.23456e-9, "ok": False},
            standards=["N" * 200, {"number": "x" * 90}], certificate="certificates/" + "c" * 180,
        )  # fmt: skip
    for number in range(7):
        made.photo("Ảnh chụp " * 20 + str(number))
    made.record("tested", channels=[{"name": LONG, "ok": None, "said": "S" * 900}], ok=False)
    return made.folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_leaves_the_paper_or_lies_on_something_else(tmp_path, language):
    """Each text has its place to itself, by the widths of the font."""
    sheet = read(crowded(tmp_path), NOW_MS)
    drawn_texts: list[tuple[int, float, float, float, float, str]] = []
    real = pdf.Paper.text

    def watched(self, x, y, text=""):
        length = self.get_string_width(text)
        drawn_texts.append((self.page, x, y, x + length, self.font_size, text))
        return real(self, x, y, text)

    pdf.Paper.text = watched
    try:
        data = pdf.render(sheet, language)
    finally:
        pdf.Paper.text = real
    assert len(pypdf.PdfReader(io.BytesIO(data)).pages) < 40 and len(drawn_texts) > 500
    for page, x, y, right, size, text in drawn_texts:
        assert x >= 13.9 and right <= 196.3 and 10 < y < 284, text
        for other_page, ox, oy, oright, osize, other in drawn_texts:
            if page == other_page and (x, y) != (ox, oy) and abs(y - oy) < min(size, osize) * 0.75:
                assert right <= ox + 0.2 or oright <= x + 0.2, (text, other)


def test_a_diagram_keeps_its_texts_in_their_boxes(tmp_path):
    words = Words("vi")
    sheet = read(crowded(tmp_path), NOW_MS)
    wrap = wrapping(words)
    ruler = pdf.Paper(words, "")
    for width, columns in ((182.0, 4), (92.0, 2)):
        bands = drawn(sheet, words, wrap, width, columns)
        said = [shape.text for band in bands for shape in band.shapes if isinstance(shape, Text)]
        assert [text for text in said if text.startswith("Địa chỉ")] == [
            f"Địa chỉ {at}" for at in range(1, 15)
        ]
        for band in bands:
            boxes = [shape for shape in band.shapes if isinstance(shape, Box)]
            for text in (shape for shape in band.shapes if isinstance(shape, Text)):
                ruler.set_font("Roboto", "B" if text.bold else "", text.points)
                right = text.x + ruler.get_string_width(text.text)
                assert right <= width and 0 < text.y <= band.height
                inside = [box for box in boxes if box.x <= text.x < box.x + box.width and text.y > box.y]
                assert all(right <= box.x + box.width for box in inside)
            for line in (shape for shape in band.shapes if isinstance(shape, Stroke)):
                assert min(line.x1, line.x2) >= 0 and max(line.x1, line.x2) <= width
                assert min(line.y1, line.y2) >= 0 and max(line.y1, line.y2) <= band.height + 0.01


# ---- the same folder, the same bytes


def test_the_same_folder_gives_the_same_bytes_in_every_time_zone(tmp_path):
    wastewater(tmp_path / "nt-01")
    found = []
    for zone, out in (("UTC", "a"), ("America/St_Johns", "b")):
        environment = {
            **os.environ,
            "TZ": zone,
            "SOURCE_DATE_EPOCH": str(NOW_MS // 1000),
            "PYTHONHASHSEED": (out == "a" and "1") or "2",
        }
        subprocess.run(
            [sys.executable, "-m", "tools.cli", "station", "report", "--dir", tmp_path / "nt-01",
             "--out", tmp_path / out],
            check=True, capture_output=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        found.append({path.name: path.read_bytes() for path in sorted((tmp_path / out).iterdir())})
    assert found[0] == found[1] and len(found[0]) == 4
    assert all(b"14:00" in data for name, data in found[0].items() if name.endswith("html"))


# ---- the verbs


def test_the_verb_writes_both_languages_and_says_what_is_missing(tmp_path):
    folder = ambient_air(tmp_path / "kk-02")
    status, out, errors = quantrac("report", "--dir", folder.path)
    assert status == 0 and not errors
    names = {f"commissioning-kk-02.{language}.{kind}" for language in LANGUAGES for kind in ("html", "pdf")}
    assert names <= {path.name for path in folder.path.iterdir()}
    assert "Never calibrated: pm25, no2-ref, no-ref." in out
    lines = [line for line in out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    status, out, _ = quantrac(
        "report", "--dir", folder.path, "--lang", "vi", "--out", tmp_path / "new" / "out"
    )
    assert status == 0 and "Chưa hiệu chuẩn: pm25" in out
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {
        "commissioning-kk-02.html", "commissioning-kk-02.pdf",
    }  # fmt: skip
    status, out, _ = quantrac("report", "--dir", folder.path, "--check", "--json", "--lang", "en")
    told = json.loads(out)
    assert status == 1 and told["id"] == "kk-02" and len(told["files"]) == 2 and told["answered"] is None
    assert {one["key"] for one in told["missing"]} >= {"never", "drift", "update", "backup", "test_failed"}
    assert all(one["vi"] and one["en"] for one in told["missing"])


def test_check_holds_for_a_finished_station(tmp_path, monkeypatch):
    folder = wastewater(tmp_path / "nt-01")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW_MS // 1000))
    status, out, _ = quantrac("report", "--dir", folder.path, "--check", "--lang", "vi")
    assert status == 0 and "Không còn việc nào thiếu" in out
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW_MS // 1000 + 91 * 86400))
    assert quantrac("report", "--dir", folder.path, "--check")[0] == 1  # calibrations are due by then


def test_used_wrongly_is_a_sentence(tmp_path, monkeypatch):
    folder = wastewater(tmp_path / "nt-01")
    for arguments, sentence in (
        (["report", "--dir", tmp_path], "no station's folder"),
        (["report", "--dir", folder.path, "--lang", "fr"], "write vi, en or both"),
        (
            ["photo", tmp_path / "none.jpg", "--dir", folder.path, "--what", "x", "--by", "An"],
            "name a photograph",
        ),
        (["photo", folder.path, "--dir", folder.path, "--what", "x", "--by", "An"], "name a photograph"),
        (["photo", folder.path / SITE, "--dir", folder.path, "--what", " ", "--by", "An"], "Say what"),
        (
            ["photo", folder.path / SITE, "--dir", tmp_path, "--what", "x", "--by", "An"],
            "no station's folder",
        ),
    ):
        status, _, errors = quantrac(*arguments)
        assert status == 2 and sentence in errors and "Traceback" not in errors
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    status, _, errors = quantrac("report", "--dir", folder.path)
    assert status == 2 and "Unix seconds" in errors
    (folder.path / "blocked").write_text("")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    status, _, errors = quantrac("report", "--dir", folder.path, "--out", folder.path / "blocked")
    assert status == 1 and "blocked" in errors


def test_photographs_are_kept_under_their_hash(tmp_path):
    folder = wastewater(tmp_path / "nt-01", ["photo"])
    first, second = tmp_path / "Ảnh 1.JPEG", tmp_path / "note.a b"
    first.write_bytes(photo("first"))
    second.write_bytes(b"no picture at all")
    status, out, _ = quantrac(
        "photo", first, second, "--dir", folder.path, "--what", " tủ điện, mở ", "--by", "Lê Thị Bình"
    )
    assert status == 0 and digest(first.read_bytes()) in out
    made = folder.records("photo")
    assert [(one["file"], one["what"], one["by"]) for one in made] == [
        (f"photos/{digest(first.read_bytes())}.jpeg", "tủ điện, mở", "Lê Thị Bình"),
        (f"photos/{digest(second.read_bytes())}", "tủ điện, mở", "Lê Thị Bình"),
    ]
    for one, path in zip(made, (first, second), strict=True):
        assert (folder.path / one["file"]).read_bytes() == path.read_bytes() and one["sha256"] in one["file"]
    sheet = read(folder, NOW_MS)
    assert keys(sheet) == [] and list(sheet.pictures) == [made[0]["file"]]
    page = Page(html.render(sheet, "vi"))
    assert "tủ điện, mở" in page.text and "(không hiển thị được)" in page.text
    assert quantrac("photo", first, "--dir", folder.path, "--what", "again", "--by", "An")[0] == 0
    assert len(list((folder.path / "photos").iterdir())) == 2


def test_a_photograph_that_cannot_be_read_keeps_none(tmp_path):
    folder = wastewater(tmp_path / "nt-01", ["photo"])
    good, empty = tmp_path / "a.jpg", tmp_path / "b.jpg"
    good.write_bytes(photo("a"))
    empty.write_bytes(b"")
    assert quantrac("photo", good, empty, "--dir", folder.path, "--what", "x", "--by", "An")[0] == 1
    with pytest.raises(UsageError):
        run_photo([good, tmp_path / "none"], folder, "x", "An")
    assert folder.records("photo") == [] and not list((folder.path / "photos").iterdir())


def test_the_examples_of_the_help_run(tmp_path, monkeypatch):
    wastewater(tmp_path / "st-01", ["photo"])
    (tmp_path / "cabinet.jpg").write_bytes(photo("cabinet"))
    monkeypatch.chdir(tmp_path)
    assert (
        quantrac("photo", "cabinet.jpg", "--dir", "st-01", "--what", "cabinet, open", "--by", "N. V. An")[0]
        == 0
    )
    assert quantrac("report", "--dir", "st-01", "--lang", "both")[0] == 0


# ---- the device itself


def test_the_device_says_what_it_runs(tmp_path):
    """The real firmware on a real MicroPython, asked over a pty; an instrument answers on its line."""
    site = {
        "id": "nt-01",
        "link": {"kind": "serial", "path": str(tmp_path / "link"), "baud": 115200},
        "buses": [{"id": "rs485", "kind": "rtu", "path": str(tmp_path / "bus")}],
        "units": [rig_unit(2, "generic-tss", 1000, "tss")],
    }  # fmt: skip
    made_here = Afternoon(tmp_path / "nt-01", site)

    async def main():
        async with serial_server(tmp_path, {2: [0, 0, 0x41C8, 0, 0, 0, 0, 0]}):
            cable = await PtyPair(tmp_path / "link", tmp_path / "port").start()
            device = await StationProcess(made_here.path / DEVICE).start()
            try:
                options = ReportOptions(made_here.path, str(tmp_path / "port"), lang="en")
                return await asyncio.to_thread(made, options, made_here.folder, NOW_MS)
            finally:
                await device.kill()
                await cable.stop()

    sheet = asyncio.run(main())
    live = sheet.live
    assert live and not live.problem, live
    assert (live.id, live.board, live.safe) == ("nt-01", "unix", "")
    assert sheet.config.sha256.startswith(live.config) and live.boot and live.units[0][:2] == ("rs485", "2")
    assert not [key for key in keys(sheet) if key.startswith(("live", "no_answer"))]
    text = squeezed(pdf_text(pdf.render(sheet, "en")))
    for said in (f"{live.config}, that of station.json", "Bus statistics", "Last answer took (ms)"):
        assert squeezed(said) in text


def test_a_device_that_does_not_answer_stops_no_sheet(tmp_path, monkeypatch, capsys):
    folder = wastewater(tmp_path / "nt-01")

    async def main():
        cable = await PtyPair(tmp_path / "a", tmp_path / "b").start()
        live = await asyncio.to_thread(asked, Access(str(tmp_path / "b"), folder.path), 0.2)
        await cable.stop()
        return live

    live = asyncio.run(main())
    assert "nothing came" in live.problem
    monkeypatch.setattr("tools.station.sheet.live.asked", lambda access: live)
    assert run_report(ReportOptions(folder.path, "port", lang="vi"), NOW_MS) == 1
    said = capsys.readouterr()
    assert "nothing came" in said.err and "không trả lời" in said.out
    assert (folder.path / "commissioning-nt-01.pdf").stat().st_size > 10_000
    monkeypatch.undo()
    status, _, errors = quantrac("report", "--dir", folder.path, "--port", tmp_path / "gone", "--lang", "en")
    assert status == 1 and "gone" in errors
    status, _, errors = quantrac("report", "--dir", folder.path, "--port", "tcp://nowhere")
    assert status == 2 and "tcp://host:port" in errors
