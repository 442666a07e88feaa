"""The issue's own acceptance runs of `quantrac demo`, each against the simulator's truth.

They take a minute of real time each and want the machine for themselves: xdist puts them on one worker.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protocol import checkpoint, note
from simulator.scene import load_scene
from tests.system import journal, truth

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def start_demo(directory: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "demo", "--dir", str(directory), "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def finish(demo: subprocess.Popen) -> str:
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 0, out + err
    return out


def received(directory: Path) -> list[Path]:
    return sorted((directory / "province").rglob("*.txt"))


def check_chain(directory: Path, files_at_least: int) -> dict:
    """What must hold after any run: nothing lost or doubled, every file there once, every value true."""
    summary = json.loads((directory / "summary.json").read_text())
    files = received(directory)
    assert len(files) >= files_at_least
    assert summary["readings"]["lost"] == 0 and summary["readings"]["duplicated"] == 0
    assert summary["files"]["delivered"] == summary["files"]["expected"] == len(files)
    assert summary["files"]["doubled"] == []
    check_cosigned(directory, summary)
    ends = [truth.end_ms(path) for path in files]
    assert ends == list(range(ends[0], ends[0] + len(ends) * truth.WINDOW_MS, truth.WINDOW_MS)), (
        "a window is missing"
    )
    for path in files:
        year, month, day = path.stem.rsplit("_", 1)[1][:4], path.stem.rsplit("_", 1)[1][4:6], path.stem[-8:-6]
        assert path.parent.relative_to(directory / "province").parts[-3:] == (year, month, day)
    return summary


def check_cosigned(directory: Path, summary: dict) -> None:
    """The witness holds the newest checkpoint, the journal its cosignature, and that of most others."""
    log, witness = (
        note.parse_vkey((directory / path).read_text().strip())
        for path in ("gateway/log.vkey", "witness/witness.vkey")
    )
    with contextlib.closing(sqlite3.connect(directory / "gateway/journal.db")) as connection:
        newest = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()[0]
    (kept,) = (directory / "witness").glob("*/checkpoint")
    held = [checkpoint.open_checkpoint(data, log, [witness], 1) for data in (newest, kept.read_bytes())]
    assert held[0] == held[1]
    most = (summary["windows"] - 1) // 2  # of those that another one followed
    assert most < summary["cosigned_checkpoints"] <= summary["checkpoints"]
    told = [each["checkpoint"] for each in messages(directory) if "checkpoint" in each]
    sizes = [checkpoint.open_checkpoint(text.encode(), log).size for text in told]
    assert len(told) > most and sizes == sorted(sizes) and sizes[-1] < held[0].size


def messages(directory: Path) -> list[dict]:
    lines = (directory / "national" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def gateway_pid(directory: Path) -> int:
    return int((directory / "gateway" / "gateway.lock").read_text().split()[0])


def wait_for_files(directory: Path, count: int, demo: subprocess.Popen) -> None:
    deadline = time.monotonic() + 90
    while len(received(directory)) < count:
        assert demo.poll() is None, demo.communicate()
        assert time.monotonic() < deadline, f"only {len(received(directory))} files"
        time.sleep(0.2)


@pytest.mark.parametrize("station", ["wastewater", "stack", "surface-water", "ambient-air"])
def test_files_are_the_truth(tmp_path, station):
    seconds, files_at_least = ("60", 11) if station == "wastewater" else ("35", 8)
    out = finish(start_demo(tmp_path, "--seconds", seconds, "--speed", "30", "--station", station))
    summary = check_chain(tmp_path, files_at_least)
    check_truth(tmp_path)
    assert summary["device"]["runtime"].startswith("MicroPython")
    assert json.loads(out[out.index("{") :]) == summary
    # A window of which nobody read anything (the first, on a busy machine) is no file, nor is a revision.
    first = [m for m in messages(tmp_path) if m["id"].endswith("/1")]
    told = {m["id"] for m in first if any(each["value"] is not None for each in m["channels"].values())}
    assert len(told) == len(received(tmp_path)), "the nation has not the windows of the province"


def check_truth(directory: Path) -> None:
    """Every value is the mean of true readings, to the last decimal. And of each channel three quarters of
    what is due are read in time, where the station's time runs at the speed that was asked for: in the forty
    minutes before, at 150 seconds a second, a machine that has other things to do polls late or not at all.
    """
    read, closed = journal.read_journal(directory)
    kind = json.loads((directory / "summary.json").read_text())["station"]
    poll_ms = {channel.symbol: unit.poll_ms for unit in load_scene(kind).units for channel in unit.channels}
    updates = truth.read_truth(directory / "truth.jsonl")
    assert updates.keys() == poll_ms.keys()
    files = received(directory)
    truth.compare(files, updates, read, closed, poll_ms)
    caught_up_ms = json.loads((directory / "run" / "timeline.json").read_text())["segments"][-1][1]
    end = truth.end_ms(files[-1])
    assert end >= caught_up_ms + truth.WINDOW_MS, "no window at the speed that was asked for"
    for symbol in updates:
        due = (end - caught_up_ms) // poll_ms[symbol]
        in_time = truth.in_place(read[symbol], updates[symbol], caught_up_ms, end)
        assert in_time >= 0.75 * due, f"{symbol}: {in_time} of {due} readings in time"


def test_outage_of_the_province_is_made_up_for(tmp_path):
    demo = start_demo(tmp_path, "--seconds", "60", "--speed", "30", "--outage", "20")
    finish(demo)
    summary = check_chain(tmp_path, files_at_least=10)
    ledger = [json.loads(line) for line in (tmp_path / "run" / "province.jsonl").read_text().splitlines()]
    names = [row["name"] for row in ledger]
    assert names == sorted(names), "not oldest first"
    assert len(set(names)) == len(names)
    gaps = [b["mono_ms"] - a["mono_ms"] for a, b in itertools.pairwise(ledger)]
    assert max(gaps) > 15_000, "there was no outage"
    assert summary["outage_s"] == 20
    check_truth(tmp_path)


def test_gateway_killed_in_mid_run(tmp_path):
    demo = start_demo(tmp_path, "--seconds", "45", "--speed", "30")
    wait_for_files(tmp_path, 7, demo)
    os.kill(gateway_pid(tmp_path), signal.SIGKILL)
    finish(demo)
    summary = check_chain(tmp_path, files_at_least=8)
    assert summary["gateway"]["restarts"] == 1


def test_everything_killed_and_continued(tmp_path):
    demo = start_demo(tmp_path, "--seconds", "60", "--speed", "30")
    wait_for_files(tmp_path, 7, demo)
    gateway = gateway_pid(tmp_path)
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{gateway}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{gateway}"), "the gateway outlived the demo"
    before = {path.name: path.read_bytes() for path in received(tmp_path)}
    finish(start_demo(tmp_path, "--seconds", "25", "--speed", "30"))
    check_chain(tmp_path, files_at_least=len(before) + 1)
    for path in received(tmp_path):
        assert before.get(path.name, path.read_bytes()) == path.read_bytes(), "a file was changed afterwards"


def test_ctrl_c_on_the_terminal_ends_it_in_order(tmp_path):
    """The terminal sends SIGINT to the whole group: the device still drains, the gateway still sends."""
    command = [sys.executable, "-m", "tools.cli", "demo", "--dir", str(tmp_path), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    demo = subprocess.Popen(command, **pipes, process_group=0)
    wait_for_files(tmp_path, 2, demo)
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2 and "already runs" in second.stderr
    os.killpg(demo.pid, signal.SIGINT)
    finish(demo)
    summary = check_chain(tmp_path, files_at_least=2)
    readings = summary["readings"]
    assert readings["emitted"] == readings["acknowledged"] == readings["journaled"] > 0
    assert summary["gateway"] == {"restarts": 0, "exit_status": 0}
