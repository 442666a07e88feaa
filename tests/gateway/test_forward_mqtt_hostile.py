"""Brokers that say no in every way that MQTT 5 knows, hold back confirmations, or speak something else."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config_model import MqttDestination as MqttSettings
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.mqtt import MqttDestination
from gateway.forward.port import Document
from tests.gateway.forward_rig import MemoryOutbox, document, drain

RECEIVE_MAXIMUM, MAXIMUM_QOS, MAXIMUM_PACKET_SIZE, REASON_STRING = 0x21, 0x24, 0x27, 0x1F
CONNACK, PUBLISH, PUBACK, DISCONNECT = 0x20, 3, 0x40, 0xE0


def doc(i: int) -> Document:
    return document(i, message=True)


class Scripted:
    """A broker of MQTT 5 that welcomes with `connack` and answers each message with code `puback`."""

    def __init__(self, connack: bytes = b"\0\0\0", puback: int = 0, disconnect: int | None = None):
        self.connack = connack  # flags, code, properties
        self.puback = puback
        self.disconnect = disconnect  # sent instead of a PUBACK
        self.hold = False
        self.raw: bytes | None = None  # sent instead of everything
        self.published: list[bytes] = []  # bodies as they came, over all connections
        self.flags: list[int] = []
        self.unconfirmed = self.unconfirmed_max = self.connections = 0
        self.connects: list[bytes] = []
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def destination(self, **more: object) -> MqttDestination:
        place = {"id": "d", "kind": "mqtt", "host": "127.0.0.1", "port": self.port, "timeout_s": 5.0}
        return MqttDestination(MqttSettings.model_validate({**place, "version": "5", **more}), "t")

    async def release(self) -> None:
        """Confirm what is held back, oldest first."""
        held, self._held = self._held, []
        for writer, packet in held:
            self.unconfirmed -= 1
            writer.write(packet)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                first, body = await self._packet(reader)
                if self.raw is not None:
                    writer.write(self.raw)
                elif first >> 4 == 1:
                    self.connects.append(body)
                    writer.write(bytes((CONNACK, len(self.connack))) + self.connack)
                elif first >> 4 == PUBLISH:
                    self._take(first, body, writer)
                elif first >> 4 == 14:
                    return
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _take(self, first: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        topic = struct.unpack_from(">H", body)[0]
        message_id = body[2 + topic : 4 + topic]
        self.published.append(body[5 + topic :])
        self.flags.append(first & 15)
        self.unconfirmed += 1
        self.unconfirmed_max = max(self.unconfirmed, self.unconfirmed_max)
        if self.disconnect is not None:
            packet = bytes((DISCONNECT, 2, self.disconnect, 0))
        else:
            packet = bytes((PUBACK, 4)) + message_id + bytes((self.puback, 0))
        if self.hold:
            self._held.append((writer, packet))
        else:
            self.unconfirmed -= 1
            writer.write(packet)

    async def _packet(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        first, length, shift = (await reader.readexactly(1))[0], 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return first, await reader.readexactly(length)


@asynccontextmanager
async def delivering(broker: Scripted, **more: object) -> AsyncIterator[MqttDestination]:
    async with broker:
        destination = broker.destination(**more)
        try:
            yield destination
        finally:
            await destination.close()


async def told(broker: Scripted, error: type[DestinationError] | None) -> str:
    async with delivering(broker) as destination:
        if error is None:
            await destination.deliver(doc(0))
            return ""
        with pytest.raises(error) as caught:
            await destination.deliver(doc(0))
        return str(caught.value)


PUBACKS = [
    *((code, None) for code in (0x00, 0x10)),  # 0x10: nobody has subscribed
    *((code, Unreachable) for code in (0x80, 0x83, 0x91, 0x97)),
    *((code, Refused) for code in (0x87, 0x90)),
    *((code, Rejected) for code in (0x99,)),
]  # every code that a PUBACK may have (3.4.2.1)


@pytest.mark.parametrize(("code", "error"), PUBACKS)
def test_every_code_of_a_puback(code, error):
    asyncio.run(told(Scripted(puback=code), error))


CONNACKS = [
    *((code, Unreachable) for code in (0x80, 0x83, 0x88, 0x89, 0x95, 0x97, 0x9F)),
    *((code, Refused) for code in (0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x9A, 0x9B)),
    *((code, Refused) for code in (0x9C, 0x9D)),
    (0x99, Unreachable),  # paho does not know this one
]  # every code that a CONNACK may have (3.2.2.2)


@pytest.mark.parametrize(("code", "error"), CONNACKS)
def test_every_code_of_a_connack(code, error):
    asyncio.run(told(Scripted(connack=bytes((0, code, 0))), error))


DISCONNECTS = [
    *(
        (code, Unreachable)
        for code in (0x00, 0x80, 0x83, 0x89, 0x8B, 0x8D, 0x93, 0x95, 0x96, 0x97, 0x98, 0x9F)
    ),
    *((code, Refused) for code in (0x81, 0x82, 0x87, 0x8E, 0x90, 0x94, 0x99, 0x9A, 0x9B, 0x9C, 0x9D)),
]


@pytest.mark.parametrize(("code", "error"), DISCONNECTS)
def test_every_code_of_a_disconnect(code, error):
    asyncio.run(told(Scripted(disconnect=code), error))


def test_what_the_broker_adds_is_shown_and_a_client_id_that_two_have_is_told():
    properties = bytes((REASON_STRING, 0, 5)) + b"sorry"
    said = asyncio.run(told(Scripted(connack=bytes((0, 0x8A, len(properties))) + properties), Refused))
    assert "(Banned: sorry)" in said
    assert "Another client has our client_id" in asyncio.run(told(Scripted(disconnect=0x8E), Refused))


def test_a_broker_without_qos_1_is_refused():
    said = asyncio.run(told(Scripted(connack=bytes((0, 0, 2, MAXIMUM_QOS, 0))), Refused))
    assert "without confirmation" in said


def test_no_more_than_its_receive_maximum_is_unconfirmed_and_never_more_than_ours():
    async def play(connack: bytes, **more: object) -> int:
        broker = Scripted(connack=connack)
        broker.hold = True
        documents = [doc(i) for i in range(40)]
        async with delivering(broker, **more) as destination:
            task = asyncio.create_task(drain(destination, MemoryOutbox(documents)))
            before = 0
            while not task.done():
                await asyncio.sleep(0.05)
                if broker.unconfirmed == before:  # no more come by themselves
                    await broker.release()
                before = broker.unconfirmed
            assert (await task).counters.failed == 0
        assert broker.published == [one.body for one in documents]
        return broker.unconfirmed_max

    seven = bytes((0, 0, 3, RECEIVE_MAXIMUM, 0, 7))
    assert asyncio.run(play(seven)) == 7
    assert asyncio.run(play(b"\0\0\0", in_flight_max=5)) == 5
    assert (
        asyncio.run(play(b"\0\0\0", in_flight_max=64)) > 7
    )  # the control: it is the broker's word that did it


def test_one_that_is_larger_than_it_takes_is_not_even_sent():
    connack = bytes((0, 0, 5, MAXIMUM_PACKET_SIZE)) + struct.pack(">I", 1000)

    async def main() -> None:
        broker = Scripted(connack=connack)
        async with delivering(broker) as destination:
            size = 1000 - (1 + 2 + 2 + len(doc(0).name) + 2 + 1)
            await destination.deliver(doc(0)._replace(body=b"x" * (size - 4)))
            with pytest.raises(Rejected, match="takes 1000"):
                await destination.deliver(doc(0)._replace(body=b"x" * (size + 1)))
            assert len(broker.published) == 1 and broker.connections == 1

    asyncio.run(main())


def test_a_new_connection_sends_only_what_it_is_given_and_no_session_is_kept():
    """paho keeps unconfirmed messages and sends them again by itself when a client connects again."""

    async def main() -> None:
        broker = Scripted()
        broker.hold = True
        async with delivering(broker, timeout_s=0.2) as destination:
            lost = [asyncio.create_task(destination.deliver(doc(i))) for i in range(16)]
            found = await asyncio.gather(*lost, return_exceptions=True)
            assert all(isinstance(error, Unreachable) for error in found)
            assert len(broker.published) == 16
            broker.hold = False
            await destination.deliver(doc(99))
            await asyncio.sleep(0.1)
        assert broker.published[16:] == [doc(99).body]
        assert set(broker.flags) == {2}  # QoS 1, neither DUP nor retained
        for connect in broker.connects:
            assert connect[:8] == b"\0\x04MQTT\x05\x02"  # version 5, clean start and nothing else
            assert b"\x11\0\0\0\0" in connect[10:24]  # session expiry 0

    asyncio.run(main())


def test_control_the_librarys_own_reconnect_sends_them_twice():
    """What rule 2 of the destination avoids: the same client connected again."""
    import paho.mqtt.client as paho

    async def main() -> None:
        async with Scripted() as broker:
            broker.hold = True
            client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTProtocolVersion.MQTTv5)
            client.max_inflight_messages_set(4)
            client.reconnect_delay_set(1, 1)

            connected = threading.Event()
            client.on_connect = lambda *_: connected.set()

            def play() -> None:
                client.connect("127.0.0.1", broker.port)
                client.loop_start()
                assert connected.wait(20)
                for i in range(8):
                    client.publish("a/b", doc(i).body, qos=1)

            await asyncio.to_thread(play)
            assert broker.unconfirmed_max <= 4
            try:
                async with asyncio.timeout(60):
                    while len(broker.published) < 4:
                        await asyncio.sleep(0.01)
                    for writer, _ in broker._held:
                        writer.transport.abort()
                    while len(broker.published) < 12:
                        await asyncio.sleep(0.01)
            finally:
                await broker.release()  # it does not stop before
                client.disconnect()
                await asyncio.to_thread(client.loop_stop)
            assert broker.published == [doc(i).body for i in (*range(4), *range(8))]  # and past its window

    asyncio.run(main())


RAW = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "random": bytes(range(256)) * 8,
    "a length of five bytes": b"\x20\xff\xff\xff\xff\xff",
    "an empty CONNACK": b"\x20\x00",
    "a CONNACK of 3.1.1": b"\x20\x02\x00\x00",
    "properties that lie about their length": b"\x20\x04\x00\x00\x7f\x21",
    "an unknown property": b"\x20\x05\x00\x00\x02\x7e\x00",
    "a PUBACK first": b"\x40\x02\x00\x01",
    "a message for us": b"\x30\x05\x00\x01aXY",
    "nothing": b"",
}


@pytest.mark.parametrize("what", RAW)
@pytest.mark.parametrize("version", ["5", "3.1.1", "auto"])
def test_whatever_comes_nothing_is_delivered_and_the_next_broker_is_asked(tmp_path: Path, what, version):
    async def main() -> None:
        broker = Scripted()
        broker.raw = RAW[what]
        async with delivering(broker, connect_timeout_s=0.5, timeout_s=0.5, version=version) as destination:
            if version != "3.1.1" or what != "a CONNACK of 3.1.1":
                with pytest.raises(DestinationError):
                    await destination.deliver(doc(0))
            await destination.close()
            if version == "5":
                broker.raw = None
                await destination.deliver(doc(1))
                assert broker.published == [doc(1).body]

    asyncio.run(main())


def test_garbage_instead_of_a_puback():
    async def main() -> None:
        for raw in RAW.values():
            broker = Scripted()
            async with delivering(broker, timeout_s=0.5) as destination:
                await destination.deliver(doc(0))
                broker.raw = raw
                with pytest.raises(DestinationError):
                    await destination.deliver(doc(1))

    asyncio.run(main())
