"""What `quantrac gateway backup`, `restore`, `rotate-key` and `new-epoch` say to a person, or as JSON.

Rule 1: whoever does one of these learns what to give to whom afterwards.
Rule 2: what a new epoch gives up is said before it begins, too; on a terminal it is asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from gateway import config as configuration
from gateway.backup import backup, log_name
from gateway.clock import Clock
from gateway.config import Config
from gateway.journal import keys
from gateway.journal.handover import Begun, given_up, new_epoch, rotate_key, under_way
from gateway.journal.stopped import Now, StoppedLog
from gateway.lock import lock
from gateway.reports.message import rfc3339
from gateway.restore import restore
from gateway.succession import EPOCH, REASON_MAX, is_reason
from tools.people import UsageError

HOLDS_KEYS = (
    "It holds the log's key, link keys and passwords: whoever has it can pose as this station. Keep it on "
    "another disk, under lock and key."
)


def print_backup(config_path: Path, out: Path, as_json: bool) -> int:
    """Exit status 0 when the backup is there, whole and checked."""
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists: give --out another name.")
    found = backup(configuration.load(config_path), out, Clock().now_ms())
    said = found.manifest
    if as_json:
        files = len(said.files)
        row = {"backup": str(out), "at_ms": said.at_ms, "entries": said.entries, "signed": said.signed}
        print(json.dumps({**row, "files": files, "bytes": found.bytes, "unsigned": found.unsigned}))
        return 0
    signed = f"its newest checkpoint is of {said.signed}" if said.signed else "it has no checkpoint yet"
    print(f"{out}: the journal has {said.entries} entries, {signed}; {len(said.files)} files, checked.")
    if found.unsigned:
        print(f"This log is not signed as it is: {found.unsigned}")
    print(HOLDS_KEYS)
    print(f"To go on from it: quantrac gateway restore {out} {config_path}")
    return 0


def print_restore(source: Path, config_path: Path, reason: str | None, as_json: bool) -> int:
    """Exit status 0 when the gateway can be started again."""
    found = restore(source, config_path, _now(), _reason(reason, "--new-epoch") if reason is not None else "")
    config = configuration.load(config_path)
    if as_json:
        epoch = None if found.epoch is None else _row(found.epoch)
        row = {"entries": found.entries, "backup_at_ms": found.backup.at_ms, "shown_by": found.shown_by}
        kept = [str(path) for path in found.kept]
        print(
            json.dumps({**row, "epoch": epoch, "given_up": found.given_up, "kept": kept}, ensure_ascii=False)
        )
        return 0
    print(f"The journal of {rfc3339(found.backup.at_ms)} is back, with {found.backup.entries} entries.")
    for path in found.kept:
        print(f"{path} was there already, is not as in the backup, and stays as it is.")
    if found.epoch is None:
        print(
            f"The log goes on as the same one: that nothing was signed beyond it is shown {found.shown_by}."
        )
    else:
        print(found.given_up)
        _say(config, found.epoch)
    print(f"Start the gateway again: quantrac gateway run {config_path}")
    return 0


def print_rotate(config_path: Path, reason: str, as_json: bool) -> int:
    """Exit status 0 when another key signs."""
    reason = _reason(reason, "--reason")
    config = configuration.load(config_path)
    with _stopped(config) as log:
        begun = rotate_key(log, reason, _now())
    _told(config, begun, "", as_json)
    return 0


def print_epoch(config_path: Path, reason: str, yes: bool, as_json: bool) -> int:
    """Exit status 0 when a new epoch has begun."""
    reason = _reason(reason, "--reason")
    config = configuration.load(config_path)
    with _stopped(config) as log:
        begun, lost = under_way(log), ""
        if begun is None:
            lost = given_up(log).sentence
            if not as_json:
                print(f"The log cannot be gone on with as it is: {lost}")
            if sys.stdin.isatty() and not yes and not as_json:
                typer.confirm("Begin a new epoch, which gives that up for good?", abort=True)
            begun, _ = new_epoch(log, reason, _now())
    _told(config, begun, lost, as_json)
    return 0


@contextmanager
def _stopped(config: Config) -> Iterator[StoppedLog]:
    state_dir = config.gateway.state_dir
    with lock(state_dir / "gateway.lock"), closing(StoppedLog(state_dir, log_name(config))) as log:
        yield log


def _now() -> Now:
    clock = Clock()
    return Now(clock.now_ms(), clock.mono_ns() // 1_000_000)


def _reason(text: str, option: str) -> str:
    if not is_reason(text):
        raise UsageError(
            f"{option} is a line of 1 to {REASON_MAX} characters: it stands in the log for ever."
        )
    return text


def _row(begun: Begun) -> dict[str, object]:
    entry = begun.entry
    row: dict[str, object] = {"what": entry.what, "entry": entry.kept, "at_ms": entry.at_ms}
    row |= {"reason": entry.reason, "old": entry.old, "new": entry.new, "finished": begun.finished}
    return {**row, "given_up": [signed.size for signed in entry.given_up()]}


def _told(config: Config, begun: Begun, lost: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**_row(begun), "why": lost}, ensure_ascii=False))
    else:
        _say(config, begun)


def _say(config: Config, begun: Begun) -> None:
    entry = begun.entry
    if begun.finished:
        print("It was under way before, and is finished now; nothing new was begun.")
    if entry.what == EPOCH:
        print(f"The log goes on as {entry.new_key.name}: entry {entry.kept} says since when and why.")
        sizes = [signed.size for signed in entry.given_up()]
        if sizes and max(sizes) > entry.kept:
            print(f"Entries {entry.kept} to {max(sizes) - 1}, which were signed before, are not in it.")
        elif sizes:
            print(f"What was signed before, up to entry {max(sizes) - 1}, is not all in it.")
    else:
        print(f"Another key signs from entry {entry.kept} on, which says so; the old key has signed that.")
    vkey = config.gateway.state_dir / keys.VKEY_FILE
    count = len(config.witness)
    witnesses = f", and to whoever runs the {'witness' if count == 1 else 'witnesses'}" if count else ""
    print(f"Give {vkey} to the department{witnesses}: it is another one now.")
