"""A line against real pymodbus servers and slow ones: values, the grid, skipping, back-off, recovery."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from random import Random

import pytest

from gateway.clock import Clock
from gateway.config_model import Bus, Channel
from gateway.ingest.coil import CoilWrite
from gateway.ingest.line import Line
from protocol import quality
from protocol.quality import BAD_REPLY, OK, TIMEOUT
from protocol.reading import bits_float
from protocol.timeline import Timeline
from tests.bench import poll_load
from tests.gateway.line_rig import (
    EPOCH_MS,
    HandClock,
    Question,
    RawTcp,
    Sink,
    bus,
    channels,
    each_second,
    never_wrong,
    pymodbus_tcp,
    ready,
    registers,
    running,
    source,
    until,
)


def good(question, send):
    send(question.tcp())


def silent(question, send):
    pass


def test_one_poll_of_a_hundred_quantities_is_one_call_on_the_grid():
    words = list(struct.unpack(">200H", struct.pack(">100f", *(q + 0.5 for q in range(100)))))
    wired = channels(*(source(2 * q, type="float32", poll_ms=1000, phase_ms=250) for q in range(100)))

    async def main():
        clock, sink = HandClock(EPOCH_MS), Sink()
        async with pymodbus_tcp(registers(1, 0, words)) as port:
            line = Line(bus(port), wired, clock, sink)
            async with running(line):
                await ready(line)
                clock.advance(249)
                await asyncio.sleep(0.05)
                assert sink == []  # not before its instant
                clock.advance(1)
                await until(lambda: sink)
                await each_second(clock, sink, 2)
        assert [len(rows) for rows in sink] == [100, 100, 100]
        assert [{row[1] for row in rows} for rows in sink] == [
            {EPOCH_MS + 250}, {EPOCH_MS + 1250}, {EPOCH_MS + 2250}
        ]  # fmt: skip
        assert [sink.values(q) for q in range(100)] == [[q + 0.5] * 3 for q in range(100)]
        unit = line.counters.units[1]
        assert (unit.polls, unit.requests, unit.answers, unit.skipped_polls) == (3, 6, 6, 0)
        assert unit.last_ok_ms == EPOCH_MS + 2250
        assert line.counters.read() == dict.fromkeys(range(100), 3)
        assert line.counters.rows == 300
        assert line.counters.snapshot()["units"][1]["answers"] == 6

    asyncio.run(main())


def test_all_four_tables_and_foreign_channels():
    from pymodbus.simulator import DataType, SimData, SimDevice

    async def main():
        bits = SimData(0, values=[i % 3 == 0 for i in range(32)], datatype=DataType.BITS)
        others = SimData(0, values=[i % 2 == 0 for i in range(32)], datatype=DataType.BITS)
        held = SimData(0, values=[7], datatype=DataType.REGISTERS)
        read = SimData(0, values=[65526], datatype=DataType.REGISTERS)
        clock, sink = HandClock(), Sink()
        wired = channels(
            source(3, table="coil"),
            source(2, table="discrete"),
            source(0, table="holding", scale=0.1, offset=-1.0),
            source(0, table="input", type="int16"),
            source(0, bus="another"),
            source(1, table="coil", scale=2.0),
        )
        wired[4].source = object()  # a device's: no bus at all
        async with pymodbus_tcp(SimDevice(1, ([bits], [others], [held], [read]))) as port:
            line = Line(bus(port), wired, clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
        assert [sink.values(i) for i in (0, 1, 3, 4, 5)] == [[1.0], [1.0], [-10.0], [], [0.0]]
        assert sink.values(2)[0] == pytest.approx(-0.3)

    asyncio.run(main())


def test_an_exception_answer_is_a_bad_reply_and_spares_the_rest():
    async def main():
        clock, sink = HandClock(), Sink()
        async with pymodbus_tcp(registers(1, 0, [5] * 10)) as port:
            line = Line(bus(port, retries=2), channels(source(0), source(500)), clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 3)
        assert sink.qualities(0) == [OK] * 3
        assert sink.qualities(1) == [BAD_REPLY] * 3 and sink.values(1) == []
        unit = line.counters.units[1]
        assert (unit.exceptions, unit.answers, unit.requests) == (3, 3, 6)  # asking again would not help
        assert unit.backoff_s == 0

    asyncio.run(main())


def test_a_gateway_that_reports_an_absent_unit_gives_timeout_and_is_backed_off():
    def reply(question, send):
        send(question.tcp() if question.unit == 1 else question.tcp(bytes((question.function | 0x80, 11))))

    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(reply) as server:
            line = Line(bus(server.port, retries=2), channels(source(1), source(2, unit=2)), clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 4)
                await until(lambda: len(sink) == 8)
        assert sink.qualities(0) == [OK] * 4
        assert sink.qualities(1) == [TIMEOUT] * 4
        assert line.counters.units[2].backoff_s > 0

    asyncio.run(main())


def test_an_untrusted_clock_marks_its_values():
    async def main():
        clock, sink = HandClock(), Sink()
        clock.trusted = False
        async with RawTcp(good) as server:
            line = Line(bus(server.port), channels(source(3)), clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
        assert (sink.values(0), sink.qualities(0)) == ([3.0], [quality.TIME_UNTRUSTED])

    asyncio.run(main())


def test_a_server_that_restarts_is_found_again_and_every_instant_has_its_row():
    async def main():
        clock, sink = HandClock(), Sink()
        server = RawTcp(good)
        async with server:
            line = Line(bus(server.port), channels(source(3)), clock, sink, rng=Random(1))
            task = running(line)
            await task.__aenter__()
            await ready(line)
            await each_second(clock, sink, 2)
        await until(lambda: not line.counters.up and line.counters.connect_failures)
        await each_second(clock, sink, 2)
        async with server:
            await ready(line)
            await each_second(clock, sink, 2)
        await task.__aexit__(None, None, None)
        assert sink.qualities(0) == [OK, OK, TIMEOUT, TIMEOUT, OK, OK]
        assert [row[1] for row in sink.of(0)] == [EPOCH_MS + 500 + i * 1000 for i in range(6)]
        assert line.counters.connects == 2 and line.counters.losses == 1
        assert line.counters.units[1].timeouts == 0  # it was never asked while the line was down

    asyncio.run(main())


def test_a_connection_closed_in_idle_time_costs_nothing():
    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(good) as server:
            line = Line(bus(server.port), channels(source(3)), clock, sink)
            async with running(line):
                await ready(line)
                for i in range(4):
                    await until(lambda i=i: line.counters.connects == i + 1)
                    await each_second(clock, sink, 1)
                    server.close_connections()
        assert sink.qualities(0) == [OK] * 4
        assert line.counters.down_reason == ""

    asyncio.run(main())


def test_a_refused_port_gives_rows_and_no_crash():
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))

        async def main():
            clock, sink = HandClock(), Sink()
            line = Line(bus(taken.getsockname()[1]), channels(source(0), source(9, unit=2)), clock, sink)
            async with running(line):
                await ready(line, up=False)
                await each_second(clock, sink, 5)
                await until(lambda: len(sink) == 10)
            assert sink.qualities(0) == sink.qualities(1) == [TIMEOUT] * 5
            assert "127.0.0.1" in line.counters.down_reason
            assert line.counters.units[1].requests == 0

        asyncio.run(main())


def test_a_server_that_hangs_up_on_every_connection_is_not_hammered():
    async def main():
        clock, sink = HandClock(), Sink()

        def hang_up(question, send):
            server.close_connections()

        async with RawTcp(hang_up) as server:
            line = Line(bus(server.port), channels(source(0)), clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
                await until(lambda: not line.counters.up)
                await each_second(clock, sink, 3)
        assert sink.qualities(0) == [TIMEOUT] * 4
        assert line.counters.units[1].lost == 1
        assert line.counters.connects <= 2

    asyncio.run(main())


def test_polls_missed_while_the_line_is_busy_are_skipped_and_counted_never_queued():
    async def main():
        clock, sink = HandClock(), Sink()
        release = asyncio.Event()

        async def slow(question, send):
            await release.wait()
            send(question.tcp())

        async with RawTcp(slow) as server:
            wired = channels(source(1), source(2, unit=2, poll_ms=10_000))
            line = Line(bus(server.port, timeout_ms=20_000), wired, clock, sink)
            async with running(line):
                await ready(line)
                clock.advance(500)
                await until(lambda: server.questions)  # the first poll is under way
                for _ in range(7):
                    clock.advance(1000)
                release.set()
                await until(lambda: len(sink) == 3)
                await asyncio.sleep(0.05)
                assert len(sink) == 3  # the two that waited, and the newest of the seven: no backlog
                await each_second(clock, sink, 1)
        first, second = line.counters.units[1], line.counters.units[2]
        assert (first.polls, first.skipped_polls) == (3, 6)  # nine instants in all
        assert (second.polls, second.skipped_polls) == (1, 0)
        assert [row[1] for row in sink.of(0)] == [EPOCH_MS + 7000, EPOCH_MS + 7000, EPOCH_MS + 8000]

    asyncio.run(main())


def test_a_slow_sink_makes_the_line_skip_instead_of_pile_up():
    async def main():
        clock = HandClock()
        release, calls = asyncio.Event(), []

        async def sink(bus_id, rows):
            calls.append(rows)
            await release.wait()

        async with RawTcp(good) as server:
            line = Line(bus(server.port), channels(source(1)), clock, sink)
            async with running(line):
                await ready(line)
                clock.advance(500)
                await until(lambda: calls)
                for _ in range(5):
                    clock.advance(1000)
                await asyncio.sleep(0.05)
                assert len(calls) == 1
                release.set()
                await until(lambda: len(calls) == 2)
        assert line.counters.units[1].skipped_polls == 4

    asyncio.run(main())


def test_a_dead_instrument_is_backed_off_and_comes_back_at_once():
    async def main():
        clock, sink = HandClock(), Sink()
        dead = {2}

        def reply(question, send):
            if question.unit not in dead:
                send(question.tcp())

        async with RawTcp(reply) as server:
            wired = channels(source(1), source(200, unit=2), source(400, unit=2))
            line = Line(bus(server.port, timeout_ms=120, retries=2), wired, clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)

                async def a_second():
                    seen = len(sink.of(0)) + 1
                    clock.advance(1000)
                    await until(lambda: len(sink.of(0)) == len(sink.of(1)) == seen)
                    await asyncio.sleep(0.14)  # time for a probe

                for _ in range(20):
                    await a_second()
                unit = line.counters.units[2]
                assert sink.qualities(0) == [OK] * 20
                assert sink.qualities(1) == sink.qualities(2) == [TIMEOUT] * 20
                assert 3 <= unit.requests <= 3 + 6 and unit.probes >= 3  # one poll in full, then probes
                assert unit.backoff_s > 4
                dead.clear()
                for _ in range(32):  # at most one probe interval
                    await a_second()
                    if unit.backoff_s == 0:
                        break
                assert unit.backoff_s == 0
                await a_second()
                assert sink.of(1)[-1][3] == sink.of(2)[-1][3] == OK
        never_wrong(sink, [1, 200, 400])
        assert line.counters.units[1].skipped_polls == 0
        assert line.counters.connects == 1  # the others answer: the connection is not to blame

    asyncio.run(main())


def test_one_request_that_is_never_answered_does_not_take_its_instrument_along():
    async def main():
        clock, sink = HandClock(), Sink()

        def reply(question, send):
            if question.address != 1:
                send(question.tcp())

        async with RawTcp(reply) as server:
            wired = channels(source(1), source(200))
            line = Line(bus(server.port, timeout_ms=120), wired, clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                for i in range(12):
                    clock.advance(1000)
                    await until(lambda i=i: len(sink) == i + 1)
                    await asyncio.sleep(0.14)
        assert sink.qualities(0) == [TIMEOUT] * 12
        assert sink.qualities(1)[4:] == [OK] * 8
        assert line.counters.units[1].timeouts < 10
        never_wrong(sink, [1, 200])

    asyncio.run(main())


def test_a_connection_on_which_nobody_answers_is_made_anew():
    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(good) as server:
            line = Line(bus(server.port, timeout_ms=120), channels(source(1)), clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
                server.reply = silent  # as a half-open connection looks from here
                while line.counters.connects < 2:
                    await each_second(clock, sink, 1)
                    await asyncio.sleep(0.14)
                server.reply = good
                for _ in range(40):
                    await each_second(clock, sink, 1)
                    await asyncio.sleep(0.14)
                    if sink.qualities(0)[-1] == OK:
                        break
        assert sink.qualities(0)[0] == OK and sink.qualities(0)[-1] == OK

    asyncio.run(main())


@pytest.mark.parametrize("step_ms", [1000, -1000, 3_600_000, -3_600_000, 315_360_000_000, -315_360_000_000])
def test_steps_of_station_time_while_polling(step_ms):
    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(good) as server:
            line = Line(bus(server.port), channels(source(1)), clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 3)
                clock.step(step_ms)
                await asyncio.sleep(0.1)
                assert len(sink) <= 4  # a step is no reason to poll more than once
                await asyncio.sleep(1.2)  # the line looks at its clock each second
                for _ in range(5):
                    clock.advance(1000)
                    await asyncio.sleep(0.05)
        times = [row[1] for row in sink.of(0)]
        assert all(q == OK for q in sink.qualities(0))
        assert 6 <= len(times) <= 9
        unit = line.counters.units[1]
        assert unit.skipped_polls <= 1
        if abs(step_ms) == 1000:
            assert line.counters.clock_steps == 0
            assert times == sorted(times)
        else:
            assert line.counters.clock_steps == 1
            assert times[:3] == sorted(times[:3]) and times[4:] == sorted(times[4:])
            assert times[-1] <= clock.now_ms() < times[-1] + 1000

    asyncio.run(main())


def test_loaded_instruments_in_real_time_lose_and_mix_up_nothing():
    quantities = 100
    with poll_load.serve(3, quantities) as ports:

        async def main():
            seen = []
            wired = poll_load.channels(3, quantities, 100)
            lines = [
                Line(one, wired, Clock(), lambda bus_id, rows: seen.append(rows))
                for one in poll_load.buses(ports)
            ]
            tasks = [asyncio.create_task(line.run()) for line in lines]
            await until(lambda: len(seen) > 30)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(len(rows) == quantities for rows in seen)
            for rows in seen:
                for channel, _, raw_bits, given in rows:
                    assert given == OK
                    assert poll_load.origin(bits_float(raw_bits)) == divmod(channel, quantities)
            for line in lines:
                times = [rows[0][1] for rows in seen if rows[0][0] in line.counters.read()]
                assert times == sorted(times)
            assert sum(map(len, seen)) == sum(line.counters.rows for line in lines)

        asyncio.run(main())


@pytest.mark.parametrize("answers_before", [0, 1])
def test_cancelling_ends_the_line_even_in_the_instant_of_an_answer(answers_before):
    """asyncio.wait_for of Python 3.11 forgets a cancellation that meets its result; pymodbus uses it."""

    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(good) as server:
            line = Line(bus(server.port), channels(source(1), source(200)), clock, sink)
            task = asyncio.create_task(line.run())
            await ready(line)
            saw, seen = line._exchange._client.ctx.trace_packet, []

            def cancel_now(sending, data):
                if not sending:
                    seen.append(data)
                    if len(seen) == answers_before + 1:
                        task.cancel()
                return saw(sending, data)

            line._exchange._client.ctx.trace_packet = cancel_now
            clock.advance(1000)
            async with asyncio.timeout(5):
                await asyncio.wait([task])
            assert task.cancelled() and not line.counters.up

    asyncio.run(main())


def test_a_station_clock_thirty_times_as_fast():
    async def main():
        mono_ms = time.monotonic_ns() // 1_000_000
        clock, sink = Clock(Timeline([[mono_ms, EPOCH_MS + 400, 30.0]])), Sink()
        async with RawTcp(good) as server:
            wired = channels(source(1, poll_ms=5000), source(7, unit=2, poll_ms=20_000, phase_ms=3000))
            line = Line(bus(server.port), wired, clock, sink)
            async with running(line):
                await until(lambda: len(sink.of(0)) >= 12)
        for unit, channel, period, phase in ((1, 0, 5000, 0), (2, 1, 20_000, 3000)):
            times = [row[1] for row in sink.of(channel)]
            assert times == sorted(times) and len(times) >= 2
            passed = (times[-1] - phase) // period - (EPOCH_MS + 400 - phase) // period
            counters = line.counters.units[unit]
            # an answer that takes long may arrive after the next instant
            assert passed - 1 <= counters.polls + counters.skipped_polls <= passed + 1
        assert line.counters.clock_steps == 0
        never_wrong(sink, [1, 7])

    asyncio.run(main())


def test_the_configuration_s_own_classes_drive_a_line():
    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(good) as server:
            one = Bus.model_validate({"id": "b", "link": f"modbus-tcp://127.0.0.1:{server.port}"})
            channel = {"symbol": "Flow", "unit": "m3/h"}
            wired = [
                Channel.model_validate({**channel, "source": {"bus": "b", "unit": 1, "register": 40}}),
                Channel.model_validate({**channel, "source": {"device": "st-01", "quantity": "cod"}}),
            ]
            line = Line(one, wired, clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
        assert sink.values(0) == [40.0] and len(sink.of(1)) == 0

    asyncio.run(main())


def test_a_line_without_channels_ends():
    async def main():
        await Line(bus(1), channels(source(0, bus="another")), HandClock(), Sink()).run()

    asyncio.run(main())


def test_question_of_the_rig():
    question = Question(7, 1, struct.pack(">BHH", 3, 16, 2))
    assert question.tcp() == bytes.fromhex("0007 0000 0007 01 03 04 0010 0011")


def test_a_question_at_the_moment_at_which_the_line_wakes_by_itself():
    """asyncio does not let a time-out that is expiring be moved: this ended the gateway."""

    async def main():
        line = Line(bus(1), channels(source(0, poll_ms=1000)), HandClock(EPOCH_MS), Sink())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0) as line._resting:
                await asyncio.sleep(60)
        asked = asyncio.create_task(line.other(CoilWrite(1, 0, True)))
        await asyncio.sleep(0)
        assert not asked.done() and len(line._others) == 1
        asked.cancel()

    asyncio.run(main())
