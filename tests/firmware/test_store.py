# runs on: cpython, micropython
# The store in memory. On flash: test_segments*.py; with power cuts: tests/power.

import struct

from firmware.clock import Clock
from firmware.pack import SPAN, SUMMARY
from firmware.store import DETAILS_MAX, ROWS_MAX, Store, pieces
from protocol import framing, messages, quality
from protocol.cose import Mac0
from tests.firmware.bench_board import BenchBoard

T = 1760000000000


def _store(capacity=100):
    board = BenchBoard()
    return board, Store(7, pieces(capacity, capacity), Clock(board))


def _put(store, n, told=1, begin=0):
    for i in range(n):
        store.put((begin + i) % 12, (T + 100 * (begin + i), told), 0x41C80000 + begin + i, quality.OK, 0)


# everything held, as records (sequence, ...), through batch()
def _all(store):
    records = []
    boot, sequence = store.first()
    while True:
        message = store.batch(boot, sequence)
        if message is None:
            return records
        if isinstance(message, messages.Event):
            assert message.seq == sequence
            records.append((sequence, message.time_ms, message.clock, message.kind, message.detail))
            sequence += 1
        else:
            assert message.first_seq == sequence
            for channel, offset_ms, raw, why, calibration in message.rows:
                records.append(
                    (sequence, message.base_ms + offset_ms, message.clock, channel, raw, why, calibration)
                )
                sequence += 1


def test_an_empty_store_names_the_next_record():
    _, store = _store()
    assert store.first() == (7, 1)
    assert store.batch(7, 1) is None
    _put(store, 1)
    store.release(7, 1)
    assert store.first() == (7, 2)
    assert store.batch(7, 1) is None and store.batch(7, 2) is None
    assert (store.emitted, store.acked, store.held) == (1, 1, 0)


def test_records_come_back_as_they_were_put():
    _, store = _store()
    expected = []
    for i in range(60):
        raw, why = ((0x7FA00001 + i, quality.FAULT), (None, quality.TIMEOUT), (0, quality.OK))[i % 3]
        store.put(i % 64, (T + 37 * i, 1), raw, why, 65535 - i)
        expected.append((i + 1, T + 37 * i, 1, i % 64, raw, why, 65535 - i))
    assert _all(store) == expected


def test_a_batch_starts_anywhere_and_has_a_limit():
    _, store = _store()
    _put(store, 60)
    for sequence in (1, 2, 30, 50, 60):
        batch = store.batch(7, sequence)
        assert batch.first_seq == sequence
        assert len(batch.rows) == min(ROWS_MAX, 61 - sequence)
    assert store.batch(7, 61) is None and store.batch(6, 1) is None and store.batch(8, 1) is None


def test_the_largest_batch_fits_a_frame():
    _, store = _store()
    for i in range(ROWS_MAX):
        store.put(63, (T + i * 0x1500000, 1), 0xFFFFFFFF, quality.FAULT, 65535)
    batch = store.batch(7, 1)
    assert len(batch.rows) == ROWS_MAX
    body = Mac0("d" * 32, bytes(32)).seal(messages.encode(batch))
    assert len(framing.encode(body)) <= framing.MAX_FRAME


def test_events_keep_their_place():
    board, store = _store()
    board.now_ms = 55
    _put(store, 3)
    store.event(messages.DOOR, "open")
    store.event(messages.DOOR, "")
    _put(store, 2, begin=3)
    kinds = [type(store.batch(7, sequence)) for sequence in (1, 4, 5, 6)]
    assert kinds == [messages.Readings, messages.Event, messages.Event, messages.Readings]
    assert len(store.batch(7, 1).rows) == 3 and len(store.batch(7, 6).rows) == 2
    assert store.batch(7, 4) == messages.Event(7, 4, 55, 0, messages.DOOR, "open")


def test_clock_states_are_never_mixed():
    _, store = _store()
    _put(store, 5, told=0)
    _put(store, 5, told=1)
    assert len(store.batch(7, 1).rows) == 5 and store.batch(7, 1).clock == 0
    assert len(store.batch(7, 6).rows) == 5 and store.batch(7, 6).clock == 1
    assert [record[2] for record in _all(store)] == [0] * 5 + [1] * 5


def test_time_that_runs_backwards_ends_a_batch():
    _, store = _store()
    for time_ms in (T, T + 5, T + 4, T + 4, T - 1000000000):
        store.put(0, (time_ms, 1), 1, quality.OK, 0)
    assert [len(store.batch(7, sequence).rows) for sequence in (1, 3, 5)] == [2, 2, 1]
    assert [record[1] for record in _all(store)] == [T, T + 5, T + 4, T + 4, T - 1000000000]


def test_a_full_ring_drops_the_oldest_counts_and_reports():
    _, store = _store(64)
    _put(store, 64)
    assert store.discarded == 0
    _put(store, 10, begin=64)
    assert (store.discarded, store.held, store.first()) == (10, 64, (7, 11))
    assert store.batch(7, 10) is None
    assert [record[0] for record in _all(store)] == list(range(11, 75))
    assert [record[4] for record in _all(store)] == [0x41C80000 + i for i in range(10, 74)]
    store.release(7, 20)
    last = _all(store)[-1]
    assert last[0] == 75 and last[3] == messages.DISCARDED and last[4] == "10 records, 1 to 10 of boot 7"
    store.release(7, 75)
    assert (store.emitted, store.acked, store.held, store.discarded) == (75, 75, 0, 10)


# Three ranges are told when memory has room for one event: the others push out the oldest records, which are
# counted in their turn, and are no reason to tell the three again.
def test_a_discard_is_told_once_when_memory_is_full():
    _, store = _store(64)
    _put(store, 70)
    store.release(7, 10)
    store.release(7, store.emitted)  # that was told
    _put(store, 64)
    store._gone = [[1, 5, 1, 5, 1], [1, 6, 3, 6, 3], [1, 6, 5, 6, 5]]
    store.release(7, store.emitted - 63)
    store.release(7, store.emitted)
    store.release(7, store.emitted)
    assert store.newest_event == (messages.DISCARDED, "2 records, 73 to 74 of boot 7")
    assert store.emitted == 70 + 1 + 64 + 3 + 1


def test_release_is_only_for_what_was_made():
    _, store = _store()
    _put(store, 5)
    for boot, sequence in ((6, 5), (8, 5), (7, 6), (7, 1000), (0, 0), (7, 0)):
        store.release(boot, sequence)
        assert store.held == 5
    store.release(7, 3)
    store.release(7, 2)
    assert (store.held, store.acked, store.first()) == (2, 3, (7, 4))


def test_the_ring_wraps_many_times():
    _, store = _store(64)
    for i in range(40):
        _put(store, 17, begin=17 * i)
        assert [record[4] for record in _all(store)] == [0x41C80000 + 17 * i + k for k in range(17)]
        store.release(7, store.emitted)
    assert store.discarded == 0 and store.acked == 680


def test_event_texts_are_bounded_events_are_not():
    _, store = _store(500)
    for i in range(50):
        store.event(messages.DOOR, f"{i} " + "ở" * 400)
    records = _all(store)
    assert len(records) == 50
    assert records[0][4].startswith("0 ở") and records[-1][4] == ""  # what was put stays as it is
    texts = [len(record[4].encode()) for record in records if record[4]]
    assert len(texts) >= 5 and sum(texts) < DETAILS_MAX and max(texts) <= messages.TEXT_MAX
    body = Mac0("d" * 32, bytes(32)).seal(messages.encode(store.batch(7, 1)))
    assert len(framing.encode(body)) <= framing.MAX_FRAME


def test_what_the_gateway_needs_to_read_is_said_however_full_memory_is():
    _, store = _store(500)
    for i in range(50):
        store.event(messages.DOOR, f"{i} " + "x" * 400)
    for kind, detail in ((messages.CLOCK_SET, [5, T]), (messages.DISCARDED, "1 records, 1 to 1 of boot 6")):
        store.event(kind, detail)
        assert store.batch(7, store.emitted).detail == detail
    store.release(7, 20)
    store.event(messages.DOOR, "open")
    assert store.batch(7, store.emitted).detail == "open"


def test_the_uplink_is_woken_by_every_record():
    _, store = _store()
    woken = []
    store.on_put = lambda urgent: woken.append((store.emitted, bool(urgent)))
    _put(store, 2)
    store.event(messages.DOOR, "")
    store._append(3, SUMMARY, 0, 0, (T, 1), struct.pack(SPAN, 0, 0, 1, 60000))
    assert woken == [(1, False), (2, False), (3, True), (4, False)]


def test_without_flash_the_number_simply_rises():
    _, store = _store()
    _put(store, 5)
    store.renumber(80)
    assert store.boot == 81 and store.first() == (81, 1) and len(store.batch(81, 1).rows) == 5
