"""Shared by the tests of period reports: windows at random, a journal of them, and a slow reference.

The reference goes window by window over the period and reads everything off plain lists; it shares no code
with gateway/reports but for the names of what it finds.
"""

from __future__ import annotations

import itertools
import random
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from statistics import quantiles
from typing import Any

from gateway.journal import database
from gateway.journal.kinds import EVENT
from gateway.journal.leaf import leaf
from gateway.reports import period_build
from gateway.reports import period_model as model
from gateway.reports.period import Period
from gateway.reports.period_runs import Limits
from gateway.reports.period_series import PERCENTILES
from gateway.zone import HOUR_MS
from protocol import quality as q

LENGTH = 300_000
STATION = model.Station("LCa", "DEMO", "NUO001", "Trạm quan trắc nước thải", "wastewater")
GRID = period_build.Grid(LENGTH, True, 0.75)
SETTINGS = (
    model.Setting("COD", "mg/l", 1, Limits(75.0, None, "QCVN 40:2011 A")),
    model.Setting("pH", "", 2, Limits(9.0, 6.0, "QCVN 40:2011 A")),
    model.Setting("Flow", "m3/h", 4, Limits()),
)
QUALITIES = (q.OK,) * 10 + (q.CALIBRATING, q.MAINTENANCE, q.TIMEOUT, q.FAULT, q.COVERAGE, q.NO_DATA)
CLASS = {"00": "valid", "01": "calibrating", "02": "faulty"}

Record = tuple[int, str, int, int, str, float | None, int, str]


def records(period: Period, seed: int, gaps: float = 0.05, margin: int = 3) -> list[Record]:
    """Windows of SETTINGS in the period and `margin` of them before and after it, by start, symbol and
    revision: gaps, later revisions, every quality, values about the limits.
    """
    chance = random.Random(seed)
    found: list[Record] = []
    near = {"COD": (70.0, 4.0), "pH": (7.5, 1.5), "Flow": (40.0, 10.0)}
    quality = dict.fromkeys(near, q.OK)
    for start in range(period.from_ms - margin * LENGTH, period.to_ms + margin * LENGTH, LENGTH):
        for symbol, unit in sorted((setting.symbol, setting.unit) for setting in SETTINGS):
            if chance.random() < gaps:
                continue
            if chance.random() < 0.3:  # qualities last for some windows
                quality[symbol] = chance.choice(QUALITIES)
            for revision in range(1, chance.choice((1, 1, 1, 1, 2, 3)) + 1):
                of_this = quality[symbol] if revision == 1 else chance.choice(QUALITIES)
                value = chance.gauss(*near[symbol]) if of_this != q.NO_DATA or chance.random() < 0.5 else None
                reason = "late data" if revision > 1 else ""
                found.append((start, symbol, revision, start + LENGTH, unit, value, of_this, reason))
    return found


def by_hour(rows: list[Record], period: Period) -> list[list[Record]]:
    """The period's rows as the journal gives them."""
    inside = [row for row in rows if period.from_ms <= row[0] < period.to_ms]
    return [list(group) for _, group in itertools.groupby(inside, key=lambda row: row[0] // HOUR_MS)]


def report_of(
    rows: list[Record], period: Period, settings=SETTINGS, beside: model.Beside | None = None
) -> model.Report:
    newest_ms = max((row[3] for row in rows), default=0)
    part = period_build.collect(period, settings, GRID, by_hour(rows, period), newest_ms)
    evidence = model.Evidence(4711, "quantrac/LCa/DEMO/NUO001", 4700, "AAAA/+==")
    return period_build.build(
        STATION, period, settings, GRID, [part], newest_ms, beside or model.Beside(), evidence
    )


def reference(rows: list[Record], period: Period, setting: model.Setting) -> dict[str, Any]:
    """What the report says of a channel, from the definitions."""
    reach_ms = min(period.to_ms, max(row[3] for row in rows))
    newest: dict[int, Record] = {}
    for row in rows:
        if row[1] == setting.symbol and (row[0] not in newest or newest[row[0]][2] < row[2]):
            newest[row[0]] = row
    slots = [newest.get(start) for start in range(period.from_ms, reach_ms, LENGTH)]
    counts = dict.fromkeys(model.CLASSES, 0)
    for slot in slots:
        missing = slot is None or slot[6] == q.NO_DATA
        counts["missing" if missing else CLASS[q.status(slot[6])]] += 1
    valid = [(slot[0], slot[5]) for slot in slots if slot and slot[6] == q.OK and slot[5] is not None]
    values = [value for _, value in valid]
    return {
        "capture_ms": {name: count * LENGTH for name, count in counts.items()},
        "values": values,
        "mean": float(sum(map(Fraction, values)) / len(values)) if values else None,
        "minimum": min(values, default=None), "maximum": max(values, default=None),
        "at": (
            next((start for start, value in valid if value == min(values)), None),
            next((start for start, value in valid if value == max(values)), None),
        ),
        "percentiles": [quantiles(values, n=100, method="inclusive")[p - 1] for p in PERCENTILES]
        if len(values) > 1 else values * len(PERCENTILES),
        "hours": _buckets(slots, valid, HOUR_MS), "days": _buckets(slots, valid, 24 * HOUR_MS),
        "exceedances": _exceedances(slots, period.from_ms, setting),
        "calibrating": _calibrating(slots, period.from_ms),
    }  # fmt: skip


def _buckets(slots, valid, step_ms: int) -> dict[int, tuple[int, float | None]]:
    """start -> (valid windows, mean), of hours or days (GMT+7) that have any window."""
    found: dict[int, list] = {}
    for slot in slots:
        if slot is not None:
            found.setdefault(_floor(slot[0], step_ms), [])
    for start, value in valid:
        found[_floor(start, step_ms)].append(value)
    return {
        start: (len(values), float(sum(map(Fraction, values)) / len(values)) if values else None)
        for start, values in found.items()
    }


def _floor(time_ms: int, step_ms: int) -> int:
    return (time_ms + 7 * HOUR_MS) // step_ms * step_ms - 7 * HOUR_MS


def _exceedances(slots, begin: int, setting: model.Setting) -> list[tuple]:
    """(from, to, worst) of runs of slots on the same side beyond the limit."""
    step = Decimal(1).scaleb(-setting.decimals)
    sides = []
    for slot in slots:
        figure = None
        if slot is not None and slot[6] == q.OK and slot[5] is not None:
            figure = Decimal(slot[5]).quantize(step, ROUND_HALF_EVEN)
        high, low = setting.limits.maximum, setting.limits.minimum
        if figure is not None and high is not None and figure > high:
            sides.append(("high", float(figure)))
        elif figure is not None and low is not None and figure < low:
            sides.append(("low", float(figure)))
        else:
            sides.append(("", 0.0))
    found, at = [], 0
    for side, run in itertools.groupby(sides, key=lambda one: one[0]):
        figures = [figure for _, figure in run]
        if side:
            worst = max(figures) if side == "high" else min(figures)
            found.append((begin + at * LENGTH, begin + (at + len(figures)) * LENGTH, worst))
        at += len(figures)
    return found


def _calibrating(slots, begin: int) -> list[tuple[int, int, int]]:
    found, at = [], 0
    for quality, run in itertools.groupby(slots, key=lambda slot: slot[6] if slot else None):
        length = len(list(run))
        if quality in (q.CALIBRATING, q.MAINTENANCE):
            found.append((begin + at * LENGTH, begin + (at + length) * LENGTH, quality))
        at += length
    return found


def journal(path: Path, rows: list[Record], events: list[bytes] = ()) -> None:  # type: ignore[assignment]
    """A journal that holds these windows, each with an entry of its own, and EVENT entries behind them."""
    connection = database.connect(path)
    try:
        database.migrate(connection)
        connection.execute("BEGIN")
        connection.execute("INSERT INTO source VALUES (1, 'gateway')")
        bodies = [b"window %d" % number for number in range(len(rows))] + list(events)
        for idx, body in enumerate(bodies):
            kind, at_ms = (3, rows[idx][3]) if idx < len(rows) else (EVENT, rows[-1][3])
            connection.execute(
                "INSERT INTO entry VALUES (?, ?, 1, 0, 0, 0, ?, 0, NULL, NULL, ?, ?)",
                (idx, kind, at_ms, leaf(kind, "gateway", at_ms, 0, body), body),
            )
        connection.executemany(
            "INSERT INTO window (start_ms, symbol, revision, end_ms, unit, value, quality, reason, idx, "
            "status, valid, expected, valid_share) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1, 1.0)",
            [(*row, idx, q.status(row[6])) for idx, row in enumerate(rows)],
        )
        connection.execute("COMMIT")
    finally:
        connection.close()


CONFIG = """\
[station]
province = "LCa"
facility = "DEMO"
code = "NUO001"
name = "{name}"
kind = "wastewater"

[gateway]
state_dir = "."

[[bus]]
id = "tank"
link = "modbus-tcp://127.0.0.1:5020"

[[channel]]
symbol = "COD"
unit = "mg/l"
decimals = 1
source = {{ bus = "tank", unit = 1, register = 0 }}
limits = {{ max = 75.0, basis = "QCVN 40:2011 A" }}

[[channel]]
symbol = "pH"
decimals = 2
source = {{ bus = "tank", unit = 1, register = 2 }}
limits = {{ max = 9.0, min = 6.0, basis = "QCVN 40:2011 A" }}

[[channel]]
symbol = "Flow"
unit = "m3/h"
source = {{ bus = "tank", unit = 1, register = 4 }}

[[destination]]
id = "sent"
kind = "directory"
path = "sent"
"""


def site(folder: Path, rows: list[Record], events=(), name: str = STATION.name) -> Path:
    """A configuration with its journal; returns the configuration's path."""
    path = folder / "config.toml"
    path.write_text(CONFIG.format(name=name), encoding="utf-8")
    journal(folder / "journal.db", rows, events)
    return path
