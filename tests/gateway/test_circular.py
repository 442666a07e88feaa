"""Directions against the library's own sine, and their means by hand."""

from __future__ import annotations

import math
from random import Random

import pytest

from gateway import circular
from gateway.circular import Mean, direction, vector


def test_sine_cosine_and_back_to_a_billionth_of_a_degree():
    rng = Random(7)
    angles = [rng.uniform(-720, 720) for _ in range(20_000)] + [n * 45.0 for n in range(-17, 18)]
    for degrees in angles:
        east, north = vector(degrees)
        assert east == pytest.approx(math.sin(math.radians(degrees)), abs=2e-12)
        assert north == pytest.approx(math.cos(math.radians(degrees)), abs=2e-12)
        off = (direction(east, north) - degrees) % 360
        assert min(off, 360 - off) < 1e-9
        assert 0 <= direction(east, north) < 360


def test_direction_against_the_library():
    rng = Random(8)
    for _ in range(20_000):
        east, north = rng.gauss(0, 1), rng.gauss(0, 1)
        wanted = math.degrees(math.atan2(east, north)) % 360
        off = (direction(east, north) - wanted) % 360
        assert min(off, 360 - off) < 1e-10


def test_directions_by_hand():
    for degrees, east, north in ((0, 0, 2), (90, 2, 0), (180, 0, -2), (270, -2, 0), (315, -1, 1)):
        assert direction(east, north) == pytest.approx(degrees)
    assert direction(0.0, 0.0) == direction(0.0, -0.0) == 0.0  # calm: there is none


def test_means_by_hand():
    """350 and 10 are 20 degrees apart around north: their mean is 0, not 180."""
    assert Mean([(350, 1), (10, 1)]).degrees() == pytest.approx(0, abs=1e-9) or Mean(
        [(350, 1), (10, 1)]
    ).degrees() == pytest.approx(360, abs=1e-9)
    assert Mean([(80, 1), (100, 1)]).degrees() == pytest.approx(90)
    assert Mean([(0, 3), (90, 1)]).degrees() == pytest.approx(math.degrees(math.atan2(1, 3)))  # 18.43
    assert Mean([(0, 1), (180, 1)]).degrees() is None  # they cancel each other out
    assert Mean([(45, 5)]).length() == pytest.approx(1)


def test_scatter_by_hand():
    """0 and 90: the mean vector is sqrt(1/2) long, so e = sqrt(1/2) and Yamartino gives
    45 * (1 + 0.1547 * 0.353553) = 47.4613 degrees. All the same: 0. Opposite: e = 1, 90 * 1.1547 = 103.923.
    """
    assert Mean([(0, 1), (90, 1)]).deviation() == pytest.approx(47.4613, abs=1e-4)
    assert Mean([(33, 4)]).deviation() == pytest.approx(0, abs=1e-5)
    assert Mean([(0, 1), (180, 1)]).deviation() == pytest.approx(103.923, abs=1e-3)


def test_control_a_mean_of_the_figures_is_found(monkeypatch):
    monkeypatch.setattr(Mean, "degrees", lambda self: direction(self.east, abs(self.north)))
    with pytest.raises(AssertionError):
        assert Mean([(170, 1), (190, 1)]).degrees() == pytest.approx(180)


def test_nothing_of_the_c_library_but_its_square_root_is_used():
    """Rule 1: IEEE 754 fixes + - * / and the square root, and nothing else."""
    used = {name for name in vars(circular) if name in dir(math) and name[0] != "_"}
    assert used == {"fsum", "sqrt"}


def test_a_mean_of_vectors_is_that_of_their_directions():
    """To the last bit, and with the polynomials written out as they are by hand."""
    rng = Random(9)
    for _ in range(300):
        degrees = [rng.choice((rng.uniform(-720, 720), round(rng.uniform(0, 360)))) for _ in range(12)]
        mean, wanted = Mean.of(*zip(*map(vector, degrees), strict=True)), Mean([(one, 1) for one in degrees])
        assert (mean.east, mean.north, mean.weight) == (wanted.east, wanted.north, wanted.weight)
        assert mean.degrees() == wanted.degrees()
    factors = (1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600)
    radians, cosine = 30.1 * circular.PI / 180.0, 0.0
    for factor in reversed(factors):
        cosine = cosine * (radians * radians) + factor
    assert vector(30.1)[1] == cosine
