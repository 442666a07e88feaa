"""Sections on windows, as plain blocks: what was captured, what was measured, what exceeded a limit. Pure.

Rule 1: a list that is cut says so, and which lines it shows.
"""

from __future__ import annotations

from gateway.reports.period_blocks import Block, Column, Facts, Note, Table, longest
from gateway.reports.period_model import CLASSES, ChannelReport, Report, shares
from gateway.reports.period_runs import WINDOW, Limits
from gateway.reports.period_series import PERCENTILES, VECTOR, Buckets
from gateway.reports.period_words import Words
from gateway.zone import DAY_MS, HOUR_MS, day_of
from protocol import quality as q


def general(report: Report, words: Words) -> list[Block]:
    """Who, when, up to when."""
    station, period = report.station, report.period
    reach = words.moment(report.reach_ms)
    if report.reach_ms < period.to_ms:
        reach += f" ({words('not_over')})"
    window = f"{report.length_ms // 60_000} {words('minutes')}, "
    window += words("label_end" if report.label_end else "label_start")
    rows = [
        (words("station"), station.name),
        (words("codes"), f"{station.province}, {station.facility}, {station.code}"),
        (words("kind"), words(station.kind)),
        (words("period"), words.period(period)),
        (words("from_to"), _span(words, period.from_ms, period.to_ms)),
        (words("reach"), reach),
        (words("data"), _span(words, *report.data_ms) if report.data_ms else "–"),
        (words("window"), window),
    ]
    if period.due_ms is not None:
        rows.append((words("due"), words.date(period.due_ms)))
    return [Facts(rows)]


def capture(report: Report, words: Words) -> list[Block]:
    """Shares of the period, and why windows are not valid."""
    columns = [Column(words("parameter"), 1.2), *(Column(words(name), 1.2, True) for name in CLASSES)]
    columns += [Column(words("valid_hours"), 1.2, True), Column(words("valid_days"), 1, True)]
    rows = []
    for channel in report.channels:
        percent = shares(channel.capture_ms)
        rows.append(
            [
                channel.symbol, *(words.share(percent[name]) for name in CLASSES),
                *(words.of(_valid(of, report.share_min), _count(report, step_ms))
                  for of, step_ms in ((channel.hours, HOUR_MS), (channel.days, DAY_MS))),
            ]
        )  # fmt: skip
    causes = [
        [channel.symbol, "; ".join(f"{words.quality(quality)} {words.length(ms)}" for quality, ms in found)]
        for channel in report.channels
        if (found := _causes(channel))
    ]
    why = [Column(words("parameter")), Column(words("cause"), 6)]
    blocks: list[Block] = [Table(columns, rows), Note(words("capture_note"))]
    return [*blocks, Table(why, causes, words("causes"))] if causes else blocks


def statistics(report: Report, words: Words) -> list[Block]:
    """Means, percentiles, extremes with their times."""
    columns = [Column(words("parameter"), 1.1), Column(words("unit"), 0.9), Column(words("count"), 1, True)]
    columns += [Column(words("mean"), 1.1, True)]
    columns += [Column(f"P{percent}", 1.1, True) for percent in PERCENTILES]
    columns += [Column(words("max_hour"), 1.2, True), Column(words("max_day"), 1.2, True)]
    rows, extremes = [], []
    for channel in report.channels:
        found, digits, turns = channel.statistics, channel.decimals, channel.average == VECTOR
        if found is None:
            rows.append([channel.symbol, channel.unit, "0", *["–"] * (len(columns) - 3)])
            continue
        rows.append(
            [
                channel.symbol, channel.unit, words.count(found.windows), words.figure(found.mean, digits),
                *(words.figure(None if turns else value, digits) for value in found.percentiles),
                *(words.figure(best.value if best and not turns else None, digits)
                  for best in (found.hour, found.day)),
            ]
        )  # fmt: skip
        if turns:
            continue  # a direction has neither a smallest nor a largest value
        low, high = found.minimum, found.maximum
        extremes.append(
            [
                channel.symbol,
                words.figure(low.value, digits), words.moment(report.labelled(low.start_ms)),
                words.figure(high.value, digits), words.moment(report.labelled(high.start_ms)),
            ]
        )  # fmt: skip
    when = [Column(words("parameter"))]
    for name in ("minimum", "maximum"):
        when += [Column(words(name), 1, True), Column(words("at"), 1.5, True)]
    share = words.share(report.share_min * 100).replace(",00", "").replace(".00", "")
    blocks: list[Block] = [Table(columns, rows), Note(words("statistics_note", share=share))]
    totals = [
        (channel.symbol, f"{words.figure(found.total, channel.decimals)} {channel.unit}".strip())
        for channel in report.channels
        if (found := channel.statistics) and found.total is not None
    ]
    if totals:
        blocks += [Note(f"{words('totals')}:"), Facts(totals)]
    return [*blocks, Table(when, extremes, words("extremes"))] if extremes else blocks


def exceedances(report: Report, words: Words) -> list[Block]:
    """By limit, then each of them."""
    held = [
        (channel, span, limits)
        for channel in report.channels
        for span, limits in ((WINDOW, channel.limits), *channel.means)
        if limit_text(limits, words)
    ]
    if not held:
        return [Note(words("none"))]
    columns = [
        Column(words("parameter")), Column(words("of"), 1.1), Column(words("limit"), 1.2, True),
        Column(words("basis"), 2), Column(words("times"), 0.7, True), Column(words("total_time"), 1.4, True),
        Column(words("longest"), 1.4, True),
    ]  # fmt: skip
    rows, each, lasted = [], [], []
    for channel, span, limits in held:
        found = [one for one in channel.exceedances if one.span == span]
        lengths = [one.to_ms - one.from_ms for one in found]
        rows.append(
            [
                channel.symbol, words(f"span_{span}"), limit_text(limits, words), limits.basis,
                words.count(len(lengths)),
                *(words.length(ms) if ms else "–" for ms in (sum(lengths), max(lengths, default=0))),
            ]
        )  # fmt: skip
        lasted += lengths
        each += [
            [
                channel.symbol, words(f"span_{span}"), words.moment(one.from_ms), words.moment(one.to_ms),
                words.length(one.to_ms - one.from_ms), words.figure(one.worst, channel.decimals),
                words.figure(one.limit, channel.decimals), words(one.ended),
            ]
            for one in found
        ]  # fmt: skip
    detail = [
        Column(words("parameter"), 0.9), Column(words("of"), 0.8), Column(words("from"), 1.5),
        Column(words("to"), 1.5), Column(words("lasts"), 1.4, True), Column(words("worst"), 1.2, True),
        Column(words("limit"), 1.1, True), Column(words("ended"), 1.9),
    ]  # fmt: skip
    blocks: list[Block] = [Table(columns, rows), Note(words("exceedances_note"))]
    return [*blocks, *longest(detail, each, lasted, words)] if each else blocks


def limit_text(limits: Limits, words: Words) -> str:
    """Such as 6,0 – 9,0; "" without a limit."""
    low, high = limits.minimum, limits.maximum
    texts = [words.plain(limit) for limit in (low, high) if limit is not None]
    if len(texts) == 2:
        return " – ".join(texts)
    return ("≤ " if low is None else "≥ ") + texts[0] if texts else ""


def _causes(channel: ChannelReport) -> list[tuple[int, int]]:
    """Qualities of the windows that are not valid, and for how long; the longest first."""
    found = [(quality, ms) for quality, ms in channel.quality_ms.items() if quality != q.OK]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def _valid(buckets: Buckets, share_min: float) -> int:
    return sum(buckets.is_valid(at, share_min) for at in range(len(buckets.start_ms)))


def _count(report: Report, step_ms: int) -> int:
    """Hours or days (GMT+7) that the report touches."""
    first_ms = day_of(report.period.from_ms)
    return -(-(report.reach_ms - first_ms) // step_ms) - (report.period.from_ms - first_ms) // step_ms


def _span(words: Words, from_ms: int, to_ms: int) -> str:
    return f"{words.moment(from_ms)} – {words.moment(to_ms)}"
