"""What a scenario leaves behind when all goes well, made by hand to try checks on, and ways to break it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from math import fsum
from typing import Any

from gateway.reports.layout import stamp
from gateway.windows import Window
from protocol import quality as q
from simulator.ledger import Ledger, Row
from simulator.plant import Plant
from simulator.scenario import Process, Scenario, Station, parse
from tools.scenario.check import judge
from tools.scenario.check_read import Evidence, Limits

HOUR_MS = 3_600_000
GRID_MS = 300_000
POLL_MS = 60_000
_MADE: dict[str, Evidence] = {}  # by station and process: it costs
LIMITS = {"pH": Limits(9.0, 4), "COD": Limits(75.0, 4), "Flow": Limits(None, 4)}
_HEAD = """
title = "t"
story = "s"
outcome = "o"
[station]
kind = "wastewater"
begins = "2026-03-27T00:00"
days = {days}
"""


def scenario(expect: str, more: str = "", days: float = 0.25) -> Scenario:
    """Six hours with one expectation."""
    return parse(_HEAD.format(days=days) + more + f"\n[[expect]]\n{expect}\n")


def window(symbol: str, start_ms: int, value: float | None, quality: int = q.OK, revision: int = 1) -> Window:
    """A window as a journal has it."""
    good = 5 if quality == q.OK else 0
    return Window(
        symbol, "mg/l", start_ms, start_ms + GRID_MS, revision, value, quality, q.status(quality),
        good, 5, good / 5, value, value, "",
    )  # fmt: skip


def evidence(story: Scenario) -> Evidence:
    """One device of all channels reads every minute; each window is the mean of its readings; all arrives."""
    key = repr((story.station, story.process))
    found = _MADE.get(key) or _MADE.setdefault(key, _evidence(story.station, story.process))
    return replace(
        found,
        scenario=story,
        ledger=deepcopy(found.ledger),
        rows=list(found.rows),
        windows=list(found.windows),
    )


def _evidence(station: Station, process: tuple[Process, ...]) -> Evidence:
    story = Scenario("scenario", "", "", "", station, process)
    plant, ledger, rows, windows = Plant(story, 1), Ledger(), [], []
    sequence = 0
    for start_ms in range(station.begins_ms, station.ends_ms, GRID_MS):
        values: dict[str, list[tuple[float | None, int]]] = {symbol: [] for symbol in plant.channels}
        for t_ms in range(start_ms, start_ms + GRID_MS, POLL_MS):
            for symbol, found in values.items():
                value, quality = plant.reading(symbol, t_ms)
                sequence += 1
                ledger.emitted("st-01", 1, sequence, t_ms, symbol, value)
                rows.append(Row("st-01", 1, sequence, t_ms, symbol, value))
                found.append((value, quality))
        for symbol, found in values.items():
            good = [value for value, quality in found if quality == q.OK and value is not None]
            worst = max(quality for _, quality in found)
            mean = fsum(good) / len(good) if good else None
            windows.append(window(symbol, start_ms, mean, q.OK if len(good) > 3 else worst))
        name = stamp(start_ms + GRID_MS)
        ledger.arrived("province", f"LCa_DEMO_NUO001_{name}.txt", f"{start_ms:x}", start_ms + GRID_MS)
        ledger.arrived("national", f"LCa/DEMO/NUO001/window/{name}/1", f"{start_ms:x}", start_ms + GRID_MS)
    ledger.acknowledged("st-01", 1, sequence)
    return Evidence(story, plant, ledger, rows, windows, channels=LIMITS)


def holds(found: Evidence) -> bool:
    """The verdict of its one expectation, when nothing happened beside it."""
    verdict, beside = judge(found)
    assert beside.holds, beside.found
    assert verdict.found and verdict.sentence
    return verdict.holds


Break = Callable[[Evidence], Evidence]


def with_rows(change: Callable[[list[Row]], Any]) -> Break:
    """The journal's readings are changed."""

    def broken(found: Evidence) -> Evidence:
        rows = list(found.rows)
        change(rows)
        return replace(found, rows=rows)

    return broken


def with_windows(change: Callable[[list[Window]], Any]) -> Break:
    """The windows are changed."""

    def broken(found: Evidence) -> Evidence:
        windows = list(found.windows)
        change(windows)
        return replace(found, windows=windows)

    return broken


def with_arrivals(change: Callable[[list[Any]], Any]) -> Break:
    """What came to destinations is changed."""

    def broken(found: Evidence) -> Evidence:
        change(found.ledger.arrivals)
        return replace(found)

    return broken


def nothing(found: Evidence) -> Evidence:
    """Nothing was left behind at all."""
    return replace(found, ledger=Ledger(), rows=[], windows=[], said=(), drained_ms={})
