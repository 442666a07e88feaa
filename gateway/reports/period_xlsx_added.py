"""Sheets on loads, fees, an index, QAL3 and signs: (title, headings, rows) for period_xlsx.py. Pure.

Rule 1: the same figures as HTML and PDF, and all of them: each day of a load, each hour of an index.
Rule 2: what a station does not have is no sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.reports.period_added import Added
from gateway.reports.period_cells import Cell, Figure, Share, When
from gateway.reports.period_index import Air, Water
from gateway.reports.period_loads import Loads, gaps_alike
from gateway.reports.period_loads_blocks import uncovered_hours
from gateway.reports.period_missing import missing, why
from gateway.reports.period_qal3 import Judged
from gateway.reports.period_signs import Signs
from gateway.reports.period_words import Words


class Sheet(NamedTuple):
    title: str
    headings: list[str]
    rows: Iterable[list[Cell]]


def sheets(added: Added, words: Words) -> Iterator[Sheet]:
    """All that there are."""
    if added.loads is not None and added.loads.volume is not None:
        yield from _loads(added.loads, words)
    if added.rating is not None:
        yield from _index(added.rating, words)
    if judged := [one for one in added.qal3 if one.charts is not None]:
        yield from _qal3(judged, words)
    if added.signs is not None and added.signs.signs is not None:
        yield _signs(added.signs, words)


def _loads(found: Loads, words: Words) -> Iterator[Sheet]:
    headings = [words(name) for name in ("parameter", "from", "to", "load", "volume")]
    headings += [f"{words('covered')} (%)", words("uncovered_hours")]
    for title, of in (("loads_month", "months"), ("loads_day", "days")):
        yield Sheet(
            words(f"sheet_{title}"),
            headings,
            (
                [
                    load.symbol, When(load.period.start_ms), When(load.period.end_ms),
                    _figure(load.mass_kg), _figure(load.volume_m3), Share(load.share * 100),
                    _figure(uncovered_hours(load), 2),
                ]
                for one in found.loads
                for load in getattr(one, of)
            ),
        )  # fmt: skip
    yield Sheet(
        words("sheet_gaps"),
        [
            *(words(name) for name in ("parameter", "from", "to")),
            f"{words('lasts')} ({words('minutes')})", words("reason"),
        ],
        (
            [
                ", ".join(symbols), When(gap.start_ms), When(gap.end_ms),
                (gap.end_ms - gap.start_ms) / 60_000, why(gap.why, words),
            ]
            for gap, symbols in gaps_alike(found)
        ),
    )  # fmt: skip
    if found.drafts:
        yield Sheet(
            words("fees"),
            [
                words("quarter").capitalize(),
                *(words(name) for name in ("decree", "parameter", "load")),
                f"{words('covered')} (%)",
                words("rate"),
                words("fee"),
            ],
            _fees(found, words),
        )


def _figure(value: float, decimals: int = 3) -> Figure:
    """All digits of it; so many are shown."""
    return Figure((value, decimals, True))


def _fees(found: Loads, words: Words) -> Iterator[list[Cell]]:
    for draft in found.drafts:
        head = [f"{draft.quarter.number}/{draft.quarter.year}", draft.decree]
        for line in draft.lines:
            load = line.load
            yield [
                *head, load.symbol, _figure(load.mass_kg), Share(load.share * 100), line.rate_vnd_kg,
                line.fee_vnd,
            ]  # fmt: skip
        if draft.fixed_vnd:
            yield [*head, words("fixed_fee"), None, None, None, draft.fixed_vnd]
        total = words("no_total") if draft.total_vnd is None else draft.total_vnd
        yield [*head, words("total_fee"), None, Share(draft.volume.share * 100), None, total]


def _index(found: Air | Water, words: Words) -> Iterator[Sheet]:
    names = ["time", "index", "deciding", "class", "colour", "lacking"]
    if isinstance(found, Air):
        headings = [words(name) for name in names]
        advice = [words(name) for name in ("everybody", "sensitive")]
        yield Sheet(
            words("index_day"),
            [*headings, *advice],
            (_air(day.start_ms, day.rated, words) for day in found.days),
        )
        yield Sheet(
            words("index_hour"),
            headings,
            (_rated(hour.start_ms, hour.rated, words) for hour in found.hours()),
        )
        return
    yield Sheet(
        words("index_water"),
        [words(name) for name in (*names, "use")],
        ([*_rated(day.start_ms, day.rated, words), _use(day.rated.rated, words)] for day in found.days),
    )


def _air(start_ms: int, rated, words: Words) -> list[Cell]:
    about = rated.rated
    advice = [words.both(about.everybody), words.both(about.sensitive)] if about else []
    return [*_rated(start_ms, rated, words), *advice]


def _rated(start_ms: int, rated, words: Words) -> list[Cell]:
    about = rated.rated
    named = [words.both(about.name), words.colour(about.rgb)] if about else [words("no_index"), ""]
    return [When(start_ms), rated.value, rated.deciding, *named, missing(rated.missing, words)]


def _use(rated, words: Words) -> str:
    return words.both(rated.use) if rated else ""


def _qal3(judged: list[Judged], words: Words) -> Iterator[Sheet]:
    yield Sheet(
        "QAL3",
        [words(name) for name in ("parameter", "time", "point", "difference", "precision", "drift up")]
        + [words("drift down"), words("shewhart"), words("findings")],
        (
            [
                one.symbol, When(each.time_ms), words(each.point),
                *map(_figure, (each.difference, each.precision.value, each.up.value, each.down.value)),
                words(f"shewhart_{each.shewhart}") if each.shewhart else "",
                ", ".join(map(words, each.out)),
            ]
            for one in judged
            for each in (one.charts.plotted if one.charts else ())
        ),
    )  # fmt: skip
    yield Sheet(
        f"QAL3 {words('findings').lower()}",
        [words(name) for name in ("parameter", "point", "chart", "since", "value", "threshold", "adjust")]
        + [words("time"), words("until"), words("done_by")],
        (
            [
                one.symbol, words(each.point), words(each.chart), When(each.since_ms), _figure(each.value),
                _figure(each.threshold), None if each.adjust is None else _figure(-each.adjust),
                *([When(each.ended.time_ms), each.ended.action, each.ended.by] if each.ended else []),
            ]
            for one in judged
            for each in (one.charts.findings if one.charts else ())
        ),
    )  # fmt: skip


def _signs(found: Signs, words: Words) -> Sheet:
    return Sheet(
        words("signs"),
        [words(name) for name in ("from", "to", "parameter", "sign_name", "statistic", "threshold")]
        + [words("look_here")],
        (
            [
                When(sign.start_ms), When(sign.end_ms), sign.symbol, words(sign.name), sign.statistic,
                sign.threshold, words.both((sign.vi, sign.en)),
            ]
            for sign in found.signs or ()
        ),
    )  # fmt: skip
