"""What an earlier run left behind, found at the begin of the next one.

Rule 1: the device says what is in force; a note (pending.py) whose number and points it has was written, any
        other was not.
Rule 2: a number that neither a note nor a record knows came from somebody else: it is said, and is what drift
        is measured against.
"""

from __future__ import annotations

from tools.station.calibrate.certificate import moment
from tools.station.calibrate.finish import is_recorded
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.pending import Pending, is_in_force
from tools.station.calibrate.plan import Options, Plan
from tools.station.calibrate.talk import Talk
from tools.station.folder import Folder


class Leftover:
    """Of one channel."""

    def __init__(self, folder: Folder, plan: Plan, talk: Talk, options: Options) -> None:
        self._folder, self._plan, self._talk, self._options = folder, plan, talk, options

    async def finishing(self) -> Calibration | None:
        """A calibration that the station took and that is to be finished now; None for a new one."""
        pending, held = Pending(self._folder, self._plan.channel), self._plan.old
        made = pending.found()
        if made is None:
            self._say_strange()
            return None
        by = f"{made.by} made calibration {made.number} of {made.channel} at {moment(made.at_ms)}"
        if not is_in_force(made, held):
            self._talk.say(f"{by}, and it was not written: {held.number} is in force. It is left aside.")
            pending.drop()
            return None
        if is_recorded(self._folder, made):
            pending.drop()
            return None
        self._talk.say(f"{by}. The station has it; its certificate and record were not finished.")
        if self._options.yes or await self._talk.yes("Finish them now?", default=True):
            return made
        return None

    def _say_strange(self) -> None:
        held, channel = self._plan.old, self._plan.channel
        numbers = [
            int(one.get("number", 0))
            for one in self._folder.records("calibrated")
            if one.get("channel") == channel
        ]
        newest = max(numbers, default=0)
        if not numbers or held.number == newest:
            return
        if held.number > newest:
            self._talk.say(
                f"Note: the station has calibration {held.number} of {channel}, the newest record here is "
                f"{newest}.\nSomebody wrote it by other means; drift is measured against it."
            )
        else:
            self._talk.say(
                f"Note: the station has calibration {held.number} of {channel}, the records know {newest}:\n"
                "it lost its memory or is another board. What it has is in force."
            )
