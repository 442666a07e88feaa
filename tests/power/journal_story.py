"""What a victim promised, and whether a journal keeps it.

Rule 1: a journal is that of the first k jobs, in order and whole, for a k that is not below what was
        acknowledged: entries with exact bodies and leaves, without a gap; documents queued with them;
        deliveries marked, and an entry for each mark.
Rule 2: what a journal said it held when it was opened counts as acknowledged: devices free their memory for
        it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gateway.journal.bodies import delivery
from gateway.journal.reader import Reader
from tests.gateway.journal_rig import unpacked
from tests.power.journal_victim import TAG


class Broken(AssertionError):
    """A promise that the journal does not keep."""


class Promised(NamedTuple):
    """One job."""

    bodies: list[bytes]
    documents: list[tuple[str, str, str, bytes]]  # destination, key, kind, body
    delivered: list[tuple[str, str]]


class Story:
    """Everything said so far. `done`: the first so many jobs are acknowledged; `held`: so many entries are.

    A victim that goes on with another one's journal, in which `jobs` are, counts its own from `first`.
    """

    def __init__(self, jobs: Iterable[Promised] = (), done: int = 0, held: int = 0, first: int = 0):
        self.jobs = list(jobs)
        self.done = done
        self.held = held
        self._shift = first - len(self.jobs)
        self.failed: list[int] = []
        self.statuses: list[str] = []
        self.status = ""  # when it was told to end
        self.cannot = ""
        self.unsigned = ""  # why nothing is signed

    def copy(self) -> Story:
        story = Story(self.jobs, self.done, self.held)
        story._shift = self._shift
        return story

    def hear(self, text: bytes) -> None:
        for line in text.splitlines():
            said = json.loads(line)
            if "submit" in said:
                assert said["submit"] - self._shift == len(self.jobs)
                documents = [(d, key, kind, bytes.fromhex(body)) for d, key, kind, body in said["documents"]]
                bodies = [bytes.fromhex(body) for body in said["bodies"]]
                self.jobs.append(Promised(bodies, documents, [(d, key) for d, key in said["delivered"]]))
            elif "done" in said:
                assert said["done"] - self._shift >= self.done, "acknowledged out of order"
                self.done = said["done"] - self._shift + 1
            elif "failed" in said:
                self.failed.append(said["failed"] - self._shift)
            self.held = max(self.held, said.get("held", 0))
            self.unsigned = said.get("unsigned", self.unsigned)
            self.cannot = said.get("cannot", self.cannot)
            if "closing" in said:
                self.status = self.statuses[-1] if self.statuses else ""
            if "status" in said:
                self.statuses.append(said["status"])


class Found(NamedTuple):
    """What lies in a journal."""

    rows: list[tuple]  # (idx, leaf, body)
    outbox: dict[tuple, tuple]  # (destination, key) -> (state, body)
    tally: dict[str, int]


def read(path: Path) -> Found:
    """Read with SQLite alone. Broken when it is damaged."""
    log = path.with_name(path.name + "-wal")
    alone = "" if log.exists() else "?immutable=1"  # closed: nothing is needed besides the file
    connection = sqlite3.connect(f"file:{path}{alone}", uri=True)
    try:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise Broken(f"the database is corrupt: {verdict}")
        lying = connection.execute("SELECT idx, leaf, body FROM entry ORDER BY idx").fetchall()
        rows = [(idx, leaf, unpacked(body)) for idx, leaf, body in lying]
        outbox = connection.execute("SELECT destination, key, state, body FROM outbox").fetchall()
        tally = connection.execute("SELECT destination, delivered FROM tally").fetchall()
    except sqlite3.DatabaseError as error:
        raise Broken(f"the database is corrupt: {error}") from error
    finally:
        connection.close()
    return Found(rows, {(d, key): (state, body) for d, key, state, body in outbox}, dict(tally))


def check_leaves(path: Path) -> None:
    """Each leaf is the hash of its entry."""
    reader = Reader(path)
    try:
        for entry in reader.entries():
            content = entry.leaf_bytes()
            if hashlib.sha256(b"\x00" + content).digest() != entry.leaf:
                raise Broken(f"entry {entry.idx} does not match its leaf")
    finally:
        reader.close()


@lru_cache(4096)
def told(body: bytes) -> frozenset[tuple[str, str]]:
    """(destination, key) of the documents whose delivery this entry tells of."""
    found = None if body.startswith(TAG) else delivery(body)
    return frozenset((found.destination, key) for key in found.names()) if found else frozenset()


class Expected:
    """What a journal holds after each job. `rows` are those of a journal in which all of them are."""

    def __init__(self, jobs: Iterable[Promised], rows: list[tuple]):
        self.rows = rows
        self.ends = [0]  # entries after k jobs
        self.outboxes: list[dict] = [{}]
        self.tallies: list[dict] = [{}]
        for job in jobs:
            end = self._end(job.bodies, self.ends[-1])
            if end is None:
                break
            self.ends.append(end)
            self._documents(job)

    def _end(self, bodies: list[bytes], start: int) -> int | None:
        """Where the job ends in the rows; None when nothing of it is there."""
        end = start
        for count, body in enumerate(bodies):
            while end < len(self.rows) and not self.rows[end][2].startswith(TAG):
                end += 1  # an entry that the journal made by itself
            if end == len(self.rows):
                if count:
                    raise Broken(f"of {len(bodies)} entries submitted together only {count} are there")
                return None
            if self.rows[end][2] != body:
                raise Broken(f"entry {end} is not the one that was submitted")
            end += 1
        return end

    def _documents(self, job: Promised) -> None:
        outbox, tally = dict(self.outboxes[-1]), dict(self.tallies[-1])
        kinds = {(d, key): kind for d, key, kind, _ in job.documents}
        for destination, key, _, body in job.documents:
            outbox[destination, key] = (0, body, kinds[destination, key])
        for name in job.delivered:
            _, body, kind = outbox[name]
            if kind == "readings":  # nobody asks for it again: deleted and counted
                del outbox[name]
                tally[name[0]] = tally.get(name[0], 0) + 1
            else:
                outbox[name] = (1, body, kind)
        self.outboxes.append(outbox)
        self.tallies.append(tally)

    def check(self, found: Found, done: int, held: int) -> None:
        """Broken unless `found` is the journal of the first k jobs, for a k of at least `done` (rule 1)."""
        count = len(found.rows)
        if found.rows != self.rows[:count]:
            wrong = next(i for i, row in enumerate(found.rows) if i >= len(self.rows) or row != self.rows[i])
            raise Broken(f"entry {wrong} is missing, or is not what it was")
        if count < max(held, self.ends[done]):
            raise Broken(
                f"an acknowledged entry is lost: {count} there, {max(held, self.ends[done])} promised"
            )
        if not any(self._is_boundary(k, count) for k in range(len(self.ends))):
            raise Broken(f"a transaction is there in part: {count} entries")
        marked = {name for name, (state, _) in found.outbox.items() if state == 1}
        if frozenset().union(*[told(body) for _, _, body in found.rows]) != marked:
            raise Broken("what entries tell of deliveries is not what is marked")
        if self.jobs_in(found, done) is None:
            raise Broken(f"documents or marks that belong to {count} entries are missing or too many")

    def jobs_in(self, found: Found, least: int = 0) -> int | None:
        """How many jobs it is the journal of, at least `least`; None when there is no such number."""
        for k in range(least, len(self.ends)):
            if self._is_boundary(k, len(found.rows)):
                wanted = {name: (state, body) for name, (state, body, _) in self.outboxes[k].items()}
                if wanted == found.outbox and self.tallies[k] == found.tally:
                    return k
        return None

    def _is_boundary(self, k: int, count: int) -> bool:
        if count < self.ends[k]:
            return False
        return not any(row[2].startswith(TAG) for row in self.rows[self.ends[k] : count])
