"""What became of each mutant, as lines of JSON; and the table of it, with a reason for every survivor.

Rule 1: a result counts for the text of the module that it was found with, and no other.
Rule 2: reasons.toml says why a survivor may live; one that it does not name is a test that is missing.
"""

from __future__ import annotations

import json
import threading
import tomllib
from collections import defaultdict
from pathlib import Path

from tests.mutation.modules import MODULES
from tests.mutation.mutants import Mutant, fingerprint

HERE = Path(__file__).resolve().parent
MISSING = "a test is missing"


class Kept:
    def __init__(self, path: Path):
        self.path, self.totals = path, path.with_name("totals.json")
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], tuple[Mutant, str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            said = json.loads(line)
            mutant = Mutant(*said["mutant"])
            self._found[mutant.key, said["source"]] = mutant, said["outcome"]

    def has(self, mutant: Mutant, source: str) -> bool:
        return (mutant.key, source) in self._found

    def add(self, mutant: Mutant, source: str, outcome: str, seconds: float) -> None:
        line = {"mutant": mutant, "source": source, "outcome": outcome, "seconds": round(seconds, 1)}
        with self._lock:
            self._found[mutant.key, source] = mutant, outcome
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def of(self, module: str, source: str) -> list[tuple[Mutant, str]]:
        return [
            (mutant, outcome)
            for (_, of), (mutant, outcome) in self._found.items()
            if of == source and mutant.module == module
        ]


def reasons() -> dict[tuple[str, str, str], str]:
    """(module, line before, line after) -> why it may live."""
    said = tomllib.loads((HERE / "reasons.toml").read_text(encoding="utf-8")).get("survivor", [])
    return {(one["module"], one["was"], one["is_now"]): one["because"] for one in said}


def write(root: Path, kept: Kept, totals: dict[str, int]) -> float:
    """RESULTS.md; the share that was caught."""
    why = reasons()
    rows, survivors, tried, caught = [], [], 0, 0
    parts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for module in MODULES:
        source = fingerprint((root / module).read_text(encoding="utf-8"))
        found = kept.of(module, source)
        if not found:
            continue
        lived = sorted((one for one, outcome in found if outcome == "survived"), key=lambda one: one.line)
        tried, caught = tried + len(found), caught + len(found) - len(lived)
        part = parts["protocol" if module.startswith("protocol") else "gateway"]
        part[0], part[1] = part[0] + len(found), part[1] + len(found) - len(lived)
        rows.append(
            f"| `{module}` | {totals.get(module, 0)} | {len(found)} | {len(found) - len(lived)} |"
            f" {100 * (1 - len(lived) / len(found)):.0f} % |"
        )
        survivors += [
            f"| `{one.module}:{one.line}` | `{_cell(one.was)}` | `{_cell(one.is_now)}` |"
            f" {why.get((one.module, one.was, one.is_now), MISSING)} |"
            for one in lived
        ]
    share = caught / tried if tried else 0.0
    unexplained = sum(MISSING in line for line in survivors)
    text = [
        "# Mutants: what small changes of the code the tests notice",
        "",
        "Written by `python -m tests.mutation` (see [README.md](README.md)): a seeded random sample of each",
        "module, tried against the tests that modules.py names for it.",
        "",
        f"{tried} mutants, {caught} caught: **{100 * share:.1f} %** ("
        + ", ".join(f"{name} {100 * b / a:.1f} %" for name, (a, b) in parts.items())
        + f"). {len(survivors)} survived; {unexplained} of them for want of a test.",
        "",
        "| module | mutants in all (about) | tried | caught | |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "| survivor | was | became | why it lives |",
        "|---|---|---|---|",
        *survivors,
    ]
    (HERE / "RESULTS.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return share


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")[:120]
