"""A record as a person gives it (JSON of a file, or of the page), and everything that is wrong with it. Pure.

    {"channel": "COD", "at": "2026-11-30T09:30", "who": "Lan", "serial": "A-4711", "kind": "check",
     "points": [{"reference": 0.0, "before": 0.4, "after": 0.1}, ...],
     "certificate": {"number": "KT-22/118", "value": 100.0, "uncertainty": 1.0, "valid_until": "2027-05-01"},
     "photo": "<SHA-256>", "remark": ""}

Rule 1: every fault is a sentence; all of them come at once. No record is made while there is one.
Rule 2: kind is check (only looked at), adjustment (at the instrument: each point was read again), correction
        (the gateway, or the device, corrects the readings from now on), uncorrected (no more).
Rule 3: "at" is GMT+7 unless it says an offset; figures are in the channel's unit. `after` is left out where
        nothing was done; `certificate` may be a list, where each point has a standard of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from math import isfinite
from typing import Any, NamedTuple

from gateway.calibration.fit import found_line
from gateway.calibration.record import (
    ADJUSTMENT,
    CHECK,
    CORRECTION,
    KINDS,
    UNCORRECTED,
    Certificate,
    Limits,
    Point,
    Record,
)
from gateway.zone import date_of, moment_ms

POINTS_MIN, POINTS_MAX = 2, 5
CERTIFICATES_MAX = 5
FIGURE_MAX = 1e12
AHEAD_MS = 60_000
"""A person's watch may be ahead of the station's clock by so much."""
BACK_DAYS_MAX = 3650
_KNOWN = ("channel", "at", "who", "serial", "kind", "points", "certificate", "photo", "remark")
_SHA256 = re.compile("[0-9a-f]{64}")
_LENGTHS = {"who": (1, 100), "serial": (1, 100), "remark": (0, 500), "number": (1, 100)}


class Known(NamedTuple):
    """A channel that may be calibrated."""

    unit: str
    limits: Limits


def read(
    said: Any, channels: Mapping[str, Known], now_ms: int, entered_by: str = ""
) -> tuple[Record | None, list[str]]:
    """The record, or None and what is wrong."""
    if not isinstance(said, dict):
        return None, ["This is no record: write one JSON object with " + ", ".join(_KNOWN) + "."]
    reading = _Reading(said, now_ms)
    record = reading.record(channels, entered_by)
    return (None, reading.faults) if reading.faults else (record, [])


class _Reading:
    """One reading of one record."""

    def __init__(self, said: dict[str, Any], now_ms: int):
        self._said, self._now_ms = said, now_ms
        self.faults: list[str] = []

    def record(self, channels: Mapping[str, Known], entered_by: str) -> Record:
        for name in self._said:
            if name not in _KNOWN:
                self.faults.append(f"{_shown(name)} is not known here: write {', '.join(_KNOWN)}.")
        symbol = self._said.get("channel")
        known = channels.get(symbol) if isinstance(symbol, str) else None
        if known is None:
            named = ", ".join(channels) or "none"
            self.faults.append(f"{_shown(symbol)} is no channel that is measured here: name one of {named}.")
            known = Known("", Limits())
        at_ms = self._at()
        kind = self._said.get("kind")
        if kind not in KINDS:
            self.faults.append(f"kind is {_shown(kind)}: write {' or '.join(KINDS)}.")
        who, serial = self._line(self._said, "who"), self._line(self._said, "serial")
        points = self._points(known.unit, kind)
        certificates = self._certificates(at_ms)
        photo = self._said.get("photo") or ""
        if photo and not (isinstance(photo, str) and _SHA256.fullmatch(photo)):
            self.faults.append("photo is the SHA-256 of the picture, 64 signs of hex, or nothing.")
        return Record(
            str(symbol), known.unit, at_ms or 0, who, serial, str(kind), points, certificates, str(photo),
            self._line(self._said, "remark"), known.limits, entered_by,
        )  # fmt: skip

    def _line(self, said: dict[str, Any], name: str, about: str = "") -> str:
        least, most = _LENGTHS[name]
        text = said.get(name, "")
        if not isinstance(text, str) or not (text.isprintable() or not text):
            self.faults.append(f"{about}{name} is no line of text.")
            return ""
        if not least <= len(text.strip()) <= most:
            self.faults.append(f"{about}{name} is a line of {least} to {most} characters.")
        return text.strip()

    def _at(self) -> int | None:
        text = self._said.get("at")
        try:
            at_ms = moment_ms(text) if isinstance(text, str) else None
        except ValueError:
            at_ms = None
        if at_ms is None:
            self.faults.append(f"at is {_shown(text)}: write when it was made as 2026-11-30T09:30, in GMT+7.")
            return None
        if at_ms > self._now_ms + AHEAD_MS:
            self.faults.append(f"at is in the future: it is {date_of(self._now_ms)} at the station.")
        if at_ms < self._now_ms - BACK_DAYS_MAX * 86_400_000:
            self.faults.append("at is more than ten years ago: look at the year.")
        return at_ms

    def _number(self, said: Any, name: str) -> float | None:
        """A figure; a fault, and None, where it is none."""
        if type(said) not in (int, float) or abs(said) > FIGURE_MAX or not isfinite(said):
            self.faults.append(f"{name} is {_shown(said)}, which is no number: write it as 12.5.")
            return None
        return float(said)

    def _points(self, unit: str, kind: Any) -> tuple[Point, ...]:
        rows = self._said.get("points")
        if not isinstance(rows, list) or not POINTS_MIN <= len(rows) <= POINTS_MAX:
            self.faults.append(f"points are {POINTS_MIN} to {POINTS_MAX}: reference, before, after.")
            return ()
        found = []
        for place, row in enumerate(rows, 1):
            if not isinstance(row, dict) or row.keys() - {"reference", "before", "after"}:
                self.faults.append(f"Point {place} is not reference, before and after.")
                continue
            figures = [
                self._number(row.get(name), f"Point {place}: {name}") for name in ("reference", "before")
            ]
            after = row.get("after")
            after = None if after is None else self._number(after, f"Point {place}: after")
            if None not in figures:
                found.append(Point(figures[0], figures[1], after))  # type: ignore[arg-type]
        self._check_points(found, len(rows), unit, kind)
        return tuple(found)

    def _check_points(self, found: list[Point], count: int, unit: str, kind: Any) -> None:
        if len(found) < count:
            return
        try:
            found_line(found)
        except ValueError:
            one = f"{found[0].reference:g} {unit}".strip()
            self.faults.append(f"All points are of {one}: a line needs two that differ.")
        missing = [str(place) for place, point in enumerate(found, 1) if point.after is None]
        if kind in (CORRECTION, UNCORRECTED) and len(missing) < count:
            self.faults.append(f"With {kind} there is no after: it follows from the correction.")
        if kind == ADJUSTMENT and missing:
            self.faults.append(
                f"After an adjustment each point is read again: after is missing at {', '.join(missing)}."
            )
        if 0 < len(missing) < count and kind == CHECK:
            self.faults.append("after stands at all points, or at none.")

    def _certificates(self, at_ms: int | None) -> tuple[Certificate, ...]:
        said = self._said.get("certificate")
        rows: list[Any] = said if isinstance(said, list) else [said]
        if not 1 <= len(rows) <= CERTIFICATES_MAX or not all(isinstance(row, dict) for row in rows):
            self.faults.append(
                "certificate is missing: number, value, uncertainty, valid_until of the standard."
            )
            return ()
        return tuple([self._certificate(row, at_ms) for row in rows])

    def _certificate(self, row: dict[str, Any], at_ms: int | None) -> Certificate:
        number = self._line(row, "number", "The certificate's ")
        value = self._number(row.get("value"), "The certificate's value")
        uncertainty = self._number(row.get("uncertainty"), "The certificate's uncertainty")
        if uncertainty is not None and uncertainty < 0:
            self.faults.append("The certificate's uncertainty is below 0.")
        until = row.get("valid_until")
        try:
            day = date.fromisoformat(until) if isinstance(until, str) and len(until) == 10 else None
        except ValueError:
            day = None
        if day is None:
            self.faults.append(f"The certificate's valid_until is {_shown(until)}: write a day, 2027-05-01.")
        elif at_ms is not None and day < date_of(at_ms):
            self.faults.append(
                f"The certificate {number} ended on {day}, before {date_of(at_ms)}: a standard without a "
                "valid certificate shows nothing."
            )
        return Certificate(number, value or 0.0, uncertainty or 0.0, str(until))


def _shown(value: Any) -> str:
    """What a person wrote, for a sentence."""
    return "missing" if value is None else repr(value)[:60]
