"""A plausible process: what a station's water or gas does over the day.

Rule 1: a value is a pure function of (seed, station, quantity, time). No state, so a simulator that is
        started again on the same directory goes on exactly where the plant would be.
Rule 2: what it returns lies between `low` and `high`, whatever the parameters.

value = level + daily rhythm + slow drift + turbulence + noise

- daily rhythm: a cosine with its peak at `peak_hour` local time and a half-day harmonic,
- slow drift: three sines with periods of hours to days that do not divide each other,
- turbulence: noise that keeps for minutes (a smooth curve through random points on a lattice),
- noise: independent at every update, what the instrument itself adds.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random

LOCAL_OFFSET_MS = 7 * 3_600_000  # Vietnam keeps GMT+7 all the year
DAY_MS = 86_400_000
LATTICE_MS = 240_000  # a disturbance lasts about four minutes
DRIFT_HOURS = (3.7, 11.3, 61.0)  # incommensurate: the sum does not repeat within months


@dataclass(frozen=True)
class Shape:
    """The parameters of one quantity, all in its engineering unit except `peak_hour`."""

    level: float
    daily: float = 0.0
    peak_hour: float = 10.0
    drift: float = 0.0
    turbulence: float = 0.0
    noise: float = 0.0
    low: float = -math.inf
    high: float = math.inf


class Signal:
    """One quantity of one station over time."""

    def __init__(self, shape: Shape, seed: int, station: str, quantity: str) -> None:
        self.shape = shape
        text = f"{seed}/{station}/{quantity}".encode()
        self._seed = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
        random = Random(self._seed)
        self._drifts = [
            (2 * math.pi / (hours * 3_600_000), random.uniform(0, 2 * math.pi)) for hours in DRIFT_HOURS
        ]
        self._lattice = lru_cache(maxsize=4)(self._lattice_point)

    def value(self, t_ms: int) -> float:
        """The value at Unix time `t_ms`, in the quantity's unit."""
        shape = self.shape
        day = 2 * math.pi * (((t_ms + LOCAL_OFFSET_MS) % DAY_MS) / DAY_MS - shape.peak_hour / 24)
        value = shape.level + shape.daily * (0.8 * math.cos(day) + 0.2 * math.cos(2 * day))
        if shape.drift:
            value += shape.drift * sum(math.sin(w * t_ms + phase) for w, phase in self._drifts) / 3
        if shape.turbulence:
            value += shape.turbulence * self._turbulence(t_ms)
        if shape.noise:
            value += shape.noise * _gauss(self._seed, "noise", t_ms)
        return min(shape.high, max(shape.low, value))

    def _turbulence(self, t_ms: int) -> float:
        index, rest = divmod(t_ms, LATTICE_MS)
        x = smooth(rest / LATTICE_MS)  # so the lattice does not show
        return self._lattice(index) * (1 - x) + self._lattice(index + 1) * x

    def _lattice_point(self, index: int) -> float:
        return _gauss(self._seed, "lattice", index)


def smooth(share: float) -> float:
    """From 0 to 1, smooth at both ends."""
    return share * share * (3 - 2 * share)


def _gauss(seed: int, what: str, index: int) -> float:
    # Random(text) hashes its text, so neighbouring indices are independent.
    return Random(f"{seed}/{what}/{index}").gauss(0.0, 1.0)
