"""The rules by which readings are held against each other, one by one and against a slow reference."""

from __future__ import annotations

from random import Random

import pytest

from gateway import checks, flags
from gateway.checks import Checks, judged
from protocol import quality as q

SECOND = 1000


def series(*values: float, step_ms: int = 60_000) -> list[tuple[int, float]]:
    return [(place * step_ms, value) for place, value in enumerate(values)]


def test_by_itself():
    rules = Checks(low=0.0, high=14.0)
    assert judged(series(-0.1, 0.0, 14.0, 14.1), rules) == [flags.IMPLAUSIBLE, q.OK, q.OK, flags.IMPLAUSIBLE]
    rules = Checks(negative_min=-0.5)
    assert judged(series(-0.6, -0.5, 0.0), rules) == [flags.NEGATIVE, q.OK, q.OK]
    assert judged(series(-9.0), Checks(low=0.0, negative_min=-0.5)) == [
        flags.NEGATIVE
    ]  # the first one names it


def test_a_spike_is_away_from_both_neighbours_on_one_side():
    rules = Checks(spike=5.0)
    assert judged(series(10, 15.1, 10), rules) == [q.OK, flags.SPIKE, q.OK]
    assert judged(series(10, 4.9, 10), rules) == [q.OK, flags.SPIKE, q.OK]
    assert judged(series(10, 15.0, 10), rules) == [q.OK] * 3  # not further than that
    assert judged(series(10, 16, 30), rules) == [q.OK] * 3  # on its way up
    assert judged(series(99, 10, 10), rules) == [q.OK] * 3  # nobody knows what was before the first


def test_a_change_is_held_against_the_time_it_took():
    rules = Checks(rate_per_min=2.0)
    assert judged([(0, 1.0), (60_000, 3.0), (90_000, 4.1)], rules) == [q.OK, q.OK, flags.RATE]
    assert judged([(0, 1.0), (60_000, 3.1), (120_000, 3.1)], rules) == [q.OK, flags.RATE, q.OK]
    assert judged([(0, 1.0), (0, 9.0)], rules) == [q.OK, q.OK]  # of one moment


def test_behind_a_spike_nothing_is_too_fast():
    rules = Checks(spike=5.0, rate_per_min=2.0)
    assert judged(series(10, 90, 10, 10), rules) == [q.OK, flags.SPIKE, q.OK, q.OK]
    rules = Checks(rate_per_min=2.0)  # without the rule for spikes both sides of it are changes
    assert judged(series(10, 90, 10, 10), rules) == [q.OK, flags.RATE, flags.RATE, q.OK]


def by_itself(value, rules):
    if value < rules.negative_min:
        return flags.NEGATIVE
    return q.OK if rules.low <= value <= rules.high else flags.IMPLAUSIBLE


def reference(samples, rules):
    """From the definitions, reading by reading, without what judged() uses."""
    found = [by_itself(value, rules) for _, value in samples]
    spikes = set()
    for place, (_, value) in enumerate(samples):
        before = [samples[n][1] for n in range(place) if found[n] == q.OK]
        after = [samples[n][1] for n in range(place + 1, len(samples)) if found[n] == q.OK]
        if found[place] == q.OK and before and after:
            away = [value - before[-1], value - after[0]]
            if all(a > rules.spike for a in away) or all(a < -rules.spike for a in away):
                spikes.add(place)
    found = [flags.SPIKE if place in spikes else quality for place, quality in enumerate(found)]
    for place, (at_ms, value) in enumerate(samples):
        earlier = [n for n in range(place) if found[n] in (q.OK, flags.RATE)]
        if found[place] == q.OK and earlier:
            before_ms, before = samples[earlier[-1]]
            minutes = (at_ms - before_ms) / 60_000
            if minutes and abs(value - before) > rules.rate_per_min * minutes:
                found[place] = flags.RATE
    return found


def against_the_reference(seed: int):
    rng = Random(seed)
    rules = Checks(
        rng.uniform(-5, 2), rng.uniform(15, 25), rng.uniform(1, 200), rng.uniform(1, 9), None, 0.0, -3.0
    )
    times = sorted(rng.sample(range(0, 300 * SECOND, 500), rng.randrange(1, 60)))
    samples = [(at, rng.choice([rng.uniform(-8, 30), 10.0, rng.gauss(10, 1)])) for at in times]
    assert judged(samples, rules) == reference(samples, rules)
    return set(judged(samples, rules))


def test_against_a_slow_reference():
    seen = set().union(*[against_the_reference(seed) for seed in range(2000)])
    assert seen == {q.OK, flags.NEGATIVE, flags.IMPLAUSIBLE, flags.SPIKE, flags.RATE}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("_is_spike", lambda before, value, after, least: abs(value - before) > least),
        ("_by_itself", lambda value, rules: q.OK),
        ("_too_fast", lambda samples, found, rate: None),
    ],
)
def test_control_a_rule_that_is_wrong_is_found(monkeypatch, name, wrong):
    monkeypatch.setattr(checks, name, wrong)
    with pytest.raises(AssertionError):
        for seed in range(200):
            against_the_reference(seed)
