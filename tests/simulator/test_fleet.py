"""simulator/fleet.py: light devices that speak as the firmware does."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Ack, Hello, Readings, Welcome, decode, encode
from protocol.reading import bits_float
from simulator import fleet as fleet_module
from simulator.device_load import FULL, WINDOW
from simulator.fleet import BOOT, Delays, Fleet, bits_of

KEY = bytes(range(32))
LIMIT_S = 60.0


class Peer:
    """A gateway's end: takes exactly the next frame, acknowledges each one unless it is `silent`; after
    `break_after` frames it hangs up once, having kept the last without a word.
    """

    def __init__(self, silent: bool = False, break_after: int = 0):
        self.silent, self.break_after = silent, break_after
        self.hellos: list[Hello] = []
        self.frames: list[Readings] = []
        self.held = 0
        self.unacknowledged_max = 0
        self._mac = Mac0("st-0", KEY)

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        decoder, unacknowledged = framing.Decoder(), 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for body in decoder.feed(data):
                    message = decode(self._mac.open(body))
                    if isinstance(message, Hello):
                        self.hellos.append(message)
                        self._send(writer, Welcome(1, message.nonce, BOOT, self.held, 0, True))
                        continue
                    if message.first_seq != self.held + 1:
                        continue
                    self.frames.append(message)
                    self.held += len(message.rows)
                    unacknowledged += 1
                    self.unacknowledged_max = max(self.unacknowledged_max, unacknowledged)
                    if len(self.frames) == self.break_after:
                        writer.close()
                        return
                    if not self.silent:
                        unacknowledged = 0
                        self._send(writer, Ack(bytes(8), BOOT, self.held, 0, True, 0))  # another greeting's
                        self._send(writer, Ack(self.hellos[-1].nonce, BOOT, self.held, 0, True, 0))
        writer.close()

    def _send(self, writer, message):
        writer.write(framing.encode(self._mac.seal(encode(message))))


async def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("never came true")
        await asyncio.sleep(0.01)


def one(peer: Peer, channels: int = 4, interval_ms: int = 20, hold_ms: int = 50) -> Fleet:
    return Fleet([("st-0", KEY, peer.port)], channels, interval_ms, hold_ms)


def test_what_it_sends_is_complete_in_order_and_made_as_it_says():
    async def main():
        async with Peer() as peer:
            fleet = one(peer)
            fleet.start()
            await until(lambda: len(peer.frames) >= 5)
            assert await fleet.finish(LIMIT_S)
            fleet.stop()
        device = fleet.devices[0]
        assert fleet.emitted == fleet.acknowledged == peer.held and device.links == 1
        assert device.refused == len(peer.frames), "an acknowledgement of another greeting was believed"
        seq, before_ms = 1, 0
        for frame in peer.frames:
            assert frame.first_seq == seq and frame.clock == 1 and frame.boot == BOOT
            for channel, offset_ms, bits, quality, _ in frame.rows:
                assert channel == (seq - 1) % 4 and bits == bits_of(0, seq) and quality == 0
                assert (seq - 1) % 4 or seq == 1 or frame.base_ms + offset_ms - before_ms in (19, 20, 21)
                before_ms = frame.base_ms + offset_ms
                seq += 1
        assert [row[0] for row in peer.hellos[0].channels] == ["q0", "q1", "q2", "q3"]
        figures = fleet.delays.figures()
        assert 0 < figures["reading_p50_ms"] <= figures["reading_p99_ms"] <= figures["reading_max_ms"]
        assert 0 < figures["frame_p50_ms"] <= figures["frame_max_ms"] <= figures["reading_max_ms"]

    asyncio.run(main())


def test_a_frame_waits_for_company_and_no_longer_than_until_it_is_full():
    async def main():
        async with Peer() as peer:
            fleet = one(peer, channels=10, interval_ms=20, hold_ms=10_000)
            fleet.start()
            await until(lambda: len(peer.frames) >= 2)
            fleet.stop()
        assert {len(frame.rows) for frame in peer.frames} == {FULL // 10 * 10}

    asyncio.run(main())


def test_it_is_never_further_ahead_than_its_window():
    async def main():
        async with Peer(silent=True) as peer:
            fleet = one(peer, interval_ms=5, hold_ms=5)
            fleet.start()
            await until(lambda: fleet.emitted > 20 * 4 and len(peer.frames) >= WINDOW)
            fleet.stop()
        assert peer.unacknowledged_max == len(peer.frames) == WINDOW and fleet.acknowledged == 0

    asyncio.run(main())


def test_after_a_broken_link_it_goes_on_from_what_the_gateway_holds(monkeypatch):
    monkeypatch.setattr(fleet_module, "REOPEN_S", 0.05)

    async def main():
        async with Peer(break_after=3) as peer:
            fleet = one(peer)
            fleet.start()
            await until(lambda: len(peer.frames) >= 8)
            assert await fleet.finish(LIMIT_S)
            fleet.stop()
        assert len(peer.hellos) == fleet.devices[0].links == 2
        assert peer.held == fleet.emitted == fleet.acknowledged
        assert peer.hellos[1].store_seq <= peer.frames[3].first_seq

    asyncio.run(main())


def test_what_is_not_acknowledged_in_time_is_sent_again(monkeypatch):
    monkeypatch.setattr(fleet_module, "ACK_TIMEOUT_S", 0.1)

    async def main():
        async with Peer(silent=True) as peer:
            fleet = one(peer)
            fleet.start()
            await until(lambda: fleet.devices[0].resent > 0)
            peer.silent = False
            await until(lambda: fleet.acknowledged > 0)
            assert await fleet.finish(LIMIT_S)
            fleet.stop()
        assert peer.held == fleet.emitted

    asyncio.run(main())


def test_it_waits_for_a_gateway_that_is_not_there_yet(monkeypatch):
    monkeypatch.setattr(fleet_module, "REOPEN_S", 0.05)

    async def main():
        async with Peer() as gone:
            port = gone.port
        fleet = Fleet([("st-0", KEY, port)], 4, 20, 50)
        fleet.start()
        await until(lambda: fleet.emitted >= 40)
        assert fleet.acknowledged == 0 and not await fleet.finish(0.1), "who acknowledged that?"
        fleet.stop()

    asyncio.run(main())


def test_values_differ_and_are_numbers():
    values = [bits_float(bits_of(device, seq)) for device in range(3) for seq in range(1, 500)]
    assert len(set(values)) > 1490 and all(10.0 <= value < 20.0 for value in values)


def test_delays_are_counted_by_reading():
    delays = Delays()
    for delay, weight in ((10.0, 98), (500.0, 1), (900.0, 1)):
        delays.readings.append(delay)
        delays.weights.append(weight)
        delays.frames.append(delay)
    found = delays.figures()
    assert (found["reading_p50_ms"], found["reading_p99_ms"], found["reading_max_ms"]) == (10.0, 500.0, 900.0)
    assert found["frame_p50_ms"] == 500.0


@pytest.mark.parametrize("channels", [0, FULL + 1])
def test_more_channels_than_a_frame_has_room_for_are_refused(channels):
    with pytest.raises(ValueError, match="1 to 48"):
        Fleet([], channels, 1000)
