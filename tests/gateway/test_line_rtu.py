"""An RS-485 line over a pty: two units of pymodbus's serial server, one of them dead; an unplugged port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from pathlib import Path
from random import Random

from gateway.clock import Clock
from gateway.ingest.line import Line
from protocol.quality import OK, TIMEOUT
from tests.gateway.line_rig import (
    HandClock,
    RawRtu,
    Sink,
    bus,
    channels,
    each_second,
    never_wrong,
    ready,
    registers,
    rtu,
    running,
    source,
    until,
)


@contextlib.asynccontextmanager
async def cable():
    """Two serial ports joined: what goes into one comes out of the other."""
    loop = asyncio.get_running_loop()
    masters, slaves = zip(os.openpty(), os.openpty(), strict=True)
    for slave in slaves:
        tty.setraw(slave)
    for one, other in (masters, masters[::-1]):
        loop.add_reader(one, lambda one=one, other=other: os.write(other, os.read(one, 4096)))
    try:
        yield [os.ttyname(slave) for slave in slaves]
    finally:
        for master in masters:
            loop.remove_reader(master)
        for fd in (*masters, *slaves):
            os.close(fd)


@contextlib.asynccontextmanager
async def pymodbus_rtu(path, devices, dead):
    """pymodbus's own RTU server; units in `dead` do not answer."""
    from pymodbus.server import ModbusSerialServer

    def on_the_wire(sending, frame):
        return b"" if sending and frame[:1] and frame[0] in dead else frame

    server = ModbusSerialServer(devices, port=path, baudrate=115200, trace_packet=on_the_wire)
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


def test_a_dead_unit_does_not_slow_the_other_one_on_its_line():
    async def main():
        dead = {2}
        sink = Sink()
        devices = [registers(1, 0, list(range(50))), registers(2, 0, list(range(100, 150)))]
        wired = channels(source(7, poll_ms=500), source(8, unit=2, poll_ms=1000))
        async with cable() as (ours, theirs), pymodbus_rtu(theirs, devices, dead):
            line = Line(bus(rtu(ours), timeout_ms=100, retries=1), wired, Clock(), sink, rng=Random(1))
            async with running(line):
                await until(lambda: len(sink.of(0)) >= 12)
                one, two = line.counters.units[1], line.counters.units[2]
                assert one.skipped_polls == 0
                times = [row[1] // 500 for row in sink.of(0)]
                assert times == list(range(times[0], times[0] + len(times)))  # each instant, none twice
                assert set(sink.qualities(0)) == {OK} and set(sink.values(0)) == {7.0}
                assert set(sink.qualities(1)) == {TIMEOUT} and len(sink.of(1)) >= 5
                assert two.requests <= 2 + 4  # one poll and its retry, then probes after 1, 2, 4 s at most
                dead.clear()
                await until(lambda: two.backoff_s == 0 and sink.of(1)[-1][3] == OK)
                assert sink.values(1) == [108.0] * len(sink.values(1))
                assert one.skipped_polls == 0

    asyncio.run(main())


def test_a_request_that_is_never_answered_is_asked_last_so_that_nothing_waits_for_it():
    async def main():
        clock, sink, asked = HandClock(), Sink(), {}

        def reply(q, send):
            asked.setdefault(clock.now_ms(), []).append(q.address)
            if q.address != 10:
                send(q.rtu())

        async with RawRtu(reply) as server:
            line = Line(bus(rtu(server.path), timeout_ms=120), channels(source(10), source(300)), clock, sink)
            async with running(line):
                await ready(line)
                for _ in range(12):
                    await each_second(clock, sink, 1)
                    await asyncio.sleep(0.3)
        assert set(sink.qualities(0)) == {TIMEOUT} and sink.values(1)
        never_wrong(sink, [10, 300])
        both = [addresses for addresses in list(asked.values())[1:] if 10 in addresses]
        assert both and all(addresses[-1] == 10 for addresses in both), asked

    asyncio.run(main())


def test_units_share_one_line_with_silence_between_frames():
    async def main():
        clock, sink = HandClock(), Sink()
        async with RawRtu(lambda q, send: send(q.rtu())) as server:
            wired = channels(*(source(10 * unit, unit=unit) for unit in range(1, 9)))
            line = Line(bus(rtu(server.path, baud=9600), timeout_ms=500), wired, clock, sink)
            async with running(line):
                await ready(line)
                for i in range(3):
                    clock.advance(1000)
                    await until(lambda i=i: len(sink) == 8 * (i + 1))
        assert [q.unit for q in server.questions] == list(range(1, 9)) * 3
        never_wrong(sink, [10 * unit for unit in range(1, 9)])
        assert all(sink.qualities(i) == [OK] * 3 for i in range(8))

    asyncio.run(main())


def test_an_unplugged_port_is_found_again(tmp_path: Path):
    async def main():
        clock, sink = HandClock(), Sink()
        port = tmp_path / "ttyUSB0"
        line = Line(bus(rtu(str(port))), channels(source(10)), clock, sink, rng=Random(1))
        async with running(line):
            await ready(line, up=False)
            await each_second(clock, sink, 2)
            assert str(port) in line.counters.down_reason
            for _ in range(2):
                async with RawRtu(lambda q, send: send(q.rtu())) as server:
                    port.unlink(missing_ok=True)
                    port.symlink_to(server.path)
                    await ready(line)
                    await each_second(clock, sink, 2)
                    server.unplug()
                    await until(lambda: not line.counters.up)
                    await each_second(clock, sink, 2)
        assert sink.qualities(0) == [TIMEOUT] * 2 + ([OK] * 2 + [TIMEOUT] * 2) * 2
        never_wrong(sink, [10])

    asyncio.run(main())
