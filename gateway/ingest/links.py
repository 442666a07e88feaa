"""The wires of station devices: serial ports and listening sockets, with TLS or without. Bytes to and from
intake.py, nothing else.

Rule 1: one live connection per device; a new one replaces the old, which may be half-dead without knowing
        it, with its first authentic frame. Whoever only connects, or sends anything else, disturbs nobody.
Rule 2: a link that is away is opened again with a growing pause; that is a warning, never the end of the
        gateway.
Rule 3: when the journal is full the link stops reading: the device's own sending then stops (back-pressure).
Rule 4: TLS (1.2 or newer, our certificate) wraps a connection before any of this, and is no reason to trust
        it: the device still shows its link key. Who does not get through the handshake is counted, and
        neither ends the listener nor holds up others.
Rule 5: what a device does not read does not pile up: acknowledgements are cumulative, one that finds the way
        blocked is left out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import termios
from pathlib import Path
from typing import Any

from gateway.ingest.devices import DeviceIngest, Stream
from gateway.ingest.intake import Intake
from gateway.logs import get_logger

log = get_logger("link")

REOPEN_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before a serial port or a listening address is tried again; the last one repeats."""
UNREAD_BYTES_MAX = 16 * 1024
"""Bytes of answers waiting to be sent, from which on further acknowledgements are left out."""
STRANGERS_MAX = 8
"""Connections to one device's port that may stand without having shown an authentic frame."""
HANDSHAKES_MAX = 16
"""TLS handshakes under way at once on one device's port; of more the oldest goes (some 100 KiB each)."""
HANDSHAKE_S = 20.0
"""How long a handshake may take: a microcontroller on a weak radio needs some seconds."""
TLS_END_S = 5.0
"""How long the other side has to say goodbye."""
KEEPALIVE_S = 15
"""Silence on TCP after which the connection is tested; lost after four tests."""


class DeviceLink:
    """What belongs to a device across connections: which one is live, and the acknowledgements that are
    due.
    """

    def __init__(self, intake: Intake, device: DeviceIngest):
        self.intake = intake
        self.device = device
        self.live: _Connection | None = None
        self.strangers: list[_Connection] = []  # that have not yet shown an authentic frame, oldest first
        self._flushing = False

    def arrived(self, connection: _Connection) -> None:
        """Somebody has connected; of too many who show nothing the oldest goes."""
        self.strangers.append(connection)
        if len(self.strangers) > STRANGERS_MAX:
            self.strangers[0].end()

    def take_over(self, connection: _Connection) -> None:
        """`connection` is the live one from now on."""
        old, self.live = self.live, connection
        self.strangers.remove(connection)
        if old is not None:
            old.end()
        self.device.send = self._send
        self.device.counters.connections += 1
        self.device.counters.connected = 1
        log.info("device link up", device=self.device.device)

    def gone(self, connection: _Connection, reason: str) -> None:
        if connection in self.strangers:
            self.strangers.remove(connection)
        elif self.live is connection:
            self.live = self.device.send = None
            self.device.counters.connected = 0
            log.warning("device link down", device=self.device.device, reason=reason)

    def _send(self, data: bytes) -> bool:
        """A command for the device. False when the way is blocked or gone: nothing of it was sent."""
        live = self.live
        if live is None or live.transport.is_closing():
            return False
        if live.transport.get_write_buffer_size() >= UNREAD_BYTES_MAX:
            return False
        live.transport.write(data)
        return True

    def hang_up(self) -> None:
        """End all connections."""
        for connection in [*self.strangers, *([self.live] if self.live else [])]:
            connection.transport.close()

    def flush_soon(self) -> None:
        """Send what acknowledgement is due once everything of this turn of the loop is settled."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        live = self.live
        if live is not None and live.transport.get_write_buffer_size() < UNREAD_BYTES_MAX:
            answer = self.intake.acknowledgement(self.device)
            if answer:
                live.transport.write(answer)


class _Connection(asyncio.Protocol):
    """One connection of a device."""

    def __init__(self, link: DeviceLink):
        self._link = link
        self._stream = Stream()
        self._ended = False
        self.transport: Any = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock)
        self._link.arrived(self)

    def data_received(self, data: bytes) -> None:
        link = self._link
        if self._ended:
            return  # replaced: what still trickles in belongs to nobody
        answer = link.intake.feed(link.device, data, link.flush_soon, self._stream)
        if link.live is not self and self._stream.authentic:
            link.take_over(self)
        if answer and self.transport.get_write_buffer_size() < UNREAD_BYTES_MAX:
            self.transport.write(answer)
        if link.intake.journal.full:
            link.device.counters.pauses += 1
            self.transport.pause_reading()
            link.intake.journal.when_room(self._resume)

    def end(self) -> None:
        """Drop the connection, at once."""
        self._ended = True
        self.transport.abort() if hasattr(self.transport, "abort") else self.transport.close()

    def _resume(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.gone(self, str(exc or "closed by the device"))
        if not self.lost.done():
            self.lost.set_result(None)


def _reason(error: OSError) -> str:
    """In a word where there is one: TLS numbers its errors as it likes."""
    text = str(error)
    return text if isinstance(error, ssl.SSLError) else errno.errorcode.get(error.errno or 0, text)


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", KEEPALIVE_S), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class TcpDeviceLink(DeviceLink):
    """A device that connects to us. `port` is the real one after listen()."""

    def __init__(self, intake: Intake, device: DeviceIngest, host: str, port: int):
        super().__init__(intake, device)
        self.host, self.port = host, port
        self._server: asyncio.Server | socket.socket | None = None

    async def listen(self) -> None:
        """Begin to listen. OSError when the address is not ours or taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def run(self) -> None:
        """Listen until cancelled; an address that cannot be had is tried again."""
        attempt = 0
        try:
            while self._server is None:
                try:
                    await self.listen()
                except OSError as error:
                    log.warning(
                        "cannot listen for the device",
                        device=self.device.device,
                        address=f"{self.host}:{self.port}",
                        reason=_reason(error),
                    )
                    await asyncio.sleep(REOPEN_S[min(attempt, len(REOPEN_S) - 1)])
                    attempt += 1
            await asyncio.get_running_loop().create_future()
        finally:
            self.close()

    def close(self) -> None:
        """Listen no longer, and end what is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.hang_up()


class TlsDeviceLink(TcpDeviceLink):
    """The same over TLS: a connection becomes one of the device's when its handshake is done.

    `cert` and `key` are PEM files, read when it begins to listen: a renewed certificate needs a restart.
    """

    def __init__(self, intake: Intake, device: DeviceIngest, host: str, port: int, cert: Path, key: Path):
        super().__init__(intake, device, host, port)
        self._files = cert, key
        self._accepting: asyncio.Task | None = None
        self.handshakes: list[asyncio.Task] = []  # under way, oldest first

    async def listen(self) -> None:
        """Begin to listen. OSError when the address is not ours or taken, or the files are of no use."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(*self._files, lambda: b"")  # a key with a password is refused, not asked for
        loop = asyncio.get_running_loop()
        family, *_, address = (await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))[0]
        server = socket.create_server(address, family=family)
        server.setblocking(False)
        self.port = server.getsockname()[1]
        self._server = server
        self._accepting = loop.create_task(self._accept(server, context))

    async def _accept(self, server: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(server)
            except OSError as error:  # no descriptors left, or gone before we looked
                log.warning("cannot accept", device=self.device.device, reason=str(error))
                await asyncio.sleep(REOPEN_S[0])
                continue
            while len(self.handshakes) >= HANDSHAKES_MAX:
                self.handshakes.pop(0).cancel()
            task = loop.create_task(self._shake_hands(sock, context))
            self.handshakes.append(task)
            task.add_done_callback(self._shaken)
            await asyncio.sleep(0)  # while somebody waits to be accepted, accepting gives nobody else a turn

    def _shaken(self, task: asyncio.Task) -> None:
        if task in self.handshakes:  # or it was one too many
            self.handshakes.remove(task)

    async def _shake_hands(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        counters = self.device.counters
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Connection(self), sock, ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S, ssl_shutdown_timeout=TLS_END_S,
            )  # fmt: skip
        except (OSError, asyncio.CancelledError) as error:  # what TLS refuses is an OSError too
            counters.tls_failures += 1
            if counters.tls_failures == 1:  # more lines would say no more: they are counted
                log.warning("no TLS handshake", device=self.device.device, reason=str(error) or "too many")

    def close(self) -> None:
        """Listen no longer, and end what is connected or about to be."""
        for task in [*self.handshakes, *([self._accepting] if self._accepting else [])]:
            task.cancel()
        super().close()


class SerialDeviceLink(DeviceLink):
    """A device on a serial port (a USB one, an RS-485 adapter, a pty)."""

    def __init__(
        self,
        intake: Intake,
        device: DeviceIngest,
        path: str,
        baud: int = 115200,
        parity: str = "N",
        stopbits: int = 1,
    ):
        super().__init__(intake, device)
        self._path, self._port = path, {"baudrate": baud, "parity": parity, "stopbits": stopbits}

    async def run(self) -> None:
        """Hold the port open until cancelled; a port that is away is tried again."""
        # Here, so that a gateway without serial links does not load it.
        from serial_asyncio_fast import create_serial_connection

        loop = asyncio.get_running_loop()
        attempt = 0
        try:
            while True:
                try:
                    _, connection = await create_serial_connection(
                        loop, lambda: _Connection(self), self._path, **self._port
                    )
                except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
                    if attempt < len(REOPEN_S):  # then it is known to be away: more lines would say no more
                        log.warning(
                            "serial port cannot be opened",
                            device=self.device.device,
                            path=self._path,
                            reason=str(error),
                        )
                    await asyncio.sleep(REOPEN_S[min(attempt, len(REOPEN_S) - 1)])
                    attempt += 1
                    continue
                attempt = 0
                assert isinstance(connection, _Connection)
                await connection.lost
                await asyncio.sleep(REOPEN_S[0])
        finally:
            self.close()

    def close(self) -> None:
        self.hang_up()


def link_of(intake: Intake, device: DeviceIngest, link: Any) -> TcpDeviceLink | SerialDeviceLink:
    """The link of a configured device: `link` is config.device[i].link."""
    if hasattr(link, "cert"):
        return TlsDeviceLink(intake, device, link.host, link.port, link.cert, link.key)
    if hasattr(link, "path"):
        return SerialDeviceLink(intake, device, link.path, link.baud, link.parity, link.stopbits)
    return TcpDeviceLink(intake, device, link.host, link.port)
