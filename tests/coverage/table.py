"""The table of a measurement: lines and branches of each part, and what was not reached in the four parts."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import NamedTuple

from coverage import Coverage

from tests.coverage.parts import FOUR, PARTS, Part
from tools.bench.measure import machine

SHOWN_BELOW = 90.0


class Count(NamedTuple):
    reached: int
    all: int

    @property
    def percent(self) -> float:
        return 100 * self.reached / self.all if self.all else 100.0

    def __str__(self) -> str:
        return f"{self.reached:,} of {self.all:,} | {self.percent:.1f} %"


class Module(NamedTuple):
    """`missing` are lines, `partial` those whose branches always went the same way; as people write them."""

    lines: Count
    branches: Count
    missing: str
    partial: str


def module(cov: Coverage, path: Path) -> Module:
    _, statements, _, missing, formatted = cov.analysis2(str(path))
    branches = cov.branch_stats(str(path))
    known, taken = (sum(pair[at] for pair in branches.values()) for at in (0, 1))
    one_way = [line for line, (ways, went) in sorted(branches.items()) if 0 < went < ways]
    lines = Count(len(statements) - len(missing), len(statements))
    return Module(lines, Count(taken, known), formatted, ", ".join(map(str, one_way)))


def measured(cov: Coverage, root: Path, parts: tuple[Part, ...] = PARTS) -> dict[Part, dict[str, Module]]:
    """Every module of every part, those that no test imported, too."""
    found: dict[str, Module] = {}
    told: dict[Part, dict[str, Module]] = {}
    for part in parts:
        told[part] = {}
        for path in sorted({path for pattern in part.paths for path in root.glob(pattern)}):
            name = str(path.relative_to(root))
            if name not in found:
                found[name] = module(cov, path)
            told[part][name] = found[name]
    return told


def total(modules: dict[str, Module]) -> tuple[Count, Count]:
    def together(counts: list[Count]) -> Count:
        return Count(sum(one.reached for one in counts), sum(one.all for one in counts))

    found = list(modules.values())
    return together([one.lines for one in found]), together([one.branches for one in found])


def below(told: dict[Part, dict[str, Module]]) -> list[str]:
    """The parts that do not reach their aim, a sentence for each."""
    wrong = []
    for part, modules in told.items():
        for what, count in zip(("lines", "branches"), total(modules), strict=True):
            if part.aim is not None and count.percent < part.aim:
                wrong.append(
                    f"{part.name}: {count.percent:.1f} % of the {what}, and {part.aim:.0f} % are the aim"
                )
    return wrong


def text(told: dict[Part, dict[str, Module]], root: Path, tests: str) -> str:
    """The page RESULTS.md; `tests` says which tests ran."""
    rows = []
    for part, modules in told.items():
        lines, branches = total(modules)
        rows.append(f"| {part.name} | {lines} | {branches} | {f'{part.aim:.0f} %' if part.aim else ''} |")
    promised = {name: one for part in told if part in FOUR for name, one in told[part].items()}
    others = {name: one for modules in told.values() for name, one in modules.items() if name not in promised}
    return "\n".join(
        [
            "# Coverage: which lines and branches the tests reach",
            "",
            "Written by `python -m tests.coverage` (see [README.md](README.md)).",
            f"{datetime.date.today()}, commit {_commit(root)}, {machine()}; {tests}.",
            "",
            "| part | lines | | branches | | aim |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "What was not reached in the four parts, and in others where it is more than a tenth of lines.",
            "What always went one way is an `if`, `for` or `while` that went the other in no test.",
            "",
            "| module | lines | branches | lines not run | lines that always went one way |",
            "|---|---|---|---|---|",
            *(_row(name, one) for name, one in promised.items() if one.missing or one.partial),
            *(_row(name, one) for name, one in others.items() if one.lines.percent < SHOWN_BELOW),
            "",
        ]
    )


def _row(name: str, one: Module) -> str:
    shares = f"{one.lines.percent:.1f} % | {one.branches.percent:.1f} %"
    return f"| `{name}` | {shares} | {one.missing} | {one.partial} |"


def _commit(root: Path) -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        " with changes" if git("status", "--porcelain", "-uno") else ""
    )
