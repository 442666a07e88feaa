"""The certificate of a calibration as blocks of facts and tables, which HTML and PDF show alike. Pure.

Rule 1: the same calibration gives the same certificate: nothing in it is of the moment at which it is made.
Rule 2: figures have six digits at most, and a decimal point, as in the provincial files: both languages show
        the same one.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from gateway.zone import GMT7_S
from tools.station.calibrate import texts as t
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.texts import Text, same

ROUNDING = 1e-6
"""Of what lies between the standards: less is no residual."""


class Checked(NamedTuple):
    """A reading after the calibration was written, still in the last standard."""

    time_ms: int
    value: float
    reference: float


class Facts(NamedTuple):
    rows: tuple[tuple[Text, Text], ...]


class Table(NamedTuple):
    """`widths` are shares of the page; figures stand to the right, words (of `left`) to the left."""

    title: Text
    heads: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    widths: tuple[float, ...]
    left: tuple[int, ...] = (0,)


class Note(NamedTuple):
    text: Text


def blocks(made: Calibration, checked: Checked | None) -> list[Facts | Table | Note]:
    """All of it, in its order; the signatures follow."""
    return [
        _about(made),
        _standards(made),
        _readings(made),
        Note(_method(made)),
        _line(made),
        _drift(made),
        Facts(((t.CHECKED, _checked(made, checked)),)),
    ]


def heading(made: Calibration) -> str:
    """Above each page."""
    return f"{made.station or made.device}  –  {made.symbol}  –  {made.number}"


def moment(time_ms: int) -> str:
    """To the second, GMT+7."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_ms // 1000 + GMT7_S))


def figure(value: float, digits: int = 6) -> str:
    """Short, and never -0."""
    text = f"{value:.{digits}g}"
    return "0" if float(text) == 0 else text


def value(made: Calibration, found: float) -> str:
    """A value of the channel; what comes of 32-bit floats alone is 0."""
    values = [point.reference for point in made.taken]
    return "0" if abs(found) < ROUNDING * (max(values) - min(values)) else figure(found, 5)


def rest(made: Calibration, off: float) -> str:
    """A residual, likewise."""
    return "0" if value(made, off) == "0" else f"{off:+.2g}"


def _with_unit(value: float, unit: str) -> str:
    return f"{figure(value)} {unit}".strip()


def _about(made: Calibration) -> Facts:
    one = made.instrument
    rows = [
        (t.STATION, same(made.station or "–")),
        (t.DEVICE, same(f"{made.device}  ({made.firmware})" if made.firmware else made.device)),
        (t.CHANNEL, same(f"{made.symbol} ({made.channel}), {made.unit}".rstrip(", "))),
        (t.NUMBER, same(str(made.number))),
        (t.BEFORE, same(str(made.old_number) if made.old_number else "–")),
        (t.TIME, same(moment(made.at_ms))),
        (t.BY, same(made.by)),
        (t.INSTRUMENT, same(one.title)),
        (t.SERIAL, same(one.serial)),
        (t.PLACE, same(one.place or "–")),
        (t.PROFILE, same(f"{one.profile}: {one.source}" if one.profile else "–")),
    ]
    return Facts(tuple(rows))


def _standards(made: Calibration) -> Table:
    rows = [
        (
            same(one.number), same(_with_unit(one.value, made.unit)),
            same(_with_unit(one.uncertainty, made.unit)), same(one.valid_until),
        )
        for one in made.standards
    ]  # fmt: skip
    heads = (t.CERTIFICATE, t.VALUE, t.UNCERTAINTY, t.VALID)
    return Table(t.STANDARDS, heads, tuple(rows), (0.4, 0.2, 0.2, 0.2))


def _readings(made: Calibration) -> Table:
    rows = [
        (
            same(str(at)), same(_with_unit(point.reference, made.unit)), same(figure(point.raw)),
            same(figure(point.deviation, 2)), same(str(point.readings)),
            same(f"{moment(point.from_ms)[11:]} – {moment(point.to_ms)[11:]}"),
            same(value(made, made.before(point))), same(value(made, made.after(point))),
            same(rest(made, off)),
        )
        for at, (point, off) in enumerate(zip(made.taken, made.residuals, strict=True), 1)
    ]  # fmt: skip
    heads = (
        t.POINT, t.REFERENCE, t.RAW, t.SCATTER, t.COUNT, t.FROM_TO, t.FOUND, t.LEFT, t.RESIDUAL
    )  # fmt: skip
    return Table(t.READINGS, heads, tuple(rows), (0.06, 0.12, 0.1, 0.1, 0.085, 0.185, 0.125, 0.115, 0.11), ())


def _method(made: Calibration) -> Text:
    parts = {
        "within": made.within_s, "limit": figure(made.deviation_max, 3),
        "residual": figure(made.residual_max, 3), "unit": made.unit,
    }  # fmt: skip
    notes = [t.METHOD]
    notes += [t.PIECEWISE] if made.piecewise else []
    notes += [t.THROUGH] if made.through else []
    said = [" ".join(note[at].format(**parts) for note in notes).replace(" .", ".") for at in (0, 1)]
    return Text(said[0], said[1])


def _line(made: Calibration) -> Table:
    old, new = made.old_line, made.line

    def held(points) -> str:
        return ";  ".join(f"{figure(raw)} : {value(made, at)}" for raw, at in points) or "–"

    rows = (
        (t.OLD, same(figure(old.slope)), same(figure(old.offset)), same(held(made.old_points))),
        (t.NEW, same(figure(new.slope)), same(figure(new.offset)), same(held(made.points))),
    )
    return Table(t.LINE, (same(""), t.SLOPE, t.OFFSET, t.HELD), rows, (0.12, 0.15, 0.15, 0.58), (0, 3))


def _drift(made: Calibration) -> Table:
    found, unit = made.judged, made.unit
    rows = []
    for name, place, drift, most, holds in (
        (t.ZERO_DRIFT, found.zero, found.drift.zero, made.limits.zero_drift_max, found.drift.zero_ok),
        (t.SPAN_DRIFT, found.span, found.drift.span, made.limits.span_drift_max, found.drift.span_ok),
    ):
        verdict = {None: t.NO_LIMIT, True: t.HOLDS, False: t.BEYOND}[holds]
        allowed = same("–") if most is None else same(f"± {_with_unit(most, unit)}")
        at = same(_with_unit(place, unit))
        rows.append((name, at, same(f"{drift:+.4g} {unit}".strip()), allowed, verdict))
    heads = (same(""), t.AT, t.FOUND_DRIFT, t.ALLOWED, t.VERDICT)
    return Table(t.DRIFT, heads, tuple(rows), (0.2, 0.2, 0.2, 0.2, 0.2), (0, 4))


def _checked(made: Calibration, checked: Checked | None) -> Text:
    if checked is None:
        return t.NOT_CHECKED
    value, reference = _with_unit(checked.value, made.unit), _with_unit(checked.reference, made.unit)
    when = moment(checked.time_ms)[11:]
    return Text(f"{value} (giá trị chuẩn {reference}), {when}", f"{value} (standard {reference}), {when}")
