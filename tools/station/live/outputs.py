"""Relays and the sampler, switched one by one for a short time, and what was seen of it.

Rule 1: a relay is switched with a pulse: the station itself ends it, whatever becomes of this program, the
        laptop or the cable.
Rule 2: only a person's eyes make a relay ok. The station's word that it has switched is not enough.
Rule 3: the sampler fills a bottle and counts: only a plain "yes" draws one. Its feedback contact decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protocol import messages
from tools.people import Failure
from tools.station.link import StationLink
from tools.station.live.found import Found
from tools.station.live.peek import Peek

PULSE_MS = 2000
LOOK_S = 0.1
KNOWN_S = 3.0
"""How long an input may take to be known, or to fall back, before it counts as stuck."""
LATE_S = 15.0
"""How long a state may take to show, beyond the pulse: a command waits for others, and for flash."""
Ask = Callable[[str], Awaitable[str | None]]
"""Ask a question; the answer, or None where nobody is there."""


@dataclass
class Switching:
    """How outputs are tested. `asks` False: relays are switched without asking, and nobody looks."""

    link: StationLink
    peek: Peek
    ask: Ask
    say: Callable[[str], None]
    asks: bool = True
    sampler: bool = False
    on: str | None = None
    """The relay that may be on at the moment."""

    async def test(self, row: dict) -> Found:
        """One output, as station.json has it."""
        name, kind = row["id"], row["kind"]
        if kind == "alarm":
            return Found(name, None, "an alarm's output: only its alarms switch it")
        if kind == "sampler":
            return await self._sampler(row)
        return await self._relay(row)

    async def off(self) -> None:
        """Whatever was left on, off: when the test is stopped."""
        if self.on is not None:
            name, self.on = self.on, None
            await self.link.command("relay", {"id": name, "on": False}, 5.0)

    # ---- relays

    async def _relay(self, row: dict) -> Found:
        name, longest_ms = row["id"], row["pulse_ms"]
        pulse_ms = min(PULSE_MS, longest_ms) if longest_ms else PULSE_MS
        if self.asks:
            answer = await self._choice(
                f"Relay {name} (pin {row['pin']}): switch it on for {pulse_ms / 1000:g} s? y/n/s"
            )
            if answer != "y":
                return Found(name, None, "not switched" if answer else "not switched: nobody answered")
        while True:
            failed = await self._pulse(name, pulse_ms)
            if failed:
                return Found(name, False, failed)
            if not self.asks:
                return Found(name, None, "the station says on and off again; nobody looked")
            answer = await self._choice(f"Did {name} switch on and off again? y/n/s, a: again", "ynsa")
            if answer != "a":
                break
        if answer == "y":
            return Found(name, True, f"switched for {pulse_ms / 1000:g} s, seen")
        if answer == "n":
            return Found(name, False, "switched by the station, not seen: look at its wires and supply")
        return Found(name, None, "switched, nobody said whether it was seen")

    async def _pulse(self, name: str, pulse_ms: int) -> str:
        """Switch it for so long. What is wrong, "" when the station says on, then off again."""
        self.on = name
        result = await self.link.command("relay", {"id": name, "on": True, "pulse_ms": pulse_ms})
        if not result.ok:
            self.on = None
            return f"the station refuses: {result.text}"
        self.say(f"  {name} is on for {pulse_ms / 1000:g} s")
        on = await self._state(name, 1, pulse_ms / 1000)
        off = await self._state(name, 0, pulse_ms / 1000 + LATE_S)
        if not off:
            await self.off()
            return f"the station says that it is still on {LATE_S:.0f} s after its pulse"
        self.on = None
        self.say(f"  {name} is off again")
        return "" if on else "the station never said that it is on"

    async def _state(self, name: str, on: int, seconds: float) -> bool:
        """Wait until the station says so."""
        until = time.monotonic() + seconds
        while True:
            await self.peek.look()
            if self.peek.wires().get(name) == on:
                return True
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(LOOK_S)

    async def _choice(self, question: str, known: str = "yns") -> str:
        """One of the letters; "" where nobody answers."""
        while True:
            answer = await self.ask(question)
            if answer is None:
                return ""
            if answer[:1].lower() in set(known) and answer:
                return answer[0].lower()
            self.say(f"  Type one of {', '.join(known)} and Enter: y yes, n no, s leave it out.")

    # ---- the sampler

    async def _sampler(self, row: dict) -> Found:
        name, feedback = row["id"], row["feedback"]
        if self.asks:
            answer = await self.ask(
                f"Sampler {name} fills a bottle and counts as one of today's {row['per_day']}.\n"
                'Draw a sample now? Type "yes", anything else leaves it out'
            )
            if answer is None or answer.strip().lower() != "yes":
                return Found(name, None, "no sample was drawn")
        elif not self.sampler:
            return Found(name, None, "no sample was drawn: --sampler was not given")
        if feedback and not await self._state(feedback, 0, KNOWN_S):
            return Found(name, False, f"{feedback} is on before anything was drawn: look at that contact")
        before = len(self._events())
        result = await self.link.command("sample", {"reason": "test-io"})
        if not result.ok:
            return Found(name, False, f"the station refuses: {result.text}")
        self.say("  a sample is being drawn")
        if not feedback:
            return await self._without_feedback(row)
        return await self._with_feedback(row, before)

    async def _without_feedback(self, row: dict) -> Found:
        name = row["id"]
        off = await self._state(name, 1, LATE_S) and await self._state(
            name, 0, row["pulse_ms"] / 1000 + LATE_S
        )
        if not off:
            return Found(name, False, "the station never said that it was switched on and off again")
        if not self.asks:
            return Found(name, None, "switched; it has no feedback contact and nobody looked")
        answer = await self._choice("Did the sampler fill a bottle? y/n/s")
        ok = {"y": True, "n": False}.get(answer)
        said = {"y": "a sample was drawn, seen", "n": "switched, no sample was drawn"}
        return Found(name, ok, said.get(answer, "switched, nobody said whether it was seen"))

    async def _with_feedback(self, row: dict, before: int) -> Found:
        """By the station's own event, where it comes in time, or by the contact as its status shows it."""
        name, feedback = row["id"], row["feedback"]
        within_s = row["feedback_ms"] / 1000
        until = time.monotonic() + within_s + LATE_S
        while time.monotonic() < until:
            await self.peek.look()
            events = self._events()[before:]
            if self.peek.wires().get(feedback) == 1 or any(text.startswith("done") for text in events):
                return Found(name, True, f"a sample was drawn, {feedback} answered")
            if any(text.startswith("no feedback") for text in events):
                break
            await asyncio.sleep(LOOK_S)
        return Found(name, False, f"{feedback} did not answer within {within_s:g} s: look at its contact")

    def _events(self) -> list[str]:
        events = self.link.station.events if self.link.station else []
        kind = messages.SAMPLER
        return [
            str(event.detail) for event in events if event.kind == kind and "test-io" in str(event.detail)
        ]


async def switched_off(switching: Switching) -> str:
    """After Ctrl-C: the sentence to say. It never raises."""
    name = switching.on
    if name is None:
        return "Stopped: every relay is off, nothing was recorded."
    try:
        await switching.off()
    except Failure:
        return f"Stopped: {name} goes off by itself when its pulse ends; nothing was recorded."
    return f"Stopped: {name} is off again, nothing was recorded."
