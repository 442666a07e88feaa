"""The receiving half of an MQTT 3.1.1 broker, as small as a demonstration needs.

Rule 1: a message is acknowledged (PUBACK, PUBREC) only after `on_message` has returned, that is, after it
        is on file. A connection cut in between makes the publisher send it again, flagged DUP.
Rule 2: packets that are not MQTT 3.1.1 end their connection and no other.

Publishing at QoS 0, 1 and 2; subscribers are served at QoS 0 (enough to look at what goes by).
Not here: retained messages, wills, queues for absent subscribers. OASIS MQTT 3.1.1, section numbers below.
Why not amqtt: see README.md.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14
PACKET_BYTES_MAX = 1 << 20  # a window message is some KB; more is a fault, not a message
OUTGOING_BYTES_MAX = 1 << 20  # for a subscriber that does not read; then it is dropped
SESSIONS_MAX = 1000


class BadPacket(Exception):
    """The client sent what MQTT 3.1.1 does not allow; the connection ends."""


class Broker:
    """`on_message(topic, payload, dup)` is called for each message, redeliveries included."""

    def __init__(
        self,
        on_message: Callable[[str, bytes, bool], None],
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        self._on_message = on_message
        self._login = (user, password)
        self._open: set[Client] = set()
        self._clients: dict[str, Client] = {}  # logged in, by client id
        self._half_received: dict[str, set[int]] = {}  # client id -> QoS 2 packet ids not yet released
        self.refused = self.bad_packets = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from CONNECT to its end."""
        client = Client(self, writer)
        self._open.add(client)
        try:
            await client.run(reader)
        except BadPacket:
            self.bad_packets += 1
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the line went down: the client will say the rest again
        finally:
            self._open.discard(client)
            if self._clients.get(client.id) is client:
                del self._clients[client.id]
            writer.close()

    @property
    def connected(self) -> list[str]:
        """Ids of the clients that are logged in."""
        return sorted(self._clients)

    def set_password(self, password: str) -> None:
        """Another one from the next log-in on."""
        self._login = (self._login[0], password)

    def drop_all(self) -> None:
        """Abort every connection, whatever has been acknowledged."""
        for client in list(self._open):
            client.writer.transport.abort()

    def admit(self, client: Client, user: str | None, password: str | None, clean: bool) -> bool:
        """Register a client; the same id on another connection takes over (3.1.4). False: wrong login."""
        if self._login[0] is not None and (user, password) != self._login:
            self.refused += 1
            return False
        if older := self._clients.pop(client.id, None):
            older.writer.transport.abort()
        self._clients[client.id] = client
        if clean or len(self._half_received) >= SESSIONS_MAX:
            self._half_received.pop(client.id, None)
        client.half_received = self._half_received.setdefault(client.id, set())
        return True

    def publish(self, topic: str, payload: bytes, dup: bool) -> None:
        self._on_message(topic, payload, dup)
        packet = None
        for client in self._clients.values():
            if any(matches(pattern, topic) for pattern in client.patterns):
                packet = packet or _packet(PUBLISH << 4, _text(topic) + payload)
                client.send(packet)


class Client:
    """One connection's state."""

    def __init__(self, broker: Broker, writer: asyncio.StreamWriter) -> None:
        self.id = ""
        self.writer = writer
        self.patterns: set[str] = set()
        self.half_received: set[int] = set()
        self._broker = broker
        self._keep_alive_s: float | None = 10.0  # for the CONNECT itself

    async def run(self, reader: asyncio.StreamReader) -> None:
        first, body = await self._read(reader)
        if first >> 4 != CONNECT:
            raise BadPacket("first packet is not CONNECT (3.1)")
        if not self._connect(_Fields(body)):
            return
        while True:
            first, body = await self._read(reader)
            kind, fields = first >> 4, _Fields(body)
            if kind == PUBLISH:
                self._publish(first, fields)
            elif kind == PUBREL:
                packet_id = fields.number()
                self.half_received.discard(packet_id)
                self.send(_packet(PUBCOMP << 4, struct.pack(">H", packet_id)))
            elif kind == SUBSCRIBE:
                self._subscribe(fields)
            elif kind == UNSUBSCRIBE:
                packet_id = fields.number()
                while fields.left():
                    self.patterns.discard(fields.text())
                self.send(_packet(UNSUBACK << 4, struct.pack(">H", packet_id)))
            elif kind == PINGREQ:
                self.send(_packet(PINGRESP << 4, b""))
            elif kind == DISCONNECT:
                return
            elif kind != PUBACK:
                raise BadPacket(f"packet type {kind}")
            await self.writer.drain()

    def send(self, packet: bytes) -> None:
        if self.writer.transport.get_write_buffer_size() > OUTGOING_BYTES_MAX:
            self.writer.transport.abort()
        else:
            self.writer.write(packet)

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        async with asyncio.timeout(self._keep_alive_s):
            first = (await reader.readexactly(1))[0]
            length = shift = 0
            while True:  # 2.2.3, at most four bytes
                byte = (await reader.readexactly(1))[0]
                length |= (byte & 0x7F) << shift
                if not byte & 0x80:
                    break
                shift += 7
                if shift > 21:
                    raise BadPacket("remaining length of more than four bytes")
            if length > PACKET_BYTES_MAX:
                raise BadPacket(f"packet of {length} bytes")
            return first, await reader.readexactly(length)

    def _connect(self, fields: _Fields) -> bool:
        if (fields.text(), fields.byte()) != ("MQTT", 4):
            self.writer.write(_packet(CONNACK << 4, b"\0\1"))  # unacceptable protocol version
            return False
        flags, keep_alive_s = fields.byte(), fields.number()
        self.id = fields.text() or f"anonymous-{id(self):x}"
        if flags & 0x04:  # a will; read over it
            fields.text(), fields.data()
        user = fields.text() if flags & 0x80 else None
        password = fields.text() if flags & 0x40 else None
        self._keep_alive_s = keep_alive_s * 1.5 if keep_alive_s else None  # 3.1.2.10
        known = self.id in self._broker._half_received and not flags & 0x02
        if not self._broker.admit(self, user, password, clean=bool(flags & 0x02)):
            self.writer.write(_packet(CONNACK << 4, b"\0\4"))  # bad user name or password
            return False
        self.writer.write(_packet(CONNACK << 4, bytes((known, 0))))
        return True

    def _publish(self, first: int, fields: _Fields) -> None:
        qos, topic = first >> 1 & 3, fields.text()
        if qos == 3 or not topic or "+" in topic or "#" in topic:
            raise BadPacket("PUBLISH with a bad QoS or topic (3.3)")
        packet_id = fields.number() if qos else 0
        # QoS 2: a packet id that has been received and not released is the same message again (4.3.3).
        if qos < 2 or packet_id not in self.half_received:
            self._broker.publish(topic, fields.rest(), bool(first & 8))
        if qos == 1:
            self.send(_packet(PUBACK << 4, struct.pack(">H", packet_id)))
        elif qos == 2:
            self.half_received.add(packet_id)
            self.send(_packet(PUBREC << 4, struct.pack(">H", packet_id)))

    def _subscribe(self, fields: _Fields) -> None:
        packet_id, granted = fields.number(), b""
        while fields.left():
            self.patterns.add(fields.text())
            fields.byte()
            granted += b"\0"
        self.send(_packet(SUBACK << 4, struct.pack(">H", packet_id) + granted))


class _Fields:
    """Reads the fields of one packet; BadPacket when it is too short."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, count: int) -> bytes:
        data = self._body[self._at : self._at + count]
        if len(data) < count:
            raise BadPacket("packet ends early")
        self._at += count
        return data

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return struct.unpack(">H", self.take(2))[0]

    def data(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            return self.data().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadPacket("text that is not UTF-8 (1.5.3)") from error

    def rest(self) -> bytes:
        return self.take(self.left())

    def left(self) -> int:
        return len(self._body) - self._at


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic filter with + and # covers a topic (4.7)."""
    wanted, levels = pattern.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack(">H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    length, head = len(body), bytearray((first,))
    while True:
        length, byte = length >> 7, length & 0x7F
        head.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(head) + body
