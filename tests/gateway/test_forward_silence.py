"""A link that dies without a word and comes back by a reset: bytes go into it without an error meanwhile.

With the gateway's own time-outs and outages of 40 and 150 s under QUANTRAC_LONG; a hundredth of all of them
in every run. Control: a destination that believes what it handed to the socket.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gateway.forward.https import HttpsDestination
from gateway.forward.mqtt import MqttDestination
from gateway.forward.port import Destination, Document
from tests.gateway.forward_rig import MemoryOutbox, Rig, worker
from tests.gateway.https_rig import HttpsRig
from tests.gateway.mqtt_rig import Mqtt5Rig, Mqtt311Rig, MqttTlsRig

LONG = bool(os.environ.get("QUANTRAC_LONG"))
OUTAGES_S = [40.0, 150.0] if LONG else [0.4, 1.5]
TIMES = (
    {"timeout_s": 30.0, "connect_timeout_s": 10.0} if LONG else {"timeout_s": 0.3, "connect_timeout_s": 0.3}
)
RIGS = {"https": HttpsRig, "mqtt-5": Mqtt5Rig, "mqtt-3.1.1": Mqtt311Rig, "mqtt-tls": MqttTlsRig}


class Outage:
    """What was queued, what was marked when, and what arrived."""

    def __init__(self, rig: Rig, destination: Destination):
        self.rig = rig
        self.outbox = MemoryOutbox()
        self.documents: list[Document] = []
        self.worker = worker(destination, self.outbox)
        self.marked_meanwhile: list[int] = []  # during the silence

    async def play(self, outage_s: float) -> set[bytes]:
        """Ten documents, silence with ten more, a reset, ten more; what has arrived in the end."""
        task = asyncio.create_task(self.worker.run())
        try:
            await self._queue(10)
            await asyncio.wait_for(self.outbox.drained.wait(), 60)
            before = len(self.outbox.delivered_ids)
            self.rig.proxy.swallow = True
            await self._queue(10, outage_s / 10)
            self.marked_meanwhile = self.outbox.delivered_ids[before:]
            self.rig.proxy.reset()
            self.rig.proxy.swallow = False
            await self._queue(10)
            await asyncio.wait_for(self.outbox.drained.wait(), 120)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if isinstance(self.rig, HttpsRig):
            return set(self.rig.seen())
        await asyncio.to_thread(self.rig.subscriber.wait_for, {one.body for one in self.documents}, 5.0)
        return set(self.rig.seen())

    async def _queue(self, count: int, pause_s: float = 0.0) -> None:
        for _ in range(count):
            one = self.rig.document(len(self.documents))
            self.documents.append(one)
            self.outbox.put(one)
            await asyncio.sleep(pause_s)


def play(kind: str, folder: Path, outage_s: float, control: bool) -> tuple[Outage, set[bytes]]:
    async def main() -> tuple[Outage, set[bytes]]:
        rig = RIGS[kind](folder)
        await rig.start()
        try:
            destination = rig.destination(**TIMES)
            if control:
                destination.__class__ = HopefulHttps if kind == "https" else HopefulMqtt
            outage = Outage(rig, destination)
            return outage, await outage.play(outage_s)
        finally:
            await rig.stop()

    return asyncio.run(main())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("outage_s", OUTAGES_S)
@pytest.mark.parametrize("kind", RIGS)
def test_nothing_counts_before_its_confirmation_and_nothing_is_lost(kind, tmp_path, outage_s):
    outage, arrived = play(kind, tmp_path, outage_s, control=False)
    assert outage.marked_meanwhile == []
    assert arrived == {one.body for one in outage.documents}
    assert outage.outbox.delivered_ids == list(range(1, 31))
    assert outage.worker.counters.failed > 0
    seen = outage.rig.seen()
    assert list(dict.fromkeys(seen)) == [one.body for one in outage.documents]  # first appearances, in order
    if kind == "https":
        assert len(seen) == 30


class HopefulMqtt(MqttDestination):
    """The control: counts at publish()."""

    async def deliver(self, document: Document) -> None:
        async with self._lock:
            if self._link is None or self._link.broken:
                await self.close()
                self._link = await self._connect()
            (await self._link.publish(document)).add_done_callback(lambda future: future.exception())


class HopefulHttps(HttpsDestination):
    """The control: counts when the request is on its way."""

    async def deliver(self, document: Document) -> None:
        connection = self._connection or await self._connect()
        sent = asyncio.create_task(super().deliver(document))
        while not sent.done() and connection._line.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        sent.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0.01)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["https", "mqtt-5", "mqtt-3.1.1"])
def test_control_what_counts_at_once_is_lost(kind, tmp_path):
    outage, arrived = play(kind, tmp_path, OUTAGES_S[0], control=True)
    assert outage.marked_meanwhile != []
    assert arrived < {one.body for one in outage.documents}
