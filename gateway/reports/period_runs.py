"""Exceedances of a limit: runs of windows, hours or days beyond it. Pure.

Rule 1: one is a run of windows, each right behind the other, that are valid and beyond the limit by the
        figure that is sent. The limit itself is allowed.
Rule 2: a window without a valid figure, or one that is missing, ends it, and the report says so: nobody knows
        what was meanwhile.
Rule 3: hours and days are held against their own limits by their means, where they are valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.reports import provincial

WITHIN, WITHOUT, END = "within", "without", "end"  # ended by: a figure, none, the end of the report
WINDOW, HOUR, DAY = "window", "hour", "day"


class Limits(NamedTuple):
    """What the permit allows, in the channel's unit."""

    maximum: float | None = None
    minimum: float | None = None
    basis: str = ""


class Exceedance(NamedTuple):
    """Windows (or hours, days) in a row beyond the limit. `worst` is the figure farthest beyond it."""

    from_ms: int
    to_ms: int
    windows: int
    worst: float
    worst_ms: int  # start of its window
    limit: float
    ended: str  # WITHIN, WITHOUT or END
    span: str = WINDOW


class Runs:
    """What is beyond `limits`; look() takes windows in the order of time."""

    def __init__(self, limits: Limits, decimals: int, span: str):
        self._limits, self._decimals, self._span = limits, decimals, span
        step = 10.0**-decimals  # rounding moves a value by less
        self._below = float("inf") if limits.maximum is None else limits.maximum - step
        self._above = float("-inf") if limits.minimum is None else limits.minimum + step
        self._run: list[tuple[int, int, float]] = []  # (start, end, figure)
        self.found: list[Exceedance] = []

    @property
    def is_open(self) -> bool:
        """Whether the newest window was beyond the limit."""
        return bool(self._run)

    def may_exceed(self, values: Sequence[float]) -> bool:
        """False where none of them can be beyond a limit, however it is rounded."""
        return max(values) > self._below or min(values) < self._above

    def look(self, windows: Iterable[tuple[int, int, float | None]]) -> None:
        """(start, end, value) of each; None where there is no valid one."""
        for start_ms, end_ms, value in windows:
            if value is None:
                self._end(WITHOUT)
                continue
            figure = float(provincial.number(value, self._decimals))
            limit = limit_of(self._limits, figure)
            if self._run and self._run[-1][1] != start_ms:
                self._end(WITHOUT)
            if limit is None or (self._run and limit_of(self._limits, self._run[-1][2]) != limit):
                self._end(WITHIN)  # also from above the one limit to below the other
            if limit is not None:
                self._run.append((start_ms, end_ms, figure))

    def finish(self, reach_ms: int) -> None:
        """There are no more."""
        self._end(END if self._run and self._run[-1][1] >= reach_ms else WITHOUT)

    def _end(self, ended: str) -> None:
        run, self._run = self._run, []
        if not run:
            return
        limit = limit_of(self._limits, run[0][2])
        assert limit is not None
        pick: Callable = max if run[0][2] > limit else min
        worst = pick(run, key=lambda window: window[2])
        self.found.append(
            Exceedance(run[0][0], run[-1][1], len(run), worst[2], worst[0], limit, ended, self._span)
        )


def limit_of(limits: Limits, figure: float) -> float | None:
    """The limit that a figure is beyond; None within them."""
    if limits.maximum is not None and figure > limits.maximum:
        return limits.maximum
    if limits.minimum is not None and figure < limits.minimum:
        return limits.minimum
    return None
