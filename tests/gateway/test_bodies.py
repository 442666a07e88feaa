"""A frame's payload, the fast way: what cose.payload_of() says, of whatever stands there."""

from __future__ import annotations

import pytest

from gateway.journal import bodies
from protocol.cose import Mac0, payload_of
from protocol.errors import CodecError

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(bodies, "_prefixes", set())


def said(read, body: bytes) -> bytes | str:
    try:
        return read(body)
    except CodecError as error:
        return str(error)


def differing(body: bytes) -> list[bytes]:
    """Of all bodies that differ from it in one byte, or in their length, those that are read otherwise."""
    changed = [body[:at] + bytes((b,)) + body[at + 1 :] for at in range(len(body)) for b in range(256)]
    changed += [body[:length] for length in range(len(body))] + [body + b"\0"]
    return [one for one in changed if said(bodies.payload, one) != said(payload_of, one)]


@pytest.mark.parametrize("size", [0, 1, 23, 24, 25, 100, 255, 256, 300])
def test_every_changed_byte_is_read_as_by_cose(size):
    body = Mac0("st-01", KEY).seal(bytes(size))
    assert bodies.payload(body) == bodies.payload(body) == bytes(size)
    assert b"st-01" in b"".join(bodies._prefixes)
    assert not differing(body)


def test_a_long_id_that_looks_like_a_payload_is_none():
    # behind 24 bytes of id the place of a short id's payload is its last byte: "X" is 0x58
    for size in range(24, 256):
        body = Mac0("s" * 23 + "X", KEY).seal(bytes(size))
        assert bodies.payload(body) == bodies.payload(body) == bytes(size)
    assert not differing(body)


def test_control_a_beginning_that_nobody_read_is_not_believed():
    body = Mac0("st-01", KEY).seal(bytes(100))
    wrong = b"\xd2" + body[1:]
    assert said(bodies.payload, wrong) == said(payload_of, wrong)
    bodies._prefixes.add(wrong[: wrong[8] - 0x37])
    assert said(bodies.payload, wrong) != said(payload_of, wrong)


def test_beginnings_stay_few(monkeypatch):
    monkeypatch.setattr(bodies, "_PREFIXES_MAX", 3)
    for number in range(20):
        assert bodies.payload(Mac0(f"st-{number}", KEY).seal(bytes(50))) == bytes(50)
    assert len(bodies._prefixes) == 3
