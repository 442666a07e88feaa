"""The values of doubtful register maps, held against the instruments' own displays by a person.

Rule 1: a plausible value shows no right register: only who looked at the display says so.
Rule 2: what nobody said is null in the record, and stays to be settled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from protocol import instruments
from protocol.errors import ConfigError
from tools.station.live.found import Found
from tools.station.live.known import Channel, Known
from tools.station.live.orders import under_each
from tools.station.live.sheet import Now, shown

ANSWERS = {"y": True, "n": False, "s": None}
OTHER = "{value}, but the display shows something else: wrong word order or scale in the profile{orders}"

Ask = Callable[[str], Awaitable[str | None]]


async def compared(
    found: list[Found], facts: Known, now: Callable[[], list[Now]], ask: Ask
) -> dict[str, bool | None]:
    """What was said of each channel that was asked about; one that differs is not ok from then on."""
    said: dict[str, bool | None] = {}
    for one in found:
        channel = facts.channels.get(one.name)
        if one.ok is not True or channel is None or _vouched(channel, facts):
            continue
        answer, value = None, ""
        while answer not in ANSWERS:
            value = _value(one.name, now()) or value  # it goes on measuring while somebody walks there
            typed = await ask(
                f"{_named(channel, facts)}: {value}. Does the instrument's display show the same? [y/n/s]"
            )
            if typed is None:  # nobody is there any more
                return said
            answer = typed[:1].lower()
        said[one.name] = ANSWERS[answer]
        if said[one.name] is False:
            one.ok, one.said = False, OTHER.format(value=value, orders=_orders(one.name, now()))
    return said


def _vouched(channel: Channel, facts: Known) -> bool:
    """Loops and counters have no map; of the others only the maker's word is enough."""
    if channel.place is None:
        return True
    with suppress(ConfigError):
        return instruments.load(_profile(channel, facts)).mark == "MAKER"
    return False


def _profile(channel: Channel, facts: Known) -> str:
    assert channel.place
    return facts.units.get((channel.place.block.bus, channel.place.block.unit), "")


def _named(channel: Channel, facts: Known) -> str:
    assert channel.place
    return f"{channel.name} ({_profile(channel, facts)}, address {channel.place.block.unit})"


def _value(name: str, now: list[Now]) -> str:
    """What the instrument sends, which is what it displays: before a calibration of ours."""
    for one in now:
        if one.channel.name == name and one.reading and one.reading.raw is not None:
            return f"{shown(one.reading.raw, one.channel.decimals)} {one.channel.unit}".strip()
    return ""


def _orders(name: str, now: list[Now]) -> str:
    """What the registers hold in each order of their words: one of them may be what the display shows."""
    for one in now:
        if one.channel.name == name and one.channel.place and one.registers and len(one.registers) > 1:
            each = under_each(one.registers, one.channel.place).items()
            return f" ({', '.join(f'{order} {value:.4g}' for order, value in each)})"
    return ""
