"""What the gateway finds wrong with a reading or a window, beside what came with it (protocol/quality.py).

Rule 1: the numbers are in journals: never renumber, only add at the end. They begin at 32, so that the wire
        has room for more of its own.
Rule 2: a reading that is flagged is never deleted: it is counted under its flag, its value stands in the
        journal, and it takes no part in the mean of what is valid.
Rule 3: each is provincial status "02" (protocol.quality.status), as all that is neither measured nor
        calibration.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocol import quality as q

IMPLAUSIBLE = 32
"""Outside of what this medium can be, though the instrument can show it."""
RATE = 33
"""Changed faster since the reading before than the medium can."""
SPIKE = 34
"""Away from both its neighbours, on the same side."""
STUCK = 35
"""The same for longer than the instrument ever shows it."""
NEGATIVE = 36
"""Below zero by more than the instrument's own scatter."""
UNSUPPORTED = 37
"""What it is corrected with is not there: no oxygen reading, no correction."""
METER_BACK = "METER_BACK"
"""Not of a reading but between two: a meter that shows less than before, and did not roll over."""

NAMES: dict[int, str] = {
    **dict(enumerate(q.NAMES)),
    IMPLAUSIBLE: "IMPLAUSIBLE",
    RATE: "RATE",
    SPIKE: "SPIKE",
    STUCK: "STUCK",
    NEGATIVE: "NEGATIVE",
    UNSUPPORTED: "UNSUPPORTED",
}

PRECEDENCE = (
    q.CALIBRATING,
    q.MAINTENANCE,
    q.FAULT,
    q.OVERLOAD,
    q.OUT_OF_RANGE,
    IMPLAUSIBLE,
    NEGATIVE,
    STUCK,
    SPIKE,
    RATE,
    UNSUPPORTED,
    q.BAD_REPLY,
    q.TIMEOUT,
    q.OFF,
    q.TIME_UNTRUSTED,
    q.COVERAGE,
    q.NO_DATA,
)
"""Which reason a window names when two explain equally much of what is missing: what a person did, then what
the instrument says of itself, then what the values say, then the communication, then the clock, then that
there is too little of it."""


def told(counts: Mapping[int, int]) -> str:
    """How many readings had which flag, as it stands in a window's row: "TIMEOUT 3, SPIKE 1"."""
    return ", ".join(f"{NAMES[quality]} {counts[quality]}" for quality in sorted(counts))


def counts(text: str) -> dict[str, int]:
    """The inverse, by name. ValueError."""
    found = [part.rsplit(" ", 1) for part in text.split(", ")] if text else []
    return {name: int(count) for name, count in found}
