"""The simulator's parts together: instruments, line, firmware in MicroPython, null-modem cable, at speed 30.

The other end of the cable is twenty lines on protocol/, so that a fault in here is not one of the gateway.
"""

import asyncio
import bisect
import json
import os

import pytest

from protocol import framing, messages
from protocol import gateway_session as session
from protocol.cose import Mac0
from protocol.reading import bits_float
from simulator.bus import PtyPair
from simulator.clock import SimClock, mono_ms, write_timeline
from simulator.scene import KINDS, load_scene, start_instruments
from simulator.station import StationProcess
from simulator.truth import Truth
from tests.simulator._rig import T0_MS, open_raw, read_some, until
from tools.station.build import write

KEY = "5a" * 32


class Gateway:
    """Accepts whatever is next and acknowledges it; keeps (channel number, station ms, value)."""

    def __init__(self, path, clock):
        self.fd, self.clock = open_raw(path), clock
        self.mac, self.decoder = Mac0("st-01", bytes.fromhex(KEY)), framing.Decoder()
        self.session = session.GatewaySession("st-01")
        self.readings, self.events = [], []

    async def run(self):
        while True:
            for body in self.decoder.feed(read_some(self.fd)):
                message = messages.decode(self.mac.open(body))
                verdict = self.session.receive(message)
                if verdict == session.GREET:
                    self.send(self.session.welcome(self.clock.now_ms(), True))
                    continue
                if verdict == session.ACCEPT:
                    self.session.committed(*self.session.pending)
                    if isinstance(message, messages.Readings):
                        assert message.clock == 1
                        self.readings += [
                            (row[0], message.base_ms + row[1], bits_float(row[2])) for row in message.rows
                        ]
                    else:
                        self.events.append(messages.EVENT_NAMES[message.kind])
                self.send(self.session.ack(self.clock.now_ms(), True))
            await asyncio.sleep(0.005)

    def send(self, message):
        os.write(self.fd, framing.encode(self.mac.seal(messages.encode(message))))


@pytest.mark.parametrize("kind", KINDS)
def test_every_reading_is_the_truth_and_none_is_lost_over_a_cut(tmp_path, kind):
    async def main():
        scene = load_scene(kind)
        (tmp_path / "st-01").mkdir()
        link = {"kind": "serial", "path": str(tmp_path / "uplink"), "baud": 115200}
        write(tmp_path / "st-01", scene.site("st-01", KEY, link, tmp_path / "rs485"))
        write_timeline(tmp_path / "timeline.json", [[int(mono_ms()), T0_MS, 30]])
        clock = SimClock.from_file(tmp_path / "timeline.json")
        truth = Truth(tmp_path / "truth.jsonl")
        running = await start_instruments(scene, clock, truth, tmp_path / "rs485")
        cable = await PtyPair(tmp_path / "uplink", tmp_path / "gateway").start()
        gateway = Gateway(tmp_path / "gateway", clock)
        serving = asyncio.create_task(gateway.run())
        station = await StationProcess(tmp_path / "st-01", tmp_path / "timeline.json").start()
        await until(lambda: len(gateway.readings) > 10 or serving.done(), "the first readings", 40)
        cable.cut()
        await until(lambda: cable.bytes_cut > 0, "sent into nothing")
        await asyncio.sleep(1)
        cable.restore()
        seen = len(gateway.readings)
        await until(lambda: len(gateway.readings) > seen + 20 or serving.done(), "the backlog", 40)
        final = await station.stop()
        await running.stop()
        if not serving.cancel():
            serving.result()  # it ended by itself: show why
        os.close(gateway.fd)
        await cable.stop()
        truth.close()
        records = len(gateway.readings) + len(gateway.events)
        assert final["acked"] == final["emitted"] == records, (final, gateway.events)
        assert (final["timeouts"], final["bad_replies"], final["exceptions"]) == (0, 0, 0)

        held = {}
        for line in map(json.loads, truth.path.read_text(encoding="utf-8").splitlines()):
            held.setdefault(line["channel"], []).append((line["t"], line["value"]))
        symbols = [c.symbol for unit in scene.units_of("device") for c in unit.channels]
        for channel, t_ms, value in gateway.readings:
            updates = held[symbols[channel]]
            assert value == updates[bisect.bisect_right(updates, (t_ms, float("inf"))) - 1][1]

    asyncio.run(main())
