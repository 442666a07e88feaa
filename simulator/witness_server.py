"""The witness on HTTP, in the loop of whoever starts it, or as a process of its own.

    python -m simulator.witness_server FOLDER NAME PORT LOG_VKEY_FILE ...

It prints "ready <port>" when it answers (port 0 chooses a free one), and ends when its stdin does, or on
SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.child import dying_with_parent
from simulator.witness import REQUEST_BYTES_MAX, VKEY_FILE, Answer, Witness

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
READY_S_MAX = 30.0
STOP_S_MAX = 5.0


class WitnessServer:
    """start(), stop(); cut() and restore() as the other receivers have them.

    `delay_s`, for tests: so long it thinks about each request. `asked`: requests to cosign that came in.
    """

    def __init__(self, witness: Witness, port: int = 0) -> None:
        self.witness = witness
        self.port = port
        self.delay_s = 0.0
        self.asked = 0
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._app = Starlette(
            routes=[
                Route("/add-checkpoint", self._add, methods=["POST"]),
                Route("/{origin_hash}/checkpoint", self._newest, methods=["GET"]),
            ]
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def start(self) -> WitnessServer:
        """Listen. OSError when the port is taken."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", loop="none", http="h11", ws="none",
            timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.01)
        return self

    async def stop(self) -> None:
        await self.cut()

    async def cut(self) -> None:
        """It goes away: connections are dropped, new ones refused."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                if transport := getattr(connection, "transport", None):
                    transport.abort()
            await self._task
            self._server = self._task = None

    async def restore(self) -> None:
        """It is back, on the same port."""
        if self._server is None:
            await self.start()

    async def _add(self, request: Request) -> Response:
        self.asked += 1
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > REQUEST_BYTES_MAX:
                return Response("The request is too large.\n", 413)
        await asyncio.sleep(self.delay_s)
        return _response(self.witness.add(body))

    async def _newest(self, request: Request) -> Response:
        await asyncio.sleep(self.delay_s)
        return _response(self.witness.newest(request.path_params["origin_hash"]))


def _response(answer: Answer) -> Response:
    # A header of our own: starlette would add a charset to text/x.tlog.size.
    return Response(answer.body, answer.status, headers={"Content-Type": answer.content_type})


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they belong to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


class WitnessProcess:
    """Starts and stops such a process, which dies with us."""

    def __init__(self, folder: Path, name: str, log_vkeys: list[Path], log: Path, port: int = 0) -> None:
        self.port = port
        self._folder = folder
        self._name = name
        self._log_vkeys = log_vkeys
        self._log = log
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def vkey(self) -> str:
        """Once it was started."""
        return (self._folder / VKEY_FILE).read_text(encoding="utf-8").strip()

    async def start(self) -> WitnessProcess:
        """Returns when it answers. RuntimeError when it does not within READY_S_MAX."""
        arguments = [str(self._folder), self._name, str(self.port), *map(str, self._log_vkeys)]
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "simulator.witness_server", *arguments,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                env=dict(os.environ, PYTHONPATH=str(ROOT)), preexec_fn=dying_with_parent(), process_group=0,
            )  # fmt: skip
        assert self.process.stdout is not None
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), READY_S_MAX)
        except TimeoutError:
            line = b""
        if not line.startswith(b"ready "):
            await self.stop()
            raise RuntimeError(f"the witness did not start: see {self._log}")
        self.port = int(line.split()[1])
        return self

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S_MAX)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def _serve(folder: str, name: str, port: str, *log_vkeys: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_reader(sys.stdin.fileno(), stopping.set)  # nobody writes there: readable means closed
    server = await WitnessServer(Witness(folder, name, log_vkeys), int(port)).start()
    print(f"ready {server.port}", flush=True)
    await stopping.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
