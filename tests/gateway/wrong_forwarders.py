"""Forwarders that do it wrongly, for controls: the tests of the right ones must find each of them."""

from __future__ import annotations

import asyncio
from random import Random

from gateway.forward.port import Confirmation, Document
from tests.gateway.fault_schedule import CutOutbox
from tests.gateway.forward_rig import Rig


class Wrapped:
    """What it is given goes to `inner` in some wrong way."""

    def __init__(self, rig: Rig, random: Random, **more: object):
        self.inner, self.random = rig.destination(**more), random
        self.in_flight_max, self.close = self.inner.in_flight_max, self.inner.close


class RandomName(Wrapped):
    """A new name at each try."""

    async def deliver(self, document: Document) -> Confirmation:
        name = document.name.replace("DEMO", f"D{self.random.randrange(1000):03d}")
        return await self.inner.deliver(document._replace(name=name))


class Hopeful(Wrapped):
    """Counts as delivered what it has begun to send."""

    async def deliver(self, document: Document) -> Confirmation:
        sent = asyncio.create_task(self.inner.deliver(document))
        sent.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0)  # begun, and on no machine through by now
        return Confirmation(document.name, len(document.body), "")


class NewestFirst(CutOutbox):
    """Gives out what is newest."""

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        ids = sorted((i for i in self.waiting if i < after_id or not after_id), reverse=True)
        await asyncio.sleep(0)
        return [self.waiting[i] for i in ids[:limit] if i in self.waiting]
