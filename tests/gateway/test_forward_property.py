"""Promise 3: nothing appears twice at a destination, nothing partial under a final name, oldest first.

Random cuts anywhere between the first byte and the marking, and repeated runs of a gateway that forgot
everything but its outbox. Control: the same with a random file name, which this test must catch.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from gateway.errors import JournalError
from gateway.forward.port import Document
from gateway.forward.worker import Worker
from tests.gateway.forward_rig import (
    AsyncSshRig,
    FtpRig,
    FtpsRig,
    MemoryOutbox,
    NoOverwriteRig,
    OldSftpRig,
    Rig,
    worker,
)

SEEDS = int(os.environ.get("QUANTRAC_SEEDS", "200"))
BATCHES = 12
DOCUMENTS = 4


class CuttingOutbox(MemoryOutbox):
    """Now and then the power goes just before or just after the marking."""

    def __init__(self, documents: list[Document], random: Random):
        super().__init__(documents)
        self._random = random

    async def delivered(self, ids: list[int]) -> None:
        cut = self._random.random()
        if cut < 0.15:
            raise JournalError("cut before the mark.")
        await super().delivered(ids)
        if cut > 0.9:
            raise JournalError("cut after the mark.")


class RandomName:
    """The control: a new name at each try."""

    def __init__(self, destination, random: Random):
        self.in_flight_max = destination.in_flight_max
        self.close = destination.close
        self._destination, self._random = destination, random

    async def deliver(self, document: Document) -> None:
        name = document.name.replace("DEMO", f"D{self._random.randrange(1000):03d}")
        await self._destination.deliver(document._replace(name=name))


class Found(AssertionError):
    """The promise was broken."""


def look(province: Path, bodies: list[bytes]) -> list[bytes]:
    """All visible files, checked: whole, and each body once."""
    seen = []
    for path in sorted(province.rglob("*.txt")):
        try:
            seen.append(path.read_bytes())
        except FileNotFoundError:
            pass  # being replaced just now
    if any(body not in bodies for body in seen):
        raise Found("a partial file is visible under a final name")
    if len(set(seen)) != len(seen):
        raise Found("a document is visible twice")
    if seen != bodies[: len(seen)]:
        raise Found("not oldest first")
    return seen


async def watched(observe) -> None:
    """Where the server does not call us at each of its steps, we look as often as we can."""
    while True:
        observe()
        await asyncio.sleep(0.001)


async def schedule(rig: Rig, seed: int, control: bool) -> dict[str, int]:
    """One seeded schedule of faults over DOCUMENTS documents; raises Found."""
    random = Random(seed)
    documents = [
        rig.document(i, body=f"{seed}.{i} ".encode() * random.randrange(50, 800)) for i in range(DOCUMENTS)
    ]
    documents = [one._replace(folder=f"{seed}") for one in documents]
    bodies = [one.body for one in documents]
    province = rig.province / str(seed)
    outbox = CuttingOutbox(documents, random)
    wrong: list[Exception] = []

    def observe() -> None:
        try:
            look(province, bodies)
        except Found as found:
            wrong.append(found)

    calls = hasattr(rig.server, "observe")
    if calls:
        rig.server.observe = observe
        rig.server.renamed.clear()
    watch = asyncio.create_task(watched(observe) if not calls else asyncio.sleep(0))
    runs = 0
    while outbox.waiting:
        runs += 1
        destination = RandomName(rig.destination(), random) if control else rig.destination()
        one: Worker = worker(destination, outbox, seed)
        if runs < 8:
            rig.proxy.cut_after = random.randrange(0, 12_000) if random.random() < 0.7 else None
        task = asyncio.create_task(one.run())
        try:  # a run ends by a kill at a random moment, or when all is done
            await asyncio.wait_for(outbox.drained.wait(), random.uniform(0.01, 0.15) if runs < 8 else 30)
        except TimeoutError:
            pass
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        rig.proxy.cut_after = None
    watch.cancel()
    if calls:
        rig.server.observe = lambda: None
    if wrong:
        raise wrong[0]
    if look(province, bodies) != bodies:
        raise Found("what is visible is not what was queued")
    if calls and list(dict.fromkeys(rig.server.renamed)) != [one.name for one in documents] and not control:
        raise Found("not oldest first")
    assert not list(province.rglob("*.part"))
    return {"runs": runs, "renames": len(rig.server.renamed) if calls else 0}


def play(rig_class: type[Rig], folder: Path, seeds: range, control: bool = False) -> dict[str, int]:
    totals = {"runs": 0, "renames": 0, "found": 0}

    async def main() -> None:
        rig = rig_class(folder)
        await rig.start()
        try:
            for seed in seeds:
                try:
                    counted = await schedule(rig, seed, control)
                except Found as found:
                    if not control:
                        raise Found(f"seed {seed}: {found}") from found
                    totals["found"] += 1
                else:
                    totals["runs"] += counted["runs"]
                    totals["renames"] += counted["renames"]
        finally:
            await rig.stop()

    asyncio.run(main())
    return totals


@pytest.mark.timeout(max(120, SEEDS))
@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_twice_nothing_partial_oldest_first(tmp_path, batch):
    rig = (AsyncSshRig, FtpRig, OldSftpRig, NoOverwriteRig, AsyncSshRig, FtpsRig)[batch % 6]
    seeds = range(batch * SEEDS // BATCHES, (batch + 1) * SEEDS // BATCHES)
    totals = play(rig, tmp_path, seeds)
    assert totals["runs"] > len(seeds)  # the faults did happen: some schedules needed several runs


def test_control_a_random_file_name_is_caught(tmp_path):
    assert play(AsyncSshRig, tmp_path / "sftp", range(12), control=True)["found"] > 0
    assert play(FtpRig, tmp_path / "ftp", range(12), control=True)["found"] > 0
