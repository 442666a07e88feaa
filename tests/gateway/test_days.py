"""Whole days of windows, hours, 8-hour means and days against plain loops written from the definitions.

A day has gaps, readings that come late and in any order, two of one moment, every quality. Each run takes
some hundred days; QUANTRAC_LONG=1 takes 20,000.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from zoneinfo import ZoneInfo

import pytest

from gateway import hours, zone
from gateway.checks import Checks
from gateway.hours import DAY_MS, HOUR_MS
from gateway.windows import Channel, Settings, Window, Windows
from protocol import quality as q
from protocol.messages import Readings
from protocol.reading import bits_float, float_bits
from tests.gateway import test_checks
from tests.promises.counted import counted

LONG = bool(os.environ.get("QUANTRAC_LONG"))
DAYS_EACH = 4
SEEDS = 20_000 // DAYS_EACH if LONG else 80
PARTS = 8
"""Of the seeds, for several workers."""
VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
MIDNIGHT = int(datetime(2026, 3, 25, tzinfo=VIETNAM).timestamp() * 1000)
LENGTH = 300_000
WINDOWS = DAYS_EACH * 288
RULES = Checks(-20.0, 380.0, 300.0, 150.0, 1_800_000, 0.0, -5.0)
KINDS = ("mean", "checked", "vector", "total", "last", "slow")
QUALITIES = [q.OK] * 40 + [q.CALIBRATING, q.MAINTENANCE, q.FAULT, q.TIMEOUT, q.OUT_OF_RANGE]

Reading = tuple[int, int, "float | None", int]  # time, order of arrival, value, quality


def channel_of(kind: str) -> Channel:
    average = kind if kind in ("vector", "total", "last") else "mean"
    checks = tuple(RULES) if kind == "checked" else ()
    return Channel("X", "u", "device/st-01", "x", average=average, checks=checks, holds=True, rollover=1000.0)


# What happens


def lived(rng: Random, kind: str, interval_ms: int) -> tuple[list[Reading], dict[int, int]]:
    """Readings in the order of arrival, and how many windows late each one comes (by that order)."""
    meter, value, found, late = rng.uniform(0, 900), rng.uniform(0, 300), [], {}
    at_ms, gap_until = MIDNIGHT + rng.randrange(interval_ms), 0
    while at_ms < MIDNIGHT + WINDOWS * LENGTH:
        if rng.random() < 0.008 * interval_ms / LENGTH:
            gap_until = at_ms + rng.randrange(40) * LENGTH
        if rng.random() < 0.97:
            value = max(-30.0, min(399.0, value + rng.gauss(0, 8)))
        if rng.random() < 0.003:
            value = rng.uniform(-30, 399)
        meter = (meter + rng.choice([0, rng.uniform(0, 9)])) % 1000
        if at_ms >= gap_until and rng.random() < 0.97:
            shown = {"vector": value % 360, "total": meter, "last": float(value > 150)}.get(kind, value)
            for _ in range(1 + (rng.random() < 0.01)):  # sometimes two of one moment
                quality = rng.choice(QUALITIES)
                number = bits_float(float_bits(shown)) if q.has_value(quality) else None
                if kind == "slow" and number is not None:
                    number = bits_float(float_bits(round(shown)))
                late[len(found)] = rng.randrange(1, 30) if rng.random() < 0.01 else 0
                found.append((at_ms, len(found), number, quality))
        at_ms += interval_ms
    return found, late


# What the gateway makes of it


def made(readings: list[Reading], late: dict[int, int], kind: str, interval_ms: int, rng: Random):
    """The newest revision of every window, as the gateway closes and revises them, and how many revisions."""
    windows = Windows([channel_of(kind)], Settings())
    lane = windows.lanes["device/st-01"]
    lane.describe(1, [("x", interval_ms, 0, ())])
    windows.next_ms, windows._virgin = MIDNIGHT, False
    rows: dict[int, list[Window]] = {}
    due: dict[int, list[Reading]] = defaultdict(list)
    for reading in readings:
        due[(reading[0] - MIDNIGHT) // LENGTH + late[reading[1]]].append(reading)
    taken: dict[int, list[Reading]] = defaultdict(list)
    now_ms = MIDNIGHT + 2 * WINDOWS * LENGTH

    def give(one, reading: Reading) -> None:
        bits = None if reading[2] is None else float_bits(reading[2])
        one.add(Readings(1, 1, reading[0], 1, ((0, 0, bits, reading[3], 0),)), now_ms, 0.0)

    def newest(start_ms: int) -> Window | None:
        found = rows.get(start_ms)
        return found[-1] if found else None

    def again(start_ms: int) -> Window | None:
        """As Intake._recomputed()."""
        scratch = windows.scratch(start_ms)
        before = newest(start_ms - LENGTH)
        if before is not None:
            scratch.states[0].carried = before.state()
        scratch.states[0].expected = rows[start_ms][-1].expected or None
        for reading in taken[start_ms]:
            give(scratch.lanes["device/st-01"], reading)
        changed = windows.revised(scratch.close(start_ms), rows[start_ms])
        passes = windows.passes_on(changed, rows[start_ms])
        rows[start_ms] += changed
        windows.took(changed)
        return changed[0] if passes else None

    for number in range(WINDOWS):
        arriving = due.pop(number, [])
        rng.shuffle(arriving)
        arriving.sort(key=lambda reading: reading[0] // LENGTH)  # a window's readings in any order
        for reading in arriving:
            start_ms = windows.start_of(reading[0])
            taken[start_ms].append(reading)
            give(lane, reading)
        start_ms = windows.next_ms
        assert start_ms is not None
        rows[start_ms] = windows.close(start_ms)
        for one in windows.late_due(1e9):
            start_ms = one.start_ms
            while again(start_ms) is not None and start_ms + LENGTH < windows.next_ms:
                start_ms += LENGTH
            one.settled()
    return rows, taken


# What the definitions say


def defined(taken: dict[int, list[Reading]], kind: str, interval_ms: int) -> dict[int, dict]:
    """Every window from its readings, in the order of time, with nothing of the gateway."""
    found = {}
    last = last_ms = meter = since_ms = None
    for number in range(WINDOWS):
        start_ms = MIDNIGHT + number * LENGTH
        readings = sorted(taken.get(start_ms, []), key=lambda reading: reading[0])
        good = [(at, value) for at, _, value, quality in readings if quality == q.OK and value is not None]
        bad = [quality for _, _, _, quality in readings if quality != q.OK]
        other = [value for _, _, value, quality in readings if quality != q.OK and value is not None]
        if kind == "checked":
            flagged = test_checks.reference(good, RULES)
            bad += [flag for flag in flagged if flag]
            other += [value for (_, value), flag in zip(good, flagged, strict=True) if flag]
            good = [reading for reading, flag in zip(good, flagged, strict=True) if not flag]
            if good:
                run = len(good) - 1
                while run and good[run - 1][1] == good[-1][1]:
                    run -= 1
                goes_on = run == 0 and since_ms is not None and last == good[-1][1]
                since_ms = since_ms if goes_on else good[run][0]
            if since_ms is not None and start_ms + LENGTH - since_ms >= RULES.stuck_ms:
                bad += ["STUCK"] * len(good)
                other += [value for _, value in good]
                good = []
        values = [value for _, value in good]
        expected = max(1, LENGTH // interval_ms)
        silent_ms = start_ms + LENGTH - last_ms if last_ms is not None and not readings else math.inf
        if kind == "slow" and silent_ms <= 1.5 * interval_ms:
            found[start_ms] = {"value": last, "good": 0, "ok": True, "expected": 0, "sd": None}
            continue
        entry = {"good": len(values), "expected": expected, "sd": None}
        if kind in ("mean", "checked", "slow"):
            if values:
                entry["value"] = float(sum(map(Fraction, values)) / len(values))
                entry["sd"] = statistics.stdev(values) if len(values) > 1 else None
                last = values_last(taken[start_ms], good, kind)
                last_ms = good[-1][0]
            else:
                entry["value"] = float(sum(map(Fraction, other)) / len(other)) if other else last
        elif kind == "vector":
            if values:
                east = math.fsum(math.sin(math.radians(value)) for value in values)
                north = math.fsum(math.cos(math.radians(value)) for value in values)
                last = math.degrees(math.atan2(east, north)) % 360
            entry["value"] = last
        elif kind == "last":
            last = values[-1] if values else last
            entry["value"] = last
        else:
            total = 0.0
            for value in values:
                if meter is not None and value >= meter:
                    total += value - meter
                elif meter is not None and meter >= 900 and value <= 100:
                    total += 1000 - meter + value
                meter = value
            entry["value"] = None if meter is None else total
        entry["ok"] = bool(values) and Fraction(len(values), expected) >= Fraction(3, 4)
        found[start_ms] = entry
    return found


def values_last(arrived: list[Reading], good: list[tuple[int, float]], kind: str) -> float:
    """The last valid value: by time where readings have one, else the one that came last."""
    if kind != "mean":
        return good[-1][1]
    return [value for _, _, value, quality in arrived if quality == q.OK and value is not None][-1]


def same(a: float | None, b: float | None, kind: str) -> bool:
    if a is None or b is None:
        return a is b
    if kind == "vector":
        off = (a - b) % 360
        return min(off, 360 - off) < 1e-6
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9)


def against_the_definitions(seed: int) -> int:
    """Returns how many revisions there were."""
    rng = Random(seed)
    kind = KINDS[seed % len(KINDS)]
    interval_ms = 1_800_000 if kind == "slow" else rng.choice([25_000, 60_000, 100_000])
    readings, late = lived(rng, kind, interval_ms)
    rows, taken = made(readings, late, kind, interval_ms, rng)
    wanted = defined(taken, kind, interval_ms)
    assert len(rows) == len(wanted) == WINDOWS
    hung = set()  # windows behind a late reading whose carried value nobody revises: a mean has no such
    for start_ms, revisions in rows.items():
        row, entry = revisions[-1], wanted[start_ms]
        told = (seed, kind, start_ms, row, entry)
        assert row.count == entry["good"] and row.expected == entry["expected"], told
        assert (row.status == "00") == entry["ok"], told
        if entry["good"] or kind in ("total", "slow") or not any(late.values()):
            assert same(row.value, entry["value"], kind), told
        else:
            hung.add(start_ms)
        if entry["sd"] is not None:
            assert math.isclose(row.deviation, entry["sd"], rel_tol=1e-9, abs_tol=1e-9), told
    assert len(hung) < WINDOWS // 2
    spans(rows, kind)
    return sum(len(revisions) - 1 for revisions in rows.values())


def spans(rows: dict[int, list[Window]], kind: str) -> None:
    """Hours, 8-hour means and days, from the windows' rows, by the calendar of Vietnam."""
    windows = [revisions[-1] for revisions in rows.values()]
    by_hour: dict[datetime, list[Window]] = defaultdict(list)
    by_day: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        at = datetime.fromtimestamp(window.start_ms / 1000, UTC).astimezone(VIETNAM)
        by_hour[at.replace(minute=0)].append(window)
        by_day[f"{at:%Y-%m-%d}"].append(window)
    found = []
    for at, part in by_hour.items():
        [hour] = hours.of(part, 1, 0.75)
        assert hour.start_ms == at.timestamp() * 1000 and hour.end_ms == hour.start_ms + HOUR_MS
        check(hour, part, 12, kind)
        found.append(hour)
    for day, part in by_day.items():
        [one] = hours.days(part, 1, 0.75)
        assert datetime.fromtimestamp(one.start_ms / 1000, VIETNAM).isoformat() == f"{day}T00:00:00+07:00"
        assert one.end_ms - one.start_ms == DAY_MS
        check(one, part, 288, kind)
    moving = hours.moving(found, 1, 0.75)
    assert len(moving) == len(found)
    for mean, newest in zip(moving, found, strict=True):
        since = datetime.fromtimestamp(newest.end_ms / 1000, VIETNAM) - timedelta(hours=8)
        part = [hour for hour in found if since.timestamp() * 1000 <= hour.start_ms < newest.end_ms]
        assert mean.start_ms == since.timestamp() * 1000 and mean.end_ms == newest.end_ms
        check(mean, part, 8, kind)


def check(span: Window, part: list[Window], expected: int, kind: str) -> None:
    good = [window.value for window in part if window.status == "00"]
    assert (span.count, span.expected) == (len(good), expected)
    assert (span.status == "00") == (Fraction(len(good), expected) >= Fraction(3, 4))
    if kind == "total":
        known = [window.value for window in part if window.value is not None]
        assert same(span.value, math.fsum(known) if known else None, kind)
    elif kind == "last" and good:
        assert span.value == good[-1]
    elif kind == "vector" and good:
        east = math.fsum(math.sin(math.radians(value)) for value in good)
        north = math.fsum(math.cos(math.radians(value)) for value in good)
        assert same(span.value, math.degrees(math.atan2(east, north)), kind)
    elif good:
        assert same(span.value, float(sum(map(Fraction, good)) / len(good)), kind)


@pytest.fixture(params=["UTC", "America/New_York"])
def machine_zone(request, monkeypatch):
    """The machine's own time zone, which is nobody's business."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.timeout(7200 if LONG else 300)
@pytest.mark.parametrize("part", range(PARTS))
def test_days_equal_the_definitions(part, machine_zone):
    first = part if machine_zone == "UTC" else part + PARTS
    seeds = range(first, SEEDS, 2 * PARTS)
    assert sum(against_the_definitions(seed) for seed in seeds) > 0
    counted("windows", len(seeds) * WINDOWS)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("start_of", lambda self, time_ms: time_ms - (time_ms + self.settings.offset_ms + 1) % LENGTH),
        ("passes_on", lambda self, changed, stored: False),
        ("took", lambda self, rows: None),
    ],
)
def test_control_an_edge_off_by_one_or_a_meter_told_twice_is_found(monkeypatch, name, wrong):
    monkeypatch.setattr(Windows, name, wrong)
    with pytest.raises((AssertionError, KeyError)):  # of a window that is not where it should be
        for seed in range(12):
            against_the_definitions(seed)


def test_control_a_day_that_begins_elsewhere_is_found(monkeypatch):
    monkeypatch.setattr(zone, "GMT7_MS", 8 * HOUR_MS)
    with pytest.raises(AssertionError):
        against_the_definitions(0)
