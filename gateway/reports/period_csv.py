"""A period's report as CSV files for spreadsheets and programs. Pure.

Rule 1: UTF-8 with a byte order mark, commas, a decimal point; numbers are not rounded (they parse back to the
        same double); times with their offset.
Rule 2: an hour or a day is told whether it is valid; one without any valid window has no mean, and says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from gateway import flags
from gateway.reports.message import rfc3339
from gateway.reports.period_model import CLASSES, ChannelReport, Report, shares
from gateway.reports.period_series import Buckets, enough
from gateway.zone import DAY_MS, HOUR_MS
from protocol import quality as q

BOM = b"\xef\xbb\xbf"
BUCKET = ("start", "end", "symbol", "unit", "mean", "minimum", "maximum", "valid_windows", "windows", "valid")
EXCEEDANCE = (
    "symbol", "unit", "mean_of", "from", "to", "minutes", "windows", "worst", "worst_at", "limit", "basis",
    "ended_by",
)  # fmt: skip
CAPTURE = ["symbol", "unit"] + [f"{name}_{what}" for what in ("percent", "minutes") for name in CLASSES]


def hours(report: Report) -> bytes:
    """Every hour of every channel that has windows."""
    return _buckets(report, HOUR_MS)


def days(report: Report) -> bytes:
    """Every day (GMT+7)."""
    return _buckets(report, DAY_MS)


def exceedances(report: Report) -> bytes:
    """Every run of windows beyond a limit."""
    return write(
        EXCEEDANCE,
        (
            [
                channel.symbol, channel.unit, one.span, rfc3339(one.from_ms), rfc3339(one.to_ms),
                (one.to_ms - one.from_ms) // 60_000, one.windows, repr(one.worst),
                rfc3339(report.labelled(one.worst_ms)), repr(one.limit), channel.basis_of(one.span),
                one.ended,
            ]
            for channel in report.channels
            for one in channel.exceedances
        ),
    )  # fmt: skip


def capture(report: Report) -> bytes:
    """Shares of valid, calibrating, faulty and missing windows; and why, by quality."""
    qualities = [name for number, name in flags.NAMES.items() if number != q.OK]
    return write((*CAPTURE, *(f"{name}_minutes" for name in qualities)), map(_capture, report.channels))


def _capture(channel: ChannelReport) -> list:
    percent = shares(channel.capture_ms)
    return [
        channel.symbol, channel.unit, *(f"{percent[name]:.2f}" for name in CLASSES),
        *(channel.capture_ms[name] // 60_000 for name in CLASSES),
        *(channel.quality_ms.get(number, 0) // 60_000 for number in flags.NAMES if number != q.OK),
    ]  # fmt: skip


def _buckets(report: Report, step_ms: int) -> bytes:
    """The file of hours or days: 100,000 lines, so it is not left to csv to look at every letter of them."""
    lines: list[str] = []
    times: dict[int, str] = {}  # the same ones in each channel
    for channel in report.channels:
        found: Buckets = channel.hours if step_ms == HOUR_MS else channel.days
        head, share_min = _line([channel.symbol, channel.unit]), report.share_min
        for start_ms, mean, low, high, valid, expected in zip(
            found.start_ms, found.mean, found.minimum, found.maximum, found.valid, found.expected, strict=True
        ):
            written = times.get(start_ms)
            if written is None:
                written = times[start_ms] = f"{rfc3339(start_ms)},{rfc3339(start_ms + step_ms)}"
            if not valid:
                lines.append(f"{written},{head},,,,{valid},{expected},no\r\n")
                continue
            is_valid = "yes" if enough(valid, expected, share_min) else "no"
            lines.append(f"{written},{head},{mean!r},{low!r},{high!r},{valid},{expected},{is_valid}\r\n")
    return b"".join((BOM, f"{_line(BUCKET)}\r\n".encode(), "".join(lines).encode()))


def _line(cells: Iterable[object]) -> str:
    """Cells as csv writes them, without the end of the line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def write(headings: Iterable[str], rows: Iterable[list | tuple]) -> bytes:
    """A file as rule 1 says."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headings)
    writer.writerows(rows)
    return BOM + text.getvalue().encode()
