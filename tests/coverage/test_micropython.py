"""The interpreter with marks: what it counts, what it must not count, and that a kill loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from coverage import CoverageData

from simulator.station import find_micropython
from tests.coverage import micropython
from tests.coverage.micropython import HEAP_MORE, Marks

NOTHING = "nothing is exempt"
POLLER = """import sys


def poll(n):
    if n > 3:
        return "more"
    return "few"


def wait():
    print("waits")
    sys.stdin.readline()
    print("never")
"""


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "checkout"
    for part in micropython.MARKED:
        (root / part).mkdir(parents=True)
        (root / part / "__init__.py").touch()
    (root / "firmware" / "poller.py").write_text(POLLER, encoding="utf-8")
    (root / "tests").mkdir()
    (root / "tests" / "case.py").write_text("from firmware import poller\nprint(poller.poll(5))\n")
    return root.resolve()


@pytest.fixture
def marks(root, tmp_path):
    return Marks(root, tmp_path / "marked", NOTHING)


def run(marks: Marks, *words: str, path: Path | str, cwd: Path, **more) -> str:
    command = [str(marks.interpreter), "-X", "heapsize=100k", *words]
    environment = {**os.environ, "MICROPYPATH": f"{path}:.frozen"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, **more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def reached(marks: Marks, root: Path, kept: Path) -> set[tuple[int, int]]:
    told = marks.write(kept / "coverage.micropython")
    data = CoverageData(basename=str(kept / "coverage.micropython"))
    data.read()
    arcs = set(data.arcs(str(root / "firmware" / "poller.py")) or ())
    assert len(arcs) == told
    return arcs


IMPORTED = {(1, 1), (4, 4), (10, 10)}
MORE = {(5, 5), (5, 6), (6, 6)}
FEW = {(5, 5), (5, 7), (7, 7)}


@pytest.mark.parametrize("where", ["elsewhere", "in the checkout"])
def test_what_ran_of_the_checkout_is_told(root, marks, tmp_path, where):
    cwd = root if where == "in the checkout" else tmp_path
    assert run(marks, str(root / "tests" / "case.py"), path=root, cwd=cwd) == "more\n"
    assert reached(marks, root, tmp_path) == IMPORTED | MORE
    run(marks, "-c", "from firmware import poller; poller.poll(1)", path=root, cwd=cwd)
    assert reached(marks, root, tmp_path) == IMPORTED | MORE | FEW


def test_a_module_as_the_program_is_told_too(root, marks, tmp_path):
    assert run(marks, "-m", "tests.case", path=root, cwd=root) == "more\n"
    assert reached(marks, root, tmp_path) == IMPORTED | MORE


def test_a_copy_of_the_modules_counts_for_nothing(root, marks, tmp_path):
    copy = tmp_path / "copy"
    (copy / "firmware").mkdir(parents=True)
    (copy / "firmware" / "poller.py").write_text(POLLER.replace("more", "changed"), encoding="utf-8")
    told = run(
        marks, "-c", "from firmware import poller; print(poller.poll(5))", path=f"{copy}:{root}", cwd=tmp_path
    )
    assert told == "changed\n"
    assert reached(marks, root, tmp_path) == set()


def test_what_ran_before_a_kill_is_told(root, marks, tmp_path):
    process = subprocess.Popen(
        [str(marks.interpreter), "-c", "from firmware import poller; poller.wait()"],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": f"{root}:.frozen"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"waits\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    told = reached(marks, root, tmp_path)
    assert told - {(12, 12)} == IMPORTED | {(11, 11)}  # it may or may not have come to wait


def test_the_heap_grows_by_what_marks_need_and_no_more(root, marks, tmp_path):
    asked = ("-X", "heapsize=100k", "-c", "import gc; print(gc.mem_free() + gc.mem_alloc())")
    sizes = [
        int(subprocess.run([one, *asked], cwd=tmp_path, capture_output=True, check=True).stdout)
        for one in (find_micropython(), marks.interpreter)
    ]
    assert 0.9 * HEAP_MORE < sizes[1] - sizes[0] <= HEAP_MORE
