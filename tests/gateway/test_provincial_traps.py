"""Provincial files against what the format page warns of: statuses, symbols, units, names, layouts."""

from __future__ import annotations

import asyncio
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.check import check
from gateway.config import ConfigFaults, load
from gateway.documents import documents
from gateway.forward.directory import DirectoryDestination
from gateway.forward.files import temporary_name
from gateway.forward.port import Document
from gateway.reports import layout, provincial
from gateway.reports.layout import stamp_ms
from protocol import quality
from tests.gateway.configured import channel, configured
from tests.gateway.receiver import Receiver
from tests.gateway.test_provincial import T0, window

LOCAL = '[[destination]]\nid = "local"\nkind = "directory"\npath = "sent"\nlayout = "{}"\n'
QUALITY = {"00": quality.OK, "01": quality.CALIBRATING, "02": quality.FAULT}

# Bảng 34 of the regulation, and what is used in the field besides: as the format page has them.
TABLE_34 = (
    "Flow", "Temp", "Color", "pH", "TSS", "COD", "NH4", "TP", "TN", "TOC", "Cl", "RH", "P", "NO", "NO2", "CO",
    "SO2", "O2", "H2S", "NH3", "VHg", "PM", "O3", "PM10", "PM2,5",
)  # fmt: skip
FIELD = (
    "Amoni", "Flowin", "Flow_Out", "PM2.5", "COND", "TURB", "DO", "NO3-N", "WindDir", "Nhiệtđộ", "Ápsuất",
)  # fmt: skip
UNITS = ("mg/l", "m3/h", "oC", "mg/Nm3", "µg/Nm3", "%V", "Pt-Co", "%", "kPa", "độ", "")


# Every status, with a unit, without, with a placeholder -----------------------------------------------------

STATUS_LINES = {
    ("00", "mg/l", ""): b"COD\t16.2482\tmg/l\t20260325000000\t00\r\n",
    ("01", "mg/l", ""): b"COD\t16.2482\tmg/l\t20260325000000\t01\r\n",
    ("02", "mg/l", ""): b"COD\t16.2482\tmg/l\t20260325000000\t02\r\n",
    ("00", "", ""): b"COD\t16.2482\t\t20260325000000\t00\r\n",
    ("01", "", ""): b"COD\t16.2482\t\t20260325000000\t01\r\n",
    ("02", "", ""): b"COD\t16.2482\t\t20260325000000\t02\r\n",
    ("00", "", "-"): b"COD\t16.2482\t-\t20260325000000\t00\r\n",
    ("01", "", "-"): b"COD\t16.2482\t-\t20260325000000\t01\r\n",
    ("02", "", "-"): b"COD\t16.2482\t-\t20260325000000\t02\r\n",
    ("02", "mg/l", "-"): b"COD\t16.2482\tmg/l\t20260325000000\t02\r\n",  # only where there is none
}


@pytest.mark.parametrize(("case", "data"), STATUS_LINES.items(), ids=["-".join(c) for c in STATUS_LINES])
def test_a_line_of_every_status_and_unit_byte_for_byte(tmp_path, case, data):
    status, unit, none = case
    config = configured(tmp_path, channel("COD", unit, 4, f'unit_when_none = "{none}"'), LOCAL.format("date"))
    (draft,) = documents(config, [window("COD", 16.2482, QUALITY[status], unit)])
    assert draft.body == data
    ((symbol, stored),) = Receiver("NUO001", {"COD"}).read(data)
    known_trap = status == "02" and not unit and not none
    assert (symbol, stored.stamp) == ("COD", "20260325000000")
    assert stored.error == (status == "02" and not known_trap)
    warned = any("has no unit" in warning.what for warning in check(config.path)[1])
    assert warned == (not unit and not none), "whoever can fall into the trap is told"


def test_one_file_with_all_of_it_byte_for_byte(tmp_path):
    channels = (
        channel("Nhiệtđộ", "oC", 1) + channel("PM2,5", "µg/Nm3", 0) + channel("Flow_Out", "m3/h", 4)
        + channel("pH", "", 2, 'unit_when_none = "-"') + channel("NO3-N", "mg/l", 3) + channel("TSS", "mg/l")
    )  # fmt: skip
    config = configured(tmp_path, channels, LOCAL.format("default"))
    windows = [
        window("TSS", None, quality.NO_DATA, last=None),  # never had a number: no line
        window("NO3-N", 0.0004, quality.TIMEOUT),
        window("pH", 7.005, quality.CALIBRATING, ""),
        window("Flow_Out", 123456.78901, quality.OK, "m3/h"),
        window("PM2,5", 49.5, quality.OK, "µg/Nm3"),
        window("Nhiệtđộ", -0.04, quality.OK, "oC"),
    ]
    (draft,) = documents(config, windows)
    assert (
        draft.body
        == (
            "Nhiệtđộ\t0.0\toC\t20260325000000\t00\r\n"
            "PM2,5\t50\tµg/Nm3\t20260325000000\t00\r\n"
            "Flow_Out\t123456.7890\tm3/h\t20260325000000\t00\r\n"
            "pH\t7.00\t-\t20260325000000\t01\r\n"
            "NO3-N\t0.000\tmg/l\t20260325000000\t02\r\n"
        ).encode()
    )


# Symbols and units ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_the_symbols_of_the_regulation_and_of_the_field_arrive(tmp_path, unit):
    symbols = [*TABLE_34, *FIELD]
    config = configured(
        tmp_path, "".join(channel(symbol, unit, 3, 'unit_when_none = "-"') for symbol in symbols)
    )
    data = provincial.render(config.channel, [window(symbol, 1.5, unit=unit) for symbol in symbols], T0)
    receiver = Receiver("NUO001", set(symbols))
    assert [symbol for symbol, _ in receiver.read(data)] == symbols
    assert {stored.value for _, stored in receiver.read(data)} == {1.5}
    assert [row.symbol for row in provincial.parse(data)] == symbols


def test_symbols_that_differ_in_case_are_two(tmp_path):
    config = configured(tmp_path, channel("Cod", "mg/l") + channel("COD", "mg/l"))
    data = provincial.render(config.channel, [window("COD", 2.0), window("Cod", 1.0)], T0)
    assert [(s, r.value) for s, r in Receiver("NUO001", {"COD"}).read(data)] == [("COD", 2.0)]


def accepted(folder: Path, name: str, value: str) -> bool:
    """Whether the configuration takes this text, written as TOML's escapes."""
    escaped = "".join(f"\\U{ord(c):08X}" for c in value)
    path = configured(folder, channel("COD", "mg/l")).path
    text = path.read_text("utf-8")
    old = {"symbol": 'symbol = "COD"', "unit": 'unit = "mg/l"', "unit_when_none": "decimals = 4"}[name]
    more = f'{name} = "{escaped}"' + ("\ndecimals = 4" if name == "unit_when_none" else "")
    path.write_text(text.replace(old, more), "utf-8")
    try:
        load(path)
    except ConfigFaults:
        return False
    return True


@pytest.mark.parametrize("name", ["symbol", "unit", "unit_when_none"])
def test_what_a_receiver_could_take_for_the_end_of_a_field_is_refused(tmp_path, name):
    """White space of Python, of .NET (which still had U+180E), of Unicode; what nobody sees; a BOM."""
    splitting = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u2007\u200a\u2028\u2029"
    splitting += "\u202f\u205f\u3000"
    unseen = "\x00\x07\x7f\xad\u200b\u200d\u2060\ufeff\ue000"
    for c in splitting + unseen:
        for value in (f"a{c}b", f"{c}a", f"a{c}") if name == "symbol" else (f"a{c}b",):
            assert not accepted(tmp_path, name, value), repr(value)
    for value in ("a_b", "a,b", "a.b", "a-b", "a/b", "µg", "đ", "NO₃", "%V", "x" * 32):
        assert accepted(tmp_path, name, value), repr(value)
    assert not accepted(tmp_path, name, "x" * 33)


def test_the_last_guard_lets_no_character_through_that_splits_or_is_not_seen():
    """Every character there is, in symbol and unit: what is written is one field, to any receiver."""
    for number in range(0x3000):
        c = chr(number)
        unsafe = c.isspace() or unicodedata.category(c)[0] in "CZ"
        for symbol, unit in ((f"a{c}b", "u"), ("a", f"u{c}")):
            try:
                line = provincial.line(symbol, "1.5", unit, "20260325000000", "00")
            except ValueError:
                assert unsafe, f"{c!r} is harmless"
            else:
                assert not unsafe and len(line.split()) == 5, f"{c!r} breaks the line"


# Names ------------------------------------------------------------------------------------------------------


def test_codes_stand_in_the_name_as_they_were_assigned(tmp_path):
    station = configured(tmp_path).station
    for province, facility, code in (
        ("LC", "DEMO", "NUO001"), ("LCa", "demo", "nuo001"), ("tb", "CA-PH", "K-1"),
    ):  # fmt: skip
        codes = {"province": province, "facility": facility, "code": code}
        name = provincial.file_name(station.model_copy(update=codes), T0)
        assert name == f"{province}_{facility}_{code}_20260325000000.txt"
        assert Receiver(code, set()).poll({name: b""}) == [name]
        assert Receiver(code.swapcase(), set()).poll({name: b""}) == []


CODES = st.from_regex(r"[A-Za-z0-9-]{1,16}", fullmatch=True)


@given(CODES, st.integers(0, 10_000), st.sampled_from(["", "-x"]))
def test_a_file_that_is_still_being_written_is_seen_by_nobody(code, i, token):
    name = f"LCa_DEMO_{code}_{provincial.stamp(T0 + i * 300_000)}.txt"
    part = temporary_name(name, token)
    assert f"_{code}_" not in part and "_" not in part and not part.endswith(".txt")
    assert Receiver(code, set()).poll({part: b"half"}) == []


def test_names_sort_as_their_windows_follow_across_every_edge_of_the_calendar(tmp_path):
    """The receiver skips what sorts at or before its newest: a year's, a month's, a day's end included."""
    station = configured(tmp_path).station
    for edge in ("20260101000000", "20260301000000", "20280229000000", "20280301000000", "20261231000000"):
        names = [
            provincial.file_name(station, stamp_ms(edge) + i * 300_000) for i in range(-300, 300)
        ]  # fmt: skip
        assert names == sorted(set(names))


# Folders ----------------------------------------------------------------------------------------------------

PAGE = [  # the presets as the format page writes them
    "{station}/{yyyy}/{MM}/{dd}", "{station}", "{station}/{yyyyMMdd}",
    "{station}/{yyyy}/Thang{MM}/{yyyyMMdd}", "{station}/{yyyy}/Thang{MM}/Ngay{dd}",
    "{station}/{yyyy}-{MM}-{dd}", "{station}/{yyyy}/Thang{MM}/{ddMMyyyy}", "{station}/{yyyy}_{MM}_{dd}",
    "{station}/{yyyy}/{MM}/{ddMMyyyy}", "{station}/Nam {yyyy}/thang {MM}/ngay {dd}",
]  # fmt: skip
MOMENTS = {  # stamp -> the folders of the presets, in the order above
    "20260101000000": [
        "NUO001/2026/01/01", "NUO001", "NUO001/20260101", "NUO001/2026/Thang01/20260101",
        "NUO001/2026/Thang01/Ngay01", "NUO001/2026-01-01", "NUO001/2026/Thang01/01012026",
        "NUO001/2026_01_01", "NUO001/2026/01/01012026", "NUO001/Nam 2026/thang 01/ngay 01",
    ],
    "20251231235500": [
        "NUO001/2025/12/31", "NUO001", "NUO001/20251231", "NUO001/2025/Thang12/20251231",
        "NUO001/2025/Thang12/Ngay31", "NUO001/2025-12-31", "NUO001/2025/Thang12/31122025",
        "NUO001/2025_12_31", "NUO001/2025/12/31122025", "NUO001/Nam 2025/thang 12/ngay 31",
    ],
    "20280229120000": [
        "NUO001/2028/02/29", "NUO001", "NUO001/20280229", "NUO001/2028/Thang02/20280229",
        "NUO001/2028/Thang02/Ngay29", "NUO001/2028-02-29", "NUO001/2028/Thang02/29022028",
        "NUO001/2028_02_29", "NUO001/2028/02/29022028", "NUO001/Nam 2028/thang 02/ngay 29",
    ],
}  # fmt: skip


def test_the_presets_are_those_of_the_format_page():
    assert [template for name, template in layout.PRESETS.items() if name != "none"] == PAGE
    assert layout.PRESETS["none"] == ""


@pytest.mark.parametrize("stamp", MOMENTS)
def test_every_preset_by_name_and_as_template_puts_the_file_where_it_belongs(tmp_path, stamp):
    """Through configuration, documents and a real folder; one stamp for name, folder and lines."""
    asked = {**dict(zip(PAGE, MOMENTS[stamp], strict=True)), "none": "", "x {dd}.{MM}/{station}": None}
    asked |= {name: MOMENTS[stamp][PAGE.index(t)] for name, t in layout.PRESETS.items() if t}
    for i, (template, folder) in enumerate(asked.items()):
        if folder is None:
            folder = f"x {stamp[6:8]}.{stamp[4:6]}/NUO001"
        (tmp_path / str(i)).mkdir()
        config = configured(tmp_path / str(i), channel("COD", "mg/l"), LOCAL.format(template))
        (draft,) = documents(config, [window("COD", 1.5, end_ms=stamp_ms(stamp))])
        document = Document(1, *draft[:6], draft.body, 0)
        asyncio.run(DirectoryDestination(config.destination[0].path).deliver(document))
        name = f"LCa_DEMO_NUO001_{stamp}.txt"
        sent = tmp_path / str(i) / "sent"
        assert [p.relative_to(sent) for p in sent.rglob("*") if p.is_file()] == [Path(folder) / name]
        assert (sent / folder / name).read_bytes() == f"COD\t1.5000\tmg/l\t{stamp}\t00\r\n".encode()


TEXTS = ("/", "/", "..", ".", " ", "a", "Tháng", "-", "_", "\\", "\n", "{", "}")
PIECES = st.sampled_from([*("{" + each + "}" for each in layout.PLACEHOLDERS), *TEXTS])


@given(st.lists(PIECES, max_size=8).map("".join), st.integers(0, 4_000_000_000).map(lambda s: s * 1000))
def test_any_template_that_is_taken_gives_a_folder_below_the_path(template, time_ms):
    fault = layout.layout_fault(template)
    if fault is not None:
        assert all(sentence.endswith(".") for sentence in fault)
        return
    folder = layout.folder(template, "NUO001", time_ms)
    parts = folder.split("/") if folder else []
    assert not folder.startswith("/") and "\\" not in folder and folder.isprintable()
    assert all(part and part == part.strip() and not part.endswith(".") for part in parts)
    assert "{" not in folder and Path("/x", folder).resolve().is_relative_to("/x")
    day = provincial.stamp(time_ms)[:8]
    assert layout.folder(template, "NUO001", stamp_ms(day + "235959")) == folder, "one folder for one day"


@pytest.mark.parametrize("template", ["{dd} /x", " {dd}", "{dd}./x", "x/{dd} "])
def test_a_folder_that_windows_would_call_otherwise_is_refused(template):
    what, instead = layout.layout_fault(template) or ("", "")
    assert "begins or ends with a space" in what and "Windows" in instead
