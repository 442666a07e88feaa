"""`make test`: the whole suite side by side, and a second look at the few tests that failed in it.

Rule 1: at most FEW failures get a second look, each test by itself when all the others are over. Among 8,000
        tests on a machine that others use, a wait ends in vain now and then; more than FEW are never chance.
Rule 2: what passes then is named ("passed by itself"), so that nobody loses sight of it. What fails again
        fails the run, and so does a run that did not come to its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FEW = 5
FAILED = 1  # pytest's exit status when tests failed; any other but 0 is no verdict on tests


def main(arguments: list[str], few: int = FEW) -> int:
    """Run pytest with `arguments`; its exit status, 0 also when what failed passed by itself."""
    with tempfile.TemporaryDirectory(prefix="quantrac-suite-") as cache:
        status = _pytest([*arguments, "-o", f"cache_dir={cache}"])
        if status != FAILED:
            return status
        failed = _failed(Path(cache))
    if not 0 < len(failed) <= few:
        print(f"{len(failed)} tests failed: more than {few} get no second look.", flush=True)
        return FAILED
    print(f"A second look at what failed beside the others: {len(failed)} by itself.", flush=True)
    again = [test for test in failed if _pytest(["-p", "no:cacheprovider", test])]
    for test in failed:
        print(f"{'FAILED AGAIN' if test in again else 'passed by itself'}: {test}", flush=True)
    return FAILED if again else 0


def _pytest(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    # A test of this module is a test within a test: the inner run is nobody's worker.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, env=environment, check=False).returncode


def _failed(cache: Path) -> list[str]:
    """The tests that failed, as pytest noted them; none when it noted nothing."""
    noted = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(noted.read_text(encoding="utf-8"))) if noted.is_file() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
