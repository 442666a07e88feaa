"""The department and a sampler at a gateway as a process: real Mosquitto, a real Modbus unit, kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.journal.kinds import COMMAND, EVENT
from gateway.journal.reader import reading
from gateway.reports.layout import stamp_ms
from gateway.sampling import bottles
from gateway.sampling.bottles import BEGUN, FILLED, Bottle
from protocol import cbor
from simulator.department import Department, HttpsDesk, MqttDesk, digest_of, stamp
from simulator.sampler import ModbusSampler
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import GatewayRun, running, until
from tests.gateway.line_rig import pymodbus_tcp
from tests.gateway.test_provincial import T0
from tests.servers.mosquitto import Mosquitto
from tools.cli import app
from tools.demo.site import table

STATION = "quantrac/LCa/DEMO/NUO001"


class Site:
    """A station with a sampler on its bus; `desk` is the department's."""

    def __init__(self, folder: Path, port: int, unit: ModbusSampler, *parts: str, **department: Any):
        self.unit = unit
        self.department = Department.made("dept.example")
        vkey = rig.secret(folder, "dept.vkey", self.department.vkey)
        source = {"bus": "tank", "unit": 1, "type": "uint16", "poll_ms": 100}
        self.config = rig.write_config(
            folder, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"),
            table("[[channel]]", {"symbol": "Full", "source": {**source, "register": 0}}),
            table("[[channel]]", {
                "symbol": "COD", "unit": "mg/l", "source": {**source, "register": 1},
                "limits": {"max": 75.0, "basis": "permit"},
            }),
            table("[department]", {"key_file": vkey, "resend_to": ["local"], "poll_s": 1, **department}),
            table("[sampler]", {
                "bus": "tank", "coil": 0, "feedback_input": 0, "feedback_s": 5, "seconds": 0.5, "bottles": 6,
                "per_day": 1,
            }),
            rig.directory(), *parts, window_minutes=1,
        )  # fmt: skip

    def checked(self, answer: bytes, command: bytes) -> dict[str, Any]:
        vkey = (self.config.parent / "gateway" / "log.vkey").read_text()
        return Department.checked(answer, vkey, command)

    def said(self, *kinds: int) -> list[list[Any]]:
        with reading(self.config.parent / "gateway" / "journal.db") as reader:
            found = [cbor.loads(entry.body) for entry in reader.entries(kinds=kinds or (EVENT, COMMAND))]
        return [body for body in found if isinstance(body, list)]

    def bottles(self) -> list[Bottle]:
        with reading(self.config.parent / "gateway" / "journal.db") as reader:
            found = [bottles.parse(body) for body, _ in reader.events_with(bottles.SAMPLER)]
        return [one for one in found if isinstance(one, Bottle)]


async def polled(gateway: GatewayRun) -> bool:
    """Whether the unit is read: its line is up."""
    return all(row["value"] is not None for row in (await gateway.current())["channels"])


@contextlib.asynccontextmanager
async def brokered(folder: Path, unit: ModbusSampler) -> AsyncIterator[tuple[Site, MqttDesk]]:
    server = Mosquitto(folder / "mosquitto")
    await asyncio.to_thread(server.start)
    desk = await asyncio.to_thread(MqttDesk, server.port)
    try:
        async with pymodbus_tcp(unit.device) as port:
            yield Site(folder / "g", port, unit, rig.mqtt(server.port), via="national"), desk
    finally:
        await asyncio.to_thread(desk.stop)
        await asyncio.to_thread(server.stop)


def named(desk: MqttDesk, command: bytes) -> list[bytes]:
    """The answers to a command."""
    line = f"\ncommand {digest_of(command)}\n".encode()
    return [answer for answer in desk.answers if line in answer]


async def given(desk: MqttDesk, command: bytes, count: int = 1) -> bytes:
    """The answer number `count` to a command."""
    await asyncio.to_thread(desk.give, STATION, command)
    await until(lambda: len(named(desk, command)) >= count)
    return named(desk, command)[-1]


async def listening(gateway: GatewayRun) -> None:
    """Until the line is up, and the broker knows that this station hears commands."""
    await until(lambda: polled(gateway))


def test_the_department_has_a_bottle_filled(tmp_path):
    """From the signed command over the broker to the coil, the contact, the entries, the signed answer."""

    async def main() -> None:
        unit = ModbusSampler()
        async with brokered(tmp_path, unit) as (site, desk), running(site.config) as gateway:
            await listening(gateway)
            await _subscribed(desk, site)
            command = site.department.command(STATION, "sample", bottles=2, reason="mùi lạ")
            said = site.checked(await given(desk, command), command)
            assert said["state"] == "done" and said["verb"] == "sample", said
            filled = said["details"]["bottles"]
            assert [(one["bottle"], one["state"], one["reason"]) for one in filled] == [
                (1, FILLED, "mùi lạ"), (2, FILLED, "mùi lạ")
            ]  # fmt: skip
            assert {row[0] for row in filled[0]["values"]} == {"Full", "COD"}
            assert unit.begun == 2 and not unit.on
            # the same once more: the same answer, no third bottle
            again = await given(desk, command, 2)
            assert again == named(desk, command)[0] and unit.begun == 2
            wrong = Department.made("dept.example").command(STATION, "sample", bottles=1, reason="x")
            refused = site.checked(await given(desk, wrong), wrong)
            assert (refused["state"], refused["details"]) == ("refused", {"code": "wrong key"})
            assert await gateway.stop() == 0
        assert [body[2] for body in site.said() if body[0] == "command refused"] == ["wrong key"]
        assert [(one.number, one.state, one.who) for one in site.bottles()] == [
            (1, BEGUN, "department"), (1, FILLED, "department"),
            (2, BEGUN, "department"), (2, FILLED, "department"),
        ]  # fmt: skip

    asyncio.run(main())


async def _subscribed(desk: MqttDesk, site: Site) -> None:
    """Ask for the status until the station, whose connection takes a moment, answers."""

    async def asked() -> bool:
        command = site.department.command(STATION, "status")
        await asyncio.to_thread(desk.give, STATION, command)
        return await asyncio.to_thread(desk.wait_for, 1, 1.0)

    await until(asked)
    said = json.loads(desk.answers[0].decode().split("details ")[1].splitlines()[0])
    assert {row["symbol"] for row in said["channels"]} == {"Full", "COD"}
    assert said["sampler"]["bottles"] == 6


def test_killed_while_a_bottle_is_filled(tmp_path):
    """SIGKILL with the coil on: after the start it is off, no second bottle is begun, the answer comes."""

    async def main() -> None:
        unit = ModbusSampler(fill_s=0.2)
        async with brokered(tmp_path, unit) as (site, desk):
            text = site.config.read_text()
            site.config.write_text(text.replace("seconds = 0.5", "seconds = 60.0"))
            async with running(site.config) as gateway:
                await listening(gateway)
                await _subscribed(desk, site)
                command = site.department.command(STATION, "sample", bottles=2, reason="at night")
                await asyncio.to_thread(desk.give, STATION, command)
                await until(lambda: unit.on)
                await gateway.kill()
            assert unit.on  # as a relay stays that nobody switches off
            async with running(site.config) as gateway:
                await until(lambda: named(desk, command))
                await until(lambda: not unit.on)
                said = site.checked(named(desk, command)[0], command)
                assert said["state"] == "unknown" and "may be full" in said["reason"]
                assert [(one["bottle"], one["state"]) for one in said["details"]["bottles"]] == [(1, BEGUN)]
                assert await gateway.stop() == 0
            assert unit.begun == 1
            names = [body[0] for body in site.said() if str(body[0]).startswith("department")]
            assert names[-2:] == ["department", "department result"]

    asyncio.run(main())


def test_stopped_while_a_bottle_is_filled(tmp_path):
    """SIGTERM with the coil on: it is off before the process ends, within the time that is promised."""

    async def main() -> None:
        unit = ModbusSampler()
        async with brokered(tmp_path, unit) as (site, _):
            text = site.config.read_text()
            site.config.write_text(text.replace("seconds = 0.5", "seconds = 60.0"))
            async with running(site.config) as gateway:
                await listening(gateway)
                words = ["sample", str(site.config), "--by", "Lan", "--reason", "foam"]
                status, said = await asyncio.to_thread(verb, *words)
                assert status == 0 and "The sampler fills a bottle, as Lan says" in said
                await until(lambda: unit.on)
                status, said = await asyncio.to_thread(verb, *words)
                assert status == 1 and "at work" in said
                assert await gateway.stop() == 0
            assert not unit.on and unit.begun == 1

    asyncio.run(main())


def verb(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", *words])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_a_limit_exceeded_fills_one_bottle_a_day_and_not_one_more_after_a_restart(tmp_path):
    async def main() -> None:
        unit = ModbusSampler()
        clock = tmp_path / "clock.json"
        async with pymodbus_tcp(unit.device) as port:
            site = Site(tmp_path / "g", port, unit, url="http://127.0.0.1:1/station")
            clock.write_text(json.dumps({"segments": [[time.monotonic_ns() // 1_000_000, T0, 60]]}))
            for turn in (1, 2):
                async with running(site.config, clock) as gateway:
                    await listening(gateway)
                    unit.level = 100
                    await until(lambda turn=turn: len(_raised(site)) >= turn)
                    await until(lambda: len(site.bottles()) >= 2)
                    if turn == 2:
                        await until(lambda: [body for body in site.said() if body[0] == "no bottle"])
                    unit.level = 0
                    await until(lambda turn=turn: _cleared(site) >= turn)
                    assert await gateway.stop() == 0
            assert unit.begun == 1
            (_, filled) = site.bottles()
            assert filled.state == FILLED and filled.who == "rule"
            assert filled.reason == "limit exceeded: COD 100 (limit 75)"
            ((*_, why),) = [body for body in site.said() if body[0] == "no bottle"]
            assert why == "1 bottles were filled by rule today, which is all."

    asyncio.run(main())


def _raised(site: Site) -> list[list[Any]]:
    return [body for body in site.said(EVENT) if body[:4] == ["alert", "COD", "raised", "limit"]]


def _cleared(site: Site) -> int:
    return len([body for body in site.said(EVENT) if body[:4] == ["alert", "COD", "cleared", "limit"]])


def test_over_https_the_station_asks_and_sends_a_range_again(tmp_path):
    async def main() -> None:
        unit, desk = ModbusSampler(), HttpsDesk()
        await desk.start()
        clock = tmp_path / "clock.json"
        async with pymodbus_tcp(unit.device) as port:
            site = Site(tmp_path / "g", port, unit, url=f"http://127.0.0.1:{desk.port}/station")
            clock.write_text(json.dumps({"segments": [[time.monotonic_ns() // 1_000_000, T0, 60]]}))
            sent = site.config.parent / "sent"
            async with running(site.config, clock) as gateway:
                await until(lambda: len(list(sent.rglob("*.txt"))) >= 3)
                files = sorted(sent.rglob("*.txt"))
                lost, kept = files[0], files[0].read_bytes()
                lost.unlink()
                end_s = stamp_ms(lost.stem.rpartition("_")[2]) // 1000
                command = site.department.command(
                    STATION, "resend", issued_s=T0 / 1000, life_s=86_400, from_=stamp(T0 / 1000),
                    to=stamp(end_s), symbols="COD", what="windows",
                )  # fmt: skip
                desk.give(STATION, command)
                assert await asyncio.to_thread(desk.wait_for, 1)
                said = site.checked(desk.answers[0], command)
                assert said["state"] == "done", said
                numbers = said["details"]["destinations"]["local"]
                assert numbers["sent_again"] >= 1 and numbers["not_read_by_itself"] >= 1
                await until(lost.exists)
                assert lost.read_bytes() == kept
                assert await gateway.stop() == 0
        await desk.stop()
        resent = [body for body in site.said(EVENT) if body[0] == "resent"]
        assert len(resent) == 1 and resent[0][1:3] == ["local", "department"]

    asyncio.run(main())
