"""`quantrac simulate run` and `simulate scenarios`: a scenario is run, judged, and told.

Rule 1: exit status 0 when everything that the scenario expects came out and nothing happened beside it, 1
        when not, 2 for a scenario that cannot be run.
Rule 2: what is printed names seed and commit: with both, anybody gets the same run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from simulator import scenario as scenarios
from simulator.scenario import ScenarioError
from tools.log.progress import Bar
from tools.people import DOES_NOT_HOLD, UsageError
from tools.scenario.check import Verdict, judge
from tools.scenario.run import Outcome, run

ROOT = Path(__file__).resolve().parents[2]


def print_scenarios(as_json: bool) -> int:
    """The stories there are, each with what must come out."""
    found = [scenarios.read(name) for name in scenarios.names()]
    if as_json:
        rows = [
            {"name": one.name, "title": one.title, "outcome": one.outcome, "days": one.station.days,
             "stations": one.station.stations}
            for one in found
        ]  # fmt: skip
        print(json.dumps({"scenarios": rows}, ensure_ascii=False))
        return 0
    for one in found:
        print(f"{one.name}\n    {one.title}. {one.outcome}")
    return 0


def run_scenario(name: str, seed: int, virtual: bool, directory: Path | None, as_json: bool) -> int:
    """Run it and tell; the exit status. The folder stays for whoever wants to look into it."""
    try:
        scenario = scenarios.read(name)
        place = directory or Path(f"scenario-{scenario.name}-{seed}")
        began = time.monotonic()
        with Bar(scenario.name, 1000) as bar:
            outcome = run(
                scenario, seed, place, pace=0.0 if virtual else 1.0,
                told=lambda share: bar.to(scenario.name, round(share * 1000), 1000),
            )  # fmt: skip
        took_s = time.monotonic() - began
    except ScenarioError as error:
        raise UsageError(str(error)) from None
    verdicts = judge(outcome)
    told = _told(outcome, verdicts, took_s)
    print(json.dumps(told, ensure_ascii=False) if as_json else _text(outcome, verdicts, told))
    return 0 if all(verdict.holds for verdict in verdicts) else DOES_NOT_HOLD


def commit() -> str:
    """Of these sources; without git, the version that is installed."""
    git = shutil.which("git")
    if git is not None:
        command = [git, "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    try:
        return version("quantrac")
    except PackageNotFoundError:
        return "unknown"


def _told(outcome: Outcome, verdicts: list[Verdict], took_s: float) -> dict[str, Any]:
    station = outcome.scenario.station
    numbers = asdict(outcome.numbers)
    examples = numbers.pop("examples")
    days = station.days * station.stations
    return {
        "scenario": outcome.scenario.name, "seed": outcome.seed, "commit": commit(),
        "ok": all(verdict.holds for verdict in verdicts), "numbers": numbers, "examples": list(examples),
        "verdicts": [verdict._asdict() for verdict in verdicts], "notes": list(map(str, outcome.notes)),
        "station_days": days, "seconds": round(took_s, 1),
        "station_days_per_minute": round(days / max(took_s, 0.001) * 60, 2), "dir": str(outcome.directory),
    }  # fmt: skip


def _text(outcome: Outcome, verdicts: list[Verdict], told: dict[str, Any]) -> str:
    scenario = outcome.scenario
    counted = ", ".join(f"{name} {number}" for name, number in told["numbers"].items())
    return "\n".join([
        scenario.title, scenario.outcome, "",
        *(str(verdict) for verdict in verdicts), "",
        counted,
        *(f"  {example}" for example in told["examples"]),
        f"{told['station_days']:g} station-days in {told['seconds']:g} s, "
        f"{told['station_days_per_minute']:g} a minute. In {told['dir']}.",
        f"Again: quantrac simulate run {scenario.name} --seed {outcome.seed}, at commit {told['commit']}",
    ])  # fmt: skip
