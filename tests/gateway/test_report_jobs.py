# runs on: cpython
"""gateway/report_jobs.py, report_child.py with real children: whole or not there, bounded, gone with us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import report_child, report_jobs
from gateway.report_jobs import QUEUE_MAX, ReportJobs
from gateway.reports.period import period
from tests.gateway.app_rig import until

NOW_MS = period("2026-07").from_ms
WRITES = "out.mkdir(); (out / 'report.html').write_text('<p>' + name); (out / 'days.csv').write_text('a,b')"
GATED = (
    "out.mkdir(); (out / 'report.html').write_text('half')\n"
    "while not (out.parents[1] / 'go').exists(): time.sleep(0.02)\n"
    "(out / 'report.html').write_text('whole')"
)
HANGS = (
    "import subprocess; out.mkdir(); (out / 'report.html').write_text('half')\n"
    "sleeps = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
    "other = subprocess.Popen(sleeps, stderr=subprocess.DEVNULL)\n"
    "(out.parents[1] / 'pids.new').write_text(f'{os.getpid()} {other.pid}')\n"
    "(out.parents[1] / 'pids.new').rename(out.parents[1] / 'pids')\n"
    "time.sleep(60)"
)


class Rig(ReportJobs):
    """Of a folder; `code` is what the child does, with name, language and out. `now` may be changed."""

    def __init__(self, state_dir: Path, code: str):
        super().__init__(state_dir, self._command, lambda: self.now)
        self.state_dir, self.code, self.now = state_dir, code, NOW_MS
        self.begun: list[str] = []

    def _command(self, name: str, language: str, out: Path) -> list[str]:
        self.begun.append(f"{name}-{language}")
        before = (
            "import os, sys, time; from pathlib import Path; name, out = sys.argv[1], Path(sys.argv[2])\n"
        )
        return [sys.executable, "-I", "-c", before + self.code, name, str(out)]

    async def over(self) -> None:
        await until(lambda: self.at_work is None and not self.waiting)

    @property
    def names(self) -> list[str]:
        return [made.name for made in self.listed()]

    @property
    def said(self) -> list[str]:
        return [one.said for one in self.failed]

    def pids(self) -> list[int]:
        return [int(one) for one in (self.state_dir / "pids").read_text().split()]


@asynccontextmanager
async def at_work(state_dir: Path, code: str = WRITES) -> AsyncIterator[Rig]:
    rig = Rig(state_dir, code)
    task = asyncio.create_task(rig.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.wait((task,), timeout=10)
        assert task.cancelled()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_report_is_there_when_it_is_whole_and_another_takes_its_place(tmp_path):
    async def story():
        async with at_work(tmp_path, GATED) as jobs:
            assert "is being made" in jobs.ask("2026-H1", "vi", "lan")
            await until(lambda: list(tmp_path.glob("reports/.making-*/report.html")))
            assert jobs.at_work is not None and jobs.at_work.who == "lan" and jobs.names == []
            assert jobs.ask("2026-H1", "vi", "lan").endswith("already.")
            (tmp_path / "go").touch()
            await jobs.over()
            (made,) = jobs.listed()
            assert (made.name, made.language, made.made_ms) == ("2026-H1-vi", "vi", NOW_MS)
            assert made.period == period("2026-H1") and list(made.files) == [("report.html", 5)]
            jobs.code, jobs.now = WRITES, NOW_MS + 1000
            jobs.ask("2026-H1", "vi", "lan")
            jobs.ask("2026-H1", "en", "lan")
            await jobs.over()
            assert jobs.names == ["2026-H1-vi", "2026-H1-en"] and jobs.begun[1:] == [
                "2026-H1-vi",
                "2026-H1-en",
            ]
            found = jobs.open("2026-H1-vi", "report.html")
            assert found is not None and found[1] == 10
            with found[0] as stream:
                assert stream.read() == b"<p>2026-H1"
            assert len(list((tmp_path / "reports").iterdir())) == 2 and jobs.said == []

    asyncio.run(story())


def test_one_after_the_other_and_so_many_wait(tmp_path):
    async def story():
        async with at_work(tmp_path, GATED) as jobs:
            jobs.ask("2026-01", "vi", "lan")
            await until(lambda: jobs.at_work)
            for month in range(2, 2 + QUEUE_MAX):
                jobs.ask(f"2026-0{month}", "vi", "lan")
            with pytest.raises(ValueError, match="4 reports wait already"):
                jobs.ask("2026", "vi", "lan")
            assert len(jobs.waiting) == QUEUE_MAX and jobs.begun == ["2026-01-vi"]
            (tmp_path / "go").touch()
            await jobs.over()
            assert jobs.begun == [f"2026-0{month}-vi" for month in range(1, 2 + QUEUE_MAX)]

    asyncio.run(story())


@pytest.mark.parametrize(
    "name",
    ["", "..", "../../keys", "/etc/passwd", "2026-H1/..", "2026-H3", "2026-13", "2026-02-30", "2026-H1\n",
     "--help", "2026-H1-vi", "٢٠٢٦", "x" * 5000, "2026-03-25--2026-03-26", "2026-07-02", "2099"],
)  # fmt: skip
def test_what_is_no_period_or_has_not_begun_is_a_sentence_and_nothing_is_run(tmp_path, name):
    jobs = Rig(tmp_path, WRITES)
    with pytest.raises(ValueError, match=r"\.$") as error:
        jobs.ask(name, "vi", "lan")
    assert len(str(error.value)) < 200
    for language in ("", "fr", "../en", "VI"):
        with pytest.raises(ValueError, match="one of vi, en"):
            jobs.ask("2026-H1", language, "lan")
    assert not jobs.waiting and jobs.begun == []


FAILURES = [
    ("print('The journal holds no windows.', file=sys.stderr); sys.exit(1)", "The journal holds no windows."),
    ("print('config.toml: 1 fault.\\n  a', file=sys.stderr); sys.exit(2)", "config.toml: 1 fault. a"),
    ("1 / 0", report_child.MISTAKE),
    ("sys.exit(3)", report_child.MISTAKE),
    ("sys.stderr.write('x' * 10**6); sys.exit(1)", "x" * report_child.SAID_MAX),
    ("os.kill(os.getpid(), 9)", "The system ended it (signal 9): is the memory too small?"),
    ("pass", "The report cannot be stored: No such file or directory."),
]


@pytest.mark.parametrize(("code", "says"), FAILURES)
def test_what_fails_is_a_sentence_until_it_is_asked_for_again(tmp_path, code, says):
    async def story():
        async with at_work(tmp_path, "out.mkdir(); (out / 'report.html').touch()\n" + code) as jobs:
            jobs.code = code if code == "pass" else jobs.code
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.said == [says] and jobs.names == []
            assert list((tmp_path / "reports").iterdir()) == []
            jobs.code = WRITES
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.said == [] and jobs.names == ["2026-H1-vi"]

    asyncio.run(story())


def test_a_mistake_of_ours_ends_no_gateway(tmp_path):
    async def story():
        async with at_work(tmp_path) as jobs:
            command, jobs._execute = jobs._execute, lambda *_: 1 / 0
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.said == [report_child.MISTAKE]
            jobs._execute = command
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.names == ["2026-H1-vi"]

    asyncio.run(story())


# It ends ----------------------------------------------------------------------------------------------------


def test_a_child_that_hangs_is_ended_with_what_it_began(tmp_path, monkeypatch):
    monkeypatch.setattr(report_child, "SECONDS_MAX", 3.0)

    async def story():
        async with at_work(tmp_path, HANGS) as jobs:
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.said[0].startswith("It took more than 0 minutes and was ended")
            pids = jobs.pids()
            await until(lambda: not any(map(alive, pids)), 3)
            assert len(pids) == 2 and list((tmp_path / "reports").iterdir()) == []

    asyncio.run(story())


def test_the_end_of_the_gateway_is_the_end_of_the_child(tmp_path):
    async def story():
        async with at_work(tmp_path, HANGS) as jobs:
            jobs.ask("2026-H1", "vi", "lan")
            await until(lambda: (tmp_path / "pids").exists())
            pids = jobs.pids()
            assert all(map(alive, pids))
        await until(lambda: not any(map(alive, pids)), 3)
        assert list((tmp_path / "reports").iterdir()) == []

    asyncio.run(story())


@pytest.mark.parametrize(
    "test",
    [lambda path, patch: test_a_child_that_hangs_is_ended_with_what_it_began(path, patch),
     lambda path, patch: test_the_end_of_the_gateway_is_the_end_of_the_child(path)],
)  # fmt: skip
def test_control_a_child_that_is_ended_alone_is_noticed(tmp_path, monkeypatch, test):
    kill = os.kill
    monkeypatch.setattr(os, "killpg", kill)
    try:
        with pytest.raises(TimeoutError):
            test(tmp_path, monkeypatch)
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                kill(int(pid), 9)


def test_what_was_half_made_when_the_power_went_is_gone(tmp_path):
    (tmp_path / "reports" / ".making-ab12").mkdir(parents=True)
    (tmp_path / "reports" / ".making-ab12" / "report.html").write_text("half")

    async def story():
        async with at_work(tmp_path) as jobs:
            await until(lambda: not list((tmp_path / "reports").iterdir()))
            assert jobs.names == []

    asyncio.run(story())


# It holds up nothing ----------------------------------------------------------------------------------------


def test_it_runs_when_nobody_else_wants_to_and_speaks_for_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    looks = (
        "import resource\n"
        "def score(): return Path('/proc/self/oom_score_adj').read_text().strip()\n"
        "while os.nice(0) != 15 or score() != '1000': time.sleep(0.02)\n"
        "while resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 200_000_000: time.sleep(0.02)\n"
        "while resource.getrlimit(resource.RLIMIT_CPU)[1] != 11: time.sleep(0.02)\n"
        "out.mkdir(); (out / 'report.html').write_text(os.environ.get('NOTIFY_SOCKET', 'none'))"
    )
    monkeypatch.setattr(report_child, "SECONDS_MAX", 10.0)

    async def story():
        async with at_work(tmp_path, looks) as jobs:
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.said == [] and (tmp_path / "reports/2026-H1-vi/report.html").read_text() == "none"

    asyncio.run(story())


def test_without_room_for_the_journal_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(report_jobs, "ROOM_MIN", 1 << 62)

    async def story():
        async with at_work(tmp_path) as jobs:
            jobs.ask("2026-H1", "vi", "lan")
            await jobs.over()
            assert jobs.said == ["The disk has no room for a report: it is kept for the journal."]
            assert jobs.begun == []

    asyncio.run(story())


def test_so_many_are_kept_and_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(report_jobs, "KEPT_MAX", 3)

    async def made(jobs, *names):
        for name in names:
            jobs.now += 1000
            jobs.ask(name, "vi", "lan")
            await jobs.over()

    async def story():
        async with at_work(tmp_path) as jobs:
            await made(jobs, "2026-01", "2026-02", "2026-03", "2026-04")
            assert jobs.names == ["2026-04-vi", "2026-03-vi", "2026-02-vi"]
            jobs.now -= 10_000_000  # the clock was set back: what was just asked for stays all the same
            await made(jobs, "2026-05")
            assert jobs.names == ["2026-04-vi", "2026-03-vi", "2026-05-vi"]
            # each has <p>2026-05 and a,b: 13 bytes; 26 hold two of them
            monkeypatch.setattr(report_jobs, "BYTES_MAX", 26)
            jobs.now += 20_000_000
            await made(jobs, "2026-06")
            assert jobs.names == ["2026-06-vi", "2026-04-vi"]
            monkeypatch.setattr(report_jobs, "BYTES_MAX", 12)
            await made(jobs, "2026-01")
            assert "more than" in jobs.said[0] and len(jobs.names) == 2

    asyncio.run(story())


# What is read -----------------------------------------------------------------------------------------------


def planted(tmp_path: Path) -> ReportJobs:
    """A report, and what somebody might hope to reach by its ways."""
    (tmp_path / "secret").write_text("planted")
    folder = tmp_path / "reports" / "2026-H1-vi"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("good")
    (folder / "sub").mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "secret")
    for name in ("keys", "2026-H3-vi", "2026-H1-fr"):
        (tmp_path / "reports" / name).mkdir()
        (tmp_path / "reports" / name / "report.html").write_text("planted")
    (tmp_path / "reports" / "2026-vi").symlink_to(tmp_path / "reports" / "keys")
    (tmp_path / "reports" / "2026-Q1-vi").write_text("planted")
    return Rig(tmp_path, WRITES)


WAYS = [
    ("2026-H1-vi", "../../secret"), ("2026-H1-vi", "link.csv"), ("2026-H1-vi", "sub"), ("2026-H1-vi", ""),
    ("2026-H1-vi", "."), ("2026-H1-vi", ".."), ("2026-H1-vi/", "report.html"), ("keys", "report.html"),
    ("..", "secret"), ("", "secret"), (".", "2026-Q1-vi"), ("2026-vi", "report.html"),
    ("2026-H3-vi", "report.html"), ("2026-H1-fr", "report.html"), ("2026-H1-vi", "report.html\0"),
    ("2026-H1-vi/../..", "secret"), ("2026-H1-vi", "/etc/passwd"), ("../reports/2026-H1-vi", "report.html"),
]  # fmt: skip


def reached(jobs: ReportJobs) -> list[tuple[str, str]]:
    found = []
    for report, file in WAYS:
        got = jobs.open(report, file)
        if got is not None:
            got[0].close()
            found.append((report, file))
    return found


def test_nothing_but_what_lies_there_is_read(tmp_path):
    jobs = planted(tmp_path)
    assert [(made.name, list(made.files)) for made in jobs.listed()] == [("2026-H1-vi", [("report.html", 4)])]
    found = jobs.open("2026-H1-vi", "report.html")
    assert found is not None
    found[0].close()
    assert reached(jobs) == []


def test_control_paths_that_are_put_together_lead_elsewhere(tmp_path, monkeypatch):
    jobs = planted(tmp_path)

    def careless(report, file):
        with contextlib.suppress(OSError, ValueError):
            path = jobs.folder / report / file
            return path.open("rb"), path.stat().st_size
        return None

    monkeypatch.setattr(jobs, "open", careless)
    assert ("2026-H1-vi", "../../secret") in reached(jobs) and len(reached(jobs)) > 5


def test_there_is_nothing_before_the_first(tmp_path):
    assert Rig(tmp_path, WRITES).listed() == [] and Rig(tmp_path, WRITES).open("2026-vi", "x") is None
