"""The table that a technician judges before anything is written, in 79 columns. Pure."""

from __future__ import annotations

from tools.station.calibrate.certificate import figure, rest, value
from tools.station.calibrate.model import Calibration

HOLDS = {None: "no limit is set", True: "holds", False: "BEYOND the limit"}


def table(made: Calibration) -> str:
    """Old and new line, the points with their residuals, drift and verdict."""
    old, new, unit = made.old_line, made.line, made.unit
    lines = [
        "",
        f"{'':20}{f'in force ({made.old_number})':>18}{f'new ({made.number})':>18}",
        f"{'slope':20}{figure(old.slope):>18}{figure(new.slope):>18}",
        f"{f'offset {unit}':20}{figure(old.offset):>18}{figure(new.offset):>18}",
        "",
        f"{'point':>5}{'standard':>12}{'raw':>12}{'in force':>14}{'new':>14}{'residual':>12}",
    ]
    for at, (point, off) in enumerate(zip(made.taken, made.residuals, strict=True), 1):
        before, after = value(made, made.before(point)), value(made, made.after(point))
        lines.append(
            f"{at:>5}{figure(point.reference):>12}{figure(point.raw):>12}{before:>14}{after:>14}"
            f"{rest(made, off):>12}"
        )
    return "\n".join([*lines, "", *drifts(made), ""])


def drifts(made: Calibration) -> list[str]:
    """A line for zero, and one for span."""
    found = made.judged
    lines = []
    for name, place, drift, most, holds in (
        ("zero", found.zero, found.drift.zero, made.limits.zero_drift_max, found.drift.zero_ok),
        ("span", found.span, found.drift.span, made.limits.span_drift_max, found.drift.span_ok),
    ):
        allowed = "" if most is None else f", allowed {most:g}"
        lines.append(
            f"drift at {name} ({figure(place)}): {drift:+.4g} {made.unit}".rstrip()
            + f"{allowed}: {HOLDS[holds]}"
        )
    return lines
