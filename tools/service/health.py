"""Whether the gateway that was just started is as well as the one before it.

Rule 1: healthy is: its page answers, its journal stores and has grown since, and every device and bus that
        was there before is there again. What else is wrong (a server that is away) is no reason to go back.
"""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable
from typing import Any, NamedTuple

from tools.doctor.own_page import Web, fetch

LOOK_S = 2.0


class Seen(NamedTuple):
    """A gateway as its page tells of it."""

    station: str
    entries: int
    storing: str  # "" while it stores, else why not
    there: frozenset[str]  # "device st-01", "bus tank"


def seen(web: Web) -> Seen | None:
    """None while it does not answer."""
    try:
        found: dict[str, Any] = json.loads(fetch(web, "/api/v1/current"))
        devices = [f"device {id}" for id, one in found["devices"].items() if one["connected"]]
        buses = [f"bus {id}" for id, one in found["buses"].items() if one["up"]]
        journal = found["journal"]
        return Seen(
            found["station"]["code"], journal["entries"], journal["status"], frozenset([*devices, *buses])
        )
    except (OSError, urllib.error.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return None


def lacks(now: Seen | None, before: Seen | None, station: str, entries: int) -> str:
    """What it lacks to be healthy, a sentence; "" when it is. entries: of the journal before it started."""
    if now is None:
        return "its page does not answer."
    if now.station != station:
        return f"station {now.station} answers in its place."
    if now.storing:
        return f"its journal cannot store: {now.storing}"
    if now.entries <= entries:
        return "its journal has not grown."
    missing = sorted(before.there - now.there) if before is not None else []
    return f"{', '.join(missing)} did not come back." if missing else ""


def wait(
    look: Callable[[], str], seconds: float, now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:  # fmt: skip
    """Look again and again until nothing is lacking ("") or the time is over (what is)."""
    end_s = now_s() + seconds
    while True:
        lacking = look()
        if not lacking or now_s() >= end_s:
            return lacking
        sleep(min(LOOK_S, max(0.0, end_s - now_s())))
