"""Promise 1 with kill -9: short-lived processes that commit to one journal, each killed at a random moment.

200 kills in every run, 10,000 with QUANTRAC_LONG. The whole gateway under load, killed and restarted:
tests/gateway/test_recovery.py. Here only the journal runs, so that there can be many, and after each kill it
must be that of the first k jobs, whole, with their documents and marks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.power.journal_cuts import ROOT
from tests.power.journal_story import Broken, Expected, Story, check_leaves, read
from tests.power.rig import LONG
from tests.promises.counted import counted

pytestmark = pytest.mark.timeout(7000 if LONG else 600)

KILLS = 2_500 if LONG else 50
"""Of each seed."""
JOURNAL_KILLS = 25
"""Kills of one journal; then a new one begins."""


class Killer:
    """Kills one victim of a journal after the other. `story` is what all of them said."""

    def __init__(self, folder: Path, zygote: subprocess.Popen, rng: Random, *options: str):
        folder.mkdir()
        self.path = folder / "journal.db"
        self.folder = folder
        self.zygote = zygote
        self.rng = rng
        self.options = options
        self.story = Story()

    def kill(self, number: int) -> int:
        """One victim. Returns how many jobs it was acknowledged."""
        said = self.folder / f"said{number}"
        said.touch()
        first = number * 100_000
        assert self.zygote.stdin is not None and self.zygote.stdout is not None
        words = (self.path, said, self.rng.randrange(1 << 30), first, *self.options)
        print(*words, file=self.zygote.stdin, flush=True)
        victim = int(self.zygote.stdout.readline())
        wanted = 0 if self.rng.random() < 0.1 else self.rng.randrange(2, 8)  # 0: killed while it opens
        end = time.monotonic() + 30
        while said.read_bytes().count(b'"done"') < wanted:
            assert time.monotonic() < end, "it commits nothing"
            time.sleep(0.0005)
        time.sleep(self.rng.random() * (0.03 if wanted == 0 else 0.004))
        os.kill(victim, signal.SIGKILL)
        while Path(f"/proc/{victim}").exists():
            time.sleep(0.0005)
        return self.check(said, first)

    def check(self, said: Path, first: int) -> int:
        before = len(self.story.jobs)
        story = Story(self.story.jobs, self.story.done, self.story.held, first)
        story.hear(said.read_bytes().rpartition(b"\n")[0])
        if story.unsigned:
            raise Broken(f"it is not what was signed: {story.unsigned}")
        if not self.path.exists() or not story.jobs:
            return 0
        found = read(self.path)
        check_leaves(self.path)
        expected = Expected(story.jobs, found.rows)
        if len(expected.ends) <= story.done:
            raise Broken(f"an acknowledged job is lost: {len(expected.ends) - 1} of {story.done} there")
        expected.check(found, story.done, story.held)
        there = expected.jobs_in(found, story.done)
        self.story = Story(story.jobs[:there], there or 0, len(found.rows))
        return max(0, story.done - before)


@pytest.fixture
def zygote():
    argv = [sys.executable, "-m", "tests.power.journal_victim", "--forks"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_holds_what_was_acknowledged(tmp_path, zygote, seed):
    rng = Random(seed)
    acknowledged = 0
    for journal in range(KILLS // JOURNAL_KILLS):
        killer = Killer(tmp_path / str(journal), zygote, rng, *(["--sign"] if journal % 2 else []))
        for number in range(JOURNAL_KILLS):
            try:
                acknowledged += killer.kill(number + 1)
            except Broken as error:
                raise AssertionError(f"seed {seed}, journal {journal}, kill {number}: {error}") from error
    assert acknowledged > 2 * KILLS
    counted("kills", KILLS)
    print(f"seed {seed}: {KILLS} kills, {acknowledged} jobs acknowledged, all there")


def test_control_acknowledged_before_the_commit_a_loss_is_found(tmp_path, zygote):
    killer = Killer(tmp_path / "early", zygote, Random(1), "--early")
    with pytest.raises(Broken, match="lost"):
        for number in range(100):
            killer.kill(number + 1)
