# What time it is at the station.
#
# Rule 1: until the gateway has told a time that it trusts itself, time is ms since start and `told` is 0.
# Rule 2: station time = what was told + the station ticks that passed since. Between steps it never runs
#         backwards.
# Rule 3: what is told may be old: it waited on the link. The caller knows how old at most (age_ms), so the
#         true time lies between what was told and that much later, and a clock inside of this is right.
# Rule 4: a difference of more than STEP_MS is a step: applied at once and returned to the caller, who records
#         an event; `epoch` rises, so that schedules begin anew. A smaller one is slewed by at most 1/SLEW of
#         the time that passes; one within DEAD_MS is ignored.
# Rule 5: in a simulation that runs `speed` times as fast, delays are real: all limits grow with the speed.

STEP_MS = 2000
DEAD_MS = 50  # nobody polls by less, and a slewing clock has to come to rest
SLEW = 200  # 5 ms a second: above any crystal's drift


class Clock:
    def __init__(self, board):
        self._board = board
        self.told = 0
        self.epoch = 0
        self._base_ms = 0
        self._slew_ms = 0  # still to be added to the base, bit by bit
        self._slewed_at = 0

    # ms since start, station time
    def ticks(self):
        return self._board.station_ticks()

    # Unix ms when told, ms since start until then
    def now(self):
        ticks = self._board.station_ticks()
        if self._slew_ms:
            self._slew(ticks)
        return self._base_ms + ticks

    # (time in ms, clock state), as a record carries them
    def stamp(self):
        return self.now(), self.told

    # The gateway's time has come in, at most age_ms real ms after it was true. Returns the size of the step
    # in ms, or 0.
    def tell(self, time_ms, trusted, age_ms=0):
        if not trusted:
            return 0
        if not self.told:
            self._base_ms = time_ms - self.ticks()
            self.told = 1
            self.epoch += 1
            return 0
        error_ms = time_ms - self.now()
        speed = self._board.station_speed()
        if error_ms < 0:
            error_ms = min(0, error_ms + int(age_ms * speed))
        if abs(error_ms) > STEP_MS * speed:
            self._base_ms += error_ms
            self._slew_ms = 0
            self.epoch += 1
            return error_ms
        if abs(error_ms) <= DEAD_MS * speed:
            self._slew_ms = 0
        else:
            if not self._slew_ms:
                self._slewed_at = self.ticks()
            self._slew_ms = error_ms
        return 0

    def _slew(self, ticks):
        most_ms = (ticks - self._slewed_at) // SLEW
        if most_ms <= 0:
            return
        move_ms = min(abs(self._slew_ms), most_ms)
        if self._slew_ms < 0:
            move_ms = -move_ms
        self._base_ms += move_ms
        self._slew_ms -= move_ms
        self._slewed_at += most_ms * SLEW
