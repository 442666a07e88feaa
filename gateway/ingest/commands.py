"""Commands to a station device: sent over whatever link it has, answered, and both in the journal.

Rule 1: a command is on disk (COMMAND), with who gave it, before it is sent; its answer, or that there was
        none, follows. What is long (pieces of an update) is journaled by its size and SHA-256.
Rule 2: the counter is this gateway's Unix ms. It only rises: within one ms, when the clock is set back, and
        over restarts (the newest one is read back from the journal). Others command too, with clocks of their
        own: a device that refuses a counter says which one it needs, and gets the same command once above it.
Rule 3: one command at a time for each device, so that counters arrive in their order.
Rule 4: a command is not sent again for want of an answer: whether it was carried out is not known then, and
        whoever gave it is told so. Its answer may come over another connection than the command went.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from gateway.errors import CommandError, NoAnswer, NotConnected
from gateway.ingest.devices import DeviceIngest, Moment
from gateway.journal.journal import Journal
from gateway.logs import get_logger
from protocol import cbor
from protocol.errors import ProtocolError
from protocol.messages import Command, Result

log = get_logger("command")

TIMEOUT_S = 10.0
"""How long an answer may take, unless whoever commands knows better: most are given at once."""
JOURNALED_BYTES_MAX = 256
"""Arguments and answers up to this size are journaled as they are."""


class Commands:
    """All commands to one device. `newest` is the largest counter that the journal knows of."""

    def __init__(self, device: DeviceIngest, journal: Journal, now: Callable[[], Moment], newest: int = 0):
        self._device = device
        self._journal = journal
        self._now = now
        self._counter = newest
        self._one = asyncio.Lock()  # rule 3
        self._waiting: dict[int, asyncio.Future[Result]] = {}

    async def run(self, name: str, args: Any = None, timeout_s: float = TIMEOUT_S, who: str = "") -> Result:
        """Give a command; its answer, which may be a refusal (ok is False, text says why).

        CommandError: it cannot be sent as it is. NotConnected: nothing was sent. NoAnswer: nobody knows.
        JournalError: it could not be written down, and was not sent.
        """
        async with self._one:
            result = await self._give(name, args, timeout_s, who)
            needed = _needed(result)
            if needed is not None and needed >= self._counter:
                self._counter = needed
                result = await self._give(name, args, timeout_s, who)
            return result

    async def _give(self, name: str, args: Any, timeout_s: float, who: str) -> Result:
        device = self._device.device
        self._check_connected()
        moment = self._now()
        self._counter = max(moment.now_ms, self._counter + 1)
        command = Command(self._counter, self._counter & 0xFFFFFFFF, name, args)
        try:
            frame = self._device.command(command)
        except ProtocolError as error:
            raise CommandError(
                f"'{name}' cannot be sent to {device} ({error}). Shorten its name or its arguments."
            ) from error
        said = ("command", who, command.counter, command.id, name, _brief(args))
        await self._journal.commit(entries=[self._device.commanded(moment, *said)], now_ms=moment.now_ms)
        answer = self._waiting[command.id] = asyncio.get_running_loop().create_future()
        try:
            self._check_connected()
            if self._device.send is None or not self._device.send(frame):
                raise NotConnected(f"The device {device} takes nothing at the moment. Try again in a minute.")
            async with asyncio.timeout(timeout_s):
                result = await answer
        except (TimeoutError, NotConnected, asyncio.CancelledError) as error:
            why = str(error) or "no answer came in time"
            self._journal.submit([self._device.commanded(self._now(), "result", command.id, None, why, None)])
            if isinstance(error, TimeoutError):
                raise NoAnswer(
                    f"{device} did not answer '{name}' within {timeout_s:g} s. Whether it was carried out is "
                    "not known: ask for its status before you repeat it."
                ) from None
            raise
        finally:
            del self._waiting[command.id]
        said = ("result", command.id, result.ok, result.text, _brief(result.data))
        moment = self._now()
        await self._journal.commit(entries=[self._device.commanded(moment, *said)], now_ms=moment.now_ms)
        log.info("command", device=device, who=who, name=name, ok=result.ok, text=result.text)
        return result

    def _check_connected(self) -> None:
        if self._device.send is None or self._device.session.hello is None:
            raise NotConnected(
                f"The device {self._device.device} is not connected: nothing was sent. Check its power and "
                "its cable, then try again."
            )

    def answered(self, result: Result) -> None:
        """A RESULT has come in; one that nobody waits for (any more) is of no use to anybody."""
        answer = self._waiting.get(result.id)
        if answer is not None and not answer.done():
            answer.set_result(result)


def _needed(result: Result) -> int | None:
    """The counter that a refusal names, if it names one."""
    data = result.data.get("counter") if isinstance(result.data, dict) else result.data
    return data if not result.ok and type(data) is int else None


def _brief(data: Any) -> Any:
    encoded = cbor.dumps(data)
    if len(encoded) <= JOURNALED_BYTES_MAX:
        return data
    return {"sha256": hashlib.sha256(encoded).digest(), "size": len(encoded)}
