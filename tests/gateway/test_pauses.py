# runs on: cpython
"""gateway.pauses and the worker that rests: nothing goes out, nothing is lost, over restarts."""

from __future__ import annotations

import asyncio

import pytest

from gateway.forward.worker import Worker
from gateway.journal.reader import reading
from gateway.pauses import Pause, Pauses, learn, standing
from gateway.requests import PAUSE, RESUME, Order, parse
from protocol import cbor
from tests.gateway.feed_rig import config_of, written
from tests.gateway.forward_rig import MemoryOutbox, document, worker
from tests.gateway.test_forward_between import Staggered, run, stopped, until

LAN = Order(PAUSE, (), "province", "Lan", "they move their server")


def body(*said) -> bytes:
    return cbor.dumps(list(said))


def test_what_the_log_said_last_is_how_it_is():
    said = [body("paused", "a", "Lan", "x"), body("paused", "b", "Lan", "y"), body("resumed", "a", "Mai", "")]
    assert standing(said) == {"b": Pause("Lan", "y")}
    assert standing([*said, body("paused", "a", "Mai", "z")]) == {
        "b": Pause("Lan", "y"),
        "a": Pause("Mai", "z"),
    }
    assert (
        standing([b"\xff", body("paused"), body("paused", "a", "b", "c", "d"), body("alert", "a", "b", "c")])
        == {}
    )


@pytest.mark.parametrize("wrong", [{"destination": ""}, {"who": ""}, {"reason": ""}, {"ids": (1,)}])
def test_an_order_names_the_destination_and_who_and_why(wrong):
    assert parse(LAN.encode()) == LAN
    with pytest.raises(ValueError, match="It names no destination"):
        parse(LAN._replace(**wrong).encode())
    assert parse(LAN._replace(what=RESUME, reason="").encode())


async def _paused_amid_a_backlog(one: Worker, destination: Staggered, outbox: MemoryOutbox) -> int:
    """How many deliveries were begun when it was paused, in the middle of 40."""
    await until(lambda: len(outbox.delivered_ids) > 5)

    async def rest() -> None:
        one.paused = True

    await one.between(rest)
    return len(destination.began)


def test_nothing_is_begun_while_it_rests_and_the_oldest_comes_first_afterwards():
    async def case() -> None:
        destination, outbox = Staggered(4), MemoryOutbox([document(i) for i in range(40)])
        one = worker(destination, outbox)
        task = asyncio.create_task(one.run())
        begun = await _paused_amid_a_backlog(one, destination, outbox)
        delivered = list(outbox.delivered_ids)
        outbox.put(document(40))
        await asyncio.sleep(10)
        assert len(destination.began) == begun and outbox.delivered_ids == delivered
        assert (
            not one.counters.connected
            and one.counters.oldest_unsent_ms == document(min(outbox.waiting) - 1).at_ms
        )
        waiting = sorted(outbox.waiting)

        async def go_on() -> None:
            one.paused = False

        await one.between(go_on)
        await outbox.drained.wait()
        await stopped(task)
        assert outbox.delivered_ids == [*delivered, *waiting], "each once, in order"
        assert destination.began[begun] == waiting[0]

    run(case)


def test_control_a_worker_that_does_not_look_goes_on(monkeypatch):
    async def goes_on(self) -> None:
        self.paused = False

    monkeypatch.setattr(Worker, "_rest", goes_on)
    with pytest.raises(AssertionError):
        test_nothing_is_begun_while_it_rests_and_the_oldest_comes_first_afterwards()


def test_one_that_begins_paused_begins_nothing():
    async def case() -> None:
        destination, outbox = Staggered(4), MemoryOutbox([document(i) for i in range(3)])
        one = worker(destination, outbox)
        one.paused = True
        task = asyncio.create_task(one.run())
        await asyncio.sleep(10)
        assert destination.began == [] and one.counters.oldest_unsent_ms == document(0).at_ms
        await stopped(task)

    run(case)


def test_a_person_pauses_and_resumes_and_each_is_an_entry_over_a_restart(tmp_path):
    async def story() -> None:
        config = config_of(tmp_path, "alerts")
        outbox = MemoryOutbox()
        async with written(config) as at:
            moment = lambda: (at.now_ms, 5)  # noqa: E731
            one = worker(Staggered(1), outbox)
            task = asyncio.create_task(one.run())
            pauses = Pauses(at.journal, {"province": one}, moment, {})
            assert (await pauses.do(LAN._replace(destination="x"))).ok is False
            assert (await pauses.do(LAN._replace(what=RESUME))).said == "province is not paused."
            assert (await pauses.do(LAN)).ok and one.paused
            assert (await pauses.do(LAN)).said == "province is paused already."
            (problem,) = pauses.problems()
            assert problem.endswith("until somebody resumes it: paused by Lan (they move their server).")
            known = await at.journal.read(learn)
            assert known == {"province": Pause("Lan", "they move their server")}
            again = worker(Staggered(1), outbox)
            after = Pauses(at.journal, {"province": again}, moment, known)
            assert again.paused and list(after.problems()) == [problem]
            assert (await pauses.do(LAN._replace(what=RESUME, who="Mai", reason="done"))).ok
            assert not one.paused and list(pauses.problems()) == []
            await stopped(task)
        with reading(at.journal.path) as reader:
            assert learn(reader) == {}

    asyncio.run(asyncio.wait_for(story(), 30))
