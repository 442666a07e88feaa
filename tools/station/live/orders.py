"""The usual fault of a new instrument: words or bytes of its numbers in another order than the profile says.

Rule 1: a number counts as plausible when it is finite, within the range, and not absurdly small beside it: a
        float in the wrong order is often 2.3e-41, which every range from 0 on would let pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from protocol import registers
from protocol.reading import bits_float
from tools.station.live.known import Channel, Place

TINY = 1e-6
"""Of the range's width. No instrument shows a millionth of what it can measure."""


def under_each(words: list[int], place: Place) -> dict[str, float]:
    """The raw value that the registers hold under each of the orders."""
    return {order: value_of(words, place, order) for order in registers.ORDERS}


def value_of(words: list[int], place: Place, order: str | None = None) -> float:
    """The raw value in the registers, as the station computes it; under another order when one is named."""
    how: tuple[Any, ...] = (place.multiply, place.divide, place.offset)
    return bits_float(registers.raw_bits(words, place.type, order or place.order, *how))


def plausible(value: float, channel: Channel) -> bool:
    """Rule 1. True where the channel has no range: nothing can be said."""
    low, high = channel.low, channel.high
    if not math.isfinite(value):
        return False
    if (low is not None and value < low) or (high is not None and value > high):
        return False
    if low is None or high is None or value == 0 or not _floats(channel):
        return True
    return abs(value) >= TINY * (high - low)


def _floats(channel: Channel) -> bool:
    return channel.place is not None and channel.place.type.startswith("float")


@dataclass(frozen=True)
class Doubt:
    """A value that is not plausible. `better`: the orders under which it would be."""

    channel: Channel
    words: list[int]
    values: dict[str, float]
    better: list[str]

    @property
    def text(self) -> str:
        channel, place = self.channel, self.channel.place
        assert place
        shown = " ".join(f"{word:04X}" for word in self.words)
        of = f" {channel.unit}" if channel.unit else ""
        said = f"{channel.name}: {self.values[place.order]:.4g} is not plausible"
        if channel.low is not None and channel.high is not None:
            said += f" for {channel.low:g} to {channel.high:g}{of}"
        each = ", ".join(f"{order} {value:.4g}" for order, value in self.values.items())
        said += f". Its registers {shown} are: {each}. "
        if not self.better:
            return said + "No word order helps: compare register and type with the manual."
        return said + (
            f"Plausible as {' or '.join(self.better)}: the word order is probably wrong, "
            f"the station reads {place.order}."
        )


def doubt(channel: Channel, words: list[int] | None) -> Doubt | None:
    """What is wrong with these registers, if anything is."""
    if channel.place is None or words is None or (channel.low is None and channel.high is None):
        return None
    values = under_each(words, channel.place)
    now = values[channel.place.order]
    if plausible(now, channel):
        return None
    better = [
        order
        for order, value in values.items()
        if plausible(value, channel) and value != now and (value != 0 or now == 0)
    ]
    return Doubt(channel, words, values, better)
