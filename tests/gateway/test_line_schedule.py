"""The schedule by itself: every instant once, no queue, no starving, and clocks that jump."""

from __future__ import annotations

from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.ingest.backoff import FIRST_S, JITTER, LONGEST_S, Backoff
from gateway.ingest.schedule import FORWARD_MS, HOLD_MS, LineTime, Schedule
from tests.gateway.line_rig import EPOCH_MS

YEAR_MS = 365 * 86_400_000


class Steps:
    """A clock that the test moves; not asynchronous."""

    simulated = False

    def __init__(self, now_ms=EPOCH_MS):
        self.ms, self.ns = now_ms, 5_000_000_000

    def now_ms(self):
        return self.ms

    def mono_ns(self):
        return self.ns

    def advance(self, ms):
        self.ms += ms
        self.ns += ms * 1_000_000


polls = st.lists(
    st.tuples(st.sampled_from((50, 100, 250, 1000, 7000)), st.integers(0, 6999)), min_size=1, max_size=6
)


@settings(max_examples=300, deadline=None)
@given(polls, st.lists(st.integers(0, 3000), min_size=1, max_size=200), st.integers(0, 10_000))
def test_every_instant_is_served_or_skipped_exactly_once(wanted, busy, start):
    wanted = [(poll_ms, phase_ms % poll_ms) for poll_ms, phase_ms in wanted]
    skipped = [0] * len(wanted)

    def on_skipped(poll, count):
        assert count > 0
        skipped[poll] += count

    schedule = Schedule(wanted, on_skipped)
    now = EPOCH_MS + start
    schedule.restart(now)
    served = [[] for _ in wanted]
    for duration in busy:
        found = schedule.take(now)
        if found is None:
            now = schedule.next_ms()
            found = schedule.take(now)
        poll, due = found
        poll_ms, phase_ms = wanted[poll]
        assert (due - phase_ms) % poll_ms == 0
        assert now - poll_ms < due <= now  # the newest of its instants: nothing queues up
        served[poll].append(due)
        now += duration
    while schedule.take(now) is not None:
        pass
    for poll, (poll_ms, phase_ms) in enumerate(wanted):
        assert served[poll] == sorted(set(served[poll]))
        first = EPOCH_MS + start + (phase_ms - EPOCH_MS - start) % poll_ms
        instants = (now - first) // poll_ms + 1 if now >= first else 0
        settled = 1 if instants > 0 and (not served[poll] or served[poll][-1] < now - poll_ms) else 0
        assert instants - 1 <= len(served[poll]) + skipped[poll] + settled <= instants + 1


def test_a_line_that_is_too_slow_shares_itself_out():
    skipped = [0] * 5
    schedule = Schedule([(100, 0)] * 5, lambda poll, n: skipped.__setitem__(poll, skipped[poll] + n))
    schedule.restart(EPOCH_MS)
    served = [0] * 5
    now = EPOCH_MS
    for _ in range(1000):
        poll, _ = schedule.take(now)
        served[poll] += 1
        now += 100  # five times slower than it should be
    assert served == [200] * 5
    assert all(abs(count - 800) <= 5 for count in skipped), skipped


@settings(max_examples=300, deadline=None)
@given(
    polls,
    st.lists(
        st.tuples(
            st.integers(0, 900),
            st.one_of(
                st.just(0),
                st.integers(-30_000, 30_000),
                st.sampled_from((-YEAR_MS * 10, YEAR_MS * 10, -3_600_000, 3_600_000, -1000, 1000)),
            ),
        ),
        max_size=60,
    ),
)
@example([(1000, 0)], [(10, -1000), (500, 0), (500, 0), (10, -HOLD_MS - 1), (10, FORWARD_MS + 1)])
def test_jumps_of_the_clock_double_and_reverse_nothing(wanted, moves):
    wanted = [(poll_ms, phase_ms % poll_ms) for poll_ms, phase_ms in wanted]
    clock = Steps()
    time = LineTime(clock)
    skipped = [0] * len(wanted)
    schedule = Schedule(wanted, lambda poll, n: skipped.__setitem__(poll, skipped[poll] + n))
    schedule.restart(time.now_ms())
    era, last = time.era, time.now_ms()
    served = [set() for _ in wanted]
    gone_ms = 0
    for passed, step in moves:
        clock.advance(passed)
        gone_ms += passed
        clock.ms += step
        now = time.now_ms()
        if time.era != era:
            assert abs(time.step_ms) > min(HOLD_MS, FORWARD_MS)
            era = time.era
            schedule.restart(now)
            served = [set() for _ in wanted]
        else:
            assert now >= last  # never back
        last = now
        for _ in wanted:  # each at most once: nothing is made up for
            found = schedule.take(now)
            if found is not None:
                poll, due = found
                assert due <= now
                assert due not in served[poll]
                served[poll].add(due)
        assert schedule.take(now) is None
        for poll, (poll_ms, _) in enumerate(wanted):
            assert now < schedule.next_of([poll]) <= now + poll_ms  # never more than a period away
    for poll, (poll_ms, _) in enumerate(wanted):
        # only time that passed can be skipped, plus steps too small to be told from a busy line
        assert skipped[poll] <= (gone_ms + FORWARD_MS * len(moves)) / poll_ms + len(moves)


def test_small_steps_back_are_waited_out_and_large_ones_taken_over():
    clock = Steps()
    time = LineTime(clock)
    clock.ms -= HOLD_MS
    assert (time.now_ms(), time.era) == (EPOCH_MS, 0)
    clock.advance(HOLD_MS + 5)
    assert (time.now_ms(), time.era) == (EPOCH_MS + 5, 0)
    clock.ms -= HOLD_MS + 1
    assert (time.now_ms(), time.era, time.step_ms) == (EPOCH_MS + 5 - HOLD_MS - 1, 1, -HOLD_MS - 1)
    clock.ms += 10 * YEAR_MS
    assert (time.era, time.now_ms() - EPOCH_MS > YEAR_MS, time.era) == (1, True, 2)
    assert time.step_ms == 10 * YEAR_MS


def test_a_busy_minute_is_no_step():
    clock = Steps()
    time = LineTime(clock)
    clock.advance(60_000)
    assert (time.now_ms(), time.era) == (EPOCH_MS + 60_000, 0)


def test_a_simulated_clock_may_run_fast():
    clock = Steps()
    clock.simulated = True
    time = LineTime(clock)
    clock.ms += 30_000
    clock.ns += 1_000_000_000
    assert (time.now_ms(), time.era) == (EPOCH_MS + 30_000, 0)


def test_back_off_doubles_to_half_a_minute_with_jitter():
    backoff = Backoff(Random(1))
    waits = [backoff.fail(1000) for _ in range(40)]
    for i, seconds in enumerate(waits):
        full = min(LONGEST_S, FIRST_S * 2**i)
        assert full * (1 - JITTER) <= seconds <= full
    assert len(set(waits[6:])) > 30  # no two alike: lines do not probe in step
    assert not backoff.due(1000) and backoff.due(1000 + backoff.interval_ns)
    backoff.hurry()
    assert backoff.due(1000) and backoff.failures == 40
    backoff.reset()
    assert backoff.failures == 0 and backoff.due(0)
