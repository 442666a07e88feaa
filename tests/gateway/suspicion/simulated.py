"""Honest series for tests of signs: daily rhythm, slow and fast noise, weekends, gaps, calibrations.

What is done to them afterwards, in the tests, is the manipulation.
"""

from __future__ import annotations

from math import pi, sin, sqrt
from random import Random

from gateway.suspicion import Track
from tests.gateway.windows_made import START_MS, STEP_MS

DAY = 288  # windows
LIMIT = 75.0


def load(random: Random, days: int) -> list[float]:
    """How much comes to the plant, about 1: a rhythm of the day, days of their own, slow drifts."""
    slow, found = 0.0, []
    keep = 0.99
    for day in range(days):
        of_day = random.uniform(0.85, 1.15) * (0.8 if day % 7 >= 5 else 1.0)
        for i in range(DAY):
            slow = keep * slow + random.gauss(0, 0.08 * sqrt(1 - keep * keep))
            found.append(of_day * (1 + 0.2 * sin(2 * pi * (i / DAY - 0.3)) + slow))
    return found


def channel(
    random: Random, symbol: str, loads: list[float], level: float, noise: float, decimals: int = 2
) -> Track:
    """A channel that follows the load; gaps at random, a calibration every third day at nine."""
    figures: list[float | None] = [round(level * x + random.gauss(0, noise), decimals) for x in loads]
    status = ["00"] * len(figures)
    for day in range(len(loads) // DAY):
        if day % 3 == 1:
            mark(figures, status, day * DAY + 108, 3, "01")
        if random.random() < 0.5:
            mark(figures, status, day * DAY + random.randrange(DAY - 15), random.randint(1, 12), "02")
    return Track(symbol, START_MS, STEP_MS, figures, status)


def mark(figures: list[float | None], status: list[str], first: int, count: int, as_: str) -> None:
    """Windows that are not valid."""
    for i in range(first, min(first + count, len(figures))):
        figures[i], status[i] = None, as_


def honest(seed: int, days: int = 30) -> list[Track]:
    """COD, TSS, NH4, pH of a plant; some run far below the limit of COD, some close to it with exceedances.

    NH4 is of a slow analyser, with a new figure every half hour; pH hardly moves and has one decimal.
    """
    random = Random(seed)
    loads = load(random, days)
    level = random.choice((35.0, 50.0, 62.0))
    cod = channel(random, "COD", loads, level, level * random.uniform(0.01, 0.05))
    tss = channel(random, "TSS", loads, 40.0, 40.0 * random.uniform(0.01, 0.05), random.choice((1, 2)))
    nh4 = channel(random, "NH4", [x for x in loads[::6] for _ in range(6)], 3.0, 0.0, 3)
    ph = channel(random, "pH", [7.4 + 0.1 * (x - 1) for x in loads], 1.0, 0.05, 1)
    return [cod, tss, nh4, ph]
