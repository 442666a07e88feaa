"""gateway/calibration: lines and drift by hand and in exact fractions, every fault a sentence; controls."""

from __future__ import annotations

import json
from fractions import Fraction
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_by
from hypothesis import strategies as st

from gateway.calibration import checks, fit, given
from gateway.calibration.fit import judged, line
from gateway.calibration.record import Limits, Point, Record, parse
from gateway.qal3 import SPAN, ZERO, Check, Intervention
from protocol import cbor
from tests.gateway.calibration_rig import AT_MS, CHANNELS, LIMITS, points, said

DAY_MS = 86_400_000


def record(**changed) -> Record:
    found, faults = given.read(said(**changed), CHANNELS, AT_MS, "anna")
    assert found is not None, faults
    return found


def faults_of(**changed) -> list[str]:
    found, faults = given.read(said(**changed), CHANNELS, AT_MS)
    assert (found is None) == bool(faults)
    return faults


# Lines and drift --------------------------------------------------------------------------------------------


def test_the_worked_example():
    """Of gateway/calibration/fit.py."""
    found = line([0, 50, 100], [1.0, 51.5, 102.0])
    assert (found.slope, found.offset) == pytest.approx((1.01, 1.0), abs=1e-12)
    assert found.residuals == pytest.approx((0, 0, 0), abs=1e-12)


def test_what_is_off_the_line_is_the_residual():
    """References 0, 1, 2 show 0, 2, 1: means 1 and 1; slope = ((-1)(-1) + (1)(0)) / 2 = 0.5, offset 0.5."""
    found = line([0, 1, 2], [0, 2, 1])
    assert (found.slope, found.offset) == (0.5, 0.5) and found.residuals == (-0.5, 1.0, -0.5)


def exactly(xs: list[float], ys: list[float]) -> tuple[Fraction, Fraction]:
    """(slope, offset) by the normal equations, in exact fractions."""
    x, y, n = [Fraction(v) for v in xs], [Fraction(v) for v in ys], len(xs)
    sx, sy = sum(x), sum(y)
    sxx, sxy = sum(a * a for a in x), sum(a * b for a, b in zip(x, y, strict=True))
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    return slope, (sy - slope * sx) / n


def test_against_exact_fractions():
    rng = Random(8)
    for _ in range(500):
        xs = [round(rng.uniform(-50, 500), 2) for _ in range(rng.randrange(2, 6))]
        if len(set(xs)) < 2:
            continue
        ys = [round(x * rng.uniform(0.8, 1.2) + rng.uniform(-5, 5), 3) for x in xs]
        slope, offset = exactly(xs, ys)
        found = line(xs, ys)
        assert found.slope == pytest.approx(float(slope), rel=1e-9, abs=1e-9)
        assert found.offset == pytest.approx(float(offset), rel=1e-7, abs=1e-7)


def test_control_the_line_the_other_way_round_is_another_one(monkeypatch):
    """Reference by reading: the same for points on one line, and for no others."""
    monkeypatch.setitem(globals(), "line", lambda xs, ys: fit.line(ys, xs))
    with pytest.raises(AssertionError):
        test_what_is_off_the_line_is_the_residual()
    with pytest.raises(AssertionError):
        test_against_exact_fractions()


def test_drift_is_against_what_the_record_before_left():
    """First: true at 0 and 100 before; found 1.0 and 102.0. It is adjusted to 0.2 and 100.1. A month later it
    shows 0.9 and 103.3: zero drifted by 0.9 - 0.2 = 0.7, span by 103.3 - 100.1 = 3.2, which is beyond 3.
    """
    first = record(kind="adjustment", points=points((0, 1.0, 0.2), (100, 102.0, 100.1)))
    later = record(points=points((0, 0.9), (100, 103.3)))._replace(at_ms=first.at_ms + 30 * DAY_MS)
    one, two = judged([later, first])["COD"]  # however they were entered
    assert (one.drift.zero, one.drift.span) == pytest.approx((1.0, 2.0)) and one.since_ms is None
    assert (one.drift.zero_ok, one.drift.span_ok, one.drift.holds) == (True, True, True)
    assert one.after is not None and one.after.at(100) == pytest.approx(100.1)
    assert (two.drift.zero, two.drift.span) == pytest.approx((0.7, 3.2)) and two.since_ms == first.at_ms
    assert (two.drift.zero_ok, two.drift.span_ok, two.drift.holds) == (True, False, False)


def test_control_against_what_it_was_found_as_the_adjustment_is_forgotten(monkeypatch):
    monkeypatch.setattr(fit, "left_line", lambda points: None)
    with pytest.raises(AssertionError):
        test_drift_is_against_what_the_record_before_left()


def test_the_limit_itself_is_allowed():
    """0.1 + 0.2 is not 0.3 to a computer: a limit of 0.3 holds for it all the same."""
    limits = Limits(0.0, 1.0, 0.3, 0.3)
    one = record()._replace(points=(Point(0.0, 0.1 + 0.2, None), Point(1.0, 1.3, None)), limits=limits)
    assert judged([one])["COD"][0].drift.holds is True
    beyond = one._replace(points=(Point(0.0, 0.3001, None), Point(1.0, 1.3, None)))
    assert judged([beyond])["COD"][0].drift[2:] == (False, True)


def test_no_limit_no_verdict_and_span_is_the_highest_reference():
    one = record()._replace(limits=Limits())
    (made,) = judged([one])["COD"]
    assert (made.span, made.drift.holds) == (100.0, None)


def test_ph_drifts_where_ph_is_measured():
    """Zero at 7, span at 4: it shows 7.05 of 7 and 4.15 of 4."""
    one = record(channel="pH", points=points((7.0, 7.05), (4.0, 4.15)))
    (made,) = judged([one])["pH"]
    assert (made.drift.zero, made.drift.span) == pytest.approx((0.05, 0.15))
    assert (made.drift.zero_ok, made.drift.span_ok) == (True, False)


def test_another_unit_is_another_history():
    first = record()
    other = first._replace(unit="g/l", at_ms=first.at_ms + 1)
    assert [made.record.unit for made in judged([first, other])["COD"]] == ["g/l"]


# What a person gives ----------------------------------------------------------------------------------------


def test_a_record_is_read_and_comes_out_of_its_entry():
    one = record(points=points((0, 1.0, 0.5), (100, 102.25, 100)), photo="ab" * 32)
    assert one.at_ms == AT_MS - 300_000 and one.unit == "mg/l" and one.limits == LIMITS
    assert one.points == (Point(0.0, 1.0, 0.5), Point(100.0, 102.25, 100.0)) and one.entered_by == "anna"
    assert one.certificates[0][:2] == ("KT-22/118", 100.0) and one.photo == "ab" * 32
    assert parse(one.body()) == one
    later = cbor.dumps(cbor.loads(one.body()) | {"more": "of a later version"})
    assert parse(later) == one


WRONG = [
    ({"channel": "CODD"}, "'CODD' is no channel that is measured here: name one of COD, pH."),
    ({"channel": None}, "missing is no channel"),
    ({"at": "yesterday"}, "at is 'yesterday': write when it was made as 2026-11-30T09:30"),
    ({"at": "2026-03-25T07:07"}, "at is in the future"),
    ({"at": "2012-03-25T07:07"}, "at is more than ten years ago"),
    ({"kind": "look"}, "kind is 'look': write check or adjustment or correction or uncorrected."),
    ({"who": " "}, "who is a line of 1 to 100 characters."),
    ({"who": 7}, "who is no line of text."),
    ({"serial": "a\nb"}, "serial is no line of text."),
    ({"remark": "x" * 501}, "remark is a line of 0 to 500"),
    ({"points": points((0, 1.0))}, "points are 2 to 5"),
    ({"points": points(*[(n, n) for n in range(6)])}, "points are 2 to 5"),
    ({"points": points((50, 51.0), (50, 52.0))}, "All points are of 50 mg/l: a line needs two that differ."),
    ({"points": points((0, 1.0), (1e-300, 2.0))}, "a line needs two that differ."),
    ({"points": points((0, "1.0"), (100, 101))}, "Point 1: before is '1.0', which is no number"),
    ({"points": points((0, True), (100, 101))}, "Point 1: before is True, which is no number"),
    ({"points": points((0, float("nan")), (100, 101))}, "Point 1: before is nan, which is no number"),
    ({"points": points((0, 10**400), (100, 101))}, "which is no number"),
    ({"points": points((0, 1, 2), (100, 101))}, "after stands at all points, or at none."),
    ({"points": points((0, 1, 2), (100, 101)), "kind": "adjustment"}, "after is missing at 2."),
    ({"points": [[0, 1], *points((2, 3))]}, "Point 1 is not reference, before and after."),
    ({"certificate": None}, "certificate is missing"),
    ({"certificate": said()["certificate"] | {"uncertainty": -1}}, "below 0"),
    ({"certificate": said()["certificate"] | {"valid_until": "2027-13-01"}}, "write a day"),
    ({"photo": "../../x"}, "photo is the SHA-256 of the picture"),
    ({"colour": "red"}, "'colour' is not known here: write channel, at"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "sentence"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_each_fault_is_a_sentence(changed, sentence):
    (found,) = faults_of(**changed)
    assert sentence in found and found.endswith((".", "remark"))


def test_a_certificate_holds_through_its_last_day():
    assert faults_of() == []  # valid until the day of the calibration
    ended = said()["certificate"] | {"valid_until": "2026-03-24"}
    (found,) = faults_of(certificate=ended)
    assert found.startswith("The certificate KT-22/118 ended on 2026-03-24, before 2026-03-25")


def test_all_faults_come_at_once():
    assert len(faults_of(channel="x", at="x", kind="x", who="", points=[], certificate=None)) == 6


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given_by(st.dictionaries(st.sampled_from(list(said())), VALUES, max_size=4))
def test_whatever_is_given_there_is_a_record_or_sentences(changed):
    found, faults = given.read(said() | changed, CHANNELS, AT_MS)
    assert (found is None) == bool(faults) and all(isinstance(fault, str) and fault for fault in faults)
    if found is not None:
        assert parse(found.body()) == found and judged([found])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given_by(VALUES)
def test_whatever_stands_in_an_entry_is_a_record_or_nothing(value):
    try:
        data = cbor.dumps(value)
    except Exception:  # what CBOR has no word for is in no entry
        return
    assert parse(data) is None


@pytest.mark.parametrize("name", ["points", "limits", "at_ms", "certificates", "who"])
def test_an_entry_that_lacks_something_is_passed_over(name):
    whole = cbor.loads(record().body())
    assert parse(cbor.dumps(whole)) is not None
    assert parse(cbor.dumps({key: value for key, value in whole.items() if key != name})) is None
    assert parse(cbor.dumps(whole | {name: {"of": "a later version"}})) is None
    assert parse(b"\xff") is None and parse(json.dumps(said()).encode()) is None


# On the charts of QAL3 --------------------------------------------------------------------------------------


def test_a_record_is_a_zero_and_a_span_check_and_an_adjustment_an_intervention():
    plain = record()
    at = plain.at_ms
    assert checks.charted([plain]) == (
        (Check(at, ZERO, 0.0, 1.0), Check(at, SPAN, 100.0, 102.0)), (),
    )  # fmt: skip
    done = record(kind="adjustment", points=points((0, 1.0, 0.1), (100, 102, 100)), remark="")
    found = checks.charted([done])
    assert found.interventions == (Intervention(at + 1, "", "adjusted", "Lan"),)
    assert Check(at + 1, SPAN, 100.0, 100.0) in found.checks and Check(at, SPAN, 100.0, 102.0) in found.checks
    assert found.first_ms == at and checks.charted([]).first_ms is None


def test_points_near_to_span_are_no_zero_check():
    found = checks.charted([record(points=points((90, 91), (100, 101)))])
    assert found.checks == (Check(AT_MS - 300_000, SPAN, 100.0, 101.0),)
