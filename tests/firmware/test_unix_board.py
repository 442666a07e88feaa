"""The unix board beside its streams: pins as files, the clock, feeding, and a reset that ends the process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.firmware.bench import ROOT, RUNTIMES
from tests.protocol.test_runtimes import HEAP, interpreter

CASES = re.findall(
    r"^def (\w+)\(board\)",
    (ROOT / "tests/firmware/fakes/unix_cases.py").read_text(encoding="utf-8"),
    re.M,
)


def _run(runtime: str, directory: Path, case: str, *more: str, root: Path = ROOT):
    command = [sys.executable] if runtime == "cpython" else [interpreter(), "-X", f"heapsize={HEAP}"]
    return subprocess.run(
        [*command, "-m", "tests.firmware.fakes.unix_cases", str(directory), case, *more],
        cwd=root,
        env={**os.environ, "MICROPYPATH": f"{root}:{ROOT}:.frozen", "PYTHONPATH": f"{root}:{ROOT}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("case", [case for case in CASES if case != "ends"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_the_board_does(tmp_path, runtime, case):
    done = _run(runtime, tmp_path, case)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_reset_ends_the_process_and_the_next_start_knows_why(tmp_path, runtime):
    """Asked for inside a task, while a guard catches each Exception and a task refuses to be cancelled."""
    reasons = []
    for how in ("task uplink silent for 9000 ms", "asked", "repl", "again"):
        done = _run(runtime, tmp_path, "ends", how)
        assert done.returncode == 75, (done.returncode, done.stdout, done.stderr)
        assert "caught" not in done.stdout
        reasons.append(json.loads(done.stdout.splitlines()[0])["reason"])
    assert reasons == ["power", "task uplink silent for 9000 ms", "asked", "repl asked"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_reason_that_cannot_be_kept_does_not_stop_the_reset(tmp_path, runtime):
    (tmp_path / "state").write_text("a file where the folder should be")
    assert _run(runtime, tmp_path, "ends", "asked").returncode == 75
    assert json.loads(_run(runtime, tmp_path, "ends", "asked").stdout.splitlines()[0])["reason"] == "power"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_its_own_clock_runs_in_the_time_of_a_simulation(tmp_path, runtime):
    timeline = tmp_path / "timeline.json"
    timeline.write_text(json.dumps({"segments": [[0, 0, 1000]]}))
    board = tmp_path / "board"
    (board / "io").mkdir(parents=True)
    (board / "io" / "rtc").write_text("1780000000000")
    program = (
        "import sys\n"
        "from firmware.boards.unix import Board\n"
        "board = Board(sys.argv[1])\n"
        "first = board.rtc()\n"
        "before = board.ticks_ms()\n"
        "while board.ticks_diff(board.ticks_ms(), before) < 40: pass\n"
        "assert board.rtc() - first >= 40000, board.rtc() - first\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable] if runtime == "cpython" else [interpreter()]
    subprocess.run(
        [*command, str(tmp_path / "program.py"), str(board)],
        env={
            **os.environ,
            "MICROPYPATH": f"{ROOT}:.frozen",
            "PYTHONPATH": str(ROOT),
            "QUANTRAC_TIMELINE": str(timeline),
        },
        check=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "file, good, bad, case",
    [
        ("unix_io.py", 'c in "-_"', 'c in "-_./"', "no_pin_is_a_way_out"),
        ("unix_io.py", "    put(False)\n", "", "pins"),
        ("unix_io.py", "+ ticks - shown[1]", "", "clocks"),
        ("common.py", "self._fed_at = now", "pass", "feeding"),
    ],
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_control_a_broken_board_is_seen(tmp_path, runtime, file, good, bad, case):
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "firmware" / "boards" / file
    text = path.read_text(encoding="utf-8")
    assert good in text
    path.write_text(text.replace(good, bad), encoding="utf-8")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "board").mkdir()
    done = _run(runtime, tmp_path / "board", case, root=tmp_path)
    assert done.returncode == 1 and f"in {case}\n" in done.stderr, (done.returncode, done.stderr)
