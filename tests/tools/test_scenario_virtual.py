"""tools/scenario/virtual.py: time jumps, sockets are waited for, a killed part never does anything again."""

from __future__ import annotations

import asyncio
import time

import pytest

from tools.scenario.virtual import BEGIN_S, Part, VirtualLoop, bury, run

DAY_S = 86_400.0


def loop() -> VirtualLoop:
    found = asyncio.get_running_loop()
    assert isinstance(found, VirtualLoop)
    return found


def test_days_pass_in_moments_and_talk_over_sockets_takes_no_time():
    async def main() -> tuple[float, list[float]]:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        took = []
        for size in (1, 100_000, 3_000_000):  # the last one has to wait for the reader, again and again
            await asyncio.sleep(10 * DAY_S)
            began_s = loop().time()
            writer.write(bytes(size))
            async with asyncio.timeout(30):
                await reader.readexactly(size)
            took.append(loop().time() - began_s)
        writer.close()
        server.close()
        return loop().time(), took

    ended_s, took = run(main())
    assert ended_s == pytest.approx(BEGIN_S + 30 * DAY_S)
    assert took == [0, 0, 0]


def test_a_silent_peer_costs_virtual_time_only():
    async def main() -> float:
        async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(DAY_S)

        server = await asyncio.start_server(nothing, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(8_000_000))  # nobody takes all of it
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await reader.read(1)
        writer.transport.abort()
        return loop().time()

    assert run(main()) == pytest.approx(BEGIN_S + 3600)


def test_slack_makes_timers_of_a_part_late_and_never_early():
    async def main() -> list[float]:
        async def ticks() -> list[float]:
            found = []
            for seconds in (0.2, 3.0, 9.9, 10.0, 0.2):
                due_s = loop().time() + seconds
                await asyncio.sleep(seconds)
                found.append(loop().time() - due_s)
            return found

        return await Part("late", 5.0).create_task(ticks())

    late = run(main())
    assert all(0 <= seconds < 5.0 for seconds in late) and max(late) > 0


def test_a_prompt_task_and_what_it_starts_are_not_late():
    async def main() -> tuple[list[float], list[float]]:
        async def ticks() -> list[float]:
            found = []
            for seconds in (0.2, 0.5, 7.0):
                due_s = loop().time() + seconds
                await asyncio.sleep(seconds)
                found.append(loop().time() - due_s)
            return found

        async def asks() -> list[float]:
            return await asyncio.create_task(ticks())

        part = Part("late", 20.0, (asks.__qualname__,))
        return await part.create_task(asks()), await part.create_task(ticks())

    prompt, late = run(main())
    assert prompt[:2] == pytest.approx([0, 0]) and prompt[2] <= 5
    assert max(late) > 5, "control: any other task of the part is"


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "control"])
def test_a_killed_part_does_nothing_any_more_and_its_peer_sees_the_end(killed):
    """Control: cancelled as asyncio does it, the part still says goodbye."""
    said: list[str] = []

    async def main() -> bytes:
        async def program(port: int) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"hello ")
                asyncio.get_running_loop().call_later(50, said.append, "a timer")
                await asyncio.sleep(100)
            finally:
                said.append("finally")
                writer.write(b"goodbye")
                writer.close()

        heard = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result(await reader.read(-1))
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        part = Part("program")
        task = part.create_task(program(server.sockets[0].getsockname()[1]))
        await asyncio.sleep(10)
        if killed:
            loop().kill(part)
        else:
            task.cancel()
        await asyncio.sleep(1000)
        server.close()
        said.append("the end")
        return await heard

    heard = run(main())
    before_the_end = said[: said.index("the end")]
    assert (heard, before_the_end) == (
        (b"hello ", []) if killed else (b"hello goodbye", ["finally", "a timer"])
    )


@pytest.mark.parametrize("control", [False, True], ids=["buried", "control"])
def test_a_task_that_was_about_to_go_on_when_it_was_killed_can_be_buried(control, monkeypatch):
    """Control: nobody wakes it, and the loop cannot end."""
    monkeypatch.setattr("tools.scenario.virtual.REAL_S_MAX", 0.1)
    said: list[str] = []

    async def main() -> None:
        answer = loop().create_future()

        async def program() -> None:
            try:
                said.append(await answer)
            finally:
                said.append("finally")

        part = Part("program")
        part.create_task(program())
        await asyncio.sleep(1)
        answer.set_result("went on")
        loop().kill(part)
        await asyncio.sleep(1)
        assert said == []
        if control:
            part.woken.clear()
        await bury(part)

    if control:
        with pytest.raises(RuntimeError, match="nothing will ever happen"):
            run(main())
    else:
        run(main())
        assert said == ["finally"]


def test_what_never_happens_is_said(monkeypatch):
    monkeypatch.setattr("tools.scenario.virtual.REAL_S_MAX", 0.1)

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing will ever happen"):
        run(main())


def test_paced_it_takes_real_time():
    began_s = time.monotonic()
    run(asyncio.sleep(10), pace=0.03)
    assert time.monotonic() - began_s >= 0.29
