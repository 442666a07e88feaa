"""The long run: `python -m tests.promises [--rows 1,3.2] [--out FILE] [--resume] [--minutes-max 170]`.

Exit status: 0 all rows hold at the counts asked for; 1 something failed, was not reached or not done; 2 used
wrongly, or PROMISES.md names a test that does not exist.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.promises import table
from tests.promises.rows import ROOT, TABLE, Named, Row, TableError, chosen, files, named_by, parse
from tests.promises.state import Of, OtherRun, State, code
from tests.promises.wanted import WANTED

OURS = ROOT
"""Where these modules are, whatever tree is tried."""
KEPT = ROOT / "build" / "promises"
LONG = {"QUANTRAC_LONG": "1", "QUANTRAC_SEEDS": "5000", "QUANTRAC_EXAMPLES": "20000"}
TEST_S_MAX = 7200
END_S = 60.0
"""How long pytest may take to end when it is told to; then its processes are killed."""


def pytest(words: list[str], log: Path, **environment: str) -> subprocess.Popen:
    argv = [sys.executable, "-m", "pytest", "-p", "tests.promises.recorder", *words]
    with log.open("ab") as file:
        return subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(OURS), **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end it and keep what it has done
        )


def collected(names: list[str], folder: Path, environment: dict[str, str]) -> list[str]:
    """What pytest finds in these files with these counts."""
    found, log = folder / "collected.json", folder / "collect.log"
    found.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    status = pytest(
        ["--collect-only", "-q", *names], log, PROMISES_COLLECTED=str(found), **environment
    ).wait()
    if status != 0 or not found.exists():
        raise TableError(f"pytest cannot read what it names: see {log}.")
    return json.loads(found.read_text(encoding="utf-8"))


def ended(process: subprocess.Popen) -> None:
    """Tell it to stop; what its processes have started they end themselves."""
    for number, wait_s in ((signal.SIGINT, END_S), (signal.SIGTERM, 10.0)):
        process.send_signal(number)
        try:
            process.wait(wait_s)
            return
        except subprocess.TimeoutExpired:
            pass
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Run:
    def __init__(self, rows: dict[Row, Named], state: State, folder: Path):
        self.rows, self.state, self.folder = rows, state, folder
        self._told: set[Row] = set()

    def missing(self) -> list[str]:
        """Named to run, row by row, each once."""
        every = dict.fromkeys(test for tests in self.rows.values() for test in tests.all)
        return [test for test in every if not self.state.done(test)]

    def lines(self) -> list[table.Line]:
        return [table.line_of(row, tests, self.state.results) for row, tests in self.rows.items()]

    def go(self, environment: dict[str, str], workers: int, until: float) -> bool:
        """Run what is missing; False when the time was over before the end."""
        todo = self.missing()
        if not todo:
            return True
        only = self.folder / "only.json"
        only.write_text(json.dumps(todo), encoding="utf-8")
        words = [
            *("-n", str(workers), "--dist", "loadgroup", "--timeout", str(TEST_S_MAX)),
            *("-p", "no:cacheprovider", f"--hypothesis-seed={self.state.of.seed}"),
            *dict.fromkeys(test.split("::")[0] for test in todo),
        ]
        log = self.folder / "pytest.log"
        environment = {**environment, "PROMISES_ONLY": str(only), "PROMISES_STATE": str(self.state.path)}
        print(f"{len(todo)} tests; what pytest says is in {log}", flush=True)
        process = pytest(words, log, **environment)
        try:
            while process.poll() is None and time.monotonic() < until:
                time.sleep(1)
                self.tell()
        except KeyboardInterrupt:
            print("stopped: --resume goes on", file=sys.stderr)
        in_time = process.poll() is not None
        if not in_time:
            ended(process)
        self.tell()
        return in_time

    def tell(self) -> None:
        for test in self.state.look():
            result = self.state.results[test]
            if result.outcome == "failed":
                print(f"FAILED {test}: {result.why}", flush=True)
        for line in self.lines():
            if not line.open and line.row not in self._told:
                self._told.add(line.row)
                print(f"{line.row.key:>5} {line.verdict:10} {line.row.words}", flush=True)


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description=__doc__)
    parser.add_argument("--rows", default="", help="1,3.2: all rows of promise 1, the second of promise 3")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/promises/RESULTS.md", help="the table")
    parser.add_argument("--resume", action="store_true", help="go on with what an interrupted run has left")
    parser.add_argument("--minutes-max", type=float, default=170.0, help="then it stops; --resume goes on")
    parser.add_argument("--short", action="store_true", help="the counts of `make test`, to try a row")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) + 1)
    parser.add_argument("--seed", type=int, default=1, help="of what Hypothesis chooses")
    return parser.parse_args(words)


def run(given: argparse.Namespace) -> int:
    began, started = datetime.now(UTC), time.monotonic()
    environment = {} if given.short else LONG
    counts = "short" if given.short else "long"
    rows = chosen(parse(TABLE.read_text(encoding="utf-8")), given.rows)
    commit, changed = code(given.out)
    state = State(KEPT / f"{counts}.jsonl", Of(commit, changed, counts, given.seed), given.resume)
    state.mend()
    every = collected(files(rows), KEPT, environment)
    one = Run({row: named_by(row, every) for row in rows}, state, KEPT)
    in_time = one.go(environment, given.workers, started + 60 * given.minutes_max)
    lines = one.lines()
    reached = [] if given.short else table.reached(one.rows, state.results, WANTED)
    state.add_minutes((time.monotonic() - started) / 60)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(table.markdown(lines, reached, state.of, began, state.minutes), encoding="utf-8")
    print(f"{sum(line.holds for line in lines)} of {len(lines)} rows hold; the table is {given.out}")
    short = [f"{what} of promise {number}" for number, what, asked, have in reached if have < asked]
    if not in_time:
        print("It is not done: --resume goes on.", file=sys.stderr)
    elif short and all(line.holds for line in lines):
        print(f"Fewer than asked for: {', '.join(short)}.", file=sys.stderr)
    return 0 if all(line.holds for line in lines) and not short else 1


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str] | None = None) -> int:
    try:
        return run(arguments(words))
    except TableError as error:
        print(f"{TABLE.relative_to(ROOT)}: {error}", file=sys.stderr)
        return 2
    except OtherRun as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell in the background has SIGINT ignored
        signal.signal(number, _stop)
    sys.exit(main())
