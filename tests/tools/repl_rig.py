"""A board without silicon: a real MicroPython with its REPL on a pty, and files that outlive its resets.

The interpreter is MicroPython's WebAssembly build under Node (tests/node/repl.mjs says what is whose). Real
mpremote talks to it. `port` is the path of the pty; the files can be put there, listed and taken out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import tty
from pathlib import Path
from typing import Any

import pytest

from simulator.child import dying_with_parent

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / ".node" / "node_modules" / "@micropython" / "micropython-webassembly-pyscript"


class ReplBoard:
    """A running board; `with ReplBoard() as board`."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None or not PACKAGE.exists():
            pytest.fail("no 32-bit MicroPython: install it as tests/node/README.md says")
        master, self._slave = os.openpty()
        tty.setraw(self._slave)  # held open: the line is there whether somebody uses it or not
        self.port = os.ttyname(self._slave)
        self._process = subprocess.Popen(
            [node, str(ROOT / "tests/node/repl.mjs"), str(ROOT), str(PACKAGE), str(master)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(master,),
            preexec_fn=dying_with_parent(),
        )
        os.close(master)

    def __enter__(self) -> ReplBoard:
        self.files()  # answered once it runs
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        assert "error" not in answer, answer
        return answer

    def files(self) -> dict[str, int]:
        """Path -> bytes of every file on it."""
        return self._ask(do="files")

    def tree(self) -> dict[str, bytes]:
        """Path -> content of every file on it."""
        with tempfile.TemporaryDirectory() as folder:
            self.copy_to(Path(folder))
            paths = [path for path in Path(folder).rglob("*") if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def copy_to(self, folder: Path) -> None:
        """All its files, as a device's directory."""
        self._ask(do="dump", to=str(folder))

    def load(self, folder: Path) -> None:
        """Switched off and on again, with exactly these files."""
        self._ask(do="load", **{"from": str(folder)})

    def power_cycle(self) -> None:
        self._ask(do="reset")

    def has_free(self, size: int) -> None:
        """From the next start on it says that so many bytes of its flash are free."""
        self._ask(do="free", bytes=size)
        self.power_cycle()

    def unplug(self) -> None:
        """The cable is pulled and the power is off: the port is gone."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1
        self._process.kill()
        self._process.communicate()
