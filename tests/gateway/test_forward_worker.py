"""The worker: order, back-off, parking, starting at the oldest again, stopping. Destinations are scripted."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random

import pytest

from gateway.errors import JournalError, Refused, Rejected, Unreachable
from gateway.forward.port import Document
from gateway.forward.worker import UNEXPECTED_MAX, Backoff, Counters, Worker
from tests.gateway.forward_rig import T0, MemoryOutbox, document, drain, worker


class Scripted:
    """Confirms everything but what `errors` says for a document; `began` and `confirmed` keep the order."""

    def __init__(self, in_flight_max: int = 1, errors: dict[int, list[Exception]] | None = None):
        self.in_flight_max = in_flight_max
        self.errors = {id: deque(listed) for id, listed in (errors or {}).items()}
        self.began: list[int] = []
        self.confirmed: list[int] = []
        self.flying = self.flying_max = self.closed = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def deliver(self, one: Document) -> None:
        self.began.append(one.id)
        self.flying += 1
        self.flying_max = max(self.flying, self.flying_max)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if self.errors.get(one.id):
                raise self.errors[one.id].popleft()
            self.confirmed.append(one.id)
        finally:
            self.flying -= 1

    async def close(self) -> None:
        self.closed += 1


def backlog(count: int) -> MemoryOutbox:
    return MemoryOutbox([document(i) for i in range(count)])


@pytest.mark.parametrize("window", [1, 3, 64])
def test_oldest_first(window):
    async def main() -> None:
        destination, outbox = Scripted(window), backlog(100)
        one = await drain(destination, outbox)
        assert destination.began == outbox.delivered_ids == list(range(1, 101))
        assert destination.flying_max <= window
        assert (window == 1) or destination.flying_max > 1
        one.counters.oldest_unsent_ms = None  # looked at again only at the next query
        assert one.counters == Counters(attempts=100, delivered=100)

    asyncio.run(main())


@pytest.mark.parametrize("window", [1, 8])
def test_after_a_failure_the_oldest_unconfirmed_comes_first_again(window):
    async def main() -> None:
        destination = Scripted(window, {5: [Unreachable("cut."), Unreachable("cut.")]})
        outbox = backlog(20)
        one = await drain(destination, outbox)
        assert sorted(outbox.delivered_ids) == list(range(1, 21))
        assert window > 1 or outbox.delivered_ids == list(range(1, 21))
        restarts = [
            i
            for i, (a, b) in enumerate(zip(destination.began, destination.began[1:], strict=False))
            if b <= a
        ]
        assert [destination.began[i + 1] for i in restarts] == [5, 5]
        assert destination.closed == 3  # after each failure, and at the end
        assert one.counters.delivered == 20 and one.counters.failed == one.counters.attempts - 20
        assert outbox.reasons == ["cut.", "cut."]

    asyncio.run(main())


def test_what_was_confirmed_beside_a_failure_is_not_sent_again():
    async def main() -> None:
        destination = Scripted(8, {3: [Unreachable("cut.")]})
        await drain(destination, backlog(8))
        assert sorted(destination.confirmed) == list(range(1, 9))

    asyncio.run(main())


def test_nothing_is_marked_before_its_confirmation():
    async def main() -> None:
        destination, outbox = Scripted(4), backlog(10)
        destination.gate.clear()
        one = worker(destination, outbox)
        task = asyncio.create_task(one.run())
        await asyncio.sleep(0.05)
        assert destination.began == [1, 2, 3, 4] and outbox.delivered_ids == []
        assert one.counters.oldest_unsent_ms == T0
        assert one.counters.oldest_unsent_age_s(T0 + 2500) == 2.5
        destination.gate.set()
        await asyncio.wait_for(outbox.drained.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert set(outbox.delivered_ids) <= set(destination.confirmed)

    asyncio.run(main())


class SlowToMark(MemoryOutbox):
    """A disk that hangs."""

    def __init__(self, documents: list[Document]):
        super().__init__(documents)
        self.works = asyncio.Event()

    async def delivered(self, ids: list[int]) -> None:
        await self.works.wait()
        await super().delivered(ids)


def test_nothing_overtakes_what_failed_while_a_slow_disk_marks_what_is_newer(monkeypatch):
    monkeypatch.setattr("gateway.forward.worker.MARK_S_MAX", 0.01)

    async def main() -> None:
        destination = Scripted(3, {1: [Unreachable("cut.")]})
        outbox = SlowToMark([document(i) for i in range(6)])
        one = worker(destination, outbox)
        task = asyncio.create_task(one.run())
        async with asyncio.timeout(30):
            while not one.counters.retry_in_s:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.3)
            assert destination.began == [1, 2, 3] and destination.confirmed == [2, 3]
            outbox.works.set()
            await outbox.drained.wait()
        assert destination.began == [1, 2, 3, 1, 4, 5, 6]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


class AsksSlowly(MemoryOutbox):
    """A disk that takes its time to say what else there is."""

    def __init__(self, documents: list[Document]):
        super().__init__(documents)
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        rows = await super().pending(destination, after_id, limit)
        if after_id:
            self.asked.set()
            await self.answers.wait()
        return rows


def test_nothing_overtakes_what_failed_while_a_slow_disk_says_what_comes_next():
    async def main() -> None:
        destination, outbox = Scripted(2, {1: [Unreachable("cut.")]}), AsksSlowly([document(0)])
        destination.gate.clear()
        task = asyncio.create_task(worker(destination, outbox).run())
        async with asyncio.timeout(60):
            while not destination.flying:
                await asyncio.sleep(0)
            outbox.put(document(1))
            await outbox.asked.wait()
            destination.gate.set()
            while destination.flying:
                await asyncio.sleep(0)
            outbox.answers.set()
            await outbox.drained.wait()
        assert destination.began == [1, 1, 2] and outbox.delivered_ids == [1, 2]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


class FailsWhileAsked(MemoryOutbox):
    """Its first mark is lost while it looks whether there is more."""

    marks = 0

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        rows = await super().pending(destination, after_id, limit)
        if after_id:
            await asyncio.sleep(0.05)
        return rows

    async def delivered(self, ids: list[int]) -> None:
        self.marks += 1
        if self.marks == 1:
            raise JournalError("The disk is full.")
        await super().delivered(ids)


@pytest.mark.parametrize("window", [1, 8])
def test_a_mark_that_is_lost_while_nothing_else_waits_is_made_up_for(window):
    async def main() -> None:
        destination, outbox = Scripted(window), FailsWhileAsked([document(0)])
        one = await drain(destination, outbox, 10)
        assert destination.began == [1, 1] and outbox.delivered_ids == [1]
        assert (one.counters.delivered, one.counters.failed, one.counters.attempts) == (1, 1, 2)

    asyncio.run(main())


@pytest.mark.parametrize("window", [1, 8])
def test_a_rejected_document_is_parked_and_stalls_nobody(window):
    async def main() -> None:
        destination = Scripted(window, {2: [Rejected("too long.")], 7: [Rejected("too long.")]})
        outbox = backlog(10)
        one = await drain(destination, outbox)
        assert outbox.parked == {2: "too long.", 7: "too long."}
        assert sorted(outbox.delivered_ids) == [1, 3, 4, 5, 6, 8, 9, 10]
        assert (one.counters.parked, one.counters.delivered, one.counters.failed) == (2, 8, 2)
        assert destination.closed == 1

    asyncio.run(main())


def test_a_mistake_of_ours_is_retried_and_at_last_parked(caplog):
    async def main() -> None:
        destination = Scripted(1, {1: [KeyError("ours")] * UNEXPECTED_MAX, 2: [KeyError("ours")]})
        outbox = backlog(3)
        await drain(destination, outbox)
        assert list(outbox.parked) == [1] and outbox.delivered_ids == [2, 3]
        assert destination.began.count(1) == UNEXPECTED_MAX

    asyncio.run(main())
    assert any(record.exc_info for record in caplog.records)


def test_refused_is_said_and_tried_slowly():
    async def main() -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            assert one.counters.refused == (len(pauses) <= 3) and one.counters.last_error
            assert one.counters.retry_in_s == seconds
            await asyncio.sleep(0)

        outbox = backlog(1)
        script = [Refused("no.")] * 3 + [Unreachable("cut.")] * 8
        one = Worker("d", Scripted(1, {1: list(script)}), outbox, random=Random(1), sleep=sleep)
        task = asyncio.create_task(one.run())
        await asyncio.wait_for(outbox.drained.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for pause, full in zip(pauses, [30, 60, 120, 1, 2, 4, 8, 16, 32, 60, 60], strict=True):
            assert full / 2 <= pause <= full
        assert one.counters.refused is False and one.counters.last_error == ""

    asyncio.run(main())


def test_back_off_doubles_and_starts_afresh():
    backoff = Backoff(Random(7))
    pauses = [backoff.next_s() for _ in range(9)]
    for pause, full in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert full / 2 <= pause <= full
    assert len(set(pauses)) == 9  # jitter: many gateways do not come back in step
    backoff.reset()
    assert backoff.next_s() <= 1


def test_it_wakes_when_something_is_queued_and_sleeps_until_then():
    async def main() -> None:
        destination, outbox = Scripted(4), MemoryOutbox()
        task = asyncio.create_task(worker(destination, outbox).run())
        for i in range(50):
            await asyncio.sleep(0)
            outbox.put(document(i))
            if i % 7 == 0:
                await asyncio.wait_for(outbox.drained.wait(), 10)
        await asyncio.wait_for(outbox.drained.wait(), 10)
        assert outbox.delivered_ids == list(range(1, 51))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_new_documents_join_while_the_oldest_is_under_way():
    async def main() -> None:
        destination, outbox = Scripted(4), backlog(1)
        destination.gate.clear()
        task = asyncio.create_task(worker(destination, outbox).run())
        await asyncio.sleep(0.02)
        outbox.put(document(1))
        await asyncio.sleep(0.02)
        assert destination.began == [1, 2]
        destination.gate.set()
        await asyncio.wait_for(outbox.drained.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize("stuck", ["delivering", "closing", "pausing", "idle"])
def test_it_stops_when_cancelled(stuck):
    """Within 5 s, whatever it is doing; wait_for would raise TimeoutError otherwise."""

    async def main() -> None:
        destination, outbox = Scripted(4), backlog(0 if stuck == "idle" else 10)
        if stuck == "delivering":
            destination.gate.clear()
        if stuck == "closing":

            async def close() -> None:
                await asyncio.sleep(3600)

            destination.close = close
        if stuck == "pausing":
            destination.errors[1] = deque([Refused("no.")])
        one = Worker("d", destination, outbox)
        task = asyncio.create_task(one.run())
        await asyncio.sleep(0.1)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done and task.cancelled()
        assert one.counters.connected is False and destination.flying == 0

    asyncio.run(main())


def test_what_was_confirmed_at_the_end_is_still_marked():
    """Cancelled between the confirmation and the marking: marked on the way out, so it is not sent twice."""

    async def main() -> None:
        destination, outbox = Scripted(8), backlog(8)
        destination.gate.clear()
        task = asyncio.create_task(worker(destination, outbox).run())
        await asyncio.sleep(0.02)
        destination.gate.set()
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert set(outbox.delivered_ids) == set(destination.confirmed)

    asyncio.run(main())


def test_one_destination_does_not_delay_another():
    async def main() -> None:
        stuck, quick = Scripted(1), Scripted(1)
        stuck.gate.clear()
        tasks = [asyncio.create_task(worker(stuck, backlog(5)).run())]
        await asyncio.wait_for(drain(quick, backlog(100)), 10)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(quick.confirmed) == 100 and stuck.confirmed == []

    asyncio.run(main())
