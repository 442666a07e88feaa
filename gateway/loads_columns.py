"""Loads from columns: what loads.py says of the same windows, without an object for each. Pure.

Rule 1: figures and gaps are those of loads.load() and loads.volume(), to the last digit (the tests compare).
Rule 2: flow and concentration are multiplied once; any span of time is a slice of it.
Rule 3: windows that follow each other are one run: work goes by runs and slices, never window by window.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import fsum
from operator import mul

from gateway.columns import Columns
from gateway.loads import NO_WINDOW, Gap, Load, Volume, kg_factor, m3_factor
from gateway.spans import Span
from protocol import quality as q

Run = tuple[int, int]
"""(first, behind the last) place of windows that follow each other without a gap."""


class Flow:
    """A channel's flow on a grid of `step_ms`. UnitRefused for a unit that is none of a flow."""

    def __init__(self, columns: Columns, step_ms: int):
        self.columns, self.step_ms = columns, step_ms
        self.m3 = m3_factor(columns.unit, step_ms)
        self.starts, self.values = _on_grid(columns, step_ms)
        self.runs = runs_of(self.starts, step_ms)

    def volume(self, period: Span, *, gaps: bool = True) -> Volume:
        """What flowed; `gaps=False` leaves them out, where only their length counts."""
        low, high = _slice(self.starts, period)
        covered_ms = (high - low) * self.step_ms
        found = self._gaps(period, self.starts[low:high]) if gaps else ()
        volume_m3 = fsum(self.values[low:high]) * self.m3
        share = share_of(covered_ms, period)
        return Volume(self.columns.symbol, period, volume_m3, covered_ms, share, found)

    def _gaps(self, period: Span, covered: array[int]) -> tuple[Gap, ...]:
        symbol, bad = self.columns.symbol, self.columns.qualities(*period)
        return gaps_of(period, covered, self.step_ms, lambda ms: f"{symbol}: {_named(bad.get(ms))}")


class Product:
    """Flow x concentration, window by window. UnitRefused where the units give no mass."""

    def __init__(self, flow: Flow, concentration: Columns):
        self.flow, self.of = flow, concentration
        step_ms = flow.step_ms
        self.kg = kg_factor(flow.columns.unit, concentration.unit, step_ms)
        starts, values = _on_grid(concentration, step_ms)
        self.starts, self.flows, self.masses = array("q"), array("d"), array("d")
        for at, other, count in _both(flow.starts, flow.runs, starts, runs_of(starts, step_ms), step_ms):
            flowed = flow.values[at : at + count]
            self.starts.extend(starts[other : other + count])
            self.flows.extend(flowed)
            self.masses.extend(map(mul, flowed, values[other : other + count]))

    def load(self, period: Span, *, gaps: bool = True) -> Load:
        """What it came to; `gaps=False` leaves them out, where only their length counts."""
        low, high = _slice(self.starts, period)
        covered_ms = (high - low) * self.flow.step_ms
        found = self._gaps(period, self.starts[low:high]) if gaps else ()
        mass_kg, volume_m3 = (
            fsum(self.masses[low:high]) * self.kg,
            fsum(self.flows[low:high]) * self.flow.m3,
        )
        return Load(
            self.of.symbol, period, mass_kg, volume_m3, covered_ms, share_of(covered_ms, period), found
        )

    def _gaps(self, period: Span, covered: array[int]) -> tuple[Gap, ...]:
        flow, symbol = self.flow.columns, self.of.symbol
        flow_bad, bad = flow.qualities(*period), self.of.qualities(*period)

        def why(ms: int) -> str:
            flowing, held = _has(flow.starts, ms), _has(self.of.starts, ms)
            flow_there, there = flowing or ms in flow_bad, held or ms in bad
            if not flow_there and not there:
                return NO_WINDOW
            parts = []
            if not flowing:
                parts.append(f"{flow.symbol if flow_there else 'flow'}: {_named(flow_bad.get(ms))}")
            if not held:
                parts.append(f"{symbol}: {_named(bad.get(ms))}")
            return "; ".join(parts)

        return gaps_of(period, covered, self.flow.step_ms, why)


def runs_of(starts: Sequence[int], step_ms: int) -> list[Run]:
    """Windows that begin `step_ms` after each other, by their places."""
    found, first, places = [], 0, range(len(starts))
    while first < len(starts):
        begin_ms = starts[first] - first * step_ms  # a place farther, a step later: so far is one run
        behind = bisect_left(places, True, first, key=lambda at: starts[at] - at * step_ms > begin_ms)
        found.append((first, behind))
        first = behind
    return found


def _both(
    starts: Sequence[int], runs: Sequence[Run], others: Sequence[int], other_runs: Sequence[Run], step_ms: int
) -> list[tuple[int, int, int]]:
    """Where two columns have windows at the same time: (place in the one, in the other, how many)."""
    found = []
    mine, theirs = iter(runs), iter(other_runs)
    run, other = next(mine, None), next(theirs, None)
    while run is not None and other is not None:
        ends_ms, other_ends_ms = starts[run[1] - 1] + step_ms, others[other[1] - 1] + step_ms
        begin_ms = max(starts[run[0]], others[other[0]])
        count = (min(ends_ms, other_ends_ms) - begin_ms) // step_ms
        if count > 0:
            at = run[0] + (begin_ms - starts[run[0]]) // step_ms
            found.append((at, other[0] + (begin_ms - others[other[0]]) // step_ms, count))
        if ends_ms <= other_ends_ms:
            run = next(mine, None)
        else:
            other = next(theirs, None)
    return found


def gaps_of(period: Span, covered: Sequence[int], step_ms: int, why: Callable[[int], str]) -> tuple[Gap, ...]:
    """The time of a period that no window of `covered` (starts, ascending) stands for, with its reasons."""
    found: list[Gap] = []
    runs = runs_of(covered, step_ms)
    starts = [period.start_ms, *(covered[last - 1] + step_ms for _, last in runs)]
    ends = [*(covered[first] for first, _ in runs), period.end_ms]
    for at_ms, next_ms in zip(starts, ends, strict=True):
        for ms in range(at_ms, next_ms, step_ms):
            reason = why(ms)
            if found and found[-1].end_ms == ms and found[-1].why == reason:
                found[-1] = found[-1]._replace(end_ms=ms + step_ms)
            else:
                found.append(Gap(ms, ms + step_ms, reason))
    return tuple(found)


def share_of(covered_ms: int, period: Span) -> float:
    """0 to 1."""
    length_ms = period.end_ms - period.start_ms
    return covered_ms / length_ms if length_ms else 0.0


def _on_grid(columns: Columns, step_ms: int) -> tuple[array[int], array[float]]:
    """Valid windows that begin where the grid does: whoever changed their length in between has others."""
    if not any(map(step_ms.__rmod__, columns.starts)):
        return columns.starts, columns.values
    kept = [pair for pair in zip(columns.starts, columns.values, strict=True) if pair[0] % step_ms == 0]
    return array("q", [ms for ms, _ in kept]), array("d", [value for _, value in kept])


def _has(starts: Sequence[int], ms: int) -> bool:
    at = bisect_left(starts, ms)
    return at < len(starts) and starts[at] == ms


def _slice(starts: array[int], period: Span) -> tuple[int, int]:
    return bisect_left(starts, period.start_ms), bisect_left(starts, period.end_ms)


def _named(quality: int | None) -> str:
    if quality is None:
        return NO_WINDOW
    return q.NAMES[quality] if 0 <= quality < len(q.NAMES) else f"quality {quality}"
