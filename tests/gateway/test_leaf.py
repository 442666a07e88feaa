"""An entry's bytes, both ways: the quick way of reading them against the general one."""

from __future__ import annotations

import random

import pytest

from gateway.journal import leaf as leaves
from gateway.journal.leaf import Leaf, first_bytes, leaf_bytes, parse
from protocol.merkle import EvidenceError

EDGES = (0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)
LENGTHS = (0, 1, 23, 24, 255, 256, 65_535, 65_536)


def some():
    for kind in (1, 7, 23, 24, 300):
        for source in ("", "gateway", "device/st-01", "x" * 23, "x" * 24, "trạm/1"):
            for arrived in (1_774_397_100_000, *EDGES):
                for mono in (*EDGES, -1):
                    yield Leaf(kind, source, arrived, mono, bytes(30))
    for length in LENGTHS:
        yield Leaf(1, "device/st-01", 1_774_397_100_000, 70_000, bytes(length))


@pytest.fixture(autouse=True)
def nothing_read_before(monkeypatch):
    monkeypatch.setattr(leaves, "_beginnings", {})


@pytest.fixture
def generally(monkeypatch):
    """parse() without the quick way."""

    def slowly(data: bytes) -> Leaf | None:
        with monkeypatch.context() as patch:
            patch.setattr(leaves, "_usual", lambda data: None)
            try:
                return parse(data)
            except EvidenceError:
                return None

    return slowly


def quickly(data: bytes) -> Leaf | None:
    try:
        return parse(data)
    except EvidenceError:
        return None


def test_what_is_written_is_read_the_first_time_and_again():
    quick = 0
    for leaf in some():
        data = leaf_bytes(*leaf)
        assert parse(data) == parse(data) == leaf
        assert [kind for kind in range(24) if data.startswith(first_bytes(kind))] == [leaf.kind] * (
            leaf.kind < 24
        )
        quick += leaves._usual(data) is not None
    assert quick > 200, "the quick way is one that is taken"


def test_when_it_arrived_is_told_of_what_begins_like_one_that_was_read():
    assert leaves.arrived_ms(b"") is leaves.arrived_ms(b"\x85\x01") is None
    told = 0
    for leaf in some():
        data = leaf_bytes(*leaf)
        if (leaf.kind, leaf.source) not in leaves._beginnings.values():
            assert leaves.arrived_ms(data) is None
        parse(data)
        usual = leaf.kind < 24 and len(leaf.source.encode()) < 24 and leaf.arrived_ms >= 1 << 32
        assert leaves.arrived_ms(data) == (leaf.arrived_ms if usual else None)
        told += usual
    assert told > 200


def test_both_ways_read_the_same_and_refuse_the_same(generally):
    """Every bit of some entries, cut short, drawn out, and heads that are longer than they need be."""
    chance = random.Random(1)
    for length, mono in ((30, 300), (30, 70_000), (300, 1 << 40)):
        data = leaf_bytes(1, "device/st-01", 1_774_397_100_000, mono, chance.randbytes(length))
        assert parse(data) and leaves._usual(data)
        changed = [data[:at] for at in range(len(data))] + [data + b"\0", b"", b"\x85", b"\x85\x01\xff"]
        for at in range(len(data)):
            changed += [data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :] for bit in range(8)]
            changed += [data[:at] + data[at + 1 :], data[:at] + b"\0" + data[at:]]
        for one in changed:
            assert quickly(one) == generally(one), one
    arrived = b"\x1b" + (1 << 41).to_bytes(8, "big")
    begin = leaves.before(1, "device/st-01")
    parse(leaf_bytes(1, "device/st-01", 1 << 41, 300, bytes(30)))
    for middle in (b"\x19\x00\xff", b"\x1a\x00\x00\xff\xff", b"\x1b" + bytes(4) + b"\xff" * 4, b"\x18\x17"):
        assert quickly(begin + arrived + middle + b"\x58\x1e" + bytes(30)) is None
    for body in (
        b"\x58\x17" + bytes(23),
        b"\x59\x00\xff" + bytes(255),
        b"\x5a\x00\x00\xff\xff" + bytes(65_535),
    ):
        assert quickly(begin + arrived + b"\x19\x01\x2c" + body) is None


def test_control_a_quick_way_that_does_not_look_at_its_heads_is_caught(generally, monkeypatch):
    short = {head: (unpack, size, -1) for head, (unpack, size, _) in leaves._MONOTONIC.items()}
    monkeypatch.setattr(leaves, "_MONOTONIC", short)
    parse(leaf_bytes(1, "device/st-01", 1 << 41, 300, bytes(30)))
    data = leaves.before(1, "device/st-01") + b"\x1b" + (1 << 41).to_bytes(8, "big") + b"\x19\x00\xff"
    data += b"\x58\x1e" + bytes(30)
    assert quickly(data) is not None and generally(data) is None


def test_strangers_names_are_not_remembered_without_end():
    for n in range(1000):
        parse(leaf_bytes(1, f"device/{n}", 0, 0, b""))
    assert len(leaves._beginnings) <= leaves._BEGINNINGS_MAX
