"""Where the department's commands arrive: checked, written down, done once, answered.

    message -> signature -> station, counter, times -> COMMAND entry -> deed -> COMMAND entry -> answer

Rule 1: a command is done at most once. Its counter is on disk before its deed begins; a command that is there
        already gets the answer that it got before. One that a stop of the gateway broke off is never done
        again: recall() writes what is known of it.
Rule 2: each refusal is an EVENT entry and is answered, signed. So that a stranger can fill neither journal
        nor line, there are only so many of both in an hour (bucket.py): what goes beyond is counted in the
        next entry, and gets no answer. The department's own mistakes have a measure of their own.
Rule 3: whoever's command it is, its answer is signed by the log's key of that moment, over what the journal
        holds: result_text().
Rule 4: counters are of one key each, and only grow. Whatever is refused uses up none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.bucket import Bucket
from gateway.commands import message as m
from gateway.commands.entries import KEYS, Answered, Taken, parse, parse_pinned, pinned, refused
from gateway.errors import GatewayError, JournalError
from gateway.journal.journal import Journal
from gateway.journal.kinds import COMMAND, EVENT, GATEWAY
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.reports.message import rfc3339
from protocol.note import Verifier

log = get_logger("department")

ANSWERS_MAX = 1000
"""Answers that are remembered; an older command is refused by its counter."""
STRANGERS = (10, 600.0)
"""Refusals of strangers that are written down and answered: so many at once, and one more in so many s."""
OWN = (60, 60.0)
"""The same of messages that a pinned key signed."""
REPEATS = (100, 10.0)
"""Answers to commands that were answered before: somebody may have kept one, and send it for ever."""
RETRY_S = 2.0


class Outcome(NamedTuple):
    """What came of a command."""

    state: str  # message.STATES
    reason: str  # a sentence
    details: Mapping[str, Any] = {}


Deed = Callable[[m.Command, str], Awaitable[Outcome]]
"""deed(command, its digest)"""


class Desk:
    """`moment()` is (station time, monotonic) in ms; `trusted()` whether anybody may believe it. `sign(text)`
    gives the note that goes out. `deeds` do verbs; `recovers` say what became of one that was broken off.
    """

    def __init__(
        self,
        station: str,
        keys: Sequence[Verifier],
        journal: Journal,
        moment: Callable[[], tuple[int, int]],
        trusted: Callable[[], bool],
        sign: Callable[[str], bytes],
        deeds: Mapping[str, Deed],
        recovers: Mapping[str, Deed] | None = None,
        tolerance_s: int = 60,
    ):
        self._station = station
        self._keys = keys
        self._journal = journal
        self._moment = moment
        self._trusted = trusted
        self._sign = sign
        self._deeds = deeds
        self._recovers = recovers or {}
        self._tolerance_ms = tolerance_s * 1000
        self._turn = asyncio.Lock()
        self._recalled = False
        self._counters: dict[str, int] = {}  # by name of key
        self._answers: dict[str, str] = {}  # digest -> text, the newest last
        self._doing: dict[str, asyncio.Future[str]] = {}
        self._strangers, self._own, self._repeats = Bucket(*STRANGERS), Bucket(*OWN), Bucket(*REPEATS)
        self.taken = self.refused = 0

    async def recall(self) -> None:
        """What the journal knows: counters, answers, and what was broken off. JournalError."""
        async with self._turn:
            if self._recalled:
                return
            taken, answered = await self._journal.read(_recalled, [key.name for key in self._keys])
            vkeys = [key.vkey for key in self._keys]
            if await self._journal.read(_pinned) != vkeys:
                await self._write(EVENT, pinned(vkeys))
            for one in taken:
                self._counters[one.key] = max(one.counter, self._counters.get(one.key, 0))
            self._answers = {one.digest: one.text for one in answered}
            for one in taken:
                if one.digest not in self._answers:
                    await self._give_up(one)
            self._recalled = True

    async def run(self) -> None:
        """Until cancelled: what was broken off is answered whether or not anybody asks again."""
        while not self._recalled:
            try:
                await self.recall()
            except JournalError as error:
                log.warning("commands of before wait", reason=str(error))
                await asyncio.sleep(RETRY_S)
        await asyncio.get_running_loop().create_future()

    async def take(self, data: bytes, via: str) -> bytes | None:
        """The answer to a message; None: there is none for it. JournalError: it is not known whether it was
        taken, bring it again.
        """
        await self.recall()
        digest = m.digest_of(data)
        try:
            signed = m.opened(data, self._keys)
        except m.Wrong as wrong:
            return await self._refuse(self._strangers, "", digest, via, wrong, None)
        async with self._turn:
            if (text := self._answers.get(digest)) is not None:
                now = self._repeats.take(self._moment()[1] / 1000) is not None
                return await self._signed(text) if now else None
            doing = self._doing.get(digest)
            if doing is None:
                command = None
                try:
                    command = m.parse(signed.text)
                    self._check(signed.key.name, command)
                except m.Wrong as wrong:
                    return await self._refuse(self._own, signed.key.name, digest, via, wrong, command)
                doing = await self._begin(signed.key.name, command, digest, via, data)
        return await self._signed(await asyncio.shield(doing))

    # Checking -----------------------------------------------------------------------------------------------

    def _check(self, key: str, command: m.Command) -> None:
        now_ms, _ = self._moment()
        if command.station != self._station:
            raise m.Wrong(m.OTHER_STATION, f"It is for {command.station}; this is {self._station}.")
        newest = self._counters.get(key, 0)
        if command.counter <= newest:
            what = f"Counter {command.counter} is not above {newest}, the newest that was taken of {key}."
            raise m.Wrong(m.OLD_COUNTER, what)
        if not self._trusted():
            what = "The station does not know what time it is, so not whether this has expired."
            raise m.Wrong(m.CLOCK, what)
        if now_ms > command.expires_ms:
            what = f"It expired at {rfc3339(command.expires_ms)}; it is {rfc3339(now_ms)} here."
            raise m.Wrong(m.EXPIRED, what)
        if command.issued_ms > now_ms + self._tolerance_ms:
            what = f"It is of {rfc3339(command.issued_ms)}; it is {rfc3339(now_ms)} here."
            raise m.Wrong(m.TOO_EARLY, what)
        if command.verb not in self._deeds:
            raise m.Wrong(m.UNKNOWN_VERB, f"This station cannot do {command.verb!r}.")

    async def _refuse(
        self, bucket: Bucket, key: str, digest: str, via: str, wrong: m.Wrong, command: m.Command | None
    ) -> bytes | None:
        now_ms, mono_ms = self._moment()
        self.refused += 1
        passed_over = bucket.take(mono_ms / 1000)
        if passed_over is None:
            return None
        log.warning("a command is refused", key=key, code=wrong.code, via=via, passed_over=passed_over)
        await self._write(EVENT, refused(key, wrong.code, digest, via, str(wrong), passed_over))
        counter, verb = (0, "-") if command is None else (command.counter, command.verb)
        details = (
            {"code": wrong.code, "newest_counter": self._counters.get(key, 0)}
            if key
            else {"code": wrong.code}
        )
        return await self._signed(m.result_text(m.Result(
            self._station, digest, counter, verb, _second(now_ms), m.REFUSED, str(wrong), details
        )))  # fmt: skip

    # Doing --------------------------------------------------------------------------------------------------

    async def _begin(
        self, key: str, command: m.Command, digest: str, via: str, data: bytes
    ) -> asyncio.Future[str]:
        """Write it down, and begin."""
        await self._write(COMMAND, Taken(key, command.counter, digest, command.verb, via, data).body())
        self._counters[key] = command.counter
        self.taken += 1
        log.info("a command is taken", key=key, verb=command.verb, counter=command.counter, via=via)
        doing = asyncio.create_task(self._do(key, command, digest), name=f"command {command.verb}")
        self._doing[digest] = doing
        return doing

    async def _do(self, key: str, command: m.Command, digest: str) -> str:
        try:
            outcome = await _outcome(self._deeds[command.verb], command, digest)
            return await self._answer(key, command, digest, outcome)
        finally:
            del self._doing[digest]

    async def _give_up(self, taken: Taken) -> None:
        """A command without an answer: the gateway was stopped while it did it (rule 1)."""
        outcome = Outcome(m.UNKNOWN, "The gateway was stopped while it did this; it does it no second time.")
        try:
            command = m.parse(m.opened(taken.message, self._keys).text)
        except m.Wrong:  # its key may be pinned no longer
            command = m.Command(self._station, taken.counter, 0, 0, taken.verb, {})
        else:
            if command.verb in self._recovers:
                outcome = await _outcome(self._recovers[command.verb], command, taken.digest)
        log.warning("a command was broken off", key=taken.key, verb=taken.verb, state=outcome.state)
        await self._answer(taken.key, command, taken.digest, outcome)

    async def _answer(self, key: str, command: m.Command, digest: str, outcome: Outcome) -> str:
        now_ms, _ = self._moment()
        text = m.result_text(m.Result(
            self._station, digest, command.counter, command.verb, _second(now_ms), *outcome
        ))  # fmt: skip
        await self._write(COMMAND, Answered(key, command.counter, digest, outcome.state, text).body())
        self._answers[digest] = text
        while len(self._answers) > ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]
        log.info("a command is answered", verb=command.verb, state=outcome.state, reason=outcome.reason)
        return text

    async def _signed(self, text: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._sign, text)
        except (GatewayError, OSError) as error:
            log.error("an answer to the department cannot be signed", reason=str(error))
            return None

    async def _write(self, kind: int, body: bytes) -> None:
        await self._journal.tell(kind, [body], self._moment())


async def _outcome(deed: Deed, command: m.Command, digest: str) -> Outcome:
    try:
        return await deed(command, digest)
    except GatewayError as error:
        return Outcome(m.REFUSED, str(error))
    except Exception as error:
        log.exception("a command failed by a mistake of ours", verb=command.verb)
        return Outcome(m.UNKNOWN, f"It failed by a mistake in this program ({error!r:.200}).")


def _second(time_ms: int) -> int:
    return time_ms - time_ms % 1000


def _pinned(reader: Reader) -> list[str]:
    """Whose commands are taken, as the log says it."""
    said = [parse_pinned(body) for body, _ in reader.events_with(KEYS)]
    return next((vkeys for vkeys in reversed(said) if vkeys is not None), [])


def _recalled(reader: Reader, keys: Sequence[str]) -> tuple[list[Taken], list[Answered]]:
    """The newest commands and answers, the oldest first; back to the newest command of each key at least."""
    taken: list[Taken] = []
    answered: list[Answered] = []
    wanted = set(keys)
    for entry in reader.newest_first(COMMAND):
        if entry.source != GATEWAY:
            continue
        found = parse(entry.body)
        if isinstance(found, Taken):
            taken.append(found)
            wanted.discard(found.key)
        elif isinstance(found, Answered):
            answered.append(found)
        if not wanted and len(taken) >= ANSWERS_MAX:
            break
    return taken[::-1], answered[::-1]
