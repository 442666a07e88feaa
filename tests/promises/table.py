"""The table of a run in Markdown: what was promised, tried, reached and caught, and where."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from tests.promises.rows import Named, Row
from tests.promises.state import Of, Result
from tools.bench import measure


class Line(NamedTuple):
    """A row as it came out."""

    row: Row
    tests: int
    passed: int
    controls: int
    caught: int
    counts: Counter[str]
    seconds: float
    failed: tuple[tuple[str, str], ...]
    """Named and why."""
    open: int
    """Named without a result."""

    @property
    def holds(self) -> bool:
        return self.passed == self.tests and self.row.has_control

    @property
    def verdict(self) -> str:
        if self.failed:
            return "**FAILED**"
        if self.open:
            return "not done"
        return "holds" if self.row.has_control else "**no control**"


def line_of(row: Row, tests: Named, results: Mapping[str, Result]) -> Line:
    found = {test: results[test] for test in tests.all if test in results}
    passed = {test for test, result in found.items() if result.outcome == "passed"}
    failed = {test: result.why for test, result in found.items() if result.outcome in ("failed", "skipped")}
    counts: Counter[str] = Counter()
    for test in passed:
        counts.update(found[test].counted)
    return Line(
        row,
        len(tests.all),
        len(passed),
        len(tests.controls),
        len(tests.controls & passed),
        counts,
        sum(result.seconds for result in found.values()),
        tuple(failed.items()),
        len(tests.all) - len(passed) - len(failed),
    )


def reached(
    rows: Mapping[Row, Named], results: Mapping[str, Result], wanted: Mapping[int, Mapping[str, int]]
) -> list[tuple[int, str, int, int]]:
    """(promise, what, asked for, reached) of the promises among these rows; a test counts once for each."""
    found = []
    for number, counts in wanted.items():
        tests = {test for row, some in rows.items() if row.number == number for test in some.all}
        if not tests:
            continue
        done = [results[test] for test in tests if test in results and results[test].outcome == "passed"]
        for what, asked in counts.items():
            found.append((number, what, asked, sum(one.counted.get(what, 0) for one in done)))
    return found


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{measure.machine()}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def markdown(
    lines: list[Line],
    counts: list[tuple[int, str, int, int]],
    of: Of,
    began: datetime,
    minutes: float,
) -> str:
    every = sum(line.tests for line in lines), sum(line.passed for line in lines)
    controls = sum(line.controls for line in lines), sum(line.caught for line in lines)
    changes = f", with changes that are not committed ({of.changed})" if of.changed else ""
    text = [
        "# Every promise, tried",
        "",
        "Written by `make promises` (see [README.md](README.md)); the tests are those that "
        "[../PROMISES.md](../PROMISES.md) names.",
        "",
        f"- {began:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes, {of.counts} counts",
        f"- commit {of.commit}{changes}",
        f"- {machine()}",
        f"- seed {of.seed} for what Hypothesis chooses; all other seeds stand in the tests",
        f"- {sum(line.holds for line in lines)} of {len(lines)} rows hold: {every[1]} of {every[0]} tests,"
        f" {controls[1]} of {controls[0]} controls caught (a test that two rows name counts in both)",
        "",
    ]
    if counts:
        text += ["| # | of what | asked for | reached |", "|---|---|---|---|"]
        text += [f"| {n} | {what} | {asked:,} | {_bold(have, asked)} |" for n, what, asked, have in counts]
        text.append("")
    text += [
        "| # | promise | | tests | controls caught | counted | minutes of tests |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        said = ", ".join(f"{number:,} {what}" for what, number in sorted(line.counts.items()))
        without = "in its tests" if line.row.has_control else "none"
        caught = f"{line.caught} of {line.controls}" if line.controls else without
        text.append(
            f"| {line.row.key} | {line.row.words} | {line.verdict} | {line.passed} of {line.tests} |"
            f" {caught} | {said} | {line.seconds / 60:.1f} |"
        )
    failed = {test: why for line in lines for test, why in line.failed}
    if failed:
        text += ["", "Failed:", "", *(f"- `{test}`: {why}" for test, why in failed.items())]
    return "\n".join(text) + "\n"


def _bold(have: int, asked: int) -> str:
    return f"{have:,}" if have >= asked else f"**{have:,}**"
