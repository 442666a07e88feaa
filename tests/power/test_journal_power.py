"""Promise 1 with the power cut: a real journal under strace, cut at every system call.

20,000 crash states that differ are opened and checked in every run, a million with QUANTRAC_LONG.
What a disk may do: simulator/disk.py. What must hold: journal_story.py.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.power import journal_cuts as cuts
from tests.power.journal_story import Expected, Story, check_leaves, read
from tests.power.rig import LONG
from tests.promises.counted import counted

pytestmark = pytest.mark.timeout(7000 if LONG else 600)

RUNS = range(1, 101 if LONG else 9)
STATES = 9_560 if LONG else 2_280
"""Distinct crash states of each run, those of cuts during a recovery not counted."""
RECOVERIES = 4 if LONG else 2
"""States of each run whose recovery is cut again."""
RECOVERY_STATES = 110
assert len(RUNS) * (STATES + RECOVERIES * RECOVERY_STATES) == (1_000_000 if LONG else 20_000)
JOBS = 40


def signing(seed: int) -> tuple[bool, str]:
    """Every fourth run signs checkpoints; every eighth makes its state directory besides."""
    return seed % 4 == 0, cuts.DEEP_JOURNAL if seed % 8 == 0 else cuts.JOURNAL


@pytest.mark.parametrize("seed", RUNS)
def test_whatever_a_cut_leaves_holds_what_was_acknowledged(tmp_path, seed):
    sign, journal = signing(seed)
    options = ["--sessions", "3", *(["--sign"] if sign else [])]
    calls = cuts.victim(tmp_path, seed, JOBS, *options, journal=journal)
    story = cuts.story_of(calls)
    assert story.done == len(story.jobs) == JOBS and not story.failed and not story.unsigned
    path = tmp_path / "disk" / journal
    check_leaves(path)
    expected = Expected(story.jobs, read(path).rows)
    first = cuts.explore(calls, seed, STATES, expected=expected, journal=journal, sign=sign)
    assert first.checked >= STATES
    rng = Random(seed)
    twice = 0
    some = [s for s in cuts.states(calls, {}, rng, 200, Story(), extremes=False) if s.call > 80]
    for number, state in enumerate(rng.sample(some, RECOVERIES)):
        again = cuts.recovery(
            tmp_path / f"again{number}", state, expected, story.jobs, seed, RECOVERY_STATES, journal, sign
        )
        twice += again.checked
    assert twice >= RECOVERIES * RECOVERY_STATES
    counted("cuts", first.checked + twice)
    print(f"seed {seed}: {len(calls)} calls, {first.checked} distinct states checked, {twice} in recoveries")


@pytest.mark.parametrize("option", ["--normal", "--delete", "--early"])
def test_control_without_the_sync_or_acknowledged_before_it_a_loss_is_found(tmp_path, option):
    calls = cuts.victim(tmp_path, 1, JOBS, option)
    with pytest.raises(AssertionError, match="an acknowledged entry is lost"):
        cuts.explore(calls, 1, STATES, final=tmp_path / "disk" / cuts.JOURNAL)


def test_control_a_delivery_that_is_told_of_apart_from_its_mark_is_found(tmp_path):
    calls = cuts.victim(tmp_path, 1, JOBS, "--apart")
    with pytest.raises(AssertionError, match="what entries tell of deliveries is not what is marked"):
        cuts.explore(calls, 1, STATES, final=tmp_path / "disk" / cuts.JOURNAL)


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "", "site", "keys", "log.checkpoint.new"])
def test_control_a_disk_that_lies_about_one_sync_loses(tmp_path, name):
    """The replayer itself: each kind of sync (database, log, directories, what is signed) is needed, and its
    lack is seen.
    """
    journal = cuts.DEEP_JOURNAL if name == "site" else cuts.JOURNAL
    calls = cuts.victim(tmp_path, 1, JOBS, "--sessions", "3", "--sign", journal=journal)
    lied = [c._replace(kind="failed") if c.kind == "sync" and c.name == name else c for c in calls]
    assert lied != calls
    with pytest.raises(AssertionError, match="cut at call"):
        cuts.explore(lied, 1, STATES, final=tmp_path / "disk" / journal, journal=journal, sign=True)


def test_control_a_folder_that_was_made_and_not_synced_is_lost_with_all_that_is_in_it(tmp_path):
    calls = cuts.victim(tmp_path, 1, JOBS, "--carelessly", journal=cuts.DEEP_JOURNAL)
    final = tmp_path / "disk" / cuts.DEEP_JOURNAL
    with pytest.raises(AssertionError, match="an acknowledged entry is lost"):
        cuts.explore(calls, 1, STATES, final=final, journal=cuts.DEEP_JOURNAL)


def test_control_a_checkpoint_that_is_remembered_before_it_is_committed_is_found(tmp_path):
    calls = cuts.victim(tmp_path, 2, JOBS, "--sign", "--ahead")
    final = tmp_path / "disk" / cuts.JOURNAL
    with pytest.raises(AssertionError, match="No checkpoint is signed"):
        cuts.explore(calls, 2, STATES, final=final, sign=True)
