"""Alerts as a table of states: who raised what, who acknowledged it, what it is then. Pure.

    state                         input          state then     what is said
    clear                         exceeds        raised         "raised"
    raised, acknowledged,         within         clear          "cleared"
        escalated                 without limit  clear          "cleared"   (it is not configured any more)
    any                           past           the same       "past"      (late: it had exceeded, back then)
    raised, acknowledged,         acted          acknowledged   "acknowledged" (by whom; again by another)
        escalated
    raised                        overdue        escalated      "escalated" (nobody acted in time)

Everything else changes nothing and says nothing: "near" is what neither raises nor clears (hysteresis).

Rule 1: an alert is of one rule about one thing: ("limit", "COD"), ("no data", "st-01").
Rule 2: what is said is an EVENT entry:
            ["alert", about, what is said, rule, since_ms, basis, windows]
            ["alert", about, what is said, rule, since_ms, basis, windows, by, note]     (acknowledged)
            windows: [symbol, start_ms, revision, value, limit] each, and [..., span_ms] of an hour or a day
        The states of all alerts follow from them alone.
Times are Unix ms of station time; since_ms is the start of what raised it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.reports.layout import stamp
from protocol import cbor
from protocol.errors import CodecError

EVENT_NAME = "alert"
CLEAR, RAISED, ACKNOWLEDGED, ESCALATED = "clear", "raised", "acknowledged", "escalated"
STATES = (CLEAR, RAISED, ACKNOWLEDGED, ESCALATED)
EXCEEDS, NEAR, WITHIN, WITHOUT, PAST = "exceeds", "near", "within", "without limit", "past"
ACTED, OVERDUE = "acted", "overdue"
INPUTS = (EXCEEDS, NEAR, WITHIN, WITHOUT, PAST, ACTED, OVERDUE)
STEPS = {  # (state, input) -> (state then, what is said)
    (CLEAR, EXCEEDS): (RAISED, "raised"),
    (CLEAR, PAST): (CLEAR, "past"),
    (RAISED, WITHIN): (CLEAR, "cleared"),
    (RAISED, WITHOUT): (CLEAR, "cleared"),
    (RAISED, PAST): (RAISED, "past"),
    (RAISED, ACTED): (ACKNOWLEDGED, "acknowledged"),
    (RAISED, OVERDUE): (ESCALATED, "escalated"),
    (ACKNOWLEDGED, WITHIN): (CLEAR, "cleared"),
    (ACKNOWLEDGED, WITHOUT): (CLEAR, "cleared"),
    (ACKNOWLEDGED, PAST): (ACKNOWLEDGED, "past"),
    (ACKNOWLEDGED, ACTED): (ACKNOWLEDGED, "acknowledged"),
    (ESCALATED, WITHIN): (CLEAR, "cleared"),
    (ESCALATED, WITHOUT): (CLEAR, "cleared"),
    (ESCALATED, PAST): (ESCALATED, "past"),
    (ESCALATED, ACTED): (ACKNOWLEDGED, "acknowledged"),
}
EPISODES_MAX = 1000
"""Alerts of a rule about a thing that are remembered, so that nothing late says again what was said."""
_EVER_MS = 1 << 62

Key = tuple[str, str]
"""(rule, about)"""


class Cause(NamedTuple):
    """What shows it: a window, by symbol and revision one row of the journal; or a mean over span_ms."""

    symbol: str
    start_ms: int
    revision: int
    value: float
    limit: float | None  # that it exceeds or, for "cleared", that was exceeded
    span_ms: int = 0  # 0 for a window

    def fields(self) -> list[Any]:
        """As it stands in an entry."""
        return list(self) if self.span_ms else list(self)[:-1]


class Alert(NamedTuple):
    """What is said of an alert."""

    symbol: str  # what it is about: a channel, or a device, a destination, "gateway"
    said: str  # "raised" | "cleared" | "past" | "acknowledged" | "escalated"
    since_ms: int
    basis: str  # of the limit, as configured; or why
    windows: Sequence[Cause]
    rule: str = "limit"
    by: str = ""  # who acknowledged it,
    note: str = ""  # and what he wrote

    @property
    def key(self) -> Key:
        """Which alert it is."""
        return self.rule, self.symbol

    @property
    def name(self) -> str:
        """One name from "raised" to "cleared", for people: "limit/COD/20260325000500"."""
        return name_of(self.rule, self.symbol, self.since_ms)

    def event(self) -> bytes:
        """Body of the EVENT entry that says so."""
        causes = [cause.fields() for cause in self.windows]
        found = [EVENT_NAME, self.symbol, self.said, self.rule, self.since_ms, self.basis, causes]
        return cbor.dumps([*found, self.by, self.note] if self.said == ACKNOWLEDGED else found)


def name_of(rule: str, about: str, since_ms: int) -> str:
    """The name of an alert, or of an interruption."""
    return f"{rule}/{about}/{stamp(since_ms)}"


def parse(body: bytes) -> Alert | None:
    """The inverse of event(); None for any other event, also one of a later version."""
    try:
        found: Any = cbor.loads(body)
        if found[0] != EVENT_NAME:
            return None
        _, symbol, said, rule, since_ms, basis, causes, *acted = found
        by, note = acted or ("", "")
        causes = tuple(Cause(*cause) for cause in causes)
        return Alert(symbol, said, since_ms, basis, causes, rule, by, note)
    except (CodecError, TypeError, ValueError, IndexError, KeyError):
        return None


class Standing(NamedTuple):
    """An alert that is not clear. `raised`: what was said when it was raised."""

    raised: Alert
    state: str
    by: str = ""
    note: str = ""


class Book:
    """What stands now. note() what the journal says, then step()."""

    def __init__(self, said: Iterable[Alert] = ()):
        self.standing: dict[Key, Standing] = {}
        self._episodes: dict[Key, deque[list[int]]] = {}  # [from, to) that were told of
        for alert in said:
            self.note(alert)

    @property
    def raised(self) -> Mapping[Key, Alert]:
        """What is not clear, as it was raised."""
        return {key: standing.raised for key, standing in self.standing.items()}

    def state(self, key: Key) -> str:
        """One of STATES."""
        standing = self.standing.get(key)
        return CLEAR if standing is None else standing.state

    def step(
        self, key: Key, shows: str, basis: str, causes: Sequence[Cause], since_ms: int, end_ms: int = 0,
        by: str = "", note: str = "",
    ) -> Alert | None:  # fmt: skip
        """What is to be said of this input; None when it changes nothing. since_ms, end_ms: of the cause."""
        step = STEPS.get((self.state(key), shows))
        if step is None:
            return None
        standing = self.standing.get(key)
        if standing is not None and shows != PAST:
            since_ms = standing.raised.since_ms
        rule, about = key
        alert = Alert(about, step[1], since_ms, basis, causes, rule, by, note)
        self.note(alert, end_ms)
        return alert

    def note(self, alert: Alert, end_ms: int = 0) -> None:
        """Be in the state after this was said."""
        episodes = self._episodes.setdefault(alert.key, deque(maxlen=EPISODES_MAX))
        if alert.said == "raised":
            self.standing[alert.key] = Standing(alert, RAISED)
            episodes.append([alert.since_ms, _EVER_MS])
        elif alert.said == "cleared":
            self.standing.pop(alert.key, None)
            for episode in episodes:
                if episode[0] == alert.since_ms and episode[1] == _EVER_MS:
                    episode[1] = alert.windows[0].start_ms if alert.windows else episode[0] + 1
        elif alert.said == "past":
            episodes.append([alert.since_ms, end_ms or alert.since_ms + 1])
        elif alert.said in (ACKNOWLEDGED, ESCALATED):
            known = self.standing.get(alert.key)
            same = known is not None and known.raised.since_ms == alert.since_ms
            raised = known.raised if known and same else alert._replace(said="raised", by="", note="")
            self.standing[alert.key] = Standing(raised, alert.said, alert.by, alert.note)

    def known(self, key: Key, start_ms: int, end_ms: int) -> bool:
        """Whether it was told that this time exceeded; one right behind such a time is the same alert."""
        for episode in self._episodes.get(key, ()):
            if episode[0] <= start_ms < episode[1]:
                return True
            if start_ms == episode[1]:
                episode[1] = end_ms
                return True
        return False
