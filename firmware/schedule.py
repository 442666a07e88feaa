# When an instrument is to be polled: at station times t with (t - phase_ms) % poll_ms == 0.
#
# Rule 1: every point of that grid is used at most once, and in order.
# Rule 2: a point that could not be used before the next one came is counted in `skipped`, never made up for.
# Rule 3: a step of the clock starts the grid anew (restart). A step back by less than one period does not
#         bring a used point up a second time; after a longer one the station lives through those times again,
#         and polls.

LONGEST_MS = 86400000


class Schedule:
    def __init__(self, poll_ms, phase_ms, now):
        self._poll_ms = poll_ms
        self._phase_ms = phase_ms
        self._last = None  # the grid point used last
        self.skipped = 0
        self.next = 0
        self.restart(now)

    # The clock was set: forget what was due, take up the grid at `now`.
    def restart(self, now):
        self.next = now + (self._phase_ms - now) % self._poll_ms
        if self._last is not None and 0 <= self._last - self.next < self._poll_ms:
            self.next = self._last + self._poll_ms

    def due(self, now):
        return now >= self.next

    # The newest point that is due, or None. Older ones are counted as skipped.
    def take(self, now):
        if now < self.next:
            return None
        behind = (now - self.next) // self._poll_ms
        self.skipped += behind
        self._last = self.next + behind * self._poll_ms
        self.next = self._last + self._poll_ms
        return self._last
