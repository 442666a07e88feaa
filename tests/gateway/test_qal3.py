"""gateway/qal3.py: both charts by hand, resets, the file of interventions, a slow reference; controls."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from random import Random

import pytest

from gateway.config import load
from gateway.qal3 import (
    DOWN,
    PRECISION,
    SHEWHART,
    SPAN,
    UP,
    ZERO,
    Check,
    Constants,
    Intervention,
    Sum,
    charts,
    intervention_file,
    read_checks,
)
from tests.gateway.configured import SAMPLE, written

DAY_MS = 86_400_000
S1 = {ZERO: 1.0, SPAN: 1.0}


def checks(differences, point=ZERO, reference=0.0, first=0):
    return [Check((first + i) * DAY_MS, point, reference, reference + d) for i, d in enumerate(differences)]


def found(differences, **more):
    return [(f.since_ms // DAY_MS, f.chart) for f in charts(checks(differences), S1, **more).findings]


def test_drift_up_by_hand():
    """d = 1.5, s = 1: U grows by 0.999: 0.999, 1.998, 2.997 > 2.85 at the third check. D stays 0."""
    result = charts(checks([1.5] * 4), S1)
    assert [p.up.value for p in result.plotted] == pytest.approx([0.999, 1.998, 2.997, 3.996])
    assert [p.up.checks for p in result.plotted] == [1, 2, 3, 4]
    assert all(p.down == Sum() for p in result.plotted)
    (finding,) = result.findings
    assert (finding.since_ms, finding.point, finding.chart) == (2 * DAY_MS, ZERO, UP)
    assert (finding.value, finding.threshold) == pytest.approx((2.997, 2.85))
    # 0.7 x (0.501 + 2.997 / 3) = 0.7 x 1.5
    assert finding.adjust == pytest.approx(1.05)


def test_drift_down_by_hand():
    """d = -2 with s = 2: D grows by 2 - 1.002 = 0.998 a check; 5.7 is passed at the sixth, 5.988."""
    result = charts(checks([-2.0] * 6, SPAN, 100.0), {SPAN: 2.0})
    (finding,) = result.findings
    assert (finding.since_ms, finding.chart) == (5 * DAY_MS, DOWN)
    assert finding.value == pytest.approx(5.988)
    assert finding.adjust == pytest.approx(-0.7 * (1.002 + 0.998))


def test_precision_by_hand():
    """d = 1.9, -1.9, 1.9: 3.8^2 / 2 - 1.85 = 5.37 a check, 10.74 > 6.90 at the third; |d| is below 2 s."""
    result = charts(checks([1.9, -1.9, 1.9, -1.9]), S1)
    assert [p.precision.value for p in result.plotted] == pytest.approx([0, 5.37, 10.74, 16.11])
    assert [(f.since_ms // DAY_MS, f.chart) for f in result.findings] == [(2, PRECISION)]


def test_sums_fall_back_to_zero():
    """U: 0.699, 0.398 (0.2 - 0.501), 0 (0.097 - ... below zero); the count begins again."""
    result = charts(checks([1.2, 0.2, 0.0, 1.0]), S1)
    assert [p.up for p in result.plotted] == [
        Sum(pytest.approx(0.699), 1), Sum(pytest.approx(0.398), 2), Sum(), Sum(pytest.approx(0.499), 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value, out", [(2.0, ""), (2.001, "warning"), (-2.001, "warning"), (3.0, "warning"), (3.001, "action")]
)
def test_shewhart_at_and_beside_its_limits(value, out):
    assert charts(checks([value]), S1).plotted[0].shewhart == out


def test_shewhart_takes_a_second_warning_on_the_same_side():
    plotted = charts(checks([2.5, -2.5, -2.5, 0.0, -2.5]), S1).plotted
    assert [p.shewhart for p in plotted] == ["warning", "warning", "action", "", "warning"]


def test_at_the_threshold_is_still_in_control():
    """hx exactly: kx 0.5, hx 3, d = 1.5: 1, 2, 3 (not beyond), 4."""
    constants = Constants(hx=3.0, kx=0.5)
    assert found([1.5] * 4, constants=constants) == [(3, UP)]


def test_an_operators_constants():
    assert found([1.5] * 4, constants=Constants(hx=1.0)) == [(1, UP)]
    assert found([1.5] * 4, constants=Constants(kx=1.5)) == []


def test_zero_and_span_are_apart():
    both = checks([1.5] * 3, ZERO) + checks([-1.5] * 3, SPAN, 80.0)
    result = charts(both, S1)
    assert {(f.point, f.chart) for f in result.findings} == {(ZERO, UP), (SPAN, DOWN)}


def test_an_intervention_begins_again():
    """Found at the third check; adjusted; then 1.5 again: found at the third one after."""
    done = Intervention(2 * DAY_MS + 1, ZERO, "Hiệu chuẩn", "Nguyễn Văn A")
    result = charts(checks([1.5] * 7), S1, [done])
    assert [(f.since_ms // DAY_MS, f.chart, f.ended) for f in result.findings] == [
        (2, UP, done), (5, UP, None),
    ]  # fmt: skip
    assert result.plotted[3].up == Sum(pytest.approx(0.999), 1)
    assert result.plotted[3].precision == Sum(), "no difference to a check before the intervention"


def test_an_intervention_at_the_other_point_ends_nothing():
    other = Intervention(2 * DAY_MS + 1, SPAN, "x", "y")
    assert charts(checks([1.5] * 7), S1, [other]).findings[0].ended is None
    both = Intervention(2 * DAY_MS + 1, "", "x", "y")
    assert charts(checks([1.5] * 7), S1, [both]).findings[0].ended is both


def test_a_check_at_the_moment_of_an_intervention_shows_what_it_did():
    done = Intervention(2 * DAY_MS, "", "x", "y")
    assert charts(checks([1.5] * 3), S1, [done]).plotted[2].up.checks == 1


def test_checks_come_in_any_order():
    some = checks([0.3, 1.9, 2.2, -0.4, 1.1, 1.7])
    assert charts(some[::-1], S1) == charts(some, S1)


def test_a_chart_needs_its_s_ams():
    with pytest.raises(ValueError, match="no s_AMS for span"):
        charts(checks([0.0], SPAN), {ZERO: 1.0})
    with pytest.raises(ValueError, match="no s_AMS for zero"):
        charts(checks([0.0]), {ZERO: 0.0})
    with pytest.raises(ValueError, match="neither of zero nor of span"):
        charts(checks([0.0], "middle"), S1)


def test_file_of_interventions():
    done = Intervention(3 * DAY_MS, ZERO, "=1+1", "Nguyễn Văn A")
    text = intervention_file(charts(checks([1.5] * 3) + checks([9.0], SPAN), S1, [done]).findings)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert text.endswith("\r\n") and len(rows[0]) == 9
    assert [row[1:6] for row in rows[1:]] == [
        [SPAN, UP, "8.499", "2.85", "-6.3"],
        [SPAN, SHEWHART, "9", "3", ""],
        [ZERO, UP, "2.997", "2.85", "-1.05"],
    ]
    assert rows[3][0] == "1970-01-03 07:00:00", "at GMT+7"
    assert rows[3][6:] == ["1970-01-04 07:00:00", "'=1+1", "Nguyễn Văn A"]
    assert rows[1][6:] == ["", "", ""]


# Checks from a table, constants from the configuration ----------------------------------------------------


def test_checks_of_a_table():
    """2026-03-01 09:00 at GMT+7 is 02:00 UTC: 1772330400 s."""
    rows = ["2026-03-01 09:00,zero,0,0.4", "", "2026-03-01 09:10, span ,80,81.5"]
    text = "\r\n".join(["\ufefftime,point,reference,indicated", *rows])
    assert read_checks(text) == (
        [Check(1_772_330_400_000, ZERO, 0.0, 0.4), Check(1_772_331_000_000, SPAN, 80.0, 81.5)], [],
    )  # fmt: skip
    assert read_checks("time,point,reference,indicated\n") == ([], [])


@pytest.mark.parametrize(
    "row, said",
    [
        ("2026-03-01 09:00,zero,0", "there are 3 fields"),
        ("2026-03-01 09:00,span,80,81,5", "there are 5 fields"),
        ("01/03/2026,zero,0,0", "'01/03/2026' is no time"),
        ("0000-00-00 00:00,zero,0,0", "is no time"),
        ("2026-03-01 09:00,Zero,0,0", "'Zero' is no point"),
        ("2026-03-01 09:00,zero,0,x", "a figure is no number"),
        ("2026-03-01 09:00,zero,nan,0", "a figure is no number"),
    ],
)
def test_bad_rows_are_sentences_with_their_line(row, said):
    good = "2026-03-02 09:00,zero,0,0.1"
    found, faults = read_checks(f"time,point,reference,indicated\n{row}\n{good}\n")
    assert len(found) == 1 and len(faults) == 1
    assert faults[0].startswith("Line 2: ") and said in faults[0]


@pytest.mark.parametrize("text", ["", "a,b\n", "2026-03-01 09:00,zero,0,0\n"])
def test_a_table_without_its_columns(text):
    assert read_checks(text) == (
        [], ["Line 1: the columns are not time, point, reference, indicated. Write them as the first line."],
    )  # fmt: skip


def test_bytes_that_are_no_table():
    assert read_checks("time,point,reference,indicated\n" + "x" * 200_000)[1][0].startswith("Line 2: ")


def test_constants_stand_in_the_configuration(tmp_path):
    text = SAMPLE.replace('unit = "mg/l"', 'unit = "mg/l"\nqal3 = { s_zero = 0.5, hx = 3.0 }', 1)
    channel = load(written(tmp_path, text)).channel[0]
    assert (channel.qal3.s_zero, channel.qal3.s_span, channel.qal3.hx) == (0.5, None, 3.0)
    plain = load(written(tmp_path, SAMPLE)).channel[0].qal3
    assert (plain.hx, plain.kx, plain.hs, plain.ks) == Constants()[:4], "as EN 14181 has them"


# A slow reference -----------------------------------------------------------------------------------------


def slow(differences: list[float], s: float) -> set[tuple[int, str]]:
    """Each sum from its definition: the largest sum of steps over a run that ends at this check, or zero."""
    out = set()
    for t in range(len(differences)):

        def largest(steps):
            return max([0.0] + [sum(steps[i:]) for i in range(len(steps))])

        d = differences[: t + 1]
        precision = largest([(b - a) ** 2 / 2 - 1.85 * s * s for a, b in pairwise(d)])
        if precision > 6.90 * s * s:
            out.add((t, PRECISION))
            continue
        if largest([x - 0.501 * s for x in d]) > 2.85 * s:
            out.add((t, UP))
        if largest([-x - 0.501 * s for x in d]) > 2.85 * s:
            out.add((t, DOWN))
    return out


def compare(seed: int, constants: Constants | None = None) -> int:
    random = Random(seed)
    s, shift = random.choice((0.2, 1.0, 7.0)), random.choice((0.0, 0.0, 0.8, -1.2))
    spread = random.choice((0.8, 1.0, 1.6))
    differences = [s * (random.gauss(shift, spread)) for _ in range(40)]
    plotted = charts(checks(differences), {ZERO: s}, constants=constants).plotted
    result = {(p.time_ms // DAY_MS, chart) for p in plotted for chart in p.out if chart != SHEWHART}
    assert result == slow(differences, s), seed
    return len(result)


def test_equals_a_slow_reference():
    assert sum(compare(seed) for seed in range(150)) > 500


@pytest.mark.parametrize("left_out", [{"kx": 0.0}, {"ks": 0.0}])
def test_control_k_left_out_is_caught(left_out):
    with pytest.raises(AssertionError):
        for seed in range(150):
            compare(seed, Constants(**left_out))


def test_an_instrument_in_control_is_seldom_found_out_of_it():
    """Normal differences of s, 400 series of 24 checks (half a year, weekly): what the constants amount to.

    Measured: drift in two fifths of the series, lost precision in a fifth, Shewhart in a thirteenth.
    """
    random = Random(11)
    out = [
        {f.chart for f in charts(checks([random.gauss(0, 1) for _ in range(24)]), S1).findings}
        for _ in range(400)
    ]
    share = {chart: sum(chart in each for each in out) / 400 for chart in (PRECISION, UP, DOWN, SHEWHART)}
    assert share[UP] + share[DOWN] < 0.5 and share[PRECISION] < 0.25 and share[SHEWHART] < 0.12
