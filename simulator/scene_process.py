"""A scene's instruments as a process of their own, so that nothing else delays their answers.

    python -m simulator.scene_process KIND TIMELINE TRUTH LINE PORT

TIMELINE is the file of the simulated clock or "-", LINE the path of the RS-485 line's master end, PORT that
of Modbus TCP. It prints "ready" when everything answers, and ends when its stdin does, or on SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from simulator.child import dying_with_parent
from simulator.clock import SimClock
from simulator.scene import load_scene, start_instruments
from simulator.truth import Truth

ROOT = Path(__file__).resolve().parent.parent
READY_S_MAX = 30.0
STOP_S_MAX = 5.0
FLUSH_S = 0.25  # how old the truth file may be for somebody who reads it


class SceneProcess:
    """Starts and stops such a process; `truth` is complete once stop() has returned."""

    def __init__(self, kind: str, timeline: Path | None, truth: Path, line: Path, tcp_port: int) -> None:
        self._arguments = [kind, str(timeline or "-"), str(truth), str(line), str(tcp_port)]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> SceneProcess:
        """Returns when the instruments answer. Raises RuntimeError when they do not within READY_S_MAX."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulator.scene_process", *self._arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=str(ROOT)), preexec_fn=dying_with_parent(), process_group=0,
        )  # fmt: skip
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), READY_S_MAX)
        except TimeoutError:
            line = b""
        if line != b"ready\n":
            await self.stop()
            raise RuntimeError("the simulated instruments did not start")
        return self

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S_MAX)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def _serve(kind: str, timeline: str, truth_path: str, line: str, port: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    loop.add_reader(sys.stdin.fileno(), stopping.set)  # nobody writes there: readable means closed
    truth = Truth(truth_path)
    clock = SimClock.from_file(None if timeline == "-" else timeline)
    running = await start_instruments(load_scene(kind), clock, truth, line, int(port))
    print("ready", flush=True)
    try:
        while not stopping.is_set() and not running.ticker.done():
            truth.flush()
            try:
                await asyncio.wait_for(stopping.wait(), FLUSH_S)
            except TimeoutError:
                pass
    finally:
        await running.stop()
        truth.close()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
