"""simulator/signals.py: pure, bounded, plausible."""

import itertools
import statistics

from hypothesis import given
from hypothesis import strategies as st

from simulator.signals import Shape, Signal

DAY_MS = 86_400_000
T0_MS = 1_774_371_600_000  # midnight in Vietnam
COD = Shape(level=40, daily=8, peak_hour=11, drift=6, turbulence=3, noise=1, low=0, high=1000)


def test_same_input_same_output_whatever_was_asked_before():
    times = [T0_MS + i * 10_000 for i in range(500)]
    forwards = [Signal(COD, 7, "NUO001", "cod").value(t) for t in times]
    signal = Signal(COD, 7, "NUO001", "cod")
    backwards = [signal.value(t) for t in reversed(times)]
    assert forwards == backwards[::-1]


def test_values_do_not_depend_on_the_python_process():
    # A golden value: a restarted simulator goes on where the last one stopped.
    assert round(Signal(COD, 7, "NUO001", "cod").value(T0_MS), 6) == 44.170113


def test_seed_station_and_quantity_each_make_another_signal():
    t = T0_MS + 12_345_678
    values = {
        Signal(COD, *who).value(t)
        for who in ((7, "NUO001", "cod"), (8, "NUO001", "cod"), (7, "NUO002", "cod"), (7, "NUO001", "tss"))
    }
    assert len(values) == 4


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3), st.floats(0, 1e3), st.integers(0, 2**41), st.integers())
def test_never_outside_its_bounds(level, daily, noise, t_ms, seed):
    shape = Shape(level=level, daily=daily, drift=daily, turbulence=noise, noise=noise, low=-5.0, high=80.0)
    assert -5.0 <= Signal(shape, seed, "s", "q").value(t_ms) <= 80.0


def test_daily_rhythm_peaks_at_its_hour():
    signal = Signal(Shape(level=20, daily=5, peak_hour=14), 1, "s", "q")
    hours = {hour: signal.value(T0_MS + hour * 3_600_000) for hour in range(24)}
    assert max(hours, key=hours.get) == 14
    assert abs(statistics.mean(hours.values()) - 20) < 0.01


def test_turbulence_is_smooth_and_noise_is_not():
    smooth = Signal(Shape(level=0, turbulence=1), 1, "s", "q")
    rough = Signal(Shape(level=0, noise=1), 1, "s", "q")

    def roughness(signal):
        values = [signal.value(T0_MS + i * 1000) for i in range(20_000)]
        steps = [b - a for a, b in itertools.pairwise(values)]
        return statistics.pstdev(steps) / statistics.pstdev(values)

    assert roughness(smooth) < 0.05 < 1.0 < roughness(rough)
