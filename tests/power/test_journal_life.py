"""Promise 9 for the whole life of a journal: made or migrated, keys and all; windows, each with its
checkpoint and the mark beside the journal; the log moved; closed; and opened again.

Each call of it fails, one after the other, once and from then on for ever: all of them in the long run, some
of every kind in each. What was acknowledged is there, what an older version held is, and the next start, with
a disk that is well again, goes on and signs.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal import keys
from protocol import note
from tests.gateway.journal_rig import unpacked
from tests.gateway.test_schema import JOURNALS, VERSIONS
from tests.power import journal_cuts as cuts
from tests.power.journal_story import Found, Story, check_leaves, read
from tests.power.journal_victim import LOG
from tests.power.rig import LONG
from tests.power.test_journal_faults import files

pytestmark = pytest.mark.timeout(7000 if LONG else 600)

ERRORS = {
    "openat": ("EIO", "EMFILE", "EROFS"),
    "mkdir": ("EIO",),
    "pwrite64": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO",),
    "fsync": ("EIO",),
    "ftruncate": ("EIO",),
    "rename": ("EIO",),
    "unlink": ("EIO",),
}
SOME = 3
"""Faults of each kind of call in every run, spread over its life."""
JOBS = 6
BEGINNINGS = ["", *VERSIONS]
"""Without a journal, and with one of each older version."""
LIVES = [(beginning, kind) for beginning in BEGINNINGS for kind in ERRORS]
if not LONG:
    LIVES = [(BEGINNINGS[i % len(BEGINNINGS)], kind) for i, kind in enumerate(ERRORS)]
_CALL = re.compile(r"\d+ +(\w+)\(")


def watched(folder: Path) -> list[Path]:
    """What belongs to a journal."""
    disk = folder / "disk"
    small = [disk / name for name in ("log.vkey", "log.checkpoint", "keys/log.key")]
    return [*files(folder), disk / "keys", *small, *(path.with_name(path.name + ".new") for path in small)]


def prepared(folder: Path, beginning: str) -> list[tuple]:
    """The entries that are there at first."""
    path = files(folder)[1]
    path.parent.mkdir(parents=True)
    if not beginning:
        return []
    path.write_bytes(gzip.decompress((JOURNALS / beginning).read_bytes()))
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT idx, body FROM entry ORDER BY idx").fetchall()
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoint'").fetchone():
            sign_again(connection, path.parent)
    connection.close()
    return [(idx, unpacked(body)) for idx, body in rows]


def sign_again(connection: sqlite3.Connection, state_dir: Path) -> None:
    """The key that signed the fixture is nobody's any more: as if it had been this gateway's."""
    key = keys.signer(state_dir, LOG)
    for size, data in connection.execute("SELECT size, note FROM checkpoint").fetchall():
        text = note.parse(data).text
        signed = f"{text}\n{key.sign(text)}".encode()
        connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (signed, size))


def calls_of(folder: Path, beginning: str) -> Counter[str]:
    """How many of each call a life has when nothing fails."""
    prepared(folder, beginning)
    cuts.victim(folder, 3, JOBS, "--sign", "--sessions", "2", only=watched(folder))
    with (folder / "strace").open(encoding="ascii") as lines:
        return Counter(match[1] for line in lines if (match := _CALL.match(line)))


def faults(made: Counter[str]) -> Iterator[str]:
    for call, errors in ERRORS.items():
        numbers = range(2 if call == "openat" else 1, made[call] + 1)  # the first opens what it speaks to
        step = 1 if LONG else max(1, len(numbers) // SOME)
        for n in numbers[step // 2 :: step]:
            for error in errors if LONG else (errors[n % len(errors)],):
                yield from (f"{call}:error={error}:when={n}", f"{call}:error={error}:when={n}+")


def lived(folder: Path, beginning: str, fault: str, *options: str, jobs: int = JOBS) -> None:
    """A life with a fault, and the next start."""
    before = prepared(folder, beginning)
    calls = cuts.victim(
        folder, 3, jobs, "--sign", "--sessions", "2", *options, faults=[fault], only=watched(folder)
    )
    story = cuts.story_of(calls)
    if story.cannot:
        assert "cannot be opened" in story.cannot, story.cannot
    (folder / "said").unlink()
    calls = cuts.victim(folder, 4, 2, "--sign", "--first", str(cuts.FIRST))
    after = cuts.story_of(calls, cuts.FIRST)
    assert not after.cannot and after.done == len(after.jobs) == 2, f"it does not go on: {after.cannot}"
    assert not after.unsigned, after.unsigned
    check_leaves(files(folder)[1])
    found = read(files(folder)[1])
    assert [(idx, body) for idx, _, body in found.rows[: len(before)]] == before
    assert all_there(story, found) and all_there(after, found), "an acknowledged entry is lost"
    assert len(found.rows) > max(story.held, after.held)


def all_there(story: Story, found: Found) -> bool:
    """Each entry of each job that was acknowledged is there once, in order."""
    wanted = [body for job in story.jobs[: story.done] for body in job.bodies]
    return wanted == [body for _, _, body in found.rows if body in set(wanted)]


@pytest.mark.parametrize(("beginning", "kind"), LIVES)
def test_each_call_of_a_life_fails(tmp_path, beginning, kind):
    made = calls_of(tmp_path / "made", beginning)
    chosen = [fault for fault in faults(made) if fault.startswith(kind + ":")]
    assert chosen, f"a life has no {kind}"
    for fault in chosen:
        try:
            lived(tmp_path / fault, beginning, fault)
        except AssertionError as error:
            raise AssertionError(f"{fault}: {error}") from error
    print(f"{beginning or 'new'}, {kind}: {len(chosen)} faults")


def test_control_acknowledged_before_the_commit_a_loss_is_found(tmp_path):
    """strace counts each thread's calls: the one that opens makes some 140 before there is anything to lose,
    so the one that writes must get to more than that.
    """
    with pytest.raises(AssertionError, match="an acknowledged entry is lost"):
        for n in range(150, 400, 50):
            lived(tmp_path / str(n), "", f"pwrite64:error=ENOSPC:when={n}+", "--early", jobs=10 * JOBS)
