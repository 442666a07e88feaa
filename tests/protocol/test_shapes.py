"""A payload of a known shape is read as records.py reads it field by field, and refused as there."""

from __future__ import annotations

from random import Random

import pytest

from protocol import messages, shapes
from protocol.errors import CodecError
from protocol.messages import Readings
from protocol.quality import TIMEOUT

EDGES = (0, 1, 23, 24, 255, 256, 65535, 65536, 2**31 - 1)
SEQS = (1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(shapes, "_shapes", {})


def read(payload: bytes, known: dict) -> Readings | str:
    """With these shapes known, and no other."""
    shapes._shapes.clear()
    shapes._shapes.update(known)
    try:
        return messages.decode(payload)
    except CodecError as error:
        return str(error)


def station(rng: Random, count: int = 5) -> Readings:
    """As one station sends them again and again."""
    rows = [(n, 300 + 100 * n + rng.randrange(50), rng.getrandbits(32), 0, n % 3) for n in range(count)]
    return Readings(7, 70_000 + rng.randrange(1000), 1_780_000_000_000 + rng.randrange(10**9), 1, tuple(rows))


def any_readings(rng: Random) -> Readings:
    rows = tuple(
        (
            rng.choice((0, 23, 24, 255)),
            rng.choice(EDGES),
            rng.getrandbits(32),
            rng.randrange(4),
            rng.choice((0, 23, 24, 300)),
        )
        for _ in range(rng.choice((1, 2, 23, 24, 30, 64)))
    )
    return Readings(
        rng.choice((1, 24, 2**32 - 1)), rng.choice(SEQS), rng.choice((0, *SEQS)), rng.randrange(2), rows
    )


def test_what_is_read_by_its_shape_is_what_was_written():
    rng = Random(1)
    for _ in range(200):
        sent = any_readings(rng)
        payload = messages.encode(sent)
        assert read(payload, {}) == sent
        assert shapes.read(payload) == sent, "its own shape reads it"
    first = messages.encode(station(rng))
    messages.decode(first)
    for _ in range(200):
        sent = station(rng)
        assert shapes.read(messages.encode(sent)) == sent, "the shape of another one of the station reads it"


def differing(payload: bytes) -> list[bytes]:
    """Of all payloads that differ from it in one byte, those that are not read as without shapes."""
    known = dict(shapes._shapes)
    found = []
    for at in range(len(payload)):
        for byte in range(256):
            changed = payload[:at] + bytes((byte,)) + payload[at + 1 :]
            if read(changed, known) != read(changed, {}):
                found.append(changed)
    return found


WIDTHS = Readings(
    24,
    300,
    1_780_000_000_000,
    1,
    ((0, 5, 0x41C80000, 0, 0), (3, 30, 1, 1, 24), (24, 300, 0x7FC00000, 0, 1), (2, 70_000, 0, 2, 300)),
)
"""An offset, and a number that stands still, of every width."""


def test_every_changed_byte_is_read_as_without_shapes():
    for sent in (WIDTHS, station(Random(2), 3), WIDTHS._replace(boot=1, first_seq=1, base_ms=0, clock=0)):
        payload = messages.encode(sent)
        messages.decode(payload)
        assert shapes.read(payload) == sent
        assert not differing(payload)


def test_control_without_bounds_longer_encodings_are_accepted():
    payload = messages.encode(WIDTHS)
    messages.decode(payload)
    shape = shapes._shapes[len(payload)]
    shape._bounds = [(0, 1 << 64)] * len(shape._bounds)
    assert differing(payload)


def test_control_when_what_stands_still_is_not_looked_at():
    payload = messages.encode(WIDTHS)
    messages.decode(payload)
    shapes._shapes[len(payload)]._still = Anything()
    assert differing(payload)


class Anything:
    def __eq__(self, other):
        return True

    __hash__ = None


def test_rows_that_have_no_shape_are_read_all_the_same():
    for row in ((0, -5, 1, 0, 0), (0, 300, None, TIMEOUT, 0)):
        sent = Readings(1, 1, 0, 0, ((1, 300, 7, 0, 0), row))
        payload = messages.encode(sent)
        assert messages.decode(payload) == sent
        assert shapes.read(payload) is None


def test_a_shape_gives_way_to_another_of_its_length():
    one, other = station(Random(3)), station(Random(3))._replace(boot=8)
    for sent in (one, *[other] * (shapes.PATIENCE + 1)):
        assert messages.decode(messages.encode(sent)) == sent
    assert shapes.read(messages.encode(one)) is None
    assert shapes.read(messages.encode(other)) == other


def test_they_stay_few(monkeypatch):
    monkeypatch.setattr(shapes, "SHAPES_MAX", 3)
    for count in range(1, 20):
        messages.decode(messages.encode(station(Random(4), count)))
        assert 1 <= len(shapes._shapes) <= 3
    messages.decode(messages.encode(station(Random(4), 20)))
    assert len(shapes._shapes) in (2, 3), "none goes while there is room"


def test_a_device_keeps_none(monkeypatch):
    monkeypatch.setattr(shapes, "SHAPES_MAX", 0)
    sent = station(Random(5))
    assert messages.decode(messages.encode(sent)) == sent
    assert not shapes._shapes
