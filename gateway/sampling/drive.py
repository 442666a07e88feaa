"""What fills a bottle: the sampler of a station device, or a coil of a Modbus unit on one of our buses.

    draw() -> (state, a sentence): FILLED, UNCHECKED, NO_FEEDBACK, NOT_SENT of bottles.py

Rule 1: NOT_SENT only where it is certain that nothing moved.
Rule 2: a contact that is closed before anything was begun, and stays so for OPEN_S, proves nothing by being
        closed afterwards: then nothing is begun.
Rule 3: whatever happens to draw(), the coil is off afterwards; rest() sees to it at a start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.config_department import Sampler
from gateway.errors import CommandError, NoAnswer
from gateway.ingest import exchange as x
from gateway.ingest.coil import CoilWrite, contact
from gateway.ingest.devices import DeviceIngest
from gateway.ingest.line import Line
from gateway.logs import get_logger
from gateway.sampling.bottles import FILLED, NO_FEEDBACK, NOT_SENT, UNCHECKED
from protocol import messages
from protocol.messages import Result

log = get_logger("sampler")

Drawn = tuple[str, str]
LOOK_S = 0.25
"""How often a feedback contact is looked at."""
OPEN_S = 5.0
"""How long the contact of the bottle before may take to open, as the carousel moves on."""
OFF_S_MAX = 1.0
"""How long it is tried to switch the coil off: SIGTERM has to be over within 10 s (app.py)."""
WORD_CHARACTERS = 60
"""Of a reason that a device tells again (firmware/commands.py)."""
_OUTCOMES = {
    x.SILENT: "does not answer", x.GARBLED: "answers garbled", x.WRONG: "answers wrongly",
    x.REFUSED: "refuses", x.AWAY: "is not there", x.LOST: "cannot be reached: its line is down",
}  # fmt: skip


class Drive(Protocol):
    """Fills bottles, one at a time."""

    async def draw(self, number: int, reason: str) -> Drawn:
        """Fill the bottle that is under the tap."""
        ...

    async def rest(self) -> bool:
        """Nothing moves; False: that is not certain yet."""
        ...


class Contact:
    """A feedback contact. `closed()`: None while nobody knows."""

    def __init__(self, closed: Callable[[], Awaitable[bool | None]], seconds: float):
        self.closed = closed
        self.seconds = seconds


class DeviceDrive:
    """The sampler output of a station device, which looks at its feedback itself and says so as an event."""

    def __init__(
        self,
        settings: Sampler,
        device: DeviceIngest,
        command: Callable[..., Awaitable[Result]],
        feedback: Contact | None,
    ):
        self._settings, self._device, self._command, self._feedback = settings, device, command, feedback
        self._word = ""
        self._next_s = 0.0  # before this the device's pulse, or its lock, is not over
        self._said: asyncio.Future[str] | None = None
        device.on_event = self._heard

    async def rest(self) -> bool:
        """A device sees to its outputs itself."""
        return True

    async def draw(self, number: int, reason: str) -> Drawn:
        """NOT_SENT with the device's own words where it refuses."""
        id = self._device.device
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_s - loop.time())
        self._next_s = loop.time() + self._settings.seconds
        if self._feedback is not None and await _closed(self._feedback):
            return NOT_SENT, _STUCK
        self._word = f"bottle {number}: {reason}"[:WORD_CHARACTERS]
        said = self._said = loop.create_future()
        try:
            result = await self._command(id, "sample", {"reason": self._word})
            if not result.ok:
                return NOT_SENT, f"The device {id} refuses: {result.text}."
            async with asyncio.timeout(self._settings.feedback_s):
                state, text = _of_device(await said, id, self._word)
            if state == FILLED and self._feedback is not None:
                return await _waited(self._feedback)
            return state, text
        except NoAnswer as error:
            return NO_FEEDBACK, str(error)
        except CommandError as error:
            return NOT_SENT, str(error)
        except TimeoutError:
            what = f"The device {id} began, and said nothing more within {self._settings.feedback_s} s."
            return NO_FEEDBACK, what
        finally:
            self._said = None

    def _heard(self, event: messages.Event) -> None:
        said = self._said
        if said is None or said.done() or event.kind not in (messages.SAMPLER, messages.SAMPLER_DONE):
            return
        text = event.detail if isinstance(event.detail, str) else ""
        if self._word in text and not text.startswith("started, "):
            said.set_result(text)


def _of_device(text: str, id: str, word: str) -> Drawn:
    """firmware/io.py: "done, <reason>", "no feedback, <reason>", "refused, <reason>: <why>"."""
    if text.startswith("done, "):
        return FILLED, f"The device {id} says that it is done."
    if text.startswith("refused, "):
        return NOT_SENT, f"The device {id} refuses: {text.partition(word)[2].removeprefix(': ')}."
    return NO_FEEDBACK, f"The device {id} says that the feedback contact did not close."


class CoilDrive:
    """A coil of a Modbus unit, on for `seconds`."""

    def __init__(self, settings: Sampler, line: Line, feedback: Contact | None):
        self._settings, self._line, self._feedback = settings, line, feedback

    async def rest(self) -> bool:
        """A gateway that was killed may have left it on."""
        return await self._off() == x.ANSWER

    async def draw(self, number: int, reason: str) -> Drawn:
        """The feedback has feedback_s from the begin on."""
        unit, feedback = self._settings.unit, self._feedback
        if feedback is not None:
            closed = await _closed(feedback)
            if closed is None:
                return NOT_SENT, "The feedback contact cannot be read: nothing was begun."
            if closed:
                return NOT_SENT, _STUCK
        if not self._line.counters.up:
            return NOT_SENT, f"Unit {unit} {_OUTCOMES[x.LOST]}: nothing was begun."
        began_s = asyncio.get_running_loop().time()
        try:
            outcome = await self._write(True)
            if outcome == x.REFUSED:
                return NOT_SENT, f"Unit {unit} {_OUTCOMES[outcome]}: the coil is not on."
            if outcome != x.ANSWER:
                return NO_FEEDBACK, f"Unit {unit} {_OUTCOMES[outcome]}: the coil may have been on."
            seen = None
            if feedback is not None:
                seen = asyncio.create_task(_seen(feedback, began_s + feedback.seconds))
            await asyncio.sleep(self._settings.seconds)
        finally:
            off = await self._off()
            if off != x.ANSWER:
                log.error("the sampler's coil may be on", unit=unit, answer=_OUTCOMES.get(off, ""))
        still = "" if off == x.ANSWER else f" The coil may still be on: unit {unit} {_OUTCOMES[off]}."
        if seen is None:
            return (
                UNCHECKED,
                f"The coil was on for {self._settings.seconds:g} s; no contact tells more.{still}",
            )
        state, text = await seen
        return state, text + still

    async def _off(self) -> int:
        """Also while we are being stopped, for which there is little time."""
        try:
            async with asyncio.timeout(OFF_S_MAX):
                return await self._write(False)
        except TimeoutError:
            return x.SILENT

    async def _write(self, on: bool) -> int:
        return (await self._line.other(CoilWrite(self._settings.unit, self._settings.coil, on)))[0]


_STUCK = "The feedback contact is closed before anything was begun: it is stuck, or the bottle is full."


async def _closed(feedback: Contact) -> bool | None:
    """Whether it stays closed before anything is begun; None: it cannot be read."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + OPEN_S
    while (closed := await feedback.closed()) and loop.time() < until_s:
        await asyncio.sleep(LOOK_S)
    return closed


async def _waited(feedback: Contact) -> Drawn:
    return await _seen(feedback, asyncio.get_running_loop().time() + feedback.seconds)


async def _seen(feedback: Contact, until_s: float) -> Drawn:
    """Whether it closes in time."""
    loop = asyncio.get_running_loop()
    while True:
        if await feedback.closed():
            return FILLED, "The feedback contact closed."
        if loop.time() >= until_s:
            return NO_FEEDBACK, f"The feedback contact did not close within {feedback.seconds:g} s."
        await asyncio.sleep(min(LOOK_S, max(0.01, until_s - loop.time())))


def input_of(line: Line, unit: int, address: int) -> Callable[[], Awaitable[bool | None]]:
    """A discrete input as a contact."""

    async def closed() -> bool | None:
        outcome, data = await line.other(contact(unit, address))
        return bool(data[0] & 1) if outcome == x.ANSWER else None

    return closed


def channel_of(
    value: Callable[[str], tuple[float | None, int]], symbol: str, good: int
) -> Callable[[], Awaitable[bool | None]]:
    """A channel as a contact: closed where its newest good value is 1."""

    async def closed() -> bool | None:
        number, quality = value(symbol)
        return None if quality != good or number is None else number == 1

    return closed
