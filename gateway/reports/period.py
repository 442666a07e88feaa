"""The periods that reports are made of: a day, month, quarter, half-year, year, or any whole hours. Pure.

Rule 1: borders lie on the GMT+7 calendar, whatever the machine's own time zone; the end is not in it.
Rule 2: a period may be asked for before it is over: the report says up to when it reaches.
Times are Unix milliseconds of station time.
"""

from __future__ import annotations

import calendar
import re
import time
from datetime import datetime
from typing import NamedTuple

from gateway.spans import month
from gateway.zone import DAY_MS, GMT7, GMT7_S, HOUR_MS

DAY, MONTH, QUARTER, HALF, YEAR, RANGE = "day", "month", "quarter", "half-year", "year", "range"
DUE = {"H1": (6, 15), YEAR: (11, 15)}
"""Month and day by which the half-year's and the year's report are handed in, as collected in the design."""
_NAMES = re.compile(r"(20[0-9]{2})(?:-(?:Q([1-4])|H([12])|([0-9]{2})(?:-([0-9]{2}))?))?")
_HOW = "write 2026-03-25 (a day), 2026-03 (a month), 2026-Q1, 2026-H1 (a half-year) or 2026"


class Period(NamedTuple):
    """from_ms <= time < to_ms."""

    name: str  # as it was asked for: 2026-H1
    kind: str  # one of the words above
    from_ms: int
    to_ms: int

    @property
    def bucket_ms(self) -> int:
        """Length of a line of its table: hours within two days, days beyond."""
        return HOUR_MS if self.to_ms - self.from_ms <= 2 * DAY_MS else DAY_MS

    @property
    def due_ms(self) -> int | None:
        """The start of the day by which its report is handed in, where the regulation names one."""
        month_day = DUE.get(YEAR if self.kind == YEAR else self.name[-2:] if self.kind == HALF else "")
        return None if month_day is None else _midnight_ms(int(self.name[:4]), *month_day)


def period(name: str) -> Period:
    """The period of a name. ValueError: a sentence that says how periods are written."""
    found = _NAMES.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no period: {_HOW}.")
    year, quarter, half, month, day = (int(text) if text else 0 for text in found.groups())
    if found[5]:
        return _day(name, year, month, day)
    if found[4]:
        if not 1 <= month <= 12:
            raise ValueError(f"{name!r} is no period: there is no month {found[4]}.")
        return _months(name, MONTH, year, month, 1)
    if quarter:
        return _months(name, QUARTER, year, 3 * quarter - 2, 3)
    if half:
        return _months(name, HALF, year, 6 * half - 5, 6)
    return _months(name, YEAR, year, 1, 12)


def between(from_ms: int, to_ms: int) -> Period:
    """Any time that begins and ends with a full hour. ValueError."""
    if from_ms >= to_ms:
        raise ValueError("The end of the time is not after its beginning: --to must be later than --from.")
    if from_ms % HOUR_MS or to_ms % HOUR_MS:
        raise ValueError("A report begins and ends with a full hour: write --from and --to without minutes.")
    if to_ms - from_ms > 366 * DAY_MS:
        raise ValueError("A report covers a year at the most: ask for shorter times, one after the other.")
    return Period(f"{_written(from_ms)}--{_written(to_ms)}", RANGE, from_ms, to_ms)


def _day(name: str, year: int, month: int, day: int) -> Period:
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise ValueError(f"{name!r} is no period: there is no such day.")
    from_ms = _midnight_ms(year, month, day)
    return Period(name, DAY, from_ms, from_ms + DAY_MS)


def _months(name: str, kind: str, year: int, first: int, count: int) -> Period:
    return Period(name, kind, month(year, first).start_ms, month(year, first + count - 1).end_ms)


def _midnight_ms(year: int, month: int, day: int) -> int:
    return round(datetime(year, month, day, tzinfo=GMT7).timestamp()) * 1000


def _written(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H", time.gmtime(time_ms // 1000 + GMT7_S))
