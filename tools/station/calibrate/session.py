"""A guided calibration from the first question to the last: who is asked what, and in which order.

Rule 1: until the device is told, nothing is changed. It takes a calibration whole or not at all, and what
        was about to be written is on disk before (pending.py): so old or new is in force, never half, and
        the next run finds out which.
Rule 2: at the gateway the channel is marked before the first standard, and released once the probe is back
        (marked.py).
Rule 3: left() says at every moment how things stand and what to do next.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack

from gateway.calibration.record import Certificate
from gateway.zone import date_of
from protocol.calibration import engineering
from tools.people import Failure
from tools.station.access import Access
from tools.station.calibrate import asked, shown
from tools.station.calibrate.certificate import Checked
from tools.station.calibrate.compose import Composer, now_ms
from tools.station.calibrate.finish import Files, finish
from tools.station.calibrate.fit import Fault, Taken
from tools.station.calibrate.leftover import Leftover
from tools.station.calibrate.marked import Marked
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.pending import Pending
from tools.station.calibrate.plan import Options, Plan, check_options, plan
from tools.station.calibrate.point import Watch, ahead_ms, taken
from tools.station.calibrate.talk import Stopped, Talk
from tools.station.calibrate.through import GatewayHand, through
from tools.station.calibrate.ways import Unsure, Way, confirmed, direct
from tools.station.folder import Folder


class Stage(enum.Enum):
    """How far it is, as the technician has to know it."""

    NOTHING = "Nothing was written: what was in force on the station still is."
    SENT = (
        "Whether the station took it is not known; old or new is in force, never half. Give the same command "
        "again: it finds out which, and finishes."
    )
    WRITTEN = (
        "The new calibration is in force on the station; its certificate and record are not finished. "
        "Give the same command again: it finishes them."
    )
    DONE = "The new calibration is in force and recorded."


class Session:
    """One run of the verb. `made` and `files` are there once it is done."""

    def __init__(self, options: Options, talk: Talk) -> None:
        check_options(options)
        self._options, self._talk = options, talk
        self._references = asked.points_of(options.points, options.zero, options.span)
        self._given = [asked.standard_of(text) for text in options.standard]
        self.folder = Folder.at(options.dir)
        self._device = self.folder.id
        self._hand = None if options.gateway is None else GatewayHand(options.gateway, options.by.strip())
        if self._hand is not None:
            self._hand.check_device(self._device)
            if options.port is not None:
                self._hand.check_port(options.port, self._device)
        self.stage = Stage.NOTHING
        self.made: Calibration | None = None
        self.files: Files | None = None
        self.checked: Checked | None = None
        self._marked = Marked(self._hand, talk, options)
        self._way: Way
        self._plan: Plan
        self._watch: Watch

    def left(self) -> str:
        """Rule 3."""
        return " ".join(text for text in (self.stage.value, self._marked.left()) if text)

    async def run(self) -> None:
        """Stopped, Failure, UsageError, or a cancellation: left() says the rest."""
        async with self._talk, AsyncExitStack() as opened:
            if self._options.port is not None:
                self._talk.say(f"Waiting until {self._device} greets on {self._options.port} ...")
            self._way = await opened.enter_async_context(self._way_there())
            self._plan = plan(self._options, self.folder, self._way, self._hand)
            await self._marked.of(self._plan)
            self._way.listen(self._plan.channel)
            self._watch = Watch(self._way, self._plan)
            made = await Leftover(self.folder, self._plan, self._talk, self._options).finishing()
            if made is not None:
                self.stage = Stage.WRITTEN
                await self._finish(made)
                return
            try:
                await self._guided()
            finally:
                await self._marked.not_touched()

    def _way_there(self):
        if self._options.port is not None:
            access = Access(self._options.port, self._options.dir, self._options.key)
            return direct(access, self._device)
        assert self._hand is not None
        return through(self._hand, self._device)

    async def _guided(self) -> None:
        now = await self._watch.first()
        self._introduce(now.raw)
        references = self._references or await asked.points(self._talk, self._plan.unit)
        today = date_of(now.time_ms if now.told else now_ms())
        certificates = await asked.certificates(self._talk, self._given, references, self._plan.unit, today)
        serial = await asked.serial(self._talk, self._options.serial, self.folder, self._plan.channel)
        await self._marked.begin()
        points = [await self._take(references, at) for at in range(len(references))]
        made = await self._agreed(references, points, certificates, serial)
        await self._write(made)
        self.checked = await self._live(made)
        await self._finish(made)

    def _introduce(self, raw: float | None) -> None:
        one, held = self._plan.instrument, self._plan.old
        value = "-" if raw is None else f"{raw:.6g}"
        place = f" ({one.place})" if one.place else ""
        self._talk.say(f"{self._way.id}, {self._plan.channel}: {one.title}{place}.")
        what = f"calibration {held.number}" if held.points else "no calibration (raw is taken as it is)"
        self._talk.say(f"In force: {what}. Raw value now: {value}.")

    async def _take(self, references: Sequence[float], at: int) -> Taken:
        reference, count = references[at], len(references)
        where = f"{at + 1} of {count}"
        if count == 2:
            where += ", zero" if reference == min(references) else ", span"
        standard = f"{reference:g} {self._plan.unit}".strip()
        await self._marked.again()
        await self._talk.ask(
            f"{where}: put the probe into the standard of {standard}\n"
            "(or let its gas flow), then press Enter (q stops):"
        )
        self._marked.touched = True
        limit = self._plan.deviation_max(self._options, references)
        self._talk.say(f"  waiting for {self._plan.within_s:g} s with a scatter of at most {limit:.3g} ...")
        return await taken(self._talk, self._watch, self._plan, reference, limit)

    async def _agreed(
        self,
        references: Sequence[float],
        points: list[Taken],
        certificates: Sequence[Certificate],
        serial: str,
    ) -> Calibration:
        """What is to be written. Points are taken again for as long as it is nonsense, or as he likes."""
        station = self._hand.station if self._hand else ""
        composer = Composer(self.folder, self._options, self._plan, self._way.id, self._way.firmware, station)
        while True:
            made, found = composer.made(points, certificates, serial)
            if made is None or found:
                again = await self._which(found, len(points))
            else:
                self._talk.say(shown.table(made))
                again = [] if self._options.yes else await self._but(len(points))
                if not again:
                    return made
            for at in again:
                points[at] = await self._take(references, at)

    async def _but(self, count: int) -> list[int]:
        """Points to be taken again before it is written; [] to write it. Stopped when it is not to be."""
        question = f"Write it to the station? (y, n, or 1-{count} takes that point again):"
        while True:
            answer = (await self._talk.ask(question)).lower()
            if answer in ("n", "no"):
                raise Stopped("as you said")
            again = _numbers(answer, count)
            if again or answer in ("y", "yes"):
                return again

    async def _which(self, found: Sequence[Fault], count: int) -> list[int]:
        for fault in found:
            self._talk.say(fault.said)
        suspects = sorted({at for fault in found for at in fault.at})
        names = ", ".join(str(at + 1) for at in suspects)
        while True:
            text = await self._talk.ask(f"Which point again? (Enter: {names}; a number; q stops):")
            again = _numbers(text, count) if text else suspects
            if again:
                return again

    async def _write(self, made: Calibration) -> None:
        pending = Pending(self.folder, made.channel)
        pending.keep(made)
        self.stage = Stage.SENT
        self._talk.say(f"Writing calibration {made.number} ...")
        try:
            await self._way.write(
                made.channel, made.number, made.points, json.dumps(made.record(), ensure_ascii=False)
            )
        except Unsure as unsure:
            self._talk.say(f"{unsure}\nLooking what the station says ...")
        except Failure:
            self.stage = Stage.NOTHING
            pending.drop()
            raise
        if not await confirmed(self._way, made.channel, made.number, made.points):
            raise Failure("The station has not greeted with this calibration.")
        self.stage = Stage.WRITTEN
        self._talk.say(f"The station says: calibration {made.number} is in force.")

    async def _live(self, made: Calibration) -> Checked | None:
        """A reading under the new calibration, while the probe is still in the last standard."""
        last = max(made.taken, key=lambda point: point.to_ms)
        sample = await self._watch.under(made.number)
        if sample is None or sample.raw is None:
            self._talk.say("No reading came under it yet: look with `quantrac station read`.")
            return None
        value = engineering(sample.raw, made.points)
        unit = f" {made.unit}".rstrip()
        self._talk.say(f"A reading now: {value:.5g}{unit}; the standard is {last.reference:g}{unit}.")
        return Checked(sample.time_ms + ahead_ms(sample), value, last.reference)

    async def _finish(self, made: Calibration) -> None:
        self.files = finish(self.folder, made, self.checked, self._options.lang)
        self.made, self.stage = made, Stage.DONE
        self._talk.say(f"Recorded, with its certificate (and .html):\n  {self.folder.path / self.files.pdf}")
        if self._hand is not None and not made.through:
            await self._enter(made)
        await self._marked.end()
        if self._hand is None:
            self._talk.say(self._marked.by_hand(self.folder.path / self.files.record))

    async def _enter(self, made: Calibration) -> None:
        assert self._hand is not None and self.files is not None
        answer = await self._hand.enter(json.dumps(made.record(), ensure_ascii=False))
        if answer.ok or "entered already" in answer.said:
            self._talk.say(f"The gateway has its record.\n{answer.said}")
            return
        self._talk.say(f"The gateway did not take its record: {answer.said}")
        self._talk.say("Enter it by hand:\n  " + self._marked.add(self.folder.path / self.files.record))


def _numbers(text: str, count: int) -> list[int]:
    """Points that were named, from 0; [] for anything else."""
    words = text.replace(",", " ").split()
    if not words or not all(word.isdigit() and 1 <= int(word) <= count for word in words):
        return []
    return [int(word) - 1 for word in words]
