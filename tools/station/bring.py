"""A change goes to a station and is tried there: sent, applied, started with, judged, recorded.

Rule 1: what is under way is on disk before the device is told to apply (kept.py).
Rule 2: "updated" is recorded once what became of it is known, or once nobody waits for that any more.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from tools.people import Failure
from tools.station import kept, on_trial, send
from tools.station.access import Access
from tools.station.bars import bar, left, watched
from tools.station.folder import Folder
from tools.station.on_trial import FIRMWARE, Change, Verdict
from tools.station.steady import SteadyLink
from tools.station.voice import Voice, harmless, whoever

RESTART_S = 90.0
"""From the device's answer to the greeting of its next start: it first puts on flash what it holds."""
LATE_S = 10.0
"""For a restart that was asked for by a command whose answer is lost."""
NOT_WAITED = Verdict(None, "nobody waited for it")


class Refused(Failure):
    """The device does not take it; `said`: its sentence."""

    def __init__(self, said: str) -> None:
        super().__init__(f"The station refuses it: {said}. It runs what it ran.")
        self.said = said


class Bringer:
    """Brings changes to the station of one folder."""

    def __init__(self, folder: Folder, access: Access, voice: Voice) -> None:
        self._folder, self._access, self._voice = folder, access, voice

    async def bring(self, line: SteadyLink, change: Change, name: str, data: bytes) -> Change:
        """Send it, under one of the names of send.py, and have it started with. The change, as applied.

        Failure with what to do where it stops on the way; Refused. Either leaves what runs as it is.
        """
        with bar("Sending", len(data), self._voice) as show:
            try:
                began = await send.transfer(line, name, data, show)
            except send.Stopped as stopped:
                raise Failure(
                    f"{stopped} {stopped.at:,} of {stopped.size:,} bytes are there; the station runs what it "
                    "ran. Say the same again: it goes on from there."
                ) from None
            except asyncio.CancelledError:
                self._voice.say("The station runs what it ran. The same again goes on from here.")
                raise
        self._voice.say(f"All is there; {began:,} bytes were there before." if began else "All is there.")
        if line.station is not None:  # it may have started anew while it was sent
            change = dataclasses.replace(change, boot=line.station.hello.boot)
        before = kept.under_way(self._folder)
        kept.begin(self._folder, change)
        result = await send.apply(line, name)
        if result is not None and not result.ok:
            kept.end(self._folder)
            if before is not None and before.sha256 != change.sha256:
                kept.begin(self._folder, before)  # which it may be refused for
            raise Refused(harmless(result.text))
        restart_s = RESTART_S if result is not None or not await _unmoved(line, change) else LATE_S
        if not await line.until(lambda station: station.hello.boot > change.boot, restart_s):
            raise Failure(
                "The station has not started anew yet, or cannot be heard. Check the cable and its power, "
                "then say the same again: that finds out whether it took the change."
            )
        return change

    async def judge(self, line: SteadyLink, change: Change) -> Verdict:
        """Wait for the device's verdict, and record it. Failure when it was never applied, or is silent."""
        self._voice.say(
            "Waiting for ten minutes without a fault, after which the station keeps it. Leave its power on: "
            "two starts without that, and it goes back."
        )
        try:
            with bar("Confirming", on_trial.HEALTHY_MS, self._voice, left) as show:
                verdict = await on_trial.verdict(line, change, watched(show, self._voice))
        except on_trial.NeverApplied:
            kept.end(self._folder)
            raise
        except (asyncio.CancelledError, Failure):
            self.leave(change)
            raise
        self.record(change, verdict)
        return verdict

    def leave(self, change: Change) -> Verdict:
        """Nobody waits: recorded as that, and said how to look later."""
        self.record(change, NOT_WAITED, last=False)
        self._voice.say(
            f"{named(change)} is on trial; it is kept after ten healthy minutes. Whether it was, says:"
        )
        self._voice.command(f"quantrac station update --port {self._access.port} --dir {self._access.dir}")
        return NOT_WAITED

    def record(self, change: Change, verdict: Verdict, last: bool = True) -> None:
        """last: whether nothing more will be learned of it."""
        self._folder.record("updated", whoever(self._access.by), **facts(change, verdict))
        if last:
            kept.end(self._folder)

    def tell(self, change: Change, verdict: Verdict) -> None:
        """In plain words; Failure when it went back."""
        if verdict.confirmed:
            self._voice.say(f"Confirmed: the station keeps {named(change)}. {_way_back(change)}")
        elif verdict.confirmed is None:
            self._voice.say(f"It has lived ten minutes; {verdict.why}.")
        else:
            why = verdict.why or "its events say why, once its gateway has them"
            again = "Correct it, and send it again."
            if change.what == FIRMWARE:
                again = "Correct it, and make a new package with a higher counter."
            runs = in_words(change, change.before)
            raise Failure(
                f"It went back: the station runs {runs} again, {named(change)} did not live ({why}). {again}"
            )


async def _unmoved(line: SteadyLink, change: Change) -> bool:
    """Whether the station answers, and has not started anew: the command may never have reached it."""
    try:
        return (await on_trial.status_of(line, on_trial.ANSWER_S))["boot"] == change.boot
    except Failure:
        return False


def facts(change: Change, verdict: Verdict) -> dict[str, Any]:
    """As records and --json have it."""
    return {
        "what": change.what,
        "from": in_words(change, change.before),
        "to": change.name if change.what == FIRMWARE else in_words(change, change.after),
        "counter": change.counter,
        "sha256": change.sha256,
        "confirmed": verdict.confirmed,
        "why": verdict.why,
    }


def in_words(change: Change, told: str) -> str:
    """A firmware's version without our name, a configuration with what it is."""
    if change.what == FIRMWARE:
        return harmless(told).removeprefix("quantrac ")
    return f"configuration {told}"


def named(change: Change) -> str:
    return in_words(change, change.name)


def _way_back(change: Change) -> str:
    if change.what == FIRMWARE:
        return f"{in_words(change, change.before)} stays in the other slot."
    return "The folder keeps what was sent in backups/."
