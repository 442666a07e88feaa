"""simulator/clock.py: station time, real or bent, and sleeping until it."""

import asyncio
import time

import pytest

from protocol.errors import ConfigError
from simulator.clock import SimClock, load_timeline, mono_ms, write_timeline

NOON_MS = 1_774_400_400_000


def test_without_a_timeline_it_is_the_machines_clock():
    before = time.time_ns() // 1_000_000
    now = SimClock().now_ms()
    assert before <= now <= time.time_ns() // 1_000_000 and SimClock().speed() == 1.0


def test_everybody_who_reads_the_file_has_the_same_time(tmp_path):
    path = tmp_path / "timeline.json"
    write_timeline(path, [[int(mono_ms()), NOON_MS, 60]])
    one, other = SimClock.from_file(path), SimClock.from_file(path)
    a = one.now_ms()
    b = other.now_ms()
    c = one.now_ms()
    assert NOON_MS <= a <= b <= c
    assert one.speed() == 60
    assert list(tmp_path.iterdir()) == [path]  # no half-written file is left


def test_sleep_until_never_ends_early():
    async def main():
        clock = SimClock.from_segments([[int(mono_ms()), NOON_MS, 1000]])
        for target in range(NOON_MS, NOON_MS + 60_000, 1700):
            await clock.sleep_until(target)
            assert clock.now_ms() >= target
        started = clock.now_ms()
        await clock.sleep_until(started - 1_000_000)  # long past: at once
        assert clock.real_s_until(started) == 0.0

    asyncio.run(main())


def test_a_missing_or_bad_file_is_an_error(tmp_path):
    with pytest.raises(OSError):
        load_timeline(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"segments": []}')
    with pytest.raises(ConfigError):
        load_timeline(tmp_path / "bad.json")
    assert load_timeline(None) is None
