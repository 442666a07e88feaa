"""Simulated time, starting commands and the load of a line: when the firmware asks, and how often."""

import asyncio
import json
import struct
import time
from itertools import pairwise

import pytest

from protocol import modbus, modbus_requests, quality
from protocol.timeline import Timeline
from tests.firmware.bench import (
    RUNTIMES,
    Device,
    Gateway,
    Line,
    T,
    open_link,
    station,
    tcp_server,
    unit,
    until,
    value,
)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_with_a_timeline_the_schedule_follows_the_stations_time(tmp_path, runtime):
    async def main():
        speed, poll_ms = 60, 10_000
        segments = [[time.monotonic_ns() // 1_000_000, T, speed]]
        (tmp_path / "timeline.json").write_text(json.dumps({"segments": segments}))
        timeline = Timeline(segments)
        gateway = Gateway(lambda: timeline.at(time.monotonic_ns() // 1_000_000))
        link = await open_link("serial", gateway, tmp_path)
        async with tcp_server({9: [0x41C8, 0, 0, 0, 0, 0, 0, 0]}) as port:
            units = [unit(9, [value(0, 0)], bus="lan", poll_ms=poll_ms, phase_ms=5000, timeout_ms=500)]
            device = await Device(runtime, station(tmp_path, link.settings, units, port)).start(
                {"QUANTRAC_TIMELINE": str(tmp_path / "timeline.json")}
            )
            await until(lambda: len([row for row in gateway.rows() if row[1]]) > 20, "20 polls with a time")
            last = await device.stop()
        await link.close()
        gateway.complete()
        times = [row[0] for row in gateway.rows() if row[1] == 1]
        now = timeline.at(time.monotonic_ns() // 1_000_000)
        assert times[0] > T and times[-1] < now
        points = [(t - 5000) // poll_ms for t in times]
        assert len(points) == len(set(points))  # no point of the grid twice
        assert (points[-1] - points[0] + 1) - len(points) <= last["skipped"]  # none left out in silence
        assert {row[3:] for row in gateway.rows()} == {(0x41C80000, quality.OK)}

    asyncio.run(main())


class Slow:
    """Units 1 to 4 on one RS-485 line. Writes and reads are noted; an answer takes `answer_s`."""

    def __init__(self, path, answer_s: float) -> None:
        self.asked: list[tuple[float, bytes]] = []
        self._answer_s = answer_s
        self._held = b""
        self._line = Line(path, self._read)
        self.close = self._line.close

    def _read(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._held += data
        size = 8 if self._held[1:2] != b"\x10" else 9 + (self._held[6] if len(self._held) > 6 else 255)
        if len(self._held) < size:
            return
        request, self._held = self._held[:size], self._held[size:]
        assert modbus.crc16(request[:-2]) == request[-2] | request[-1] << 8
        self.asked.append((loop.time(), request))
        if request[1] == 3:
            count = request[5]
            pdu = bytes([3, 2 * count]) + struct.pack(f">{count}H", *range(count))
        else:
            pdu = request[1:6]
        loop.call_later(self._answer_s, self._line.write, modbus.rtu(request[0], pdu))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_instrument_is_started_and_given_its_time(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        line = Slow(tmp_path / "bus", 0.002)
        start = [{"function": 16, "address": 1, "words": [31], "wait_ms": 120}]
        reads = [{"function": 3, "address": 0, "count": 2}, {"function": 3, "address": 20, "count": 2}]
        units = [
            unit(
                1,
                [value(0, 0), {**value(1, 0), "read": 1}],
                start=start,
                reads=reads,
                gap_ms=40,
                poll_ms=400,
                timeout_ms=3000,  # a busy machine is no silent instrument
            ),
            unit(2, [value(2, 0)], poll_ms=50),
        ]
        device = await Device(runtime, station(tmp_path, link.settings, units)).start()
        await until(lambda: len(gateway.rows(1)) > 5, "5 polls of it")
        await device.stop()
        await link.close()
        line.close()
        assert {row[3:] for row in gateway.rows(0)} == {(1, quality.OK)}
        ours = [(at, request) for at, request in line.asked if request[0] == 1]
        assert ours[0][1] == modbus.rtu(1, modbus_requests.write_registers_pdu(1, [31]))
        for (before, asked), (after, _) in pairwise(ours):
            assert after - before > (0.119 if asked[1] == 16 else 0.039)
        # the line was not kept waiting meanwhile
        first, second = ours[0][0], ours[1][0]
        assert any(first < at < second for at, request in line.asked if request[0] == 2)

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_polls_that_the_line_has_no_time_for_are_counted(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        line = Slow(tmp_path / "bus", 0.03)
        units = [unit(n, [value(n - 1, 0)], poll_ms=50, timeout_ms=200) for n in (1, 2, 3, 4)]
        units += [unit(5, [value(4, 0)], poll_ms=500, timeout_ms=200)]  # a slow one among fast ones
        device = await Device(runtime, station(tmp_path, link.settings, units)).start()
        await until(lambda: len(gateway.rows()) > 80, "80 readings")
        last = await device.stop()
        await link.close()
        line.close()
        assert last["skipped"] > 80 and last["timeouts"] == 0
        counts = [len(gateway.rows(channel)) for channel in range(4)]
        assert max(counts) - min(counts) <= 2  # everybody gets the same share
        assert len(gateway.rows(4)) >= max(counts) // 8
        assert gateway.complete() == last["emitted"]

    asyncio.run(main())
