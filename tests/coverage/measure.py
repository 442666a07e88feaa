"""One measurement: the tests under coverage.py, every process that they start with them, and MicroPython's.

Rule 1: what a process that is killed had not yet written is lost, but for MicroPython's: a figure may be too
        low by that, never too high.
Rule 2: figures are of the text that ran. Of a module that was changed meanwhile there are none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from coverage import Coverage

from tests.coverage.micropython import Marks
from tests.coverage.parts import EXCLUDE, FOLDERS

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "coverage"
SOURCES = "sources.json"
TESTS = "tests.txt"


class Nothing(Exception):
    """There is no measurement to tell of; or none of what is there now."""


SETTINGS = """\
[run]
branch = true
parallel = true
sigterm = true
patch =
    subprocess
    _exit
    execv
data_file = {data}
include =
    {include}
disable_warnings = no-data-collected,no-sysmon
[report]
exclude_lines =
    {exclude}
partial_branches = ^nothing is exempt$
"""


def fingerprints() -> dict[str, str]:
    """Of every module that is measured, by its path."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): sha256(path.read_bytes()).hexdigest() for path in found}


def settings(kept: Path = KEPT) -> Path:
    """Write coverage.py's settings; their path."""
    path = kept / "settings.ini"
    include = "\n    ".join(f"{ROOT}/{folder}/**" for folder in FOLDERS)
    data = kept / "data" / "coverage"
    data.parent.mkdir(parents=True, exist_ok=True)
    exclude = "\n    ".join(EXCLUDE)
    path.write_text(SETTINGS.format(data=data, include=include, exclude=exclude), encoding="utf-8")
    return path


def run(module: str, arguments: list[str], *, marked: bool = True, kept: Path = KEPT) -> tuple[int, Coverage]:
    """Run `python -m module arguments` and measure it; its exit status, and all that was measured."""
    shutil.rmtree(kept, ignore_errors=True)
    ini = settings(kept)
    (kept / SOURCES).write_text(json.dumps(fingerprints()), encoding="utf-8")
    # A test of this module is a test within a test: the inner run is nobody's worker.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    marks = Marks(ROOT, kept / "marked", "|".join(EXCLUDE)) if marked else None
    if marks:
        environment["MICROPYTHON"] = str(marks.interpreter)
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={ini}", "-m", module, *arguments]
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if marks:
        print(f"{marks.write(kept / 'data' / 'coverage.micropython')} points were reached inside MicroPython")
    return status, combined(kept)


def combined(kept: Path = KEPT) -> Coverage:
    """What the last measurement left, all processes together."""
    data = kept / "data"
    if not data.is_dir() or not any(data.iterdir()):
        raise Nothing("Nothing was measured yet: run `python -m tests.coverage` without --table first.")
    measured, now = json.loads((kept / SOURCES).read_text(encoding="utf-8")), fingerprints()
    if changed := sorted(name for name in {*measured, *now} if measured.get(name) != now.get(name)):
        raise Nothing(f"{', '.join(changed)}: changed since the measurement began. Measure again.")
    # Of the same name as the files in it: then one of a process that only now ends is passed over.
    cov = Coverage(config_file=str(kept / "settings.ini"), data_file=str(kept / "coverage"), messages=False)
    cov.combine([str(data)], keep=True)
    return cov


def note(tests: str, kept: Path = KEPT) -> None:
    """Which tests were measured, in words."""
    (kept / TESTS).write_text(tests, encoding="utf-8")


def noted(kept: Path = KEPT) -> str:
    return (kept / TESTS).read_text(encoding="utf-8") if (kept / TESTS).exists() else "some tests"
