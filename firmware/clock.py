# What time it is at the station.
#
# Rule 1: until somebody has told a time that can be trusted, time is ms since start and `told` is 0. The
#         gateway tells it; a board whose own clock (RTC) ran through the restart begins with that one.
# Rule 2: station time = what was told + the station ticks that passed since, corrected by the measured drift
#         of the crystal. Between steps it never runs backwards.
# Rule 3: what is told may be old: it waited on the link. The caller knows how old at most (age_ms), so the
#         true time lies between what was told and that much later, and a clock inside of this is right.
# Rule 4: a difference of more than STEP_MS is a step: applied at once and returned to the caller, who records
#         an event; `epoch` rises, so that schedules begin anew. A smaller one is slewed by at most 1/SLEW of
#         the time that passes; one within DEAD_MS is ignored.
# Rule 5: drift is measured between two tellings that lie so far apart that it is known to DOUBT_PPM; through
#         an outage of a week the clock then stays within some ten seconds.
# Rule 6: in a simulation that runs `speed` times as fast, delays are real: all limits grow with the speed.

STEP_MS = 2000
DEAD_MS = 50  # nobody polls by less, and a slewing clock has to come to rest
SLEW = 200  # 5 ms a second: above any crystal's drift
DOUBT_PPM = 20  # a crystal is good for 20 to 50
DRIFT_MAX_PPM = 500  # no crystal is so bad: somebody set the gateway's clock meanwhile
_RTC_MS = 3600000  # how often the board's own clock is set


class Clock:
    def __init__(self, board):
        self._board = board
        self.told = 0
        self.epoch = 0
        self.source = ""  # "rtc" or "gateway", once told
        self.drift_ppm = 0  # how much faster the true time runs than our ticks
        self._base_ms = 0
        self._slew_ms = 0  # still to be added to the base, bit by bit
        self._slewed_at = 0
        self._drift_from = 0  # ticks from which the drift is to be added
        self._mark = None  # (ticks, time, uncertainty) the drift is measured from
        self._rtc_at = None  # ticks when the board's own clock was set
        time_ms = board.rtc()
        if time_ms is not None:
            self._base_ms = time_ms - self.ticks()
            self.told = 1
            self.source = "rtc"

    # ms since start, station time
    def ticks(self):
        return self._board.station_ticks()

    # Unix ms when told, ms since start until then
    def now(self):
        ticks = self._board.station_ticks()
        if self._slew_ms:
            self._slew(ticks)
        if self.drift_ppm:
            return self._base_ms + ticks + (ticks - self._drift_from) * self.drift_ppm // 1000000
        return self._base_ms + ticks

    # (time in ms, clock state), as a record carries them
    def stamp(self):
        return self.now(), self.told

    # The gateway's time has come in, at most age_ms real ms after it was true. Returns the size of the step
    # in ms, or 0.
    def tell(self, time_ms, trusted, age_ms=0):
        if not trusted:
            return 0
        ticks = self.ticks()
        speed = self._board.station_speed()
        step_ms = 0
        if not self.told:
            self._base_ms = time_ms - ticks
            self.told = 1
            self.epoch += 1
        else:
            step_ms = self._correct(ticks, time_ms, int(age_ms * speed), speed)
        self.source = "gateway"
        if step_ms:
            self._mark = None
        self._measure(ticks, time_ms, int((age_ms + DEAD_MS) * speed))
        if step_ms or self._rtc_at is None or ticks - self._rtc_at >= _RTC_MS:
            self._rtc_at = ticks
            self._board.set_rtc(self.now())
        return step_ms

    def _correct(self, ticks, time_ms, age_ms, speed):
        error_ms = time_ms - self.now()
        if error_ms < 0:
            error_ms = min(0, error_ms + age_ms)
        if abs(error_ms) > STEP_MS * speed:
            self._base_ms += error_ms
            self._slew_ms = 0
            self.epoch += 1
            return error_ms
        if abs(error_ms) <= DEAD_MS * speed:
            self._slew_ms = 0
        else:
            if not self._slew_ms:
                self._slewed_at = ticks
            self._slew_ms = error_ms
        return 0

    def _measure(self, ticks, time_ms, doubt_ms):
        mark = self._mark
        if mark is None:
            self._mark = ticks, time_ms, doubt_ms
            return
        elapsed_ms = ticks - mark[0]
        if elapsed_ms < (doubt_ms + mark[2]) * (1000000 // DOUBT_PPM):
            return
        self._mark = ticks, time_ms, doubt_ms
        ppm = (time_ms - mark[1] - elapsed_ms) * 1000000 // elapsed_ms
        if abs(ppm) <= DRIFT_MAX_PPM:
            self._base_ms += (ticks - self._drift_from) * self.drift_ppm // 1000000
            self._drift_from = ticks
            self.drift_ppm = ppm

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
