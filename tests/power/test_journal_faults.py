"""Promise 9 with real errors of system calls, injected by strace into a process with a real journal.

Each call of an append fails, one after the other: once, and from then on for ever. Nothing is acknowledged
that a power cut could still take (the replayer cuts at every call of these runs too, and a sync that failed
counts for nothing, however often it is repeated); the status says what is wrong; the next start finds a whole
journal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from simulator.syscalls import Call, command, parse
from tests.power import journal_cuts as cuts
from tests.power.journal_story import Expected, Story, check_leaves, read
from tests.power.rig import LONG

pytestmark = pytest.mark.timeout(7000 if LONG else 600)

JOBS = 8 if LONG else 3
ERRORS = {"fdatasync": ("EIO",), "pwrite64": ("EIO", "ENOSPC", "EROFS"), "ftruncate": ("EIO",)}
"""Errors of each call; in every run each number of a call gets one of them, in the long run all."""
STEP = {"pwrite64": 1 if LONG else 3}
"""Of which numbers only each third is tried in every run: an append writes some hundred pages."""
PARTS = 4
STATES = 200 if LONG else 20
"""Crash states of each run, besides the extremes at every call from the first error on."""
VICTIM = [sys.executable, "-m", "tests.power.journal_victim"]


class Run(NamedTuple):
    """A victim that appended. `before` is what was promised until then."""

    calls: list[Call]
    start: dict[str, bytes]
    before: Story

    def told(self) -> Story:
        story = self.before.copy()
        story.hear(b"".join(call.data for call in self.calls if call.kind == "said"))
        return story

    def failures(self) -> list[int]:
        """Numbers of the calls to which the disk said no."""
        return [
            i
            for i, call in enumerate(self.calls)
            if call.kind == "unsynced" or (call.kind == "failed" and call.data.decode() in ERRORS)
        ]


def files(folder: Path) -> list[Path]:
    path = folder / "disk" / cuts.JOURNAL
    return [path.parent, path, *(path.with_name(path.name + end) for end in ("-wal", "-journal"))]


def appending(folder: Path, *faults: str, jobs: int = JOBS, options: Sequence[str] = ()) -> Run:
    """A victim that opens a journal with something in it and appends, with faults from then on."""
    (folder / "disk").mkdir(parents=True)
    path, made, said, log = files(folder)[1], folder / "made", folder / "said", folder / "strace"
    subprocess.run([*VICTIM, path, made, "7", "3"], cwd=cuts.ROOT, check=True, timeout=60)
    story = Story()
    story.hear(made.read_bytes())
    said.touch()
    argv = [*VICTIM, path, said, "8", str(jobs), "--first", str(cuts.FIRST), "--gate", *options]
    victim = subprocess.Popen(argv, cwd=cuts.ROOT)
    try:
        wait(lambda: said.read_bytes().endswith(b"\n"))
        start = {p.name: p.read_bytes() for p in path.parent.iterdir() if not p.name.endswith("-shm")}
        held = json.loads(said.read_bytes())["held"]
        with subprocess.Popen(
            command(["-p", str(victim.pid)], log, faults, [*files(folder), said])
        ) as strace:
            wait(lambda: traced(victim.pid))
            (folder / "said.gate").touch()
            ended = victim.wait(60)
            strace.wait(60)
        assert ended == (-9 if "KILL" in "".join(faults) else 0)
    finally:
        victim.kill()
        victim.wait()
    with log.open(encoding="ascii") as lines:
        calls = parse(lines, path.parent, said)
    return Run(calls, start, Story(story.jobs, story.done, held, cuts.FIRST))


def traced(pid: int) -> bool:
    """strace holds all threads of the process."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    return all("\nTracerPid:\t0\n" not in (thread / "status").read_text() for thread in threads)


def wait(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def check(folder: Path, run: Run, states: int = STATES) -> Story:
    """What must hold after any fault."""
    story, path = run.told(), files(folder)[1]
    found = read(path)
    check_leaves(path)
    expected = Expected(story.jobs, found.rows)
    expected.check(found, story.done, story.held)
    assert all(failed >= story.done for failed in story.failed), "told that it failed, and acknowledged"
    since = next(iter(run.failures()), 0)
    cuts.explore(run.calls, 1, states, run.start, expected, run.before, jobs=story.jobs, since=since)
    return story


def check_seen(run: Run, story: Story) -> None:
    """The status spoke of it when the disk said no, before the end. (Not when a log that is begun anew keeps
    its length: that harms nobody.)
    """
    end = next((i for i, call in enumerate(run.calls) if b'"closing"' in call.data), 0)
    met = [run.calls[i] for i in run.failures() if i < end]
    if any(call.data != b"ftruncate" for call in met):
        assert any(story.statuses), "a call failed, and the status was silent"


def faults(made: dict[str, int], part: int, end: str) -> list[str]:
    """One part of all faults of an append that makes so many of each call, and some more when it tries
    again.
    """
    found = []
    for call, errors in ERRORS.items():
        step = STEP.get(call, 1)
        for n in range(1, made[call] + 3, step):
            some = errors if LONG else (errors[n // step % len(errors)],)
            found += [f"{call}:error={error}:when={n}{end}" for error in some]
    return found[part::PARTS]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, int]:
    """How many of each call an append makes when nothing fails."""
    folder = tmp_path_factory.mktemp("made")
    run = appending(folder)
    check(folder, run)
    kinds = {"fdatasync": "sync", "pwrite64": "write", "ftruncate": "size"}
    counts = {call: sum(c.kind == kind for c in run.calls) for call, kind in kinds.items()}
    assert counts["pwrite64"] > 25 and counts["fdatasync"] > 4
    assert any(c.kind == "write" and c.name == cuts.JOURNAL for c in run.calls), "the log is never moved"
    return counts


@pytest.mark.parametrize("part", range(PARTS))
def test_each_call_of_an_append_fails_once(tmp_path, made, part):
    failures = 0
    for fault in faults(made, part, ""):
        run = appending(tmp_path / fault, fault)
        failures += len(run.failures())
        story = check(tmp_path / fault, run)
        check_seen(run, story)
        assert story.done == len(story.jobs) and not story.failed, f"{fault}: it does not recover"
        assert story.status == "", f"{fault}: the status does not recover"
    assert failures


@pytest.mark.parametrize("part", range(PARTS))
def test_each_call_of_an_append_fails_from_then_on(tmp_path, made, part):
    failures = 0
    for fault in faults(made, part, "+"):
        run = appending(tmp_path / fault, fault)
        failures += len(run.failures())
        story = check(tmp_path / fault, run)
        check_seen(run, story)
        if story.failed:
            assert any("cannot be written" in text for text in story.statuses), fault
            assert story.statuses[-1], f"{fault}: nothing can be written, and the status is empty"
    assert failures


def test_control_a_sync_that_is_repeated_is_believed_and_a_loss_is_found(tmp_path):
    """The calls of a journal that syncs again after an error, gets 0, and acknowledges."""
    run = appending(tmp_path)
    check(tmp_path, run)
    number = next(i for i, c in enumerate(run.calls) if c.kind == "sync" and run.calls[i - 1].data[32:])
    sync = run.calls[number]
    repeated = [*run.calls[:number], sync._replace(kind="unsynced"), *shifted(run.calls[number:], 1)]
    with pytest.raises(AssertionError, match=r"lost|malformed"):  # an entry is gone, or a page that it is on
        check(tmp_path, run._replace(calls=repeated))


def test_control_an_error_of_moving_the_log_that_sqlite_keeps_to_itself_is_not_seen(tmp_path):
    """Its autocheckpoint, within a COMMIT that succeeds."""
    made = appending(tmp_path / "made", options=["--sqlite"])
    moving = [i for i, c in enumerate(c for c in made.calls if c.kind == "write") if c.name == cuts.JOURNAL]
    fault = f"pwrite64:error=EIO:when={moving[0] + 1}"
    run = appending(tmp_path / "fails", fault, options=["--sqlite"])
    story = check(tmp_path / "fails", run)
    with pytest.raises(AssertionError, match="the status was silent"):
        check_seen(run, story)


def shifted(calls: Sequence[Call], by: int) -> list[Call]:
    """Calls that come so much later in a stream than where they were recorded."""
    return [c._replace(offset=c.offset + by) if c.kind in ("sync", "unsynced") else c for c in calls]


def restarted(folder: Path, *options: str, fault: str) -> None:
    """A fault, the process ends, the next one opens the journal: cuts during that."""
    run = appending(folder, fault, jobs=8)
    again = folder / "again"
    again.touch()
    path = files(folder)[1]
    argv = [*VICTIM, str(path), str(again), "9", "0", "--first", str(2 * cuts.FIRST), *options]
    calls = cuts.record(argv, path.parent, again, folder / "strace2", cwd=cuts.ROOT)
    whole = run._replace(calls=[*run.calls, *shifted(calls, len(run.calls))])
    check(folder, whole, 600)


@pytest.mark.parametrize("n", range(2, 6))
def test_killed_between_write_and_sync_and_opened_again(tmp_path, n):
    """What the next start found in memory only is on the disk before it says that it holds it."""
    restarted(tmp_path, fault=f"fdatasync:signal=KILL:when={n}")


@pytest.mark.parametrize("n", range(2, 6))
def test_the_disk_refuses_to_sync_the_process_ends_and_the_next_one_opens(tmp_path, n):
    restarted(tmp_path, fault=f"fdatasync:error=EIO:when={n}+")


def test_control_a_log_that_is_believed_as_it_is_found_loses(tmp_path):
    with pytest.raises(AssertionError):
        for n in range(2, 6):
            restarted(tmp_path / str(n), "--believe", fault=f"fdatasync:error=EIO:when={n}+")


@pytest.mark.parametrize(
    "fault",
    [
        "openat:error=EROFS:when=2+",
        "openat:error=EIO:when=2+",
        "pwrite64:error=ENOSPC:when=1+",
        "pwrite64:error=EROFS:when=5+",
        "fdatasync:error=EIO:when=1+",
        "fdatasync:error=EIO:when=5",
    ],
)
def test_a_journal_that_cannot_be_made_says_so_and_can_be_made_later(tmp_path, fault):
    (tmp_path / "disk").mkdir()
    (tmp_path / "said").touch()
    story = cuts.story_of(cuts.victim(tmp_path, 5, JOBS, faults=[fault], only=files(tmp_path)))
    assert "cannot be opened" in story.cannot and "Check the disk" in story.cannot and not story.jobs
    (tmp_path / "said").unlink()
    story = cuts.story_of(cuts.victim(tmp_path, 5, JOBS))
    assert story.done == JOBS
    path = files(tmp_path)[1]
    found = read(path)
    Expected(story.jobs, found.rows).check(found, story.done, story.held)
