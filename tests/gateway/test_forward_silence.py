"""A link that dies without a word: bytes go into it without an error, and a reset ends it, or nothing does.

Every kind of destination. With the gateway's own time-outs and outages of 40 and 150 s under QUANTRAC_LONG; a
fiftieth of them in every run. Controls: destinations that believe what they handed to the socket; one whose
time-out was taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from gateway.forward.https import HttpsDestination
from gateway.forward.mqtt import MqttDestination
from gateway.forward.notify import NotifyDestination
from gateway.forward.port import Confirmation, Destination, Document
from tests.gateway.appearances import Appearances
from tests.gateway.fault_schedule import KINDS
from tests.gateway.forward_rig import MemoryOutbox, Rig, run_rig, worker
from tests.gateway.https_rig import HttpsRig
from tests.gateway.wrong_forwarders import Hopeful

LONG = bool(os.environ.get("QUANTRAC_LONG"))
OUTAGES_S = [40.0, 150.0] if LONG else [0.8, 3.0]
TIMES = (
    {"timeout_s": 30.0, "connect_timeout_s": 10.0} if LONG else {"timeout_s": 0.6, "connect_timeout_s": 3.0}
)
NETWORK = [kind for kind, rig in KINDS.items() if rig.network]
EACH = ["openssh", "ftp-vsftpd", "ftps-proftpd", "mqtt", "mqtt-3.1.1", "https"]  # one of each protocol


class Outage:
    """What was queued, what was marked when, and what appeared at the receiver in which order."""

    def __init__(self, rig: Rig, destination: Destination):
        self.rig = rig
        self.documents = [rig.document(i) for i in range(30)]
        self.outbox = MemoryOutbox()
        self.worker = worker(destination, self.outbox)
        self.marked_meanwhile: list[int] = []  # during the silence
        self.files = None if rig.message else Appearances(rig.province, self.documents)

    async def play(self, outage_s: float) -> None:
        """Ten documents, silence with ten more, a reset, ten more."""
        task = asyncio.create_task(self.worker.run())
        try:
            await self._queue(self.documents[:10])
            await asyncio.wait_for(self.outbox.drained.wait(), 60)
            before = len(self.outbox.delivered_ids)
            self.rig.proxy.swallow = True
            await self._queue(self.documents[10:20], outage_s / 10)
            self.marked_meanwhile = self.outbox.delivered_ids[before:]
            self.oldest_unsent_ms = self.worker.counters.oldest_unsent_ms
            self.rig.proxy.reset()
            self.rig.proxy.swallow = False
            await self._queue(self.documents[20:])
            await asyncio.wait_for(self.outbox.drained.wait(), 120)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def seen(self) -> list[bytes]:
        """What appeared, in order."""
        if self.files is None:
            await self.rig.arrived({one.body for one in self.documents}, 5.0)
            return self.rig.seen()
        assert (self.files.wrong, self.files.again) == ([], 0)
        return self.files.bodies()

    async def _queue(self, documents: list[Document], pause_s: float = 0.0) -> None:
        for one in documents:
            self.outbox.put(one)
            await asyncio.sleep(pause_s)


def play(
    kind: str, folder: Path, outage_s: float, make: Callable[[Rig], Destination]
) -> tuple[Outage, list[bytes]]:
    async def case(rig: Rig) -> tuple[Outage, list[bytes]]:
        outage = Outage(rig, make(rig))
        with outage.files or contextlib.nullcontext():
            await outage.play(outage_s)
        return outage, await outage.seen()

    return run_rig(KINDS[kind], folder, case)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("outage_s", OUTAGES_S)
@pytest.mark.parametrize("kind", NETWORK)
def test_nothing_counts_before_its_confirmation_and_nothing_is_lost(kind, tmp_path, outage_s):
    outage, seen = play(kind, tmp_path, outage_s, lambda rig: rig.destination(**TIMES))
    bodies = [one.body for one in outage.documents]
    assert outage.marked_meanwhile == []
    assert outage.oldest_unsent_ms == outage.documents[10].at_ms
    assert list(dict.fromkeys(seen)) == bodies  # first appearances, in order
    if outage.files is not None or isinstance(outage.rig, HttpsRig):
        assert seen == bodies
    assert outage.outbox.delivered_ids == list(range(1, 31))
    assert outage.worker.counters.failed > 0 and outage.outbox.parked == {}


class HopefulMqtt(MqttDestination):
    """The control: counts at publish()."""

    async def deliver(self, document: Document) -> Confirmation:
        async with self._lock:
            if self._link is None or self._link.broken:
                await self.close()
                self._link = await self._connect()
            (await self._link.publish(document)).add_done_callback(lambda future: future.exception())
        return Confirmation(document.name, len(document.body), "")


class HopefulHttps(HttpsDestination):
    """The control: counts when the request is on its way."""

    async def deliver(self, document: Document) -> Confirmation:
        connection = self._connection or await self._connect()
        sent = asyncio.create_task(super().deliver(document))
        while not sent.done() and connection._line.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        sent.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0.01)
        return Confirmation(document.name, len(document.body), "")


def hopeful(rig: Rig) -> Destination:
    """For messages, what a library's publish() amounts to; for files, what has begun."""
    if not rig.message:
        return Hopeful(rig, Random(1), **TIMES)
    destination = rig.destination(**TIMES)
    destination.__class__ = HopefulHttps if isinstance(rig, HttpsRig) else HopefulMqtt
    return destination


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", EACH)
def test_control_what_counts_at_once_is_lost(kind, tmp_path):
    outage, seen = play(kind, tmp_path, OUTAGES_S[0], hopeful)
    assert outage.marked_meanwhile != []
    assert set(seen) < {one.body for one in outage.documents}


class Overtaking(NotifyDestination):
    """The control: goes on with what is younger after a message failed, before anybody said close()."""

    async def deliver(self, document: Document) -> Confirmation:
        self._failed = None
        return await super().deliver(document)


def test_control_what_goes_on_after_a_failure_overtakes(tmp_path):
    def overtaking(rig: Rig) -> Destination:
        destination = rig.destination(**TIMES)
        destination.__class__ = Overtaking
        return destination

    outage, seen = play("notify-mail", tmp_path, OUTAGES_S[0], overtaking)
    assert list(dict.fromkeys(seen)) != [one.body for one in outage.documents]


# A connection that nothing ever ends ------------------------------------------------------------------------


def left_alone(
    kind: str, folder: Path, wait: Callable[[MemoryOutbox], Awaitable[None]], **times: float
) -> list[int]:
    """What was delivered in the end, of five documents after the connection died and nobody said so."""

    async def case(rig: Rig) -> list[int]:
        outbox = MemoryOutbox([rig.document(0)])
        task = asyncio.create_task(worker(rig.destination(**times), outbox).run())
        await asyncio.wait_for(outbox.drained.wait(), 60)
        rig.proxy.forget()
        for i in range(1, 6):
            outbox.put(rig.document(i))
        await wait(outbox)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return outbox.delivered_ids

    return run_rig(KINDS[kind], folder, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_a_connection_that_stays_dead_is_left_and_made_anew(kind, tmp_path):
    """As after a router that forgot it: nothing comes back, not even a reset, while a new one would work."""

    async def wait(outbox: MemoryOutbox) -> None:
        await asyncio.wait_for(outbox.drained.wait(), 60)

    assert left_alone(kind, tmp_path, wait, timeout_s=1.0) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", EACH)
def test_control_without_the_time_out_nothing_goes_on(kind, tmp_path):
    async def wait(outbox: MemoryOutbox) -> None:
        await asyncio.sleep(3.0)

    assert left_alone(kind, tmp_path, wait, timeout_s=300.0) == [1]
