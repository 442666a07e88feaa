"""What rain, a batch, an illness, dirt and people do to a signal: each a pure function of time.

Rule 1: an effect is asked with `t_ms`, Unix ms, and knows the spans in which it works. Where it does not work
        it gives its neutral value: factor 1, offset 0.
Rule 2: three sorts, by where they act (simulator/plant.py puts them in this order):
            pipe        factors and offsets of what is in the pipe
            sample      what reaches the instrument: a sample that is diluted, a standard
            instrument  what it makes of it: drift, dirt, bubbles
Rule 3: nothing jumps that would not jump in a plant: water mixes, rain comes and goes, a plant falls ill
        slowly. Bubbles, standards and what people do jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from simulator.scenario_model import Process
from simulator.signals import DAY_MS, LOCAL_OFFSET_MS, smooth

Spans = Sequence[tuple[int, int]]
"""(from, to) in Unix ms, in order, without overlaps."""
Effect = Callable[[int], float]

HOUR_MS = 3_600_000
MIX_MS = 20 * 60_000  # how long a batch takes to come through unless the scenario says
MIX_TAILS = 8  # after so many times of that nothing of it is left to measure
RAMP_MS = HOUR_MS  # rain comes and goes
WEEK_RAMP_MS = 4 * HOUR_MS  # from Friday's shift to the quiet of Saturday
BUBBLE_CHANCE = 0.2
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05 was one


def inside(spans: Spans, t_ms: int) -> tuple[int, int] | None:
    """The span that holds this moment."""
    for start_ms, end_ms in spans:
        if start_ms <= t_ms < end_ms:
            return start_ms, end_ms
    return None


# ---- the pipe


def rain(process: Process, spans: Spans) -> Effect:
    """A factor: `size` in the middle of a span, with slopes of an hour, or a third of a short one."""

    def factor(t_ms: int) -> float:
        span = inside(spans, t_ms)
        if span is None:
            return 1.0
        ramp_ms = min(RAMP_MS, (span[1] - span[0]) / 3)
        share = min(1.0, (t_ms - span[0]) / ramp_ms, (span[1] - t_ms) / ramp_ms)
        return 1.0 + (process.size - 1.0) * smooth(share)

    return factor


def weekly(process: Process, spans: Spans) -> Effect:
    """A factor: `size` on Saturday and Sunday."""

    def factor(t_ms: int) -> float:
        if inside(spans, t_ms) is None:
            return 1.0
        into_ms = (t_ms + LOCAL_OFFSET_MS - _MONDAY_MS) % (7 * DAY_MS)
        since_ms = into_ms - 5 * DAY_MS + WEEK_RAMP_MS / 2  # of the slope into the weekend
        left_ms = 7 * DAY_MS - into_ms + WEEK_RAMP_MS / 2  # to the end of the slope out of it
        if into_ms < WEEK_RAMP_MS / 2:  # Monday, shortly after midnight
            since_ms, left_ms = 7 * DAY_MS, WEEK_RAMP_MS / 2 - into_ms
        share = max(0.0, min(1.0, since_ms / WEEK_RAMP_MS, left_ms / WEEK_RAMP_MS))
        return 1.0 + (process.size - 1.0) * smooth(share)

    return factor


def upset(process: Process, spans: Spans) -> Effect:
    """An offset: a hump, `size` high in the middle of a span."""

    def offset(t_ms: int) -> float:
        span = inside(spans, t_ms)
        if span is None:
            return 0.0
        return process.size * math.sin(math.pi * (t_ms - span[0]) / (span[1] - span[0])) ** 2

    return offset


def batch(process: Process, spans: Spans) -> Effect:
    """An offset: comes nearer to `size` while the tank is let out, and fades when it is empty."""
    mix_ms = process.number("mix", MIX_MS)

    def offset(t_ms: int) -> float:
        found = 0.0
        for start_ms, end_ms in spans:
            if start_ms <= t_ms < end_ms + MIX_TAILS * mix_ms:
                risen = 1.0 - math.exp(-(min(t_ms, end_ms) - start_ms) / mix_ms)
                found += process.size * risen * math.exp(-max(0, t_ms - end_ms) / mix_ms)
        return found

    return offset


def step(process: Process, spans: Spans) -> Effect:
    """An offset."""
    return lambda t_ms: process.size if inside(spans, t_ms) else 0.0


# ---- the instrument


def drift(process: Process, spans: Spans) -> Effect:
    """An offset: `size` a day since the span began."""

    def offset(t_ms: int) -> float:
        span = inside(spans, t_ms)
        return 0.0 if span is None else process.size * (t_ms - span[0]) / DAY_MS

    return offset


def fouling(process: Process, spans: Spans) -> Effect:
    """A factor: the share `size` is lost a day, of what is left."""

    def factor(t_ms: int) -> float:
        span = inside(spans, t_ms)
        return 1.0 if span is None else (1.0 - process.size) ** ((t_ms - span[0]) / DAY_MS)

    return factor


def bubbles(process: Process, spans: Spans, source: str) -> Effect:
    """An offset: one to two times half of `size` in single readings. `source`: of what is random."""
    chance = process.number("probability", BUBBLE_CHANCE)

    def offset(t_ms: int) -> float:
        if inside(spans, t_ms) is None:
            return 0.0
        random = Random(f"{source}/{t_ms}")
        return process.size * random.uniform(0.5, 1.0) if random.random() < chance else 0.0

    return offset
