# How long to wait before the next attempt to open something.
#
# Rule 1: twice as long after every failure, up to a limit, so that a dead peer costs nothing.
# Rule 2: a random half of it, so that a hundred stations do not come back in the same second.

FIRST_MS = 250
LIMIT_MS = 15000  # somebody who has just plugged the cable in should not wait longer


class Backoff:
    def __init__(self, board, first_ms=FIRST_MS, limit_ms=LIMIT_MS):
        self._board = board
        self._first_ms = first_ms
        self._limit_ms = limit_ms
        self._next_ms = first_ms

    def reset(self):
        self._next_ms = self._first_ms

    # ms to wait now
    def take(self):
        wait_ms = self._next_ms
        self._next_ms = min(2 * wait_ms, self._limit_ms)
        return wait_ms // 2 + wait_ms * self._board.random_bytes(1)[0] // 510
