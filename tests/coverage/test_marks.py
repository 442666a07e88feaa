"""Marks say what coverage.py's own tracer says, line for line and branch for branch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from coverage import Coverage

from tests.coverage import marks
from tests.coverage.measure import ROOT
from tests.coverage.micropython import MARKED

NOTHING = "nothing is exempt"
WAYS = '''"""Its docstring."""
from __future__ import annotations

import contextlib


def ways(n):
    """Every way to branch."""
    global last
    if n == 0:
        return "zero"
    elif n == 1:
        last = n
    if (n >
            5):
        return "many"
    for k in range(
        n
    ):
        if k == 3:
            break
        if k == 2:
            continue
    else:
        last = "all"
    while n > 2:
        n -= 1
    with contextlib.suppress(ValueError):
        if n == 2:
            raise ValueError(n)
    try:
        if last == 1:
            raise KeyError(n)
    except OSError:
        last = "never"
    except (KeyError,
            IndexError):
        return "caught"
    else:
        last = "calm"
    finally:
        if n == 1:
            last = "one"
    return [
        k
        for k in (1, 2)
        if k == n
    ]


class Held:
    """Its docstring."""

    size = 3

    @staticmethod
    def held():
        return 1

    @property
    def never(self):
        while True:
            yield


last = 0
'''

TRACED = """
import json, sys
from coverage import Coverage

path, exclude, calls = sys.argv[1:]
cov = Coverage(branch=True, include=[path], config_file=False, data_file=None)
cov.set_option("report:exclude_lines", [exclude])
cov.start()
import ways
exec(calls)
cov.stop()
print(json.dumps([cov.analysis2(path)[3], sorted(cov.branch_stats(path).items())]))
"""
CALLS = ("", "ways.Held.held()", *(f"ways.ways({n})" for n in range(8)), "[ways.ways(n) for n in range(8)]")


def traced(path: Path, calls: str) -> list:
    """What coverage.py's tracer tells: lines that were not run, and of each branching line (ways, taken)."""
    command = [sys.executable, "-c", TRACED, str(path), NOTHING, calls]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(path: Path, marked: marks.Marked, calls: str) -> list:
    """The same from the marks."""
    reached: list[marks.Arc] = []

    def of(base: int, count: int):
        seen = bytearray(count)

        def hit(at: int) -> None:
            seen[at] = 1
            reached.append(marked.points[at])

        assert (base, count) == (7, len(marked.points))
        return seen, hit

    module = types.ModuleType("ways")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "_quantrac_hits", types.SimpleNamespace(of=of))
        exec(marked.text, module.__dict__)
    exec(calls, {"ways": module})
    assert len(reached) == len(set(reached))  # each is told once
    cov = Coverage(branch=True, config_file=False, data_file=None)
    cov.set_option("report:exclude_lines", [NOTHING])
    cov.get_data().add_arcs({str(path): reached})
    return json.loads(json.dumps([cov.analysis2(str(path))[3], sorted(cov.branch_stats(str(path)).items())]))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "ways.py").write_text(WAYS, encoding="utf-8")
    return tmp_path / "ways.py"


@pytest.mark.parametrize("calls", CALLS)
def test_marks_tell_what_the_tracer_tells(path, calls):
    assert told(path, marks.mark(WAYS, "ways.py", 7, NOTHING), calls) == traced(path, calls)


def test_control_a_branch_without_its_mark_is_noticed(path, monkeypatch):
    monkeypatch.setattr(marks._Marker, "_exits_of", lambda self, start: set())
    calls = CALLS[-1]
    assert told(path, marks.mark(WAYS, "ways.py", 7, NOTHING), calls) != traced(path, calls)


def test_a_marked_module_does_what_it_did_before():
    marked = marks.mark(WAYS, "ways.py", 0, NOTHING)
    quiet = types.SimpleNamespace(of=lambda base, count: (bytearray(count), lambda at: None))
    before, after = types.ModuleType("before"), types.ModuleType("after")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "_quantrac_hits", quiet)
        exec(WAYS, before.__dict__)
        exec(marked.text, after.__dict__)
    for n in range(8):
        assert after.ways(n) == before.ways(n) and after.last == before.last
    assert after.__doc__ == before.__doc__ and after.ways.__doc__ == before.ways.__doc__


def test_every_line_and_branch_of_what_micropython_runs_has_a_mark():
    for path in sorted(path for folder in MARKED for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        points = set(marks.mark(text, path.name, 0, NOTHING).points)
        parser = marks.parser_of(text, path.name, NOTHING)
        lines = {(line, line) for line in parser.statements}
        ways = parser.exit_counts()
        branches = {arc for arc in parser.arcs() if ways[arc[0]] > 1}
        assert lines | branches <= points, (path, sorted(lines | branches - points))
