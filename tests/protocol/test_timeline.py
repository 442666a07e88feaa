# runs on: cpython, micropython

from protocol.errors import ConfigError
from protocol.timeline import Timeline
from tests.protocol._check import raises, vectors

START = 1774483200000


def test_vectors():
    seen = 0
    for segments, mono_ms, station_ms, speed in vectors("timeline"):
        timeline = Timeline(segments)
        assert timeline.at(mono_ms) == station_ms, (segments, mono_ms)
        assert timeline.speed_at(mono_ms) == speed
        back = timeline.at(timeline.when(station_ms))
        assert abs(back - station_ms) <= max(1, speed), (segments, mono_ms, back)
        seen += 1
    assert seen >= 40


def test_speed_changes_without_a_jump():
    timeline = Timeline([[1000, START, 1], [61000, START + 60000, 30.0]])
    assert timeline.at(1000) == START
    assert timeline.at(60999) == START + 59999
    assert timeline.at(61000) == START + 60000
    assert timeline.at(61100) == START + 63000
    assert timeline.when(START + 63000) == 61100
    assert timeline.speed_at(60999) == 1 and timeline.speed_at(61000) == 30


def test_a_leap_forward_is_reached_at_the_leap():
    timeline = Timeline([[0, START, 1], [100, START + 5000, 1]])
    assert timeline.when(START + 50) == 50
    assert timeline.when(START + 4000) == 100
    assert timeline.when(START + 5001) == 101


def test_first_piece_holds_before_its_start():
    timeline = Timeline([[5000, START, 2]])
    assert timeline.at(4000) == START - 2000
    assert timeline.when(START - 2000) == 4000


def test_fractions_of_a_millisecond():
    timeline = Timeline([[0, START, 30]])
    assert timeline.at(1.5) == START + 45
    assert timeline.when(START + 45) == 1.5


def test_faulty_segments_are_refused():
    for bad in (
        [],
        [[0, START]],
        [[0, START, 0]],
        [[0, START, -1]],
        [[0, START, "fast"]],
        [[0, None, 1]],
        [[0.5, START, 1]],
        [[-0.5, START, 1]],
        [[0, START + 0.5, 1]],
        [[0, -0.5, 1]],
        [[0, START, float("nan")]],
        [[0, START, 1], [0, START + 5, 1]],
        [[5, START, 1], [0, START + 5, 1]],
        [[0, START, 1], [100, START + 99, 1]],
        [7],
    ):
        raises(ConfigError, Timeline, bad)
