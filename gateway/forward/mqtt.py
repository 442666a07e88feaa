"""An MQTT broker as a destination, QoS 1.

Rule 1: a message is delivered when the broker's PUBACK for its message id was read on this very connection.
Rule 2: the window of unconfirmed messages is the worker's, not the library's. paho would queue, and at a
        reconnect send again whatever it still holds, past any limit. So a client lives for one connection:
        when that breaks, the client goes with everything in it, and the outbox says what to send again.
Rule 3: clean session: what we sent is remembered in our journal, not in the broker.

paho runs on the gateway's own event loop (loop_read and loop_write when the socket is ready) instead of in a
thread of its own; only name lookup, TCP and TLS set-up, which block, happen in a helper thread.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from gateway.errors import Refused, Rejected, Unreachable
from gateway.forward.files import read_secret
from gateway.forward.port import Document

if TYPE_CHECKING:
    import paho.mqtt.client as paho

    from gateway.config import MqttDestination as Settings

TICK_S = 1.0  # how often paho looks at its keep-alive


class MqttDestination:
    """Publishes to one broker; up to `in_flight_max` messages wait for their PUBACK at once."""

    def __init__(self, settings: Settings, client_id: str):
        self.in_flight_max = settings.in_flight_max
        self._settings = settings
        self._client_id = settings.client_id or client_id
        self._server = f"{settings.host}:{settings.port}"
        self._lock = asyncio.Lock()  # wakes in order, so messages keep theirs while the connection is made
        self._link: _Link | None = None

    async def deliver(self, document: Document) -> None:
        """Return when the broker has confirmed this message."""
        async with self._lock:
            if self._link is None or self._link.broken:
                await self.close()
                self._link = await self._connect()
            confirmed = self._link.publish(document)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await confirmed
        except TimeoutError:
            raise Unreachable(f"The broker {self._server} did not confirm in time. Trying again.") from None

    async def close(self) -> None:
        """Drop the connection; nothing unconfirmed survives it."""
        link, self._link = self._link, None
        if link is not None:
            link.drop(f"The connection to {self._server} was closed.")

    async def _connect(self) -> _Link:
        settings, server = self._settings, self._server
        link = _Link(server)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                client = await asyncio.to_thread(_open, settings, self._client_id)
                link.take(client)
                await link.welcomed
        except BaseException as error:
            link.drop(f"The connection to {server} was not made.")
            if isinstance(error, TimeoutError):
                raise Unreachable(f"The broker {server} did not answer in time. Trying again.") from None
            if isinstance(error, ssl.SSLError):
                hint = "Compare ca_file with the broker's certificate."
                raise Refused(f"The broker {server} cannot be trusted ({error}). {hint}") from error
            if isinstance(error, OSError):
                raise Unreachable(
                    f"The broker {server} cannot be reached ({error}). Trying again."
                ) from error
            raise
        return link


def _open(settings: Settings, client_id: str) -> paho.Client:
    """A client whose CONNECT is on its way. Blocks; runs in a helper thread. OSError, ssl.SSLError."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, reconnect_on_failure=False
    )
    client.connect_timeout = settings.connect_timeout_s
    client.max_inflight_messages_set(0)  # 0: no window of paho's own
    if settings.user:
        assert settings.password_file is not None
        client.username_pw_set(settings.user, read_secret(settings.password_file))
    if settings.tls:
        client.tls_set(ca_certs=str(settings.ca_file) if settings.ca_file else None)
    client.connect(settings.host, settings.port, keepalive=settings.keepalive_s)
    return client


class _Link:
    """One connection: a paho client on the event loop, and who waits for which PUBACK."""

    def __init__(self, server: str):
        self.broken = False
        self._server = server
        self._loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._client: paho.Client | None = None
        self._socket: Any = None
        self._ticker: asyncio.TimerHandle | None = None

    def take(self, client: paho.Client) -> None:
        """Let the event loop drive a client that `_open` connected."""
        self._client, self._socket = client, client.socket()
        if self._socket is None:
            raise OSError("the broker closed the connection at once")
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_socket_register_write = lambda *_: self._loop.add_writer(self._socket, client.loop_write)
        client.on_socket_unregister_write = lambda *_: self._quiet()
        client.on_socket_close = lambda *_: self._deaf()
        self._loop.add_reader(self._socket, self._readable)
        if client.want_write():
            self._loop.add_writer(self._socket, client.loop_write)
        self._tick()

    def publish(self, document: Document) -> asyncio.Future[None]:
        """Hand one message to the socket; the future is done at its PUBACK."""
        assert self._client is not None
        try:
            sent = self._client.publish(document.name, document.body, qos=1)
        except ValueError as error:
            raise Rejected(f"MQTT cannot carry {document.key} to topic {document.name!r}: {error}") from error
        if sent.rc != 0:
            self.drop(f"The connection to {self._server} broke.")
            raise Unreachable(f"The connection to the broker {self._server} broke. Trying again.")
        future = self._loop.create_future()
        self._waiting[sent.mid] = future
        return future

    def drop(self, why: str) -> None:
        """Forget the client, its socket and its queues; whoever waits is told `why`."""
        self.broken = True
        client, self._client = self._client, None
        if self._ticker is not None:
            self._ticker.cancel()
        if client is not None:
            client.on_disconnect = client.on_socket_register_write = client.on_socket_unregister_write = None
            self._deaf()
            if not self._waiting:
                client.disconnect()  # with unconfirmed messages it would first push those out
            self._socket.close()
        waiting, self._waiting = self._waiting, {}
        for future in [*waiting.values(), self.welcomed]:
            if not future.done():
                future.set_exception(Unreachable(f"{why} Trying again."))
                future.exception()  # who was cancelled meanwhile does not come to fetch it

    def _quiet(self) -> None:
        self._loop.remove_writer(self._socket)

    def _deaf(self) -> None:
        """Take the socket off the event loop while it has its number: the next one may get the same."""
        if self._socket is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        while self._client is not None:
            self._client.loop_read()
            # TLS may hold whole packets that the socket no longer announces.
            if not isinstance(self._socket, ssl.SSLSocket) or self._socket.fileno() < 0:
                return
            if not self._socket.pending():
                return

    def _tick(self) -> None:
        if self._client is not None:
            self._client.loop_misc()
            self._ticker = self._loop.call_later(TICK_S, self._tick)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self.welcomed.done():
            return
        if reason.is_failure:
            said = f"The broker {self._server} refused us ({reason})."
            for_now = reason in ("Server unavailable", "Server busy")
            error = Unreachable(f"{said} Trying again.") if for_now else None
            self.welcomed.set_exception(error or Refused(f"{said} Correct user and password_file."))
        else:
            self.welcomed.set_result(None)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        future = self._waiting.pop(mid, None)
        if future is None or future.done():
            return
        if reason.is_failure:
            future.set_exception(Refused(f"The broker {self._server} did not take a message ({reason})."))
        else:
            future.set_result(None)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        # paho still stands in one of our calls: drop the client when that has returned.
        self.broken = True
        self._loop.call_soon(self.drop, f"The broker {self._server} broke the connection ({reason}).")
