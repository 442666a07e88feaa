"""A destination with a delay: each document when it is due by station time, none before, oldest first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from gateway import app
from gateway.clock import Clock
from gateway.config import load
from gateway.counters import Counters
from gateway.documents import documents, due_after_ms
from gateway.forward.worker import Backoff, Worker
from gateway.journal import outbox as outbox_module
from gateway.journal.outbox import JournalOutbox
from protocol.timeline import Timeline
from tests.gateway import app_rig as rig
from tests.gateway.configured import channel, configured
from tests.gateway.forward_rig import T0
from tests.gateway.journal_rig import with_journal
from tests.gateway.test_forward_worker import Scripted
from tests.gateway.test_provincial import window

HOUR_MS = 3_600_000
FEED = '[[destination]]\nid = "feed"\nkind = "mqtt"\nhost = "127.0.0.1"\ndelay_min = 60\n'


def row(i: int, at_ms: int = 0) -> tuple:
    return ("feed", f"windows/{i}", "windows", f"{i}", "", at_ms or T0 + i * 300_000, b"x")


class Hand:
    """Station time that a test moves."""

    def __init__(self) -> None:
        self.now_ms = T0

    def __call__(self) -> int:
        return self.now_ms


def play(folder: Path, use) -> None:
    """Run `use(outbox, hand)` with an outbox whose destination "feed" is an hour late, by hand."""

    async def inner(journal) -> None:
        hand = Hand()
        outbox = JournalOutbox(journal, hand, Counters(), delays_ms={"feed": HOUR_MS, "now": 0})
        await outbox.load()
        await use(outbox, hand)

    with_journal(folder / "journal.db", inner)


def test_only_what_is_due_is_pending_in_order(tmp_path):
    async def use(outbox: JournalOutbox, hand: Hand) -> None:
        await outbox.queue([row(i) for i in range(12)])
        assert await outbox.pending("feed", 0, 99) == []
        hand.now_ms = T0 + HOUR_MS - 1
        assert await outbox.pending("feed", 0, 99) == []
        for now_ms, names in ((T0 + HOUR_MS, "0"), (T0 + HOUR_MS + 600_000, "012")):
            hand.now_ms = now_ms
            assert [one.name for one in await outbox.pending("feed", 0, 99)] == list(names)
        assert [one.name for one in await outbox.pending("feed", 1, 1)] == ["1"]

    play(tmp_path, use)


def test_a_destination_without_delay_gets_even_what_is_from_the_future(tmp_path):
    async def use(outbox: JournalOutbox, hand: Hand) -> None:
        await outbox.queue([("now", *row(0, T0 + 9 * HOUR_MS)[1:])])
        assert len(await outbox.pending("now", 0, 9)) == 1

    play(tmp_path, use)


def test_one_from_a_future_that_never_was_holds_up_nothing(tmp_path):
    async def use(outbox: JournalOutbox, hand: Hand) -> None:
        await outbox.queue([row(0, T0 + 20 * 365 * 24 * HOUR_MS), row(1), row(2)])
        hand.now_ms = T0 + 2 * HOUR_MS
        assert [one.name for one in await outbox.pending("feed", 0, 99)] == ["1", "2"]

    play(tmp_path, use)


def test_the_worker_sleeps_until_the_oldest_is_due_and_nobody_calls_it_late(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "DUE_LOOK_S", 0.01)  # the hand moves without telling the timer

    async def use(outbox: JournalOutbox, hand: Hand) -> None:
        destination = Scripted()
        quick = Backoff(Random(0), 0.01, 0.05)
        one = Worker("feed", destination, outbox, backoff=quick, delay_ms=HOUR_MS)
        task = asyncio.create_task(one.run())
        await outbox.queue([row(i) for i in range(10)])
        await asyncio.sleep(0.1)
        assert destination.began == [] and one.counters.oldest_unsent_age_s(T0 + HOUR_MS) == 0
        for i in range(10):
            hand.now_ms = T0 + HOUR_MS + i * 300_000
            while len(destination.confirmed) <= i:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.03)
            assert destination.confirmed == list(range(1, i + 2))
        destination.gate.clear()
        await outbox.queue([row(10)])
        hand.now_ms = T0 + HOUR_MS + 10 * 300_000 + 7000
        while len(destination.began) < 11:
            await asyncio.sleep(0.005)
        assert one.counters.oldest_unsent_age_s(hand.now_ms) == 7  # late by what it is overdue
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(tmp_path, use)


def test_control_without_the_timer_nobody_would_wake(tmp_path, monkeypatch):
    async def never(self: JournalOutbox, destination: str, due_ms: int) -> None: ...

    monkeypatch.setattr(outbox_module, "DUE_LOOK_S", 0.01)
    monkeypatch.setattr(JournalOutbox, "_wake_when_due", never)

    async def use(outbox: JournalOutbox, hand: Hand) -> None:
        destination = Scripted()
        task = asyncio.create_task(Worker("feed", destination, outbox, delay_ms=HOUR_MS).run())
        await outbox.queue([row(0)])
        await asyncio.sleep(0.1)
        hand.now_ms = T0 + 2 * HOUR_MS
        await asyncio.sleep(0.3)
        assert destination.began == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(tmp_path, use)


def test_station_time_that_runs_fast_is_kept_pace_with(tmp_path):
    """At a thousand times the speed an hour is 3.6 s. Each document goes after its time, and does go."""

    async def inner(journal) -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(Timeline([[round(loop.time() * 1000), T0, 1000.0]]))
        outbox = JournalOutbox(
            journal, clock.now_ms, Counters(), delays_ms={"feed": HOUR_MS}, real_s=clock.real_s
        )
        await outbox.load()
        began: list[tuple[int, int]] = []

        class Noting(Scripted):
            async def deliver(self, one) -> None:
                began.append((one.at_ms, clock.now_ms()))

        task = asyncio.create_task(Worker("feed", Noting(), outbox, delay_ms=HOUR_MS).run())
        await outbox.queue([row(i) for i in range(5)])
        async with asyncio.timeout(60):
            while len(began) < 5:
                await asyncio.sleep(0.01)
        assert [at_ms for at_ms, _ in began] == [T0 + i * 300_000 for i in range(5)]
        assert all(now_ms >= at_ms + HOUR_MS for at_ms, now_ms in began)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with_journal(tmp_path / "journal.db", inner)


@pytest.mark.parametrize(("label", "late_ms"), [("end", HOUR_MS), ("start", HOUR_MS + 300_000)])
def test_the_delay_counts_from_the_windows_end_whatever_names_it(tmp_path, label, late_ms):
    config = configured(tmp_path, channel("COD", "mg/l"), FEED)
    config = config.model_copy(update={"gateway": config.gateway.model_copy(update={"label": label})})
    (feed,) = config.destination
    (one,) = documents(config, [window("COD", 1.0, end_ms=T0)])
    assert one.at_ms + due_after_ms(config, feed) == T0 + HOUR_MS
    assert due_after_ms(config, feed) == late_ms
    assert due_after_ms(config, feed.model_copy(update={"delay_min": 0})) == 0


def nothing_measured() -> str:
    return rig.bus("dead", "modbus-tcp://127.0.0.1:1") + rig.bus_channel("Dead", "dead", 0)


def test_a_gateway_does_not_wait_at_its_end_for_what_is_not_due(tmp_path):
    async def main() -> None:
        late = rig.directory().rstrip() + "\ndelay_min = 60\n"
        config = rig.write_config(tmp_path, nothing_measured(), late)
        ahead = rig.draft("local", 1)._replace(at_ms=4_000_000_000_000)
        await rig.queue(config, [ahead, rig.draft("local", 2)])
        async with rig.running(config) as gateway:

            async def marked():  # the file is there a moment before its mark
                (row,) = (await gateway.current())["destinations"]
                return row if row["delivered"] else None

            row = await rig.until(marked)
            assert (row["backlog"], row["delivered"], row["oldest_unsent_s"]) == (1, 1, None)
            assert await gateway.stop() == 0
        assert len(list((tmp_path / "sent").rglob("*.txt"))) == 1
        opened = app.Gateway(load(config), Clock())
        opened.journal.start()
        opened.counters.destination("local").queued = 1
        await asyncio.wait_for(opened._send_rest(), 20)
        opened.workers["local"].counters.delay_ms = 0  # the control: without the delay it is waited for
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(opened._send_rest(), 0.3)
        await opened.journal.close()

    asyncio.run(main())
