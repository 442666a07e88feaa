"""A TCP proxy that breaks connections on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable


class CuttingProxy:
    """Passes bytes on to `target`, and those to `also` on to the same ports there; FTP servers name them.

    `cut_after`: after so many more bytes towards it, on whatever connections, all ends get a reset;
    `cut_back_after`: the same for bytes that come back. `sent` and `came` count them.
    `swallow`: keeps connections open but passes nothing on in either direction: a link that died silently.
    `bytes_s`: that slow in each direction.
    """

    def __init__(self, target: int, also: Iterable[int] = (), host: str = "127.0.0.1", to: str = "127.0.0.1"):
        self.target, self.also, self.host, self.to = target, also, host, to
        self.port = 0
        self.cut_after: int | None = None
        self.cut_back_after: int | None = None
        self.swallow = False
        self.bytes_s: float | None = None
        self.cuts = self.sent = self.came = 0
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._servers = [await self._listen(self.port, self.target)]
        self.port = self._servers[0].sockets[0].getsockname()[1]
        self._servers += [await self._listen(port, port) for port in self.also]

    async def _listen(self, port: int, target: int) -> asyncio.Server:
        return await asyncio.start_server(
            lambda reader, writer: self._serve(reader, writer, target), self.host, port
        )

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(self.to, target)
        except (OSError, asyncio.CancelledError):
            self._writers.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer, True), self._pump(far_reader, writer, False))
        except (OSError, asyncio.CancelledError):
            pass  # a cut, or the end of the test
        finally:
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: bool) -> None:
        while data := await reader.read(65536):
            if self.swallow or writer in self._forgotten:
                continue
            data, cut = self._until_cut(data, there)
            if self.bytes_s is None:
                writer.write(data)
                await writer.drain()
            else:
                await self._slowly(writer, data)
            if cut:
                self.cuts += 1
                self.reset()
                return
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()  # the other direction may go on: FTP ends its files like this

    def _until_cut(self, data: bytes, there: bool) -> tuple[bytes, bool]:
        """What still passes, and whether the cut comes then."""
        name = "cut_after" if there else "cut_back_after"
        left: int | None = getattr(self, name)
        if left is not None:
            data, left = data[:left], left - len(data)
            setattr(self, name, left if left > 0 else None)
        self.sent, self.came = self.sent + there * len(data), self.came + (not there) * len(data)
        return data, left is not None and left <= 0

    async def _slowly(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for byte in data:
            if self.bytes_s is not None:
                await asyncio.sleep(1 / self.bytes_s)
            writer.write(bytes([byte]))
            await writer.drain()

    def forget(self) -> None:
        """Connections under way pass nothing on any more, and nobody is told; new ones work."""
        self._forgotten |= self._writers

    def reset(self) -> None:
        """All connections under way end by a reset; what they held is gone."""
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
