"""Channels that nobody measures: made at a window's close from the windows of other channels. Pure.

    ("corrected", measured, oxygen, reference_percent, temperature, pressure, moisture, oxygen_is_wet)
    ("mass", concentration, flow)                       symbols of channels; "" for none

Rule 1: what is measured stays a channel of its own, beside what is made of it; which of them is sent is
        configuration (Channel.sent).
Rule 2: what is made of a value that is not valid is not valid, for the same reason. Where what it is
        corrected with is not valid it is UNSUPPORTED: no oxygen reading, no correction.
Rule 3: contacts and people come first: a window in which one said "calibrating" or "maintenance" at any
        moment is that, whatever the readings say.

Standard conditions: 25 degrees Celsius and 760 mmHg, dry where moisture is measured (Nm3 of QCVN 19:2024).
Oxygen: C x (20.9 - reference) / (20.9 - O2), of the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gateway import flags
from gateway.accumulate import VALUE_MAX
from protocol import quality as q

if TYPE_CHECKING:
    from gateway.accumulate import Channel, State
    from gateway.windows import Window

CORRECTED, MASS = "corrected", "mass"
TURNS = {CORRECTED: 1, MASS: 2}
"""In which order they are made: a mass is of what was corrected."""
AIR_OXYGEN = 20.9
OXYGEN_MAX = 20.0
"""Percent by volume. With more the plant draws air, and a correction would only multiply noise."""
STANDARD_K = 298.15
STANDARD_KPA = 101.325
ZERO_K = 273.15
CELSIUS = ("oC", "°C", "C", "degC")
KPA = {"kPa": 1.0, "Pa": 0.001, "hPa": 0.1, "mbar": 0.1, "bar": 100.0, "mmHg": STANDARD_KPA / 760}
KG_PER_M3 = {"mg/l": 1e-3, "mg/L": 1e-3, "g/m3": 1e-3, "mg/m3": 1e-6, "ug/m3": 1e-9, "µg/m3": 1e-9}
M3_PER_H = {"m3/h": 1.0, "m3/s": 3600.0, "m3/min": 60.0, "m3/day": 1 / 24, "l/s": 3.6, "L/s": 3.6}
ON = 0.5
"""A contact that showed more than this at any moment of a window was on."""


def cubic(unit: str) -> tuple[str, bool]:
    """A unit without the N of normal cubic metres, and whether it had one: "mg/Nm3" -> ("mg/m3", True)."""
    return unit.replace("Nm3", "m3").replace("Nm³", "m3").replace("m³", "m3"), "Nm" in unit


def turn(channel: Channel) -> int:
    """When it is made."""
    return TURNS.get(channel.derived[0], 0) if channel.derived else 0


def made(channel: Channel, found: Mapping[str, Window], before: State) -> Window:
    """The row of a channel that is made; `found` holds those of all channels that it is made of."""
    kind, symbol, *_ = channel.derived
    source = found[symbol]
    factor = _correction(channel.derived, found) if kind == CORRECTED else _mass(channel.derived, found)
    supports = [found[s] for s in _supports(channel.derived)]
    if factor is not None and not abs((source.value or 0.0) * factor) <= VALUE_MAX:
        factor = None  # of garbage that nobody called implausible
    quality = source.quality if source.quality != q.OK or factor is not None else flags.UNSUPPORTED
    said = [source.flags] if source.flags else []
    if source.quality == q.OK != quality:
        said.append(f"{flags.NAMES[quality]} 1")
    value, times = before.last, factor or 0.0
    if source.value is not None and factor is not None:
        value = source.value * factor
    spread = [None if x is None or quality != q.OK else x * times for x in (source.minimum, source.maximum)]
    if times < 0:  # a flow that runs back
        spread.reverse()
    deviation = None if source.deviation is None or quality != q.OK else source.deviation * abs(times)
    return source._replace(
        symbol=channel.symbol, unit=channel.unit, value=value, quality=quality, status=q.status(quality),
        valid_share=min([row.valid_share for row in (source, *supports)]), minimum=spread[0],
        maximum=spread[1], last=value if quality == q.OK else before.last, deviation=deviation,
        flags=", ".join(said), average=channel.average, last_ms=None, meter=None, steady_ms=None,
    )  # fmt: skip


def _supports(derived: Sequence) -> list[str]:
    if derived[0] == MASS:
        return [derived[2]]
    _, _, oxygen, _, temperature, pressure, moisture, _ = derived
    return [symbol for symbol in (oxygen, temperature, pressure, moisture) if symbol]


def _correction(derived: Sequence, found: Mapping[str, Window]) -> float | None:
    """What a measured concentration is multiplied by; None where that cannot be known."""
    _, _, oxygen, reference, temperature, pressure, moisture, oxygen_is_wet = derived
    if any(found[symbol].quality != q.OK or found[symbol].value is None for symbol in _supports(derived)):
        return None
    value = {symbol: found[symbol].value or 0.0 for symbol in _supports(derived)}
    factor = 1.0
    if temperature:
        factor *= (ZERO_K + value[temperature]) / STANDARD_K
    if pressure:
        kpa = value[pressure] * KPA[found[pressure].unit]
        if kpa <= 0:
            return None
        factor *= STANDARD_KPA / kpa
    dry = 1.0
    if moisture:
        if not 0 <= value[moisture] < 100:
            return None
        dry = 100 / (100 - value[moisture])
        factor *= dry
    if oxygen:
        percent = value[oxygen] * (dry if oxygen_is_wet else 1.0)
        if percent > OXYGEN_MAX:
            return None
        factor *= (AIR_OXYGEN - reference) / (AIR_OXYGEN - percent)
    return factor if factor > 0 else None


def _mass(derived: Sequence, found: Mapping[str, Window]) -> float | None:
    """What a concentration is multiplied by to give kg/h."""
    _, symbol, flow = derived
    if found[flow].quality != q.OK or found[flow].value is None:
        return None
    per_m3 = KG_PER_M3[cubic(found[symbol].unit)[0]]
    return per_m3 * (found[flow].value or 0.0) * M3_PER_H[cubic(found[flow].unit)[0]]


def busy(row: Window, contacts: Sequence, found: Mapping[str, Window], before: State) -> Window:
    """The row, by what contacts (symbol, quality) say that is being done to the instrument."""
    for symbol, quality in contacts:
        contact = found[symbol]
        holding = contact.value if contact.quality == q.OK else None  # read less often than a window is long
        highest = holding if contact.maximum is None else contact.maximum
        if highest is not None and highest > ON:
            return by_hand(row, quality, before)
    return row


def by_hand(row: Window, quality: int, before: State) -> Window:
    """The row of a window in which somebody calibrated or maintained: nothing of it is valid."""
    said = flags.counts(row.flags)
    said[flags.NAMES[quality]] = said.get(flags.NAMES[quality], 0) + max(1, row.count)
    return row._replace(
        quality=quality, status=q.status(quality), count=0, valid_share=0.0, minimum=None, maximum=None,
        deviation=None, last=before.last, last_ms=before.last_ms,
        flags=", ".join(f"{name} {said[name]}" for name in sorted(said)),
    )  # fmt: skip
