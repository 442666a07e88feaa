"""What a person does to documents while a worker is at work: between two deliveries, and the oldest first.

In virtual time: deliveries that take some ms end one after the other, however busy the machine is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.errors import JournalError, Refused, Unreachable
from gateway.forward.port import Document
from gateway.forward.worker import Worker
from tests.gateway.forward_rig import MemoryOutbox, document, worker
from tests.gateway.jumping_loop import run as run_virtually
from tests.gateway.test_forward_worker import Scripted, backlog


def run(case: Callable[[], Awaitable[None]]) -> None:
    run_virtually(asyncio.wait_for(case(), 20))


async def stopped(task: asyncio.Task) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


# Released: the oldest first ---------------------------------------------------------------------------------


class Staggered(Scripted):
    """Confirms one after the other, so that there is always something under way."""

    async def deliver(self, one: Document) -> None:
        self.began.append(one.id)
        await asyncio.sleep(0.004 * min(one.id - 3, 4) if one.id > 3 else 0.016)
        self.confirmed.append(one.id)


async def released_amid_a_backlog(window: int, rewind: bool) -> list[int]:
    """The order in which deliveries begin when the documents 1 to 3 are released while 4 to 40 are sent."""
    destination, outbox = Staggered(window), MemoryOutbox([document(i) for i in range(3, 40)])
    one = worker(destination, outbox)
    task = asyncio.create_task(one.run())
    await until(lambda: len(outbox.delivered_ids) > 5)
    for i in range(3):
        outbox.put(document(i))
    mark = len(destination.began)
    if rewind:
        one.rewind()
    await outbox.drained.wait()
    await stopped(task)
    assert sorted(outbox.delivered_ids) == list(range(1, 41)) and len(destination.began) == 40
    return destination.began[mark:]


@pytest.mark.parametrize("window", [1, 4])
def test_what_is_released_goes_before_all_that_is_younger(window):
    async def case() -> None:
        began = await released_amid_a_backlog(window, rewind=True)
        before = began.index(1)
        assert began[before : before + 3] == [1, 2, 3] and before <= window
        assert began[before + 3 :] == sorted(began[before + 3 :]), "and nothing under way was broken off"

    run(case)


def test_control_without_looking_back_it_waits_until_the_backlog_is_through():
    async def case() -> None:
        assert (await released_amid_a_backlog(4, rewind=False))[-3:] == [1, 2, 3]

    run(case)


# Parked: nothing is under way -------------------------------------------------------------------------------


async def park(outbox: MemoryOutbox, destination: Scripted, id: int) -> str:
    """As JournalOutbox.by_hand does: look, then commit."""
    assert destination.flying == 0, "something is under way"
    there = id in outbox.waiting
    await asyncio.sleep(0.01)
    if not there:
        return "delivered"
    del outbox.waiting[id]
    outbox._look()
    return "parked"


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("id", [1, 3, 20])
def test_a_document_under_way_is_broken_off_and_parked(window, id):
    async def case() -> None:
        destination, outbox = Scripted(window), backlog(20)
        destination.gate.clear()  # a server that hangs
        one = worker(destination, outbox)
        task = asyncio.create_task(one.run())
        await until(lambda: destination.flying == window)
        assert await one.between(lambda: park(outbox, destination, id)) == "parked"
        destination.gate.set()
        await outbox.drained.wait()
        await stopped(task)
        assert outbox.delivered_ids == destination.confirmed == [i for i in range(1, 21) if i != id]
        assert one.counters.delivered == 19 and outbox.reasons == [], "the others lost no attempt"

    run(case)


def test_what_was_confirmed_first_is_delivered_not_parked():
    async def case() -> None:
        for turns in range(40):
            destination, outbox = Scripted(2), backlog(6)
            one = worker(destination, outbox)
            task = asyncio.create_task(one.run())
            for _ in range(turns):
                await asyncio.sleep(0)
            said = await one.between(lambda: park(outbox, destination, 2))  # noqa: B023
            await outbox.drained.wait()
            await stopped(task)
            assert (said == "delivered") == (2 in outbox.delivered_ids), turns
            seen.add(said)

    seen: set[str] = set()
    run(case)
    assert seen == {"delivered", "parked"}


def test_control_parked_beside_the_worker_it_is_delivered_all_the_same():
    async def case() -> None:
        destination, outbox = Scripted(2), backlog(6)
        destination.gate.clear()
        task = asyncio.create_task(worker(destination, outbox).run())
        await until(lambda: destination.flying == 2)
        with pytest.raises(AssertionError, match="under way"):
            await park(outbox, destination, 2)
        destination.gate.set()
        await outbox.drained.wait()
        await stopped(task)
        assert 2 in outbox.delivered_ids

    run(case)


def test_a_worker_that_waits_for_its_next_try_or_for_documents_is_not_waited_for():
    async def case() -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(1000)

        destination, outbox = Scripted(1, {1: [Refused("no.")]}), backlog(2)
        one = Worker("d", destination, outbox, sleep=sleep)
        task = asyncio.create_task(one.run())
        await until(lambda: pauses)
        for _ in range(3):
            assert await one.between(lambda: park(outbox, destination, 9)) == "delivered"
        assert len(pauses) == 1 and destination.began == [1], "the pause goes on"
        await stopped(task)

        idle = worker(Scripted(), MemoryOutbox())
        task = asyncio.create_task(idle.run())
        await asyncio.sleep(0.01)
        assert await idle.between(lambda: park(MemoryOutbox(), Scripted(), 9)) == "delivered"
        await stopped(task)

    run(case)


def test_what_goes_wrong_is_told_to_whoever_called_and_the_worker_goes_on():
    async def case() -> None:
        async def fails() -> None:
            raise JournalError("The disk is full.")

        destination, outbox = Scripted(1, {3: [Unreachable("cut.")]}), backlog(5)
        one = worker(destination, outbox)
        task = asyncio.create_task(one.run())
        with pytest.raises(JournalError, match="full"):
            await one.between(fails)
        await outbox.drained.wait()
        assert sorted(outbox.delivered_ids) == [1, 2, 3, 4, 5]
        await stopped(task)

    run(case)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_whoever_called_may_go_away_and_the_worker_goes_on(ends):
    """A person who closes the page: what was asked for is done all the same, and nobody is told."""

    async def case() -> None:
        begun, go, done = asyncio.Event(), asyncio.Event(), []

        async def call() -> None:
            begun.set()
            await go.wait()
            done.append(ends)
            if ends == "badly":
                raise JournalError("The disk is full.")

        outbox = backlog(5)
        one = worker(Scripted(), outbox)
        task = asyncio.create_task(one.run())
        caller = asyncio.create_task(one.between(call))
        await begun.wait()
        await stopped(caller)
        assert caller.cancelled()
        go.set()
        await outbox.drained.wait()
        assert done == [ends] and outbox.delivered_ids == [1, 2, 3, 4, 5] and not task.done()
        await stopped(task)

    run(case)


class LosesAMark(MemoryOutbox):
    """Its disk hangs with the first mark, and then fails."""

    def __init__(self, documents: list[Document]):
        super().__init__(documents)
        self.fails = asyncio.Event()
        self.failed_once = False

    async def delivered(self, ids: list[int]) -> None:
        if not self.failed_once:
            await self.fails.wait()
            self.failed_once = True
            raise JournalError("The disk is full.")
        await super().delivered(ids)


def test_what_was_confirmed_and_could_not_be_marked_is_pending_and_can_be_parked():
    async def case() -> None:
        destination, outbox = Scripted(), LosesAMark([document(0)])
        one = worker(destination, outbox)
        task = asyncio.create_task(one.run())
        await until(lambda: destination.confirmed)
        caller = asyncio.create_task(one.between(lambda: park(outbox, destination, 1)))
        await asyncio.sleep(0.1)
        assert not caller.done(), "a mark is under way"
        outbox.fails.set()
        assert await caller == "parked"
        outbox.put(document(1))
        await outbox.drained.wait()
        assert outbox.delivered_ids == [2] and destination.began == [1, 2] and one.counters.failed == 1
        await stopped(task)

    run(case)


def test_a_worker_that_ends_leaves_nobody_waiting():
    async def case() -> None:
        async def hangs() -> None:
            await asyncio.sleep(1000)

        one = worker(Scripted(), backlog(1))
        task = asyncio.create_task(one.run())
        callers = [asyncio.create_task(one.between(hangs)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await stopped(task)
        for caller in callers:
            with pytest.raises(JournalError, match="stopping"):
                await caller
        with pytest.raises(JournalError, match="stopping"):
            await one.between(hangs)

    run(case)
