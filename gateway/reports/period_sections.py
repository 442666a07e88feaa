"""The sections of a period's report, in their order: each a pure function of the model and the words.

A further part of the report is one more function in SECTIONS and its field in the model; HTML and PDF draw it
without being changed. What only some stations have is in period_added.py.

Rule 1: no list is cut without saying how many lines are left out and where they are.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.reports.period_blocks import COLUMNS_MAX, Block, Charts, Column, Facts, Note, Section, Table
from gateway.reports.period_chart import chart
from gateway.reports.period_event_blocks import alerts, calibrations, interruptions, revisions
from gateway.reports.period_index_blocks import index
from gateway.reports.period_loads_blocks import fees, loads
from gateway.reports.period_model import ChannelReport, Report
from gateway.reports.period_quality_blocks import qal3, signs
from gateway.reports.period_window_blocks import capture, exceedances, general, statistics
from gateway.reports.period_words import Words
from gateway.zone import HOUR_MS


def charts(report: Report, words: Words) -> list[Block]:
    """One for each channel that has values."""
    period, hourly = report.period, report.period.bucket_ms == HOUR_MS
    found = [
        chart(
            f"{channel.symbol} {channel.unit and f'({channel.unit})'}".strip(), report.buckets(channel),
            channel.limits, (period.from_ms, period.to_ms), period.bucket_ms,
            words.hour if hourly else words.date, words.figure,
        )
        for channel in report.channels
    ]  # fmt: skip
    return [
        Note(words("charts_hour" if hourly else "charts_day")), Charts([one for one in found if one]),
    ]  # fmt: skip


def table(report: Report, words: Words) -> list[Block]:
    """Means by hour or day of all channels, COLUMNS_MAX side by side."""
    period, step_ms = report.period, report.period.bucket_ms
    moment = words.hour if step_ms == HOUR_MS else words.date
    blocks: list[Block] = [Note(words("table_note"))]
    parts = -(-len(report.channels) // COLUMNS_MAX) or 1
    size = -(-len(report.channels) // parts)
    for first in range(0, len(report.channels), size or 1):
        channels = report.channels[first : first + size]
        figures = [_figures(report, channel, words) for channel in channels]
        rows = [
            [moment(start_ms), *(of.get(start_ms, "–") for of in figures)]
            for start_ms in range(period.from_ms, report.reach_ms, step_ms)
        ]
        columns = [Column(words("time"), 1.4)]
        columns += [Column(heading(channel, words), 1, True) for channel in channels]
        blocks.append(Table(columns, rows))
    return blocks


def evidence(report: Report, words: Words) -> list[Block]:
    """The journal and its newest checkpoint."""
    found = report.evidence
    rows = [(words("entries"), words.count(found.entries))]
    if found.size:
        rows += [
            (words("log"), found.origin), (words("signed"), words.count(found.size)),
            (words("root"), found.root),
        ]  # fmt: skip
    else:
        rows.append((words("log"), words("unsigned")))
    return [Facts(rows), *([Note(words("evidence_note"))] if found.size else [])]


SECTIONS: dict[str, tuple[str, Callable[[Report, Words], list[Block]]]] = {  # name -> (title, blocks)
    "general": ("general", general),
    "capture": ("capture", capture),
    "statistics": ("statistics", statistics),
    "exceedances": ("exceedances", exceedances),
    "alerts": ("alerts", alerts),
    "calibrations": ("calibrations", calibrations),
    "interruptions": ("interruptions", interruptions),
    "revisions": ("revisions", revisions),
    "loads": ("loads", loads),
    "fees": ("fees", fees),
    "index": ("index", index),
    "qal3": ("qal3", qal3),
    "signs": ("signs", signs),
    "charts": ("charts", charts),
    "table": ("table", table),
    "evidence": ("evidence", evidence),
}


def sections(report: Report, words: Words) -> list[Section]:
    """All of them, in order."""
    found = []
    for name, (title, blocks) in SECTIONS.items():
        if name == "table":
            title = "table_hour" if report.period.bucket_ms == HOUR_MS else "table_day"
        if name == "index":
            title = "air_index" if report.station.kind == "ambient-air" else "water_index"
        if of_this := blocks(report, words):  # what a station does not have is no section
            found.append(Section(name, words(title), of_this))
    return found


def heading(channel: ChannelReport, words: Words) -> str:
    """Symbol and unit; and what stands for an hour or a day where that is not the simple mean."""
    what = "" if channel.average == "mean" else f"({words(f'as_{channel.average}')})"
    return " ".join(part for part in (channel.symbol, channel.unit, what) if part)


def _figures(report: Report, channel: ChannelReport, words: Words) -> dict[int, str]:
    """What the table says of a channel, by the start of the line."""
    buckets = report.buckets(channel)
    found = {}
    for at, start_ms in enumerate(buckets.start_ms):
        text = words.figure(buckets.mean[at], channel.decimals)
        found[start_ms] = text if buckets.is_valid(at, report.share_min) or text == "–" else f"{text}*"
    return found
