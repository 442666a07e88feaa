"""The arithmetic of `quantrac station calibrate`: the line against exact fractions, and what stands still."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from protocol import quality as q
from protocol.calibration import engineering
from tools.station.calibrate.fit import (
    Line,
    Taken,
    as_held,
    faults,
    fitted,
    line_of,
    residuals,
    themselves,
    two_points,
)
from tools.station.calibrate.settle import Sample, Settling

RANGE = Line(1.0, 0.0)


def taken(*pairs: tuple[float, float], scatter: float = 0.01) -> list[Taken]:
    return [Taken(reference, raw, scatter, 12, 0, 60_000) for reference, raw in pairs]


def exact(pairs: list[tuple[float, float]]) -> tuple[Fraction, Fraction]:
    """(slope, offset) of engineering = offset + slope x raw, by the textbook's sums, without rounding."""
    x, y = [Fraction(reference) for reference, _ in pairs], [Fraction(raw) for _, raw in pairs]
    n = len(pairs)
    zero = Fraction(0)
    products = sum((a * c for a, c in zip(x, y, strict=True)), zero)
    squares = sum((a * a for a in x), zero)
    b = (n * products - sum(x, zero) * sum(y, zero)) / (n * squares - sum(x, zero) * sum(x, zero))
    a = (sum(y, zero) - b * sum(x, zero)) / n
    return 1 / b, -a / b


def test_the_worked_example_of_the_module():
    line = fitted(taken((0, 2), (100, 94.5)))
    assert line.slope == pytest.approx(1 / 0.925, rel=1e-14)
    assert line.offset == pytest.approx(-2 / 0.925, rel=1e-14)
    assert line.offset + line.slope * 48.25 == pytest.approx(50, rel=1e-14)


@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 5), (100, 85)],
        [(0, 1.0), (50, 51.5), (100, 102.0)],
        [(4.01, 177.5), (6.86, 8.25), (9.18, -129.0)],  # a pH electrode's millivolts fall
        [(0, 4.0), (25, 8.125), (50, 11.9375), (75, 16.0625), (100, 20.0)],
    ],
)
def test_the_line_is_that_of_exact_fractions(pairs):
    slope, offset = exact(pairs)
    line = fitted(taken(*pairs))
    assert line.slope == pytest.approx(float(slope), rel=1e-13)
    assert line.offset == pytest.approx(float(offset), rel=1e-12, abs=1e-12)
    made = two_points(line, taken(*pairs))
    for _, raw in pairs:
        assert engineering(raw, made) == pytest.approx(float(offset + slope * Fraction(raw)), abs=1e-4)


def test_random_lines_against_exact_fractions():
    random = Random(9)
    for _ in range(300):
        count = random.randint(2, 5)
        references = random.sample(range(0, 200), count)
        slope, offset = random.uniform(0.5, 2), random.uniform(-20, 20)
        pairs = [(float(x), offset + slope * x + random.gauss(0, 0.3)) for x in references]
        line, (right, at) = fitted(taken(*pairs)), exact(pairs)
        assert line.slope == pytest.approx(float(right), rel=1e-11)
        assert line.offset == pytest.approx(float(at), rel=1e-9, abs=1e-9)


def test_residuals_are_of_what_the_device_will_do():
    points = taken((0, 1.0), (50, 53.0), (100, 102.0))
    straight = residuals(two_points(fitted(points), points), points)
    assert max(map(abs, straight)) > 0.5 and abs(sum(straight)) < 1e-4
    assert residuals(themselves(points), points) == pytest.approx([0, 0, 0], abs=1e-5)


def test_points_are_what_a_greeting_carries():
    held = as_held([(0.1, 0.2)])
    assert held != ((0.1, 0.2),) and as_held(held) == held


def test_the_line_of_what_is_in_force():
    assert line_of(()) == (1.0, 0.0)
    assert line_of([(2.0, 0.5)]) == (1.0, -1.5)
    assert line_of([(0.0, 10.0), (50.0, 60.0), (100.0, 210.0)]) == (2.0, 10.0)


@pytest.mark.parametrize(
    ("pairs", "before", "says"),
    [
        ([(0, 5.0), (100, 5.02)], RANGE, "nearly the same raw value"),
        ([(0, 5.0), (100, 7.0)], RANGE, "hardly changes"),
        ([(0, 5.0), (1, 85.0)], RANGE, "far too much"),
        ([(0, 85.0), (100, 5.0)], RANGE, "falls where it has to rise"),
        ([(0, 5.0), (50, 60.0), (100, 85.0)], RANGE, "beside the line"),
        ([(0, 5.0), (100, 85.0)], Line(-1.0, 0.0), "falls where it has to rise"),
    ],
)
def test_nonsense_is_a_sentence(pairs, before, says):
    points = taken(*pairs)
    found = faults(points, two_points(fitted(points), points), before, 1.0, "mg/l")
    assert found and says in found[0].said and found[0].at


def test_what_is_right_is_not_refused():
    points = taken((0, 5.0), (50, 45.2), (100, 85.0))
    assert faults(points, two_points(fitted(points), points), RANGE, 1.0, "mg/l") == []
    falling = taken((4.01, 177.5), (9.18, -129.0))  # an input that was never calibrated may do anything
    assert faults(falling, two_points(fitted(falling), falling), None, 0.1, "") == []
    with pytest.raises(ValueError):
        fitted(taken((5, 1.0), (5, 2.0)))


# Standing still ---------------------------------------------------------------------------------------------


def sample(time_ms: int, raw: float | None = 5.0, quality: int = q.OK, told: bool = True) -> Sample:
    return Sample(time_ms, told, raw, quality, 1)


def settling(limit: float = 0.1, within_ms: int = 60_000, pace_ms: int = 5000, skip_ms: int = 0) -> Settling:
    return Settling(within_ms, limit, pace_ms, 0, skip_ms)


def fed(one: Settling, values, pace_ms: int = 5000, at_ms: int = 0) -> list[bool]:
    """Whether it had settled after each."""
    told = []
    for number, value in enumerate(values, 1):
        one.take(value if isinstance(value, Sample) else sample(at_ms + number * pace_ms, value))
        told.append(one.look().settled)
    return told


def test_a_whole_while_is_waited_for():
    assert fed(settling(), [5.0] * 13) == [False] * 11 + [True] * 2


def test_what_still_moves_is_waited_for():
    values = [100 * 0.5**n for n in range(9)] + [0.05, -0.05] * 20
    told = fed(settling(), values)
    first = told.index(True)
    assert first >= 12 + 8  # until the last of 0.39 and more has left the while


def test_the_mean_is_of_the_newest_while():
    one = settling()
    fed(one, [9.0] * 3 + [5.0, 5.1] * 7)
    look = one.look()
    assert look.settled and look.mean == pytest.approx(5.05) and look.readings == 12
    assert one.span_ms == (30_000, 85_000)


@pytest.mark.parametrize("quality", [n for n in range(len(q.NAMES)) if n not in (q.OK, 1, 2)])
def test_a_quality_that_is_not_good_never_counts(quality):
    bad = [sample(5000 * n, 5.0, quality) for n in range(1, 40)]
    one = settling()
    assert not any(fed(one, bad)) and q.NAMES[quality] in one.look().why
    assert one.look().readings == 0


@pytest.mark.parametrize("quality", [q.OK, q.CALIBRATING, q.MAINTENANCE])
def test_what_an_instrument_says_in_calibration_counts(quality):
    assert fed(settling(), [sample(5000 * n, 5.0, quality) for n in range(1, 14)])[-1]


def test_no_number_never_counts():
    for raw in (None, float("nan"), float("inf")):
        assert not any(fed(settling(), [sample(5000 * n, raw) for n in range(1, 40)]))


def test_too_few_are_not_enough():
    """Every second one is missing; and the newest has to be good."""
    half = [sample(5000 * n, 5.0 if n % 2 else None, q.OK if n % 2 else q.TIMEOUT) for n in range(1, 40)]
    one = settling()
    assert not any(fed(one, half[:-1])) and one.look().why
    assert "too few" in one.look().why or "TIMEOUT" in one.look().why
    most = [sample(5000 * n, 5.0 if n % 5 else None, q.OK if n % 5 else q.TIMEOUT) for n in range(1, 20)]
    assert any(fed(settling(), most))


def test_a_slow_analyser_shows_its_last_result_first():
    one = settling(skip_ms=300_000)
    told = fed(one, [40.0] * 60 + [0.0] * 30)
    assert not any(told[:60]) and told[60 + 11] and one.look().mean == 0.0


def test_a_clock_that_is_told_begins_anew():
    one = settling()
    fed(one, [sample(5000 * n, 5.0, told=False) for n in range(1, 10)])
    told = fed(one, [sample(1_800_000_000_000 + 5000 * n, 5.0) for n in range(14)])
    assert not any(told[:11]) and told[-1]


def test_repeated_records_are_one_reading():
    assert not any(fed(settling(), [sample(5000, 5.0)] * 50))
