"""What `quantrac gateway check` and `quantrac gateway init` say to a person, or as JSON to a script."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.check import check
from gateway.config import load
from gateway.errors import Fault
from gateway.init import init
from gateway.journal.compact import compact
from gateway.lock import lock
from tools.people import USED_WRONGLY, Failure


def print_check(path: Path, as_json: bool) -> int:
    """Every fault and warning of a configuration; exit status 2 when there are faults."""
    faults, warnings = check(path)
    if as_json:
        print(
            json.dumps(
                {"ok": not faults, "faults": _rows(faults), "warnings": _rows(warnings)}, ensure_ascii=False
            )
        )
        return USED_WRONGLY if faults else 0
    for fault in faults:
        print(f"fault    {fault}")
    for warning in warnings:
        print(f"warning  {warning}")
    if faults:
        print(f"{path}: {_counted(faults, 'fault')}. The gateway will not start with this configuration.")
        return USED_WRONGLY
    print(f"{path}: good" + (f", with {_counted(warnings, 'warning')}." if warnings else "."))
    return 0


def print_init(directory: Path, as_json: bool) -> int:
    """Make a new configuration; what must be written down is shown once, here."""
    made = init(directory)
    if as_json:
        print(
            json.dumps(
                {
                    "config": str(made.config),
                    "files": [str(f) for f in made.files],
                    "show_once": made.show_once,
                }
            )
        )
        return 0
    print(f"Made {made.config} and the keys that it names:")
    for file in made.files:
        print(f"  {file}")
    for line in made.show_once:
        print(f"\n{line}")
    print(f"\nNext: edit {made.config}, then run: quantrac gateway check {made.config}")
    return 0


def print_compact(path: Path, as_json: bool) -> int:
    """Give the room of what was pruned back to the disk. JournalError when it cannot be done now."""
    state_dir = load(path).gateway.state_dir
    journal = state_dir / "journal.db"
    if not journal.exists():
        raise Failure(f"{journal} does not exist: has this gateway ever run?")
    with lock(state_dir / "gateway.lock"):
        before, after = compact(journal)
    if as_json:
        print(json.dumps({"before": before, "after": after}))
    else:
        print(f"{journal}: {before >> 20} MiB before, {after >> 20} MiB now.")
    return 0


def _rows(faults: list[Fault]) -> list[dict[str, str]]:
    return [fault._asdict() for fault in faults]


def _counted(items: list[Fault], word: str) -> str:
    return f"1 {word}" if len(items) == 1 else f"{len(items)} {word}s"
