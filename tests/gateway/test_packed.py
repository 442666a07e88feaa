"""How bodies lie in the journal, and that nobody who reads it sees a difference."""

from __future__ import annotations

import sqlite3
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import JournalError
from gateway.journal import database, packed
from gateway.journal.kinds import EVENT, FRAME, POLL, WINDOW
from gateway.journal.packed import stored_body, to_store
from gateway.journal.reader import Reader
from protocol.cose import Mac0
from protocol.merkle import leaf_hash
from protocol.messages import encode
from simulator.device_load import FULL, _live_readings
from tests.gateway.journal_rig import event, frames, with_journal

KEY = b"k" * 32


def frame(journal, seq: int, body: bytes):
    (made,) = frames(journal, seq, 1)
    return made._replace(body=body)


ROWS = st.lists(
    st.builds(
        lambda channel, offset, value, rest: b"".join(
            (b"\x85", channel, b"\x19", offset, b"\xfa", value, rest)
        ),
        *[st.binary(min_size=size, max_size=size) for size in (1, 2, 4, 2)],
    ),
    max_size=300,
).map(b"".join)
"""Rows of the shape that is looked for, whatever they say."""


@given(
    st.sampled_from([FRAME, POLL]),
    st.binary(max_size=600)
    | st.binary(max_size=9).map(lambda b: b * 60)
    | st.tuples(st.binary(max_size=40), ROWS, st.binary(min_size=34, max_size=34) | st.just(b"")).map(
        b"".join
    ),
)
def test_every_body_comes_back(kind, body):
    for lying in (to_store(kind, body), packed.marked(kind, body)):
        assert stored_body(kind, lying) == body
        assert len(lying) <= len(body) or body[:1] in (b"\0", b"\1")


@given(st.binary(max_size=300), st.sampled_from([b"\0", b"\1"]))
def test_control_without_the_mark_for_bodies_that_begin_like_it_one_is_read_as_another(tail, mark):
    noisy = encode(_live_readings(1, 0, 20, 1_774_397_100_000))
    body = to_store(POLL, (b"x" * 300 if mark == b"\0" else noisy[:-1]) + tail * (mark == b"\0") + noisy[-1:])
    assert body.startswith(mark)  # a body that looks as if it were packed
    assert stored_body(POLL, body) != body and stored_body(POLL, to_store(POLL, body)) == body


@pytest.mark.parametrize("kind", [FRAME, POLL])
def test_rows_with_noise_lie_by_columns_and_in_less(kind):
    body = encode(_live_readings(1, 0, FULL, 1_774_397_100_000))
    body = Mac0("st-01", KEY).seal(body) if kind == FRAME else body
    lying = to_store(kind, body)
    assert lying.startswith(packed.BY_COLUMNS) and stored_body(kind, lying) == body
    by_rows = packed.MARK + packed._deflated(body)
    assert len(lying) < 0.8 * len(by_rows) and stored_body(kind, by_rows) == body


def test_control_columns_that_are_put_together_otherwise_are_found(monkeypatch):
    body = encode(_live_readings(1, 0, FULL, 1_774_397_100_000))
    lying = to_store(POLL, body)
    monkeypatch.setattr(packed, "_ROW_BYTES", 11)
    assert stored_body(POLL, lying) != body


@pytest.mark.parametrize("kind", [WINDOW, EVENT])
def test_what_sql_looks_into_lies_as_it_is(kind):
    assert to_store(kind, b"alert " * 100) == b"alert " * 100 == stored_body(kind, b"alert " * 100)


@pytest.mark.parametrize(
    "lying",
    [b"\0", b"\0\xff\xff", to_store(FRAME, b"x" * 300)[:-2], to_store(FRAME, b"x" * 300) + b"y",
     b"\0" + zlib.compress(bytes(packed.MOST_BYTES + 1), wbits=-15),
     b"\1", b"\1" + zlib.compress(b"", wbits=-15), b"\1" + zlib.compress(b"\x05" + bytes(60), wbits=-15)],
)  # fmt: skip
def test_what_cannot_be_unpacked_is_given_as_it_lies(lying):
    assert stored_body(FRAME, lying) == lying


def test_a_full_frame_of_a_station_fits_into_a_page():
    """Its row has some 80 bytes besides; one of more than 477 goes on in a page of its own (SQLite's file
    format, chapter 1.6).
    """
    mac = Mac0("st-01", KEY)
    for number in range(100):
        body = mac.seal(encode(_live_readings(1, number * FULL, FULL, 1_774_397_100_000)))
        assert len(body) > 560 and len(to_store(FRAME, body)) + 80 < database.PAGE_BYTES - 35


def test_readers_see_what_was_given_and_the_leaf_is_of_that(tmp_path):
    path = tmp_path / "journal.db"
    given = [bytes([n]) * 400 for n in range(5)]

    async def story(journal):
        await journal.commit(entries=[frame(journal, 1 + 10 * n, body) for n, body in enumerate(given)])
        await journal.commit(entries=[event(journal, "between")])
        many = [frame(journal, 51 + 10 * n, b"m" * 300) for n in range(packed.MOST_AT_ONCE + 1)]
        await journal.commit(entries=many)

    with_journal(path, story)
    reader = Reader(path)
    entries = [entry for entry in reader.entries() if entry.kind == FRAME]
    lying = [body for (body,) in reader.rows("SELECT body FROM entry WHERE kind = ? ORDER BY idx", FRAME)]
    reader.close()
    assert [entry.body for entry in entries[:5]] == given
    assert all(leaf_hash(entry.leaf_bytes()) == entry.leaf for entry in entries)
    assert all(len(body) < 40 for body in lying[:5]), "a few are packed"
    assert all(body == b"m" * 300 for body in lying[5:]), "very many are not"


def test_a_packed_body_that_was_changed_is_found_at_the_next_start(tmp_path):
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=[frame(journal, 1, b"a" * 300)]))
    for other in (to_store(FRAME, b"b" * 300), b"\0\xff"):
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TRIGGER IF EXISTS entry_unchanged")
            connection.execute("UPDATE entry SET body = ? WHERE kind = ?", (other, FRAME))
        connection.close()
        with pytest.raises(JournalError, match="does not match its hash"):
            with_journal(path, lambda journal: journal.commit(entries=[event(journal, "x")]))
