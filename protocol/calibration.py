# From what an instrument indicates to the engineering value: the one place where it is computed.
#
# Rule 1: points are pairs [raw, engineering], raw ascending as float32: so they travel, and two that differ
#         only beyond it would be one point and a division by zero. None of them: the value is what was
#         indicated. One: an offset. Two or more: straight lines between neighbours, the outer two carried on.
# Rule 2: at a point the result is exactly that point's engineering value.
# Rule 3: a NaN stays a NaN. Whether a value may be used is quality, which is decided elsewhere.

from protocol.errors import ConfigError
from protocol.reading import bits_float, float_bits

LIMIT = 3.0e38  # beyond it a 32-bit float is infinite
POINTS_MAX = 5  # a guided calibration takes at most five; the whole table has to fit one HELLO


def engineering(raw, points):
    n = len(points)
    if n == 0:
        return raw
    if n == 1:
        return raw + (points[0][1] - points[0][0])
    i = 0
    while i < n - 2 and raw >= points[i + 1][0]:
        i += 1
    low, high = points[i], points[i + 1]
    slope = (high[1] - low[1]) / (high[0] - low[0])
    base = high if raw >= high[0] else low  # from the nearer end on, so that the last point is exact too
    return base[1] + (raw - base[0]) * slope


def check(points):
    # ConfigError unless engineering() may use the points.
    if len(points) > POINTS_MAX:
        raise ConfigError(f"{len(points)} calibration points: write at most {POINTS_MAX}")
    before = None
    for i, point in enumerate(points):
        finite = None
        try:
            raw, value = point
            finite = -LIMIT < raw < LIMIT and -LIMIT < value < LIMIT
        except (TypeError, ValueError):
            pass  # raised below: MicroPython warns of every exception raised inside another
        if finite is None:
            raise ConfigError(f"calibration point {i + 1}: write [raw, engineering]")
        if not finite:
            raise ConfigError(f"calibration point {i + 1}: write two finite numbers")
        raw = bits_float(float_bits(raw))
        if before is not None and raw <= before:
            raise ConfigError(
                f"calibration point {i + 1}: raw values have to rise, as 32-bit floats {raw} follows {before}"
            )
        before = raw
