"""The provincial file: byte for byte the samples, none of the receiver's traps, and read back as written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports import layout, provincial
from gateway.windows import Window
from protocol import quality
from tests.gateway.configured import channel, configured
from tests.gateway.receiver import Receiver

T0 = 1_774_371_600_000  # 2026-03-25 00:00:00 GMT+7
STAMP = "20260325000000"

# The sample of the format page, as it was seen on a server.
GOLDEN = (
    b"Temp\t23.3262\toC\t20260325000000\t00\r\n"
    b"Flowin\t0.5833\tm3/h\t20260325000000\t00\r\n"
    b"Amoni\t2.3308\tmg/l\t20260325000000\t00\r\n"
    b"COD\t16.2482\tmg/l\t20260325000000\t00\r\n"
    b"pH\t7.8485\t\t20260325000000\t00\r\n"
)
SAMPLE = [
    ("Temp", "oC", 23.3262),
    ("Flowin", "m3/h", 0.5833),
    ("Amoni", "mg/l", 2.3308),
    ("COD", "mg/l", 16.2482),
    ("pH", "", 7.8485),
]


def window(
    symbol: str,
    value: float,
    q: int = quality.OK,
    unit: str = "mg/l",
    revision: int = 1,
    end_ms: int = T0,
    last: float | None = 1.0,
) -> Window:
    return Window(
        symbol,
        unit,
        end_ms - 300_000,
        end_ms,
        revision,
        value,
        q,
        quality.status(q),
        12,
        12,
        1.0,
        value,
        value,
        "",
        last,
    )


def sample_channels(folder, more: str = ""):
    return configured(folder, "".join(channel(symbol, unit, 4, more) for symbol, unit, _ in SAMPLE)).channel


def test_the_sample_byte_for_byte(tmp_path):
    windows = [window(symbol, value, unit=unit) for symbol, unit, value in SAMPLE]
    assert provincial.render(sample_channels(tmp_path), windows, T0) == GOLDEN
    assert (
        provincial.render(sample_channels(tmp_path), reversed(windows), T0) == GOLDEN
    )  # the channels' order counts


def test_the_name(tmp_path):
    station = configured(tmp_path).station
    assert provincial.file_name(station, T0) == "LCa_DEMO_NUO001_20260325000000.txt"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (7.8485, 4, "7.8485"), (7.0, 2, "7.00"), (2.675, 2, "2.67"), (0.5, 0, "0"), (1.5, 0, "2"),
        (-0.00001, 4, "0.0000"), (-0.0, 2, "0.00"), (-0.4, 0, "0"), (-1.25, 1, "-1.2"), (1e-7, 4, "0.0000"),
        (123456789.5, 1, "123456789.5"), (1e15, 0, "1000000000000000"),
    ],
)  # fmt: skip
def test_numbers(value, decimals, text):
    assert provincial.number(value, decimals) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_never_written(tmp_path, value):
    with pytest.raises(ValueError, match="not a number"):
        provincial.number(value, 2)
    windows = [window("COD", value), window("pH", 7.0)]
    assert provincial.render(sample_channels(tmp_path), windows, T0).decode().split("\t")[0] == "pH"


@pytest.mark.parametrize(
    "fields",
    [
        ("C OD", "1", "", STAMP, "00"), ("", "1", "", STAMP, "00"), ("\ufeffCOD", "1", "", STAMP, "00"),
        ("C\tOD", "1", "", STAMP, "00"), ("C\u00a0OD", "1", "", STAMP, "00"),
        ("COD", "1", "mg l", STAMP, "00"),
        ("COD", "1,5", "", STAMP, "00"), ("COD", "", "", STAMP, "00"), ("COD", "nan", "", STAMP, "00"),
        ("COD", "1e5", "", STAMP, "00"), ("COD", "+1", "", STAMP, "00"), ("COD", "1", "", STAMP, "03"),
    ],
)  # fmt: skip
def test_the_last_guard(fields):
    with pytest.raises(ValueError):
        provincial.line(*fields)


def test_a_channel_that_never_had_a_value_has_no_line(tmp_path):
    never = window("COD", None, quality.NO_DATA, last=None)
    assert provincial.render(sample_channels(tmp_path), [never], T0) == b""
    measured_zero = window("COD", 0.0, quality.CALIBRATING, last=None)
    assert (
        provincial.render(sample_channels(tmp_path), [measured_zero], T0)
        == f"COD\t0.0000\tmg/l\t{STAMP}\t01\r\n".encode()
    )
    last_good = window("COD", 0.0, quality.TIMEOUT, last=0.0)
    assert (
        provincial.render(sample_channels(tmp_path), [last_good], T0)
        == f"COD\t0.0000\tmg/l\t{STAMP}\t02\r\n".encode()
    )


STATION_SYMBOLS = {"COD", "pH"}


def received(line: bytes) -> dict[str, tuple[float, bool]]:
    return {symbol: (r.value, r.error) for symbol, r in Receiver("NUO001", STATION_SYMBOLS).read(line)}


def test_the_receiver_has_the_traps():
    """What the port of the receiver does with lines that we never write, as was measured on the original."""
    assert received(f"pH\t7.1\t\t{STAMP}\t02\r\n".encode()) == {"pH": (7.1, False)}  # the error flag is lost
    assert received(f"COD\t\tmg/l\t{STAMP}\t02\r\n".encode()) == {"COD": (0.0, False)}  # stored as 0, no flag
    assert received(f"COD\t1,5\tmg/l\t{STAMP}\t00\r\n".encode()) == {"COD": (0.0, False)}
    assert math.isnan(received(f"COD\tNaN\tmg/l\t{STAMP}\t00\r\n".encode())["COD"][0])
    assert received(f"C OD\t1\tmg/l\t{STAMP}\t00\r\n".encode()) == {}
    assert received(b"\xef\xbb\xbf" + f"COD\t1\tmg/l\t{STAMP}\t00\r\n".encode()) == {}


def test_we_avoid_them(tmp_path):
    """What we write for the same situations arrives as it was meant."""
    channels = configured(
        tmp_path, channel("COD", "mg/l") + channel("pH", "", 2, 'unit_when_none = "-"')
    ).channel
    fault = provincial.render(
        channels, [window("COD", 1.5, quality.FAULT), window("pH", 7.1, quality.FAULT)], T0
    )
    assert received(fault) == {"COD": (0.0, True), "pH": (0.0, True)}
    good = provincial.render(channels, [window("COD", 1.5), window("pH", 7.1)], T0)
    assert received(good) == {"COD": (1.5, False), "pH": (7.1, False)}
    nan = provincial.render(channels, [window("COD", math.nan), window("pH", 7.1, quality.CALIBRATING)], T0)
    assert received(nan) == {"pH": (7.1, False)}
    assert good[:3] != b"\xef\xbb\xbf" and b"," not in good


@pytest.mark.parametrize("q", range(len(quality.NAMES)))
def test_every_quality_has_a_line(tmp_path, q):
    data = provincial.render(sample_channels(tmp_path), [window("COD", 3.0, q)], T0)
    assert [(row.value, row.status) for row in provincial.parse(data)] == [(3.0, quality.status(q))]


# Layouts

FOLDERS = {
    "default": "NUO001/2026/03/25",
    "none": "",
    "station": "NUO001",
    "date": "NUO001/20260325",
    "thang-date": "NUO001/2026/Thang03/20260325",
    "thang-ngay": "NUO001/2026/Thang03/Ngay25",
    "iso-date": "NUO001/2026-03-25",
    "thang-ddmmyyyy": "NUO001/2026/Thang03/25032026",
    "underscores": "NUO001/2026_03_25",
    "month-ddmmyyyy": "NUO001/2026/03/25032026",
    "nam-thang-ngay": "NUO001/Nam 2026/thang 03/ngay 25",
}


def test_every_preset(tmp_path):
    station = configured(tmp_path).station
    assert {name: provincial.folder(name, station, T0) for name in layout.PRESETS} == FOLDERS
    assert all(layout.layout_fault(name) is None for name in layout.PRESETS)
    assert all(layout.layout_fault(template) is None for template in layout.PRESETS.values())


def test_the_folder_is_that_of_the_stamps_day_in_vietnam(tmp_path):
    """One scanner looks only into today's folder: 23:59:59 and 00:00:00 GMT+7 are different days."""
    station = configured(tmp_path).station
    assert provincial.folder("date", station, T0 - 1000) == "NUO001/20260324"
    assert provincial.folder("x{dd}/{station}", station, T0) == "x25/NUO001"


@pytest.mark.parametrize(
    "template",
    [
        "a",
        "{dd}/",
        "/{dd}",
        "{dd}//x",
        "{dd}/../x",
        "{dd}/.",
        "{dd}\\x",
        "{DD}",
        "{dd",
        "dd}",
        "{dd}\n",
        5,
        "{dd} /. ",
    ],
)
def test_bad_layouts_are_refused(template):
    what, instead = layout.layout_fault(template)
    assert what and instead


# Round trip

SYMBOLS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
UNITS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=6)


@given(
    st.lists(
        st.tuples(
            SYMBOLS, UNITS, st.floats(-1e9, 1e9), st.integers(0, 9), st.sampled_from(["00", "01", "02"])
        ),
        unique_by=lambda row: row[0],
    ),
    st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1000),
)
def test_what_is_written_is_read_back(rows, time_ms):
    stamp = provincial.stamp(time_ms)
    data = "".join(
        provincial.line(s, provincial.number(v, d), u, stamp, status) for s, u, v, d, status in rows
    ).encode()
    back = provincial.parse(data)
    assert [(row.symbol, row.unit, row.status, row.time_ms) for row in back] == [
        (s, u, status, time_ms) for s, u, _, _, status in rows
    ]
    for row, (_, _, value, decimals, _) in zip(back, rows, strict=True):
        assert abs(row.value - value) <= 0.5 * 10**-decimals + 1e-6
        assert not (row.value == 0 and row.text.startswith("-"))
        assert "," not in row.text and "e" not in row.text
    receiver = Receiver("NUO001", {s for s, *_ in rows})
    if all(unit for _, unit, *_ in rows):  # the trap of the empty unit is known and warned of
        assert {s: r.error for s, r in receiver.read(data)} == {
            s: status == "02" for s, _, _, _, status in rows
        }


@pytest.mark.parametrize(
    "data",
    [
        b"COD\t1\tmg/l\t20260325000000\t00", b"COD\t1\tmg/l\t20260325000000\t00\n", b"\r\n",
        b"COD\t1\tmg/l\t20260325000000\r\n", b"COD\t1,0\tmg/l\t20260325000000\t00\r\n",
        b"COD\t1\tmg/l\t20260231000000\t00\r\n", b"COD\t1\tmg/l\t2026032500000\t00\r\n",
        GOLDEN + b"TSS\t1\tmg/l\t20260325000500\t00\r\n", GOLDEN + GOLDEN, b"\xef\xbb\xbf" + GOLDEN, b"\xff",
    ],
)  # fmt: skip
def test_a_file_that_breaks_a_rule_is_not_read(data):
    with pytest.raises(ValueError):
        provincial.parse(data)


def test_the_receiver_takes_a_backlog_only_oldest_first(tmp_path):
    """Why order matters: a late file is lost for ever."""
    station = configured(tmp_path).station
    files = {provincial.file_name(station, T0 + i * 300_000): GOLDEN for i in range(4)}
    names = sorted(files)
    ordered, late = Receiver("NUO001", {"COD"}), Receiver("NUO001", {"COD"})
    assert [ordered.poll({name: GOLDEN}) for name in names] == [[name] for name in names]
    assert late.poll({names[1]: GOLDEN}) == [names[1]]
    assert late.poll({names[0]: GOLDEN, names[1]: GOLDEN}) == []
