"""An MQTT broker as a destination: version 5 or 3.1.1, QoS 1.

Rule 1: a message is delivered when the broker's PUBACK for its message id was read on this very connection.
        In MQTT 5 a PUBACK can say no (mqtt_reasons.py); in 3.1.1 it cannot, so 5 is asked for first.
Rule 2: the window of unconfirmed messages is ours, not the library's: at most `in_flight_max`, and no more
        than the broker allows (Receive Maximum). paho would queue, and at a reconnect send again whatever it
        still holds, past any limit. So a client lives for one connection: when that breaks, the client goes
        with everything in it, and the outbox says what to send again.
Rule 3: no session outlives its connection: what we sent is remembered in our journal, not in the broker.
Rule 4: a link that died without a word is seen: by a message that is not confirmed within `timeout_s`, or
        between messages by a PINGREQ that is not answered within `keepalive_s`.

paho runs on the gateway's own event loop (loop_read and loop_write when the socket is ready) instead of in a
thread of its own; only name lookup, TCP and TLS set-up, which block, happen in a helper thread.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from gateway import tls
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward import mqtt_reasons
from gateway.forward.answers import place, shown
from gateway.forward.files import read_secret
from gateway.forward.port import Confirmation, Document

if TYPE_CHECKING:
    import paho.mqtt.client as paho

    from gateway.config_model import MqttDestination as Settings

TICK_S = 1.0  # how often paho looks at its keep-alive
V311, V5 = 4, 5  # as the protocol counts its versions
RECEIVE_MAXIMUM = 65_535  # where the broker names none
PACKET_BYTES_MAX = 65_536  # that we would take from a broker: we subscribe to nothing
REASON_LENGTH_MAX = 120


class MqttDestination:
    """Publishes to one broker; up to `in_flight_max` messages wait for their PUBACK at once."""

    def __init__(self, settings: Settings, client_id: str):
        self.in_flight_max = settings.in_flight_max
        self._settings = settings
        self._client_id = settings.client_id or client_id
        self._version = V311 if settings.version == "3.1.1" else V5
        self._server = f"{settings.host}:{settings.port}"
        self._lock = asyncio.Lock()  # wakes in order, so messages keep theirs while the connection is made
        self._link: _Link | None = None

    async def deliver(self, document: Document) -> Confirmation:
        """Return when the broker has confirmed this message."""
        async with self._lock:
            if self._link is None or self._link.broken:
                await self.close()
                self._link = await self._connect()
            link = self._link
            confirmed = await link.publish(document)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                said = await confirmed
        except TimeoutError:
            late = Unreachable(f"The broker {self._server} did not confirm in time. Trying again.")
            link.drop(late)
            raise late from None
        except asyncio.CancelledError:
            link.drop(_closed(self._server))
            raise
        return Confirmation(place(document.name), len(document.body), shown(said))

    async def close(self) -> None:
        """Drop the connection; nothing unconfirmed survives it."""
        link, self._link = self._link, None
        if link is not None:
            link.drop(_closed(self._server))

    async def _connect(self) -> _Link:
        try:
            return await self._connect_with(self._version)
        except _OtherVersion:
            if self._settings.version != "auto" or self._version == V311:
                raise
        self._version = V311
        return await self._connect_with(self._version)

    async def _connect_with(self, version: int) -> _Link:
        settings, server = self._settings, self._server
        link = _Link(server, version, settings.in_flight_max)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                client = await asyncio.to_thread(_open, settings, self._client_id, version)
                link.take(client)
                await link.welcomed
        except BaseException as error:
            link.drop(Unreachable(f"The connection to {server} was not made. Trying again."))
            if isinstance(error, TimeoutError):
                raise Unreachable(f"The broker {server} did not answer in time. Trying again.") from None
            if isinstance(error, ssl.SSLError):
                raise tls.told(error, f"The broker {server}") from error
            if isinstance(error, OSError | UnicodeError):  # UnicodeError: no name that can be looked up
                raise Unreachable(
                    f"The broker {server} cannot be reached ({error}). Trying again."
                ) from error
            raise
        return link


class _OtherVersion(Refused):
    """The broker does not know this version of MQTT."""


def _closed(server: str) -> Unreachable:
    return Unreachable(f"The connection to {server} was closed. Trying again.")


def _open(settings: Settings, client_id: str, version: int) -> paho.Client:
    """A client whose CONNECT is on its way. Blocks; runs in a helper thread. OSError, ssl.SSLError."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=True if version == V311 else None,
        protocol=MQTTProtocolVersion(version),
        reconnect_on_failure=False,
    )
    client.connect_timeout = settings.connect_timeout_s
    client.max_inflight_messages_set(0)  # 0: no window of paho's own
    if settings.user:
        assert settings.password_file is not None
        client.username_pw_set(settings.user, read_secret(settings.password_file))
    if settings.tls:
        client.tls_set_context(tls.context(settings.ca_file, settings.cert_file, settings.key_file))
    if version == V311:
        client.connect(settings.host, settings.port, keepalive=settings.keepalive_s)
        return client
    wanted = Properties(PacketTypes.CONNECT)
    wanted.SessionExpiryInterval = 0
    wanted.MaximumPacketSize = PACKET_BYTES_MAX
    client.connect(
        settings.host, settings.port, keepalive=settings.keepalive_s, clean_start=True, properties=wanted
    )
    return client


class _Link:
    """One connection: a paho client on the event loop, and who waits for which PUBACK."""

    def __init__(self, server: str, version: int, in_flight_max: int):
        self.broken: DestinationError | None = None
        self._server = server
        self._version = version
        self._window = in_flight_max
        self._packet_bytes_max = 0  # that the broker takes, 0 for any
        self._said = ""  # what paho logged last of an error
        self._loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._client: paho.Client | None = None
        self._socket: Any = None
        self._ticker: asyncio.TimerHandle | None = None

    def take(self, client: paho.Client) -> None:
        """Let the event loop drive a client that `_open` connected."""
        socket = client.socket()
        if socket is None:
            raise OSError("the broker closed the connection at once")
        self._client, self._socket = client, socket
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_log = self._on_log
        client.on_socket_register_write = lambda *_: self._loop.add_writer(self._socket, client.loop_write)
        client.on_socket_unregister_write = lambda *_: self._quiet()
        client.on_socket_close = lambda *_: self._deaf()
        self._loop.add_reader(self._socket, self._readable)
        if client.want_write():
            self._loop.add_writer(self._socket, client.loop_write)
        self._tick()

    async def publish(self, document: Document) -> asyncio.Future[str]:
        """Hand one message to the socket, once the window has room; the future is what its PUBACK says."""
        size = _packet_bytes(document)
        if self._packet_bytes_max and size > self._packet_bytes_max:
            what = f"{document.key} makes a packet of {size} bytes"
            raise Rejected(f"{what}; the broker {self._server} takes {self._packet_bytes_max}.")
        while self.broken is None and len(self._waiting) >= self._window:
            await asyncio.wait(self._waiting.values(), return_when=asyncio.FIRST_COMPLETED)
        if self.broken is not None or self._client is None:
            raise self.broken or _closed(self._server)
        try:
            if not document.name:
                raise ValueError("it is empty")
            sent = self._client.publish(document.name, document.body, qos=1)
        except ValueError as error:
            raise Rejected(f"MQTT cannot carry {document.key} to topic {document.name!r}: {error}") from error
        if sent.rc != 0:
            broke = Unreachable(f"The connection to the broker {self._server} broke. Trying again.")
            self.drop(broke)
            raise broke
        future = self._loop.create_future()
        self._waiting[sent.mid] = future
        return future

    def drop(self, why: DestinationError) -> None:
        """Forget the client, its socket and its queues; whoever waits is told `why`."""
        self.broken = self.broken or why
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
                future.set_exception(type(why)(str(why)))
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
            try:
                self._client.loop_read()
            except Exception as error:  # whatever it is in paho that its bytes set off
                said = f"The broker {self._server} answers what is not MQTT ({error!r:.100}). Trying again."
                self.drop(Unreachable(said))
                return
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
            error = mqtt_reasons.told(reason.value, _name(reason, properties), self._server)
            other = reason.value == mqtt_reasons.UNSUPPORTED_VERSION
            self.welcomed.set_exception(_OtherVersion(str(error)) if other else error)
        elif getattr(properties, "MaximumQoS", 1) == 0:
            said = f"The broker {self._server} takes messages without confirmation only (QoS 0)."
            self.welcomed.set_exception(Refused(f"{said} Ask its people for QoS 1."))
        else:
            self._window = min(self._window, getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM))
            self._packet_bytes_max = getattr(properties, "MaximumPacketSize", 0)
            self.welcomed.set_result(None)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        future = self._waiting.pop(mid, None)
        if future is None or future.done():
            return
        if reason.is_failure:
            name = _name(reason, properties)
            future.set_exception(mqtt_reasons.told(reason.value, name, self._server, of_message=True))
        else:
            future.set_result(f"PUBACK {_name(reason, properties)}" if self._version == V5 else "PUBACK")

    def _on_log(self, client: Any, userdata: Any, level: int, text: str) -> None:
        if "[SSL" in text:  # the only way in which paho tells why TLS ended
            self._said = text

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._said:
            why = tls.told(self._said, f"The broker {self._server}")
        elif flags.is_disconnect_packet_from_server and reason.is_failure:
            why = mqtt_reasons.told(reason.value, _name(reason, properties), self._server)
        else:
            hint = ""
            if self._version == V5 and not self.welcomed.done():
                hint = ' An old broker may need version = "3.1.1".'
            why = Unreachable(
                f"The broker {self._server} broke the connection ({reason}). Trying again.{hint}"
            )
        self.broken = self.broken or why
        # paho still stands in one of our calls: drop the client when that has returned.
        self._loop.call_soon(self.drop, why)


def _name(reason: Any, properties: Any) -> str:
    """The name of a reason code, with what the broker adds to it."""
    more = "".join(c for c in getattr(properties, "ReasonString", "") if c.isprintable())
    return f"{reason}: {more[:REASON_LENGTH_MAX]}" if more else str(reason)


def _packet_bytes(document: Document) -> int:
    """Bytes of the PUBLISH, a few more in doubt: fixed header, topic, message id, no properties, body."""
    return 1 + 4 + 2 + len(document.name.encode("utf-8", "replace")) + 2 + 1 + len(document.body)
