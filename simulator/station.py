"""The station device's own firmware, run as a process of its own in a real MicroPython.

Where there is no MicroPython for the platform, the same files run under CPython; `runtime` says which.
The process works in DIR (identity.json, link.key, station.json), prints one JSON line (its ledger) a second
and obeys "stop" on stdin. When it ends with RESET_STATUS it wants what a board does by itself: to be started
again.
It dies with the process that started it: by the kernel's parent-death signal, and by the end of its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from simulator.child import dying_with_parent

ROOT = Path(__file__).resolve().parent.parent  # the folder that holds the packages firmware and protocol
HEAP = "384k"  # from source: compiling it takes more than running it, which a board never does
STOP_S_MAX = 15.0  # the firmware drains for at most 10 s, then prints its last line
LINE_BYTES_MAX = 64 * 1024
RESET_STATUS = 75  # firmware/boards/unix.py and starter.py: "start me again"
RESTART_S = 0.2  # about what a board needs, and no race when it resets itself at once, again and again


def find_micropython() -> Path | None:
    """The interpreter: $MICROPYTHON, then PATH, then the checkout's .venv-micropython; None if there is none.

    Raises FileNotFoundError when $MICROPYTHON names something that cannot be run: silently taking another
    would test the wrong one.
    """
    if named := os.environ.get("MICROPYTHON"):
        found = shutil.which(named)
        if found is None:
            raise FileNotFoundError(f"MICROPYTHON={named} is not a program: correct the variable or unset it")
        return Path(found)
    found = shutil.which("micropython") or shutil.which(ROOT / ".venv-micropython/bin/micropython")
    return Path(found) if found else None


class StationProcess:
    """The firmware on `directory`. `ledger` is the newest line it printed, {} before the first.

    `timeline` is the file of the simulated clock, None for the real one. `interpreter` "" looks for a
    MicroPython; a path uses that one; None runs the firmware under CPython. `restarts` counts how often it
    asked for a reset and got it. `on_line` is called with every line it prints, ledgers included.

    A directory with a main.py is a device as it was provisioned, with slots: its own starter runs. In any
    other the firmware of this checkout runs.
    """

    def __init__(
        self,
        directory: Path | str,
        timeline: Path | str | None = None,
        interpreter: Path | str | None = "",
        heap: str = HEAP,
    ) -> None:
        self.directory = Path(directory)
        self.ledger: dict = {}
        self.other_lines: deque[str] = deque(maxlen=50)  # whatever it printed that is no ledger
        self._timeline = timeline
        self._interpreter = find_micropython() if interpreter == "" else interpreter
        self.more_environment: dict[str, str] = {}  # for the process
        self.restarts = 0
        self.on_line: Callable[[str], None] | None = None
        self._heap = heap
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task] = []
        self._again: asyncio.Task | None = None
        self._wanted = False

    @property
    def runtime(self) -> str:
        """ "MicroPython" or "CPython"."""
        return "CPython" if self._interpreter is None else "MicroPython"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs, or is just being reset."""
        if self._process is None:
            return False
        status = self._process.returncode
        return status is None or (status == RESET_STATUS and self._wanted)

    @property
    def returncode(self) -> int | None:
        """How it ended: None while it runs or was never started, negative for a signal."""
        return None if self._process is None or self.running else self._process.returncode

    async def start(self) -> StationProcess:
        """Start it. Raises OSError when the interpreter cannot be run."""
        if self.running:
            raise RuntimeError("already running: stop it first")
        self._wanted = True
        self.restarts = 0
        await self._start()
        self._again = asyncio.create_task(self._start_again())
        return self

    async def _start_again(self) -> None:
        """Give it a reset as often as it asks for one."""
        while await self._process.wait() == RESET_STATUS and self._wanted:
            await asyncio.gather(*self._readers)
            await asyncio.sleep(RESTART_S)
            if not self._wanted:
                return
            self.restarts += 1
            await self._start()
            if not self._wanted:  # it was stopped in the middle of that
                self._process.kill()

    async def _start(self) -> None:
        environment = dict(os.environ)
        starter = self.directory.resolve() / "main.py"
        program = [str(starter)] if starter.exists() else ["-m", "firmware.main"]
        if self._interpreter is None:
            command = [sys.executable, *program]
            environment["PYTHONPATH"] = str(ROOT)
        else:
            command = [str(self._interpreter), "-X", f"heapsize={self._heap}", *program]
            environment["MICROPYPATH"] = f"{ROOT}:.frozen"
        environment.pop("QUANTRAC_TIMELINE", None)
        if self._timeline is not None:
            environment["QUANTRAC_TIMELINE"] = str(Path(self._timeline).resolve())
        environment.update(self.more_environment)
        self.ledger = {}
        self._process = await asyncio.create_subprocess_exec(
            *command,
            str(self.directory.resolve()),
            env=environment,
            cwd=self.directory.resolve(),  # which the interpreters search first: nothing of ours by accident
            limit=LINE_BYTES_MAX,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=dying_with_parent(),
            process_group=0,  # Ctrl-C on the terminal is for whoever started us
        )
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout)),
            asyncio.create_task(self._read(self._process.stderr)),
        ]

    async def ended(self) -> None:
        """Wait until it has ended for good: by itself, by stop() or by kill()."""
        while self._again is not None and not self._again.done():
            await asyncio.wait([self._again])

    async def stop(self) -> dict | None:
        """Let it drain and end; its final ledger, or None if it gave none in STOP_S_MAX and was killed."""
        if self._process is None:
            return None
        self._wanted = False
        if self.running:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(b"stop\n")
                await self._process.stdin.drain()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_S_MAX)
            except TimeoutError:
                self._process.kill()
        await self._ended()
        return self.ledger if self.ledger.get("final") else None

    async def kill(self) -> None:
        """SIGKILL, as when the power goes."""
        self._wanted = False
        if self.running:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        if self._process is not None:
            await self._again
            await self._process.wait()
            await asyncio.gather(*self._readers)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than LINE_BYTES_MAX; the rest comes as lines of its own
                self.other_lines.append("(a line that was too long)")
                continue
            if not line:
                return
            if self.on_line is not None:
                self.on_line(line.decode("utf-8", "replace").rstrip())
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict):
                self.ledger = entry
            else:
                self.other_lines.append(line.decode("utf-8", "replace").rstrip())
