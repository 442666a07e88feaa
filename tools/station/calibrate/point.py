"""Taking one point: the probe is put into a standard, and its raw value watched until it stands still."""

from __future__ import annotations

import time

from tools.people import Failure
from tools.station.calibrate.compose import now_ms
from tools.station.calibrate.fit import Taken
from tools.station.calibrate.plan import Plan
from tools.station.calibrate.settle import Look, Sample, Settling
from tools.station.calibrate.talk import Talk, progress
from tools.station.calibrate.ways import Way

SILENT_S = 45.0
SILENT_POLLS = 3
HINT_WHILES = 5
"""After so many whiles without standing still the technician is told what may be the matter."""


class Watch:
    """The readings of the channel, as they come. `newest` is the last one."""

    def __init__(self, way: Way, plan: Plan) -> None:
        self._way, self._plan = way, plan
        self._heard_s = time.monotonic()
        self.newest: Sample | None = None

    @property
    def silent_s(self) -> float:
        """How long no reading may come, in real seconds."""
        return max(SILENT_S, SILENT_POLLS * self._plan.pace_ms / 1000)

    def listens_again(self) -> None:
        """A person thought for a while: what did not come meanwhile is not missing."""
        self._heard_s = time.monotonic()

    async def next(self, seconds: float = 1.0) -> list[Sample]:
        """New readings, [] when none came for so long. Failure when none comes at all."""
        found = await self._way.samples(seconds)
        if found:
            self._heard_s, self.newest = time.monotonic(), found[-1]
        elif time.monotonic() - self._heard_s > self.silent_s:
            raise Failure(
                f"No reading of {self._plan.channel} for {self.silent_s:.0f} s: are the station and its "
                "cable still there?"
            )
        return found

    async def first(self) -> Sample:
        """The present reading."""
        self.listens_again()
        while self.newest is None:
            await self.next()
        return self.newest

    async def under(self, number: int) -> Sample | None:
        """The first good reading that was taken under this calibration; None when none comes."""
        self.listens_again()
        end_s = time.monotonic() + self.silent_s
        while time.monotonic() < end_s:
            for sample in await self.next():
                if sample.calibration == number and sample.raw is not None:
                    return sample
        return None


async def taken(talk: Talk, watch: Watch, plan: Plan, reference: float, deviation_max: float) -> Taken:
    """Wait until it stands still; the point. Failure when no reading comes any more."""
    watch.listens_again()
    await watch.next(0)  # what came while the probe was put in
    start_ms = watch.newest.time_ms if watch.newest else None
    within_ms = int(plan.within_s * 1000)
    settling = Settling(within_ms, deviation_max, plan.pace_ms, start_ms, plan.skip_ms)
    told_ms = None
    while True:
        for sample in await watch.next():
            settling.take(sample)
            told_ms = sample.time_ms if told_ms is None else told_ms
            if settling.look().settled:
                return _point(talk, settling, plan, reference)
        look = settling.look()
        talk.show(progress(plan.channel, look, watch.newest))
        if look.newest and told_ms is not None and look.newest.time_ms - told_ms > HINT_WHILES * within_ms:
            told_ms = look.newest.time_ms
            talk.say(_hint(look))


def _point(talk: Talk, settling: Settling, plan: Plan, reference: float) -> Taken:
    look = settling.look()
    from_ms, to_ms = (at + ahead_ms(look.newest) for at in settling.span_ms)
    talk.say(
        f"  {reference:g} {plan.unit}".rstrip()
        + f": raw {look.mean:.6g}, scatter {look.deviation or 0:.2g}, {look.readings} readings."
    )
    return Taken(reference, look.mean, look.deviation or 0.0, look.readings, from_ms, to_ms)


def ahead_ms(newest: Sample | None) -> int:
    """What makes Unix ms of the times of a device that was never told the time: this machine's clock, now."""
    return 0 if newest is None or newest.told else now_ms() - newest.time_ms


def _hint(look: Look) -> str:
    return (
        f"  Still waiting ({look.why}). Is the probe clean and quite in the standard, is the gas flowing?\n"
        "  Ctrl-C stops, and nothing is changed; --stdev sets another limit, --within another time."
    )
