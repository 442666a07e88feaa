"""The planner: which requests, and that their answers are decoded to the bit as in protocol.registers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ingest.decoding import BIT_TABLES
from gateway.ingest.planner import plan_line
from protocol import quality
from protocol.profile import ratio
from protocol.registers import ORDERS, TYPES, raw_bits, words_of
from tests.gateway.line_rig import number, source


def shape(polls):
    return [(b.unit, b.function, b.address, b.count) for poll in polls for b in poll.blocks]


def test_a_hundred_floats_take_two_requests_and_none_is_split():
    polls = plan_line(enumerate(source(2 * q, type="float32") for q in range(100)))
    assert shape(polls) == [(1, 3, 0, 124), (1, 3, 124, 76)]
    assert polls[0].channels == tuple(range(100))
    assert sorted(c for b in polls[0].blocks for c in b.channels) == list(range(100))


def test_holes_up_to_the_gap_are_read_along():
    near, far = source(0), source(9)
    assert shape(plan_line([(0, near), (1, far)], gap=8)) == [(1, 3, 0, 10)]
    assert shape(plan_line([(0, near), (1, far)], gap=7)) == [(1, 3, 0, 1), (1, 3, 9, 1)]


def test_an_instrument_opts_out_of_merging_alone():
    wired = [source(0, merge=False), source(1), source(0, unit=2), source(1, unit=2)]
    assert shape(plan_line(enumerate(wired))) == [(1, 3, 0, 1), (1, 3, 1, 1), (2, 3, 0, 2)]


def test_tables_units_periods_and_phases_are_kept_apart():
    wired = [
        source(0),
        source(1, table="input"),
        source(2, unit=2),
        source(3, poll_ms=2000),
        source(4, phase_ms=250),
        source(5, phase_ms=1250),  # the same grid as 250
        source(6, table="coil"),
        source(7, table="discrete"),
    ]
    polls = plan_line(enumerate(wired))
    assert [(p.unit, p.poll_ms, p.phase_ms, p.channels) for p in polls] == [
        (1, 1000, 0, (0, 1, 6, 7)),
        (1, 1000, 250, (4, 5)),
        (1, 2000, 0, (3,)),
        (2, 1000, 0, (2,)),
    ]
    assert [b.function for b in polls[0].blocks] == [3, 4, 1, 2]


sources = st.lists(
    st.builds(
        source,
        st.integers(0, 300),
        type=st.sampled_from(TYPES),
        table=st.sampled_from(("holding", "input", "coil", "discrete")),
        word_order=st.sampled_from(ORDERS),
        scale=st.sampled_from((1.0, 1.0, 1.0, 0.1, 0.25, 10.0, -1.0, 3.3)),
        offset=st.sampled_from((0.0, 0.0, -40.0)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(sources, st.data())
def test_decoding_equals_the_protocol_bit_for_bit(wired, data):
    decoded = {}
    for poll in plan_line(enumerate(wired)):
        for block in poll.blocks:
            assert block.count <= (2000 if block.function < 3 else 125)
            answer = data.draw(st.binary(min_size=block.answer_bytes, max_size=block.answer_bytes))
            rows = block.decode(answer, 7, quality.OK)
            assert sorted(row[0] for row in rows) == sorted(block.channels)
            for channel, time_ms, bits, given_quality in rows:
                assert time_ms == 7
                decoded[channel] = bits
                assert bits == slow_way(wired[channel], block, answer)
                value = number(bits)
                expected = quality.FAULT if value != value else quality.OK
                if value in (float("inf"), float("-inf")):
                    expected = quality.OUT_OF_RANGE
                assert given_quality == expected
    assert sorted(decoded) == list(range(len(wired)))


def slow_way(wired, block, answer):
    """An independent reading of the answer, value by value."""
    at = wired.register - block.address
    multiply, divide = ratio(wired.scale)
    if wired.table in BIT_TABLES:
        bit = answer[at // 8] >> (at % 8) & 1
        return raw_bits((bit,), "uint16", "ABCD", multiply, divide, wired.offset)
    words = struct.unpack(f">{len(answer) // 2}H", answer)[at : at + words_of(wired.type)]
    return raw_bits(words, wired.type, wired.word_order, multiply, divide, wired.offset)


@pytest.mark.parametrize("order", ORDERS)
def test_nan_patterns_pass_untouched_and_are_a_fault(order):
    from protocol.registers import words_of_bits

    poll = plan_line([(5, source(0, type="float32", word_order=order))])[0]
    for bits, expected in ((0x7FC00001, quality.FAULT), (0xFF812345, quality.FAULT), (0x7F800000, 6)):
        answer = struct.pack(">2H", *words_of_bits(bits, order))
        assert poll.blocks[0].decode(answer, 1, quality.OK) == [(5, 1, bits, expected)]


def test_a_value_of_untrusted_time_says_so_and_a_reason_goes_before_it():
    block = plan_line([(0, source(0, type="float32")), (1, source(2, type="float32"))])[0].blocks[0]
    answer = struct.pack(">fI", 1.0, 0x7FC00000)
    rows = block.decode(answer, 1, quality.TIME_UNTRUSTED)
    assert [row[3] for row in rows] == [quality.TIME_UNTRUSTED, quality.FAULT]
    assert block.without_value(3, quality.TIMEOUT) == [(0, 3, None, 4), (1, 3, None, 4)]


def test_a_decimal_scale_divides():
    assert ratio(0.1) == (1, 10)
    assert ratio(0.001) == (1, 1000)
    assert ratio(-0.01) == (-1, 100)
    assert ratio(1.0) == (1.0, 1)
    assert ratio(2.5) == (5, 2)
    assert ratio(0.3) == (3, 10)
    assert number(raw_bits((253,), "uint16", "ABCD", *ratio(0.1))) == number(
        struct.unpack("<I", struct.pack("<f", 25.3))[0]
    )
