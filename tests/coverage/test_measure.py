"""A measurement reaches every process that a test starts, and the table says what it found."""

from __future__ import annotations

import shutil

import pytest

from tests.coverage import __main__ as command
from tests.coverage import measure, table
from tests.coverage.measure import ROOT
from tests.coverage.parts import FEW_TESTS, PARTS, Part
from tests.coverage.table import Count, Module

PROCESSES = f"""
import os, signal, subprocess, sys
from protocol import quality
from simulator.station import find_micropython

TAKES = "from gateway.bucket import Bucket; import os; Bucket(1, 1.0).take(0.0); os._exit(0)"
WAITS = "import time; from gateway.circular import vector; print(1, flush=True); time.sleep(300)"
FRAMES = "from protocol.framing import encode; encode(bytes(3))"


def test_processes():
    assert quality.status(quality.OK) == "00"
    environment = {{**os.environ, "PYTHONPATH": {str(ROOT)!r}, "MICROPYPATH": {str(ROOT)!r} + ":.frozen"}}
    subprocess.run([sys.executable, "-c", TAKES], env=environment, check=True)
    waits = subprocess.Popen([sys.executable, "-c", WAITS], env=environment, stdout=subprocess.PIPE)
    assert waits.stdout.readline()
    waits.terminate()
    assert waits.wait() == -signal.SIGTERM
    subprocess.run([find_micropython(), "-c", FRAMES], env=environment, cwd="/", check=True)
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    test = folder / "test_processes.py"
    test.write_text(PROCESSES, encoding="utf-8")
    status, _ = measure.run(
        "pytest", ["-q", "-p", "no:cacheprovider", "-n", "0", str(test)], kept=folder / "kept"
    )
    assert status == 0
    return folder / "kept"


def test_each_process_tells_what_it_ran(kept):
    cov = measure.combined(kept)
    names = ("protocol/quality.py", "protocol/framing.py")
    names += ("gateway/bucket.py", "gateway/circular.py", "gateway/fees.py")
    quality, framing, bucket, circular, fees = (table.module(cov, ROOT / name) for name in names)
    assert quality.branches.reached == 1  # the test's own process
    assert bucket.branches.reached == 2  # a process that left by os._exit
    assert 0 < circular.lines.reached < circular.lines.all  # one that was terminated
    assert 0 < framing.branches.reached < framing.branches.all  # MicroPython, which alone ran it
    assert fees.lines.reached == 0  # nobody


def test_control_without_the_marks_nothing_is_known_of_micropython(kept, tmp_path):
    without = shutil.ignore_patterns("coverage.micropython")
    shutil.copytree(kept / "data", tmp_path / "data", ignore=without)
    for name in ("settings.ini", measure.SOURCES):
        shutil.copy(kept / name, tmp_path)
    framing = table.module(measure.combined(tmp_path), ROOT / "protocol/framing.py")
    assert framing.lines.reached == framing.branches.reached == 0


def test_the_command_writes_the_table_and_says_what_is_below(kept, tmp_path, monkeypatch, capsys):
    cov = measure.combined(kept)
    monkeypatch.setattr(measure, "combined", lambda: cov)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    assert command.main(["--table"]) == 1
    assert "journal: 0.0 % of the lines, and 95 % are the aim" in capsys.readouterr().err
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "| `gateway/journal/leaf.py` | 0.0 % | 0.0 % |" in page


def test_the_table_says_which_tests_ran_when_they_ran_not_when_it_is_written(kept, tmp_path, monkeypatch):
    def run(module, arguments, marked):
        ran.append((module, arguments[-2:], marked))
        return 0, measure.combined(kept)

    ran: list[tuple] = []
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    for function in (measure.note, measure.noted):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    monkeypatch.setattr(measure, "run", run)
    monkeypatch.setattr(table, "measured", lambda cov, root, parts: {})
    assert command.main(["--whole", "--", "-k", "wal"]) == 0
    assert ran == [("tests.suite", ["-k", "wal"], True)]
    cov = measure.combined(kept)
    monkeypatch.setattr(measure, "combined", lambda: cov)
    assert command.main(["--table"]) == 0
    assert "; all tests, with -k wal." in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")


def test_no_table_without_a_measurement(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure.combined, "__defaults__", (tmp_path,))
    assert command.main(["--table"]) == 2
    assert "without --table first" in capsys.readouterr().err


def test_no_table_of_modules_that_were_changed_since(kept, monkeypatch, capsys):
    monkeypatch.setattr(measure.combined, "__defaults__", (kept,))
    now = measure.fingerprints()
    monkeypatch.setattr(measure, "fingerprints", lambda: {**now, "gateway/lane.py": "another"})
    assert command.main(["--table"]) == 2
    assert "gateway/lane.py: changed since the measurement began" in capsys.readouterr().err


def test_a_part_must_reach_its_aim_with_lines_and_with_branches():
    part, free = Part("some", (), 95.0), Part("free", (), None)
    enough = {
        "a.py": Module(Count(90, 100), Count(1, 1), "", ""),
        "b.py": Module(Count(100, 100), Count(18, 19), "", ""),
    }
    assert table.below({part: enough, free: {"c.py": Module(Count(0, 9), Count(0, 9), "", "")}}) == []
    less = {"a.py": Module(Count(949, 1000), Count(94, 100), "", "")}
    assert table.below({part: less}) == [
        "some: 94.9 % of the lines, and 95 % are the aim",
        "some: 94.0 % of the branches, and 95 % are the aim",
    ]


def test_parts_and_tests_exist():
    for part in PARTS:
        for pattern in part.paths:
            assert any(ROOT.glob(pattern)), pattern
    assert [test for test in FEW_TESTS if not (ROOT / test).exists()] == []
