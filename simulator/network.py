"""A TCP proxy that behaves like the network between a station and the world.

Put between two real parties it forwards bytes both ways and, when told to: refuses, swallows, delays,
slows down, flips bits, closes one direction, or resets. Random faults are drawn from a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from random import Random

CHUNK_BYTES = 16 * 1024  # read at a time; with the socket buffers this bounds the memory of a connection
LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST instead of FIN


class TcpProxy:
    """Listens on (host, port) and forwards to a target; port 0 chooses a free one, see `.port`.

    Attributes that may be changed at any time, for bytes not yet forwarded:
      latency_s        added to each chunk
      rate_bytes_s     at most so many bytes a second and direction; None = as fast as it goes
      flip_probability chance of one flipped bit per byte
      blackhole        True: connections stand, bytes are read and go nowhere (a silent partition)
    Counters: accepted, refused, bytes_up, bytes_down (forwarded), bytes_swallowed, bits_flipped.
    """

    def __init__(
        self, target_host: str, target_port: int, host: str = "127.0.0.1", port: int = 0, seed: int = 0
    ) -> None:
        self.host, self.port = host, port
        self._target = (target_host, target_port)
        self._random = Random(seed)
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task, tuple[asyncio.StreamWriter, ...]] = {}
        self.latency_s = 0.0
        self.rate_bytes_s: float | None = None
        self.flip_probability = 0.0
        self.blackhole = False
        self._deaf: set[asyncio.StreamWriter] = set()
        self.accepted = self.refused = 0
        self.bytes_up = self.bytes_down = self.bytes_swallowed = self.bits_flipped = 0

    @property
    def connections(self) -> int:
        return len(self._pairs)

    async def start(self) -> TcpProxy:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop()

    async def cut(self) -> None:
        """The link goes down: connections are reset, new ones are refused by the machine itself."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop(reset=True)

    async def restore(self) -> None:
        """The link comes back, on the same port."""
        if self._server is None:
            await self.start()

    async def drop(self, reset: bool = False) -> None:
        """End every connection there is, with RST when `reset`; new ones are accepted."""
        for writers in self._pairs.values():
            for writer in writers:
                _abort(writer, reset)
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def deafen(self) -> None:
        """Every connection there is stands, and nothing passes any more (half-open); new ones work."""
        self._deaf |= {writer for writers in self._pairs.values() for writer in writers}

    async def half_close(self) -> None:
        """Send FIN to the client's side of every connection; the other direction stays open."""
        for client, _ in [pair for pair in self._pairs.values() if len(pair) == 2]:
            if client.can_write_eof() and not client.is_closing():
                client.write_eof()

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._pairs[task] = (client,)
        self.accepted += 1
        try:
            try:
                up_reader, server = await asyncio.open_connection(*self._target, limit=CHUNK_BYTES)
            except OSError:
                self.refused += 1
                _abort(client, reset=True)
                return
            self._pairs[task] = (client, server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, server, "bytes_up"))
                group.create_task(self._pump(up_reader, client, "bytes_down"))
        except* OSError:
            pass  # the other side went away: what a network does
        finally:
            for writer in self._pairs.pop(task, ()):
                self._deaf.discard(writer)
                _abort(writer, reset=False)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: str) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            if self.blackhole or writer in self._deaf:
                self.bytes_swallowed += len(data)
                continue
            if self.flip_probability:
                data = self._flip(data)
            for piece in self._pieces(data):
                if writer.is_closing():
                    return
                writer.write(piece)
                await writer.drain()
                setattr(self, counter, getattr(self, counter) + len(piece))
                if self.rate_bytes_s:
                    await asyncio.sleep(len(piece) / self.rate_bytes_s)
        swallowed = self.blackhole or writer in self._deaf
        if not swallowed and not writer.is_closing() and writer.can_write_eof():
            writer.write_eof()

    def _pieces(self, data: bytes):
        # A slow link delivers little by little, not all at once after a pause.
        size = max(1, int(self.rate_bytes_s / 20)) if self.rate_bytes_s else len(data)
        return (data[i : i + size] for i in range(0, len(data), size))

    def _flip(self, data: bytes) -> bytes:
        out = bytearray(data)
        for i in range(len(out)):
            if self._random.random() < self.flip_probability:
                out[i] ^= 1 << self._random.randrange(8)
                self.bits_flipped += 1
        return bytes(out)


def _abort(writer: asyncio.StreamWriter, reset: bool) -> None:
    sock = writer.get_extra_info("socket")
    if reset and sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    # abort() closes without flushing; with linger 0 the kernel sends RST, otherwise FIN.
    writer.transport.abort()
