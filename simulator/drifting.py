"""An instrument whose reading drifts: gain and offset change with time; it can be put into a standard.

    indicated = offset(t) + gain(t) x what is there + noise

Rule 1: `truth(t)` is what really is there: the process, or the standard that it is in. What registers hold,
        and truth.jsonl says, is what it indicates.
Rule 2: it needs time: after it was moved what it sees comes nearer by exp(-t / response_s).
Rule 3: as in instruments.py everything is a function of station time, and of what was done when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulator.instruments import Instrument
from simulator.signals import Shape, Signal


@dataclass(frozen=True)
class Drift:
    """What is wrong with it from `since_ms` on (station time), and how that changes from day to day."""

    gain: float = 1.0
    offset: float = 0.0  # in the quantity's unit
    gain_a_day: float = 0.0
    offset_a_day: float = 0.0
    since_ms: int = 0
    noise: float = 0.0  # standard deviation of what it indicates
    response_s: float = 0.0

    def indicated(self, t_ms: int, seen: float) -> float:
        """Without noise."""
        days = max(0, t_ms - self.since_ms) / 86_400_000
        gain, offset = self.gain + self.gain_a_day * days, self.offset + self.offset_a_day * days
        return offset + gain * seen


class DriftingSignal:
    """Stands in the place of an instrument's Signal, which is the process."""

    def __init__(self, process: Signal, drift: Drift) -> None:
        self.drift = drift
        self._process = process
        self._noise = Signal(Shape(0.0, noise=drift.noise), 0, "drifting", "noise")
        self._moves: list[tuple[int, float | None]] = []  # since when it is in what; None: the process

    def move(self, t_ms: int, standard: float | None) -> None:
        """From now on it is in a standard of this value; None: back in the process."""
        self._moves.append((t_ms, standard))

    def truth(self, t_ms: int) -> float:
        """What really is where it is."""
        there = [standard for since_ms, standard in self._moves if since_ms <= t_ms]
        return self._process.value(t_ms) if not there or there[-1] is None else there[-1]

    def value(self, t_ms: int) -> float:
        """What it indicates."""
        return self.drift.indicated(t_ms, self._seen(t_ms)) + self._noise.value(t_ms)

    def _seen(self, t_ms: int) -> float:
        moved = [since_ms for since_ms, _ in self._moves if since_ms <= t_ms]
        here = self.truth(t_ms)
        if not moved or not self.drift.response_s:
            return here
        left = self.truth(moved[-1] - 1)
        return here + (left - here) * math.exp((moved[-1] - t_ms) / 1000 / self.drift.response_s)


def let_drift(instrument: Instrument, quantity: str, drift: Drift) -> DriftingSignal:
    """Make one quantity of a running instrument drift; the signal, to move it about. ValueError."""
    for live in instrument._live:
        if live.quantity.id == quantity:
            signal = DriftingSignal(live.signal, drift)
            live.signal = signal  # type: ignore[assignment] - value() is all that is asked of it
            return signal
    raise ValueError(f"{quantity} is not brought to life on this instrument")
