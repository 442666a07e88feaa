"""Reports that people ask for at the page: made by a child process, one after the other, kept in a folder.

    state_dir/reports/2026-H1-vi/      report.html, report.pdf, ...: whole, or not there
    state_dir/reports/.making-<hex>/   what a child writes just now

Rule 1: a report holds up nothing: one at a time, in a process of its own (report_child.py).
Rule 2: what is asked for is the name of a period (period()) and a language: nothing else becomes a path;
        what is read is what lies there, by its own name.
Rule 3: QUEUE_MAX wait; KEPT_MAX are kept, of BYTES_MAX together: the oldest go. Where the disk has room for
        readings only, none is made.
Times are Unix ms of station time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import stat
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.journal import durable
from gateway.logs import get_logger
from gateway.report_child import MISTAKE, written
from gateway.reports.period import Period, period

log = get_logger("reports")

FOLDER = "reports"
LANGUAGES = ("vi", "en")
QUEUE_MAX = 4
KEPT_MAX = 40
BYTES_MAX = 500_000_000
ROOM_MIN = 1_000_000_000
"""Bytes that the disk has to have for the journal when a report is begun."""
FAILED_MAX = 5
NAME_MAX = 20
_NAME = re.compile(f"(.+)-({'|'.join(LANGUAGES)})")

Execute = Callable[[str, str, Path], Sequence[str]]
"""The command that makes a report of this period, in this language, into this folder (not there yet)."""


class Job(NamedTuple):
    """One that is to be made."""

    period: Period
    language: str
    who: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.period.name}-{self.language}"


class Failed(NamedTuple):
    """One that could not be made."""

    job: Job
    at_ms: int
    said: str  # a sentence


class Made(NamedTuple):
    """One that lies there."""

    name: str
    period: Period
    language: str
    made_ms: int
    files: Sequence[tuple[str, int]]  # name, bytes


class ReportJobs:
    """`execute`: see above; `now_ms`: station time. run() makes them until it is cancelled."""

    def __init__(self, state_dir: Path, execute: Execute, now_ms: Callable[[], int]):
        self.folder = state_dir / FOLDER
        self._execute, self._now_ms = execute, now_ms
        self.at_work: Job | None = None
        self.waiting: deque[Job] = deque()
        self.failed: deque[Failed] = deque(maxlen=FAILED_MAX)
        self._asked = asyncio.Event()

    # What people ask ----------------------------------------------------------------------------------------

    def ask(self, name: str, language: str, who: str) -> str:
        """Have a report made; a sentence. ValueError: it is not, with a sentence."""
        if not name:
            raise ValueError("No period is named.")
        if len(name) > NAME_MAX:
            raise ValueError("The name of a period is shorter: write 2026-03, 2026-Q1, 2026-H1 or 2026.")
        if language not in LANGUAGES:
            raise ValueError(f"'lang' is one of {', '.join(LANGUAGES)}.")
        job = Job(period(name), language, who)
        if job.period.from_ms >= self._now_ms():
            raise ValueError(f"The period {name} has not begun.")
        if any(job.name == each.name for each in (*self.waiting, self.at_work) if each is not None):
            return f"The report {name} ({language}) is being made already."
        if len(self.waiting) >= QUEUE_MAX:
            raise ValueError(f"{QUEUE_MAX} reports wait already: ask again when one of them is there.")
        self._forget(job)
        self.waiting.append(job)
        self._asked.set()
        return f"The report {name} ({language}) is being made: it will stand here when it is whole."

    def listed(self) -> list[Made]:
        """What lies there, the newest first. OSError; it reads the disk."""
        return sorted(self._there(), key=lambda made: (made.made_ms, made.name), reverse=True)

    def open(self, report: str, file: str) -> tuple[BinaryIO, int] | None:
        """A file that lies there, and its bytes; None where there is none of that name. OSError."""
        made = next((one for one in self._there() if one.name == report), None)
        if made is None or file not in dict(made.files):
            return None
        try:
            handle = os.open(self.folder / made.name / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # it went this very moment
            return None
        return os.fdopen(handle, "rb"), os.fstat(handle).st_size

    # Making them --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        await self._cleaned()
        while True:
            while not self.waiting:
                self._asked.clear()
                await self._asked.wait()
            job = self.at_work = self.waiting.popleft()
            try:
                said = await self._made(job)
            except Exception as error:
                log.exception("a report failed by a mistake of ours", reason=repr(error))
                said = MISTAKE
            finally:
                self.at_work = None
            if said:
                self.failed.appendleft(Failed(job, self._now_ms(), said))
            log.info("a report", period=job.period.name, language=job.language, who=job.who, failed=said)

    async def _made(self, job: Job) -> str:
        """Why it was not; "" where it was."""
        fresh = self.folder / f".making-{secrets.token_hex(4)}"
        try:
            if await asyncio.to_thread(self._room) < ROOM_MIN:
                return "The disk has no room for a report: it is kept for the journal."
            said = await written(self._execute(job.period.name, job.language, fresh))
            return said or await asyncio.to_thread(self._kept, job, fresh)
        except OSError as error:
            return f"The report cannot be stored: {error.strerror or error}."
        finally:
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)

    # The folder ---------------------------------------------------------------------------------------------

    def _there(self) -> list[Made]:
        if not self.folder.is_dir():
            return []
        return [made for each in os.scandir(self.folder) if (made := _made_in(each)) is not None]

    def _room(self) -> int:
        durable.make_folder(self.folder, 0o700)
        return shutil.disk_usage(self.folder).free

    def _kept(self, job: Job, fresh: Path) -> str:
        """Put a whole report in its place, and let the oldest go."""
        size = 0
        for path in sorted(fresh.iterdir()):
            size += path.stat().st_size
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if size > BYTES_MAX:
            return f"The report has more than {BYTES_MAX // 1_000_000} MB: ask for a shorter period."
        now_s = self._now_ms() / 1000
        os.utime(fresh, (now_s, now_s))
        durable.sync_folder(fresh)
        place, old = self.folder / job.name, fresh.with_name(f"{fresh.name}-old")
        if place.exists():
            place.rename(old)
        fresh.rename(place)
        durable.sync_folder(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        self._bounded(job.name)
        return ""

    def _bounded(self, newest: str) -> None:
        """Rule 3. The one that was made just now stays, whatever the clock did meanwhile."""
        bytes_kept = 0
        for kept, made in enumerate(sorted(self.listed(), key=lambda made: made.name != newest), 1):
            bytes_kept += sum(size for _, size in made.files)
            if kept > KEPT_MAX or bytes_kept > BYTES_MAX:
                shutil.rmtree(self.folder / made.name, ignore_errors=True)

    async def _cleaned(self) -> None:
        """What a gateway that was killed left half done goes."""

        def clean() -> None:
            for path in self.folder.glob(".making-*"):
                shutil.rmtree(path, ignore_errors=True)

        with contextlib.suppress(OSError):
            await asyncio.to_thread(clean)

    def _forget(self, job: Job) -> None:
        left = [one for one in self.failed if one.job.name != job.name]
        self.failed = deque(left, FAILED_MAX)


def _made_in(folder: os.DirEntry[str]) -> Made | None:
    """A report, where a folder is one: by its own name."""
    found = _NAME.fullmatch(folder.name)
    if found is None or not folder.is_dir(follow_symlinks=False):
        return None
    try:
        about = period(found[1])
        files = [(each.name, each.stat(follow_symlinks=False)) for each in os.scandir(folder)]
        made_ms = round(folder.stat(follow_symlinks=False).st_mtime * 1000)
    except (ValueError, FileNotFoundError):
        return None
    plain = sorted((name, about_it.st_size) for name, about_it in files if stat.S_ISREG(about_it.st_mode))
    return Made(folder.name, about, found[2], made_ms, plain) if plain else None
