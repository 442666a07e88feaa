# A clock for simulation: station time as straight pieces over the machine's monotonic time.
#
# Rule 1: no clock in here. The caller passes monotonic milliseconds; every process that reads the same
#         segments gets the same station time.
# Rule 2: station time never runs backwards and never stands still, so that it can be inverted.
# Rule 3: at() is integer arithmetic (speeds are kept to a thousandth): 32-bit floats would lose minutes.
#
# segments = [[mono_ms, station_ms, speed], ...]: from mono_ms on, station time runs from station_ms at
# `speed` times real time. The first piece also holds before its start, the last one for ever.
# A piece may begin later than the one before it ends (a leap forward), never earlier.

from protocol.errors import ConfigError

SPEED_MIN = 0.001
SPEED_MAX = 100000.0  # an hour of real time is then eleven years


class Timeline:
    def __init__(self, segments):
        if not segments:
            raise ConfigError("a timeline needs a segment: write [[mono_ms, station_ms, speed]]")
        pieces = []
        for i, segment in enumerate(segments):
            pieces.append(_piece(i, segment))
            if i:
                _follows(i, pieces[i - 1], pieces[i])
        self._pieces = pieces

    def at(self, mono_ms):
        # Station time in whole ms, rounded down.
        piece = self._pieces[0]
        for later in self._pieces[1:]:
            if mono_ms < later[0]:
                break
            piece = later
        return _station(piece, mono_ms)

    def when(self, station_ms):
        # The monotonic ms (float) at which the station's clock reaches station_ms.
        # at(when(x)) lies within one ms x speed of x; inside a leap forward it is the moment of the leap.
        pieces = self._pieces
        i = len(pieces) - 1
        while i and station_ms < pieces[i][1]:
            i -= 1
        mono, station, milli = pieces[i]
        moment = mono + (station_ms - station) * 1000 / milli
        if i + 1 < len(pieces) and moment > pieces[i + 1][0]:
            moment = pieces[i + 1][0]
        return float(moment)

    def speed_at(self, mono_ms):
        milli = self._pieces[0][2]
        for later in self._pieces[1:]:
            if mono_ms < later[0]:
                break
            milli = later[2]
        return milli / 1000


def _piece(i, segment):
    whole = None
    try:
        mono_ms, station_ms, speed = segment
        milli = int(speed * 1000 + 0.5)
        whole = station_ms == int(station_ms) and mono_ms == int(mono_ms)
    except (TypeError, ValueError, OverflowError):
        pass  # raised below: MicroPython warns of every exception raised inside another
    if whole is None:
        raise ConfigError(f"segment {i} of the timeline: write [mono_ms, station_ms, speed]")
    if not whole:
        raise ConfigError(f"segment {i} of the timeline: write whole milliseconds")
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise ConfigError(f"segment {i} of the timeline: write a speed of {SPEED_MIN} to {SPEED_MAX}")
    return (int(mono_ms), int(station_ms), milli)


def _follows(i, before, after):
    if after[0] <= before[0]:
        raise ConfigError(f"segment {i} of the timeline starts before segment {i - 1}: sort them by mono_ms")
    reached = _station(before, after[0])
    if after[1] < reached:
        raise ConfigError(
            f"segment {i} of the timeline sets the clock back: write a station_ms of {reached} or more"
        )


def _station(piece, mono_ms):
    return piece[1] + int((mono_ms - piece[0]) * piece[2] // 1000)
