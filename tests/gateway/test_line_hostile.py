"""Answers that are wrong in every way: never a wrong value, a reason in its place, and recovery at once."""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest

from gateway.clock import Clock
from gateway.ingest.line import Line
from protocol.quality import BAD_REPLY, OK, TIMEOUT
from tests.gateway.line_rig import (
    HandClock,
    Question,
    RawRtu,
    RawTcp,
    Sink,
    bus,
    channels,
    each_second,
    never_wrong,
    ready,
    rtu,
    running,
    source,
    until,
)

WRONG = b"\xa5\x5a"  # 42,330: what no register of the rig holds


def other(question: Question) -> bytes:
    """A well-formed PDU of wrong values."""
    return question.answer(WRONG * question.count)


def answers(**extra):
    """Wrong answers to a TCP question: name -> (bytes to send, expected quality)."""
    return {
        "another unit": (lambda q: q.tcp(other(q), unit=q.unit + 1), BAD_REPLY),
        "another transaction": (lambda q: q.tcp(other(q), transaction=q.transaction + 1 & 0xFFFF), TIMEOUT),
        "transaction 0": (lambda q: q.tcp(other(q), transaction=0), BAD_REPLY),
        "another protocol": (lambda q: q.tcp(other(q), protocol=1), BAD_REPLY),
        "another function": (lambda q: q.tcp(bytes((4,)) + other(q)[1:]), BAD_REPLY),
        "unknown function": (lambda q: q.tcp(bytes((0x2B,)) + other(q)[1:]), BAD_REPLY),
        "exception of another function": (lambda q: q.tcp(b"\x84\x02"), BAD_REPLY),
        "exception without code": (lambda q: q.tcp(b"\x83"), BAD_REPLY),
        "exception too long": (lambda q: q.tcp(b"\x83\x02\x02"), BAD_REPLY),
        "one register less": (lambda q: q.tcp(q.answer(WRONG * (q.count - 1))), BAD_REPLY),
        "one register more": (lambda q: q.tcp(q.answer(WRONG * (q.count + 1))), BAD_REPLY),
        "byte count too small": (lambda q: q.tcp(bytes((3, 2 * q.count - 1)) + WRONG * q.count), BAD_REPLY),
        "byte count too large": (lambda q: q.tcp(bytes((3, 250)) + WRONG * q.count), BAD_REPLY),
        "byte count 0": (lambda q: q.tcp(bytes((3, 0)) + WRONG * q.count), BAD_REPLY),
        "header length too small": (lambda q: q.tcp(other(q), length=3), BAD_REPLY),
        "header length too large": (lambda q: q.tcp(other(q), length=200), BAD_REPLY),
        "header length 0": (lambda q: q.tcp(other(q), length=0), BAD_REPLY),
        "header length 1": (lambda q: q.tcp(other(q), length=1), BAD_REPLY),
        "header length 65535": (lambda q: q.tcp(other(q), length=65535), BAD_REPLY),
        "cut short": (lambda q: q.tcp(other(q))[:-3], BAD_REPLY),
        "only a header": (lambda q: q.tcp()[:6], BAD_REPLY),
        "text": (lambda q: b"HTTP/1.1 400 Bad Request\r\n\r\n", BAD_REPLY),
        "empty data": (lambda q: q.tcp(bytes((3,))), BAD_REPLY),
        **extra,
    }


@pytest.mark.parametrize("name", answers())
def test_a_wrong_answer_is_a_reason_and_never_a_value(name):
    make, expected = answers()[name]

    async def main():
        clock, sink = HandClock(), Sink()
        async with RawTcp(lambda q, send: send(make(q))) as server:
            wired = channels(source(10), source(11), source(300))
            line = Line(bus(server.port, timeout_ms=150), wired, clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
                assert sink.qualities(0) == [expected]
                server.reply = lambda q, send: send(q.tcp())
                for _ in range(40):
                    await each_second(clock, sink, 1)
                    await asyncio.sleep(0.01)
                    if sink.qualities(0)[-1] == sink.qualities(2)[-1] == OK:
                        break
                assert sink.qualities(0)[-1] == sink.qualities(2)[-1] == OK
        never_wrong(sink, [10, 11, 300])

    asyncio.run(main())


def test_answers_in_single_bytes_and_behind_a_late_one_are_taken():
    async def main():
        clock, sink = HandClock(), Sink()

        async def piecemeal(q, send):
            for byte in q.tcp():
                send(bytes((byte,)))
                await asyncio.sleep(0)

        def behind(q, send):
            send(q.tcp(other(q), transaction=q.transaction - 1 & 0xFFFF) + q.tcp())

        async with RawTcp(piecemeal) as server:
            wired = channels(*(source(i) for i in range(125)))
            line = Line(bus(server.port, timeout_ms=2000), wired, clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
                server.reply = behind
                await each_second(clock, sink, 2)
        assert all(sink.qualities(i) == [OK] * 3 for i in range(125))
        never_wrong(sink, list(range(125)))

    asyncio.run(main())


def test_late_answers_never_become_values_of_another_request():
    async def main():
        clock, sink = HandClock(), Sink()

        async def late(q, send):
            await asyncio.sleep(0.09)
            send(q.tcp())

        async with RawTcp(late) as server:
            wired = channels(source(10), source(300), source(600))
            line = Line(bus(server.port, timeout_ms=50, retries=2), wired, clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 12)
        assert len(server.questions) > 4
        never_wrong(sink, [10, 300, 600])
        assert set(sink.qualities(0)) == {TIMEOUT}

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_and_random_faults_never_give_a_wrong_value(seed):
    rng = Random(seed)
    wrong = [make for make, _ in answers().values()]

    async def main():
        clock, sink = HandClock(), Sink()

        async def any_of_them(q, send):
            if q.unit == 4:  # one that behaves, so that the connection stays
                send(q.tcp())
                return
            for _ in range(rng.randrange(3)):
                send(rng.choice((rng.randbytes(rng.randrange(400)), rng.choice(wrong)(q))))
            if rng.random() < 0.3:
                await asyncio.sleep(0.03)
            if rng.random() < 0.6:
                send(q.tcp())

        async with RawTcp(any_of_them) as server:
            wired = channels(
                source(10), source(300), source(10, unit=2), source(301, unit=3), source(7, unit=4)
            )
            line = Line(bus(server.port, timeout_ms=15, retries=1), wired, clock, sink, rng=Random(seed))
            async with running(line):
                await ready(line)
                for _ in range(120):
                    before = len(sink)
                    clock.advance(1000)
                    await until(lambda before=before: len(sink) >= before + 4)
                    await asyncio.sleep(0.03)  # room for probes
        assert len(server.questions) > 200
        assert len(sink.of(0)) == len(sink.of(4)) == 120
        assert {OK, BAD_REPLY, TIMEOUT} <= {row[3] for rows in sink for row in rows}
        never_wrong(sink, [10, 300, 10, 301, 7])

    asyncio.run(main())


def test_a_flood_takes_no_memory_and_ends():
    async def main():
        clock, sink = HandClock(), Sink()

        async def flood(q, send):
            for _ in range(200):
                send(os.urandom(10_000))
                await asyncio.sleep(0)

        async with RawTcp(flood) as server:
            line = Line(bus(server.port, timeout_ms=150), channels(source(10)), clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 3)
                held = [line._exchange._client] if line._exchange._client else []
                assert all(len(client.ctx.recv_buffer) <= 4096 for client in held)
                server.reply = lambda q, send: send(q.tcp())
                for _ in range(60):
                    await each_second(clock, sink, 1)
                    await asyncio.sleep(0.02)
                    if sink.qualities(0)[-1] == OK:
                        break
        never_wrong(sink, [10])
        assert sink.qualities(0)[-1] == OK

    asyncio.run(main())


# The same on RS-485, where no transaction tells a late answer from a good one


def rtu_answers():
    return {
        "another unit": (lambda q: q.rtu(other(q), unit=q.unit + 1), BAD_REPLY),
        "another function": (lambda q: q.rtu(bytes((4,)) + other(q)[1:]), BAD_REPLY),
        "one register less": (lambda q: q.rtu(q.answer(WRONG * (q.count - 1))), BAD_REPLY),
        "one register more": (lambda q: q.rtu(q.answer(WRONG * (q.count + 1))), BAD_REPLY),
        "a flipped bit": (lambda q: flipped(q.rtu()), BAD_REPLY),
        "cut short": (lambda q: q.rtu()[:-1], BAD_REPLY),
        "noise": (lambda q: bytes(range(1, 40)), BAD_REPLY),
        "exception": (lambda q: q.rtu(b"\x83\x02"), BAD_REPLY),
        "silence": (lambda q: b"", TIMEOUT),
    }


def flipped(frame: bytes) -> bytes:
    return frame[:4] + bytes((frame[4] ^ 1,)) + frame[5:]


@pytest.mark.parametrize("name", rtu_answers())
def test_a_wrong_answer_on_rs485(name):
    make, expected = rtu_answers()[name]

    async def main():
        clock, sink = HandClock(), Sink()
        async with RawRtu(lambda q, send: send(make(q))) as server:
            wired = channels(source(10), source(11))
            line = Line(bus(rtu(server.path), timeout_ms=150), wired, clock, sink, rng=Random(1))
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 1)
                assert sink.qualities(0) == sink.qualities(1) == [expected]
                server.reply = lambda q, send: send(q.rtu())
                for _ in range(10):
                    await each_second(clock, sink, 1)
                    await asyncio.sleep(0.02)
                assert sink.qualities(0)[-1] == OK
        never_wrong(sink, [10, 11])

    asyncio.run(main())


@pytest.mark.parametrize("before", [b"\x00", b"\xff\x00", b"echo", b"\x01\x03", b"\x01\x83\x00"])
def test_noise_or_an_echo_before_an_answer_is_passed_over(before):
    async def main():
        clock, sink = HandClock(), Sink()

        def reply(q, send):
            echo = q.rtu(q.pdu)
            send((echo if before == b"echo" else before) + q.rtu())

        async with RawRtu(reply) as server:
            wired = channels(source(10), source(0x300))  # the echo of a read at 0x300 looks like an answer
            line = Line(bus(rtu(server.path), timeout_ms=500), wired, clock, sink)
            async with running(line):
                await ready(line)
                await each_second(clock, sink, 3)
        assert sink.qualities(0) == sink.qualities(1) == [OK] * 3
        never_wrong(sink, [10, 0x300])

    asyncio.run(main())


@pytest.mark.parametrize("retries", [0, 2])
def test_a_late_answer_on_rs485_is_never_taken_for_the_next_question(retries):
    """Requests of equal length to one instrument that thinks longer than the timeout, now and then."""
    rng = Random(retries)

    async def main():
        clock, sink = Clock(), Sink()
        busy = asyncio.Lock()  # an instrument answers one question after the other

        async def late(q, send):
            async with busy:
                await asyncio.sleep(rng.choice((0, 0, 0.04)))
                send(q.rtu())

        async with RawRtu(late) as server:
            wired = channels(*(source(register, poll_ms=100) for register in (10, 300, 600)))
            line = Line(
                bus(rtu(server.path), timeout_ms=30, retries=retries), wired, clock, sink, rng=Random(1)
            )
            async with running(line):
                await until(lambda: len(sink) >= 60)
        assert line.counters.units[1].timeouts > 1
        assert sink.values(0)
        never_wrong(sink, [10, 300, 600])

    asyncio.run(main())
