"""A look at a station for programs: what `--json` prints, with the figures of sheet.py."""

from __future__ import annotations

import math
from typing import Any

from tools.station.live.bus import Counts, counts, suspicions
from tools.station.live.known import Known
from tools.station.live.sheet import Now, Sheet, against, current_ma


def as_json(sheet: Sheet) -> dict[str, Any]:
    """The same as lines(), for `--json`. Ages in seconds; what is not known is null."""
    return {
        "station": sheet.station.id,
        "boot": sheet.station.hello.boot,
        "folder_fits": sheet.known.is_of(sheet.station.hello) if sheet.known else None,
        "channels": [_channel_json(one) for one in sheet.channels()],
        "wires": sheet.peek.wires(),
        "units": [_unit_json(unit, sheet.known) for unit in counts(sheet.peek.status).values()],
        "suspicions": suspicions(sheet.peek, sheet.known),
        "notes": sheet.all_notes(),
    }


def _channel_json(one: Now) -> dict[str, Any]:
    channel, reading = one.channel, one.reading
    return {
        "name": channel.name,
        "unit": channel.unit,
        "decimals": channel.decimals,
        "registers": one.registers,
        "registers_said": one.said,
        "raw": finite(reading.raw) if reading else None,
        "value": finite(reading.value) if reading else None,
        "quality": reading.quality if reading else None,
        "age_s": None if one.age_s is None else round(one.age_s, 1),
        "min": channel.min,
        "max": channel.max,
        "limit": against(reading.value if reading else None, channel)[0],
        "ma": finite(current_ma(channel, reading.raw if reading else None)),
        "orders": {k: finite(v) for k, v in one.doubt.values.items()} if one.doubt else None,
        "plausible_orders": one.doubt.better if one.doubt else None,
        "said": one.doubt.text if one.doubt else "",
    }


def _unit_json(unit: Counts, known: Known | None) -> dict[str, Any]:
    return {
        "bus": unit.bus,
        "unit": unit.unit,
        "profile": known.units.get((unit.bus, unit.unit)) if known else None,
        "requests": unit.requests,
        "timeouts": unit.timeouts,
        "bad_replies": unit.bad_replies,
        "exceptions": unit.exceptions,
        "response_ms": unit.response_ms,
        "lost_share": round(unit.share, 4),
        "lost": unit.lost,
    }


def finite(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else value
