"""What a person records of a calibration of one channel, and its entry in the journal. Pure.

    {"what": "record", "channel": symbol, "unit": text, "at_ms": Unix ms, "who": text, "serial": text,
     "kind": of KINDS, "points": [[reference, before, after or null], ...],
     "certificates": [[number, value, uncertainty, "2027-05-01"], ...], "photo": SHA-256 in hex or "",
     "remark": text, "limits": [zero, span, zero_drift_max, span_drift_max], "entered_by": text}

Rule 1: a CALIBRATION entry whose "what" is another one, or which does not hold what a record holds, is
        passed over: a later version, or a device's greeting (ingest/calibrations.py), wrote it.
Rule 2: it holds what was read and what it was held against that day. Lines, drifts and verdicts follow from
        it (fit.py): none of them is stored, so none can contradict the readings.
Figures are in the channel's unit; times are Unix ms of station time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError

RECORD = "record"
CHECK, ADJUSTMENT = "check", "adjustment"
CORRECTION, UNCORRECTED = "correction", "uncorrected"
KINDS = (CHECK, ADJUSTMENT, CORRECTION, UNCORRECTED)


class Point(NamedTuple):
    """What the instrument showed of something known."""

    reference: float
    before: float  # as it was found
    after: float | None  # as it was left; None where nothing was done


class Certificate(NamedTuple):
    """Of a standard that was used: a gas, a solution, an instrument."""

    number: str
    value: float
    uncertainty: float
    valid_until: str  # a day, 2027-05-01, itself included


class Limits(NamedTuple):
    """What drift is held against (`calibration` of a channel); None: nothing."""

    zero: float = 0.0
    span: float | None = None  # None: the highest reference of the record
    zero_drift_max: float | None = None
    span_drift_max: float | None = None


class Record(NamedTuple):
    """A calibration as it was recorded."""

    channel: str
    unit: str
    at_ms: int
    who: str
    serial: str  # of the instrument
    kind: str  # of KINDS: only looked at; adjusted at the instrument; corrected from now on, or no more
    points: tuple[Point, ...]
    certificates: tuple[Certificate, ...]
    photo: str = ""
    remark: str = ""
    limits: Limits = Limits()
    entered_by: str = ""

    @property
    def is_adjusted(self) -> bool:
        """Whether it left the instrument another one than it found it."""
        return self.kind != CHECK

    def body(self) -> bytes:
        """Of its CALIBRATION entry."""
        said = {**self._asdict(), "what": RECORD, "limits": list(self.limits)}
        said["points"] = [list(point) for point in self.points]
        said["certificates"] = [list(one) for one in self.certificates]
        return cbor.dumps(said)


def parse(body: bytes) -> Record | None:
    """The inverse of Record.body(); None by rule 1."""
    try:
        said: Any = cbor.loads(body)
        if not isinstance(said, dict) or said.get("what") != RECORD:
            return None
        zero, *most = said["limits"]
        span, zero_max, span_max = [None if each is None else _number(each) for each in most]
        found = Record(
            channel=_text(said["channel"]), unit=_text(said["unit"]), at_ms=_whole(said["at_ms"]),
            who=_text(said["who"]), serial=_text(said["serial"]), kind=_text(said["kind"]),
            points=tuple([_point(row) for row in said["points"]]),
            certificates=tuple([_certificate(row) for row in said["certificates"]]),
            photo=_text(said["photo"]), remark=_text(said["remark"]),
            limits=Limits(_number(zero), span, zero_max, span_max), entered_by=_text(said["entered_by"]),
        )  # fmt: skip
    except (CodecError, KeyError, TypeError, ValueError):
        return None
    return found if found.points else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _point(row: Sequence[Any]) -> Point:
    reference, before, after = row
    return Point(_number(reference), _number(before), None if after is None else _number(after))


def _certificate(row: Sequence[Any]) -> Certificate:
    number, value, uncertainty, until = row
    return Certificate(_text(number), _number(value), _number(uncertainty), _text(until))
