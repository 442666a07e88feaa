"""gateway/forward/pace.py: when a destination will have caught up, held against what then happens."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from gateway.forward.pace import LATELY_S, Pace


def story(pace: Pace, rate: Callable[[float], float], seconds: float, backlog: int, step_s: float = 1.0):
    """(second, waiting, rate, eta) as time goes on: `rate(t)` documents a second go, one comes each 300 s."""
    t, delivered, queued, owed = 0.0, 0, backlog, 0.0
    while t < seconds:
        t += step_s
        queued = backlog + int(t // 300)
        owed += rate(t) * step_s
        while owed >= 1 and delivered < queued:
            owed, delivered = owed - 1, delivered + 1
        pace.look(t, delivered, queued)
        yield t, queued - delivered, pace.rate_per_s(), pace.eta_s(queued - delivered)


@pytest.mark.parametrize("rate", [0.02, 0.1, 1.0, 17.0])
@pytest.mark.parametrize("step_s", [0.1, 1.0, 10.0])
def test_a_steady_pace_comes_out_as_it_was_said(rate, step_s):
    backlog = round(600 * rate) + 5
    told = list(story(Pace(), lambda t: rate, 1500 + 5 / rate, backlog, step_s))
    end_s = next(t for t, waiting, *_ in told if waiting == 0)
    said = [(t, eta) for t, _, _, eta in told if eta is not None and LATELY_S <= t < end_s - 30]
    assert said
    for t, eta in said:
        assert abs(t + eta - end_s) < 0.25 * (end_s - t) + 60 + 1 / rate, (t, eta, end_s)


def test_nothing_is_said_before_it_moves_nor_once_it_stands_still():
    told = list(story(Pace(), lambda t: 2.0 if 100 < t < 200 else 0.0, 400, 1000))
    assert all(rate is None and eta is None for t, _, rate, eta in told if t <= 104 or t > 322)
    assert all(eta is not None for t, _, _, eta in told if 110 < t < 200)


def test_a_pause_is_not_slowness():
    """Two hours without a delivery, then 5 a second: seen at once. With its control: the mean of all."""
    told = list(story(Pace(), lambda t: 5.0 if t < 60 or t > 7200 else 0.0, 7230, 20_000))
    assert all(rate is not None and 4 < rate < 6 for t, _, rate, _ in told if t > 7208)
    assert 20_000 - told[-1][1] < 0.1 * 5 * 7230


def test_slow_is_not_still():
    told = list(story(Pace(), lambda t: 1 / 90, 3000, 100))
    assert all(rate is not None and 1 / 200 < rate < 1 / 60 for t, _, rate, _ in told if t > 600)


def test_what_takes_less_than_comes_never_catches_up():
    """With its control: without what comes there would be an estimate."""
    pace, queued = Pace(), 100
    for t in range(1, 1200):
        queued += 2
        pace.look(float(t), t, queued)
    assert pace.rate_per_s() == pytest.approx(1.0) and pace.eta_s(queued - 1199) is None
    for t in range(1200, 1800):
        pace.look(float(t), t, queued)
    assert pace.eta_s(queued - 1799) == pytest.approx(queued - 1799, rel=0.01)


def test_it_keeps_little_whatever_happens():
    random, pace, t, delivered, queued = Random(4), Pace(), 0.0, 0, 0
    for _ in range(20_000):
        t += random.choice((0.0, 0.01, 0.3, 5.0, 400.0 if random.random() < 0.01 else 0.1))
        delivered, queued = delivered + random.choice((0, 0, 1, 50)), queued + random.choice((0, 1))
        pace.look(t, delivered, queued)
        rate, eta = pace.rate_per_s(), pace.eta_s(10)
        assert (rate is None or rate > 0) and (eta is None or eta > 0)
        assert len(pace._samples) < 200
