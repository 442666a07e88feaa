"""tools/station/link.py and console.py: against the real firmware over a pty, and against bytes of others."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys

import pytest

from protocol import framing, messages, quality
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from simulator.bus import PtyPair
from simulator.station import StationProcess
from tests.firmware.bench import DEVICE, KEY, ROOT, Gateway, serial_server, station, unit, until, value
from tests.tools.live_rig import Rig, Run, cod, ph
from tools.people import Failure, UsageError
from tools.station.console import View, parse_command
from tools.station.link import StationLink, read_key


async def console(*arguments, typed=b"", seconds=30):
    """(status, objects on stdout, stderr) of a console process to which `typed` is typed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.cli", "station", "console", *map(str, arguments), "--json",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(typed), seconds + 30)
    return process.returncode, [json.loads(line) for line in out.splitlines()], errors.decode()


DOOR = {"id": "door", "kind": "door", "pin": 10}


def of(lines, what):
    return [line for line in lines if line["what"] == what]


class Bench:
    """A device on one end of a cable, instruments on its bus; `port` is the other end of the cable."""

    def __init__(self, tmp_path, **more):
        self.path = tmp_path
        self.port = tmp_path / "port"
        link = {"kind": "serial", "path": str(tmp_path / "link"), "baud": 115200}
        self.directory = station(tmp_path, link, [unit(2, [value(0, 0), value(1, 2)])], **more)

    async def __aenter__(self):
        self._server = serial_server(self.path, {2: [0x41C8, 2, 0x4248, 0, 0, 0, 0, 0]})
        await self._server.__aenter__()
        self._cable = await PtyPair(self.path / "link", self.port).start()
        self.device = await StationProcess(self.directory).start()
        return self

    async def __aexit__(self, *_):
        await self.device.kill()
        await self._cable.stop()
        await self._server.__aexit__(None, None, None)


def test_a_technician_looks_and_asks(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            typed = b"status\nread bus=rs485 unit=2 function=3 address=0 count=2\nlog\nnonsense\n"
            typed += b"log x\nrelay id={1}\nlog a={[]:1}\n"
            status, lines, errors = await console(
                "--port", bench.port, "--key", bench.directory / "link.key", "--seconds", 6, typed=typed
            )
            assert status == 0, errors
            (hello,) = of(lines, "station")
            assert (hello["id"], hello["channels"], hello["proven"]) == (DEVICE, ["c0", "c1"], True)
            results = {line["name"]: line for line in of(lines, "result")}
            assert results["status"]["data"]["boot"] == hello["boot"] and results["status"]["ok"]
            assert results["read"]["data"] == [0x41C8, 2]
            assert results["log"]["text"] == "no crash is known"
            assert not results["nonsense"]["ok"] and "status" in results["nonsense"]["text"]
            assert any("name=value" in line["text"] for line in of(lines, "note"))
            assert any("cannot be sent" in line["text"] for line in of(lines, "note")) and not errors
            readings = {line["channel"]: line["value"] for line in of(lines, "reading")}
            assert readings["c1"] == 50.0 and 25.0 <= readings["c0"] < 25.1

    asyncio.run(main())


def test_on_a_terminal_with_the_folder(tmp_path):
    """The folder is enough: its key, its units; tables, status and help fit the window."""

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)], inputs=[DOOR]) as rig:
            run = Run("console", "--port", rig.port, "--dir", rig.folder, size=(72, 40))
            await run.until("hach-codmax2")
            await run.until("mg/l")
            run.type("help\n")
            await run.until("quit")
            run.type("read bus=rs485 unit=2 function=3 address=0 count=2\n")
            await run.until("AE14 4228  (44564, 16936)")
            run.type("nonsense\n")
            await run.until("nonsense: refused: no such command")
            run.type("quit\n")
            assert await run.ended() == 0, run.text
            text = " ".join(run.text.split())
            assert "cod 42.17 mg/l OK" in text and "ph 7.12 OK" in text
            assert "inputs door off" in text and "unit instrument requests" in text
            assert max(len(line) for line in run.lines) <= 72 and "Traceback" not in run.text
            run = Run("console", "--port", rig.port, "--dir", tmp_path)
            assert await run.ended() == 2 and "no station's folder" in run.text

    asyncio.run(main())


def test_nothing_that_is_shown_is_lost_to_the_gateway(tmp_path):
    """The console takes the gateway's place for a while; afterwards every record from 1 on arrives, once."""

    async def main():
        async with Bench(tmp_path) as bench:
            async with StationLink(str(bench.port), KEY) as link:
                await link.greeted()
                assert await link.wait(lambda: len(link.station.readings) == 2, 20)
                await asyncio.sleep(8)  # beyond the pause that the link asks for: everything is sent again
                assert (await link.command("status")).ok
                boot = link.station.hello.boot
            gateway = Gateway()
            async with StationLink(str(bench.port)) as wire:  # no key: only its bytes are used
                wire.feed = gateway.feed
                gateway.write = lambda data: wire._write(data)
                await until(lambda: len(gateway.rows()) > 50, "readings at the gateway")
            assert gateway.complete(boot) > 50 and gateway.events(messages.START)

    asyncio.run(main())


def test_a_broken_configuration_is_safe_mode_with_its_reason(tmp_path):
    async def main():
        async with Bench(tmp_path, memory_records="many") as bench:
            status, lines, errors = await console(
                "--port", bench.port, "--key", bench.directory / "link.key", "--seconds", 6, typed=b"status\n"
            )
            assert status == 0, errors
            (safe,) = {line["reason"] for line in of(lines, "safe")}
            assert "memory_records" in safe and "whole number" in safe
            events = {line["kind"]: line["detail"] for line in of(lines, "event")}
            assert "memory_records" in events["SAFE_MODE"] and "START" in events
            assert of(lines, "station")[0]["channels"] == []

    asyncio.run(main())


def test_what_is_not_proven_is_not_believed(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            wrong = tmp_path / "wrong.key"
            wrong.write_text("ee" * 32)
            async with StationLink(str(bench.port), bytes(32)) as link:
                with pytest.raises(Failure, match="another key or id"):
                    await link.greeted(5)
                assert link.station is None and link.strangers
            async with StationLink(str(bench.port), KEY, "st-02") as link:
                with pytest.raises(Failure, match="another key or id"):
                    await link.greeted(10)  # it greets every 8 s at the latest
            status, lines, _ = await console("--port", bench.port, "--seconds", 10)
            assert status == 0 and [line["proven"] for line in of(lines, "station")] == [False]
            assert not of(lines, "reading") and not of(lines, "event")

    asyncio.run(main())


def test_a_station_that_dials_over_tcp(tmp_path):
    async def main():
        async with StationLink("tcp://127.0.0.1:0", KEY) as link:
            tcp = {"kind": "tcp", "host": "127.0.0.1", "port": link.listening}
            device = await StationProcess(station(tmp_path, tcp, [unit(2, [value(0, 0)])])).start()
            assert (await link.greeted(30)).id == DEVICE
            assert (await link.command("status")).data["board"] == "unix"
            await device.kill()

    asyncio.run(main())


def test_nobody_there_is_a_sentence(tmp_path):
    async def main():
        cable = await PtyPair(tmp_path / "a", tmp_path / "b").start()
        async with StationLink(str(tmp_path / "b"), KEY) as link:
            with pytest.raises(Failure, match="nothing came"):
                await link.greeted(0.3)
            with pytest.raises(Failure, match="No answer"):
                await link.command("status", seconds=0.3)
            cable.inject(to_b=b"\x01\x02\x03\x00" * 50)
            with pytest.raises(Failure, match="only noise"):
                await link.greeted(0.5)
        async with StationLink(str(tmp_path / "b")) as link:
            with pytest.raises(UsageError, match="--key"):
                await link.command("status")
        await cable.stop()
        assert (await console("--port", tmp_path / "nothing"))[0] == 1
        (tmp_path / "file").write_text("x")
        assert (await console("--port", tmp_path / "file"))[0] == 2
        (tmp_path / "bad.key").write_text("xyz")
        status, _, errors = await console("--port", "tcp://127.0.0.1:0", "--key", tmp_path / "bad.key")
        assert status == 2 and "64 hexadecimal digits" in errors and "Traceback" not in errors
        status, _, errors = await console("--port", "tcp://nowhere")
        assert status == 2 and "tcp://host:port" in errors

    asyncio.run(main())


def test_a_counter_that_was_used_is_replaced(tmp_path):
    """The device asks for a higher one: the link takes it, without a person noticing."""

    async def main():
        cable = await PtyPair(tmp_path / "a", tmp_path / "b").start()
        mac = Mac0(DEVICE, KEY)
        asked = []

        async with StationLink(str(tmp_path / "b"), KEY) as link:

            def say(message):
                cable.inject(to_b=framing.encode(mac.seal(messages.encode(message))))

            def send(message):
                if isinstance(message, messages.Command):
                    asked.append(message)
                    counter = message.counter
                    needed = 1 << 43
                    if len(asked) == 2:
                        return  # lost on the way
                    if counter < needed:
                        text = f"counter {counter} was used: write {needed} or more"
                        say(messages.Result(message.id, False, text, needed))
                    else:
                        say(messages.Result(message.id, True, "done", None))

            link.send = send
            say(messages.Hello(1, "x", DEVICE, 5, bytes(8), bytes(8), [], 5, 1, 0, 100, "power"))
            await link.greeted(5)
            result = await link.command("reboot", seconds=20)
        await cable.stop()
        assert result.ok and len(asked) == 3 and asked[1] == asked[2] and asked[2].counter == 1 << 43

    asyncio.run(main())


def test_a_command_that_ends_in_a_restart_is_not_given_again(tmp_path):
    """Its answer is lost, the device comes back and knows only its counter: a second sample is not drawn."""

    async def main():
        cable = await PtyPair(tmp_path / "a", tmp_path / "b").start()
        mac = Mac0(DEVICE, KEY)
        drawn = []

        async with StationLink(str(tmp_path / "b"), KEY) as link:

            def say(message):
                cable.inject(to_b=framing.encode(mac.seal(messages.encode(message))))

            def send(message):
                if isinstance(message, messages.Command):
                    if message.counter not in drawn:
                        drawn.append(message.counter)
                        return  # it acts, and starts anew before its answer is out
                    text = f"counter {message.counter} was used: write {message.counter + 1} or more"
                    say(messages.Result(message.id, False, text, message.counter + 1))

            link.send = send
            say(messages.Hello(1, "x", DEVICE, 5, bytes(8), bytes(8), [], 5, 1, 0, 100, "power"))
            await link.greeted(5)
            with pytest.raises(Failure, match="answer is lost"):
                await link.command("sample", seconds=20)
        await cable.stop()
        assert len(drawn) == 1

    asyncio.run(main())


def test_a_device_that_refuses_every_counter_is_refused_itself(tmp_path):
    async def main():
        cable = await PtyPair(tmp_path / "a", tmp_path / "b").start()
        mac = Mac0(DEVICE, KEY)
        async with StationLink(str(tmp_path / "b"), KEY) as link:

            def say(message):
                cable.inject(to_b=framing.encode(mac.seal(messages.encode(message))))

            def send(message):
                if isinstance(message, messages.Command):
                    say(messages.Result(message.id, False, f"counter {message.counter} was used", 5))

            link.send = send
            say(messages.Hello(1, "x", DEVICE, 5, bytes(8), bytes(8), [], 5, 1, 0, 100, "power"))
            await link.greeted(5)
            assert not (await asyncio.wait_for(link.command("status"), 20)).ok
        await cable.stop()

    asyncio.run(main())


@pytest.mark.parametrize("as_json", [True, False])
def test_whatever_a_device_says_is_shown_without_harm(as_json):
    out = io.StringIO()
    view = View(as_json, out)
    link = StationLink("nowhere", KEY, None, view.message, view.note)
    view.link = link
    mac = Mac0(DEVICE, KEY)
    table = [("c0", 1000, 0, ()), ("c\x1b[2J", 1000, 0, ())]
    far = (1 << 53) - 1
    for message in (
        messages.Hello(1, "\x1b]0;owned\x07", DEVICE, 5, bytes(8), bytes(8), table, 5, 1, 0, 100, "po\rwer"),
        messages.Event(5, 1, far, 1, messages.DOOR, "open\x1b[31m\x9b"),
        messages.Event(5, 2, far, 1, 200, {"x": [b"\x00", float("nan")]}),
        messages.Readings(5, 3, far, 1, [(0, 0, 0x7FC00000, 0, 0), (1, 0, 0x7F800000, 0, 0)]),
        messages.Now(bytes(8), far, 1, [(0, 9, 0x41C80000, 0, 0), (1, 0, None, quality.TIMEOUT, 0)]),
        messages.Result(7, True, "\x1b[H", {"x": float("inf"), "y": "\x07"}),
        messages.Result(
            8, True, "", {"inputs": [1, ["\x1b", 2]], "units": [["\x1b", *range(7)], 5], "heap": {}}
        ),
    ):
        link.feed(framing.encode(mac.seal(messages.encode(message))))
        view._readings(link.station)
        if isinstance(message, messages.Result):
            view.result("status", message)
    said = out.getvalue()
    assert said.count("\n") >= 6 and not set(said) & set("\x1b\x07\r\x00")
    assert as_json or "\x9b" not in said
    if as_json:
        for line in said.splitlines():
            json.loads(line, parse_constant=pytest.fail)


def test_readings_are_shown_again_once_the_clock_was_set_back(tmp_path):
    """A device whose clock ran ahead was told the time: what it measures now is older than what was shown."""

    async def main():
        link = StationLink("nowhere", KEY)
        mac = Mac0(DEVICE, KEY)

        def say(message):
            link.feed(framing.encode(mac.seal(messages.encode(message))))

        def send(message):
            if isinstance(message, messages.Command):
                say(messages.Result(message.id, True, "it is", 1))

        link.send = send
        table = [("c0", 1000, 0, ())]
        say(messages.Hello(1, "x", DEVICE, 5, bytes(8), bytes(8), table, 5, 1, 1, 100, "power"))
        say(messages.Readings(5, 1, 1 << 42, 1, [(0, 0, 0x41C80000, 0, 0)]))
        assert (await link.command("time", {"time_ms": 1 << 41})).ok
        say(messages.Readings(5, 2, 1 << 41, 1, [(0, 0, 0x42480000, 0, 0)]))
        assert link.station.readings["c0"].value == 50.0

    asyncio.run(main())


@pytest.mark.parametrize(
    "port", ["tcp://a..b:70", "tcp://256.1.1.1:70", "tcp://x", "tcp://1.2.3.4:x", "tcp://:5"]
)
def test_an_address_that_is_none(port):
    async def main():
        with pytest.raises(UsageError, match="tcp://"):
            async with StationLink(port, KEY):
                pass

    asyncio.run(main())


@pytest.mark.parametrize(
    "line",
    [
        "id={[]:1}",
        "id={1,2}",
        "id=1j",
        "id=...",
        "id=" + "9" * 30,
        "id=" + "9" * 6000,
        "id='" + "x" * 3000 + "'",
        "a=" + "[" * 5000,
        "a=" + "-" * 20000 + "1",
        "id={1:2,'a':{2.5:1}}",
        "a=a\0b",
        "x" * 33 + "=1",
    ],
    ids=lambda line: line[:12],
)
def test_typing_errors_are_sentences(line):
    name, arguments = parse_command("relay " + line)
    command = messages.Command(5, 5, name, arguments)
    with contextlib.suppress(ProtocolError):  # of which the console makes a note
        framing.encode(Mac0(DEVICE, KEY).seal(messages.encode(command)))


def test_commands_as_they_are_typed():
    assert parse_command("status") == ("status", None)
    assert parse_command("relay id=pump on=True pulse_ms=500") == (
        "relay",
        {"id": "pump", "on": True, "pulse_ms": 500},
    )
    assert parse_command("calibrate points=[[0,0.5],[4,4.5]]")[1] == {"points": [[0, 0.5], [4, 4.5]]}
    assert parse_command("time")[1]["time_ms"] > 1_700_000_000_000
    for wrong in ("read x", "read =5"):
        with pytest.raises(ValueError, match="name=value"):
            parse_command(wrong)


def test_a_key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY.hex() + "\n")
    assert read_key(path) == KEY
    with pytest.raises(UsageError, match="nowhere"):
        read_key(tmp_path / "nowhere")
    for wrong in ("", "00", "zz" * 32, "00" * 33, "é" * 64):
        path.write_text(wrong)
        with pytest.raises(UsageError, match="64 hexadecimal"):
            read_key(path)
