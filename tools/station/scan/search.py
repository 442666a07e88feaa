"""Who is on the line: a quick sweep of many addresses, and patience where something was heard.

Rule 1: a clean answer proves a unit, an exception too. Noise proves nothing: whoever may have made it is
        asked again by itself, on a silent line and with time to answer.
Rule 2: a setting at which every question is answered by rubbish is given up soon, and noted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tools.station.scan.plan import Plan, Step
from tools.station.scan.settings import Setting
from tools.station.scan.talk import DAMAGED_BYTES, LINGER_S, Read, Spot, Talk
from tools.station.scan.wire import CannotSet

PATIENCE_S, LISTEN_S = 0.25, 0.1
SUSPECT_S = 0.25  # whoever was asked so long ago may have answered just now
TRIES = 6  # of a unit whose answers are damaged: two on one address are damaged every time
RUBBISH_FIRSTS, RUBBISH_SHARE = 4, 0.8
RUBBISH_LOOKS = 2
RUBBISH_SETTINGS = 3
"""So many settings with nothing but rubbish, and nobody anywhere: more of them tell nothing new."""


class Search:
    """`found`: the reads that each unit answered, in the order of finding. `covered`: the steps done."""

    def __init__(self, talk: Talk, plan: Plan, progress: Callable[[str, float], None]) -> None:
        self.found: dict[Spot, list[Read]] = {}
        self.covered: list[Step] = []
        self.late: list[Spot] = []  # found in the last round only
        self.gave_up: list[Setting] = []
        self.refused: list[Setting] = []  # that the port cannot have
        self._talk, self._plan, self._progress = talk, plan, progress

    @property
    def answered(self) -> list[Setting]:
        """The settings at which somebody is, in the order of finding."""
        return list(dict.fromkeys(spot.setting for spot in self.found))

    def run(self) -> None:
        """Every setting of the plan, once."""
        for setting in self._plan.settings:
            for step in self._plan.first(setting):
                self._do(step)
            for step in self._plan.sweep(setting, setting in self.answered or self._is_damaged(setting)):
                self._do(step)

    def again(self, setting: Setting) -> list[Spot]:
        """The likely addresses once more; those at that setting that are known by now."""
        known = set(self.found)
        for step in self._plan.again(setting):
            self._do(step)
        self.late += [spot for spot in self.found if spot not in known]
        return sorted(spot for spot in self.found if spot.setting == setting)

    def _is_damaged(self, setting: Setting) -> bool:
        return any(tally.damaged for spot, tally in self._talk.tallies.items() if spot.setting == setting)

    def _hopeless(self) -> bool:
        return not self.found and len(self.gave_up) >= RUBBISH_SETTINGS

    def _do(self, step: Step) -> None:
        if step.setting in (*self.gave_up, *self.refused) or self._hopeless():
            return
        try:
            self._talk.set(step.setting)
        except CannotSet:
            self.refused.append(step.setting)
            return
        asked: list[tuple[float, int]] = []
        done: list[int] = []
        for unit in step.units:
            spot = Spot(step.setting, unit)
            if not (self._is_known(spot) or self._is_lost(spot)):
                asked.append((time.monotonic(), unit))
                outcome = self._talk.ask(unit, step.read, step.wait_s)
                self._note(step)
                if outcome.noise and not self._is_usual(step.setting):
                    self._look_closer(step, asked)
            done.append(unit)
            self._progress(f"{step.setting}, {step.what}", step.seconds / len(step.units))
            if self._is_rubbish(step.setting):
                self.gave_up.append(step.setting)
                break
        self._talk.listen(LINGER_S)
        self._note(step)
        self.covered.append(Step(step.setting, tuple(done), step.read, step.wait_s, step.what))

    def _note(self, step: Step) -> None:
        """Whoever has answered by now, is found."""
        for unit in self._talk.heard[step.setting].units:
            reads = self.found.setdefault(Spot(step.setting, unit), [])
            if step.read not in reads:
                reads.append(step.read)

    def _is_known(self, spot: Spot) -> bool:
        """Found already: here, or with one stop bit, which a UART cannot tell from two."""
        return spot in self.found or Spot(spot.setting._replace(stopbits=1), spot.unit) in self.found

    def _is_lost(self, spot: Spot) -> bool:
        """Damaged every time, often enough."""
        tally = self._talk.tallies.get(spot)
        return tally is not None and not tally.clean and tally.damaged >= TRIES

    def _is_usual(self, setting: Setting) -> bool:
        """Whether rubbish follows every question there, so that it is nobody's in particular."""
        heard = self._talk.heard[setting]
        return heard.rubbish > RUBBISH_LOOKS and heard.rubbish == heard.firsts

    def _is_rubbish(self, setting: Setting) -> bool:
        heard = self._talk.heard[setting]
        many = heard.firsts >= RUBBISH_FIRSTS and heard.rubbish >= RUBBISH_SHARE * heard.firsts
        return many and not heard.units

    def _look_closer(self, step: Step, asked: list[tuple[float, int]]) -> None:
        """Ask whoever may have made the noise, the newest first, until one of them is heard."""
        self._talk.listen(LISTEN_S)
        since_s = asked[-1][0] - SUSPECT_S
        suspects = [unit for at_s, unit in reversed(asked) if at_s >= since_s]
        for unit in suspects:
            if self.patiently(Spot(step.setting, unit), step.read):
                break
        self._note(step)

    def patiently(self, spot: Spot, read: Read) -> bool:
        """Ask until a clean answer comes, at most TRIES times; whether anything came at all."""
        heard = False
        for _ in range(TRIES):
            outcome = self._talk.ask(spot.unit, read, PATIENCE_S, patient=True)
            if outcome.answer is not None:
                return True
            if not outcome.noise:
                return heard
            heard = outcome.noise >= DAMAGED_BYTES
            if not heard:
                return False
            self._talk.listen(LISTEN_S)
        return heard
