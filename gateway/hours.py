"""Hours, days and moving means of a channel, from its 5-minute windows. Pure.

Rule 1: hours and days lie on the GMT+7 grid and are labelled like windows. The value is the simple mean of
        the valid windows (status 00), as the receiving software takes it, of exact sums; of directions that
        of unit vectors, of a meter the sum of all its windows (it counts on while nobody listens), of a state
        the newest.
Rule 2: an hour is valid when the configured share of its windows is; so is a day, and a moving mean of hours.
        Else status and value are found as a window's are (accumulate.py, rules 2 and 3), with windows in the
        place of readings: the status of what explains most of what is missing, the mean of what there is, or
        the last valid value.
Rule 3: what was measured in another unit than the newest of its windows, or is another kind of value (what a
        meter shows is none of its increases), counts as too few good readings.
Rule 4: an hour is whole once a window was closed that ends with it or later. It is revision 1 with what its
        windows were then; every later revision of one of them makes the next number. A number is told once:
        where several windows are revised between two looks, the numbers between are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum, sqrt

from gateway.accumulate import Cell, Outcome, State
from gateway.circular import Mean
from gateway.windows import OFF, Window
from gateway.zone import DAY_MS, HOUR_MS, start_of
from protocol import quality as q

MOVING_HOURS = 8
"""Of the 8-hour means of QCVN 05:2023 (O3, CO)."""


def hour_of(time_ms: int) -> int:
    """The start of the hour that holds this moment."""
    return start_of(time_ms, HOUR_MS)


def of(
    windows: Iterable[Window], revision: int, valid_share_min: float, length_ms: int = HOUR_MS
) -> list[Window]:
    """One hour of all channels (or one span of `length_ms`): `windows` are the newest revisions of those in
    it, in any order.
    """
    return [
        _span(found, start_of(found[0].start_ms, length_ms), length_ms, revision, valid_share_min)
        for _, found in sorted(_by_symbol(windows).items())
    ]


def days(windows: Iterable[Window], revision: int, valid_share_min: float) -> list[Window]:
    """One day of all channels."""
    return of(windows, revision, valid_share_min, DAY_MS)


def moving(
    hours: Iterable[Window], revision: int, valid_share_min: float, count: int = MOVING_HOURS
) -> list[Window]:
    """The means of `count` hours that end with each of these hours, by symbol and time. An hour that is not
    among them is missing; a mean is made as soon as there is an hour in it.
    """
    made = []
    for _, found in sorted(_by_symbol(hours).items()):
        for place, newest in enumerate(found):
            start_ms = newest.end_ms - count * HOUR_MS
            within = [
                hour for hour in found[max(0, place - count + 1) : place + 1] if hour.start_ms >= start_ms
            ]
            made.append(_span(within, start_ms, count * HOUR_MS, revision, valid_share_min))
    return made


def _by_symbol(windows: Iterable[Window]) -> dict[str, list[Window]]:
    by_symbol: dict[str, list[Window]] = {}
    for window in sorted(windows, key=lambda window: window.start_ms):
        by_symbol.setdefault(window.symbol, []).append(window)
    return by_symbol


def _span(
    windows: Sequence[Window], start_ms: int, length_ms: int, revision: int, valid_share_min: float
) -> Window:
    newest = windows[-1]
    cell = Cell()
    for window in windows:
        if not _alike(window, newest):
            cell.not_ok(q.COVERAGE, None)
        elif window.quality == q.OK and window.value is not None:
            cell.fresh.append(window.value)
        else:
            cell.not_ok(window.quality or q.NO_DATA, None if _carried(window) else window.value)
    windows = [window for window in windows if _alike(window, newest)]
    valid = [window for window in windows if window.quality == q.OK]
    expected = length_ms // (newest.end_ms - newest.start_ms)
    found = _outcome(cell, windows, valid, expected, valid_share_min)
    lows = [window.minimum for window in valid if window.minimum is not None]
    highs = [window.maximum for window in valid if window.maximum is not None]
    return Window(
        newest.symbol, newest.unit, start_ms, start_ms + length_ms, revision, found.value, found.quality,
        q.status(found.quality), found.valid, expected, found.valid_share, min(lows, default=None),
        max(highs, default=None), OFF if all(w.reason == OFF for w in windows) else "", newest.last,
        found.deviation, found.flags, newest.average,
    )  # fmt: skip


def _outcome(
    cell: Cell, windows: Sequence[Window], valid: Sequence[Window], expected: int, valid_share_min: float
) -> Outcome:
    newest, before = windows[-1], State(windows[-1].last)
    if newest.average in ("", "mean"):
        return cell.outcome(expected, valid_share_min, before)._replace(deviation=_pooled(valid))
    values = [window.value for window in valid if window.value is not None]
    value, deviation = newest.last, None
    if newest.average == "total":
        counted = [window.value for window in windows if window.value is not None]
        value = fsum(counted) if counted else None
    elif newest.average == "vector" and values:
        mean = Mean([(value, 1) for value in values])
        value, deviation = mean.degrees(), mean.deviation()
        value = newest.last if value is None else value
    elif values:
        value = values[-1]
    found = cell.concluded(len(values), expected, valid_share_min, value, before)
    return found._replace(deviation=deviation)


def _pooled(windows: Sequence[Window]) -> float | None:
    """The sample standard deviation of all readings of these windows; None where one did not keep its own.

    Of each window n readings with the mean m and the deviation s: sum (n-1) s^2 + n (m - M)^2.
    """
    known = [(w.count, w.value, w.deviation) for w in windows if w.count and w.value is not None]
    count = sum([n for n, _, _ in known])
    if count < 2 or any(n > 1 and s is None for n, _, s in known):
        return None
    mean = fsum([n * m for n, m, _ in known]) / count
    squares = [(n - 1) * (s or 0.0) ** 2 + n * (m - mean) ** 2 for n, m, s in known]
    return sqrt(fsum(squares) / (count - 1))


def _alike(window: Window, newest: Window) -> bool:
    """Whether both can be in one mean (rule 3). A row of schema 4 is a mean."""
    kinds = [row.average or "mean" for row in (window, newest)]
    return window.unit == newest.unit and kinds[0] == kinds[1]


def _carried(window: Window) -> bool:
    """Whether its value is one of an earlier window, for want of any reading with one."""
    return window.count == 0 and window.value == window.last
