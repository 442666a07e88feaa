"""What a run has done so far, as lines of JSON: the first says whose run it is, then each test's result.

Rule 1: a run goes on only with the same code: the commit, and what differs from it, are compared.
Rule 2: of a test that has several lines a failure counts; else the last one does.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.promises.rows import ROOT


class OtherRun(Exception):
    """What is kept is of other code or other counts; its text says what to do."""


class Of(NamedTuple):
    """Whose run it is."""

    commit: str
    changed: str
    """Hash of all that is not committed; empty when everything is."""
    counts: str
    """`long` or `short`."""
    seed: int


class Result(NamedTuple):
    outcome: str
    seconds: float
    counted: dict[str, int]
    why: str


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def code(without: Path) -> tuple[str, str]:
    """The commit, and the hash of what differs from it, `without` the table that a run writes."""
    skip = str(without.resolve().relative_to(ROOT)) if without.resolve().is_relative_to(ROOT) else ""
    different = hashlib.sha256()
    names = git("diff", "--name-only", "-z", "HEAD") + git("ls-files", "-z", "--others", "--exclude-standard")
    found = sorted({name for name in names.decode().split("\0") if name and name != skip})
    for name in found:
        path = ROOT / name
        different.update(name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return git("rev-parse", "HEAD").decode().strip(), different.hexdigest()[:12] if found else ""


class State:
    """A file of results; `results` is what it says."""

    def __init__(self, path: Path, of: Of, resume: bool):
        self.path, self.of = path, of
        self.results: dict[str, Result] = {}
        self.minutes = 0.0  # of all its parts
        self._read = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume and path.exists() and path.stat().st_size:
            self._check()
        else:
            path.write_text(json.dumps({"run": of._asdict()}) + "\n", encoding="utf-8")
        self.look()

    def _check(self) -> None:
        first = self.path.open(encoding="utf-8").readline()
        kept = Of(**json.loads(first)["run"])
        for what, before, now in zip(Of._fields, kept, self.of, strict=True):
            if before != now:
                raise OtherRun(
                    f"{self.path} holds a run with another {what} ({before or 'nothing'}; now it is"
                    f" {now or 'nothing'}). Begin anew without --resume."
                )

    def look(self) -> list[str]:
        """Read on; returns the tests of which something new was said."""
        new = []
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written, or the run was killed there
                self._read += len(line)
                said = json.loads(line)
                if "test" in said:
                    self._take(said)
                    new.append(said["test"])
                self.minutes += said.get("minutes", 0.0)
        return new

    def _take(self, said: dict) -> None:
        before = self.results.get(said["test"])
        if before is None or before.outcome != "failed":
            self.results[said["test"]] = Result(
                said["outcome"], said["seconds"], said["counted"], said["why"]
            )

    def done(self, test: str) -> bool:
        return test in self.results

    def mend(self) -> None:
        """Before lines are appended: a line that a kill cut short goes, and failures are tried again."""
        lines = self.path.read_bytes().rpartition(b"\n")[0].splitlines()
        kept = [line for line in lines if json.loads(line).get("outcome", "passed") == "passed"]
        self.path.write_bytes(b"\n".join(kept) + b"\n")
        self.results.clear()
        self._read, self.minutes = 0, 0.0
        self.look()

    def add_minutes(self, minutes: float) -> None:
        """So long this part of the run took."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"minutes": round(minutes, 2)}) + "\n")
        self.look()
