"""A calibration with everything that its certificate and its records say, and how it lies in a file. Pure.

Figures are in the channel's unit unless a name says raw; times are Unix ms of the device, or of this machine
where the device does not know the time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.calibration.fit import Judged, judge
from gateway.calibration.record import ADJUSTMENT, CORRECTION, Certificate, Limits, Point, Record
from gateway.reports.message import rfc3339
from protocol.calibration import engineering
from tools.station.calibrate.fit import Line, Points, Taken, line_of, residuals


class Instrument(NamedTuple):
    """What is calibrated."""

    title: str  # of its profile, or what is wired
    profile: str  # "" for an input of the device's own
    source: str  # of the profile
    place: str  # bus and unit
    serial: str


@dataclasses.dataclass(frozen=True)
class Calibration:
    """As it was made; whether it is in force is for the device to say."""

    device: str
    station: str  # for people; "" where nobody named it
    channel: str  # on the device
    symbol: str  # in the provincial file
    unit: str
    number: int
    taken: tuple[Taken, ...]
    points: Points  # for the device
    line: Line
    old_number: int
    old_points: Points
    limits: Limits
    residual_max: float
    within_s: float
    deviation_max: float  # raw
    standards: tuple[Certificate, ...]
    instrument: Instrument
    by: str
    at_ms: int
    piecewise: bool
    through: bool  # the gateway gave it to the device
    firmware: str

    @property
    def old_line(self) -> Line:
        return line_of(self.old_points)

    @property
    def residuals(self) -> tuple[float, ...]:
        return residuals(self.points, self.taken)

    def before(self, point: Taken) -> float:
        """What the calibration before makes of it."""
        return engineering(point.raw, self.old_points)

    def after(self, point: Taken) -> float:
        """What this one makes of it."""
        return engineering(point.raw, self.points)

    @property
    def measured(self) -> tuple[Point, ...]:
        """As a gateway's record has them."""
        return tuple([Point(one.reference, self.before(one), self.after(one)) for one in self.taken])

    @property
    def judged(self) -> Judged:
        """The drift since the calibration before: what that makes of today's raw values, less the truth."""
        return judge(
            Record(
                self.symbol, self.unit, self.at_ms, self.by, self.instrument.serial, ADJUSTMENT,
                self.measured, self.standards, limits=self.limits,
            ),
            None,
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """For the gateway, as `quantrac gateway calibration add --file` takes it."""
        points = [
            {"reference": one.reference, "before": one.before}
            | ({} if self.through else {"after": one.after})
            for one in self.measured
        ]
        return {
            "channel": self.symbol, "at": rfc3339(self.at_ms), "who": self.by,
            "serial": self.instrument.serial, "kind": CORRECTION if self.through else ADJUSTMENT,
            "points": points, "certificate": [one._asdict() for one in self.standards],
            "remark": f"station calibrate: {self.device}, {self.channel}, calibration {self.number}",
        }  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """For the station's record (folder.py, "calibrated")."""
        drift = self.judged.drift
        return {
            "channel": self.channel, "unit": self.unit, "number": self.number,
            "points": [[one.raw, one.reference] for one in self.taken],
            "fit": [list(point) for point in self.points], "slope": self.line.slope,
            "offset": self.line.offset, "residuals": list(self.residuals),
            "drift": {
                "zero": drift.zero, "span": drift.span, "zero_max": self.limits.zero_drift_max,
                "span_max": self.limits.span_drift_max, "ok": drift.holds,
            },
            "standards": [one._asdict() for one in self.standards],
            "serial": self.instrument.serial, "calibrated_ms": self.at_ms,
        }  # fmt: skip

    def encode(self) -> bytes:
        """For a file."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1).encode() + b"\n"


def parse(data: bytes) -> Calibration:
    """The inverse of encode(). ValueError for anything else."""
    try:
        said: Any = json.loads(data)
        made: Mapping[str, Any] = {
            **said,
            "taken": tuple([Taken(*row) for row in said["taken"]]),
            "points": tuple([(raw, value) for raw, value in said["points"]]),
            "line": Line(*said["line"]),
            "old_points": tuple([(raw, value) for raw, value in said["old_points"]]),
            "limits": Limits(*said["limits"]),
            "standards": tuple([Certificate(*row) for row in said["standards"]]),
            "instrument": Instrument(*said["instrument"]),
        }
        return Calibration(**made)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no calibration: {error}") from None
