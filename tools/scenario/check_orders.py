"""Checks of the department's orders and of the sampler: what was answered, filled, sent again.

Rule 1: a bottle counts where the journal and the sampler itself agree: what is told as filled was full, and
        what was full is told.
"""

from __future__ import annotations

from collections import Counter

from gateway.sampling.bottles import FILLED
from tools.scenario.check_read import Evidence
from tools.scenario.site import PROVINCE

FILLING_MS = 60_000
"""From a bottle's begin in the journal to its being full."""


def answered(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """The order of that moment has this answer, in time."""
    at_ms = evidence.begins_ms + given["at"]
    found = [one for one in evidence.orders if one.given_ms == at_ms]
    if not found:
        return False, "no order was given then"
    (order,) = found
    took_ms = order.answered_ms - order.given_ms
    told = f"{order.state} after {took_ms / 60_000:.1f} min: {order.said}" if order.state else "no answer"
    right = order.state == given["is"] and str(given.get("says", "")) in order.said
    return right and took_ms <= given["within"], told


def bottles(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """So many bottles of the span, for that reason; and as many truly full as are told as full."""
    first_ms, last_ms = evidence.begins_ms + given["from"], evidence.begins_ms + given["to"]
    state, because = given.get("state", FILLED), given.get("because")
    span = [one for one in evidence.bottles if first_ms <= one.begun_ms < last_ms]
    found = [one for one in span if one.state == state and because in (None, one.who)]
    told = [one.begun_ms for one in span if one.state == FILLED]
    full = [t_ms for t_ms in evidence.full_ms if first_ms <= t_ms < last_ms + FILLING_MS]
    untrue = [t_ms for t_ms in told if not any(t_ms <= one <= t_ms + FILLING_MS for one in full)]
    said = ", ".join(f"{count} {state} ({who})" for (state, who), count in sorted(
        Counter((one.state, one.who) for one in span).items())) or "none"  # fmt: skip
    said += f"; {len(full)} truly full"
    agree = not untrue and (state != FILLED or len(full) >= len(told))
    looked = bool(evidence.windows)
    return looked and len(found) == given["count"] and agree, said


def sent_again(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """So many documents of the destination came more than once, and with the same bytes each time."""
    destination = given.get("destination", PROVINCE)
    digests: dict[str, list[str]] = {}
    for one in evidence.ledger.arrivals:
        if one.destination == destination:
            digests.setdefault(one.id, []).append(one.digest)
    again = {id: found for id, found in digests.items() if len(found) > 1}
    changed = [id for id, found in again.items() if len(set(found)) > 1]
    said = f"{len(again)} came again" + (f", {len(changed)} with other bytes" if changed else "")
    return len(again) >= given["least"] > 0 and not changed, said
