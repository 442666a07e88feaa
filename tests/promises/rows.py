"""The rows of tests/PROMISES.md, and which tests each of them names.

Rule 1: a name is a file or `file::function`; one that no test answers to is an error of the table.
Rule 2: a control is what the last column names, and every test of the row with "control" in its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "PROMISES.md"
NAME = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)?)`")


class TableError(Exception):
    """PROMISES.md names what does not exist, or is no table; the text says where."""


class Row(NamedTuple):
    key: str
    """`3.2` is the second row of promise 3."""
    number: int
    words: str
    named: tuple[str, ...]
    controls: tuple[str, ...]
    has_control: bool
    """The last column says something, a test or how the tests themselves are one."""


class Named(NamedTuple):
    """Node ids of a row."""

    all: tuple[str, ...]
    controls: frozenset[str]


def parse(text: str) -> list[Row]:
    found: list[Row] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split(" | ")]
        if not line.startswith("| ") or not cells[0].isdigit():
            continue
        number = int(cells[0])
        place = 1 + sum(row.number == number for row in found)
        control = cells[4].strip(" |") if len(cells) == 5 else ""
        if len(cells) not in (4, 5):
            raise TableError(f"Row {number}.{place} has {len(cells)} columns, not 5.")
        named, controls = tuple(NAME.findall(line)), tuple(NAME.findall(control))
        if not named:
            raise TableError(f"Row {number}.{place} names no test.")
        found.append(Row(f"{number}.{place}", number, cells[1], named, controls, bool(control)))
    if not found:
        raise TableError("It has no row.")
    return found


def chosen(rows: list[Row], words: str) -> list[Row]:
    """`1,3.2`: all rows of promise 1 and the second one of promise 3; nothing: all."""
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    for word in wanted:
        if not any(word in (row.key, str(row.number)) for row in rows):
            raise TableError(f"There is no row {word}.")
    return [row for row in rows if not wanted or row.key in wanted or str(row.number) in wanted]


def files(rows: Iterable[Row]) -> list[str]:
    """Of all that the rows name; each must exist."""
    found = list(dict.fromkeys(name.split("::")[0] for row in rows for name in row.named))
    missing = [name for name in found if not (ROOT / name).is_file()]
    if missing:
        raise TableError(f"It names {', '.join(missing)}: there is no such file.")
    return found


def function_of(test: str) -> str:
    return test.split("::")[-1].split("[")[0]


def named_by(row: Row, collected: list[str]) -> Named:
    """Of what pytest found, in its order: what the row names. A name without a test is a TableError."""

    def matching(name: str) -> list[str]:
        file, _, function = name.partition("::")
        found = [
            test
            for test in collected
            if test.split("::")[0] == file and (not function or function_of(test) == function)
        ]
        if not found:
            raise TableError(f"Row {row.key} names {name}: there is no such test.")
        return found

    everything = dict.fromkeys(test for name in row.named for test in matching(name))
    controls = {test for name in row.controls for test in matching(name)}
    controls |= {test for test in everything if "control" in function_of(test)}
    return Named(tuple(everything), frozenset(controls))
