"""The parts that only some stations have: buses, a sampler, the department's commands, cameras, an index.

Rule 1: what the configuration has is imported here, while the gateway starts, with the libraries it needs;
        what it does not have is never in the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.clock import Clock
from gateway.config_model import Config
from gateway.ingest.intake import Intake
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.requests import Answer, Order

if TYPE_CHECKING:
    from gateway.camera.keeper import Cameras
    from gateway.commands.make import Commands
    from gateway.forward.worker import Worker
    from gateway.index_now import IndexNow
    from gateway.ingest.line import Line
    from gateway.sampling.sampler import Sampler

Moment = Callable[[], tuple[int, int]]
INDEXED = ("ambient-air", "surface-water")
"""Kinds of stations that have an index (index_now.py)."""


def lines_of(config: Config, clock: Clock, intake: Intake, random: Random) -> dict[str, Line]:
    """Of each bus that has channels: without any it has nothing to do."""
    if not config.bus:
        return {}
    from gateway.ingest.line import Line

    lines = [Line(bus, config.channel, clock, intake.poll, rng=random) for bus in config.bus]
    return {line.id: line for line in lines if line.polls}


def sampler_of(
    config: Config, intake: Intake, lines: Mapping[str, Line], moment: Moment,
    value: Callable[[str], tuple[float | None, int]],
) -> Sampler | None:  # fmt: skip
    """None where there is none."""
    if not config.sampler.exists:
        return None
    from gateway.sampling import make

    return make.sampler_of(config, intake, lines, moment, value)


async def by_hand(sampler: Sampler | None, order: Order) -> Answer:
    """A person's order to the sampler (sampling/make.py)."""
    if sampler is None:
        return Answer("No sampler is configured: see [sampler].", ok=False)
    from gateway.sampling import make  # it is there: its sampler is

    return await make.by_hand(sampler, order)


def commands_of(
    config: Config, journal: Journal, moment: Moment, trusted: Callable[[], bool], sampler: Sampler | None,
    outbox: JournalOutbox, workers: Mapping[str, Worker], status: Callable[[], dict[str, Any]],
) -> Commands | None:  # fmt: skip
    """None where nobody's key is pinned."""
    if config.department.key_file is None:
        return None
    from gateway.commands import make
    from gateway.commands.resend import Resend

    resend = Resend(config, config.department.resend_to, outbox, workers, journal)
    return make.commands_of(config, journal, moment, trusted, sampler, resend, status)


def cameras_of(
    config: Config, journal: Journal, moment: Moment, standing: Callable[[], Iterable[str]]
) -> Cameras | None:
    """None where there is none."""
    if not config.camera:
        return None
    from gateway.camera.keeper import Cameras

    return Cameras(config.camera, journal, config.gateway.state_dir, moment, standing)


def index_of(config: Config, journal: Journal, now_ms: Callable[[], int]) -> IndexNow | None:
    """None for a kind of station that has none."""
    if config.station.kind not in INDEXED:
        return None
    from gateway.index_now import IndexNow

    return IndexNow(config, journal, now_ms)
