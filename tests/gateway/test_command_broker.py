"""Commands over a real Mosquitto: they wait for a station that is away, and come until they are answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.commands import broker as broker_module
from gateway.commands.broker import Broker
from gateway.config_model import MqttDestination
from simulator.department import Department, MqttDesk
from tests.gateway.command_rig import STATION, At, Site
from tests.servers.certificates import Authority
from tests.servers.mosquitto import Mosquitto

TOPICS = (f"{STATION}/command", f"{STATION}/result")
VERSIONS = ("3.1.1", "5", "auto")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(broker_module, "PAUSE_S", (0.05, 0.2))


class Bench:
    """A broker, the department's desk beside it, a station."""

    def __init__(self, folder: Path, version: str = "5", tls: bool = False):
        self.authority = Authority(folder / "authority") if tls else None
        self.server = Mosquitto(folder / "mosquitto", "right", self.authority)
        self.site = Site(folder / "station")
        self.password = folder / "password"
        self.password.write_text("right\n")
        more: dict[str, Any] = {}
        if self.authority is not None:
            more = {"tls": True, "ca_file": str(self.authority.ca_file)}
        self.settings = MqttDestination.model_validate({
            "id": "national", "kind": "mqtt", "host": "127.0.0.1", "port": self.server.port,
            "user": "station", "password_file": str(self.password), "version": version, **more,
        })  # fmt: skip

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[MqttDesk]:
        await asyncio.to_thread(self.server.start)
        desk = await asyncio.to_thread(MqttDesk, self.server.plain_port, "station", "right")
        try:
            yield desk
        finally:
            await asyncio.to_thread(desk.stop)
            await asyncio.to_thread(self.server.stop)

    @contextlib.asynccontextmanager
    async def station(self) -> AsyncIterator[tuple[At, Broker]]:
        async with self.site.started() as at:
            way = Broker(self.settings, "LCa-commands", TOPICS, at.desk.take)
            task = asyncio.create_task(way.run())
            try:
                yield at, way
                assert not task.done(), task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def answers(self, desk: MqttDesk, count: int) -> list[dict[str, Any]]:
        assert await asyncio.to_thread(desk.wait_for, count)
        vkey = (self.site.config.gateway.state_dir / "log.vkey").read_text()
        return [Department.checked(answer, vkey) for answer in desk.answers]


def run(bench: Bench, case) -> None:
    async def main() -> None:
        async with asyncio.timeout(90), bench.up() as desk:
            await case(bench, desk)

    asyncio.run(main())


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_command_comes_and_its_answer_goes(tmp_path, version):
    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            command = bench.site.command(at)
            await asyncio.to_thread(desk.give, STATION, command)
            (said,) = await bench.answers(desk, 1)
            assert said["state"] == "done" and not desk.waiting and len(bench.site.done) == 1

    run(Bench(tmp_path, version), case)


def test_over_tls(tmp_path):
    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            await asyncio.to_thread(desk.give, STATION, bench.site.command(at, "status"))
            (said,) = await bench.answers(desk, 1)
            assert said["verb"] == "status"

    run(Bench(tmp_path, tls=True), case)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_command_waits_for_a_station_that_is_away(tmp_path, version):
    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            now_s = at.now_s
        for number in range(3):
            command = bench.site.department.command(
                STATION, "sample", counter=number + 1, issued_s=now_s, bottles=1, reason=f"r{number}"
            )
            await asyncio.to_thread(desk.give, STATION, command)
        async with bench.station():
            found = await bench.answers(desk, 3)
            assert [one["state"] for one in found] == ["done"] * 3
            assert [one.args["reason"] for one in bench.site.done] == ["r0", "r1", "r2"]

    run(Bench(tmp_path, version), case)


def test_what_was_not_answered_comes_again(tmp_path):
    """The station stops between the command's entry and its end: the broker still has the command, and the
    answer comes after the restart; there is no second sample.
    """

    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            at.hold = asyncio.Event()
            command = bench.site.command(at)
            await asyncio.to_thread(desk.give, STATION, command)
            await at.begun.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if task.get_name().startswith("command"):
                    task.cancel()
        async with bench.station():
            (said,) = await bench.answers(desk, 1)
            assert (said["state"], said["reason"]) == ("unknown", "It was broken off.")
        assert len(bench.site.done) == 1

    run(Bench(tmp_path), case)


def test_the_control_acknowledged_at_once_it_would_be_gone(tmp_path, monkeypatch):
    honest = broker_module._Session._on_message

    def at_once(self, client, userdata, message):
        client.ack(message.mid, message.qos)
        honest(self, client, userdata, message)

    monkeypatch.setattr(broker_module._Session, "_on_message", at_once)
    monkeypatch.setattr(MqttDesk, "wait_for", lambda self, count: _waited(self, count))
    with pytest.raises(AssertionError):
        test_what_was_not_answered_comes_again(tmp_path)


def _waited(desk: MqttDesk, count: int) -> bool:
    with desk._news:
        return desk._news.wait_for(lambda: len(desk.answers) >= count, 3.0)


def test_a_broker_that_goes_and_comes(tmp_path):
    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            await asyncio.to_thread(bench.server.stop)
            await until(lambda: not way.connected and way.last_error)
            await asyncio.to_thread(bench.server.start)
            await until(lambda: way.connected)
            assert way.last_error == ""
            await asyncio.to_thread(desk.give, STATION, bench.site.command(at))
            assert (await bench.answers(desk, 1))[0]["state"] == "done"

    run(Bench(tmp_path), case)


def test_a_broker_that_says_nothing_is_left_and_tried_again(tmp_path):
    """It takes the connection and never welcomes us."""

    async def case(bench: Bench, desk: MqttDesk) -> None:
        taken = []
        silent = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        bench.settings = bench.settings.model_copy(update={"port": port, "keepalive_s": 1})
        async with bench.station() as (_, way):
            await until(lambda: len(taken) > 1)
            assert not way.connected and way.last_error and way.down_s() > 0
        for writer in taken:
            writer.close()
        silent.close()

    run(Bench(tmp_path), case)


def test_a_password_that_is_corrected_is_used(tmp_path):
    async def case(bench: Bench, desk: MqttDesk) -> None:
        bench.password.write_text("wrong\n")
        async with bench.station() as (at, way):
            await until(lambda: "refuses us" in way.last_error)
            bench.password.write_text("right\n")
            await until(lambda: way.connected)
            await asyncio.to_thread(desk.give, STATION, bench.site.command(at))
            assert (await bench.answers(desk, 1))[0]["state"] == "done"

    run(Bench(tmp_path), case)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_what_was_queued_while_it_was_away_comes_at_once_and_is_all_looked_at(tmp_path, version):
    """More than are looked at at once, in one burst: none is lost, and the connection holds."""

    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            now_s = at.now_s
        count = 3 * broker_module.IN_HAND_MAX
        for number in range(count):
            command = bench.site.department.command(STATION, "status", counter=number + 1, issued_s=now_s)
            await asyncio.to_thread(desk.give, STATION, command)
        async with bench.station() as (at, way):
            found = await bench.answers(desk, count)
            assert [one["state"] for one in found] == ["done"] * count and way.last_error == ""
        taken = [body[2] for body in bench.site.entries() if body[0] == "department"]
        assert taken == list(range(1, count + 1))  # in their order, or counters would shut some out

    run(Bench(tmp_path, version), case)


def test_strangers_are_refused_and_a_flood_of_them_shuts_nobody_out(tmp_path):
    """300 messages of somebody else, then the department's: few entries, and its command is done."""

    async def case(bench: Bench, desk: MqttDesk) -> None:
        async with bench.station() as (at, way):
            await until(lambda: way.connected)
            stranger = Department.made("dept.example")
            for number in range(300):
                await asyncio.to_thread(
                    desk.give, STATION, bench.site.command(at, by=stranger, counter=number + 1)
                )
            await asyncio.to_thread(desk.give, STATION, b"\x00" * 50_000)
            mine = bench.site.command(at)
            await asyncio.to_thread(desk.give, STATION, mine)
            found = await bench.answers(desk, 11)
            assert [one["state"] for one in found] == ["refused"] * 10 + ["done"]
        assert bench.site.codes() == ["wrong key"] * 10 and len(bench.site.done) == 1

    run(Bench(tmp_path), case)
