# runs on: cpython, micropython
# The uplink's own decisions, with time that the test moves. Over real links: test_link.py.

from firmware.clock import Clock
from firmware.pack import EVENT
from firmware.store import ROWS_MAX, Store, pieces
from firmware.uplink import HOLD_MS, NAP_MS, SILENT_MS, Uplink
from protocol import messages
from protocol.cose import Mac0
from protocol.session import LIVE, DeviceSession
from tests.firmware.bench_board import BenchBoard


def _uplink(**options):
    board = BenchBoard()
    clock = Clock(board)
    store = Store(7, pieces(64, 64), clock)
    session = DeviceSession(lambda: _hello(store), store, board.ticks_diff)
    return (
        board,
        store,
        Uplink(board, {}, session, Mac0("st-01", bytes(32)), clock, store, None, None, **options),
    )


def _hello(store):
    return messages.Hello(1, "x", "st-01", 7, bytes(8), bytes(8), (), *store.first(), 1, 0, "x")


# ... that has been greeted.
def _live(**options):
    board, store, uplink = _uplink(**options)
    uplink._clock.tell(0, True, 0)
    uplink._session.link_up(0)
    uplink._message()
    uplink._session.receive(messages.Welcome(1, bytes(8), 7, 0, 0, True), 0)
    assert uplink._session.state == LIVE
    return board, store, uplink


def _put(board, store, n):
    for _ in range(n):
        store.put(0, (board.now_ms, 1), 1, 0, 0)


def test_readings_wait_for_company():
    board, store, uplink = _live()
    _put(board, store, 1)
    board.now_ms = 100
    _put(board, store, 9)
    assert uplink._message() is None and not uplink._wake.is_set()
    board.now_ms = HOLD_MS - 1
    assert uplink._message() is None
    board.now_ms = HOLD_MS
    assert len(uplink._message().rows) == 10
    assert uplink._message() is None


def test_it_looks_again_when_what_waits_is_due_and_not_later():
    """The nap between two looks must not be added to the wait."""
    board, store, uplink = _live(hold_ms=1000)
    _put(board, store, 1)
    assert uplink._message() is None and uplink._nap_ms == NAP_MS
    board.now_ms = 700
    assert uplink._message() is None and uplink._nap_ms == 300
    board.now_ms = 1000
    assert len(uplink._message().rows) == 1
    assert uplink._nap_ms == NAP_MS


def test_whoever_wants_no_company_sends_each_row_at_once():
    board, store, uplink = _live(hold_ms=0)
    _put(board, store, 1)
    assert len(uplink._message().rows) == 1


def test_a_full_frame_goes_at_once_and_what_is_left_waits():
    board, store, uplink = _live()
    _put(board, store, ROWS_MAX + 2)
    assert uplink._wake.is_set()
    assert len(uplink._message().rows) == ROWS_MAX
    board.now_ms = HOLD_MS - 1
    assert uplink._message() is None
    _put(board, store, 3)
    board.now_ms = HOLD_MS
    assert len(uplink._message().rows) == 5
    assert uplink._message() is None


def test_an_event_goes_at_once_with_all_before_it():
    board, store, uplink = _live()
    _put(board, store, 3)
    store.event(messages.DOOR, "open")
    assert uplink._wake.is_set()
    assert len(uplink._message().rows) == 3
    assert uplink._message().detail == "open"
    assert uplink._message() is None
    _put(board, store, 1)
    assert uplink._message() is None, "what comes after it waits again"


def test_a_seal_does_not_hurry():
    board, store, uplink = _live()
    store._details[1] = bytes(72)
    store._append(0, EVENT, 0, 0, (0, 1))
    assert not uplink._wake.is_set() and uplink._message() is None
    board.now_ms = HOLD_MS
    assert type(uplink._message()) is messages.Seal


def test_a_gateway_that_owes_nothing_is_not_silent():
    board, store, uplink = _uplink()
    for _ in range(100):  # a poll every five minutes, acknowledged at once
        for _ in range(600):
            board.now_ms += 500
            assert not uplink._silent()
        store.put(0, (board.now_ms, 0), 1, 0, 0)
        assert not uplink._silent()
        board.now_ms += 100
        uplink._heard_at = board.now_ms
        store.release(7, store.emitted)


def test_a_gateway_that_owes_an_answer_is_silent_after_a_minute():
    board, store, uplink = _uplink()
    assert not uplink._silent()
    store.put(0, (0, 0), 1, 0, 0)
    board.now_ms = SILENT_MS
    assert not uplink._silent()
    board.now_ms += 1
    assert uplink._silent()
