"""Bottles as the journal tells of them: which are filled, for whom, how many by rule today. Pure.

    EVENT  ["bottle", "sampler", number, state, begun_ms, reason, who, ask, rule, text, values]
    EVENT  ["carousel", "sampler", who, reason]       it was emptied: numbers begin at 1 again
    EVENT  ["no bottle", "sampler", reason, who, ask, rule, text]       asked for, and not begun

Rule 1: BEGUN is on disk before anything moves, and counts: a bottle of which nothing else is known may be
        full. Only NOT_SENT, which is certain, gives its number back.
Rule 2: a day is one of GMT+7, of begun_ms.
`ask`: digest of the department's command, b"" without one; `rule`: name of the alert that made it, "" without
one; `values`: [symbol, value or None, quality, time_ms] of every channel, the newest of that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gateway.reports.layout import stamp
from gateway.zone import day_of
from protocol import cbor
from protocol.errors import CodecError

BOTTLE, CAROUSEL, NO_BOTTLE = "bottle", "carousel", "no bottle"
SAMPLER = "sampler"
BEGUN = "begun"
FILLED = "filled"  # the feedback contact said so
UNCHECKED = "unchecked"  # there is no feedback contact
NO_FEEDBACK = "no feedback"  # it may be filled or not
NOT_SENT = "not sent"  # nothing moved
STATES = (BEGUN, FILLED, UNCHECKED, NO_FEEDBACK, NOT_SENT)


class Asked(NamedTuple):
    """Who wants how many bottles filled, and why."""

    bottles: int
    reason: str
    who: str
    ask: bytes = b""
    rule: str = ""


class Bottle(NamedTuple):
    """One bottle, at one moment."""

    number: int
    state: str
    begun_ms: int
    reason: str
    who: str
    ask: bytes = b""
    rule: str = ""
    text: str = ""  # a sentence, of what is not BEGUN
    values: Sequence[Sequence[Any]] = ()

    def event(self) -> bytes:
        """Body of its EVENT entry."""
        return cbor.dumps([BOTTLE, SAMPLER, *self[:-1], [list(value) for value in self.values]])

    @property
    def name(self) -> str:
        """Of this filling of it, such as bottle/3/20260325100000."""
        return f"{BOTTLE}/{self.number}/{stamp(self.begun_ms)}"

    def told(self) -> dict[str, Any]:
        """For pages, answers and files."""
        return {
            "bottle": self.number, "state": self.state, "begun_ms": self.begun_ms, "reason": self.reason,
            "who": self.who, "ask": self.ask.hex(), "rule": self.rule, "text": self.text,
            "values": [list(value) for value in self.values],
        }  # fmt: skip


class Emptied(NamedTuple):
    """Somebody put empty bottles in."""

    who: str
    reason: str

    def event(self) -> bytes:
        """Body of its EVENT entry."""
        return cbor.dumps([CAROUSEL, SAMPLER, *self])


def refused(asked: Asked, text: str) -> bytes:
    """Body of the EVENT entry about bottles that were asked for, and of which none was begun."""
    return cbor.dumps([NO_BOTTLE, SAMPLER, asked.reason, asked.who, asked.ask, asked.rule, text])


def parse(body: bytes) -> Bottle | Emptied | None:
    """The inverse of event(); None for any other event."""
    try:
        found: Any = cbor.loads(body)
        name, _, *fields = found
        if name == BOTTLE:
            one = Bottle(*fields[:9])
            one = one._replace(values=tuple(one.values))
            return one if type(one.number) is int and one.state in STATES else None
        if name == CAROUSEL:
            return Emptied(*fields[:2])
    except (CodecError, TypeError, ValueError):
        pass
    return None


class Carousel:
    """What is in it. take() everything that the journal says, in its order."""

    def __init__(self, said: Iterable[Bottle | Emptied] = ()):
        self.bottles: dict[int, Bottle] = {}  # since it was emptied last, by number
        self._by_rule: dict[tuple[int, int], Bottle] = {}  # by begun_ms and number, whatever was emptied
        self._rules: set[str] = set()
        for one in said:
            self.take(one)

    def take(self, said: Bottle | Emptied) -> None:
        """Hear of it."""
        if isinstance(said, Emptied):
            self.bottles.clear()
            return
        place = said.begun_ms, said.number
        if said.rule:
            self._rules.add(said.rule)
        if said.state == NOT_SENT:
            if said.number in self.bottles and self.bottles[said.number].begun_ms == said.begun_ms:
                del self.bottles[said.number]
            self._by_rule.pop(place, None)
            return
        known = self.bottles.get(said.number)
        if known is None or known.begun_ms <= said.begun_ms:
            self.bottles[said.number] = said
        if said.rule:
            self._by_rule[place] = said

    @property
    def next(self) -> int:
        """The number of the next bottle, from 1 on."""
        return max(self.bottles, default=0) + 1

    def by_rule(self, now_ms: int) -> int:
        """Bottles of this day that nobody but a rule asked for."""
        today = day_of(now_ms)
        return sum(day_of(begun_ms) == today for begun_ms, _ in self._by_rule)

    def heard(self, rule: str) -> bool:
        """Whether a bottle was begun because of this alert."""
        return rule in self._rules
