"""What a channel's calibrations are held against: `calibration = { ... }` of a `[[channel]]`."""

from __future__ import annotations

from gateway.calibration.record import Limits
from gateway.config_base import Section, setting

_UNIT = "(in the channel's unit)"


class Calibration(Section):
    """`calibration = { zero_drift_max, span_drift_max, ... }`. How often: `calibrate_days`."""

    zero: float = setting("Where zero drift is taken; 7.0 for pH.", 0.0, unit=_UNIT, ge=-1e12, le=1e12)
    span: float | None = setting(
        "Where span drift is taken; without it, the highest reference of the record.",
        None,
        unit=_UNIT,
        example=100.0,
        ge=-1e12,
        le=1e12,
    )
    zero_drift_max: float | None = setting(
        "How far the reading at zero may have drifted since the calibration before.",
        None,
        unit=_UNIT,
        example=1.5,
        ge=0,
        le=1e12,
    )
    span_drift_max: float | None = setting(
        "How far the reading at span may have drifted since the calibration before.",
        None,
        unit=_UNIT,
        example=3.0,
        ge=0,
        le=1e12,
    )

    def limits(self) -> Limits:
        """For the arithmetic (gateway/calibration/fit.py)."""
        return Limits(self.zero, self.span, self.zero_drift_max, self.span_drift_max)
