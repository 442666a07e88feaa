"""gateway/suspicion: honest series over 200 seeds raise few signs, each manipulation is found, a control for
each statistic. Measured with the series of simulated.py: no sign in 200 months of four channels (so below
1.5 % of months at 95 %), and each manipulation below in every seed that has something to manipulate.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import comb
from random import Random
from statistics import median

import pytest

from gateway.spans import Span
from gateway.suspicion import DAY_MS, Thresholds, Track, company, edges, runs, steady, track
from gateway.suspicion.company import APART, CALIBRATION, apart, calibrations, correlation
from gateway.suspicion.edges import GAP, PRESSED, gaps, pressed, tail
from gateway.suspicion.look import look
from gateway.suspicion.steady import COLLAPSE, REPEAT, collapse, repeats
from protocol import quality as q
from tests.gateway.suspicion.simulated import DAY, LIMIT, channel, honest, load, mark
from tests.gateway.windows_made import START_MS, STEP_MS, made

T = Thresholds()
SEEDS = range(20)
HONEST_MAX = 1
"""Times of three weeks with any sign among 50 honest ones."""


@cache
def plant(seed: int) -> list[Track]:
    return honest(seed)


def changed(track: Track, figures: list[float | None], status: list[str] | None = None) -> Track:
    return track._replace(figures=figures, status=status or list(track.status))


def all_of(seeds, judge) -> None:
    """A manipulation is found in every one of the seeds, and its sentences ask to look."""
    for seed in seeds:
        signs = judge(seed)
        assert signs, seed
        for sign in signs:
            assert sign.en.startswith("Look here: ") and sign.vi.startswith("Đề nghị xem: ")
            assert "fraud" not in sign.en and "gian lận" not in sign.vi
            assert sign.start_ms < sign.end_ms or sign.name in (GAP, CALIBRATION)


# Honest ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 50, 100, 150])
def test_honest_series_raise_few_signs(first):
    seeds = range(first, first + 50)
    with_signs = [seed for seed in seeds if look(honest(seed, 21), {"COD": LIMIT, "TSS": 60.0})]
    assert len(with_signs) <= HONEST_MAX, with_signs


def some_honest(thresholds: Thresholds) -> None:
    for seed in SEEDS:
        assert look(plant(seed), {"COD": LIMIT, "TSS": 60.0}, thresholds) == [], seed


def test_some_honest_ones_raise_none():
    some_honest(T)


@pytest.mark.parametrize(
    "loosened",
    [
        {"collapse": 2.0},
        {"repeat_distinct": 1},
        {"pressed_above": 9.0, "pressed_share": 0.1},
        {"together": -1.0, "apart": 0.9, "apart_days": 1},
        {"calibration_share": 0.0},
        {"gap_chance": 1.0, "gaps_min": 0},
    ],
)
def test_control_each_threshold_loosened_makes_honest_ones_suspect(loosened):
    with pytest.raises(AssertionError):
        some_honest(Thresholds(**loosened))


# Variance collapse ----------------------------------------------------------------------------------------


def smoothed(seed: int) -> Track:
    """From day 20 to 24 a running mean of what was measured takes its place."""
    cod = plant(seed)[0]
    figures = list(cod.figures)
    for i in range(20 * DAY, 25 * DAY):
        near = [f for f in cod.figures[i - 18 : i + 19] if f is not None]
        figures[i] = None if figures[i] is None else round(sum(near) / len(near), 2)
    return changed(cod, figures)


def test_a_smoothed_series_is_found():
    def judge(seed):
        signs = collapse(smoothed(seed), T)
        assert [
            (s.name, (s.start_ms - START_MS) // DAY_MS, (s.end_ms - START_MS) // DAY_MS) for s in signs
        ] == [(COLLAPSE, 20, 25)], seed
        return signs

    all_of([seed for seed in SEEDS if fast_enough(seed)], judge)


def fast_enough(seed: int) -> bool:
    """Smoothing is only seen where noise is above what the load itself does within five minutes."""
    cod = plant(seed)[0]
    usual = median(x for day in range(14) if (x := steady.noise(cod.day(day), T)) is not None)
    return usual > 0.02 * median(f for f in cod.figures if f is not None)


def test_most_seeds_are_noisy_enough_to_be_smoothed():
    assert sum(map(fast_enough, SEEDS)) >= 14


def test_a_constant_is_found():
    def judge(seed):
        cod = plant(seed)[0]
        figures = [33.3 if f is not None and i >= 25 * DAY else f for i, f in enumerate(cod.figures)]
        signs = collapse(changed(cod, figures), T)
        assert [s.statistic for s in signs] == [0.0]
        return signs

    all_of(SEEDS, judge)


def test_control_noise_of_figures_in_the_place_of_steps_is_caught(monkeypatch):
    """The standard deviation of a day's figures is its rhythm: smoothing does not touch it."""

    def spread(figures, thresholds):
        there = [f for f in figures if f is not None]
        mean = sum(there) / len(there)
        return (sum((f - mean) ** 2 for f in there) / len(there)) ** 0.5

    monkeypatch.setattr(steady, "noise", spread)
    with pytest.raises(AssertionError):
        test_a_smoothed_series_is_found()


# Repeats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("windows, lag", [(DAY, 7), (36, 1), (20, 14)])
def test_a_copied_time_is_found(windows, lag):
    def judge(seed):
        cod = plant(seed)[0]
        figures, status = list(cod.figures), list(cod.status)
        first = 22 * DAY + 60
        figures[first : first + windows] = figures[first - lag * DAY :][:windows]
        status[first : first + windows] = status[first - lag * DAY :][:windows]
        signs = repeats(changed(cod, figures, status), T)
        for sign in signs:
            assert sign.name == REPEAT and f"those of {lag} day(s) before" in sign.en
            assert sign.start_ms >= cod.at(first - 1) and sign.end_ms <= cod.at(first + windows + 1)
        return signs

    all_of([seed for seed in SEEDS if windows == DAY or whole(plant(seed)[0], windows, lag)], judge)


def whole(cod: Track, windows: int, lag: int) -> bool:
    """A row that begins and goes on without gaps."""
    first = (22 - lag) * DAY + 60
    return None not in cod.figures[first : first + windows]


def test_at_and_below_the_least_row():
    figures = [float(i) + (i % 7) / 10 for i in range(3 * DAY)]
    for count, found in ((11, 0), (12, 1)):
        copied = list(figures)
        copied[2 * DAY : 2 * DAY + count] = copied[DAY : DAY + count]
        assert len(repeats(Track("COD", START_MS, STEP_MS, copied, ["00"] * len(copied)), T)) == found


def test_control_without_lags_nothing_is_found():
    with pytest.raises(AssertionError):
        for seed in SEEDS:
            cod = plant(seed)[0]
            figures = cod.figures[: 22 * DAY] + cod.figures[15 * DAY : 16 * DAY] + cod.figures[23 * DAY :]
            assert repeats(changed(cod, figures), T._replace(repeat_lags=0)), seed


# Pressed under the limit ----------------------------------------------------------------------------------


def held_down(seed: int) -> Track:
    """A plant that would exceed a third of the time; what is above the limit is written just below it."""
    random = Random(seed)
    cod = channel(random, "COD", load(random, 28), 72.0, 2.0)
    figures = [f if f is None or f <= LIMIT else round(LIMIT - random.uniform(0, 2), 2) for f in cod.figures]
    return changed(cod, figures)


def test_figures_pressed_under_the_limit_are_found():
    def judge(seed):
        signs = pressed(held_down(seed), LIMIT, T)
        assert {s.name for s in signs} <= {PRESSED}
        return signs

    all_of(SEEDS, judge)


def test_the_same_plant_that_says_what_it_measures_is_not():
    for seed in SEEDS:
        random = Random(seed)
        assert pressed(channel(random, "COD", load(random, 28), 72.0, 2.0), LIMIT, T) == []


def test_control_a_band_at_the_wrong_side_is_caught():
    with pytest.raises(AssertionError):
        all_of(SEEDS, lambda seed: pressed(held_down(seed), LIMIT, T._replace(band=-0.05)))


# Gaps before exceedances ----------------------------------------------------------------------------------


def switched_off(seed: int) -> Track:
    """Whenever the figures are about to exceed, the instrument "fails" until they are back."""
    random = Random(seed)
    cod = channel(random, "COD", load(random, 30), 62.0, 1.0)
    figures, status = list(cod.figures), list(cod.status)
    for i, figure in enumerate(cod.figures):
        if figure is not None and figure > LIMIT - 1:
            mark(figures, status, i, 1, "02")
    return changed(cod, figures, status)


def test_gaps_that_begin_before_exceedances_are_found():
    def judge(seed):
        signs = gaps(switched_off(seed), LIMIT, T)
        assert all(s.name == GAP and s.statistic <= T.gap_chance for s in signs)
        return signs

    # where nothing ever comes near the limit there is nothing to hide
    near = [seed for seed in SEEDS if switched_off(seed).status.count("02") > 150]
    assert len(near) >= 15
    all_of(near, judge)


def test_the_chance_of_so_many():
    """Two or three of three at 1/2: 3/8 + 1/8; five of five at 1/10: 1e-5."""
    assert tail(3, 2, 0.5) == pytest.approx(0.5)
    assert tail(5, 5, 0.1) == pytest.approx(1e-5)
    assert tail(9, 0, 0.3) == pytest.approx(1.0)
    assert tail(7, 1, 0.2) == pytest.approx(1 - comb(7, 0) * 0.8**7)
    exact = sum(comb(40, k) * Fraction(1, 5) ** k * Fraction(4, 5) ** (40 - k) for k in range(15, 41))
    assert tail(40, 15, 0.2) == pytest.approx(float(exact), rel=1e-9)
    assert tail(5000, 2500, 0.5) == pytest.approx(0.5056, abs=1e-3), "half, and half of the middle term"
    assert (tail(5, 1, 1.0), tail(5, 1, 0.0), tail(3, 4, 0.5)) == (1.0, 0.0, 0.0)


def test_control_gaps_that_are_not_asked_where_they_lead_are_caught(monkeypatch):
    monkeypatch.setattr(edges, "_leads", lambda figures, i, limit: i % 2 == 0)
    with pytest.raises(AssertionError):
        test_gaps_that_begin_before_exceedances_are_found()


# Together and apart ---------------------------------------------------------------------------------------


def parted(seed: int) -> tuple[Track, Track]:
    """From day 20 on TSS is somebody's invention, with a rhythm and noise of its own."""
    cod, tss = plant(seed)[:2]
    random = Random(1000 + seed)
    figures = list(tss.figures)
    level = 0.0
    for i in range(20 * DAY, len(figures)):
        level = 0.9 * level + random.gauss(0, 1.5)
        figures[i] = None if figures[i] is None else round(40 + level, 2)
    return cod, changed(tss, figures)


def test_channels_that_stopped_moving_together_are_found():
    def judge(seed):
        signs = apart(*parted(seed), T)
        assert all(s.name == APART and s.symbol == "COD, TSS" for s in signs)
        assert all(s.start_ms >= START_MS + 20 * DAY_MS for s in signs)
        return signs

    all_of(SEEDS, judge)


def test_channels_that_never_moved_together_are_not():
    for seed in SEEDS:
        cod = plant(seed)[0]
        random = Random(5000 + seed)
        other = channel(random, "X", [1.0] * len(cod.figures), 40.0, 1.0)
        assert apart(cod, other, T) == []


def test_correlation_by_hand():
    """(1, 2), (2, 1), (3, 3): covariance 1, variances 2 and 2: 0.5; a constant has none."""
    assert correlation([1.0, 2.0, 3.0], [2.0, 1.0, 3.0], T) == pytest.approx(0.5)
    assert correlation([1.0, 2.0, 3.0], [5.0, 5.0, 5.0], T) == 0.0
    assert correlation([1.0, None, None], [2.0, 1.0, 3.0], T) is None


def test_control_another_sign_of_correlation_is_caught(monkeypatch):
    monkeypatch.setattr(company, "correlation", lambda a, b, thresholds: 1.0)
    with pytest.raises(AssertionError):
        test_channels_that_stopped_moving_together_are_found()


# Calibrations ---------------------------------------------------------------------------------------------


def calibrated_high(seed: int) -> Track:
    """On six weekdays "calibration" begins an hour into a rise that other days do not have."""
    random = Random(seed)
    loads = load(random, 30)
    starts = [day * DAY + random.randrange(20, DAY - 40) for day in (2, 8, 11, 15, 18, 23)]
    for start in starts:
        for i in range(start, start + 30):
            loads[i] *= 1.5
    cod = channel(random, "COD", loads, 45.0, 1.0)
    figures, status = [], []
    for figure, word in zip(cod.figures, cod.status, strict=True):
        figures.append(figure)
        status.append("00" if word == "01" else word)
    for start in starts:
        mark(figures, status, start + 12, 18, "01")
    return changed(cod, figures, status)


def test_calibration_whenever_values_rise_is_found():
    def judge(seed):
        signs = calibrations(calibrated_high(seed), T)
        assert all(s.name == CALIBRATION and s.statistic >= T.calibration_share for s in signs)
        return signs

    all_of(SEEDS, judge)


def at_the_maximum(seed: int) -> Track:
    """A schedule that meets the daily maximum: every third day at the same time, window 158 of 288."""
    random = Random(seed)
    cod = channel(random, "COD", load(random, 30), 45.0, 1.0)
    figures, status = list(cod.figures), ["00" if word == "01" else word for word in cod.status]
    for day in range(1, 30, 3):
        mark(figures, status, day * DAY + 158, 6, "01")
    return changed(cod, figures, status)


def nothing_against_a_schedule() -> None:
    for seed in SEEDS:
        assert calibrations(at_the_maximum(seed), T) == [], seed


def test_a_schedule_that_meets_the_daily_maximum_is_not():
    nothing_against_a_schedule()


def test_control_comparing_with_all_times_of_the_day_is_caught(monkeypatch):
    def risen(track, i, thresholds):
        now, there = company._mean(track, i), sorted(f for f in track.day(i // DAY) if f is not None)
        return now is not None and now >= there[int(0.8 * len(there))]

    monkeypatch.setattr(company, "_risen", risen)
    with pytest.raises(AssertionError):
        nothing_against_a_schedule()


# The rest -------------------------------------------------------------------------------------------------


def test_a_track_takes_valid_figures_as_they_were_sent():
    rows = [made("COD", 0, 1.236), made("COD", 1, 9.0, q.CALIBRATING), made("COD", 3, 2.0, q.TIMEOUT)]
    found = track({r.start_ms: r for r in rows}, "COD", Span(START_MS, START_MS + 4 * STEP_MS), STEP_MS, 2)
    assert found.figures == [1.24, None, None, None]
    assert found.status == ["00", "01", "", "02"]
    assert (found.per_day, found.days()) == (DAY, 0)


def test_runs():
    assert runs([]) == [] and runs([True]) == [(0, 1)]
    assert runs([False, True, True, False, True]) == [(1, 3), (4, 5)]


def test_nothing_gives_no_sign():
    empty = Track("COD", START_MS, STEP_MS, [None] * 30 * DAY, [""] * 30 * DAY)
    assert look([empty, empty._replace(symbol="TSS")], {"COD": LIMIT}) == []
    assert look([Track("COD", START_MS, STEP_MS, [], [])], {"COD": LIMIT}) == []


def test_signs_come_in_the_order_of_time():
    cod, tss = parted(3)
    figures = [33.3 if f is not None and i >= 25 * DAY else f for i, f in enumerate(cod.figures)]
    signs = look([changed(cod, figures), tss], {"COD": LIMIT})
    assert {sign.name for sign in signs} >= {COLLAPSE, APART}
    assert [s.start_ms for s in signs] == sorted(s.start_ms for s in signs)
    assert look([changed(cod, figures), tss], {"COD": LIMIT}, pairs=[]) == [
        s for s in signs if s.name != APART
    ]
