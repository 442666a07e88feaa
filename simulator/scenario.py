"""Reading a scenario: all of its faults at once, each with its line and what to write instead.

    read("province-away")       the story of that name in simulator/scenarios
    read("my/story.toml")       any file
    names()                     the stories there are

Rule 1: what is not in scenario_words.py is a fault: a word misspelt must not become a story without a fault.
Rule 2: at and to lie within the scenario; a fault that ends after it is one too, for nothing could recover.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from simulator.scenario_model import Act, Expect, Fault, Process, Scenario, ScenarioError, Station
from simulator.scenario_read import Reading

__all__ = [
    "Act",
    "Expect",
    "Fault",
    "Process",
    "Scenario",
    "ScenarioError",
    "Station",
    "names",
    "parse",
    "read",
]


def names() -> list[str]:
    """The stories in simulator/scenarios."""
    folder = files("simulator") / "scenarios"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read(path: Path | str) -> Scenario:
    """A scenario, by path or by name. ScenarioError with everything that is wrong with it."""
    path = Path(path)
    if path.suffix != ".toml" and str(path) in names():
        path = Path(str(files("simulator") / "scenarios" / f"{path}.toml"))
    try:
        data = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        known = ", ".join(names()) or "none yet"
        raise ScenarioError(
            path, [f"It cannot be read. Give the path of a TOML file, or one of: {known}."]
        ) from None
    return parse(data, path.stem, path)


def parse(text: str, name: str = "scenario", path: object = None) -> Scenario:
    """A scenario from its text. ScenarioError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(path or name, [f"It is no TOML: {error}."]) from None
    reading = Reading(table, text)
    found = reading.scenario(name)
    if reading.faults or found is None:
        raise ScenarioError(path or name, reading.faults)
    return found
