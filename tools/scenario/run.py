"""A whole scenario, from beginning to end, in virtual time; what came of it.

Rule 1: the same scenario, seed and commit give the same readings, faults and acts.
Rule 2: after the end devices measure no more, and what is under way gets SETTLE_S, and as long as something
        waits up to DRAIN_S_MAX. Then the gateway ends as by SIGTERM.
Rule 3: what was not part of the story (a part that died by itself, a person who was refused) is in `notes`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.reports.message import rfc3339
from simulator.ledger import Ledger, Numbers
from simulator.plant import Plant
from simulator.scenario import Scenario
from tools.scenario import acts, faults, virtual
from tools.scenario.check_read import Rows
from tools.scenario.department import Order
from tools.scenario.faults import Faults
from tools.scenario.firmware import MICROPYTHON, FirmwareDevice, interpreter
from tools.scenario.notes import WAITED, Note, died
from tools.scenario.polled import Answers
from tools.scenario.world import World

SETTLE_S = 240.0
"""A window closes 120 s after its end, the next one 300 s later."""
DRAIN_S_MAX = 6 * 3600.0


@dataclass(frozen=True)
class Outcome:
    """What a scenario left behind: in its folder, and in the ledger."""

    scenario: Scenario
    seed: int
    ledger: Ledger
    numbers: Numbers
    directory: Path
    config_path: Path
    journal_path: Path
    plant: Plant  # of the first station
    witness_vkey: str = ""
    drained_ms: dict[int, int | None] = field(default_factory=dict)
    """Fault -> how long after its end nothing waited any more (the longest of several times); None: never."""
    notes: list[Note] = field(default_factory=list)
    kills: int = 0
    answers: dict[str, Answers] = field(default_factory=dict)
    """What the gateway's own instruments have answered, by symbol."""
    device_answers: dict[str, Answers] = field(default_factory=dict)
    """What those of real devices have, by symbol."""
    device_cpu_s: float = 0.0  # of the real devices' processes
    orders: list[Order] = field(default_factory=list)  # of the department
    full_ms: list[int] = field(default_factory=list)  # when a bottle of the sampler was truly full


def run(
    scenario: Scenario,
    seed: int,
    directory: Path,
    make: Callable[..., Gateway] = Gateway,
    told: Callable[[float], None] = lambda share: None,
    pace: float = 0.0,
    prelude: str = "",
) -> Outcome:
    """Run it, in a folder that is empty or not there. ScenarioError, UsageError.

    `make`: who makes the gateway, for a test that breaks it; `told(share)`: how far it is, now and then;
    `pace`: real seconds for a second, 0 to jump; `prelude`: Python that breaks real devices' firmware.
    """
    faults.check(scenario)
    acts.check(scenario)
    return virtual.run(_run(scenario, seed, directory, make, told, prelude), pace)


async def _run(
    scenario: Scenario,
    seed: int,
    directory: Path,
    make: Callable[..., Gateway],
    told: Callable[[float], None],
    prelude: str,
) -> Outcome:
    if scenario.station.firmware == MICROPYTHON:
        interpreter()  # or a sentence, before anything is made
    world = World(scenario, seed, directory, faults.proxied(scenario), make, prelude)
    with _logging(world):
        await world.start()
        happening = Faults(world)
        beside = [
            asyncio.create_task(happening.run(), name="faults"),
            asyncio.create_task(acts.run(world), name="acts"),
        ]
        try:
            await _pass(world, beside, told)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        await world.stop()
        outcome = _outcome(world, happening)
        logging.disable()  # what the dead say now is no part of the story
        await world.bury()
    return outcome


async def _pass(world: World, beside: list[asyncio.Task[None]], told: Callable[[float], None]) -> None:
    station = world.scenario.station
    end = asyncio.create_task(world.until(station.ends_ms), name="end")
    while not end.done():
        await asyncio.wait([end, *(task for task in beside if not task.done())], timeout=3600,
                           return_when=asyncio.FIRST_EXCEPTION)  # fmt: skip
        for task in beside:
            if task.done():
                task.result()  # what it died of
        told(min(1.0, (world.true_ms() - station.begins_ms) / max(1, station.length_ms)))
    for device in world.devices:
        device.measuring = False
    await asyncio.sleep(SETTLE_S)
    until_s = world.loop.now_s + DRAIN_S_MAX
    while world.backlog() and world.loop.now_s < until_s:
        await asyncio.sleep(60)
    if left := world.backlog():
        said = ", ".join(f"{n} of {id}" for id, n in left.items())
        world.notes.append(Note(WAITED, f"At the end there waited: {said}"))
    for task in beside:  # a fault's end is known to have been, its backlog to be through
        await asyncio.wait([task], timeout=60)


def _outcome(world: World, happening: Faults) -> Outcome:
    site = world.site
    real = [device for device in world.devices if isinstance(device, FirmwareDevice)]
    notes = [*world.notes, *(died("A task", said) for said in world.loop.uncaught)]
    return Outcome(
        world.scenario, world.seed, world.ledger, world.ledger.numbers(Rows(site.journal)), site.dir,
        site.config, site.journal, world.plants[0], world.witness_vkey, happening.drained_ms, notes,
        world.kills, {symbol: found for one in world.polled for symbol, found in one.answers.items()},
        {symbol: found for one in real for symbol, found in one.answers.items()},
        sum(one.cpu_s for one in real),
        world.department.orders if world.department else [],
        [round(at_s * 1000) for one in world.polled if one.sampler for at_s in one.sampler.full_at],
    )  # fmt: skip


class _Lines(logging.Formatter):
    def __init__(self, world: World) -> None:
        super().__init__("%(levelname)-7s %(name)s: %(message)s")
        self._world = world

    def format(self, record: logging.LogRecord) -> str:
        return f"{rfc3339(self._world.true_ms())} {super().format(record)}"


@contextmanager
def _logging(world: World) -> Iterator[None]:
    """What everybody says goes into the folder, under virtual time, and nowhere else."""
    root = logging.getLogger()
    before: tuple[list[Any], int] = root.handlers[:], root.level
    handler = logging.FileHandler(world.site.log, encoding="utf-8")
    handler.setFormatter(_Lines(world))
    root.handlers, root.level = [handler], logging.INFO
    chatty = [logging.getLogger(name) for name in ("asyncssh", "asyncssh.sftp", "uvicorn", "asyncio")]
    levels = [one.level for one in chatty]
    for one in chatty:
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers, root.level = before
        for one, level in zip(chatty, levels, strict=True):
            one.setLevel(level)
        handler.close()
