"""How many alerts stand, by rule, level and state: for /metrics. Pure.

Rule 1: every rule and state is there, with 0 where nothing stands: a monitor must see an alert begin.
Rule 2: two levels: "warning" is what may wait until morning, "alarm" what may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.alert_states import CLEAR, STATES
from gateway.reports.alert_words import RULES

LABELS = ("rule", "level", "state")
WARNINGS = ("near", "calibration overdue", "door open")
"""Rules, with whatever span behind them, that are no alarm."""


def level(rule: str) -> str:
    """ "warning" or "alarm". A rule that nobody knows yet is an alarm."""
    return "warning" if any(rule == name or rule.startswith(f"{name} ") for name in WARNINGS) else "alarm"


def counts(listed: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], dict[str, int]]:
    """`listed` as alert_people.listed() gives it."""
    found = {(rule, level(rule), state): {"open": 0} for rule in RULES for state in STATES if state != CLEAR}
    for alert in listed:
        place = (alert["rule"], level(alert["rule"]), alert["state"])
        found.setdefault(place, {"open": 0})["open"] += 1
    return found
