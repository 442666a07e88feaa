"""An hour of a channel, from its 5-minute windows. Pure.

Rule 1: hours lie on the GMT+7 grid and are labelled like windows. The value is the simple mean of the valid
        windows (status 00), as the receiving software takes it, of exact sums.
Rule 2: an hour is valid when the configured share of its windows is. Else status and value are found as a
        window's are (accumulate.py, rules 2 and 3), with windows in the place of readings: the status of what
        explains most of what is missing, the mean of what there is, or the last valid value.
Rule 3: an hour is whole once a window was closed that ends with it or later. It is revision 1 with what its
        windows were then; every later revision of one of them makes the next number. A number is told once:
        where several windows are revised between two looks, the numbers between are left out.

Here is where wind directions and totals are to find another arithmetic: of() knows the channel's symbol only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.accumulate import Cell
from gateway.windows import OFF, Window
from protocol import quality as q

HOUR_MS = 3_600_000


def hour_of(time_ms: int) -> int:
    """The start of the hour that holds this moment; GMT+7 is whole hours from UTC."""
    return time_ms - time_ms % HOUR_MS


def of(windows: Iterable[Window], revision: int, valid_share_min: float) -> list[Window]:
    """One hour of all channels: `windows` are the newest revisions of those in it, in any order."""
    by_symbol: dict[str, list[Window]] = {}
    for window in sorted(windows, key=lambda window: window.start_ms):
        by_symbol.setdefault(window.symbol, []).append(window)
    return [_hour(found, revision, valid_share_min) for _, found in sorted(by_symbol.items())]


def _hour(windows: Sequence[Window], revision: int, valid_share_min: float) -> Window:
    newest, start_ms = windows[-1], hour_of(windows[0].start_ms)
    cell = Cell()
    for window in windows:
        if window.quality == q.OK and window.value is not None:
            cell.fresh.append(window.value)
        else:
            cell.not_ok(window.quality, None if _carried(window) else window.value)
    expected = HOUR_MS // (newest.end_ms - newest.start_ms)
    found = cell.outcome(expected, valid_share_min, newest.last)
    lows = [w.minimum for w in windows if w.quality == q.OK and w.minimum is not None]
    highs = [w.maximum for w in windows if w.quality == q.OK and w.maximum is not None]
    return Window(
        newest.symbol, newest.unit, start_ms, start_ms + HOUR_MS, revision, found.value, found.quality,
        q.status(found.quality), found.valid, expected, found.valid_share, min(lows, default=None),
        max(highs, default=None), OFF if all(w.reason == OFF for w in windows) else "", newest.last,
    )  # fmt: skip


def _carried(window: Window) -> bool:
    """Whether its value is one of an earlier window, for want of any reading with one."""
    return window.count == 0 and window.value == window.last
