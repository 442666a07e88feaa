# runs on: cpython, micropython
# The uplink's own decisions, with time that the test moves. Over real links: test_link.py.

from firmware.clock import Clock
from firmware.store import Store, pieces
from firmware.uplink import SILENT_MS, Uplink
from protocol.cose import Mac0
from protocol.session import DeviceSession
from tests.firmware.bench_board import BenchBoard


def _uplink():
    board = BenchBoard()
    clock = Clock(board)
    store = Store(7, pieces(64, 64), clock)
    session = DeviceSession(None, store, board.ticks_diff)
    return board, store, Uplink(board, {}, session, Mac0("st-01", bytes(32)), clock, store, None, None)


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
