"""Alerts one after the other, each from when it was raised to when it cleared, with who acted. Pure.

Rule 1: it follows from the entries alone, in their order: what the table of states (alert_states.py) said.
Rule 2: what was found late ("past") began and ended before it was said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.alert_states import ACKNOWLEDGED, CLEAR, ESCALATED, RAISED, Alert, Key, parse

CLEARED, PAST = "cleared", "past"


class Episode(NamedTuple):
    """One alert. Times are Unix ms of station time."""

    name: str
    rule: str
    about: str
    since_ms: int
    until_ms: int | None  # None while it stands
    state: str  # CLEAR once it is over; or what is said of it
    basis: str
    value: float | None
    limit: float | None
    by: str
    note: str


def episodes(said: Iterable[tuple[bytes, int]]) -> list[Episode]:
    """Of (body, when it arrived) of EVENT entries, in their order; other events are passed over."""
    found: list[Episode] = []
    standing: dict[Key, int] = {}  # -> its place in found
    for body, arrived_ms in said:
        alert = parse(body)
        if alert is None:
            continue
        place = standing.get(alert.key)
        if alert.said == RAISED:
            standing[alert.key] = len(found)
            found.append(_begun(alert, RAISED, None))
        elif alert.said == PAST:
            ends_ms = max((one.start_ms for one in alert.windows), default=alert.since_ms)
            found.append(_begun(alert, CLEAR, ends_ms))
        elif place is None:
            continue
        elif alert.said == CLEARED:
            found[place] = found[place]._replace(until_ms=arrived_ms, state=CLEAR)
            del standing[alert.key]
        elif alert.said == ACKNOWLEDGED:
            found[place] = found[place]._replace(state=ACKNOWLEDGED, by=alert.by, note=alert.note)
        elif alert.said == ESCALATED:
            found[place] = found[place]._replace(state=ESCALATED)
    return found


def _begun(alert: Alert, state: str, until_ms: int | None) -> Episode:
    cause = alert.windows[0] if alert.windows else None
    return Episode(
        alert.name, alert.rule, alert.symbol, alert.since_ms, until_ms, state, alert.basis,
        None if cause is None else cause.value, None if cause is None else cause.limit, "", "",
    )  # fmt: skip
