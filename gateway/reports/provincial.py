"""The provincial text file, byte for byte.

Rule 1: one line per parameter, five fields between TABs, CRLF at its end; UTF-8 without BOM; no header.
Rule 2: one stamp a file, yyyyMMddHHmmss in GMT+7 with no offset written; the name carries the same stamp.
Rule 3: what the receiving software would misread never leaves: NaN, an empty value, a decimal comma, white
        space in a symbol or unit, a BOM. Such a value is left out by documents(); such a symbol is refused
        by the configuration; `line()` is the last guard and raises ValueError.
Rule 4: a number is formatted here and nowhere else, so that every destination reads the same figure.

Source: Phụ lục 15 of Thông tư 10/2021 as seen in files and receiving software in use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gateway.reports import layout as layouts
from gateway.reports.layout import stamp, stamp_ms

if TYPE_CHECKING:
    from gateway.config_model import Channel, Station
    from gateway.windows import Window

STATUSES = ("00", "01", "02")  # measuring, calibrating, instrument fault
_FIELD = re.compile(r"\S*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Row(NamedTuple):
    """One line of a file, read back."""

    symbol: str
    value: float
    text: str  # the value as it stands in the file
    unit: str
    time_ms: int
    status: str


def has_number(window: Window) -> bool:
    """False for a channel that never had a value, and for what is no number."""
    return window.value is not None and math.isfinite(window.value)


def number(value: float, decimals: int) -> str:
    """Fixed decimals with a point, half-even on the exact binary value, and never "-0.00"."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number for a provincial file")
    text = f"{value:.{decimals}f}"
    return text[1:] if text[0] == "-" and not text.strip("-0.") else text


def line(symbol: str, value: str, unit: str, time: str, status: str) -> str:
    """One line, or ValueError when the receiver would misread it."""
    fields = symbol + unit
    if not symbol or not _FIELD.fullmatch(fields) or not fields.isprintable():
        raise ValueError(f"symbol {symbol!r} or unit {unit!r} would break the provincial file's fields")
    if not _NUMBER.fullmatch(value) or status not in STATUSES:
        raise ValueError(f"value {value!r} with status {status!r} cannot stand in a provincial file")
    return f"{symbol}\t{value}\t{unit}\t{time}\t{status}\r\n"


def render(channels: Iterable[Channel], windows: Iterable[Window], stamp_ms: int) -> bytes:
    """The file for one stamp (Unix ms): channels in their configured order, those without a number left
    out.
    """
    time = stamp(stamp_ms)
    by_symbol = {window.symbol: window for window in windows}
    lines = []
    for channel in channels:
        window = by_symbol.get(channel.symbol)
        if not channel.sent or window is None or window.value is None or not has_number(window):
            continue
        value = number(window.value, channel.decimals)
        lines.append(line(channel.symbol, value, channel.unit or channel.unit_when_none, time, window.status))
    return "".join(lines).encode("utf-8")


def file_name(station: Station, stamp_ms: int) -> str:
    """Province_Facility_Station_yyyyMMddHHmmss.txt"""
    return f"{station.province}_{station.facility}_{station.code}_{stamp(stamp_ms)}.txt"


def folder(layout: str, station: Station, stamp_ms: int) -> str:
    """The folder of a layout for a file stamped `stamp_ms`, relative to the destination's own path."""
    return layouts.folder(layout, station.code, stamp_ms)


def parse(data: bytes) -> list[Row]:
    """Read a file back by the rules above, strictly: ValueError says the first thing that breaks them."""
    text = data.decode("utf-8")
    if text and not text.endswith("\r\n"):
        raise ValueError("the last line does not end in CRLF")
    rows = []
    for text_line in text.split("\r\n")[:-1]:
        fields = text_line.split("\t")
        if len(fields) != 5:
            raise ValueError(f"{text_line!r} has {len(fields)} fields, not 5")
        symbol, value, unit, time, status = fields
        if line(symbol, value, unit, time, status) != text_line + "\r\n":
            raise ValueError(f"{text_line!r} is not a line of ours")
        rows.append(Row(symbol, float(value), value, unit, stamp_ms(time), status))
    if len({row.time_ms for row in rows}) > 1:
        raise ValueError("a file has one stamp, this one has several")
    if len({row.symbol for row in rows}) != len(rows):
        raise ValueError("a symbol stands in the file twice")
    return rows
