# runs on: cpython, micropython

from protocol import calibration
from protocol.errors import ConfigError
from tests.protocol._check import raises, vectors


def test_vectors():
    seen = 0
    for points, raw, value in vectors("calibration"):
        got = calibration.engineering(raw, points)
        assert abs(got - value) <= 1e-12 * max(1, abs(value)), (points, raw, got, value)
        seen += 1
    assert seen >= 60


def test_every_point_is_met_exactly():
    for points, _, _ in vectors("calibration"):
        if len(points) > 1:
            for raw, value in points:
                assert calibration.engineering(raw, points) == value
    # here the line from the first point misses the last one by a rounding
    assert calibration.engineering(11.4, [[2.3, 9.5], [11.4, 3.1]]) == 3.1


def test_without_points_the_value_is_the_same_object():
    raw = 7.123
    assert calibration.engineering(raw, []) is raw


def test_nan_stays_nan():
    for points in ([], [[0.0, 1.0]], [[0.0, 1.0], [1.0, 2.0]]):
        value = calibration.engineering(float("nan"), points)
        assert value != value


def test_points_are_checked():
    for good in ([], [[1.0, 2.0]], [[0, 1], [1, 0], [2, 5]]):
        calibration.check(good)
    nan = float("nan")
    for bad in (
        [[1, 2], [1, 3]],
        [[2, 1], [1, 2]],
        [[1]],
        [["a", 1]],
        [5],
        [[nan, 1]],
        [[i, i] for i in range(6)],
    ):
        raises(ConfigError, calibration.check, bad)


def test_points_have_to_rise_as_the_32_bit_floats_that_travel():
    # Apart for 64 bits, one point for 32: engineering() would divide by zero on the other side of the link.
    for low, high in ((1.0, 1.0 + 2.0**-25), (16777216, 16777217), (1e-46, 2e-46), (-0.0, 0.0)):
        raises(ConfigError, calibration.check, [[low, 0.0], [high, 5.0]])
    calibration.check([[1.0, 0.0], [1.0 + 2.0**-23, 5.0]])
    calibration.check([[0.0, 0.0], [2.0**-149, 5.0]])
