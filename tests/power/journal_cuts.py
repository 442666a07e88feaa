"""Cuts the power at every call of a recorded run, and opens what each cut can leave with the real journal."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.kinds import FRAME
from gateway.journal.writer import Entry, Job, Writer
from simulator.disk import Cut, Disk
from simulator.syscalls import Call, record
from tests.power.journal_story import Broken, Expected, Found, Promised, Story, check_leaves, read
from tests.power.journal_victim import LOG, NOW_MS, SOURCES, TAG

MEMORY = Path("/dev/shm")
JOURNAL = "journal.db"
DEEP_JOURNAL = "site/state/journal.db"
"""Of a victim that makes its state directory by itself."""
AFTER = "device/after"
CONTENTS_MOST = 500
"""Journals whose content is kept, because the next cut may leave the same."""
BODY = b"after the cut"
LOOSE_MOST = 40
"""Cuts with more undecided sectors than this get no more states than one with so many."""
ROOT = Path(__file__).resolve().parent.parent.parent


class State(NamedTuple):
    """What a cut left, and what had been promised by then."""

    call: int
    how: str
    files: dict[str, bytes]
    done: int
    held: int


def victim(folder: Path, seed: int, jobs: int, *options: str, journal: str = JOURNAL, **how) -> list[Call]:
    """A run of tests.power.journal_victim with its journal in folder/disk, recorded."""
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    said = folder / "said"
    said.touch()
    argv = [
        sys.executable,
        "-m",
        "tests.power.journal_victim",
        str(disk / journal),
        str(said),
        str(seed),
        str(jobs),
    ]
    return record([*argv, *options], disk, said, folder / "strace", cwd=ROOT, **how)


def story_of(calls: Sequence[Call], first: int = 0) -> Story:
    story = Story(first=first)
    for call in calls:
        if call.kind == "said":
            story.hear(call.data)
    return story


def states(
    calls: Sequence[Call],
    start: dict[str, bytes],
    rng: Random,
    wanted: int,
    before: Story,
    extremes: bool = True,
) -> Iterator[State]:
    """Crash states at every call: the extremes, and `wanted` random ones, more where more is undecided."""
    weights = []
    disk = Disk(start)
    for call in calls:
        disk.do(call)
        weights.append(min(LOOSE_MOST, disk.loose()))
    scale = wanted / max(1, sum(weights))
    disk, story = Disk(start), before.copy()
    for number, call in enumerate(calls):
        disk.do(call)
        if call.kind == "said":
            story.hear(call.data)

        def state(how: str, cut: Cut, number=number) -> State:
            return State(number, how, disk.crash(cut), story.done, story.held)

        if extremes:
            yield state("nothing kept", Cut(rng))
        if extremes and weights[number]:
            yield state("all kept", Cut(rng, keep=1.0, order=float("inf")))
            first, last = disk.open_numbers()
            yield state("prefix kept", Cut(rng, order=rng.randint(first, last)))
        share = weights[number] * scale
        for _ in range(int(share) + (rng.random() < share % 1)):
            yield state("random", Cut.random(rng, disk))


class Counts(NamedTuple):
    cuts: int  # calls at which the power was cut
    states: int  # made
    checked: int  # distinct ones, all opened and checked


class Checker:
    """Opens states in a folder in memory, one after the other.

    The gateway's own Writer opens each, appends and closes, without its thread: a state has 3 ms.
    """

    def __init__(
        self,
        expected: Expected,
        rng: Random,
        jobs: Sequence[Promised] = (),
        journal: str = JOURNAL,
        sign: bool = False,
    ):
        self.expected = expected
        self.jobs = jobs  # when a cut can leave more of them than the run itself did: it gave some up
        self.rng = rng
        self.sign = sign
        self.seen: set[tuple] = set()
        self._reported: list[Job] = []
        self._alarms: list[str] = []
        self._gone_on: dict[bytes, tuple[int, Found]] = {}  # by the content of the database that was opened
        self.folder = Path(
            tempfile.mkdtemp(prefix="cut-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        )
        self.path = self.folder / journal
        self.deep = self.path.parent != self.folder

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def is_new(self, state: State) -> bool:
        files = frozenset((name, len(data), hash(data)) for name, data in state.files.items())
        known = len(self.seen)
        self.seen.add((state.done, state.held, files))
        return len(self.seen) > known

    def lay(self, files: dict[str, bytes]) -> None:
        for old in os.scandir(self.folder):
            shutil.rmtree(old) if old.is_dir() else os.unlink(old)
        lay(self.folder, files)
        if self.deep:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        left = self.rng.randrange(3)  # SQLite's index of the log: gone, as it was made, or garbage
        if left:
            shm = bytes(32768) if left == 1 else self.rng.randbytes(32768)
            self.path.with_name(self.path.name + "-shm").write_bytes(shm)

    def check(self, state: State) -> None:
        """Broken unless the journal keeps what was promised, and can be gone on with."""
        self.lay(state.files)
        checkpoints = Checkpoints(self.path.parent, LOG) if self.sign else None
        try:
            writer = Writer(
                str(self.path), self._reported.extend, self._alarms.append, database.connect, checkpoints
            )
        except (JournalError, sqlite3.Error) as error:
            raise Broken(f"it cannot be opened: {error}") from error
        if checkpoints is not None and checkpoints.reason:
            raise Broken(checkpoints.reason)
        size = writer.size
        first, found = self._go_on(writer)
        if len(found.rows) <= size or first < size or found.rows[first][2] != BODY:
            raise Broken("what was appended after the cut is not there")
        outbox = dict(found.outbox)
        if outbox.pop(("after", "after"), None) != (0, BODY):
            raise Broken("the document queued after the cut is not there")
        if any(row[2].startswith(TAG) for row in found.rows[size:]):
            raise Broken("an entry came back after the journal was opened")
        found = Found(found.rows[:size], outbox, found.tally)
        expected = self.expected
        if self.jobs:
            common = min(size, len(expected.rows))
            if found.rows[:common] != expected.rows[:common]:
                raise Broken(f"one of the first {common} entries is not what it became")
            expected = Expected(self.jobs, found.rows)
            if len(expected.ends) <= state.done:
                raise Broken(f"an acknowledged job is lost: {len(expected.ends) - 1} of {state.done} there")
        expected.check(found, state.done, state.held)

    def _go_on(self, writer: Writer) -> tuple[int, Found]:
        """Append and close: the number of the new entry, and what lies in the journal then.

        Once it is opened, its log is in the database. Many cuts leave the same one: the rest is known then.
        """
        content = hashlib.sha1(self.path.read_bytes()).digest()
        if content in self._gone_on:
            writer.stop()
            return self._gone_on[content]
        if AFTER not in writer.names.values():
            writer.name_sources(SOURCES)
        source = next(number for number, name in writer.names.items() if name == AFTER)
        entry = Entry(FRAME, source, 1, 1, 1, NOW_MS, 0, NOW_MS, NOW_MS, BODY)
        job = Job([entry], drafts=[("after", "after", "windows", "after.txt", "", NOW_MS, BODY)])
        self._reported.clear()
        writer.put(job)
        writer.end()
        writer.run()
        if self._reported != [job] or job.error is not None or self._alarms:
            raise Broken(f"it cannot be gone on with: {job.error} {self._alarms}")
        if len(self._gone_on) >= CONTENTS_MOST:
            self._gone_on.clear()
        self._gone_on[content] = job.first, read(self.path)
        return self._gone_on[content]


def lay(folder: Path, files: dict[str, bytes]) -> None:
    """Files and folders as Disk.crash() left them."""
    for name in sorted(files):
        path = f"{folder}/{name}"
        if name.endswith("/"):
            os.mkdir(path, 0o700)
        else:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as file:
                file.write(files[name])


def explore(
    calls: Sequence[Call],
    seed: int,
    wanted: int,
    start: dict[str, bytes] | None = None,
    expected: Expected | None = None,
    before: Story | None = None,
    final: Path | None = None,
    jobs: Sequence[Promised] = (),
    since: int = 0,
    journal: str = JOURNAL,
    sign: bool = False,
) -> Counts:
    """Check `wanted` distinct states or more of cuts from call `since` on.

    AssertionError with the seed and the cut when one is broken.
    """
    if expected is None:
        assert final is not None
        check_leaves(final)
        expected = Expected(story_of(calls).jobs, read(final).rows)
    made = 0
    checker = Checker(expected, Random(f"{seed} index"), jobs, journal, sign)
    try:
        for turn in range(20):
            rng = Random(f"{seed} {turn}")
            # there are about as many extremes, which the first turn has, as there are calls
            some = max(100, wanted - len(checker.seen)) if turn else max(0, wanted - len(calls))
            for state in states(calls, start or {}, rng, some, before or Story(), not turn):
                made += 1
                if state.call >= since and checker.is_new(state):
                    try:
                        checker.check(state)
                    except Broken as error:
                        at = calls[state.call]
                        raise AssertionError(
                            f"seed {seed}, turn {turn}, cut at call {state.call} "
                            f"({at.kind} {at.name} {at.offset}), {state.how}, "
                            f"{state.done} jobs acknowledged: {error}"
                        ) from error
            if len(checker.seen) >= wanted:
                break
    finally:
        checker.close()
    return Counts(len(calls), made, len(checker.seen))


FIRST = 1_000_000
"""Number of the first job of a victim that goes on after a cut."""


def recovery(
    folder: Path,
    state: State,
    expected: Expected,
    jobs: Sequence[Promised],
    seed: int,
    wanted: int,
    journal: str = JOURNAL,
    sign: bool = False,
) -> Counts:
    """The recovery of one state as a recorded run of its own, cut at each of its calls."""
    (folder / "disk").mkdir(parents=True)
    lay(folder / "disk", state.files)
    options = ["--sign"] if sign else []
    calls = victim(folder, seed, 3, "--first", str(FIRST), *options, journal=journal)
    told = Story(first=FIRST)
    told.hear(b"".join(call.data for call in calls if call.kind == "said"))
    assert not told.unsigned, told.unsigned
    found = read(folder / "disk" / journal)
    for kept in range(len(expected.ends) - 1, state.done - 1, -1):  # how many jobs it found
        if expected.ends[kept] <= told.held:
            try:
                whole = Expected([*jobs[:kept], *told.jobs], found.rows)
                whole.check(found, kept + len(told.jobs), told.held)
            except Broken:
                continue
            before = Story(jobs[:kept], state.done, state.held, FIRST)
            files = dict(state.files)
            return explore(calls, seed, wanted, files, whole, before, journal=journal, sign=sign)
    raise AssertionError(
        f"seed {seed}: after the cut at call {state.call} it is the journal of no number of jobs"
    )
