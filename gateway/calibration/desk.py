"""Where a person's record of a calibration becomes an entry of the journal.

Rule 1: what is wrong with it is answered, all of it, and nothing is stored then. What is stored is in the
        journal when the answer is given.
Rule 2: a photo lies in state_dir/pictures (gateway/pictures.py) before the record that names it is entered,
        and has the hash that the record says.
Rule 3: a record changes no value that was measured. A correction holds for the readings from here on: its
        entry and the record are one transaction (of a device: its command goes first).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway import pictures
from gateway.calibration import correct, given
from gateway.calibration.fit import Judged, judged, limits_told
from gateway.calibration.history import is_measured, kept
from gateway.calibration.record import ADJUSTMENT, CHECK, CORRECTION, UNCORRECTED, Record
from gateway.config_model import Config
from gateway.journal.journal import Journal
from gateway.journal.kinds import CALIBRATION
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.requests import Answer, Order

log = get_logger("calibrations")


class Corrects(Protocol):
    """What of ingest/intake.py is needed."""

    def standing(self, symbol: str) -> tuple[int, Sequence]: ...

    async def correct(
        self, symbol: str, points: Sequence[Sequence[float]], who: str, also: Sequence[bytes] = ()
    ) -> None: ...


class CalibrationDesk:
    """`moment()` is (station time, monotonic) in ms; `heard()` is called when a record was entered;
    `corrects` applies corrections (ingest/intake.py), None where nobody does.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        moment: Callable[[], tuple[int, int]],
        heard: Callable[[], None] = lambda: None,
        corrects: Corrects | None = None,
    ):
        self._channels = channels(config)
        self._state_dir = config.gateway.state_dir
        self._journal = journal
        self._moment = moment
        self._heard = heard
        self._corrects = corrects
        self._turn = asyncio.Lock()

    async def do(self, order: Order) -> Answer:
        """Enter a record. JournalError: it may not have been; CommandError: a device took no correction."""
        async with self._turn:
            return await self._do(order)

    async def _do(self, order: Order) -> Answer:
        moment = self._moment()
        record, faults = parse(order.record, self._channels, moment[0], order.who)
        if record is not None and record.photo:
            path = await asyncio.to_thread(pictures.find, self._state_dir, record.photo)
            if path is None:
                faults = [f"There is no picture {record.photo[:8]}... here: hand it over first."]
        if record is not None and not faults and await self._journal.read(_is_kept, record):
            faults = [f"This calibration of {record.channel} is entered already."]
        if record is None or faults:
            return Answer("\n".join(faults), ok=False)
        if record.kind in (CORRECTION, UNCORRECTED):
            try:
                record = await self._correct(record)
            except correct.NoCorrection as error:
                return Answer(str(error), ok=False)
            return await self._entered(record)
        await self._journal.tell(CALIBRATION, [record.body()], moment)
        return await self._entered(record)

    async def _correct(self, record: Record) -> Record:
        """Let the readings be corrected from here on; the record as it is entered. NoCorrection."""
        if self._corrects is None:
            raise correct.NoCorrection("Nothing is measured here: there is nothing to correct.")
        _, standing = self._corrects.standing(record.channel)
        if record.kind == UNCORRECTED and not standing:
            raise correct.NoCorrection(f"{record.channel} is not corrected now.")
        made = correct.corrected(standing, record.points) if record.kind == CORRECTION else ()
        record = record._replace(points=correct.left(standing, made, record.points))
        await self._corrects.correct(record.channel, made, record.entered_by, [record.body()])
        return record

    async def _entered(self, record: Record) -> Answer:
        log.info("calibration", channel=record.channel, kind=record.kind, who=record.who)
        self._heard()
        made = await self._journal.read(_judged, record)
        return Answer(told(made))


def channels(config: Config) -> dict[str, given.Known]:
    """Those that may be calibrated."""
    measured = [channel for channel in config.channel if is_measured(channel)]
    return {each.symbol: given.Known(each.unit, each.calibration.limits()) for each in measured}


def parse(
    text: str, known: dict[str, given.Known], now_ms: int, entered_by: str
) -> tuple[Record | None, list[str]]:
    """A record in JSON, or what is wrong with it."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None, ["This is no record: it is not JSON."]
    return given.read(said, known, now_ms, entered_by)


ENTERED = {
    CHECK: "the check is entered.",
    ADJUSTMENT: "the adjustment is entered.",
    CORRECTION: "its readings are corrected from now on.",
    UNCORRECTED: "its readings are corrected no more.",
}


def told(made: Judged) -> str:
    """What came of it, a sentence a line."""
    record, drift, unit = made.record, made.drift, made.record.unit
    since = "a true instrument" if made.since_ms is None else "the record before it"
    span = f"{drift.span:+.4g} {unit}".strip()
    allowed = limits_told(record.limits, unit)
    verdict = {
        None: "No limit is set for its drift.",
        True: f"This is within what is allowed: {allowed}.",
        False: f"This is BEYOND what is allowed: {allowed}.",
    }
    return "\n".join(
        [
            f"{record.channel}: {ENTERED.get(record.kind, 'it is entered.')}",
            f"Against {since}, zero drifted by {drift.zero:+.4g}, span ({made.span:g}) by {span}.",
            verdict[drift.holds],
        ]
    )


def _is_kept(reader: Reader, record: Record) -> bool:
    """Whether the same was entered before, by whomever."""
    return any(each.record._replace(entered_by=record.entered_by) == record for each in kept(reader))


def _judged(reader: Reader, record: Record) -> Judged:
    """The record among those of its channel."""
    found = judged(each.record for each in kept(reader) if each.record.channel == record.channel)
    return next(one for one in reversed(found[record.channel]) if one.record == record)
