"""Commands over MQTT: topic .../command of a broker that a destination names, answers on .../result.

Rule 1: the session is kept by the broker (clean_session false; 31 days with MQTT 5), QoS 1: a command waits
        there for a station that is away.
Rule 2: a message is acknowledged when its answer was confirmed by the broker, or when it gets none. So what a
        crash leaves in between comes again, and gets its answer then (desk.py, rule 1).
Rule 3: at most IN_HAND_MAX messages are looked at at once, and WAITING_BYTES_MAX of others are held; with
        more the connection is left, and what was not acknowledged comes again.
Rule 4: a connection of its own, with the destination's settings and a client id of its own, on a thread of
        paho's: what is wrong with it holds up no document. A client lives for one connection, so that a
        corrected password or certificate is used at the next one.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

from gateway import tls
from gateway.commands.message import BYTES_MAX
from gateway.config_model import MqttDestination as Settings
from gateway.errors import DestinationError, JournalError, Unreachable
from gateway.forward.files import read_secret
from gateway.logs import get_logger

if TYPE_CHECKING:
    import paho.mqtt.client as paho

log = get_logger("department")

V311, V5 = 4, 5
UNSUPPORTED_VERSION = 0x84
SESSION_S = 31 * 86_400
IN_HAND_MAX = 64
WAITING_BYTES_MAX = 4 * 1024 * 1024
PAUSE_S = (1.0, 60.0)
"""Between connections: the first, and the longest."""
PACKET_BYTES_MAX = 2 * BYTES_MAX

Take = Callable[[bytes, str], Awaitable[bytes | None]]
"""Desk.take()"""


class Broker:
    """`topics`: of commands, and of answers."""

    def __init__(self, settings: Settings, client_id: str, topics: tuple[str, str], take: Take):
        self._settings = settings
        self._client_id = client_id
        self._commands, self._results = topics
        self._take = take
        self._version = V311 if settings.version == "3.1.1" else V5
        self._via = f"mqtt {settings.host}:{settings.port}"
        self._random = Random()
        self.connected = False
        self.last_error = ""
        self._down_since_s: float | None = time.monotonic()

    def down_s(self) -> float:
        """For how long no command can have come, real seconds."""
        return 0.0 if self._down_since_s is None else time.monotonic() - self._down_since_s

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = PAUSE_S[0]
        while True:
            began_s = asyncio.get_running_loop().time()
            try:
                await _Session(self).run()
            except (DestinationError, OSError, ValueError) as error:
                self._say(str(error))
            if self.connected:
                self._down_since_s = time.monotonic()
            self.connected = False
            lasted_s = asyncio.get_running_loop().time() - began_s
            pause_s = PAUSE_S[0] if lasted_s > PAUSE_S[1] else min(2 * pause_s, PAUSE_S[1])
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.0))

    def _say(self, text: str) -> None:
        if text != self.last_error:
            log.warning("no commands can come", via=self._via, reason=text)
        self.last_error = text


class _Session:
    """One connection."""

    def __init__(self, broker: Broker):
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[bytes, int, int]] = deque()
        self._waiting_bytes = 0
        self._confirmations: dict[int, asyncio.Future[None]] = {}
        self._client: paho.Client | None = None

    async def run(self) -> None:
        """Until it ends, which is Unreachable, or is cancelled."""
        broker = self._broker
        try:
            self._client = await asyncio.to_thread(self._open)
            raise Unreachable(await self._ended)
        except ssl.SSLError as error:
            raise tls.told(error, f"The broker {broker._via}") from error
        finally:
            client, self._client = self._client, None  # what is in hand is done, and comes again
            if client is not None:
                client.on_disconnect = client.on_message = client.on_publish = None
                client.disconnect()

    def _open(self) -> paho.Client:
        """Connect, and let paho's thread go on. Blocks. OSError, ssl.SSLError, Refused."""
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        broker, settings = self._broker, self._broker._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker._client_id,
            clean_session=False if broker._version == V311 else None,
            protocol=MQTTProtocolVersion(broker._version),
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = settings.connect_timeout_s
        if settings.user:
            assert settings.password_file is not None
            client.username_pw_set(settings.user, read_secret(settings.password_file))
        if settings.tls:
            client.tls_set_context(tls.context(settings.ca_file, settings.cert_file, settings.key_file))
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        if broker._version == V311:
            client.connect(settings.host, settings.port, keepalive=settings.keepalive_s)
        else:
            client.connect(
                settings.host, settings.port, keepalive=settings.keepalive_s, clean_start=False,
                properties=_wanted(),
            )  # fmt: skip
        client.loop_start()
        return client

    # On paho's thread ---------------------------------------------------------------------------------------

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            if reason.value == UNSUPPORTED_VERSION and self._broker._settings.version == "auto":
                self._broker._version = V311
            self._call(self._end, f"The broker refuses us: {reason}.")
            return
        client.subscribe(self._broker._commands, qos=1)
        self._call(self._up)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        self._call(self._came, bytes(message.payload), message.mid, message.qos)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        self._call(self._confirmed, mid)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._call(self._end, f"The broker broke the connection ({reason}).")

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the loop ended first

    # On the loop --------------------------------------------------------------------------------------------

    def _up(self) -> None:
        self._broker.connected = True
        self._broker._down_since_s = None
        if self._broker.last_error:
            log.info("commands can come again", via=self._broker._via)
        self._broker.last_error = ""

    def _end(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_result(why)

    def _came(self, data: bytes, mid: int, qos: int) -> None:
        self._waiting.append((data, mid, qos))
        self._waiting_bytes += len(data)
        self._begin()
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self._waiting.clear()
            self._end("More commands come than can be looked at: the rest has to wait.")

    def _begin(self) -> None:
        while self._waiting and len(self._in_hand) < IN_HAND_MAX and not self._ended.done():
            one = self._waiting.popleft()
            self._waiting_bytes -= len(one[0])
            task = asyncio.create_task(self._serve(*one))
            self._in_hand.add(task)
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        self._begin()

    async def _serve(self, data: bytes, mid: int, qos: int) -> None:
        try:
            answer = await self._broker._take(data, self._broker._via)
        except JournalError as error:
            self._end(f"A command cannot be written down: {error}")  # it comes again
            return
        client = self._client
        if client is None:  # the connection is gone
            return
        if answer is not None:
            sent = client.publish(self._broker._results, answer, qos=1)
            confirmed = self._confirmations.setdefault(sent.mid, self._loop.create_future())
            await confirmed
            self._confirmations.pop(sent.mid, None)
        client.ack(mid, qos)

    def _confirmed(self, mid: int) -> None:
        future = self._confirmations.setdefault(mid, self._loop.create_future())
        if not future.done():
            future.set_result(None)


def _wanted() -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    wanted = Properties(PacketTypes.CONNECT)
    wanted.SessionExpiryInterval = SESSION_S
    wanted.MaximumPacketSize = PACKET_BYTES_MAX
    wanted.ReceiveMaximum = IN_HAND_MAX
    return wanted
