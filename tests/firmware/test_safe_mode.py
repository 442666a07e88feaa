"""Safe mode, crashes and restarts with the real firmware process, over its link as the gateway has it."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import re
import signal
from pathlib import Path

import pytest

from firmware import config
from protocol import messages
from protocol.errors import ConfigError
from protocol.session import span
from simulator.station import RESET_STATUS, StationProcess
from tests.firmware.bench import DEVICE, KEY, serial_server, station, unit, value
from tests.protocol.test_runtimes import ROOT, micropython
from tools.people import Failure
from tools.station.link import StationLink

RUNTIMES = [pytest.param("", id="micropython"), pytest.param(None, id="cpython")]
STATE_FILES = ("crash", "counter", "calibration", "sampler", "update", "trial", "reset")  # not the store's
PER_RUN = 6  # fields broken in a real process in each run; in this process all of them are


class GatewayEnd(StationLink):
    """Acknowledges what comes, as the gateway does: records of former starts are out of the way at once."""

    def _take(self, message) -> None:
        super()._take(message)
        names = span(message)
        if names is not None and self.station is not None:
            self.send(messages.Ack(self.station.hello.nonce, names[0], names[2], 0, False, 0))

    def _hold_off(self, hello) -> None:
        pass


class Bench:
    """A device whose link is TCP to a GatewayEnd."""

    def __init__(self, tmp_path: Path, interpreter: str | None = "", **more) -> None:
        self._path, self._interpreter, self._more = tmp_path, interpreter, more

    async def __aenter__(self) -> Bench:
        self.link = await GatewayEnd("tcp://127.0.0.1:0", KEY).__aenter__()
        tcp = {"kind": "tcp", "host": "127.0.0.1", "port": self.link.listening}
        self.directory = station(self._path, tcp, [unit(2, [value(0, 0), value(1, 2)])], **self._more)
        self.device = StationProcess(self.directory, interpreter=self._interpreter)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.device.kill()
        await self.link.__aexit__(None, None, None)

    async def start(self, change=None) -> messages.Hello:
        """Start it anew, `change`d, and wait for its greeting."""
        await self.device.kill()
        if change is not None:
            change()
        self.link.station = None
        await self.device.start()
        try:
            return (await self.link.greeted(30)).hello
        except Failure as failure:
            raise AssertionError("\n".join(self.device.other_lines)) from failure

    async def restarted(self, seconds: float = 40) -> messages.Hello:
        """Wait for the greeting of another start than the last one."""
        boot = self.link.station.hello.boot
        again = lambda: self.link.station.hello.boot > boot  # noqa: E731
        assert await self.link.wait(again, seconds), self.device.other_lines
        return self.link.station.hello

    async def events(self, kind: int, words: str = "") -> list[str]:
        """The details of events of a kind, once one of them has these words: what an earlier start had left
        to tell comes first.
        """
        found = lambda: [e.detail for e in self.link.station.events if e.kind == kind]  # noqa: E731
        await self.link.wait(lambda: any(words in detail for detail in found()), 20)
        return found()

    def crashes(self) -> dict:
        return json.loads((self.directory / "state/crash").read_text())


def test_commands_in_micropython():
    """tests/firmware/test_commands.py again, in MicroPython: compiling it takes more than a board's heap."""
    done = micropython("-X", "heapsize=1m", "tests/protocol/mpy.py", "tests.firmware.test_commands")
    assert done.returncode == 0, done.stdout + done.stderr
    source = (ROOT / "tests/firmware/test_commands.py").read_text(encoding="utf-8")
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts == {"passed": len(re.findall(r"^def test_", source, re.M)), "failed": 0}


# ---- a configuration that is wrong


def places(node, path=()):
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in entries:
        yield (*path, key)
        yield from places(child, (*path, key))


def broken(good: dict, place: tuple, how: str) -> bytes:
    """The file with one field gone, or of another type than any field has."""
    given = copy.deepcopy(good)
    node = given
    for key in place[:-1]:
        node = node[key]
    if how == "missing":
        del node[place[-1]]
    else:
        node[place[-1]] = {"unexpected": True} if how == "table" else "wrong" if how == "text" else True
    return json.dumps(given).encode()


def faulty(good: dict) -> list[bytes]:
    """Every file that differs from a good one in one place, and will not do."""
    found = []
    for place in places(good):
        for how in ("missing", "table", "flag", "text"):
            data = broken(good, place, how)
            try:
                config.parse(data)
            except ConfigError:
                found.append(data)
            else:  # another list of reads, a name that may be anything: still a good file
                assert how in ("missing", "text") and place[-1] not in ("buses", "units", "channels"), place
    return found


@pytest.mark.parametrize("interpreter", RUNTIMES)
def test_any_wrong_field_is_safe_mode_and_the_reason_arrives(tmp_path, interpreter):
    async def main():
        async with Bench(tmp_path, interpreter) as bench:
            path = bench.directory / "station.json"
            good = path.read_bytes()
            files = [*random.sample(faulty(json.loads(good)), PER_RUN - 3), b"", good[:-20], b"\xff" * 99]
            for data in files:
                try:
                    config.parse(data)
                    raise AssertionError("this one was to be wrong")
                except ConfigError as error:
                    said = str(error)
                hello = await bench.start(lambda data=data: path.write_bytes(data))
                (reason,) = await bench.events(messages.SAFE_MODE)
                assert reason[:60] == said[:60]
                status = await bench.link.command("status")
                assert status.ok and status.data["safe"][:60] == said[:60] and status.data["crashes"] == 0
                assert hello.device == DEVICE and bench.device.restarts == 0
            # control: the same device with the good file (so many starts cut short would be a reason, too)
            (bench.directory / "state/crash").unlink()
            hello = await bench.start(lambda: path.write_bytes(good))
            assert [name for name, _, _, _ in hello.channels] == ["c0", "c1"]
            status = await bench.link.command("status")
            assert status.data["safe"] == "" and not bench.link.station.safe_mode

    asyncio.run(main())


def test_there_are_enough_ways_to_be_wrong(tmp_path):
    directory = station(tmp_path, {"kind": "usb"}, [unit(2, [value(0, 0), value(1, 2)])])
    assert len(faulty(json.loads((directory / "station.json").read_bytes()))) > 150


def test_no_file_at_all(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            await bench.start((bench.directory / "station.json").unlink)
            (reason,) = await bench.events(messages.SAFE_MODE)
            assert "station.json" in reason

    asyncio.run(main())


# ---- crashes


def saboteur(directory: Path, body: str, module: str = "firmware.values") -> dict:
    """Environment for a process in which `module` is followed by `body`: a fault that no configuration makes.

    The firmware itself has no hook for it: the folder stands before the checkout on the search path.
    """
    package, name = module.split(".")
    folder = directory.parent / "sabotage"
    (folder / package).mkdir(parents=True, exist_ok=True)
    for path in (ROOT / package).rglob("*.py"):
        copy_ = folder / path.relative_to(ROOT)
        copy_.parent.mkdir(parents=True, exist_ok=True)
        copy_.unlink(missing_ok=True)
        copy_.symlink_to(path)
    target = folder / package / f"{name}.py"
    source = target.read_text(encoding="utf-8")
    target.unlink()
    target.write_text(source + "\n\n" + body, encoding="utf-8")
    return {"MICROPYPATH": f"{folder}:{ROOT}:.frozen", "PYTHONPATH": f"{folder}:{ROOT}"}


DIES = "def judge(*arguments):\n    raise ValueError('sabotage')\n"
HANGS = """
async def _hang(self, alive=None):
    while True:
        await self._board.sleep_ms(1000)

Poller.run = _hang
"""


@pytest.mark.parametrize("interpreter", RUNTIMES)
def test_a_task_that_always_dies_is_reported_reset_and_at_last_safe_mode(tmp_path, interpreter):
    async def main():
        async with Bench(tmp_path, interpreter) as bench, serial_server(tmp_path, {2: [0x41C8] * 8}):
            bench.device.more_environment = saboteur(bench.directory, DIES)
            await bench.start()
            (first,) = await bench.events(messages.CRASH)
            assert "task poller rs485 ended | ValueError: sabotage" in first and "values.py" in first
            assert await bench.link.wait(lambda: bench.link.station.safe_mode, 90), bench.device.other_lines
            assert bench.device.restarts == 3 and bench.device.running
            assert "3 crashes" in bench.link.station.safe_mode and "sabotage" in bench.link.station.safe_mode
            status = await bench.link.command("status")
            assert "3 crashes" in status.data["safe"]
            log = await bench.link.command("log")
            assert "sabotage" in log.data["text"] and log.data["reports"] >= 3
            # a command ends it, and the healthy firmware measures again
            assert (await bench.link.command("safe")).ok
            await bench.restarted()
            assert bench.crashes()["safe"] == ""

    asyncio.run(main())


def test_a_task_that_hangs_is_named_by_the_next_start(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            bench.device.more_environment = saboteur(bench.directory, HANGS, "firmware.poller")
            first = await bench.start()
            hello = await bench.restarted(90)
            assert hello.boot > first.boot and hello.reset == "crash: poller rs485"
            (told,) = await bench.events(messages.CRASH)
            assert "task poller rs485 is silent" in told and not bench.link.station.safe_mode

    asyncio.run(main())


def test_three_kills_in_the_middle_of_a_start_are_no_crashes_and_break_nothing(tmp_path):
    """As when the power flickers: a start that was cut weighs half, and what is on flash stays whole."""

    async def main():
        async with Bench(tmp_path) as bench:
            chance = random.Random(4)
            for _ in range(3):
                await bench.device.start()
                await asyncio.sleep(chance.uniform(0.01, 0.4))
                await bench.device.kill()
            hello = await bench.start()
            assert hello.reset == "power" and not bench.link.station.safe_mode
            assert (await bench.link.command("status")).data["safe"] == ""
            assert bench.crashes()["reports"] == []

    asyncio.run(main())


@pytest.mark.parametrize("junk", [b"", b"\xff\x00" * 40, b"[]", b'{"streak": 5, "safe": 7}'])
def test_corrupt_state_files_keep_nobody_from_starting(tmp_path, junk):
    async def main():
        async with Bench(tmp_path) as bench:
            state = bench.directory / "state"
            state.mkdir(exist_ok=True)
            for name in STATE_FILES:
                (state / name).write_bytes(junk)
            await bench.start()
            assert (await bench.link.command("status")).data["safe"] == ""
            assert (await bench.link.command("reboot")).ok
            hello = await bench.restarted()
            assert hello.reset == "reset asked" and bench.device.restarts == 1

    asyncio.run(main())


@pytest.mark.parametrize("interpreter", RUNTIMES)
def test_records_that_make_every_start_fail_are_set_aside_at_last(tmp_path, interpreter):
    async def main():
        async with Bench(tmp_path, interpreter) as bench:
            state = bench.directory / "state"
            state.mkdir(exist_ok=True)
            (state / "move").write_text("[[1]]")  # no version of the firmware has written this
            await bench.start()
            assert bench.device.restarts >= 3
            answer = await bench.link.command("status")
            assert "three" not in answer.data["safe"] and "start" in answer.data["safe"]
            assert not (state / "move").exists() and list(state.glob("move.*"))

    asyncio.run(main())


# A firmware that fails over what this configuration asks for, and does not say so as it should.
BROKEN = """
import firmware.station as station

def open_line(*_):
    raise RuntimeError("nobody has thought of this")

station.open_line = open_line

from firmware.app import main

main()
"""


@pytest.mark.parametrize("interpreter", RUNTIMES)
def test_a_configuration_that_makes_every_start_fail_is_left_out_at_last(tmp_path, interpreter):
    async def main():
        async with Bench(tmp_path, interpreter) as bench:
            (bench.directory / "main.py").write_text(BROKEN)
            hello = await bench.start()
            assert hello.channels == () and bench.device.restarts == 3
            for reason in await bench.events(messages.SAFE_MODE):
                assert "3 crashes" in reason and "nobody has thought of this" in reason
            assert not list(bench.directory.glob("log.*")), "the records are not to blame"
            assert "3 crashes" in (await bench.link.command("status")).data["safe"]  # so it can be reached

    asyncio.run(main())


RELAY = {"id": "pump", "kind": "relay", "pin": 6, "active": 1, "pulse_ms": 0, "feedback": None} | {
    "per_day": 0, "lock_ms": 0, "feedback_ms": 0,
}  # fmt: skip


def test_a_relay_is_off_in_safe_mode_too(tmp_path):
    async def main():
        async with Bench(tmp_path, outputs=[RELAY]) as bench:
            pin = bench.directory / "io" / "6"
            await bench.start()
            assert (await bench.link.command("relay", {"id": "pump", "on": True})).ok
            assert pin.read_text() == "1"

            def crashed():
                table = {"boot": 1, "starting": False, "noted": True, "streak": [], "reports": []}
                (bench.directory / "state/crash").write_text(json.dumps(table | {"safe": "three crashes"}))

            await bench.start(crashed)
            assert (await bench.link.command("status")).data["safe"] == "three crashes"
            assert pin.read_text() == "0"
            answer = await bench.link.command("relay", {"id": "pump", "on": True})
            assert not answer.ok and "safe mode" in answer.text and pin.read_text() == "0"

    asyncio.run(main())


def test_safe_mode_ends_though_there_is_always_something_to_send(tmp_path):
    """Ten minutes, a hundred times as fast; the gateway is slow, so that at no moment nothing is held."""

    async def main():
        async with Bench(tmp_path) as bench:
            bench.link.send = lambda message, send=bench.link.send: (
                None if isinstance(message, messages.Ack) else send(message)
            )
            timeline = tmp_path / "timeline.json"
            timeline.write_text(json.dumps({"segments": [[0, 0, 100]]}))
            bench.device = StationProcess(bench.directory, timeline)

            def crashed():
                (bench.directory / "state").mkdir()
                table = {"boot": 1, "starting": False, "noted": True, "streak": [], "reports": []}
                (bench.directory / "state/crash").write_text(json.dumps(table | {"safe": "three crashes"}))

            first = await bench.start(crashed)
            assert (await bench.link.command("status")).data["safe"] == "three crashes"
            hello = await bench.restarted(60)
            assert hello.reset == "asked: safe mode is over" and bench.device.restarts == 1
            status = (await bench.link.command("status")).data
            assert status["safe"] == "" and status["records"][3] == 0  # nothing was discarded
            assert (hello.store_boot, hello.store_seq) == (first.boot, 1)  # all of it is there

    asyncio.run(main())


def test_more_than_there_is_memory_for_is_safe_mode(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            path = bench.directory / "station.json"
            given = json.loads(path.read_bytes())
            status = {"read": 0, "at": 0, "type": "uint16", "mask": 65535, "otherwise": 0}
            status["values"] = {str(code): 3 for code in range(60)}
            one = given["units"][0]
            given["units"] = [
                dict(one, unit=i + 1, values=[dict(one["values"][0], channel=i)], statuses=[status])
                for i in range(85)
            ]
            given["channels"] = [{"name": f"c{i}", "calibration": 0, "points": []} for i in range(85)]
            path.write_text(json.dumps(given))
            config.parse(path.read_bytes())  # nothing else is wrong with it
            hello = await bench.start()
            assert hello.channels == () and bench.device.restarts == 0
            assert ["MemoryError" in reason for reason in await bench.events(messages.SAFE_MODE)] == [True]

    asyncio.run(main())


# ---- commands, over the real link


@pytest.mark.parametrize("interpreter", RUNTIMES)
def test_a_configuration_by_command_and_a_calibration(tmp_path, interpreter):
    async def main():
        async with Bench(tmp_path, interpreter) as bench:
            link, path = bench.link, bench.directory / "station.json"
            old = path.read_bytes()
            hello = await bench.start()
            points = [[0.0, 0.125], [10.0, 10.5]]
            result = await link.command("calibrate", {"channel": "c1", "id": 7, "points": points})
            assert result.ok, result.text
            calibrated = lambda: link.station.hello.channels[1][2:] == (7, ((0.0, 0.125), (10.0, 10.5)))  # noqa: E731
            assert await link.wait(calibrated, 20)  # it has greeted again, in the same start
            assert link.station.hello.boot == hello.boot

            async def send(data: bytes):
                import hashlib

                digest = hashlib.sha256(data).digest()
                args = {"name": "station.json", "size": len(data), "sha256": digest}
                at = (await link.command("stage", args)).data
                while at < len(data):
                    at = (await link.command("chunk", {"at": at, "data": data[at : at + 400]})).data
                return await link.command("config")

            wrong = json.loads(old)
            wrong["units"][0]["poll_ms"] = "often"
            result = await send(json.dumps(wrong).encode())
            assert not result.ok and "poll_ms" in result.text and path.read_bytes() == old
            good = json.loads(old)
            good["channels"][0]["name"] = "renamed"
            result = await send(json.dumps(good).encode())
            assert result.ok, result.text
            hello = await bench.restarted()
            assert hello.channels[0][0] == "renamed" and hello.channels[1][2] == 7
            assert (bench.directory / "station.old").read_bytes() == old
            # it never lives for ten minutes: after two starts the old one is back
            await bench.start()
            hello = await bench.start()
            assert hello.channels[0][0] == "c0" and path.read_bytes() == old
            assert any("refused" in text for text in await bench.events(messages.CONFIGURED, "refused"))

    asyncio.run(main())


def test_frames_that_were_recorded_do_nothing(tmp_path):
    """Every frame that was ever sent to the device, again, in this start and in the next."""

    async def main():
        async with Bench(tmp_path) as bench:
            link = bench.link
            await bench.start()
            sent = []
            send = link._write
            link._write = lambda data: (sent.append(data), send(data))
            assert (await link.command("reboot")).ok
            await bench.restarted()
            assert bench.device.restarts == 1 and sent
            recorded, answered = list(sent), []
            link._on_message = answered.append
            assert (await link.command("status")).ok
            for _ in range(3):
                for data in recorded:
                    link._write(data)
            assert (await link.command("status")).ok
            await asyncio.sleep(2)
            assert bench.device.restarts == 1 and bench.device.running
            results = [message for message in answered if isinstance(message, messages.Result)]
            assert [result for result in results if "was used" in result.text]
            assert not [result for result in results if "anew" in result.text]
            # control: the same command with a new counter does
            assert (await link.command("reboot")).ok
            await bench.restarted()
            assert bench.device.restarts == 2

    asyncio.run(main())


def test_the_prompt_opens_for_a_command_with_a_good_tag_only(tmp_path):
    from protocol import framing
    from protocol.cose import Mac0

    async def main():
        async with Bench(tmp_path) as bench:
            link = bench.link
            await bench.start()
            counter = 1 << 42
            command = messages.encode(messages.Command(counter, 1, "repl", None))
            for key in (bytes(32), bytes(31) + b"\x01", KEY[::-1]):
                link._write(framing.encode(Mac0(DEVICE, key).seal(command)))
            link._write(framing.encode(Mac0("st-02", KEY).seal(command)))
            good = Mac0(DEVICE, KEY).seal(command)
            for i in range(0, len(good), 7):  # every seventh byte, turned
                link._write(framing.encode(good[:i] + bytes((good[i] ^ 1,)) + good[i + 1 :]))
            link._write(framing.encode(command))
            for text in (b"\x03\x03\r\n\x04", b"\x01raise SystemExit\x04", b"import os\r\n", b"repl\r\n"):
                link._write(text + b"\0")
            assert (await link.command("status")).ok
            await asyncio.sleep(1)
            assert bench.device.running and bench.device.restarts == 0
            assert not (bench.directory / "state/reset").exists()
            # control: with the right key it ends; this port has no prompt, so it is started again
            link._write(framing.encode(good))
            hello = await bench.restarted()
            assert bench.device.restarts == 1 and hello.reset == "repl asked"

    asyncio.run(main())


def test_a_reset_is_status_75(tmp_path):
    """What runs a station without StationProcess has to start it again at this status, and at no other."""

    async def main():
        async with Bench(tmp_path) as bench:
            await bench.start()
            bench.device._wanted = False  # so that it is not started again
            assert (await bench.link.command("reboot")).ok
            await asyncio.wait_for(bench.device.ended(), 20)
            assert bench.device.returncode == RESET_STATUS == 75
            await bench.start()
            os.kill(bench.device.pid, signal.SIGKILL)
            await asyncio.wait_for(bench.device.ended(), 20)
            assert bench.device.returncode == -signal.SIGKILL and bench.device.restarts == 0

    asyncio.run(main())
