"""The station device's own firmware, run as a process of its own in a real MicroPython.

Where there is no MicroPython for the platform, the same files run under CPython; `runtime` says which.
The process reads DIR/station.json, prints one JSON line (its ledger) a second and obeys "stop" on stdin.
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
from pathlib import Path

from simulator.child import dying_with_parent

ROOT = Path(__file__).resolve().parent.parent  # the folder that holds the packages firmware and protocol
HEAP = "256k"  # about what a Pico W leaves to its program
STOP_S_MAX = 15.0  # the firmware drains for at most 10 s, then prints its last line
LINE_BYTES_MAX = 64 * 1024


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
    MicroPython; a path uses that one; None runs the firmware under CPython.
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
        self._heap = heap
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task] = []

    @property
    def runtime(self) -> str:
        """ "MicroPython" or "CPython"."""
        return "CPython" if self._interpreter is None else "MicroPython"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """How it ended: None while it runs or was never started, negative for a signal."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> StationProcess:
        """Start it. Raises OSError when the interpreter cannot be run."""
        if self.running:
            raise RuntimeError("already running: stop it first")
        environment = dict(os.environ)
        if self._interpreter is None:
            command = [sys.executable, "-m", "firmware.main"]
            environment["PYTHONPATH"] = str(ROOT)
        else:
            command = [str(self._interpreter), "-X", f"heapsize={self._heap}", "-m", "firmware.main"]
            environment["MICROPYPATH"] = f"{ROOT}:.frozen"
        environment.pop("QUANTRAC_TIMELINE", None)
        if self._timeline is not None:
            environment["QUANTRAC_TIMELINE"] = str(Path(self._timeline).resolve())
        self.ledger = {}
        self._process = await asyncio.create_subprocess_exec(
            *command,
            str(self.directory.resolve()),
            env=environment,
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
        return self

    async def stop(self) -> dict | None:
        """Let it drain and end; its final ledger, or None if it gave none in STOP_S_MAX and was killed."""
        if self._process is None:
            return None
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
        if self.running:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        if self._process is not None:
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
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict):
                self.ledger = entry
            else:
                self.other_lines.append(line.decode("utf-8", "replace").rstrip())
