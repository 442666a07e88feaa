"""One worker per destination: takes the oldest unsent documents, delivers them, marks them, never gives up.

    what deliver() says     what the worker does

    returns                 marks it delivered; the back-off starts afresh
    Unreachable             drops the connection, waits 1 s, 2 s, ... 60 s (with jitter), starts at the oldest
                            again; longer where the server asked for it (Retry-After), up to 300 s
    Refused                 the same with 30 s ... 300 s: a wrong password tried each second locks us out
    Rejected                parks this one document for a person and goes on with the next
    (the journal fails)     the same as for Unreachable; what could not be marked is sent again
    anything else           our mistake: logged with its traceback, waits as for Unreachable; a document that
                            does this UNEXPECTED_MAX times is parked, so that it cannot hold up the others

Rule 1: a document is marked only after the destination confirmed it (marks.py). A crash can fall between the
        two: then it is delivered again, which every destination makes harmless.
Rule 2: deliveries begin in outbox order; after a failure the oldest unconfirmed comes first again.
Rule 3: back-off runs on real time, not on the station's clock, which can jump.
Rule 4: what a person does to documents that may be under way is done between two deliveries: between().
Rule 5: while it is `paused` nothing is begun, and the connection is closed; the oldest document grows older.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from gateway.errors import DestinationError, GatewayError, JournalError, Refused, Rejected, Unreachable
from gateway.forward.marks import UNMARKED_MAX, Marks
from gateway.forward.port import Confirmation, Destination, Document, Outbox

UNEXPECTED_MAX = 10
AHEAD = 32  # documents that are fetched at a time: a query for each would take as long as a short delivery
AFTER_S_MAX = 300.0  # the longest pause that a server may ask for
CLOSE_S_MAX = 2.0  # of the 5 s in which a worker has to stop
MARK_S_MAX = 2.0

STOPPED = "The gateway is stopping: nothing was changed. Give it again."

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Counters:
    """What a person wants to know of a destination. `attempts` = `delivered` + `failed` + those under way."""

    attempts: int = 0  # deliveries begun
    delivered: int = 0
    failed: int = 0  # attempts that did not end in a confirmation
    parked: int = 0
    connected: bool = False  # the last attempt that ended was a success
    refused: bool = False  # the destination said no: a person has to act
    last_error: str = ""  # a sentence, "" after a success
    oldest_unsent_ms: int | None = (
        None  # station time of the oldest document not delivered, None when all are
    )
    retry_in_s: float = 0.0  # length of the pause under way, 0 outside one
    delay_ms: int = 0  # a document is due only that long after its own time

    def oldest_unsent_age_s(self, now_ms: int) -> float:
        """Seconds of station time since it was due; 0 when everything is delivered."""
        if self.oldest_unsent_ms is None:
            return 0.0
        return max(0.0, (now_ms - self.oldest_unsent_ms - self.delay_ms) / 1000)


class Backoff:
    """Pauses that double from `first_s` to `max_s`, each shortened at random by up to half."""

    def __init__(self, random: Random, first_s: float = 1.0, max_s: float = 60.0):
        self._random = random
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The next pause in seconds."""
        pause, self._next_s = self._next_s, min(self._next_s * 2, self._max_s)
        return pause * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again with the shortest."""
        self._next_s = self._first_s


class Worker:
    """Drains one destination's part of the outbox for as long as `run()` runs."""

    def __init__(
        self,
        destination_id: str,
        destination: Destination,
        outbox: Outbox,
        counters: Counters | None = None,
        *,
        random: Random | None = None,
        backoff: Backoff | None = None,
        backoff_refused: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        delay_ms: int = 0,
    ):
        random = random or Random()
        self.id = destination_id
        self.counters = counters or Counters()
        self.counters.delay_ms = delay_ms
        self._destination = destination
        self._outbox = outbox
        self._event = outbox.event(destination_id)
        self._backoff = backoff or Backoff(random)
        self._backoff_refused = backoff_refused or Backoff(random, first_s=30.0, max_s=300.0)
        self._sleep = sleep
        self._ready: deque[Document] = deque()  # fetched, not begun
        self._flying: deque[tuple[Document, asyncio.Task[Confirmation]]] = deque()
        self._marks = Marks(outbox, self._marked, self._lost)
        self._rewind = False  # what is pending now may be older than what is under way
        self._calls: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future]] = deque()
        self._called: asyncio.Future[None] | None = None  # done when there are some; None before run()
        self._ended = False
        self.paused = False
        """Set it before run(), or between() two deliveries."""

    async def run(self) -> None:
        """Deliver until cancelled; stops within 5 s and leaves nothing confirmed unmarked if it can."""
        self._called = asyncio.get_running_loop().create_future()
        try:
            while True:
                try:
                    error: Exception = await self._deliver_until_failure()
                except JournalError as journal:
                    await self._land()
                    self._note(journal)
                    error = journal
                self._rewind = True  # a slow disk may still be marking what is newer than what failed
                await self._pause(error)
        finally:
            self._ended = True
            await self._land()
            for _, future in self._calls:
                future.cancel()
            self.counters.connected = False

    def rewind(self) -> None:
        """Documents were released: begin with the oldest again as soon as those under way are settled."""
        self._rewind = True
        self._event.set()

    async def between(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call()` gives, called while nothing is under way: what is, is broken off, and sent again
        afterwards if it still waits. JournalError when the worker ends first.
        """
        if self._ended:
            raise JournalError(STOPPED)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.append((call, future))
        if self._called is not None and not self._called.done():
            self._called.set_result(None)
        self._event.set()
        try:
            return await future
        except asyncio.CancelledError:
            if self._ended:
                raise JournalError(STOPPED) from None
            raise

    async def _answer_calls(self) -> None:
        if not self._calls:
            return
        if self._flying:
            await self._land()
        try:
            await self._marks.flush()
        except JournalError:
            pass  # what could not be marked is pending: nothing is under way
        self._ready.clear()
        while self._calls:
            call, future = self._calls.popleft()
            try:
                found = await call()
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
            except BaseException:
                future.cancel()
                raise
            else:
                if not future.done():
                    future.set_result(found)
        self._called = asyncio.get_running_loop().create_future()

    async def _deliver_until_failure(self) -> Exception:
        while True:
            await self._answer_calls()
            if self.paused:
                await self._rest()
                continue
            self._marks.check()
            drained = await self._launch()
            if not self._flying:
                await self._idle()
                continue
            await self._wait(for_more=drained)
            error = await self._settle()
            if error is not None:
                return error

    async def _launch(self) -> bool:
        """Begin deliveries until the window is full; True when the outbox holds no more than these."""
        if len(self._marks) >= UNMARKED_MAX:
            await self._marks.flush()
        if self._rewind:
            self._ready.clear()
            if self._flying:
                return False
            await self._marks.flush()
            self._rewind = False
        room = self._destination.in_flight_max - len(self._flying)
        if room > len(self._ready):
            await self._fetch(room)
            if any(task.done() and _error(task) is not None for _, task in self._flying):
                return False  # meanwhile one failed: nothing may overtake it
        while room and self._ready:
            document = self._ready.popleft()
            self.counters.attempts += 1
            task = asyncio.create_task(self._destination.deliver(document))
            self._flying.append((document, task))
            room -= 1
        self.counters.oldest_unsent_ms = self._flying[0][0].at_ms if self._flying else None
        return room > 0

    async def _fetch(self, room: int) -> None:
        self._event.clear()  # before looking: whatever is queued from here on sets it again
        if self._ready:
            after = self._ready[-1].id
        else:
            after = max(self._flying[-1][0].id if self._flying else 0, self._marks.newest)
        self._ready += await self._outbox.pending(self.id, after, max(room, AHEAD))

    async def _rest(self) -> None:
        """Until something is queued or somebody calls: then it is looked again whether it is paused."""
        await self._land()
        self.counters.connected = False
        self._event.clear()
        oldest = await self._outbox.pending(self.id, 0, 1)
        self.counters.oldest_unsent_ms = oldest[0].at_ms if oldest else None
        assert self._called is not None
        news = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({news, self._called}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            self._rewind = True  # the oldest comes first when it goes on

    async def _idle(self) -> None:
        """Until something is queued, or what is being marked is, with an error perhaps."""
        self._marks.check()  # it may have gone wrong while the outbox was asked: then there is more again
        news = asyncio.ensure_future(self._event.wait())
        marking = {self._marks.task} if self._marks.task else set()
        try:
            await asyncio.wait({news, *marking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    async def _wait(self, for_more: bool) -> None:
        """Until the oldest is settled, somebody calls, or (when there is room) something new was queued."""
        assert self._called is not None
        waiting: set[asyncio.Future[Any]] = {self._flying[0][1], self._called}
        news = asyncio.ensure_future(self._event.wait()) if for_more else None
        if news:
            waiting.add(news)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if news:
                news.cancel()

    async def _settle(self) -> Exception | None:
        """Mark what is confirmed, park what is rejected; the error when the destination itself failed."""
        confirmed: dict[int, Confirmation] = {}
        rejected: list[tuple[Document, Exception]] = []
        broken: tuple[Document, Exception] | None = None
        kept: deque[tuple[Document, asyncio.Task[Confirmation]]] = deque()
        for document, task in self._flying:
            if not task.done():
                kept.append((document, task))
                continue
            error = _error(task)
            if error is None:
                confirmed[document.id] = task.result()
            elif isinstance(error, Rejected) or _hopeless(document, error):
                rejected.append((document, error))
            else:
                broken = broken or (document, error)
                self.counters.failed += 1
        self._flying = kept
        self._marks.add(confirmed)
        for document, error in rejected:
            await self._park(document, error)
        if broken is None:
            return None
        document, error = broken
        await self._land()
        self._note(error)
        await self._outbox.failed(document.id, str(error), park=False)
        return error

    def _marked(self, count: int) -> None:
        self.counters.delivered += count
        self.counters.connected, self.counters.refused, self.counters.last_error = True, False, ""
        self._backoff.reset()
        self._backoff_refused.reset()

    def _lost(self, count: int) -> None:
        """The journal failed: these are sent again."""
        self.counters.failed += count

    async def _park(self, document: Document, error: Exception) -> None:
        self.counters.failed += 1
        self.counters.last_error = str(error)
        log.error("%s: %s parked: %s", self.id, document.key, error)
        await self._outbox.failed(document.id, str(error), park=True)
        self.counters.parked += 1

    async def _land(self) -> None:
        """End all deliveries under way and the connection; what was confirmed meanwhile is still marked."""
        self._ready.clear()
        flying, self._flying = list(self._flying), deque()
        for _, task in flying:
            task.cancel()
        if flying:
            await asyncio.wait([task for _, task in flying], timeout=CLOSE_S_MAX)
        confirmed = {
            document.id: task.result() for document, task in flying if task.done() and _error(task) is None
        }
        self.counters.failed += len(flying) - len(confirmed)
        self._marks.add(confirmed)
        try:
            async with asyncio.timeout(MARK_S_MAX):
                await self._marks.flush()
        except (TimeoutError, JournalError):
            log.warning("%s: confirmed documents could not be marked", self.id)
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._destination.close()
        except TimeoutError:
            log.warning("%s: the connection did not close in time", self.id)

    def _note(self, error: Exception) -> None:
        if self.counters.last_error != str(error):
            unexpected = None if isinstance(error, GatewayError) else error
            log.warning("%s: %s", self.id, error, exc_info=unexpected)
        self.counters.connected = False
        self.counters.refused = isinstance(error, Refused)
        self.counters.last_error = str(error) or type(error).__name__

    async def _pause(self, error: Exception) -> None:
        backoff = self._backoff_refused if isinstance(error, Refused) else self._backoff
        asked_s = error.after_s if isinstance(error, Unreachable) else 0.0
        self.counters.retry_in_s = max(backoff.next_s(), min(asked_s, AFTER_S_MAX))
        sleeping = asyncio.ensure_future(self._sleep(self.counters.retry_in_s))
        try:
            while not sleeping.done():
                assert self._called is not None
                await asyncio.wait({sleeping, self._called}, return_when=asyncio.FIRST_COMPLETED)
                await self._answer_calls()
            await sleeping
        finally:
            sleeping.cancel()
            self.counters.retry_in_s = 0.0


def _error(task: asyncio.Task[Any]) -> Exception | None:
    """What a finished delivery ended in; None when the destination confirmed it."""
    if task.cancelled():
        return Unreachable("The delivery was broken off.")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise error  # KeyboardInterrupt, SystemExit
    return error


def _hopeless(document: Document, error: Exception) -> bool:
    return not isinstance(error, DestinationError) and document.attempts + 1 >= UNEXPECTED_MAX
