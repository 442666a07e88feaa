# runs on: cpython, micropython
# The uplink's frames, as the gateway reads them, and when they do not wait for company: see test_uplink.py.

from firmware.clock import Clock
from firmware.uplink import HOLD_MS, Uplink
from protocol import framing, messages
from protocol.cose import Mac0
from protocol.session import LIVE
from tests.firmware.bench_board import BenchBoard

ROWS_MAX = 48


# What the uplink asks of a store and of a session: readings from `next` on, a SEAL as the last one.
class _Both:
    boot = 7
    emitted = 0
    state = LIVE
    at = 1
    seal = 0

    def next(self, now):
        first = self.at
        if first > self.emitted:
            return None
        if first == self.seal:
            self.at += 1
            return messages.Seal(7, first, now, 1, 1, 1, bytes(32), bytes(32))
        n = min(ROWS_MAX, (self.seal or self.emitted + 1) - first)
        self.at += n
        return messages.Readings(7, first, now, 1, [(i % 12, i, i, 0, 0) for i in range(n)])


def _live():
    board = BenchBoard()
    both = _Both()
    clock = Clock(board)
    clock.tell(0, True, 0)
    uplink = Uplink(board, {}, both, Mac0("st-01", bytes(32)), clock, both, None, None)
    return board, both, uplink


def _put(both, n):
    for _ in range(n):
        both.emitted += 1
        both.on_put(False)


def test_frames_are_made_in_one_place():
    _, both, uplink = _live()
    mac = Mac0("st-01", bytes(32))
    made = []
    for n in (2, ROWS_MAX, 1):  # longer and shorter than the one before
        _put(both, n)
        uplink.hurry()
        made.append(uplink._frame())
        (body,) = framing.Decoder().feed(made[-1])
        assert len(messages.decode(mac.open(body)).rows) == n
        assert uplink._frame() is None
    assert made[0] is made[1] is made[2]


def test_at_the_end_nothing_waits():
    _, both, uplink = _live()
    _put(both, ROWS_MAX + 4)
    both.seal = both.emitted
    assert len(uplink._message().rows) == ROWS_MAX
    assert uplink._message() is None
    uplink._wake.clear()
    uplink.hurry()
    assert uplink._wake.is_set()
    assert len(uplink._message().rows) == 3
    assert type(uplink._message()) is messages.Seal
    assert uplink._message() is None


def test_what_is_sent_again_does_not_wait():
    board, both, uplink = _live()
    _put(both, 3 * ROWS_MAX)
    while uplink._message():
        pass
    both.at = 1  # nobody answered
    _put(both, 1)
    assert uplink._message() is None
    board.now_ms = HOLD_MS
    for _ in range(3):
        assert len(uplink._message().rows) == ROWS_MAX
        _put(both, 1)
    assert uplink._message() is None, "less than a frame is left"
