"""What keeps a running gateway small: freed memory goes back to the system, a window's readings are added up
soon; and the process that reads the configuration is begun early and outlives nobody.
"""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from gateway import accumulate, config_apart, config_carried, memory
from gateway.config import load
from gateway.windows import Channel
from protocol import quality as q
from tests.gateway.configured import written
from tests.gateway.test_footprint import sample
from tests.gateway.test_windows import START, frame, windows_of

BURST = """
import sys
from pathlib import Path
from gateway import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

assert memory.one_arena()
before = resident()
burst = [bytes(2000) for _ in range(20_000)]
burst = burst[-1:]  # what is left lies on top, so that the C library gives nothing back by itself
if sys.argv[1] == "give":
    memory.give_back()
print(resident() - before)
"""
HALF_OF_IT = 20_000_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives back as it likes")
@pytest.mark.parametrize(("how", "small"), [("give", True), ("keep", False)])
def test_what_a_burst_took_goes_back(how, small):
    """The control: without give_back() it stays."""
    said = subprocess.run([sys.executable, "-c", BURST, how], capture_output=True, text=True, check=True)
    assert (int(said.stdout) < HALF_OF_IT) == small, said.stdout


def test_where_the_c_library_is_another_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.one_arena()
    memory.give_back()


@pytest.mark.parametrize(("fresh_max", "small"), [(accumulate.FRESH_MAX, True), (1024, False)])
def test_an_open_window_does_not_keep_its_readings(fresh_max, small, monkeypatch):
    """Not 4 KiB for each of many channels; what they add up to is untouched. The control: 1024 of each."""
    monkeypatch.setattr(accumulate, "FRESH_MAX", fresh_max)
    windows = windows_of(*(Channel(f"C{i}", "mg/l", "device/st-01", f"c{i}") for i in range(100)))
    windows.next_ms = START
    most = 0
    for at in range(400):
        rows = [(at, float(at + number), q.OK, number) for number in range(100)]
        windows.lanes["device/st-01"].add(frame(*rows), START, 0.0)
        most = max(most, len(windows.states[0].cells[START].fresh) if windows.states[0].cells else 0)
    assert (most <= 128) == small, most
    found = windows.close(START)
    assert [(one.count, one.value) for one in found] == [(400, 199.5 + number) for number in range(100)]


def test_the_process_begun_ahead_reads_what_is_there_when_it_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(config_carried, "_chosen", True)
    config_apart.ahead()
    config_apart.ahead()
    [waiting] = config_apart._waiting
    path = written(tmp_path, sample())
    config, faults = config_apart.read(path)
    assert faults == [] and config == load(path)
    assert not config_apart._waiting and waiting.returncode == 0
    assert config_apart.read(path) == (config, [])  # each question has its own


def test_one_that_is_never_asked_ends_with_its_pipe(monkeypatch):
    monkeypatch.setattr(config_carried, "_chosen", True)
    config_apart.ahead()
    waiting = config_apart._waiting.pop()
    assert waiting.poll() is None
    assert waiting.communicate() == (b"", None) and waiting.returncode == 0


def test_none_is_begun_by_who_reads_for_himself():
    config_apart.ahead()
    assert not config_apart._waiting
