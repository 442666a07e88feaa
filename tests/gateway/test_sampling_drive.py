"""What fills bottles, with a real Modbus unit and a real device: only what was seen is said to be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.config_department import Sampler as Settings
from gateway.ingest import exchange as x
from gateway.ingest.coil import CoilWrite, contact
from gateway.ingest.line import Line
from gateway.sampling import drive as drive_module
from gateway.sampling.bottles import FILLED, NO_FEEDBACK, NOT_SENT, UNCHECKED
from gateway.sampling.drive import CoilDrive, Contact, channel_of, input_of
from protocol import quality as q
from simulator.sampler import ModbusSampler
from tests.gateway.line_rig import (
    HandClock,
    RawTcp,
    Sink,
    bus,
    channels,
    pymodbus_tcp,
    ready,
    rtu,
    running,
    source,
)
from tests.gateway.test_line_rtu import cable, pymodbus_rtu


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch):
    monkeypatch.setattr(drive_module, "LOOK_S", 0.02)
    monkeypatch.setattr(drive_module, "OPEN_S", 0.5)


@contextlib.asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    """A line that reads one register; its clock stands still, so that nothing but the sampler asks."""
    line = Line(bus(port), channels(source(0)), HandClock(), Sink())
    async with running(line):
        await ready(line)
        yield line


def settings(**more: Any) -> Settings:
    given = {"bus": "b", "coil": 0, "feedback_input": 0, "seconds": 0.4, "feedback_s": 2, **more}
    return Settings.model_validate(given)


def coil(line: Line, feedback: bool = True, **more: Any) -> CoilDrive:
    one = settings(**more)
    seen = Contact(input_of(line, one.unit, 0), one.feedback_s) if feedback else None
    return CoilDrive(one, line, seen)


def run(unit: ModbusSampler, case) -> None:
    async def main() -> None:
        async with pymodbus_tcp(unit.device) as port, line_to(port) as line:
            await case(line)

    asyncio.run(main())


def test_a_bottle_is_filled_and_the_contact_says_so():
    unit = ModbusSampler()

    async def case(line: Line) -> None:
        assert await coil(line).draw(1, "x") == (FILLED, "The feedback contact closed.")
        assert not unit.on and len(unit.fills) == 1 and unit.fills[0] >= 0.4

    run(unit, case)


def test_without_a_contact_nothing_is_claimed():
    unit = ModbusSampler()

    async def case(line: Line) -> None:
        state, text = await coil(line, feedback=False).draw(1, "x")
        assert state == UNCHECKED and "no contact tells more" in text and unit.begun == 1

    run(unit, case)


def test_a_contact_that_never_closes_is_said_plainly():
    unit = ModbusSampler(contact="open")

    async def case(line: Line) -> None:
        drawn = await coil(line, feedback_s=1).draw(1, "x")
        assert drawn == (NO_FEEDBACK, "The feedback contact did not close within 1 s.") and not unit.on

    run(unit, case)


def test_a_contact_that_is_stuck_proves_nothing():
    unit = ModbusSampler(contact="closed")

    async def case(line: Line) -> None:
        state, text = await coil(line).draw(1, "x")
        assert state == NOT_SENT and "stuck" in text and unit.begun == 0

    run(unit, case)


def test_the_contact_of_the_bottle_before_may_take_a_moment_to_open():
    unit = ModbusSampler(hold_s=0.3)

    async def case(line: Line) -> None:
        for number in (1, 2, 3):
            assert (await coil(line).draw(number, "x"))[0] == FILLED
        assert unit.begun == 3

    run(unit, case)


def test_the_control_a_stuck_contact_would_count_as_filled(monkeypatch):
    """Without the look before it, a contact that is always closed fills every bottle."""

    async def drawn(self, number, reason):
        await self._write(True)
        await self._write(False)
        return await drive_module._waited(self._feedback)

    monkeypatch.setattr(CoilDrive, "draw", drawn)
    with pytest.raises(AssertionError):
        test_a_contact_that_is_stuck_proves_nothing()


def test_a_unit_that_refuses_moves_nothing():
    unit = ModbusSampler()
    unit.refuses = True

    async def case(line: Line) -> None:
        assert await coil(line).draw(1, "x") == (NOT_SENT, "Unit 1 refuses: the coil is not on.")

    run(unit, case)


def test_a_line_that_is_down_moves_nothing():
    async def main() -> None:
        async with pymodbus_tcp(ModbusSampler().device) as port:
            pass
        line = Line(bus(port), channels(source(0)), HandClock(), Sink())
        async with running(line):
            await ready(line, up=False)
            assert (await coil(line, feedback=False).draw(1, "x"))[0] == NOT_SENT
            assert await coil(line).draw(1, "x") == (
                NOT_SENT, "The feedback contact cannot be read: nothing was begun."
            )  # fmt: skip

    asyncio.run(main())


def test_a_unit_that_does_not_answer_may_have_begun():
    async def main() -> None:
        async with RawTcp(lambda question, send: None) as server, line_to(server.port) as line:
            state, text = await coil(line, feedback=False).draw(1, "x")
            assert state == NO_FEEDBACK and "may have been on" in text and "may still be on" not in text
            asked = [(one.function, one.address, one.count) for one in server.questions]
            assert asked == [(5, 0, 0xFF00), (5, 0, 0)]

    asyncio.run(main())


def test_a_stop_switches_it_off():
    unit = ModbusSampler()

    async def case(line: Line) -> None:
        task = asyncio.create_task(coil(line, seconds=60.0).draw(1, "x"))
        while not unit.on:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not unit.on and task.cancelled()

    run(unit, case)


def test_what_a_killed_gateway_left_on_goes_off():
    unit = ModbusSampler()

    async def case(line: Line) -> None:
        await line.other(CoilWrite(1, 0, True))
        assert unit.on
        assert await coil(line).rest() and not unit.on

    run(unit, case)


def test_only_the_request_itself_is_the_answer_to_a_write():
    """Another address, another value, half of it: not on."""

    async def main() -> None:
        wrong = [
            b"\x05\x00\x01\xff\x00",
            b"\x05\x00\x00\x00\x00",
            b"\x05\x00\x00\xff",
            b"\x05\x00\x00\xff\x00\x00",
        ]

        def reply(question, send):
            send(question.tcp(wrong[len(server.questions) - 1]))

        async with RawTcp(reply) as server, line_to(server.port) as line:
            for _ in wrong:
                assert await line.other(CoilWrite(1, 0, True)) == (x.WRONG, None)
            server.reply = lambda question, send: send(question.tcp(question.pdu))
            assert await line.other(CoilWrite(1, 0, True)) == (x.ANSWER, b"\x00\x00\xff\x00")

    asyncio.run(main())


def test_over_rs485():
    """The same line, with the unit's own framing: echo of the request, its CRC, silence between frames."""
    unit = ModbusSampler()

    async def main() -> None:
        async with cable() as (ours, theirs), pymodbus_rtu(theirs, [unit.device], ()):
            line = Line(bus(rtu(ours), timeout_ms=500), channels(source(0)), HandClock(), Sink())
            async with running(line):
                await ready(line)
                assert await coil(line).draw(1, "x") == (FILLED, "The feedback contact closed.")
                assert not unit.on and unit.begun == 1

    asyncio.run(main())


def test_polls_go_on_beside_it():
    """Both are served by the line's one owner: no reading is lost for a bottle."""
    unit = ModbusSampler()

    async def main() -> None:
        clock, sink = HandClock(), Sink()
        async with pymodbus_tcp(unit.device) as port:
            line = Line(bus(port), channels(source(0)), clock, sink)
            async with running(line):
                await ready(line)
                task = asyncio.create_task(coil(line).draw(1, "x"))
                while not task.done():
                    clock.advance(1000)
                    await asyncio.sleep(0.05)
                assert task.result()[0] == FILLED
                assert len(sink) >= 8 and set(sink.qualities(0)) == {q.OK}
                assert line.counters.units[1].skipped_polls == 0
                outcome, data = await line.other(contact(1, 0))
                assert outcome == x.ANSWER and len(data) == 1

    asyncio.run(main())


def test_a_channel_as_a_contact():
    values: dict[str, tuple[float | None, int]] = {}
    closed = channel_of(lambda symbol: values.get(symbol, (None, q.NO_DATA)), "Full", q.OK)

    async def main() -> list[bool | None]:
        found = [await closed()]
        for value in ((1.0, q.OK), (0.0, q.OK), (1.0, q.TIMEOUT), (None, q.OK)):
            values["Full"] = value
            found.append(await closed())
        return found

    assert asyncio.run(main()) == [None, True, False, None, None]
