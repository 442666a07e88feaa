"""Retention with the power cut at every system call: what a cut leaves has every hash, and all proofs hold.

What a disk may do: simulator/disk.py. What must hold: retention_rig.checked(), whatever was acknowledged, and
that a later run ends the work.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from gateway.errors import JournalError
from gateway.journal import retention as module
from gateway.journal.reader import DAY_MS
from simulator.syscalls import Call, record
from tests.gateway.retention_rig import Log, checked
from tests.power import journal_cuts as cuts
from tests.power.journal_story import Story
from tests.power.retention_victim import fill
from tests.power.rig import LONG

STATES = 5_000 if LONG else 90
WORK = 256
"""Entries that are due, at the least."""
ENDED = 10
"""Of every so many states the work is ended, too."""


class Acknowledged(Story):
    """So many entries are, by the victim's word."""

    def copy(self) -> Acknowledged:
        return Acknowledged()

    def hear(self, text: bytes) -> None:
        for line in text.splitlines():
            self.held = json.loads(line)["done"]


@pytest.fixture(scope="module")
def filled() -> Iterator[Log]:
    """A journal of which much is due."""
    memory = cuts.MEMORY if os.access(cuts.MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="filled-", dir=memory))
    log = Log(folder, seed=7)
    fill(log)
    yield log
    shutil.rmtree(folder)


def files(log: Log) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in log.folder.glob(cuts.JOURNAL + "*")
        if path.suffix != ".db-shm"
    }


def recorded(folder: Path, log: Log, *options: str) -> list[Call]:
    disk, said = folder / "disk", folder / "said"
    disk.mkdir()
    said.touch()
    for name, data in files(log).items():
        (disk / name).write_bytes(data)
    argv = [sys.executable, "-m", "tests.power.retention_victim", str(disk / cuts.JOURNAL), str(said)]
    return record([*argv, str(log.now_ms), *options], disk, said, folder / "strace", cwd=cuts.ROOT)


async def nothing(journal, retention) -> None:
    pass


def explore(log: Log, calls: list[Call], monkeypatch, most: int = STATES) -> set[int]:
    """Check some distinct states; how many entries were gone in them."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    checker = cuts.Checker(None, Random(7))  # type: ignore[arg-type] - it only lays them out
    found: set[int] = set()
    try:
        some = [
            s for s in cuts.states(calls, files(log), Random(7), STATES, Acknowledged()) if checker.is_new(s)
        ]
        # evenly over the run, and its end: by chance alone a short stretch may have none
        picked = {*range(0, len(some), max(1, len(some) // most)), len(some) - 1}
        for number, index in enumerate(Random(7).sample(sorted(picked), len(picked))):
            state = some[index]
            checker.lay(state.files)
            mine = Log(log.folder, log.days)
            mine.path, mine.now_ms = checker.path, log.now_ms
            mine.leaves, mine.told = list(log.leaves), dict(log.told)
            mine.use(nothing)
            found.add(checked(mine, mine.now_ms - mine.days * DAY_MS))
            assert len(mine.leaves) >= state.held, "an acknowledged reading is lost"
            if not number % ENDED:
                mine.use(lambda journal, retention: retention.prune())
                assert checked(mine) >= WORK, "a later run ends the work"
    finally:
        checker.close()
    return found


@pytest.mark.timeout(3600 if LONG else 600)
def test_whatever_a_cut_leaves_has_every_hash(tmp_path, filled, monkeypatch):
    calls = recorded(tmp_path, filled)
    found = explore(filled, calls, monkeypatch)
    assert len(found) >= 3 and 0 in found, "cut before, between and behind its transactions"
    print(f"{len(calls)} calls, entries gone in the states checked: {sorted(found)}")


@pytest.mark.timeout(3600 if LONG else 600)
def test_control_hashes_kept_one_transaction_later_are_missing_after_a_cut(tmp_path, filled, monkeypatch):
    calls = recorded(tmp_path, filled, "--bare")
    with pytest.raises(JournalError, match=r"Hashes of the entries .* are missing"):
        explore(filled, calls, monkeypatch, 100 * STATES)  # some three of a hundred are bad: it ends soon
