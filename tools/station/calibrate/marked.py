"""The channel at the gateway while it is calibrated: marked, so that its windows are status 01, and released.

Rule 1: marked before the first standard, and again before each one, so that a long calibration stays marked.
Rule 2: released when the technician says that the probe is back in the process; by itself only where no probe
        was moved. A mark that nobody ends, ends itself after --minutes.
Rule 3: where the gateway is on another machine, the commands to type there are said instead.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

from tools.people import Failure
from tools.station.calibrate.plan import Options, Plan
from tools.station.calibrate.talk import Talk
from tools.station.calibrate.through import GatewayHand

CONFIG = "CONFIG"
"""The gateway's configuration, where it is on another machine."""


class Marked:
    """`touched`: a probe may be in a standard."""

    def __init__(self, hand: GatewayHand | None, talk: Talk, options: Options) -> None:
        self._hand, self._talk, self._options = hand, talk, options
        self._plan: Plan | None = None
        self._is_marked = False
        self.touched = False

    async def of(self, plan: Plan) -> None:
        """The channel is known now. One that is marked already may have its probe in a standard."""
        self._plan = plan
        if self._hand is not None and await self._hand.is_marked(plan.symbols):
            self._is_marked = self.touched = True
            self._talk.say(f"{' and '.join(plan.symbols)} is marked as calibrating at the gateway already.")

    async def begin(self) -> None:
        """Before the first standard. Failure when the gateway takes no mark: nothing was touched yet."""
        if self._hand is None:
            self._talk.say("Its gateway is not named here. On the gateway's machine, before you go on:")
            self._talk.say("  " + self._command("calibrating", f" --minutes {self._options.minutes:g}"))
            return
        for said in await self._say("calibrating"):
            self._talk.say(said)

    async def again(self) -> None:
        """Before each standard."""
        if self._hand is not None and self.touched:
            await self._say("calibrating")

    async def not_touched(self) -> None:
        """It ends before anything was put into a standard."""
        if self._is_marked and not self.touched:
            with contextlib.suppress(Failure):  # left() says how to do it by hand
                await self._say("over")

    async def end(self) -> None:
        """The calibration is in force: once the probe is back, its readings count again."""
        if not self._is_marked:
            return
        await self._talk.ask(
            "Put the probe back where it measures and let it settle, then press Enter:\n"
            "its readings count as measured (00) from the next window on:"
        )
        for said in await self._say("over"):
            self._talk.say(said)

    def left(self) -> str:
        """What is to be done about a mark that stands; "" for nothing."""
        if not self._is_marked or self._plan is None:
            return ""
        names = " and ".join(self._plan.symbols)
        return (
            f"{names} stays marked as calibrating (01) for {self._options.minutes:g} minutes at the most; "
            f"once the probe is back:\n  {self._command('over')}"
        )

    def by_hand(self, record: Path) -> str:
        """Rule 3, at the end."""
        return (
            "Put the probe back where it measures. Then, on the gateway's machine:\n"
            f"  {self.add(record)}\n  {self._command('over')}"
        )

    def add(self, record: Path) -> str:
        """The command that enters the record."""
        file = shlex.quote(str(record))
        return f"quantrac gateway calibration add {self._config} --file {file} --by {self._by}"

    async def _say(self, what: str) -> list[str]:
        assert self._hand is not None and self._plan is not None
        if what == "calibrating":
            self._is_marked = True  # or it may be: a gateway that does not answer may have done it
        try:
            said = await self._hand.mark(
                self._plan.symbols, what, self._options.minutes, f"station calibrate, {self._plan.channel}"
            )
        except Failure:
            if what == "calibrating" and not self.touched:
                self._is_marked = False
            raise
        self._is_marked = what == "calibrating"
        return said

    @property
    def _config(self) -> str:
        return CONFIG if self._hand is None else shlex.quote(str(self._hand.path))

    @property
    def _by(self) -> str:
        return shlex.quote(self._options.by.strip())

    def _command(self, what: str, more: str = "") -> str:
        assert self._plan is not None
        symbols = self._plan.symbols or (self._plan.symbol,)
        return "\n  ".join(
            f"quantrac gateway mark {self._config} {shlex.quote(symbol)} {what} --by {self._by}{more}"
            for symbol in symbols
        )
