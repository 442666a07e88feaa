"""Mutation testing: `python -m tests.mutation [--each 20] [--seed 1] [--modules windows,cbor] [--table]`.

Runs where Cosmic Ray is installed (README.md); the tests run in the project's own .venv, on copies of the
tree under build/mutation, one for each worker. One mutant of each module comes first, then the others.
What was found is kept there, and it goes on where it was ended; a module that was changed is begun anew.
`--table` only writes RESULTS.md.

Exit status: 0 when at least 85 % were caught, 1 when not, 2 used wrongly or the tests fail unchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import zip_longest
from pathlib import Path

from tests.mutation import results
from tests.mutation.modules import MODULES
from tests.mutation.mutants import Mutant, fingerprint, of_module

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "mutation"
LINKS = (".venv", ".venv-micropython", ".node", ".servers")
SLOWER = 4.0
"""A mutant's tests may take so many times as long as unchanged ones, and SLACK_S more: then it is caught."""
SLACK_S = 30.0


class Unfit(Exception):
    """The tests of a module fail before anything was changed."""


def copy(folder: Path) -> Path:
    """All files of the work tree, and links to what was installed."""
    shutil.rmtree(folder, ignore_errors=True)
    names = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(names, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in LINKS:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


def passes(tree: Path, tests: tuple[str, ...], limit_s: float) -> str:
    """`passed`, `failed` or `endless`."""
    argv = [
        *(str(ROOT / ".venv/bin/python"), "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"),
        *("-p", "no:cacheprovider", "--hypothesis-seed=1", *tests),
    ]
    process = subprocess.Popen(
        argv,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return "failed" if process.wait(limit_s) else "passed"
    except subprocess.TimeoutExpired:
        return "endless"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # and whatever it has started
        except ProcessLookupError:
            pass
        process.wait()


class Limits:
    """Seconds for a stage's tests, from a run without a change, which must pass. For all benches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, ...], float] = {}

    def of(self, tree: Path, tests: tuple[str, ...]) -> float:
        with self._lock:
            if tests in self._found:
                return self._found[tests]
        for _ in range(2):  # a busy machine may make one wait in vain
            began = time.monotonic()
            if passes(tree, tests, 1200) == "passed":
                limit_s = SLOWER * (time.monotonic() - began) + SLACK_S
                with self._lock:
                    return self._found.setdefault(tests, limit_s)
        raise Unfit(f"{' '.join(tests)}: they fail without any change")


class Bench:
    """One copy of the tree, in which one mutant after the other is tried."""

    def __init__(self, tree: Path, limits: Limits):
        self.tree, self._limits = tree, limits

    def tried(self, mutant: Mutant, text: str) -> str:
        """`caught`, `endless` (caught, too) or `survived`."""
        stages = MODULES[mutant.module]
        limits = [self._limits.of(self.tree, tests) for tests in stages]
        path = self.tree / mutant.module
        source = path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        try:
            for tests, limit_s in zip(stages, limits, strict=True):
                said = passes(self.tree, tests, limit_s)
                if said != "passed":
                    return "caught" if said == "failed" else "endless"
            return "survived"
        finally:
            path.write_text(source, encoding="utf-8")


def work(
    bench: Bench, todo: queue.SimpleQueue, kept: results.Kept, unfit: dict[str, str], until: float
) -> None:
    while time.monotonic() < until:
        try:
            mutant, text, source = todo.get_nowait()
        except queue.Empty:
            return
        if mutant.module in unfit:
            continue
        began = time.monotonic()
        try:
            said = bench.tried(mutant, text)
        except Unfit as error:
            unfit[mutant.module] = str(error)
            print(f"UNFIT {mutant.module}: {error}", flush=True)
            continue
        kept.add(mutant, source, said, time.monotonic() - began)
        if said == "survived":
            print(f"survived {mutant.module}:{mutant.line}  {mutant.was}  ->  {mutant.is_now}", flush=True)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--each", type=int, default=20, help="mutants of each module; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--modules", default="", help="words that their paths hold: windows,protocol/")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes-max", type=float, default=600.0, help="then it stops; the same goes on")
    parser.add_argument("--table", action="store_true", help="only write RESULTS.md")
    given = parser.parse_args(words)
    wanted = [word for word in given.modules.split(",") if word]
    modules = [name for name in MODULES if not wanted or any(word in name for word in wanted)]
    if not modules:
        print("No module has one of these words in its path.", file=sys.stderr)
        return 2
    KEPT.mkdir(parents=True, exist_ok=True)
    kept, todo, unfit = results.Kept(KEPT / "results.jsonl"), queue.SimpleQueue(), {}
    totals = json.loads(kept.totals.read_text()) if kept.totals.exists() else {}
    batches = []
    for module in [] if given.table else modules:
        source = fingerprint((ROOT / module).read_text(encoding="utf-8"))
        totals[module], found = of_module(ROOT, module, given.each, given.seed)
        batches.append([(one, text, source) for one, text in found if not kept.has(one, source)])
    kept.totals.write_text(json.dumps(totals))
    for rank in zip_longest(*batches):
        for one in filter(None, rank):
            todo.put(one)
    if not todo.empty():
        print(f"{todo.qsize()} mutants of {len(batches)} modules", flush=True)
        limits, until = Limits(), time.monotonic() + 60 * given.minutes_max
        benches = [Bench(copy(KEPT / f"tree{number}"), limits) for number in range(given.workers)]
        threads = [threading.Thread(target=work, args=(one, todo, kept, unfit, until)) for one in benches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    share = results.write(ROOT, kept, totals)
    print(f"{100 * share:.1f} % caught; tests/mutation/RESULTS.md says which were not")
    return 2 if unfit else 0 if share >= 0.85 else 1


if __name__ == "__main__":
    sys.exit(main())
