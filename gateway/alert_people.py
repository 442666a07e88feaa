"""Alerts as people see them: named, listed, acknowledged; interruptions stand among them. Pure.

Rule 1: an interruption is raised and cleared by its own entries (interruptions.py), under the rule "channel
        interrupted" or "destination interrupted". Who acknowledged it, and that nobody did, are entries of
        alerts.
Rule 2: a person names an alert by its whole name, or by as much of it as only one has: "COD", "limit/COD".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.alert_states import ACTED, Alert, Book, Key, Standing
from gateway.interruptions import Interruption
from gateway.reports.message import rfc3339

INTERRUPTED = "interrupted"
BY_MAX, NOTE_MAX = 100, 300
SHOWN_MAX = 10


class NoSuchAlert(Exception):
    """A sentence for whoever named it."""


def interruption_key(one: Interruption) -> Key:
    """Of the alert that it is."""
    kind, name = one.what
    return f"{kind} {INTERRUPTED}", name


def sync(book: Book, lasting: Iterable[Interruption]) -> None:
    """Let interruptions that last stand in the book, and no others (rule 1)."""
    there = {interruption_key(one): one for one in lasting}
    for key, standing in list(book.standing.items()):
        if key[0].endswith(f" {INTERRUPTED}"):
            one = there.get(key)
            if one is None or one.from_ms != standing.raised.since_ms:
                del book.standing[key]
    for key, one in there.items():
        if key not in book.standing:
            rule, about = key
            book.note(Alert(about, "raised", one.from_ms, one.cause, (), rule))


def listed(book: Book) -> list[dict[str, Any]]:
    """What stands, the oldest first, as /api/v1/current and `quantrac gateway alerts --json` show it."""
    standing = sorted(book.standing.values(), key=lambda each: (each.raised.since_ms, each.raised.key))
    return [described(each) for each in standing]


def described(standing: Standing) -> dict[str, Any]:
    """One of listed()."""
    raised = standing.raised
    acted = {"by": standing.by, "note": standing.note} if standing.by else {}
    return {
        "alert": raised.name, "rule": raised.rule, "about": raised.symbol, "state": standing.state,
        "since": rfc3339(raised.since_ms), "basis": raised.basis, **acted,
        "windows": [
            {"symbol": cause.symbol, "start": rfc3339(cause.start_ms), "revision": cause.revision,
             "value": cause.value, "limit": cause.limit}
            | ({"span_min": cause.span_ms // 60_000} if cause.span_ms else {})
            for cause in raised.windows
        ],
    }  # fmt: skip


def find(book: Book, named: str) -> Standing:
    """The alert that a person means (rule 2). NoSuchAlert."""
    everything = list(book.standing.values())
    for whole in (
        lambda alert: alert.name == named,
        lambda alert: f"{alert.rule}/{alert.symbol}" == named,
        lambda alert: alert.symbol == named,
    ):
        found = [each for each in everything if whole(each.raised)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchAlert(f"{named!r} may be {_names(found)}: name one of them.")
    there = f"there are {_names(everything)}" if everything else "there is none"
    raise NoSuchAlert(f"No alert {named!r} is raised: {there}.")


def acknowledge(book: Book, named: str, by: str, note: str) -> Alert:
    """What is to be said when `by` acknowledges an alert; the book has it then. NoSuchAlert."""
    raised = find(book, named).raised
    said = book.step(raised.key, ACTED, raised.basis, (), raised.since_ms, by=by, note=note)
    assert said is not None, "whatever stands can be acknowledged"
    return said


def _names(standing: Iterable[Standing]) -> str:
    names = [each.raised.name for each in standing]
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more
