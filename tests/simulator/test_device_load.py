"""simulator/device_load.py and modbus_load.py: the loads of the benches are what they say they are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Ack, Hello, Readings, Welcome, decode, encode
from simulator import device_load
from simulator.device_load import ROWS, LoadDevice, run_all
from simulator.modbus_load import INSTRUMENTS_MAX, QUANTITIES_MAX, origin, serve, value
from tests.gateway.intake_rig import Rig
from tests.servers.process import free_port
from tests.simulator._rig import tcp_client

KEY = bytes(range(32))


class Peer:
    """A gateway's end of one link: acknowledges every `each` frames; `break_after` frames it hangs up."""

    def __init__(self, each: int = 1, break_after: int = 1 << 30):
        self.each, self.break_after = each, break_after
        self.hellos: list[Hello] = []
        self.frames: list[Readings] = []
        self._mac = Mac0("load-0", KEY)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        link, _ = self._server.accept()
        decoder = framing.Decoder()
        with link, contextlib.suppress(ConnectionError):
            while data := link.recv(65536):
                for body in decoder.feed(data):
                    message = decode(self._mac.open(body))
                    if isinstance(message, Hello):
                        self.hellos.append(message)
                        self._send(link, Welcome(1, message.nonce, 0, 0, 1, True))
                        continue
                    self.frames.append(message)
                    if len(self.frames) >= self.break_after:
                        return
                    if len(self.frames) % self.each == 0:
                        seq = message.first_seq + len(message.rows) - 1
                        self._send(link, Ack(self.hellos[0].nonce, 1, seq, 1, True, 0))

    def _send(self, link: socket.socket, message) -> None:
        link.sendall(framing.encode(self._mac.seal(encode(message))))

    def close(self) -> None:
        self._server.close()
        self._thread.join()


def load(peer: Peer, frames: int) -> tuple[LoadDevice, list[BaseException]]:
    device = LoadDevice("load-0", KEY, peer.port, frames)
    device.encode()
    wrong = run_all([device])
    peer.close()
    return device, wrong


def test_its_frames_are_authentic_complete_and_in_order():
    peer = Peer()
    device, wrong = load(peer, 50)
    assert wrong == [] and device.acknowledged == 50
    assert len(peer.hellos) == 1 and len(peer.hellos[0].channels) == ROWS
    assert [frame.first_seq for frame in peer.frames] == list(range(1, 50 * ROWS, ROWS))
    for number, frame in enumerate(peer.frames):
        assert [row[0] for row in frame.rows] == list(range(ROWS)) and frame.clock == 1
        assert frame.base_ms - peer.frames[0].base_ms == number * device_load.STEP_MS
    assert [acknowledged for _, acknowledged in device.times] == sorted({n for _, n in device.times})
    assert device.times[-1][1] == 50


def test_it_does_not_run_ahead_of_the_acknowledgements(monkeypatch):
    monkeypatch.setattr(device_load, "IN_FLIGHT", 8)
    peer = Peer(each=8)
    device, wrong = load(peer, 64)
    assert wrong == [] and device.acknowledged == 64 and len(peer.frames) == 64


def test_at_work_it_sends_full_frames_or_what_has_waited():
    peer = Peer()
    device = LoadDevice("load-0", KEY, peer.port, 0)
    device.run_live(3.0)
    peer.close()
    assert device.acknowledged == len(peer.frames) >= 2 and device.longest_wait_s > 0
    rows = [row for frame in peer.frames for row in frame.rows]
    assert len(rows) == 3000 // device_load.POLL_MS * ROWS and len(peer.frames[0].rows) > ROWS
    assert [row[0] for row in rows] == [n % ROWS for n in range(len(rows))]
    ends = [frame.first_seq + len(frame.rows) for frame in peer.frames]
    assert [1, *ends[:-1]] == [frame.first_seq for frame in peer.frames]


def test_a_gateway_that_hangs_up_is_what_went_wrong():
    peer = Peer(break_after=5)
    device, wrong = load(peer, 50)
    assert len(wrong) == 1 and isinstance(wrong[0], OSError) and device.acknowledged < 50


def test_nobody_listens(monkeypatch):
    monkeypatch.setattr(device_load, "CONNECT_S_MAX", 0.1)
    device = LoadDevice("load-0", KEY, free_port(), 1)
    device.encode()
    assert [type(error) for error in run_all([device])] == [ConnectionRefusedError]


def test_the_real_intake_takes_all_of_it(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            device = LoadDevice("st-01", KEY, rig.port(), 200)
            device.encode()
            assert await asyncio.to_thread(run_all, [device]) == []
            await rig.settle()
            assert device.acknowledged == 200
            counted = rig.intake.counters.link("st-01")
            assert counted.readings == 200 * ROWS and counted.bad_tag == counted.gaps == counted.noise == 0

    asyncio.run(main())


# Modbus ----------------------------------------------------------------------------------------------------


def test_a_value_says_where_it_comes_from_and_fits_a_float32():
    for instrument, quantity, step in ((0, 0, 0), (255, 1023, 63), (3, 7, 12345)):
        number = value(instrument, quantity, step)
        assert origin(number) == (instrument, quantity) and number == int(number) < 1 << 24


def test_every_instrument_answers_on_its_own_port_with_its_own_values():
    async def main(ports):
        assert len(set(ports)) == 3
        for instrument, port in enumerate(ports):
            async with tcp_client(port) as client:
                answer = await client.read_holding_registers(0, count=10, device_id=1)
                numbers = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
                assert [origin(number) for number in numbers] == [(instrument, q) for q in range(5)]

    with serve(3, 5) as ports:
        asyncio.run(main(ports))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", ports[0])) != 0, "it outlived the block"


@pytest.mark.parametrize(
    ("n", "quantities"), [(0, 1), (1, 0), (INSTRUMENTS_MAX + 1, 1), (1, QUANTITIES_MAX + 1)]
)
def test_more_than_a_value_can_name_is_refused(n, quantities):
    with pytest.raises(ValueError, match="at most"), serve(n, quantities):
        pass
