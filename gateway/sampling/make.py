"""The sampler of a configuration that has one (as_configured.py looks), and what a person asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.config_model import Config
from gateway.ingest.intake import Intake
from gateway.ingest.line import Line
from gateway.requests import Answer, Order
from gateway.sampling.bottles import Asked
from gateway.sampling.drive import CoilDrive, Contact, DeviceDrive, channel_of, input_of
from gateway.sampling.sampler import Sampler
from protocol import quality as q

REASON_BY_HAND = "by hand"


def sampler_of(
    config: Config,
    intake: Intake,
    lines: Mapping[str, Line],
    moment: Callable[[], tuple[int, int]],
    value: Callable[[str], tuple[float | None, int]],
) -> Sampler:
    """Of a configuration that has one."""
    settings = config.sampler
    closed = None
    if settings.feedback_channel is not None:
        closed = channel_of(value, settings.feedback_channel, q.OK)
    elif settings.feedback_input is not None and settings.bus is not None:
        closed = input_of(lines[settings.bus], settings.unit, settings.feedback_input)
    feedback = None if closed is None else Contact(closed, settings.feedback_s)
    if settings.device is not None:
        drive = DeviceDrive(settings, intake.devices[settings.device], intake.command, feedback)
    else:
        assert settings.bus is not None
        drive = CoilDrive(settings, lines[settings.bus], feedback)
    symbols = [channel.symbol for channel in config.channel]
    window_ms = config.gateway.window_minutes * 60_000
    return Sampler(settings, drive, intake.journal, moment, lambda: _values(intake, symbols), window_ms)


def _values(intake: Intake, symbols: Sequence[str]) -> list[list[Any]]:
    """[symbol, value or None, quality, time_ms] of every channel that was read at all."""
    found = [(symbol, intake.newest(symbol)) for symbol in symbols]
    return [[symbol, one.value, one.quality, one.time_ms] for symbol, one in found if one is not None]


async def by_hand(sampler: Sampler, order: Order) -> Answer:
    """What a person asks (requests.SAMPLE). CommandError, JournalError: sentences of why not."""
    if not order.bottles:
        return Answer(await sampler.emptied(order.who, order.reason))
    await sampler.begin(Asked(order.bottles, order.reason or REASON_BY_HAND, order.who))
    one = order.bottles == 1
    return Answer(
        f"The sampler fills {'a bottle' if one else f'{order.bottles} bottles'}, as {order.who} says; what "
        "came of it stands in the log."
    )
