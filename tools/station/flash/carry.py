"""Does the steps of a plan on a board.

Rule 1: a file is written under another name, asked for its hash there, and takes its name by being renamed:
        under its own name it is the old one or the new one, whole.
Rule 2: whatever fails, what was done is said, and that the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from tools.people import Failure
from tools.station.flash.board import Board
from tools.station.flash.plan import PART, Plan, Step

Bars = Callable[[str, int], AbstractContextManager[Callable[[float], None]]]
AGAIN = "Say the same again: it goes on from there."


class Carrier:
    """`bars(name, bytes)`: a progress bar for one file. `done`: how many steps are."""

    def __init__(self, board: Board, bars: Bars) -> None:
        self._board, self._bars = board, bars
        self.done = 0

    def run(self, plan: Plan) -> None:
        """All the steps. Failure with what stands, and what to do."""
        for step in plan.steps:
            try:
                self._step(step)
            except Failure as error:
                raise Failure(f"{error} {standing(self.done, plan)}") from error
            self.done += 1

    def _step(self, step: Step) -> None:
        if step.data is None:
            self._board.remove(step.name)
        else:
            self._write(step, step.data)

    def _write(self, step: Step, data: bytes) -> None:
        part = step.name + PART
        with self._bars(step.name, len(data)) as progress:
            self._board.write(part, data, progress)
        found = self._board.digest(part)
        if found != step.sha256:
            raise Failure(
                f"{step.name} came back from the board's flash as something else than was written: try "
                "another cable, then another board."
            )
        self._board.rename(part, step.name)


def standing(done: int, plan: Plan) -> str:
    """What stands after an interruption, and what to do."""
    return f"{done} of {len(plan.steps)} steps are done, and no file is half. {AGAIN}"
