"""Sections on what happened, as plain blocks: alerts, calibrations, interruptions, revisions. Pure.

Rule 1: what happened to several channels at once is one line.
Rule 2: a list that is cut says so, and which lines it shows.
"""

from __future__ import annotations

from gateway.calibration.fit import Judged
from gateway.interruptions import CHANNEL
from gateway.reports import interruption as interruption_texts
from gateway.reports.alert_text import split
from gateway.reports.alert_words import RULES, SPANS
from gateway.reports.period_blocks import BOOK, LINES_MAX, Block, Column, Note, Table, cut, longest
from gateway.reports.period_model import Alert, Report, Stop
from gateway.reports.period_words import Words


def alerts(report: Report, words: Words) -> list[Block]:
    """What was raised, and who did what about it."""
    columns = [
        Column(words("what"), 1.7), Column(words("from"), 1.3), Column(words("to"), 1.3),
        Column(words("value"), 0.8, True), Column(words("limit"), 0.9, True), Column(words("acted"), 3.4),
    ]  # fmt: skip
    decimals = {channel.symbol: channel.decimals for channel in report.channels}
    rows = []
    for alert in report.beside.alerts:
        digits = decimals.get(alert.about, 4)
        rows.append(
            [
                f"{alert_name(alert.rule, words)}: {alert.about}",
                words.moment(alert.since_ms), _until(words, alert.until_ms),
                words.figure(alert.value, digits), words.figure(alert.limit, digits),
                acted_text(alert, words) or words("nobody"),
            ]
        )  # fmt: skip
    return cut(columns, rows, words)


def calibrations(report: Report, words: Words) -> list[Block]:
    """Calibrations in force, and the time that was spent with status 01."""
    columns = [
        Column(words("time"), 1.4), Column(words("source"), 1.2), Column(words("quantity"), 1.2),
        Column(words("number"), 0.7, True), Column(words("points"), 3),
    ]  # fmt: skip
    rows = [
        [
            words.moment(one.at_ms), one.source, one.quantity, str(one.number),
            "; ".join(f"{words.plain(raw)}: {words.plain(value)}" for raw, value in one.points)
            or words("no_points"),
        ]
        for one in report.beside.calibrations
    ]  # fmt: skip
    in_force = cut(columns, rows, words, words("in_force"))
    return [*_records(report, words), *in_force, *_spans(report, words)]


def _records(report: Report, words: Words) -> list[Block]:
    """What people recorded; without any, no table."""
    if not report.beside.records:
        return []
    columns = [
        Column(words("time"), 1.3), Column(words("parameter"), 0.9), Column(words("record_kind"), 0.9),
        Column(words("zero_drift"), 0.9, True), Column(words("span_drift"), 0.9, True),
        Column(words("allowed"), 1), Column(words("certificate"), 1.4), Column(words("by"), 1.2),
    ]  # fmt: skip
    rows = [
        [
            words.moment(one.record.at_ms), f"{one.record.channel} {one.record.serial}",
            words(one.record.kind), words.plain(one.drift.zero, 4),
            f"{words.plain(one.drift.span, 4)} {one.record.unit}".strip(), allowed_text(one, words),
            certificates_text(one), one.record.who,
        ]
        for one in report.beside.records
    ]  # fmt: skip
    return cut(columns, rows, words, words("records"))


def allowed_text(one: Judged, words: Words) -> str:
    """What a drift was held against, and whether it holds."""
    limits = one.record.limits
    if one.drift.holds is None:
        return "–"
    said = [
        "–" if most is None else words.plain(most, 4)
        for most in (limits.zero_drift_max, limits.span_drift_max)
    ]
    return f"{' / '.join(said)}: {words('holds' if one.drift.holds else 'beyond')}"


def certificates_text(one: Judged) -> str:
    """By which standards, and until when they are valid."""
    return "; ".join(f"{each.number} ({each.valid_until})" for each in one.record.certificates)


def _spans(report: Report, words: Words) -> list[Block]:
    """By parameter and reason; each of them where they are not too many."""
    each, alike = [], {}
    for channel in report.channels:
        for one in channel.calibrating:
            length_ms, reason = one.to_ms - one.from_ms, words.quality(one.quality)
            alike.setdefault((channel.symbol, reason), []).append(length_ms)
            each.append(
                [
                    channel.symbol, words.moment(one.from_ms), words.moment(one.to_ms),
                    words.length(length_ms), reason,
                ]
            )  # fmt: skip
    columns = [Column(words("parameter")), Column(words("reason"), 1.5), Column(words("times"), 0.7, True)]
    columns += [Column(words("total_time"), 1.3, True), Column(words("longest"), 1.3, True)]
    rows = [
        [*key, words.count(len(lengths)), words.length(sum(lengths)), words.length(max(lengths))]
        for key, lengths in alike.items()
    ]
    blocks = cut(columns, rows, words, words("spans"))
    if len(each) > LINES_MAX:
        return [*blocks, Note(words("all_lines", count=words.count(len(each)), file=BOOK))]
    when = [Column(words("parameter")), Column(words("from"), 1.5), Column(words("to"), 1.5)]
    when += [Column(words("lasts"), 1.5, True), Column(words("reason"), 1.5)]
    return [*blocks, Table(when, each)] if each else blocks


def interruptions(report: Report, words: Words) -> list[Block]:
    """As the gateway found them (gateway/interruptions.py)."""
    columns = [
        Column(words("what"), 1.8), Column(words("from"), 1.4), Column(words("to"), 1.4),
        Column(words("lasts"), 1.3, True), Column(words("cause"), 2.2), Column(words("made_up"), 1, True),
    ]  # fmt: skip
    alike: dict[tuple, list[Stop]] = {}  # a gateway that was off mostly stopped all channels
    for stop in report.beside.interruptions:
        one = stop.interruption
        alike.setdefault((one.what[0], one.from_ms, one.to_ms, one.cause), []).append(stop)
    rows, lengths = [], []
    for (kind, from_ms, to_ms, _), stops in alike.items():
        one = stops[0].interruption
        cause = interruption_texts.cause(one) if words.language == "vi" else one.cause
        names = ", ".join(stop.interruption.what[1] for stop in stops)
        count, made_up = sum(stop.windows for stop in stops), sum(stop.made_up for stop in stops)
        lengths.append(one.lasts_ms(report.reach_ms))
        rows.append(
            [
                stopped(kind, names, words),
                words.moment(from_ms), _until(words, to_ms), words.length(lengths[-1]), cause,
                words.of(made_up, count) if count else "–",
            ]
        )  # fmt: skip
    blocks = longest(columns, rows, lengths, words)
    return [*blocks, Note(words("made_up_note"))] if rows else blocks


def revisions(report: Report, words: Words) -> list[Block]:
    """What was computed again, and why."""
    columns = [
        Column(words("parameter"), 2.5), Column(words("from"), 1.5), Column(words("to"), 1.5),
        Column(words("count"), 0.8, True), Column(words("revision"), 0.9, True), Column(words("reason"), 2.5),
    ]  # fmt: skip
    alike: dict[tuple, list[str]] = {}  # late data mostly are those of all channels
    for symbol, *of_all in report.revised:
        alike.setdefault(tuple(of_all), []).append(symbol)
    rows = [
        [
            ", ".join(symbols), words.moment(from_ms), words.moment(to_ms), words.count(windows),
            str(revision), words.reason(reason),
        ]
        for (from_ms, to_ms, windows, revision, reason), symbols in alike.items()
    ]  # fmt: skip
    return [
        Note(words("revisions_note", count=words.count(report.revised_count))),
        *cut(columns, rows, words),
    ]


def acted_text(alert: Alert, words: Words) -> str:
    """Who acted, and when."""
    return "; ".join(
        f"{words.moment(one.at_ms)} {words(one.what, by=one.by, note=one.note and f'({one.note})').strip()}"
        for one in alert.acted
    )


def alert_name(rule: str, words: Words) -> str:
    """A rule of alerts in words, with what mean it is about: "limit day"."""
    kind, span = split(rule)
    name = words.both(RULES.get(kind, (kind, kind)))
    return f"{name} ({words.both(SPANS.get(span, (span, span)))})" if span else name


def stopped(kind: str, names: str, words: Words) -> str:
    """What an interruption is of."""
    return words("channel_stop" if kind == CHANNEL else "destination_stop", name=names)


def _until(words: Words, time_ms: int | None) -> str:
    return words("lasting") if time_ms is None else words.moment(time_ms)
