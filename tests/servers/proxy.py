"""A TCP proxy that breaks connections on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct


class CuttingProxy:
    """Passes bytes on to `target`; after `cut_after` more bytes towards it, both ends get a reset.

    `swallow`: keeps the connection open but passes nothing on in either direction: a link that died silently.
    """

    def __init__(self, target: int):
        self.target = target
        self.port = 0
        self.cut_after: int | None = None
        self.swallow = False
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, counted=True), self._pump(far_reader, writer, counted=False)
            )
        except (OSError, asyncio.CancelledError):
            pass  # a cut, or the end of the test
        finally:
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool) -> None:
        while data := await reader.read(65536):
            if self.swallow:
                continue
            if counted and self.cut_after is not None:
                data, self.cut_after = data[: self.cut_after], self.cut_after - len(data)
            writer.write(data)
            await writer.drain()
            if counted and self.cut_after is not None and self.cut_after <= 0:
                self.cut_after = None
                self.cuts += 1
                self._reset()
                return
        writer.close()

    def _reset(self) -> None:
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
