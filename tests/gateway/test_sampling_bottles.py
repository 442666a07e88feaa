"""The carousel as entries tell of it."""

from __future__ import annotations

from gateway.sampling.bottles import (
    BEGUN,
    FILLED,
    NO_FEEDBACK,
    NOT_SENT,
    Asked,
    Bottle,
    Carousel,
    Emptied,
    parse,
    refused,
)
from gateway.zone import DAY_MS, HOUR_MS, day_of
from protocol import cbor
from tests.gateway.test_provincial import T0

DAY = day_of(T0)


def bottle(number: int, state: str, begun_ms: int = T0, rule: str = "") -> Bottle:
    return Bottle(number, state, begun_ms, "x", "Lan", b"", rule)


def test_entries_are_read_back():
    one = Bottle(
        3, FILLED, T0, "đêm", "Lan", b"\x01" * 32, "limit/COD/1", "It closed.", (["COD", 1.5, 0, T0],)
    )
    assert parse(one.event()) == one
    assert parse(Emptied("Lan", "new ones").event()) == Emptied("Lan", "new ones")
    assert parse(refused(Asked(1, "x", "Lan"), "full")) is None
    for other in (b"", b"\x80", cbor.dumps(["bottle"]), cbor.dumps(["alert", "COD"]), cbor.dumps({"a": 1})):
        assert parse(other) is None
    assert parse(cbor.dumps(["bottle", "sampler", "three", FILLED, 0, "", "", b"", "", "", []])) is None


def test_numbers_count_what_may_be_full():
    carousel = Carousel()
    assert carousel.next == 1
    for said, following in (
        (bottle(1, BEGUN), 2),
        (bottle(1, FILLED), 2),
        (bottle(2, BEGUN, T0 + 1), 3),  # the gateway was stopped: nobody knows
        (bottle(3, BEGUN, T0 + 2), 4),
        (bottle(3, NOT_SENT, T0 + 2), 3),  # given back
        (bottle(3, BEGUN, T0 + 3), 4),
        (bottle(3, NO_FEEDBACK, T0 + 3), 4),
        (Emptied("Lan", ""), 1),
        (bottle(1, BEGUN, T0 + 9), 2),
    ):
        carousel.take(said)
        assert carousel.next == following, said


def test_a_day_is_one_of_vietnam_and_only_the_rules_bottles_count():
    carousel = Carousel([
        bottle(1, FILLED, DAY - 1, "limit/COD/1"),  # 23:59:59.999 of the day before
        bottle(2, BEGUN, DAY, "limit/COD/2"),
        bottle(3, FILLED, DAY + HOUR_MS),  # by hand
        bottle(4, NOT_SENT, DAY + HOUR_MS, "limit/COD/3"),
        Emptied("Lan", ""),  # what was taken out was filled all the same
        bottle(1, FILLED, DAY + DAY_MS - 1, "limit/COD/4"),
    ])  # fmt: skip
    assert [carousel.by_rule(ms) for ms in (DAY - 1, DAY, DAY + DAY_MS - 1, DAY + DAY_MS)] == [1, 2, 2, 0]
    assert (
        carousel.heard("limit/COD/2") and carousel.heard("limit/COD/3") and not carousel.heard("limit/COD/9")
    )
