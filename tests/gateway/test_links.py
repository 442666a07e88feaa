"""Device links through real sockets and a real pty: attacks, replacement, back-pressure."""

from __future__ import annotations

import asyncio
import os
import tty
from random import Random

from gateway.ingest.links import STRANGERS_MAX, SerialDeviceLink
from gateway.journal import journal as journal_module
from gateway.journal.kinds import FRAME, POLL
from gateway.journal.reader import Reader
from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Ack, Welcome, decode
from tests.gateway.intake_rig import KEY, OTHER_KEY, Device, Rig, hello, readings, until, wire

RANDOM_BYTES = 10_000_000


class Wire:
    """A TCP connection by hand."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.decoder = framing.Decoder()
        self.messages: list = []

    @classmethod
    async def connect(cls, port: int) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, kind) -> object:
        """The next message of that kind."""
        async with asyncio.timeout(20):
            while True:
                while self.messages:
                    message = self.messages.pop(0)
                    if type(message) is kind:
                        return message
                data = await self.reader.read(65536)
                assert data, "the gateway closed the link"
                self.messages += [decode(Mac0("st-01", KEY).open(body)) for body in self.decoder.feed(data)]

    def close(self) -> None:
        self.writer.close()


def journaled(rig: Rig) -> list[tuple[str, int, int, int]]:
    reader = Reader(rig.journal.path)
    found = [(e.source, e.boot, e.first_seq, e.last_seq) for e in reader.entries() if e.kind in (FRAME, POLL)]
    reader.close()
    return found


def attack(tmp_path, data: bytes, counter: str, least: int = 1):
    """Send frames 1 and 2 with `data` between them: only they are journaled, `data` is counted, the link goes
    on.
    """

    async def main():
        async with Rig(tmp_path / "journal.db", devices=("st-01", "st-02")) as rig:
            link = await Wire.connect(rig.port())
            await link.send(wire(hello()))
            await link.receive(Welcome)
            await link.send(wire(readings(1, 1)))
            assert (await link.receive(Ack)).seq == 10
            counters = rig.intake.counters.link("st-01")
            before = counters.snapshot()
            sending = asyncio.create_task(link.send(data))
            await until(lambda: counters.bytes >= before["bytes"] + len(data), 60)
            await sending
            await rig.settle()
            assert [entry[1:] for entry in journaled(rig)] == [(1, 1, 10)]
            after = counters.snapshot()
            assert after[counter] - before[counter] >= least
            assert after["journaled"] == before["journaled"] and after["readings"] == 10
            await link.send(b"\0" + wire(readings(1, 11)))
            while (await link.receive(Ack)).seq != 20:
                pass
            await rig.settle()
            assert [entry[1:] for entry in journaled(rig)] == [(1, 1, 10), (1, 11, 20)]
            assert counters.connections == 1
            link.close()
            return after

    return asyncio.run(main())


def test_a_flipped_bit(tmp_path):
    frame = bytearray(wire(readings(1, 11)))
    frame[len(frame) // 2] ^= 0x10
    attack(tmp_path, bytes(frame), "noise")


def test_a_flipped_bit_with_a_right_checksum(tmp_path):
    [body] = framing.Decoder().feed(wire(readings(1, 11)))
    flipped = bytearray(body)
    flipped[-40] ^= 1
    attack(tmp_path, framing.encode(bytes(flipped)), "bad_tag")


def test_a_frame_of_another_device(tmp_path):
    attack(tmp_path, wire(readings(1, 11), device="st-02"), "wrong_device")


def test_a_frame_of_another_device_that_takes_our_name(tmp_path):
    attack(tmp_path, wire(readings(1, 11), key=OTHER_KEY), "bad_tag")


def test_a_replayed_frame(tmp_path):
    attack(tmp_path, wire(readings(1, 1)) * 5, "repeats", least=5)


def test_a_frame_from_the_future(tmp_path):
    attack(tmp_path, wire(readings(1, 101)), "gaps")


def test_ten_megabytes_of_random_bytes(tmp_path):
    found = attack(tmp_path, Random(11).randbytes(RANDOM_BYTES), "noise", least=RANDOM_BYTES // 1100)
    assert found["noise_bytes"] + found["noise"] > RANDOM_BYTES * 0.9


def test_zeros_and_a_frame_that_never_ends(tmp_path):
    attack(tmp_path, bytes(100_000) + b"\x01" * 200_000 + b"\0", "noise")


def test_the_control_a_tag_that_is_not_checked_would_be_seen(tmp_path, monkeypatch):
    """The same attack against a gateway that skips the tag fails: these tests do look."""
    from protocol import cose

    monkeypatch.setattr(cose, "compare_digest", lambda a, b: True)
    try:
        test_a_flipped_bit_with_a_right_checksum(tmp_path)
    except (AssertionError, TimeoutError):
        return
    raise AssertionError("an unchecked tag went unnoticed")


def test_a_second_connection_replaces_the_first(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            first = await Wire.connect(rig.port())
            await first.send(wire(hello(nonce=1)) + wire(readings(1, 1))[:50])
            await first.receive(Welcome)
            second = await Wire.connect(rig.port())
            await second.send(wire(hello(nonce=2)) + wire(readings(1, 1)))
            assert (await second.receive(Ack)).nonce == (2).to_bytes(8, "big")
            async with asyncio.timeout(10):
                try:
                    while await first.reader.read(1000):
                        pass
                except ConnectionResetError:
                    pass
            assert rig.intake.counters.link("st-01").connections == 2
            assert rig.intake.counters.link("st-01").connected == 1
            second.close()
            await until(lambda: rig.intake.counters.link("st-01").connected == 0)
            await rig.settle()
            assert len(journaled(rig)) == 1

    asyncio.run(main())


def test_a_full_journal_pauses_the_link_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "QUEUE_ENTRIES_FULL", 8)

    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            device = Device(total=20_000, window_frames=500)
            await device.run(rig.port())
            await rig.settle()
            counters = rig.intake.counters.link("st-01")
            assert counters.pauses > 0 and rig.journal.pauses > 0
            assert device.acked == (1, 20_000)
            assert [entry[2] for entry in journaled(rig)] == list(range(1, 20_001, 10))

    asyncio.run(main())


def test_a_device_that_never_reads_costs_nothing(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            link = await Wire.connect(rig.port())
            await link.send(wire(hello()))
            for i in range(300):
                await link.send(wire(readings(1, 1 + 10 * i)) * 20)
            await until(lambda: rig.intake.counters.link("st-01").journaled >= 301)
            live = rig.links["st-01"].live
            assert live is not None and live.transport.get_write_buffer_size() < 64 * 1024
            link.close()

    asyncio.run(main())


def test_a_serial_link_through_a_pty(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            master, slave = os.openpty()
            tty.setraw(slave)
            tty.setraw(master)
            os.set_blocking(master, False)
            link = SerialDeviceLink(rig.intake, rig.intake.devices["st-01"], os.ttyname(slave))
            rig.links["st-01"].close()
            running = asyncio.create_task(link.run())
            await until(lambda: link.strangers)
            decoder, got = framing.Decoder(), []

            async def exchange(data: bytes, wanted) -> object:
                for start in range(0, len(data), 100):
                    os.write(master, data[start : start + 100])
                    await asyncio.sleep(0)
                async with asyncio.timeout(20):
                    while True:
                        try:
                            got.extend(
                                decode(Mac0("st-01", KEY).open(body))
                                for body in decoder.feed(os.read(master, 4096))
                            )
                        except BlockingIOError:
                            await asyncio.sleep(0.01)
                        found = [message for message in got if wanted(message)]
                        if found:
                            return found[0]

            await exchange(b"\x55noise\0" + wire(hello()), lambda m: type(m) is Welcome)
            await exchange(wire(readings(1, 1)), lambda m: type(m) is Ack and m.seq == 10)
            assert rig.intake.counters.link("st-01").noise == 1
            os.close(master)  # the cable is pulled
            await until(lambda: link.live is None)
            os.close(slave)
            await asyncio.sleep(0.1)
            assert not running.done()
            running.cancel()

    asyncio.run(main())


def test_a_port_that_is_not_there_is_tried_again(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            path = tmp_path / "ttyUSB0"
            link = SerialDeviceLink(rig.intake, rig.intake.devices["st-01"], str(path))
            running = asyncio.create_task(link.run())
            await asyncio.sleep(0.2)
            assert not running.done() and link.live is None
            master, slave = os.openpty()
            path.symlink_to(os.ttyname(slave))
            await until(lambda: link.strangers)
            tty.setraw(slave)
            os.write(master, wire(hello()))
            await until(lambda: link.live is not None)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            os.close(master)
            os.close(slave)

    asyncio.run(main())


def test_an_address_that_is_taken_is_tried_again(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db", devices=("st-01", "st-02")) as rig:
            taken = rig.links["st-01"]
            other = rig.links["st-02"]
            other.close()
            other.port = taken.port
            running = asyncio.create_task(other.run())
            await asyncio.sleep(0.1)
            assert not running.done()
            taken.close()
            await until(lambda: other._server is not None)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_whoever_only_connects_disturbs_nobody(tmp_path):
    """A port scanner, a monitor, garbage: the live device stays, until another connection is authentic."""

    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            link = rig.links["st-01"]
            _, device = await asyncio.open_connection("127.0.0.1", link.port)
            device.write(wire(hello()))
            await until(lambda: link.live is not None)
            live = link.live
            others = []
            for number in range(STRANGERS_MAX + 3):
                reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n\0" * (number % 2))
                others.append((reader, writer))
            await until(lambda: len(link.strangers) == STRANGERS_MAX)
            device.write(wire(readings(1, 1)))
            await until(lambda: rig.intake.counters.link("st-01").journaled > 1)
            assert link.live is live
            others[-1][1].write(b"\0" + wire(hello(nonce=2)))
            await until(lambda: link.live is not live)
            for _, writer in [*others, (None, device)]:
                writer.close()

    asyncio.run(main())
