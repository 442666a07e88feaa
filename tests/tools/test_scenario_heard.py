"""tools/scenario/heard.py: what a device says on its link and what cannot be; stepped_units.py's one rule."""

from __future__ import annotations

import asyncio

import pytest

from protocol import framing, messages
from protocol.cose import Mac0
from protocol.messages import Ack, Event, Hello, Readings, Summary
from protocol.reading import float_bits
from simulator.ledger import Ledger, Row
from simulator.stepped_units import at_once
from tools.scenario.heard import Heard
from tools.scenario.notes import STRANGE
from tools.scenario.polled import Answers

KEY = bytes(32)
NOW_MS, BASE_MS = 9_000_000, 8_000_000
HELLO = Hello(1, "f", "st-01", 7, bytes(8), bytes(8), (("cod", 1000, 0, ()),), 7, 1, 1, 5, "power")


class Link:
    """A link whose device has one instrument, which has answered 1.0, 2.0, 2.0 and 3.0."""

    def __init__(self) -> None:
        self.ledger, self.notes, answers = Ledger(), [], Answers()
        for n, value in enumerate((1.0, 2.0, 2.0, 3.0)):
            answers.times.append(BASE_MS + 1000 * n)
            answers.bits.append(float_bits(value))
        self.heard = Heard(
            "st-01", KEY, self.ledger, {"cod": "COD"}, {"COD": answers}, lambda: NOW_MS, self.notes.append
        )
        self.say(HELLO)

    def say(self, message) -> None:
        self.heard.said(b"\0" + self._frame(message))

    def told(self, message) -> None:
        self.heard.told(self._frame(message))

    @staticmethod
    def _frame(message) -> bytes:
        return framing.encode(Mac0("st-01", KEY).seal(messages.encode(message)))


def readings(first: int, *values: float | None, clock: int = 1) -> Readings:
    rows = [
        (0, 1000 * n, None if value is None else float_bits(value), 0 if value is not None else 10, 0)
        for n, value in enumerate(values)
    ]
    return Readings(7, first, BASE_MS, clock, tuple(rows))


def test_readings_are_noted_once_with_the_time_of_their_answers():
    link = Link()
    link.say(readings(1, 1.0, 2.0))
    link.heard.connected()
    link.say(readings(1, 1.0, 2.0))  # again, over another connection
    link.say(Event(7, 3, BASE_MS, 1, messages.START, ""))
    link.say(readings(4, 3.0))
    assert [(row.sequence, row.t_ms) for row in link.ledger.readings()] == [
        (1, BASE_MS), (2, BASE_MS + 1000), (4, BASE_MS + 3000),
    ]  # fmt: skip
    assert link.notes == []
    link.told(Ack(bytes(8), 7, 2, 0, True, 0))
    found = link.ledger.numbers([Row("st-01", 7, 1, BASE_MS, "COD", 1.0)])
    assert (found.attempts, found.acknowledged, found.ok, found.lost) == (3, 2, 1, 1)


def test_what_the_device_is_not_told_truly_counts_for_nothing():
    link = Link()
    link.say(readings(1, 1.0))
    frame = bytearray(link._frame(Ack(bytes(8), 7, 1, 0, True, 0)))
    frame[20] ^= 1
    link.heard.told(bytes(frame))
    assert link.ledger.numbers([]).acknowledged == 0


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (readings(1, 1.5), "reads 1.5 of COD, which no instrument has answered"),
        (readings(3, 1.0), "leaves out records 1 to 2 of boot 7"),
        (
            Summary(7, 1, BASE_MS, 1, 60_000, ((0, *[float_bits(1.0)] * 3, 5, 0, 0),)),
            "sums up readings from 1 to 1 of boot 7",
        ),
    ],
)
def test_what_is_strange_is_a_note(message, said):
    link = Link()
    link.say(message)
    assert [(note.kind, str(note)) for note in link.notes] == [(STRANGE, f"st-01 {said}")]


def test_a_record_that_is_sent_again_as_another_is_a_note():
    link = Link()
    link.say(readings(1, 1.0, None))
    link.say(readings(1, 2.0))
    assert [str(note) for note in link.notes] == ["st-01 sends record 1 of boot 7 again, and it is another"]


def test_an_instrument_that_waits_by_itself_is_an_error():
    async def answers() -> int:
        return 5

    async def waits() -> None:
        await asyncio.sleep(0)

    assert at_once(answers()) == 5
    with pytest.raises(RuntimeError, match="waits by itself"):
        at_once(waits())
