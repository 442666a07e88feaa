"""Commands over a real link: counters only rise, all is in the journal, who asks is told what is known."""

from __future__ import annotations

import asyncio
import itertools
from hashlib import sha256

import pytest

from gateway.errors import CommandError, JournalError, NoAnswer, NotConnected
from gateway.ingest import commands as commands_module
from gateway.journal.journal import Journal
from gateway.journal.kinds import COMMAND, EVENT
from gateway.journal.reader import Reader
from protocol import cbor, framing
from protocol.cose import Mac0
from protocol.messages import Command, Result, decode
from tests.gateway.intake_rig import KEY, NOW, OTHER_KEY, Rig, hello, until, wire

NONCES = itertools.count(1)


class Scripted:
    """A device that answers commands as `answer(command)` says: a Result, several, or None for silence."""

    def __init__(self, answer=lambda command: Result(command.id, True, "done", None)):
        self.answer = answer
        self.commands: list[Command] = []

    async def connect(self, rig: Rig, boot: int = 1) -> Scripted:
        reader, self.writer = await asyncio.open_connection("127.0.0.1", rig.port())
        self.writer.write(wire(hello(boot=boot, nonce=next(NONCES))))
        self._reading = asyncio.create_task(self._read(reader))
        await until(lambda: rig.links["st-01"].live is not None)
        return self

    async def _read(self, reader) -> None:
        decoder, mac = framing.Decoder(), Mac0("st-01", KEY)
        while data := await reader.read(4096):
            for body in decoder.feed(data):
                message = decode(mac.open(body))
                if isinstance(message, Command):
                    self.commands.append(message)
                    found = self.answer(message)
                    for result in found if isinstance(found, list) else [found] if found else []:
                        self.writer.write(result if isinstance(result, bytes) else wire(result))

    async def leave(self, rig: Rig) -> None:
        self.writer.close()
        await until(lambda: rig.links["st-01"].live is None)


def run(tmp_path, use, now_ms: int = NOW):
    """`use(rig, connect)` with a gateway on tmp_path's journal; connect(answer) gives a connected device."""

    async def main():
        async with Rig(tmp_path / "journal.db", now_ms=now_ms) as rig:

            async def connect(*answer):
                return await Scripted(*answer).connect(rig)

            return await use(rig, connect)

    return asyncio.run(main())


def journaled(tmp_path) -> list[list]:
    reader = Reader(tmp_path / "journal.db")
    said = [cbor.loads(e.body) for e in reader.entries(kinds=(COMMAND,)) if e.body]
    reader.close()
    return said


def test_a_command_is_answered_and_written_down(tmp_path):
    async def use(rig, connect):
        device = await connect(lambda c: Result(c.id, True, "the relay is on", {"day": 3}))
        result = await rig.intake.command("st-01", "relay", ["pump", 1, 500], who="Lan")
        assert result == Result(NOW & 0xFFFFFFFF, True, "the relay is on", {"day": 3})
        assert device.commands == [Command(NOW, NOW & 0xFFFFFFFF, "relay", ["pump", 1, 500])]
        assert rig.intake.counters.link("st-01").results == 1

    run(tmp_path, use)
    assert journaled(tmp_path) == [
        ["command", "st-01", "Lan", NOW, NOW & 0xFFFFFFFF, "relay", ["pump", 1, 500]],
        ["result", "st-01", NOW & 0xFFFFFFFF, True, "the relay is on", {"day": 3}],
    ]


def test_a_refusal_is_an_answer(tmp_path):
    async def use(rig, connect):
        device = await connect(lambda c: Result(c.id, False, "the relay is locked", None))
        result = await rig.intake.command("st-01", "relay")
        assert (result.ok, result.text, len(device.commands)) == (False, "the relay is locked", 1)

    run(tmp_path, use)


def counters(device: Scripted) -> list[int]:
    return [command.counter - NOW for command in device.commands]


def test_counters_rise_within_a_millisecond_with_the_clock_set_back_and_over_restarts(tmp_path):
    async def first(rig, connect):
        device = await connect()
        await asyncio.gather(*(rig.intake.command("st-01", "status") for _ in range(3)))
        rig.now_ms -= 3_600_000
        await rig.intake.command("st-01", "status")
        rig.now_ms += 7_200_000
        await rig.intake.command("st-01", "status")
        return counters(device)

    async def second(rig, connect):
        device = await connect()
        await rig.intake.command("st-01", "status")
        return counters(device)

    assert run(tmp_path, first) == [0, 1, 2, 3, 3_600_000]
    assert run(tmp_path, second, now_ms=NOW - 86_400_000) == [3_600_001]


async def say_as_before(tmp_path, *counters: int) -> None:
    """Commands as journals had them before they were a kind of their own."""
    journal = Journal(tmp_path / "journal.db")
    journal.open(["device/st-01"])
    journal.start()
    source = journal.source("device/st-01")
    bodies = [cbor.dumps(["command", "st-01", "Lan", n, n & 0xFFFFFFFF, "status", None]) for n in counters]
    entries = [(EVENT, source, 0, 0, 0, NOW, 1, None, None, body) for body in bodies]
    await journal.commit(entries=entries, now_ms=NOW)
    await journal.close()


@pytest.mark.parametrize("old, new", [(5_000_000, 0), (-5, 3)])
def test_counters_of_older_journals_count(tmp_path, old, new):
    """The newest of both sorts, whichever it is."""

    async def use(rig, connect):
        device = await connect()
        await rig.intake.command("st-01", "status")
        return counters(device)

    if new:
        run(tmp_path, use, now_ms=NOW + new)
    asyncio.run(say_as_before(tmp_path, NOW + old - 10, NOW + old, NOW + old - 20))
    assert run(tmp_path, use, now_ms=NOW - 1000) == [max(old, new) + 1]


def test_the_control_a_counter_by_the_clock_alone_would_fall(tmp_path, monkeypatch):
    monkeypatch.setattr(commands_module, "max", lambda now, counter: now, raising=False)
    with pytest.raises(AssertionError):
        test_counters_rise_within_a_millisecond_with_the_clock_set_back_and_over_restarts(tmp_path)


@pytest.mark.parametrize("plain", [True, False])
def test_a_refused_counter_is_repeated_once_above_the_one_that_is_needed(tmp_path, plain):
    """A technician's laptop with a clock ahead has commanded before."""
    needed = NOW + 5_000_000

    def answer(command):
        if command.counter <= needed:
            return Result(
                command.id, False, "the counter is too low", needed if plain else {"counter": needed}
            )
        return Result(command.id, True, "", None)

    async def use(rig, connect):
        device = await connect(answer)
        assert (await rig.intake.command("st-01", "time", who="web")).ok
        assert counters(device) == [0, 5_000_001]
        assert (await rig.intake.command("st-01", "time")).ok
        assert counters(device)[2:] == [5_000_002]  # known from now on, over a restart as well
        device.answer = lambda command: Result(command.id, False, "no", command.counter)
        assert not (await rig.intake.command("st-01", "time")).ok
        assert len(device.commands) == 5  # once

    run(tmp_path, use)
    assert [event[0] for event in journaled(tmp_path)] == ["command", "result"] * 5


def test_a_refusal_with_another_number_is_not_repeated(tmp_path):
    async def use(rig, connect):
        device = await connect(lambda c: Result(c.id, False, "register 7 does not answer", 7))
        assert not (await rig.intake.command("st-01", "read")).ok
        assert len(device.commands) == 1

    run(tmp_path, use)


def test_who_is_not_there_is_told_of(tmp_path):
    async def use(rig, connect):
        with pytest.raises(CommandError, match=r"There is no device 'st-09'.*st-01"):
            await rig.intake.command("st-09", "status")
        with pytest.raises(NotConnected, match=r"not connected: nothing was sent\. Check its power"):
            await rig.intake.command("st-01", "status")
        device = await connect()
        with pytest.raises(CommandError, match="Shorten"):
            await rig.intake.command("st-01", "chunk", bytes(2000))
        with pytest.raises(CommandError, match="Shorten"):
            await rig.intake.command("st-01", "n" * 33)
        with pytest.raises(CommandError, match="Shorten"):
            await rig.intake.command("st-01", "status", object())
        assert (await rig.intake.command("st-01", "status")).ok
        await device.leave(rig)
        with pytest.raises(NotConnected):
            await rig.intake.command("st-01", "status")

    run(tmp_path, use)
    assert len(journaled(tmp_path)) == 2  # of what was never sent nothing is said


def test_no_answer_says_that_nobody_knows(tmp_path):
    async def use(rig, connect):
        device = await connect(lambda command: None)
        with pytest.raises(NoAnswer, match=r"did not answer 'reboot' within 0\.1 s.*is not known: ask"):
            await rig.intake.command("st-01", "reboot", timeout_s=0.1)
        device.writer.write(wire(Result(device.commands[0].id, True, "late", None)))
        device.answer = lambda c: [
            Result(c.id - 1, True, "another's", None),
            Result(c.id, True, "mine", None),
        ]
        assert (await rig.intake.command("st-01", "status")).text == "mine"
        assert len(device.commands) == 2

    run(tmp_path, use)
    assert [event[3] for event in journaled(tmp_path) if event[0] == "result"] == [None, True]


def test_results_of_others_are_none(tmp_path):
    async def use(rig, connect):
        def answer(command):
            forged = Result(command.id, True, "forged", None)
            return [
                wire(forged, key=OTHER_KEY),
                wire(forged, device="st-02"),
                Result(command.id, True, "mine", 1),
            ]

        await connect(answer)
        assert (await rig.intake.command("st-01", "status")).text == "mine"

    run(tmp_path, use)


def test_an_answer_may_come_over_the_next_connection(tmp_path):
    async def use(rig, connect):
        first = await connect(lambda command: None)
        asking = asyncio.create_task(rig.intake.command("st-01", "config"))
        await until(lambda: first.commands)
        await first.leave(rig)
        second = await connect()
        second.writer.write(wire(Result(first.commands[0].id, True, "accepted", None)))
        assert (await asking).text == "accepted"

    run(tmp_path, use)


def test_one_at_a_time_in_the_order_of_their_counters(tmp_path):
    async def use(rig, connect):
        device = await connect(lambda command: None)
        asking = [asyncio.create_task(rig.intake.command("st-01", f"c{i}", timeout_s=5)) for i in range(4)]
        for i in range(4):
            await until(lambda i=i: len(device.commands) == i + 1)
            await asyncio.sleep(0.02)
            assert len(device.commands) == i + 1
            device.writer.write(wire(Result(device.commands[-1].id, True, str(i), None)))
        assert [(await task).text for task in asking] == ["0", "1", "2", "3"]
        assert counters(device) == sorted(counters(device))

    run(tmp_path, use)


def test_what_is_long_is_written_down_by_its_hash(tmp_path):
    piece = bytes(range(256)) * 2

    async def use(rig, connect):
        device = await connect(lambda c: Result(c.id, True, "", [0] * 400))
        await rig.intake.command("st-01", "chunk", {"at": 512, "data": piece})
        assert device.commands[0].args == {"at": 512, "data": piece}

    run(tmp_path, use)
    command, result = journaled(tmp_path)
    encoded = cbor.dumps({"at": 512, "data": piece})
    assert command[6] == {"size": len(encoded), "sha256": sha256(encoded).digest()}
    assert result[5]["size"] == 403


def test_a_command_is_on_disk_before_it_is_sent(tmp_path):
    async def use(rig, connect):
        device = await connect()
        order = []
        commit, device_ = rig.journal.commit, rig.intake.devices["st-01"]
        send = device_.send

        async def committing(**work):
            job = await commit(**work)
            order.append(cbor.loads(work["entries"][0][9])[0])
            return job

        rig.journal.commit = committing
        device_.send = lambda data: (order.append("sent"), send(data))[1]
        await rig.intake.command("st-01", "status")
        assert order == ["command", "sent", "result"]

        async def failing(**work):
            raise JournalError("no")

        rig.journal.commit = failing
        with pytest.raises(JournalError):
            await rig.intake.command("st-01", "status")
        rig.journal.commit = commit
        assert len(device.commands) == 1

    run(tmp_path, use)


def test_whoever_gives_up_leaves_nothing_behind(tmp_path):
    async def use(rig, connect):
        device = await connect(lambda command: None)
        asking = asyncio.create_task(rig.intake.command("st-01", "status"))
        await until(lambda: device.commands)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        device.answer = lambda c: Result(c.id, True, "", None)
        assert (await rig.intake.command("st-01", "status")).ok
        assert rig.intake._commands["st-01"]._waiting == {}

    run(tmp_path, use)


def test_a_device_that_takes_nothing(tmp_path):
    class Blocked:
        def __init__(self, transport):
            self._transport = transport

        def get_write_buffer_size(self):
            return 1 << 20

        def __getattr__(self, name):
            return getattr(self._transport, name)

    async def use(rig, connect):
        await connect()
        live = rig.links["st-01"].live
        live.transport = Blocked(live.transport)
        with pytest.raises(NotConnected, match="takes nothing"):
            await rig.intake.command("st-01", "status")

    run(tmp_path, use)
