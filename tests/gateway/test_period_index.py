"""gateway/reports/period_index.py and its section: a report's VN_AQI and VN_WQI, by its windows; controls."""

from __future__ import annotations

import math

import pytest

from gateway.indices import vn_aqi, vn_wqi
from gateway.reports import period_html, period_index, period_index_blocks
from gateway.reports.period_words import LANGUAGES, Words
from gateway.zone import DAY_MS, HOUR_MS
from protocol import quality as q
from tests.gateway.test_period_added import AIR, RIVER, TEN, report_of, rows_of
from tests.gateway.test_period_outputs import Page


def air_differences(seed: int = 7, gaps: float = 0.02) -> list[str]:
    """Where the report's VN_AQI differs from that of hour means made here, of 9 valid windows of 12."""
    rows = rows_of(AIR, TEN, seed, gaps)
    rating = report_of(rows, TEN, AIR, "ambient-air").added.rating
    hours: dict[str, dict[int, float | None]] = {}
    for symbol, name, factor in (("PM2,5", "PM2.5", 1), ("PM10", "PM10", 1000)):
        held: dict[int, list[float]] = {ms: [] for ms in range(TEN.from_ms, TEN.to_ms, HOUR_MS)}
        for row in rows:
            if row[1] == symbol and row[6] == q.OK:
                held[row[0] - row[0] % HOUR_MS].append(row[5])
        hours[name] = {
            ms: vn_aqi.in_ug_m3(math.fsum(v) / len(v), "ug/m3" if factor == 1 else "mg/m3")
            if len(v) >= 9
            else None
            for ms, v in held.items()
        }
    found = []
    for day in rating.days:
        wanted = vn_aqi.daily(
            {name: [held.get(day.start_ms + i * HOUR_MS) for i in range(24)] for name, held in hours.items()}
        )
        if (day.rated.value, day.rated.deciding, day.rated.missing) != (
            wanted.value, wanted.deciding, wanted.missing,
        ):  # fmt: skip
            found.append(f"day {day.start_ms}")
    for hour in list(rating.hours())[12:60]:
        newest = {
            name: [held[hour.start_ms - i * HOUR_MS] for i in range(12)] for name, held in hours.items()
        }
        if hour.rated.value != vn_aqi.hourly(newest).value:
            found.append(f"hour {hour.start_ms}")
    return found


def water_differences() -> list[str]:
    """The same of VN_WQI and day means."""
    rows = rows_of(RIVER, TEN, 8)
    found = []
    for day in report_of(rows, TEN, RIVER, "surface-water").added.rating.days:
        means = {}
        for one, factor in ((RIVER[0], 1), (RIVER[1], 1), (RIVER[2], 1e-3), (RIVER[4], 1), (RIVER[5], 1)):
            values = [
                row[5]
                for row in rows
                if row[1] == one.symbol and row[6] == q.OK and 0 <= row[0] - day.start_ms < DAY_MS
            ]
            means[one.symbol] = math.fsum(values) / len(values) * factor
        wanted = vn_wqi.quality(means)
        if (day.rated.value, day.rated.indicative, day.rated.missing) != (
            wanted.value, wanted.indicative, wanted.missing,
        ):  # fmt: skip
            found.append(f"day {day.start_ms}")
    return found


def shown_differences(language: str) -> list[str]:
    """Where the section's table says something else than the index."""
    words, report = Words(language), report_of(rows_of(AIR, TEN, 7), TEN, AIR, "ambient-air")
    page = Page(period_html.render(report, language).decode())
    rows = {row[0]: row for row in reversed(page.rows) if row}  # the first of a date: means come later
    found = []
    for day in report.added.rating.days:
        date, one = words.date(day.start_ms), day.rated
        name = words.both(one.rated.name) if one.rated else words("no_index")
        value = "–" if one.value is None else str(one.value)
        if rows[date][1:4] != [value, one.deciding or "–", name]:
            found.append(date)
    return found


def test_days_and_hours_of_vn_aqi_are_those_of_the_hour_means():
    rating = report_of(rows_of(AIR, TEN, 7), TEN, AIR, "ambient-air").added.rating
    assert rating.mapped == (("PM2,5", "PM2.5"), ("PM10", "PM10"))
    assert {(one.symbol, one.parameter) for one in rating.unmapped} == {("O3", "O3"), ("Wind", "")}
    assert {day.rated.deciding for day in rating.days} <= {"PM2.5", "PM10"}
    assert air_differences() == [] == air_differences(9, 0.3)


def test_vn_wqi_converts_units_and_names_what_it_cannot():
    rating = report_of(rows_of(RIVER, TEN, 8), TEN, RIVER, "surface-water").added.rating
    assert [one.symbol for one in rating.unmapped] == ["NH4"]
    assert all(day.rated.indicative is not None for day in rating.days)
    assert water_differences() == []


def test_control_hours_that_are_not_valid_are_found(monkeypatch):
    real = period_index._valid
    monkeypatch.setattr(period_index, "_valid", lambda buckets, _: real(buckets, 0.01))
    assert air_differences(9, 0.3) != []


def test_control_a_unit_that_is_not_converted_is_found(monkeypatch):
    monkeypatch.setattr(period_index, "factor_of", lambda *_: 1.0)
    assert water_differences() != []


def test_control_an_index_of_the_day_before_is_found(monkeypatch):
    real = period_index.AirDay
    monkeypatch.setattr(period_index, "AirDay", lambda ms, rated: real(ms + DAY_MS, rated))
    assert air_differences() != []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_section_shows_the_index_of_each_day(language):
    assert shown_differences(language) == []


def test_control_a_section_that_names_another_class_is_found(monkeypatch):
    class Wrong(Words):
        def both(self, texts):
            return super().both(texts)[::-1]

    real = period_index_blocks.index
    monkeypatch.setattr("gateway.reports.period_sections.SECTIONS", {
        "index": ("index", lambda report, words: real(report, Wrong(words.language))),
    })  # fmt: skip
    assert shown_differences("vi") != []
