"""A change of the configuration on the disk, so that it outlives whatever ends the gateway.

    config.toml           what runs, or is to run
    config.toml.before    what ran before the change
    config.toml.change    the change: who, until when somebody has to confirm it, how far it came
    config.toml.running   what ran last and was not only tried

Rule 1: in this order: `.before`, then `.change`, then the new file in place. So whatever the moment at which
        the power goes, config.toml is the old one or the new one, whole, and `.change` says which is which.
Rule 2: going back: `.change` says so first, then the old file is put in place: begin.py finishes it.
Rule 3: a hand-written file is never lost: what is neither the old nor the new one is kept as `.edited`.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from gateway.config_change.difference import fingerprint
from gateway.journal import durable

BEFORE, CHANGE, EDITED, RUNNING = ".before", ".change", ".edited", ".running"
TRYING, BACK, CONFIRMED, OVERTAKEN = "trying", "back", "confirmed", "overtaken"
BYTES_MAX = 20_000


class Change(NamedTuple):
    """A change under way; times are the system clock's, in Unix ms."""

    id: str
    phase: str  # TRYING until it is confirmed; the others until the log has an entry of it
    old: str  # fingerprints
    new: str
    who: str
    at: str  # from where
    minutes: float  # to confirm it in
    until_ms: int
    starts: int = 0  # of the gateway with it
    why: str = ""  # it was put back, or is no change any more


def beside(path: Path, suffix: str) -> Path:
    """A file beside the configuration; beside what it is a link to."""
    real = path.resolve()
    return real.with_name(real.name + suffix)


def read(path: Path) -> Change | None:
    """The change under way; None for none, and for what is no such file."""
    try:
        data = beside(path, CHANGE).read_bytes()
        found: Any = json.loads(data) if len(data) <= BYTES_MAX else None
        change = Change(**found)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    wanted = (str, str, str, str, str, str, (int, float), int, int, str)
    is_one = all(isinstance(value, kind) for value, kind in zip(change, wanted, strict=True))
    return change if is_one and change.phase in (TRYING, BACK, CONFIRMED, OVERTAKEN) else None


def write(path: Path, change: Change) -> None:
    """Say how far it is. OSError."""
    durable.replace(beside(path, CHANGE), json.dumps(change._asdict()).encode(), 0o600)


def prepare(path: Path, change: Change, old: bytes) -> None:
    """All but the new file itself. OSError: nothing is under way."""
    durable.replace(beside(path, BEFORE), old, 0o600)
    write(path, change)


def place(path: Path, data: bytes) -> None:
    """A configuration in its place, with the mode and the owner of the one that was there. OSError."""
    real = path.resolve()
    try:
        was = real.stat()
    except FileNotFoundError:
        durable.replace(real, data, 0o640)
        return
    durable.replace(real, data, stat.S_IMODE(was.st_mode))
    with contextlib.suppress(OSError):  # a file of root's becomes ours
        os.chmod(real, stat.S_IMODE(was.st_mode))
        os.chown(real, was.st_uid, was.st_gid)


def put_back(path: Path, change: Change, why: str) -> Change:
    """The configuration of before is in its place again; what the change is then. OSError."""
    try:
        old = beside(path, BEFORE).read_bytes()
    except FileNotFoundError:
        old = b""
    if fingerprint(old) != change.old:
        lost = change._replace(phase=OVERTAKEN, why=f"{why}; but the file of before is not there any more")
        write(path, lost)
        return lost
    back = change._replace(phase=BACK, why=why)
    write(path, back)
    here = in_place(path)
    if here is not None and fingerprint(here) not in (change.old, change.new):
        durable.replace(beside(path, EDITED), here, 0o600)
    if here != old:
        place(path, old)
    return back


def in_place(path: Path) -> bytes | None:
    """The file that lies there; None when there is none. OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def over(path: Path) -> None:
    """Nothing is under way any more. OSError."""
    found = beside(path, CHANGE)
    found.unlink(missing_ok=True)
    durable.sync_folder(found.parent)
