"""Where the device's channels go in the gateway: the [[channel]] blocks of gateway.toml.

Only these are read, and each by itself: the rest of a configuration is none of the technician's.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config_permit import Limits
from gateway.limits.books import rules
from gateway.limits.choose import Figure, choose
from gateway.limits.rule import LimitsFault
from tools.station.sheet import plain
from tools.station.sheet.model import Target


def read(path: Path, device: str) -> tuple[bool, dict[str, list[Target]], list[str]]:
    """Whether there is such a file; the channels that name `device`, by quantity; what is wrong with it."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False, {}, []
    except (OSError, ValueError, RecursionError) as error:
        return False, {}, [f"{path.name}: {plain.text(str(error))}"]
    found: dict[str, list[Target]] = {}
    faults: list[str] = []
    for channel in plain.tables(given.get("channel")):
        source = plain.table(channel.get("source"))
        quantity = source.get("quantity")
        if source.get("device") == device and isinstance(quantity, str):
            found.setdefault(quantity, []).append(_target(channel, faults))
    return True, found, faults


def _target(channel: dict[str, Any], faults: list[str]) -> Target:
    symbol, unit = plain.text(channel.get("symbol")), plain.text(channel.get("unit"))
    given = plain.table(channel.get("limits"))
    figures, rule = _figures(given, symbol, unit, faults)
    decimals = plain.whole(channel.get("decimals"))
    days = plain.whole(channel.get("calibrate_days"))
    return Target(symbol, unit, 4 if decimals is None else decimals, figures, rule, days)


def _figures(
    given: dict[str, Any], symbol: str, unit: str, faults: list[str]
) -> tuple[tuple[Figure, ...], str]:
    """The limits that hold, as the gateway would take them; or the rule that is named and not known here."""
    try:
        limits = Limits(**given)
        if not limits.rule:
            return limits.figures, ""
        known = rules([])
        if limits.rule not in known:  # one of the operator's own files
            return (), limits.rule
        return choose(known[limits.rule], limits.asked(symbol, unit)), ""
    except ValidationError as error:
        faults.append(f"{symbol}: limits: {plain.text(error.errors()[0]['msg'])}")
    except (LimitsFault, TypeError) as error:
        faults.append(f"{symbol}: limits: {plain.text(str(error))}")
    return (), ""
