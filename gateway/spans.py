"""Days, months and quarters as spans of Unix ms. Pure.

Rule 1: all of them begin at GMT+7, whatever the machine's own time zone; that has no daylight saving time.
Rule 2: a span is start <= time < end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from gateway.zone import GMT7

DECLARED_BY_DAY = 20  # of the month after the quarter: Nghị định 346/2025, Nghị định 153/2024


class Span(NamedTuple):
    """start <= time < end."""

    start_ms: int
    end_ms: int


class Quarter(NamedTuple):
    """A quarter of a year, 1 to 4."""

    year: int
    number: int

    @property
    def period(self) -> Span:
        """Its span."""
        return Span(month(self.year, 3 * self.number - 2).start_ms, month(self.year, 3 * self.number).end_ms)

    @property
    def declared_by(self) -> date:
        """The last day for its declaration: the 20th of the next quarter's first month."""
        year, first = (self.year + 1, 1) if self.number == 4 else (self.year, 3 * self.number + 1)
        return date(year, first, DECLARED_BY_DAY)


def quarter_of(time_ms: int) -> Quarter:
    """The quarter that holds a moment."""
    day = datetime.fromtimestamp(time_ms / 1000, GMT7)
    return Quarter(day.year, (day.month + 2) // 3)


def month(year: int, number: int) -> Span:
    """A month, 1 to 12."""
    end = (year + 1, 1) if number == 12 else (year, number + 1)
    return Span(_ms(datetime(year, number, 1, tzinfo=GMT7)), _ms(datetime(*end, 1, tzinfo=GMT7)))


def days(start_ms: int, end_ms: int) -> Iterator[Span]:
    """The days that begin within start <= time < end."""
    day = datetime.fromtimestamp(start_ms / 1000, GMT7).replace(hour=0, minute=0, second=0, microsecond=0)
    if _ms(day) < start_ms:
        day += timedelta(days=1)
    while _ms(day) < end_ms:
        yield Span(_ms(day), _ms(day + timedelta(days=1)))
        day += timedelta(days=1)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp()) * 1000
