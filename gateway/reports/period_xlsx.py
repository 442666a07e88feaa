"""A period's report as a workbook: numbers are numbers, times are times. Pure but for scratch files.

Rule 1: sixteen digits of each figure; the cell's format shows the decimals that are sent.
Rule 2: nothing is cut: what HTML and PDF leave out of long lists is here.
Rule 3: rows are written in order and leave memory at once (a year has 8,760 hours); text never is a formula.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import flags
from gateway.reports.interruption import cause
from gateway.reports.period_cells import Cell, Figure, Share, When
from gateway.reports.period_event_blocks import (
    acted_text,
    alert_name,
    allowed_text,
    certificates_text,
    stopped,
)
from gateway.reports.period_model import CLASSES, Report, shares
from gateway.reports.period_sections import evidence, heading
from gateway.reports.period_series import PERCENTILES, Buckets
from gateway.reports.period_window_blocks import general, limit_text
from gateway.reports.period_words import Words
from gateway.reports.period_xlsx_added import sheets
from gateway.reports.period_xlsx_book import Book
from gateway.zone import DAY_MS, HOUR_MS
from protocol import quality as q


def render(report: Report, language: str) -> bytes:
    """The whole file."""
    words = Words(language)
    book = Book(report, words)
    facts = [*general(report, words), *evidence(report, words)]
    rows = [pair for block in facts for pair in getattr(block, "rows", ())]
    book.sheet(words("general"), ("", ""), rows, 44)
    _summaries(book)
    if report.added is not None:
        for name, headings, lines in sheets(report.added, words):
            book.sheet(name, headings, lines)
    for title, step_ms in (("table_day", DAY_MS), ("table_hour", HOUR_MS)):
        headings = [words("time"), *(heading(one, words) for one in report.channels)]
        book.sheet(words(title), headings, _matrix(report, step_ms))
    return book.finished()


def _summaries(book: Book) -> None:
    report, words = book.report, book.words
    named = {name: words(name) for name in ("parameter", "unit", "from", "to", "basis", "limit", "value")}
    qualities = [number for number in flags.NAMES if number != q.OK]
    book.sheet(
        words("capture"),
        [named["parameter"], named["unit"], *(f"{words(name)} (%)" for name in CLASSES)]
        + [f"{words.quality(number)} ({words('minutes')})" for number in qualities],
        (
            [one.symbol, one.unit, *map(Share, shares(one.capture_ms).values())]
            + [one.quality_ms.get(number, 0) / 60_000 for number in qualities]
            for one in report.channels
        ),
    )
    book.sheet(
        words("statistics"),
        [named["parameter"], named["unit"], words("count"), words("mean")]
        + [f"P{percent}" for percent in PERCENTILES]
        + [text for name in ("minimum", "maximum") for text in (words(name), words("at"))]
        + [words("max_hour"), words("max_day"), named["limit"], named["basis"]],
        map(_statistics(report, words), report.channels),
    )
    book.sheet(
        words("exceedances"),
        [
            named["parameter"], named["unit"], words("of"), named["from"], named["to"],
            f"{words('lasts')} ({words('minutes')})", words("count"), words("worst"), words("at"),
            named["limit"], named["basis"], words("ended"),
        ],
        (
            [
                channel.symbol, channel.unit, words(f"span_{one.span}"), When(one.from_ms), When(one.to_ms),
                (one.to_ms - one.from_ms) / 60_000, one.windows, Figure((one.worst, channel.decimals, True)),
                When(report.labelled(one.worst_ms)), one.limit, channel.basis_of(one.span),
                words(one.ended),
            ]
            for channel in report.channels
            for one in channel.exceedances
        ),
    )  # fmt: skip
    book.sheet(
        words("alerts"),
        [
            words("what"), named["parameter"], named["from"], named["to"], named["value"], named["limit"],
            named["basis"], words("acted"),
        ],
        (
            [
                alert_name(one.rule, words), one.about, When(one.since_ms), _when(one.until_ms), one.value,
                one.limit, one.basis, acted_text(one, words),
            ]
            for one in report.beside.alerts
        ),
    )  # fmt: skip
    _events(book, named)


def _records(book: Book, named: dict[str, str]) -> None:
    words = book.words
    book.sheet(
        words("records"),
        [
            words("time"), named["parameter"], words("serial"), words("record_kind"), words("zero_drift"),
            words("span_drift"), words("unit"), words("allowed"), words("points"), words("certificate"),
            words("by"), words("remark"), words("photo"),
        ],
        (
            [
                When(one.record.at_ms), one.record.channel, one.record.serial, words(one.record.kind),
                one.drift.zero, one.drift.span, one.record.unit, allowed_text(one, words),
                "; ".join(f"{p.reference!r}: {p.before!r}" for p in one.record.points),
                certificates_text(one), one.record.who, one.record.remark, one.record.photo,
            ]
            for one in book.report.beside.records
        ),
    )  # fmt: skip


def _events(book: Book, named: dict[str, str]) -> None:
    report, words = book.report, book.words
    if report.beside.records:
        _records(book, named)
    book.sheet(
        words("in_force"),
        [words("time"), words("source"), words("quantity"), words("number"), words("points")],
        (
            [
                When(one.at_ms),
                one.source,
                one.quantity,
                one.number,
                "; ".join(f"{x!r}: {y!r}" for x, y in one.points),
            ]
            for one in report.beside.calibrations
        ),
    )
    book.sheet(
        words("spans"),
        [named["parameter"], named["from"], named["to"], words("count"), words("reason")],
        (
            [channel.symbol, When(one.from_ms), When(one.to_ms), one.windows, words.quality(one.quality)]
            for channel in report.channels
            for one in channel.calibrating
        ),
    )
    book.sheet(
        words("interruptions"),
        [words("what"), named["from"], named["to"], words("cause"), words("count"), words("made_up")],
        (
            [
                stopped(one.interruption.what[0], one.interruption.what[1], words),
                When(one.interruption.from_ms), _when(one.interruption.to_ms),
                cause(one.interruption) if words.language == "vi" else one.interruption.cause,
                one.windows, one.made_up,
            ]
            for one in report.beside.interruptions
        ),
    )  # fmt: skip
    book.sheet(
        words("revisions"),
        [named["parameter"], named["from"], named["to"], words("count"), words("revision"), words("reason")],
        (
            [
                one.symbol,
                When(one.from_ms),
                When(one.to_ms),
                one.windows,
                one.revision,
                words.reason(one.reason),
            ]
            for one in report.revised
        ),
    )


def _statistics(report: Report, words: Words) -> Callable[[Any], list[Cell]]:
    def row(channel: Any) -> list[Cell]:
        found, digits = channel.statistics, channel.decimals
        head, limits = (
            [channel.symbol, channel.unit],
            [limit_text(channel.limits, words), channel.limits.basis],
        )
        if found is None:
            return [*head, 0, *[None] * (len(PERCENTILES) + 7), *limits]
        cells: list[Cell] = [Figure((value, digits, True)) for value in (found.mean, *found.percentiles)]
        for extreme in (found.minimum, found.maximum):
            cells += [Figure((extreme.value, digits, True)), When(report.labelled(extreme.start_ms))]
        cells += [best and Figure((best.value, digits, True)) for best in (found.hour, found.day)]
        return [*head, found.windows, *cells, *limits]

    return row


def _matrix(report: Report, step_ms: int) -> Any:
    """A line for each hour or day, a column for each channel; grey where too few windows are valid."""
    channels = []
    for channel in report.channels:
        buckets: Buckets = channel.hours if step_ms == HOUR_MS else channel.days
        channels.append(
            (channel, buckets, dict(zip(buckets.start_ms, range(len(buckets.start_ms)), strict=True)))
        )
    for start_ms in range(report.period.from_ms, report.reach_ms, step_ms):
        row: list[Cell] = [When(start_ms)]
        for channel, buckets, places in channels:
            at = places.get(start_ms)
            if at is None or not buckets.valid[at]:
                row.append(None)
            else:
                valid = buckets.is_valid(at, report.share_min)
                row.append(Figure((buckets.mean[at], channel.decimals, valid)))
        yield row


def _when(time_ms: int | None) -> When | None:
    return None if time_ms is None else When(time_ms)
