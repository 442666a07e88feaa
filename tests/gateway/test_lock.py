"""gateway/lock.py: one gateway for one state directory, and no lock that outlives its holder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from gateway.errors import JournalError
from gateway.lock import lock

HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom gateway.lock import lock\n"
    "with lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
)


def holder(path) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_it_names_us_while_we_hold_it_and_is_free_afterwards(tmp_path):
    path = tmp_path / "gateway.lock"
    path.write_text("999999999 and more that a larger number left behind\n")
    with lock(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert path.stat().st_mode & 0o077 == 0o044 or path.stat().st_mode & 0o077 == 0
    with pytest.raises(ZeroDivisionError), lock(path):
        _ = 1 / 0
    with lock(path):
        pass


def test_a_new_lock_is_private(tmp_path):
    with lock(tmp_path / "gateway.lock"):
        assert (tmp_path / "gateway.lock").stat().st_mode & 0o077 == 0


def test_another_process_is_refused_with_a_sentence_until_it_is_killed(tmp_path):
    path = tmp_path / "gateway.lock"
    process = holder(path)
    try:
        with pytest.raises(JournalError) as refused, lock(path):
            raise AssertionError("two hold it")
        assert f"process {process.pid}" in str(refused.value) and "state_dir of its own" in str(refused.value)
        assert path.read_text() == f"{process.pid}\n", "a refused one changed what the holder wrote"
    finally:
        process.kill()
        process.communicate()
    with lock(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_written_is_an_ordinary_error(tmp_path):
    with pytest.raises(FileNotFoundError), lock(tmp_path / "absent" / "gateway.lock"):
        pass


def test_one_that_starts_again_waits_for_whoever_is_about_to_finish(tmp_path):
    path = tmp_path / "gateway.lock"
    process = holder(path)
    ending = threading.Timer(0.3, process.kill)
    ending.start()
    try:
        with lock(path, patience_s=60):
            assert path.read_text() == f"{os.getpid()}\n"
    finally:
        ending.cancel()
        process.kill()
        process.communicate()
