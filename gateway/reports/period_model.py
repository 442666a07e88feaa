"""A period's report as one object: all outputs are made from it (period_build.py makes it). Pure data.

Rule 1: nothing in it depends on when or where it is made: the same journal gives the same report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateway.reports.period import Period
from gateway.reports.period_runs import WINDOW, Exceedance, Limits
from gateway.reports.period_series import (
    CALIBRATING,
    FAULTY,
    MISSING,
    VALID,
    Buckets,
    Span,
)
from gateway.zone import HOUR_MS

if TYPE_CHECKING:
    from gateway.calibration.fit import Judged
    from gateway.interruptions import Interruption
    from gateway.reports.period_added import Added

CLASSES = (VALID, CALIBRATING, FAULTY, MISSING)


class Station(NamedTuple):
    """Who the report is about, as configured."""

    province: str
    facility: str
    code: str
    name: str
    kind: str


class Setting(NamedTuple):
    """A configured channel."""

    symbol: str
    unit: str
    decimals: int
    limits: Limits  # for windows
    means: tuple[tuple[str, Limits], ...] = ()  # for HOUR and DAY means
    average: str = "mean"  # what stands for many windows: gateway/hours.py


class Evidence(NamedTuple):
    """What the figures rest on, so that anybody can hold them against a bundle (`quantrac export`)."""

    entries: int  # of the journal when it was read
    origin: str  # whose log; "" where nothing was signed yet
    size: int  # entries that the newest checkpoint covers
    root: str  # base64, as it stands in the checkpoint


class Acted(NamedTuple):
    """What happened to an alert while it lasted."""

    at_ms: int
    what: str  # "acknowledged" or "escalated"
    by: str  # who acknowledged it
    note: str


class Alert(NamedTuple):
    """One alert from its beginning to its end; `until_ms` is None while it lasts."""

    about: str
    rule: str
    since_ms: int
    until_ms: int | None
    value: float | None  # the figure that raised it
    limit: float | None
    basis: str
    acted: tuple[Acted, ...]


class Calibration(NamedTuple):
    """A calibration that came into force (a CALIBRATION entry)."""

    at_ms: int
    source: str
    quantity: str
    number: int
    points: tuple[tuple[float, float], ...]  # (raw, engineering)


class Stop(NamedTuple):
    """An interruption, and how many of its windows or documents were made up for since."""

    interruption: Interruption
    windows: int
    made_up: int


class Beside(NamedTuple):
    """What the report tells besides the windows."""

    alerts: Sequence[Alert] = ()
    calibrations: Sequence[Calibration] = ()
    interruptions: Sequence[Stop] = ()
    records: Sequence[Judged] = ()


class Revised(NamedTuple):
    """Windows in a row that were computed again, for the same reason; `revision` is the highest of them."""

    symbol: str
    from_ms: int
    to_ms: int
    windows: int
    revision: int
    reason: str


class Extreme(NamedTuple):
    value: float
    start_ms: int


class Statistics(NamedTuple):
    """Of the valid windows; None in a channel without any."""

    windows: int
    mean: float
    minimum: Extreme
    maximum: Extreme
    percentiles: tuple[float, ...]  # PERCENTILES
    hour: Extreme | None  # the highest mean of a valid hour, of a valid day
    day: Extreme | None
    total: float | None = None  # of a meter, over all windows


class ChannelReport(NamedTuple):
    symbol: str
    unit: str
    decimals: int
    limits: Limits
    means: tuple[tuple[str, Limits], ...]
    average: str
    capture_ms: dict[str, int]  # of each of CLASSES; they add up to the period
    quality_ms: dict[int, int]  # of windows that exist, by quality
    statistics: Statistics | None
    hours: Buckets
    days: Buckets
    exceedances: tuple[Exceedance, ...]
    calibrating: tuple[Span, ...]

    def basis_of(self, span: str) -> str:
        """Where the limit of windows, hours or days comes from."""
        return dict(self.means).get(span, self.limits).basis

    @property
    def exceeded_ms(self) -> int:
        """How long windows of it were beyond a limit."""
        return sum(one.to_ms - one.from_ms for one in self.exceedances if one.span == WINDOW)


class Report(NamedTuple):
    station: Station
    period: Period
    reach_ms: int  # up to when: the period's end, or that of the newest window
    data_ms: tuple[int, int] | None  # beginning of the first window, end of the last; None: there is none
    length_ms: int  # of a window
    label_end: bool  # files are named by the end of their window
    share_min: float  # of valid windows in a valid hour or day
    channels: tuple[ChannelReport, ...]
    beside: Beside
    revised: tuple[Revised, ...]
    revised_count: int  # windows whose newest revision is not the first
    evidence: Evidence
    added: Added | None = None  # sections that only some stations have

    def labelled(self, start_ms: int) -> int:
        """The moment that names a window in the files that were sent."""
        return start_ms + self.length_ms if self.label_end else start_ms

    def buckets(self, channel: ChannelReport) -> Buckets:
        """A channel's lines of the period's table."""
        return channel.hours if self.period.bucket_ms == HOUR_MS else channel.days


def shares(capture_ms: dict[str, int]) -> dict[str, float]:
    """Percent of the period, to two decimals, that add up to 100.00: what rounding leaves goes to the classes
    that it took most from. All 0 in a period without any length.
    """
    total = sum(capture_ms.values())
    if not total:
        return dict.fromkeys(capture_ms, 0.0)
    whole = {name: ms * 10_000 // total for name, ms in capture_ms.items()}
    left = 10_000 - sum(whole.values())
    for name in sorted(capture_ms, key=lambda name: -(capture_ms[name] * 10_000 % total))[:left]:
        whole[name] += 1
    return {name: count / 100 for name, count in whole.items()}
