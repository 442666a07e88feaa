"""Checks of channels that are made of other channels: that those are there, and that the units fit.

`faults(channels, named)` yields (place, what, instead), as config_cross.across(). `channels`: those without a
fault of their own, by index; `named`: the symbols of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway import derive
from gateway.config_arithmetic import CorrectedSource, MassSource
from gateway.config_lines import Place

Found = tuple[Place, str, str]
PERCENT = ("%", "%V", "%v", "%vol", "Vol%", "vol%")
UNITS = {
    "oxygen": PERCENT,
    "moisture": PERCENT,
    "temperature": derive.CELSIUS,
    "pressure": tuple(derive.KPA),
}
"""What each support has to be measured in."""


def faults(channels: dict[int, Any], named: set[str]) -> Iterator[Found]:
    """Every fault between these channels."""
    by_symbol = {channel.symbol: channel for channel in channels.values()}
    for index, channel in channels.items():
        place: Place = ("channel", index)
        yield from _busy(place, channel, by_symbol, named)
        if channel.rollover is not None and channel.average != "total":
            what = "Only a meter rolls over."
            yield (*place, "rollover"), what, 'Write average = "total", or leave rollover out.'
        source = channel.source
        if isinstance(source, CorrectedSource | MassSource):
            missing = list(_missing(place, channel, by_symbol, named))
            yield from missing
            if missing or not _made_of(source) <= set(by_symbol):
                continue
            if isinstance(source, CorrectedSource):
                yield from _corrected(place, channel, source, by_symbol)
            else:
                yield from _mass(place, channel, source, by_symbol)


def _made_of(source: Any) -> set[str]:
    """The symbols of what it is made of."""
    values = [getattr(source, name) for name in type(source).model_fields]
    return {value for value in values if isinstance(value, str)}


def _busy(place: Place, channel: Any, by_symbol: dict[str, Any], named: set[str]) -> Iterator[Found]:
    for name in ("calibrating", "maintenance"):
        symbol = getattr(channel.busy, name)
        contact = by_symbol.get(symbol)
        if symbol is None or (contact is None and symbol in named):
            continue
        if contact is None or contact is channel or hasattr(contact.source, "derived"):
            what = f"'{symbol}' is not the channel of a contact."
            yield (*place, "busy", name), what, "Name a [[channel]] that reads the contact: 0 off, 1 on."


def _missing(place: Place, channel: Any, by_symbol: dict[str, Any], named: set[str]) -> Iterator[Found]:
    """What it is made of is there, and made before it."""
    source = channel.source
    for name in type(source).model_fields:
        symbol = getattr(source, name)
        if not isinstance(symbol, str):
            continue
        other = by_symbol.get(symbol)
        where = (*place, "source", name)
        if other is None and symbol in named:
            continue
        if other is None:
            yield where, f"There is no channel '{symbol}'.", "Add it, or name one that exists."
        elif other is channel or isinstance(other.source, MassSource):
            yield where, f"{channel.symbol} cannot be made of {symbol}.", "Name a channel that is measured."
        elif isinstance(other.source, CorrectedSource) and not isinstance(source, MassSource):
            what = f"{symbol} is corrected itself."
            yield where, what, "Name the channel that is measured."
    if channel.average != "mean":
        what = f"{channel.symbol} is made of windows: it has no readings of its own."
        yield (*place, "average"), what, "Leave average out."
    if channel.checks.rules() or channel.plausible is not None:
        what = f"{channel.symbol} has no readings of its own to be checked."
        yield (*place, "checks"), what, "Write checks and plausible where it is measured."


def _corrected(
    place: Place, channel: Any, source: CorrectedSource, by_symbol: dict[str, Any]
) -> Iterator[Found]:
    measured = by_symbol[source.corrects]
    if derive.cubic(measured.unit)[0] != derive.cubic(channel.unit)[0] or not channel.unit:
        what = f"{channel.symbol} is in '{channel.unit}', and {measured.symbol}, which it is made of, in "
        what += f"'{measured.unit}'."
        yield (*place, "unit"), what, "Give both the same unit, but for the N of Nm3."
    for name, units in UNITS.items():
        symbol = getattr(source, name)
        if symbol is not None and by_symbol[symbol].unit not in units:
            what = f"{symbol} is in '{by_symbol[symbol].unit}': it is no {name} to correct with."
            yield (*place, "source", name), what, f"Its channel's unit is to be one of: {', '.join(units)}."


def _mass(place: Place, channel: Any, source: MassSource, by_symbol: dict[str, Any]) -> Iterator[Found]:
    if channel.unit != "kg/h":
        yield (*place, "unit"), f"{channel.symbol} is a mass in an hour.", 'Write unit = "kg/h".'
    found = []
    for name, known in (("mass_of", derive.KG_PER_M3), ("flow", derive.M3_PER_H)):
        symbol = getattr(source, name)
        unit, normal = derive.cubic(by_symbol[symbol].unit)
        found.append(normal)
        if unit not in known:
            what = f"{symbol} is in '{by_symbol[symbol].unit}', of which no mass can be made."
            instead = f"Its channel's unit is to be one of: {', '.join(known)} (or with Nm3)."
            yield (*place, "source", name), what, instead
    if found[0] != found[1]:
        what = f"Of {source.mass_of} and {source.flow} one is in normal cubic metres (Nm3), the other is not."
        yield (*place, "source"), what, "Name two of the same: both measured, or both at standard conditions."
