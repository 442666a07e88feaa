"""What happens at the limit: figures pressed just under it, gaps that begin before it is exceeded. Pure.

Rule 1: pressed: over a week many figures lie in a narrow band below the limit, and almost none in the same
        band above it. An honest plant that runs close to its limit also exceeds it.
Rule 2: gaps: how many begin when the rise of the last quarter of an hour leads beyond the limit in another,
        against chance: the share of all valid windows that stand so. The statistic is the chance of so many.
"""

from __future__ import annotations

from math import exp, fsum, lgamma, log, log1p

from gateway.suspicion import DAY_MS, Sign, Thresholds, Track

PRESSED, GAP = "pressed under the limit", "gaps before exceedances"
AHEAD = 3  # windows: a quarter of an hour of 5-minute windows
CHANCE_MIN = 0.01  # a series that never came near its limit is not judged by a chance of zero


def pressed(track: Track, limit: float, thresholds: Thresholds) -> list[Sign]:
    """Weeks in which figures crowd below the upper limit; looked at one after the other."""
    found = []
    days = thresholds.pressed_days
    for first in range(0, track.days() - days + 1, days):
        week = track.figures[first * track.per_day : (first + days) * track.per_day]
        figures = [figure for figure in week if figure is not None]
        if len(figures) < thresholds.day_share_min * len(week):
            continue
        below = sum(limit * (1 - thresholds.band) < figure <= limit for figure in figures)
        above = sum(limit < figure <= limit * (1 + thresholds.band) for figure in figures)
        share = below / len(figures)
        if share >= thresholds.pressed_share and above <= thresholds.pressed_above * below:
            found.append(_pressed(track, first, share, above, limit, thresholds))
    return found


def _pressed(
    track: Track, first: int, share: float, above: int, limit: float, thresholds: Thresholds
) -> Sign:
    band = f"{thresholds.band:.0%}"
    return Sign(
        PRESSED,
        track.symbol,
        track.start_ms + first * DAY_MS,
        track.start_ms + (first + thresholds.pressed_days) * DAY_MS,
        share,
        thresholds.pressed_share,
        f"Đề nghị xem: {share:.0%} giá trị của {track.symbol} nằm ngay dưới giá trị giới hạn {limit:g} "
        f"(trong khoảng {band}), chỉ {above} giá trị ngay trên.",
        f"Look here: {share:.0%} of the figures of {track.symbol} lie within {band} below the limit "
        f"{limit:g}, and {above} as close above it.",
    )


def gaps(track: Track, limit: float, thresholds: Thresholds) -> list[Sign]:
    """One sign for the whole track, if gaps (no window, or status 02) begin too often before exceedances."""
    leading = [_leads(track.figures, i, limit) for i in range(len(track.figures))]
    judged = [lead for lead in leading if lead is not None]
    starts = [
        i
        for i in range(1, len(track.status))
        if track.status[i] in ("", "02") and track.status[i - 1] == "00" and leading[i - 1] is not None
    ]
    before = sum(bool(leading[i - 1]) for i in starts)
    if before < thresholds.gaps_min:
        return []
    usual = max(sum(judged) / len(judged), CHANCE_MIN)
    chance = tail(len(starts), before, usual)
    if chance > thresholds.gap_chance:
        return []
    return [
        Sign(
            GAP,
            track.symbol,
            track.at(starts[0]),
            track.at(starts[-1]),
            chance,
            thresholds.gap_chance,
            f"Đề nghị xem: {before} trong {len(starts)} lần {track.symbol} mất dữ liệu bắt đầu ngay khi "
            f"giá trị đang tiến đến giá trị giới hạn {limit:g}.",
            f"Look here: {before} of {len(starts)} gaps of {track.symbol} begin just as its figures approach "
            f"the limit {limit:g}.",
        )
    ]


def _leads(figures: list[float | None], i: int, limit: float) -> bool | None:
    """Whether the figures up to `i` lead beyond the limit in as much time again; None if one is missing."""
    if i < AHEAD:
        return None
    now, earlier = figures[i], figures[i - AHEAD]
    if now is None or earlier is None:
        return None
    return now > limit or 2 * now - earlier > limit


def tail(count: int, least: int, chance: float) -> float:
    """The probability of `least` or more of `count` that each happen with `chance`."""
    if least <= 0 or chance >= 1:
        return 1.0
    if chance <= 0:
        return 0.0
    rest = lgamma(count + 1)  # by logarithms: of thousands of gaps the coefficients are beyond any float
    return fsum(
        exp(rest - lgamma(k + 1) - lgamma(count - k + 1) + k * log(chance) + (count - k) * log1p(-chance))
        for k in range(least, count + 1)
    )
