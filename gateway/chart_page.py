"""What the page's charts are drawn of, read from the journal: one channel, side by side in columns.

    {"symbol", "unit", "decimals", "from_ms", "to_ms", "step_ms", "t": [ms], "value": [...], "low": [...],
     "high": [...], "quality": [...], "limits": {"min", "max", "warn_min", "warn_max", "basis"},
     "alerts": [{"rule", "from_ms", "to_ms", "by"}]}

Rule 1: each window is a point while there are POINTS_MAX of them at the most; of a longer time a point is the
        mean, least and most of the valid windows in a step of the grid of GMT+7. A value that is not valid is
        no point of the line: null, and why.
Rule 2: read a day at a time on the journal's reading thread, so that whoever waits for it besides (the
        outbox) waits for a day's rows at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from gateway import flags
from gateway.alert_history import episodes
from gateway.alert_levels import Levels
from gateway.alert_states import EVENT_NAME
from gateway.config_model import Channel, Config
from gateway.errors import NotThere
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from gateway.limits.choose import WINDOW
from gateway.reports import provincial
from gateway.zone import DAY_MS, HOUR_MS, start_of
from protocol import quality as q

POINTS_MAX = 2_500
"""A week of five minutes: 2,016."""
LENGTH_MS_MAX = 400 * DAY_MS
STEPS_MS = (HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, DAY_MS)
_ROWS = (
    "SELECT start_ms, value, quality, minimum, maximum FROM window "
    "WHERE start_ms >= ? AND start_ms < ? AND symbol = ? ORDER BY start_ms, revision"
)
_NEWEST = "SELECT MAX(end_ms) FROM window WHERE start_ms = (SELECT MAX(start_ms) FROM window)"
_encode = msgspec.json.Encoder().encode


class Point(NamedTuple):
    """One window of a chart, or one step."""

    t_ms: int
    value: float | None
    low: float | None
    high: float | None
    quality: int


class ChartPage:
    """`ask` for gateway/web/page/chart.py."""

    def __init__(self, config: Config, journal: Journal):
        self._config = config
        self._journal = journal
        self._channels = {channel.symbol: channel for channel in config.channel}

    async def ask(self, symbol: str, from_ms: int | None, to_ms: int | None) -> bytes:
        """The answer; the newest day where no times are given. NotThere, JournalError."""
        channel = self._channels.get(symbol)
        if channel is None:
            raise NotThere(
                f"There is no channel {symbol!r} here: ask for one of {', '.join(self._channels)}."
            )
        if to_ms is None:
            to_ms = from_ms + DAY_MS if from_ms is not None else await self._journal.read(_newest_ms)
        from_ms = to_ms - DAY_MS if from_ms is None else max(from_ms, to_ms - LENGTH_MS_MAX)
        step_ms = step_of(to_ms - from_ms, self._config.gateway.window_minutes * 60_000)
        points: list[Point] = []
        for begin_ms in range(start_of(from_ms, DAY_MS), to_ms, DAY_MS):
            day = (max(begin_ms, from_ms), min(begin_ms + DAY_MS, to_ms))
            points += thinned(await self._journal.read(_points, symbol, *day), step_ms)
        alerts = await self._journal.read(_alerts, symbol, from_ms, to_ms)
        return _encode(_object(channel, from_ms, to_ms, step_ms, points) | {"alerts": alerts})


def step_of(length_ms: int, window_ms: int) -> int:
    """The step in which so long a time is shown: 0 for each window by itself."""
    if length_ms <= POINTS_MAX * window_ms:
        return 0
    return next((step for step in STEPS_MS if length_ms <= POINTS_MAX * step), DAY_MS)


def thinned(points: list[Point], step_ms: int) -> list[Point]:
    """Steps of the points of one day, in their order (rule 1)."""
    if not step_ms:
        return points
    steps: dict[int, list[Point]] = {}
    for point in points:
        steps.setdefault(start_of(point.t_ms, step_ms), []).append(point)
    return [_joined(t_ms, of) for t_ms, of in steps.items()]


def _joined(t_ms: int, points: list[Point]) -> Point:
    valid = [point for point in points if point.value is not None]
    if not valid:
        return Point(t_ms, None, None, None, points[-1].quality)
    return Point(
        t_ms,
        math.fsum(point.value for point in valid if point.value is not None) / len(valid),
        min((point.low for point in valid if point.low is not None), default=None),
        max((point.high for point in valid if point.high is not None), default=None),
        q.OK,
    )


def _points(reader: Reader, symbol: str, from_ms: int, to_ms: int) -> list[Point]:
    newest: dict[int, Point] = {}  # of revisions the last
    for start_ms, value, quality, low, high in reader.rows(_ROWS, from_ms, to_ms, symbol):
        good = quality == q.OK and value is not None and math.isfinite(value)
        newest[start_ms] = Point(start_ms, value if good else None, low, high, quality)
    return list(newest.values())


def _newest_ms(reader: Reader) -> int:
    return reader.rows(_NEWEST)[0][0] or 0


def _alerts(reader: Reader, symbol: str, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
    """Alerts about this channel that touch this time."""
    return [
        {"rule": one.rule, "from_ms": one.since_ms, "to_ms": one.until_ms, "by": one.by}
        for one in episodes(reader.events_with(EVENT_NAME))
        if one.about == symbol and one.since_ms < to_ms and (one.until_ms or to_ms) > from_ms
    ]


def _object(
    channel: Channel, from_ms: int, to_ms: int, step_ms: int, points: Iterable[Point]
) -> dict[str, Any]:
    columns = [*zip(*points, strict=True)] or [(), (), (), (), ()]
    t, values, low, high, qualities = columns

    def figures(column: tuple) -> list[float | None]:
        return [None if one is None else float(provincial.number(one, channel.decimals)) for one in column]

    return {
        "symbol": channel.symbol, "unit": channel.unit, "decimals": channel.decimals,
        "from_ms": from_ms, "to_ms": to_ms, "step_ms": step_ms, "t": t,
        "value": figures(values), "low": figures(low), "high": figures(high),
        "quality": [flags.NAMES.get(one, str(one)) for one in qualities],
        "limits": _limits(channel),
    }  # fmt: skip


def _limits(channel: Channel) -> dict[str, Any] | None:
    """What a window is held against."""
    figure = next((one for one in channel.limits.figures if one.span == WINDOW), None)
    if figure is None:
        return None
    inner = Levels(figure.min, figure.max).inner(channel.limits.warn_share)
    return {
        "min": figure.min, "max": figure.max, "warn_min": inner.low, "warn_max": inner.high,
        "basis": figure.basis,
    }  # fmt: skip
