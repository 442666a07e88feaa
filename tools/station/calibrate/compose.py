"""From points that were taken to the calibration that is proposed, and everything that speaks against it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.calibration import correct, given
from gateway.calibration.given import Known
from gateway.calibration.record import Certificate, Point
from protocol.calibration import engineering
from tools.station.calibrate.fit import (
    Fault,
    Points,
    Taken,
    as_held,
    faults,
    fitted,
    themselves,
    too_near,
    two_points,
)
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.plan import Options, Plan
from tools.station.folder import Folder


class Composer:
    """`device`, `firmware`, `station`: what the certificate says of them."""

    def __init__(
        self, folder: Folder, options: Options, plan: Plan, device: str, firmware: str, station: str
    ) -> None:
        self._folder, self._options, self._plan = folder, options, plan
        self._device, self._firmware, self._station = device, firmware, station
        self._through = options.port is None

    def made(
        self, points: Sequence[Taken], certificates: Sequence[Certificate], serial: str
    ) -> tuple[Calibration | None, list[Fault]]:
        """The calibration that follows, None where none does; [] where nothing speaks against it."""
        plan, options = self._plan, self._options
        references = [point.reference for point in points]
        allowed = plan.residual_max(options, references)
        try:
            line = fitted(points)
            device = self._device_points(points)
        except (ValueError, ZeroDivisionError) as error:
            everywhere = tuple(range(len(points)))
            return None, too_near(points, plan.unit) or [Fault(str(error), everywhere)]
        made = Calibration(
            device=self._device, station=self._station, channel=plan.channel, symbol=plan.symbol,
            unit=plan.unit, number=self._number(), taken=tuple(points), points=device, line=line,
            old_number=plan.old.number, old_points=plan.old.points,
            limits=plan.limits(options, references), residual_max=allowed, within_s=plan.within_s,
            deviation_max=plan.deviation_max(options, references), standards=tuple(certificates),
            instrument=plan.instrument._replace(serial=serial), by=options.by.strip(),
            at_ms=max(point.to_ms for point in points), piecewise=options.piecewise,
            through=self._through, firmware=self._firmware,
        )  # fmt: skip
        found = faults(points, device, plan.before, allowed, plan.unit)
        return made, found or self._refused(made)

    def _device_points(self, points: Sequence[Taken]) -> Points:
        if self._through:  # what the gateway will make of the record
            old = self._plan.old.points
            measured = [Point(one.reference, engineering(one.raw, old), None) for one in points]
            return as_held(correct.corrected(old, measured))
        return themselves(points) if self._options.piecewise else two_points(fitted(points), points)

    def _number(self) -> int:
        """Above the present one; and above what the records have, where a device has lost its flash: one
        number never stands for two calibrations. A gateway counts on from the present one by itself.
        """
        newest = [0]
        if not self._through:
            newest += [
                int(one.get("number", 0))
                for one in self._folder.records("calibrated")
                if one.get("channel") == self._plan.channel
            ]
        return max(self._plan.old.number, *newest) + 1

    def _refused(self, made: Calibration) -> list[Fault]:
        """What a gateway would not take of its record, as it would say it."""
        known = self._plan.known or {made.symbol: Known(made.unit, made.limits)}
        _, said = given.read(made.record(), known, made.at_ms)
        return [Fault(text, tuple(range(len(made.taken)))) for text in said]


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000
