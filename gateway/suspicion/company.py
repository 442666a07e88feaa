"""Channels beside each other, and calibrations beside the figures. Pure.

Rule 1: apart: the correlation of two channels over a day, against the median of the days before. A channel
        that stands still has correlation 0 with everything.
Rule 2: calibrations: each beginning of status 01 is compared with the same time of other days, so that a
        schedule that meets the daily maximum is not held against anybody.
"""

from __future__ import annotations

from math import fsum, sqrt
from operator import mul
from statistics import fmean, median

from gateway.suspicion import DAY_MS, Sign, Thresholds, Track, runs

APART, CALIBRATION = "stopped moving together", "calibrated when values rise"
BEFORE = 3  # windows before a calibration whose mean is looked at


def apart(one: Track, other: Track, thresholds: Thresholds) -> list[Sign]:
    """Days on which two channels, which moved together before, do not; days in a row are one sign."""
    past: list[float] = []
    low: list[bool] = []
    found: list[float] = []
    for day in range(min(one.days(), other.days())):
        value = correlation(one.day(day), other.day(day), thresholds)
        recent = past[-thresholds.past_days :]
        usual = median(recent) if len(recent) >= thresholds.past_days_min else 0.0
        is_low = value is not None and usual >= thresholds.together and value <= thresholds.apart
        low.append(is_low)
        found.append(1.0 if value is None else value)
        if value is not None and not is_low:
            past.append(value)
    return [
        _apart(one, other, first, last, min(found[first:last]), thresholds)
        for first, last in runs(low)
        if last - first >= thresholds.apart_days
    ]


def correlation(a: list[float | None], b: list[float | None], thresholds: Thresholds) -> float | None:
    """Pearson's, of the windows in which both are valid; None for too few of them."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if len(pairs) < thresholds.day_share_min * len(a) or len(pairs) < 2:
        return None
    xs, ys = zip(*pairs, strict=True)
    mean_x, mean_y = fmean(xs), fmean(ys)
    xs, ys = [x - mean_x for x in xs], [y - mean_y for y in ys]
    xx, yy = fsum(map(mul, xs, xs)), fsum(map(mul, ys, ys))
    if xx == 0 or yy == 0:
        return 0.0
    return fsum(map(mul, xs, ys)) / sqrt(xx * yy)


def _apart(one: Track, other: Track, first: int, last: int, lowest: float, thresholds: Thresholds) -> Sign:
    return Sign(
        APART,
        f"{one.symbol}, {other.symbol}",
        one.start_ms + first * DAY_MS,
        one.start_ms + last * DAY_MS,
        lowest,
        thresholds.apart,
        f"Đề nghị xem: {one.symbol} và {other.symbol} trước đây biến đổi cùng nhau, nay không còn "
        f"(hệ số tương quan {lowest:.2f}).",
        f"Look here: {one.symbol} and {other.symbol} used to move together and no longer do "
        f"(correlation {lowest:.2f}).",
    )


def calibrations(track: Track, thresholds: Thresholds) -> list[Sign]:
    """One sign for the whole track, if calibrations begin too often at values that have risen."""
    judged: list[tuple[int, bool]] = []
    for i in range(BEFORE, len(track.status)):
        if track.status[i] != "01" or track.status[i - 1] == "01":
            continue
        risen = _risen(track, i, thresholds)
        if risen is not None:
            judged.append((i, risen))
    if len(judged) < thresholds.calibrations_min:
        return []
    count = sum(risen for _, risen in judged)
    share = count / len(judged)
    if share < thresholds.calibration_share:
        return []
    return [
        Sign(
            CALIBRATION,
            track.symbol,
            track.at(judged[0][0]),
            track.at(judged[-1][0]),
            share,
            thresholds.calibration_share,
            f"Đề nghị xem: {count} trong {len(judged)} lần hiệu chuẩn {track.symbol} bắt đầu khi giá trị "
            "đang cao hơn hẳn cùng giờ các ngày khác.",
            f"Look here: {count} of {len(judged)} calibrations of {track.symbol} begin at values well above "
            "those of other days at that time.",
        )
    ]


def _risen(track: Track, i: int, thresholds: Thresholds) -> bool | None:
    """Whether the figures before window `i` are among the highest of that time of day, in days around it."""
    now = _mean(track, i)
    if now is None:
        return None
    days = range(-thresholds.past_days, thresholds.past_days + 1)
    others = [_mean(track, i + day * track.per_day) for day in days if day]
    there = sorted(other for other in others if other is not None)
    if len(there) < thresholds.past_days_min:
        return None
    return sum(other < now for other in there) >= thresholds.calibration_top * len(there)


def _mean(track: Track, i: int) -> float | None:
    if not BEFORE <= i <= len(track.figures):
        return None
    figures = [figure for figure in track.figures[i - BEFORE : i] if figure is not None]
    return fmean(figures) if figures else None
