"""Promise 8: it recovers by itself. 100 station-days in virtual time (1,000 under QUANTRAC_LONG).

A station queues a window every five minutes; its worker, with the pauses that it really has, sends them to a
simulated server over a link with faults of a minute to three days. When a fault is over, the backlog has to
be through within a tenth of its length and five minutes, oldest first, with the worker alive.
Controls: pauses without a maximum; a destination without its time-out; a worker that ends with an error.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest

from gateway.errors import JournalError, Refused, Unreachable
from gateway.forward.port import Confirmation, Document
from gateway.forward.worker import Backoff, Worker
from tests.gateway.forward_rig import MemoryOutbox, document
from tests.gateway.jumping_loop import run
from tests.promises.counted import counted

DAYS = 1000 if os.environ.get("QUANTRAC_LONG") else 100
RUN_DAYS = 10  # of one station
WINDOW_S, DAY_S = 300.0, 86_400.0
TIMEOUT_S = 30.0  # a destination's own, as configured by default
PAUSES_S = (60.0, 300.0)  # the longest after Unreachable and after Refused, as a worker has them
FAULT_S = (60.0, 3 * DAY_S)
KINDS = ("down", "dns", "silent", "half-open", "slow", "password", "full", "busy", "disk", "cut")


class Late(AssertionError):
    """It was not through in time."""


class Server:
    """A destination and all that is behind it. `fault` is what is wrong just now."""

    def __init__(self, random: Random, in_flight_max: int, timeout_s: float):
        self.in_flight_max = in_flight_max
        self.fault = ""
        self.seen: list[int] = []  # ids in the order in which they appeared, each once
        self._random, self._timeout_s = random, timeout_s
        self._connection_dead = False
        self._turn = asyncio.Lock()  # one after the other, as they were sent

    async def deliver(self, one: Document) -> Confirmation:
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._turn:
                    await self._take(one)
        except TimeoutError:
            raise Unreachable("It did not answer in time.") from None
        return Confirmation(one.name, len(one.body), "")

    async def _take(self, one: Document) -> None:
        if self.fault in ("down", "dns"):
            await asyncio.sleep(0.01 if self.fault == "down" else 5.0)
            raise Unreachable("It cannot be reached.")
        if self.fault == "half-open" and self._random.random() < 0.01:
            self._connection_dead = True
        if self.fault == "silent" or self._connection_dead:
            await asyncio.sleep(math.inf)
        await asyncio.sleep(self._random.uniform(0.05, 0.3))
        if self.fault == "slow":
            await asyncio.sleep(self._random.uniform(0, 2 * TIMEOUT_S))
        elif self.fault == "password":
            raise Refused("It does not let us in.")
        elif self.fault == "full":
            raise Unreachable("Its disk is full.")
        elif self.fault == "busy":
            raise Unreachable("Come back tomorrow.", after_s=DAY_S)
        if one.id not in self.seen:
            self.seen.append(one.id)
        if self.fault == "cut" and self._random.random() < 0.7:
            raise Unreachable("The confirmation was cut.")

    async def close(self) -> None:
        self._connection_dead = False


class Outbox(MemoryOutbox):
    """The gateway's own disk fails while `server` says so."""

    server: Server

    async def delivered(self, confirmed: Mapping[int, Confirmation]) -> None:
        if self.server.fault == "disk":
            raise JournalError("The disk takes nothing.")
        await super().delivered(confirmed)


async def station(seed: int, faults: Counter[str], pauses_s: tuple[float, float], timeout_s: float) -> None:
    """RUN_DAYS of one station; Late when a fault was not made up for in time."""
    random, loop = Random(seed), asyncio.get_running_loop()
    server = Server(random, random.choice((1, 1, 5)), timeout_s)
    outbox = Outbox()
    outbox.server = server
    quick, slow = Backoff(random, 1.0, pauses_s[0]), Backoff(random, 30.0, pauses_s[1])
    task = asyncio.create_task(
        Worker("d", server, outbox, random=random, backoff=quick, backoff_refused=slow).run()
    )
    queued = 0

    async def measure() -> None:
        nonlocal queued
        while True:
            outbox.put(document(queued))
            queued += 1
            await asyncio.sleep(WINDOW_S)

    measuring = asyncio.create_task(measure())
    while loop.time() < RUN_DAYS * DAY_S:
        await asyncio.sleep(random.uniform(0, DAY_S))
        begun = loop.time()
        for _ in range(random.choice((1, 1, 3))):  # one passes into the next
            server.fault = random.choice(KINDS)
            faults[server.fault] += 1
            await asyncio.sleep(FAULT_S[0] * (FAULT_S[1] / FAULT_S[0]) ** random.random())
        outage_s, server.fault = loop.time() - begun, ""
        try:
            await asyncio.wait_for(outbox.drained.wait(), outage_s / 10 + 300)
        except TimeoutError:
            raise Late(
                f"seed {seed}: {len(outbox.waiting)} wait after an outage of {outage_s:.0f} s"
            ) from None
        assert not task.done() and not measuring.done()
    measuring.cancel()
    task.cancel()
    await asyncio.gather(task, measuring, return_exceptions=True)
    assert outbox.delivered_ids == server.seen == list(range(1, queued + 1)) and outbox.parked == {}


def play(days: int, pauses_s: tuple[float, float] = PAUSES_S, timeout_s: float = TIMEOUT_S) -> Counter[str]:
    faults: Counter[str] = Counter()
    for seed in range(days // RUN_DAYS):
        run(station(seed, faults, pauses_s, timeout_s))
    return faults


@pytest.mark.timeout(600)
def test_a_backlog_is_through_soon_after_each_fault():
    faults = play(DAYS)
    print(dict(faults))
    assert set(faults) == set(KINDS)
    counted("station-days", DAYS)
    counted("faults", sum(faults.values()))


def test_control_pauses_that_grow_for_ever_are_found():
    with pytest.raises(Late):
        play(DAYS, pauses_s=(math.inf, math.inf))


def test_control_a_destination_without_its_time_out_is_found():
    with pytest.raises(Late):
        play(DAYS, timeout_s=math.inf)


def test_control_a_worker_that_ends_with_an_error_is_found(monkeypatch):
    async def until_the_first_error(self: Worker) -> None:
        await self._deliver_until_failure()

    monkeypatch.setattr(Worker, "run", until_the_first_error)
    with pytest.raises(Late):
        play(DAYS)
