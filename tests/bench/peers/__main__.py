"""The whole comparison, one command; the tasks and who takes part in each stand here.

Rule 1: the gateways take turns, in another order each round, and the medians of their turns are compared:
        machines are noisy, so that only ratios within one run say anything.
Rule 2: results.json is written after every turn, so that a run that was broken off is not lost.
Rule 3: nobody is left out because of a result: a turn that fails is listed with its reason.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.peers import floors, thingsboard, turns
from tests.bench.peers.gateways import ROOT, Quantrac
from tests.bench.peers.report import MEMORY, OURS, SINGLE, THEIRS, WINDOWS, write
from tests.bench.peers.turns import Load, Make
from tests.servers.process import program
from tools.bench.measure import machine
from tools.people import Failure

STATION, EASY, ASKED, MOST = Load(1, 20, 1000), Load(10, 100, 1000), Load(10, 100, 100), Load(20, 100, 50)
SECONDS, AWAY_S = 15.0, 60.0


class Task(NamedTuple):
    """`run(make)` is one turn; `who` takes part, `rounds` times."""

    name: str
    who: tuple[str, ...]
    rounds: int
    run: Callable[[Make], dict[str, Any]]


def makers(venv: Path) -> dict[str, Make]:
    """Who there is, by the name that results have."""
    return {
        OURS: Quantrac,
        WINDOWS: lambda folder: Quantrac(folder, "windows"),
        THEIRS: lambda folder: thingsboard.ThingsBoard(folder, venv),
        MEMORY: lambda folder: thingsboard.ThingsBoard(folder, venv, "memory"),
        SINGLE: lambda folder: thingsboard.ThingsBoard(folder, venv, single=True),
    }


def tasks(work: Path, seconds: float, away_s: float, rounds: int, keep: list[bytes]) -> list[Task]:
    def load(asked: Load, factor: float = 1.0) -> Callable[[Make], dict[str, Any]]:
        return lambda make: turns.steady(work, make, asked, seconds * factor)

    def asked(make: Make) -> dict[str, Any]:
        mine: list[bytes] = []
        found = turns.steady(work, make, ASKED, seconds, mine)
        if make is Quantrac:
            keep[:] = mine  # the floor publishes them once more
        return found

    both = (OURS, THEIRS)
    return [
        Task("asked", (*both, MEMORY), rounds, asked),
        Task("easy", (*both, SINGLE), rounds, load(EASY)),
        Task("most", both, rounds, load(MOST)),
        Task("station", (*both, WINDOWS), max(1, rounds - 1), load(STATION, 4.0)),
        Task("kill", both, 1, lambda make: turns.kills(work, make, EASY, max(4.0, seconds / 2))),
        Task("outage", both, 1, lambda make: turns.outage(work, make, EASY, away_s, silent=False)),
        Task("silent", both, 1, lambda make: turns.outage(work, make, EASY, away_s, silent=True)),
    ]


def measure(arguments: argparse.Namespace, out: Path, work: Path) -> dict[str, Any]:
    venv = arguments.venv or work / "venv"
    quick = arguments.quick
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": _command(arguments),
        "machine": machine(), "commit": _said("git", "describe", "--always", "--dirty"),
        "versions": {
            "thingsboard-gateway": thingsboard.install(venv), "pymodbus of it": "3.9.2",
            "mosquitto": _said(program("mosquitto", "mosquitto"), "-h").splitlines()[0].split()[-1],
            "python": sys.version.split()[0],
        },
        "seconds": arguments.seconds, "away_s": 15.0 if quick else AWAY_S, "turns": [], "floors": {},
    }  # fmt: skip
    keep: list[bytes] = []
    made = makers(venv)
    rounds = 1 if quick else arguments.rounds
    for task in tasks(work, arguments.seconds, results["away_s"], rounds, keep):
        if arguments.only and task.name not in arguments.only:
            continue
        for number in range(task.rounds):
            at = number % len(task.who)
            for who in task.who[at:] + task.who[:at]:
                results["turns"].append({"task": task.name, "who": who, **_turn(task, who, made[who])})
                _save(out, results)
    if keep:
        _floor(results, "mosquitto_pub", lambda: floors.publish(work, keep))
    if not arguments.only:
        _floor(results, "sftp", lambda: floors.files(2.0 if quick else 10.0))
    results["load"] = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    results["ended"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _save(out, results)
    return results


def _turn(task: Task, who: str, make: Make) -> dict[str, Any]:
    began = time.monotonic()
    try:
        found = task.run(make)
    except (OSError, RuntimeError, OverflowError, AssertionError, Failure) as error:
        found = {"failed": str(error)[:500]}
    print(
        f"{task.name}: {who}: {time.monotonic() - began:.0f} s: {json.dumps(found)}",
        file=sys.stderr,
        flush=True,
    )
    return found


def _floor(results: dict[str, Any], name: str, run: Callable[[], dict[str, Any]]) -> None:
    try:
        results["floors"][name] = run()
    except Exception as error:  # a floor that is not there leaves the comparison whole
        results["floors"][name] = {"failed": str(error)[:500]}


def _save(out: Path, results: dict[str, Any]) -> None:
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _command(arguments: argparse.Namespace) -> str:
    """As it was given, but for the folders of this machine."""
    words = ["python -m tests.bench.peers --out DIR", f"--seconds {arguments.seconds:g}"]
    words += ["--quick"] if arguments.quick else [f"--rounds {arguments.rounds}"]
    words += [f"--only {' '.join(arguments.only)}"] if arguments.only else []
    return " ".join(words)


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="results.json, README.md, chart.svg go there")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a turn at a load (default 15)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each at a load (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round, short outages: does it all work?")
    parser.add_argument("--only", nargs="*", help="some of: asked easy most station kill outage silent")
    parser.add_argument("--venv", type=Path, help="where thingsboard-gateway is, or is to be installed")
    parser.add_argument(
        "--report", action="store_true", help="write table and chart of DIR's results.json again"
    )
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if arguments.report:
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    else:
        # On this disk: on a memory file system nothing is written, and nothing waits.
        with tempfile.TemporaryDirectory(prefix="quantrac-bench-", dir=Path.cwd()) as work:
            results = measure(arguments, out, Path(work))
    write(out, results)


if __name__ == "__main__":
    main()
