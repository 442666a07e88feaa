"""simulator/child.py: a child is gone when whoever started it is gone, however that one went."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = (
    "import subprocess, sys, time\nfrom simulator.child import dying_with_parent\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " preexec_fn=dying_with_parent())\n"
    "print(child.pid, flush=True)\nsys.stdin.readline()\n"
)


def gone(pid: int) -> bool:
    """Ended, whether or not somebody has asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("how", ["killed", "terminated", "ends by itself"])
def test_the_child_dies_with_its_parent(how):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None and parent.stdin is not None
    child = int(parent.stdout.readline())
    assert not gone(child)
    if how == "ends by itself":
        parent.communicate("\n")
    else:
        parent.kill() if how == "killed" else parent.terminate()
        parent.communicate()
    deadline = time.monotonic() + 20
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child)


def test_a_parent_that_was_gone_before_the_signal_was_set(tmp_path):
    # the preexec_fn was made by a process that is not the parent of the one that runs it
    script = (
        "import os\nfrom simulator.child import dying_with_parent\n"
        "ends = dying_with_parent()\n"
        "middle = os.fork()\n"
        "if middle == 0:\n"
        "    inner = os.fork()\n"
        "    if inner == 0:\n"
        "        ends()\n"
        "        os._exit(7)\n"
        "    os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], env=dict(os.environ)).returncode == 1
