"""A journal that is damaged, no journal, or on a disk that says no: a sentence and status 1, never a
traceback, from whoever reads it; and nothing is left of an export that did not come to its end.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

import tools.log.rebuild
from gateway.errors import JournalError
from gateway.journal.database import VERSION
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from tests.gateway.evidence_rig import Story, greeting, live
from tests.tools.test_log import FROM, TO, run

ROOT = Path(__file__).resolve().parent.parent.parent
JOURNAL = Path("gateway") / "journal.db"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a station's configuration and state."""
    folder = tmp_path_factory.mktemp("story")
    Story(folder).start(greeting, live(2))
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def truncated(path: Path, part: float) -> None:
    os.truncate(path, int(path.stat().st_size * part))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def no_database(path: Path) -> None:
    path.write_bytes(b"this is the log of another program\n" * 400)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_version(version: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    return change


def garbled(path: Path) -> None:
    """The middle of each page but of the first few."""
    data = bytearray(path.read_bytes())
    for at in range(2048, len(data), 512):
        data[at + 8 : at + 200] = bytes(192)
    path.write_bytes(data)


DAMAGES = {
    "half": (lambda path: truncated(path, 0.5), "cannot be read"),
    "less-than-a-page": (lambda path: truncated(path, 0.001), "cannot be read"),
    "empty": (emptied, "is empty, or no journal"),
    "no-database": (no_database, "cannot be read"),
    "folder": (a_folder, "cannot be read"),
    "garbled": (garbled, "cannot be read"),
    "newer": (of_version(99), "install the newer one"),
    "older": (of_version(VERSION - 1), "start the gateway once"),
    "missing": (Path.unlink, "does not exist"),
}


def verbs(folder: Path) -> dict[str, tuple]:
    config = folder / "config.toml"
    return {
        "export": ("export", config, "--from", FROM, "--to", TO, "--out", folder / "bundle"),
        "rebuild": ("rebuild", config),
    }


@pytest.mark.parametrize("verb", ["export", "rebuild"])
def test_whole_it_is_read(folder, verb):
    status, _, wrong = run(*verbs(folder)[verb])
    assert status == 0, wrong


@pytest.mark.parametrize("verb", ["export", "rebuild"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_journal_is_a_sentence(folder, damage, verb):
    harm, says = DAMAGES[damage]
    harm(folder / JOURNAL)
    status, _, wrong = run(*verbs(folder)[verb])
    assert status == 1 and says in wrong and str(folder / JOURNAL) in wrong and "\n" not in wrong.strip()
    assert not list(folder.glob("bundle*"))


@pytest.mark.parametrize("damage", ["half", "less-than-a-page", "no-database", "folder", "newer"])
def test_nor_does_the_gateway_begin_with_it(folder, damage):
    DAMAGES[damage][0](folder / JOURNAL)
    with pytest.raises(JournalError, match=r"journal"):
        Journal(folder / JOURNAL).open(["gateway"])


@pytest.mark.parametrize("damage", ["empty", "no-database", "folder"])
def test_verify_of_such_a_file_is_a_sentence(tmp_path, damage):
    path = tmp_path / "bundle.zip"
    path.touch()
    DAMAGES[damage][0](path)
    status, said, wrong = run("verify", path)
    assert status in (1, 2) and len(wrong.splitlines()) == 1 and "Traceback" not in said + wrong


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("verb", ["export", "rebuild"])
def test_a_disk_that_cannot_be_read_is_a_sentence(folder, verb, nth):
    """Real errors of system calls, in a process of its own."""
    bad: list = ["strace", "-f", "-qq", "-o", "strace", "-P", folder / JOURNAL, "-e", "trace=pread64"]
    bad += ["-e", f"inject=pread64:error=EIO:when={nth}+"]
    done = subprocess.run(
        [*bad, sys.executable, "-m", "tools.cli", *map(str, verbs(folder)[verb])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be read (" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(folder.glob("bundle*"))


def test_control_what_nobody_translates_is_called_a_mistake_of_ours(folder, monkeypatch):
    @contextmanager
    def untranslated(path):
        yield Reader(path)

    monkeypatch.setattr(tools.log.rebuild, "reading", untranslated)
    no_database(folder / JOURNAL)
    status, _, wrong = run(*verbs(folder)["rebuild"])
    assert status == 1 and "Quantrac made a mistake here" in wrong
