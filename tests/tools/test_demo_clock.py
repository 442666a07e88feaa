"""tools/demo/clock.py: forty minutes at once, then the asked speed; a continued station never goes back."""

from __future__ import annotations

import json

import pytest

from protocol.timeline import Timeline
from simulator.clock import SimClock, mono_ms
from tools.demo.clock import (
    LEAD_MS,
    PRELUDE_SPEED,
    PRELUDE_WINDOWS,
    WINDOW_MS,
    continued_segments,
    fix_timeline,
    new_segments,
)

UNIX_MS = 1_774_397_123_456
MONO_MS = 5_000_000


@pytest.mark.parametrize("speed", [1, 30, 300])
def test_a_new_station_catches_up_with_whole_windows_and_ends_in_the_present(speed):
    line = Timeline(new_segments(MONO_MS, UNIX_MS, speed))
    start = UNIX_MS // WINDOW_MS * WINDOW_MS - PRELUDE_WINDOWS * WINDOW_MS
    assert line.at(MONO_MS + LEAD_MS) == start and start % WINDOW_MS == 0
    assert line.at(MONO_MS) == start - LEAD_MS, "before the first poll time runs as outside"
    caught_up = line.when(start + PRELUDE_WINDOWS * WINDOW_MS)
    assert 0 <= UNIX_MS - line.at(caught_up) < WINDOW_MS
    assert caught_up - MONO_MS - LEAD_MS == PRELUDE_WINDOWS * WINDOW_MS / max(PRELUDE_SPEED, speed)
    assert line.speed_at(caught_up + 1) == speed
    assert line.at(caught_up + 10_000) - line.at(caught_up) == 10_000 * speed


@pytest.mark.parametrize("last_ms", [UNIX_MS, UNIX_MS // 1000 * 1000])
def test_a_continued_station_goes_on_after_its_last_moment(last_ms):
    line = Timeline(continued_segments(MONO_MS, last_ms, 30))
    assert 0 < line.at(MONO_MS) - last_ms <= 1000 and line.at(MONO_MS) % 1000 == 0
    assert line.speed_at(MONO_MS + LEAD_MS - 1) == 1 and line.speed_at(MONO_MS + LEAD_MS) == 30


@pytest.mark.parametrize("last_ms", [None, UNIX_MS])
def test_the_timeline_is_fixed_for_every_process(tmp_path, last_ms):
    path = tmp_path / "timeline.json"
    line = fix_timeline(path, last_ms, 30)
    read = Timeline(json.loads(path.read_text())["segments"])
    now = mono_ms()
    for later in (0, 1000, 2000, 10_000, 100_000):
        assert read.at(now + later) == line.at(now + later)
    assert SimClock.from_file(path).speed() == 1, "everything connects in the lead"
    assert not list(tmp_path.glob("*.part"))
