"""The gateway as a process of its own, watched the way systemd would watch it.

It is started with a notification socket (sd_notify), told to die with the demo, restarted when it ends by
itself, and ended by SIGTERM, by the process id that was started here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from pathlib import Path

from simulator.child import dying_with_parent
from tools.people import USED_WRONGLY, Failure

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
RESTART_AFTER_S = 1.0


class Notifications:
    """The receiving end of sd_notify: a datagram socket that hears `READY=1` and `STATUS=...`.

    `address` is what goes into NOTIFY_SOCKET: a name in the kernel alone, so no path can be too long for it.
    """

    def __init__(self) -> None:
        name = f"quantrac-{os.getpid()}-{secrets.token_hex(8)}"
        self.address = f"@{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{name}")
        self.status = ""
        self.ready = asyncio.Event()
        self.waiting = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in self._socket.recv(4096).decode("utf-8", "replace").splitlines():
                    name, _, value = line.partition("=")
                    if name == "STATUS":
                        self.status = value
                        if value.startswith("waiting for the clock"):
                            self.waiting.set()
                    elif name == "READY":
                        self.waiting.set()
                        self.ready.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


class GatewayProcess:
    """Keeps `quantrac gateway run CONFIG` running until `stop()`; `clock` is a simulation's timeline."""

    def __init__(self, config: Path, clock: Path | None, run_dir: Path, module: str = "tools.cli"):
        self._module = module  # what is run as `quantrac`
        self._arguments = ["gateway", "run", str(config), *(["--clock", str(clock)] if clock else [])]
        self._log = run_dir / "gateway.log"
        self.restarts = 0
        self.process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task | None = None
        self._stopping = False

    async def start(self) -> None:
        """Start it; returns when it is ready, or has read its configuration and waits for a simulated clock.

        Failure, with its last words, when it ends before that or takes longer than START_TIMEOUT_S.
        """
        self.notifications = Notifications()
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch())
        waiting = asyncio.create_task(self.notifications.waiting.wait())
        await asyncio.wait(
            {waiting, self._watcher}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if not self.notifications.waiting.is_set():
            await self.stop()
            raise Failure(f"The gateway did not start. The end of {self._log}:\n{self.last_words()}")

    async def _spawn(self) -> None:
        environment = dict(os.environ, NOTIFY_SOCKET=self.notifications.address)
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, preexec_fn=dying_with_parent(), process_group=0,
            )  # fmt: skip

    @property
    def given_up(self) -> bool:
        """It ended in a way that starting it again would not help."""
        return self._watcher is not None and self._watcher.done()

    async def _watch(self) -> None:
        while True:
            assert self.process is not None
            status = await self.process.wait()
            if self._stopping or status == USED_WRONGLY or not self.notifications.waiting.is_set():
                return  # a wrong configuration, or it never came up: starting again would not help
            self.restarts += 1
            await asyncio.sleep(RESTART_AFTER_S)
            if self._stopping:
                return
            await self._spawn()

    async def stop(self) -> int | None:
        """SIGTERM, then wait; returns its exit status (None when it never ran). Again does nothing more."""
        if self.process is None or self._watcher is None:
            return None
        if self._stopping:
            return self.process.returncode
        self._stopping = True
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        self._watcher.cancel()
        self.notifications.close()
        return self.process.returncode

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
