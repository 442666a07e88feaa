"""A channel in one window whose readings are kept with their times until it closes: for what depends on their
order (a meter, a state, directions) and for readings that are held against each other (checks.py).

Rule 1: what comes out depends on the times of the readings, not on the order in which they arrived; of two of
        one moment the one that came first in the journal goes first.
Rule 2: a mean of n readings (SUMMARY) that nobody can take apart any more is not judged. Of a meter it is
        two readings, its least and its largest; a direction counts n times, unless it spans a half circle.
Rule 3: a meter: the value is its increase since the last reading of the window before. Where it shows less
        than before it rolled over, if the configuration says at what and it was near there; else somebody
        changed it: METER_BACK, and that step counts nothing. Through an outage it went on counting, and the
        window in which it is heard of again holds all of it.
Rule 4: stuck: all readings since `steady_ms` are the same, to the instrument's resolution, and that is longer
        than the configuration allows. Then none of the window is valid. Behind a mean of n readings it begins
        anew: nobody knows what they were.
"""

from __future__ import annotations

from math import fsum

from gateway import flags
from gateway.accumulate import Cell, Channel, Outcome, State
from gateway.checks import Checks, judged
from gateway.circular import Mean
from protocol import quality as q

NEAR_ROLLOVER = 0.9
"""A meter that had come so far to its end may have rolled over, and then shows less than a tenth of it."""
HALF_CIRCLE = 180.0


def is_timed(channel: Channel, update_ms: int, length_ms: int) -> bool:
    """Whether a channel's cells are of this kind: one that is asked for nothing special costs nothing."""
    return channel.average != "mean" or bool(channel.checks) or (channel.holds and update_ms > length_ms)


def hands_on(channel: Channel, update_ms: int, length_ms: int, old: State, new: State) -> bool:
    """Whether the window behind comes out another, where this is left instead of that."""
    if channel.average == "total" and new.meter != old.meter:
        return True
    shown = (new.last, new.steady_ms) != (old.last, old.steady_ms)
    if shown and channel.checks and Checks(*channel.checks).stuck_ms is not None:
        return True
    held = (new.last, new.last_ms) != (old.last, old.last_ms)
    return held and channel.holds and update_ms > length_ms


def keeps(channel: Channel, update_ms: int, length_ms: int, new: State, old: State) -> bool:
    """Whether a window, of a channel that had a value by then, now leaves what it did not leave when it was
    made: it was looked at in another way then.
    """
    stuck = bool(channel.checks) and Checks(*channel.checks).stuck_ms is not None
    slow = channel.holds and update_ms > length_ms
    if stuck and old.steady_ms is None and new.steady_ms is not None:
        return True
    return slow and old.last_ms is None and new.last_ms is not None


class Timed(Cell):
    """As a Cell; `channel` says what is to come out of it."""

    __slots__ = ("back", "channel", "end_ms", "more", "samples", "weighted")
    timed = True

    def __init__(self, channel: Channel, end_ms: int):
        super().__init__()
        self.channel, self.end_ms = channel, end_ms
        self.samples: list[tuple[int, float]] = []  # (time, value) of valid readings
        self.weighted: list[tuple[float, int]] = []  # directions that stand for many
        self.more = 0  # valid readings that no sample stands for
        self.back = 0  # times that the meter went back

    def take(self, time_ms: int, value: float) -> None:
        self.samples.append((time_ms, value))

    def mean(self, mean: float, low: float, high: float, count: int, time_ms: int) -> int:
        kind = self.channel.average
        if kind == "mean":
            return super().mean(mean, low, high, count, time_ms)
        if kind == "vector":
            if high - low >= HALF_CIRCLE:
                self.not_ok(q.COVERAGE, None, count)
            else:
                self.weighted.append((mean, count))
                self.more += count
        else:
            self.samples += [(time_ms, low), (time_ms, high)] if count > 1 else [(time_ms, high)]
            self.more += max(0, count - 2)
        return 0

    def valid(self) -> int:
        return super().valid() + len(self.samples) + self.more

    def outcome(self, expected: int, share_min: float, before: State) -> Outcome:
        checks = Checks(*self.channel.checks)
        samples = sorted(self.samples, key=_time)
        self.samples = []
        for sample, quality in zip(samples, judged(samples, checks), strict=True):
            self._keep(sample, quality)
        steady_ms = self._steady(checks, before)
        if steady_ms is not None and checks.stuck_ms and self.end_ms - steady_ms >= checks.stuck_ms:
            stuck, self.samples = self.samples, []
            for sample in stuck:
                self._keep(sample, flags.STUCK)
        last_ms = self.samples[-1][0] if self.samples else before.last_ms
        find = {"mean": self._mean, "vector": self._vector, "total": self._total, "last": self._last}
        found = find[self.channel.average](expected, share_min, before)
        said = ", ".join(
            [*filter(None, [found.flags]), *[f"{flags.METER_BACK} {self.back}"] * bool(self.back)]
        )
        return found._replace(flags=said, state=found.state._replace(steady_ms=steady_ms, last_ms=last_ms))

    def _keep(self, sample: tuple[int, float], quality: int) -> None:
        if quality:
            self.not_ok(quality, sample[1])
        else:
            self.samples.append(sample)

    def _steady(self, checks: Checks, before: State) -> int | None:
        """Since when it has been the same; None where nobody asks."""
        if checks.stuck_ms is None:
            return None
        if not self.samples:
            return None if self.thinned else before.steady_ms
        since_ms, newest = self.samples[-1]
        for time_ms, value in reversed(self.samples):
            if abs(value - newest) > checks.resolution:
                return since_ms
            since_ms = time_ms
        if self.thinned:
            return since_ms
        if before.steady_ms is not None and before.last is not None:
            shown = before.meter if before.meter is not None else before.last
            if abs(shown - newest) <= checks.resolution:
                return before.steady_ms
        return since_ms

    # What comes out -----------------------------------------------------------------------------------------

    def _mean(self, expected: int, share_min: float, before: State) -> Outcome:
        self.fresh += [value for _, value in self.samples]
        self.samples = []
        return super().outcome(expected, share_min, before)

    def _vector(self, expected: int, share_min: float, before: State) -> Outcome:
        weighted = [(value, 1) for _, value in self.samples] + self.weighted
        mean = Mean(weighted) if weighted else None
        value = mean.degrees() if mean else None
        value = before.last if value is None else value
        if value is None and weighted:  # they cancel each other out, and there was none before
            value = weighted[len(self.samples) - 1][0] % 360.0  # the newest one
        found = self.concluded(self.valid(), expected, share_min, value, before._replace(last=value))
        return found._replace(deviation=mean.deviation()) if mean else found

    def _last(self, expected: int, share_min: float, before: State) -> Outcome:
        values = [value for _, value in self.samples]
        value = values[-1] if values else before.last
        found = self.concluded(self.valid(), expected, share_min, value, before._replace(last=value))
        return found._replace(minimum=min(values, default=None), maximum=max(values, default=None))

    def _total(self, expected: int, share_min: float, before: State) -> Outcome:
        meter, steps = before.meter, []
        for _, shown in self.samples:
            if meter is not None:
                steps.append(self._step(meter, shown))
            meter = shown
        value = None if meter is None else fsum(steps)
        state = before._replace(last=value, meter=meter)
        return self.concluded(self.valid(), expected, share_min, value, state)

    def _step(self, before: float, now: float) -> float:
        """How much a meter counted between two readings; 0 where it went back."""
        if now >= before:
            return now - before
        end = self.channel.rollover
        if end is not None and before >= NEAR_ROLLOVER * end and now <= (1 - NEAR_ROLLOVER) * end:
            return end - before + now
        self.back += 1
        return 0.0


def _time(sample: tuple[int, float]) -> int:
    return sample[0]
