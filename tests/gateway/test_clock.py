"""gateway/clock.py: real and simulated time, and sleeping through steps of it."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest

from gateway import clock as module
from gateway.clock import SLEEP_MAX_S, Clock

LIMIT_S = 30  # ends a broken test


class StepTimeline:
    """Station time = monotonic time x speed + offset; `offset_ms` may be stepped, as by a person or NTP."""

    def __init__(self, offset_ms: int = 0, speed: int = 1):
        self.offset_ms, self.speed = offset_ms, speed
        self.lie_ms = 0.0  # when() is wrong by so much

    def at(self, mono_ms: float) -> int:
        return int(mono_ms * self.speed) + self.offset_ms

    def when(self, station_ms: int) -> float:
        return (station_ms - self.offset_ms) / self.speed + self.lie_ms


def sleeping(clock: Clock, until_ms: int, meanwhile=()) -> int:
    """Sleep until then while steps are made; station time on return."""

    async def main() -> int:
        async with asyncio.timeout(LIMIT_S):
            task = asyncio.create_task(clock.sleep_until(until_ms))
            for step in meanwhile:
                await asyncio.sleep(0.02)
                assert not task.done(), "returned before its time"
                step()
            await task
        return clock.now_ms()

    return asyncio.run(main())


def test_the_real_clock_is_the_systems():
    clock = Clock()
    before = time.time_ns() // 1_000_000
    assert before <= clock.now_ms() <= time.time_ns() // 1_000_000
    assert not clock.simulated and clock.trusted
    clock.floor_ms = clock.now_ms() + 3_600_000  # the journal knows better
    assert not clock.trusted
    first = clock.mono_ns()
    assert first <= clock.mono_ns() <= time.monotonic_ns()


def test_a_simulated_clock_reads_its_file_and_says_that_it_is_one(tmp_path):
    mono_ms = int(time.monotonic_ns() / 1e6)
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps({"segments": [[mono_ms, 1_774_371_600_000, 100]]}))
    clock = Clock.from_file(path)
    assert clock.simulated
    low = 1_774_371_600_000 + (int(time.monotonic_ns() / 1e6) - mono_ms) * 100
    assert low - 100 <= clock.now_ms() <= low + 1_000_000
    assert abs(clock.mono_ns() - time.monotonic_ns()) < 60e9, "monotonic time is real"


@pytest.mark.parametrize("speed", [1, 30, 300])
def test_never_early_and_at_once_when_it_is_past(speed):
    clock = Clock(StepTimeline(speed=speed))
    for ahead_ms in (0, 1, 7, 50 * speed):
        until_ms = clock.now_ms() + ahead_ms
        assert sleeping(clock, until_ms) >= until_ms
    assert sleeping(clock, clock.now_ms() - 3_600_000) > 0


def test_never_early_with_the_real_clock():
    clock = Clock()
    for ahead_ms in (0, 1, 20):
        until_ms = clock.now_ms() + ahead_ms
        assert sleeping(clock, until_ms) >= until_ms


def test_sleep_is_a_span_of_station_time():
    async def main():
        clock = Clock(StepTimeline(speed=100))
        before = clock.now_ms()
        await clock.sleep(3.0)
        assert clock.now_ms() - before >= 3000

    asyncio.run(main())


def test_a_step_back_makes_the_sleep_longer():
    line = StepTimeline()
    clock = Clock(line)
    until_ms = clock.now_ms() + 60

    def back():
        line.offset_ms -= 200

    assert sleeping(clock, until_ms, [back, back]) >= until_ms


def test_a_step_forward_ends_it():
    line = StepTimeline()
    clock = Clock(line)

    def forward():
        line.offset_ms += 7_200_000

    until_ms = clock.now_ms() + 3_600_000  # an hour: without a look at the clock this test would not end
    assert sleeping(clock, until_ms, [forward]) >= until_ms
    assert SLEEP_MAX_S <= 1


def test_a_timeline_that_promises_too_soon_does_not_wake_it_early():
    line = StepTimeline()
    line.lie_ms = -40.0
    clock = Clock(line)
    until_ms = clock.now_ms() + 50
    assert sleeping(clock, until_ms) >= until_ms


def test_steps_of_the_real_clock(monkeypatch):
    offset_ns = 0
    monkeypatch.setattr(
        module,
        "time",
        SimpleNamespace(time_ns=lambda: time.time_ns() + offset_ns, monotonic_ns=time.monotonic_ns),
    )

    def step(ms):
        def now():
            nonlocal offset_ns
            offset_ns += ms * 1_000_000

        return now

    clock = Clock()
    until_ms = clock.now_ms() + 60
    assert sleeping(clock, until_ms, [step(-300)]) >= until_ms
    until_ms = clock.now_ms() + 3_600_000
    assert sleeping(clock, until_ms, [step(-1000), step(7_200_000)]) >= until_ms
