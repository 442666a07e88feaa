"""The running gateway's configuration: what is asked about it, what was done to its file, who has to confirm.

Rule 1: nothing is in force unasked: a file that was changed by hand is checked and told of, and runs when
        somebody says so. A proposal with a fault changes nothing.
Rule 2: an entry of the log stands before the file is in place, and another says what became of it; one says
        so where the gateway was started with another file than it ran with before.
Rule 3: a change is confirmed from the gateway that runs with it; else the old file comes back, and it is
        restarted with that. Whatever goes wrong here holds up neither readings nor documents.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import config_apart
from gateway.clock import Clock
from gateway.config_change import entries, kept
from gateway.config_change.begin import Begun
from gateway.config_change.difference import fingerprint, of_files
from gateway.config_change.kept import TRYING, Change
from gateway.errors import JournalError
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, GATEWAY
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.requests import APPLY, CANCEL, CONFIRM, SHOW, Answer, Order
from gateway.web.config_page import Shown

if TYPE_CHECKING:
    from gateway.config_change.propose import Proposal

log = get_logger("configuration")

LOOK_S = 2.0
"""How often it is looked, in real seconds."""
RESTART_S = 1.0
"""Until then whoever asked has the answer."""
MINUTES = 5.0
MINUTES_MIN, MINUTES_MAX = 0.05, 60.0
"""To confirm a change in."""
VERB = "quantrac gateway config"


class ConfigKeeper:
    """`restart()` ends the gateway and starts it again; `waiting()`: documents by destination."""

    def __init__(
        self, begun: Begun, journal: Journal, moment: Callable[[], tuple[int, int]],
        waiting: Callable[[], Mapping[str, int]], restart: Callable[[], None],
    ):  # fmt: skip
        self._running = begun
        self._path = Path(begun.config.path)
        self._journal, self._moment = journal, moment
        self._waiting, self._restart = waiting, restart
        self._clock = Clock()  # the system's: minutes are real ones, also in a simulation
        self.change: Change | None = begun.change
        self._deadline_s = self._now_s()
        if self.change is not None:
            self._deadline_s += max(0.0, (self.change.until_ms - self._clock.now_ms()) / 1000)
        self._restarting = False
        self._edited: Proposal | None = None  # the file, where it is not what runs
        self._told = False  # the log has an entry of what runs
        self._one = asyncio.Lock()  # at a time: whoever looks, or asks
        self._seen = begun.config.fingerprint
        self._problem = ""

    def _now_s(self) -> float:
        return self._clock.mono_ns() / 1e9

    def problems(self) -> list[str]:
        """Sentences, empty while all is well."""
        return [text for text in (self._unconfirmed(), self._differs(), self._problem) if text]

    def _unconfirmed(self) -> str:
        if self.change is None or self.change.phase != TRYING:
            return ""
        minutes = max(0.0, self._deadline_s - self._now_s()) / 60
        return (
            f"The configuration of {self.change.who} is not confirmed: in {minutes:.1f} minutes that of "
            f"before comes back. Confirm it: {VERB} {self._path} confirm"
        )

    def _differs(self) -> str:
        if self._edited is None:
            return ""
        name, verb = self._path.name, f"{VERB} {self._path}"
        if self._edited.faults:
            what = f"{len(self._edited.faults)} faults, the first: {self._edited.faults[0]}"
            return f"{name} is not what runs, and has {what} What runs is written by: {verb} cancel"
        return (
            f"{name} was changed by hand and does not run: {verb} apply, or cancel, which writes what runs."
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._one:
                    await self.look()
                self._problem = ""
            except (JournalError, OSError) as error:
                if str(error) != self._problem:
                    log.warning("the configuration's file cannot be looked after", reason=str(error))
                self._problem = f"The configuration's file cannot be looked after: {error}"
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Once. JournalError, OSError: it is tried again."""
        if self._restarting:
            return
        if not self._told:
            await self._tell_begin()
            self._told = True
        if self.change is not None:
            if self.change.phase != TRYING:
                await self._tell_end(self.change.who if self.change.phase == kept.CONFIRMED else GATEWAY, "")
            elif self._now_s() >= self._deadline_s:
                await self._back(f"nobody confirmed it within {self.change.minutes:g} minutes")
                return
        data = await asyncio.to_thread(kept.in_place, self._path)
        seen = "" if data is None else fingerprint(data)
        if seen != self._seen:
            self._edited = None
            if seen != self._running.config.fingerprint:
                self._edited = await self._proposal(data or b"")
                log.warning("the configuration's file is not what runs", reason=self._differs())
            self._seen = seen

    async def _proposal(self, data: bytes) -> Proposal:
        return await asyncio.to_thread(
            config_apart.propose, self._running.config, self._running.data, data, dict(self._waiting())
        )

    def shown(self) -> Shown:
        """For the page."""
        tried = self.change is not None and self.change.phase == TRYING and not self._restarting
        change = self.change if tried else None
        minutes = max(0.0, self._deadline_s - self._now_s()) / 60 if change else 0.0
        text = self._running.data.decode("utf-8-sig", "replace")
        return Shown(str(self._path), text, change.who if change else "", minutes, self._differs())

    # Asked for ----------------------------------------------------------------------------------------------

    async def propose(self, text: str) -> Proposal:
        """What a text would be as the configuration; nothing is changed."""
        return await self._proposal(text.encode())

    async def do(self, order: Order) -> Answer:
        """What a person asks for. JournalError: the log could not be told."""
        does = {SHOW: self._show, APPLY: self._apply, CONFIRM: self._confirm, CANCEL: self._cancel}
        try:
            async with self._one:
                await self.look()
                if self._restarting:
                    return Answer("The gateway is about to restart: ask again in a few seconds.", ok=False)
                return await does[order.mark](order)
        except OSError as error:
            return Answer(
                f"Nothing was changed: {error.filename or self._path} cannot be written ({error.strerror}). "
                f"The gateway needs to write into {self._path.parent}.",
                ok=False,
            )

    async def _show(self, order: Order) -> Answer:
        lines = [f"What runs: {self._running.config.fingerprint[:16]}, of {self._path}."]
        if self._edited is not None:
            lines += [self._differs(), *map(str, self._edited.differences)]
        return Answer("\n".join([*lines, *filter(None, [self._unconfirmed()])]))

    async def _apply(self, order: Order) -> Answer:
        if self.change is not None and self.change.phase == TRYING:
            return Answer(f"{self._unconfirmed()} Or take it back: cancel.", ok=False)
        if order.text and self._edited is not None:
            return Answer(f"{self._differs()} Until then no other one is applied.", ok=False)
        data = (
            order.text.encode() if order.text else await asyncio.to_thread(kept.in_place, self._path) or b""
        )
        if fingerprint(data) == self._running.config.fingerprint:
            return Answer("That is what runs: there is nothing to apply.")
        proposal = await self._proposal(data)
        if proposal.faults:
            count = len(proposal.faults)
            head = f"Nothing was changed: it has {count} fault{'s' * (count > 1)}."
            return Answer("\n".join([head, *map(str, proposal.faults)]), ok=False)
        await self._try(order, data, proposal)
        minutes = self.change.minutes if self.change else 0
        return Answer("\n".join([
            *(str(one) for one in proposal.differences),
            *(one.said() for one in proposal.means),
            f"The gateway restarts with it now. Confirm it within {minutes:g} minutes, or that of before "
            f"comes back: {VERB} {self._path} confirm",
        ]))  # fmt: skip

    async def _try(self, order: Order, data: bytes, proposal: Proposal) -> None:
        minutes = min(max(order.minutes or MINUTES, MINUTES_MIN), MINUTES_MAX)
        until_ms = self._clock.now_ms() + round((minutes * 60 + RESTART_S) * 1000)
        old = self._running.config.fingerprint
        change = Change(
            secrets.token_hex(8), TRYING, old, proposal.fingerprint, order.who, order.at, minutes, until_ms
        )
        await asyncio.to_thread(kept.prepare, self._path, change, self._running.data)
        try:
            await self._tell(
                entries.event(change, entries.APPLYING, order.who, order.at, proposal.differences)
            )
        except JournalError:
            await asyncio.to_thread(kept.over, self._path)
            raise
        try:
            await asyncio.to_thread(kept.place, self._path, data)
        except OSError as error:
            self.change = change._replace(phase=kept.BACK, why=f"it could not be put in place: {error}")
            raise  # look() tells the log
        self.change = change
        self._deadline_s = self._now_s() + minutes * 60 + RESTART_S
        log.info("another configuration", who=order.who, at=order.at, differences=len(proposal.differences))
        self._soon()

    async def _confirm(self, order: Order) -> Answer:
        if self.change is None or self.change.phase != TRYING:
            return Answer("No change waits for being confirmed.", ok=False)
        change = self.change._replace(phase=kept.CONFIRMED)
        await asyncio.to_thread(kept.write, self._path, change)
        self.change = change
        await self._tell_end(order.who, order.at)
        await self._keep_running()
        return Answer(f"The configuration is confirmed, as {order.who} says.")

    async def _cancel(self, order: Order) -> Answer:
        if self.change is not None and self.change.phase == TRYING:
            await self._back(f"{order.who} took it back")
            return Answer("The configuration of before is in place again; the gateway restarts with it now.")
        data = await asyncio.to_thread(kept.in_place, self._path)
        if data == self._running.data:
            return Answer("There is nothing to cancel: the file is what runs.")
        if data is not None:
            edited = kept.beside(self._path, kept.EDITED)
            await asyncio.to_thread(kept.durable.replace, edited, data, 0o600)
        await asyncio.to_thread(kept.place, self._path, self._running.data)
        await self.look()
        name = self._path.name
        return Answer(f"{name} is what runs again; what stood there is kept as {name}{kept.EDITED}.")

    # What becomes of it -------------------------------------------------------------------------------------

    async def _back(self, why: str) -> None:
        assert self.change is not None
        log.error("the configuration of before is put back", reason=why, who=self.change.who)
        self.change = await asyncio.to_thread(kept.put_back, self._path, self.change, why)
        if self.change.phase == kept.BACK:  # the gateway that runs with it tells the log
            self._soon()

    def _soon(self) -> None:
        self._restarting = True
        asyncio.get_running_loop().call_later(RESTART_S, self._restart)

    async def _tell_begin(self) -> None:
        """Say with what the gateway was started, where it is not what it ran with before."""
        change, config = self.change, self._running.config
        ran = await asyncio.to_thread(kept.in_place, kept.beside(self._path, kept.RUNNING))
        if change is not None and change.phase == TRYING:
            before = await asyncio.to_thread(kept.in_place, kept.beside(self._path, kept.BEFORE))
            if not await self._has_said(change, entries.APPLYING):
                await self._tell(self._begun(change, entries.APPLYING, before))
            return
        is_new = change is None or change.phase == kept.OVERTAKEN
        if is_new and ran is not None and fingerprint(ran) != config.fingerprint:
            found = Change(
                secrets.token_hex(8), entries.STARTED, fingerprint(ran), config.fingerprint, "", "", 0, 0
            )
            await self._tell(self._begun(found, entries.STARTED, ran))
        if ran != self._running.data and self._running.data:
            await self._keep_running()

    def _begun(self, change: Change, what: str, before: bytes | None) -> bytes:
        differences = of_files(before or b"", self._running.data)
        return entries.event(change, what, change.who, change.at, differences)

    async def _keep_running(self) -> None:
        path = kept.beside(self._path, kept.RUNNING)
        try:
            await asyncio.to_thread(kept.durable.replace, path, self._running.data, 0o600)
        except OSError as error:
            log.warning("what runs cannot be kept beside the configuration", reason=str(error))

    async def _has_said(self, change: Change, what: str) -> bool:
        told = [entries.parse(body) for body, _ in await self._journal.read(_events)]
        return any(said is not None and (said.id, said.what) == (change.id, what) for said in told)

    async def _tell_end(self, who: str, at: str) -> None:
        """Say what became of the change, once, and forget it."""
        change = self.change
        assert change is not None
        if not await self._has_said(change, change.phase):
            await self._tell(entries.event(change, change.phase, who, at))
            log.info("a change of the configuration ended", what=change.phase, who=who, reason=change.why)
        await asyncio.to_thread(kept.over, self._path)
        self.change = None

    async def _tell(self, body: bytes) -> None:
        await self._journal.tell(EVENT, [body], self._moment())


def _events(reader: Reader) -> list[tuple[bytes, int]]:
    return reader.events_with(entries.EVENT_NAME)
