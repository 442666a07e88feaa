"""tools/gateway_process.py: the gateway watched as systemd would, on real processes."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from simulator.clock import mono_ms, write_timeline
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import until
from tests.gateway.configured import SAMPLE, written
from tests.servers.process import free_port
from tools import gateway_process
from tools.gateway_process import GatewayProcess, Notifications
from tools.people import Failure


def config(folder):
    dead = rig.bus("dead", f"modbus-tcp://127.0.0.1:{free_port()}") + rig.bus_channel("Dead", "dead", 0)
    return rig.write_config(folder, dead)


def test_it_starts_is_restarted_when_it_is_killed_and_stops(tmp_path):
    async def main():
        gateway = GatewayProcess(config(tmp_path), None, tmp_path)
        assert await gateway.stop() is None and gateway.last_words() == ""
        await gateway.start()
        assert gateway.notifications.ready.is_set() and gateway.process is not None
        first = gateway.process.pid
        await until(lambda: gateway.notifications.status.startswith("The bus dead is down"))
        os.kill(first, 9)
        await until(lambda: gateway.last_words(1000).count("gateway: running") == 2)
        assert gateway.restarts == 1 and gateway.process.pid != first
        assert await gateway.stop() == 0
        assert await gateway.stop() == 0, "again does nothing more"
        assert "stopping" in gateway.last_words() and len(gateway.last_words(2).splitlines()) == 2
        assert not (tmp_path / "notify").exists()

    asyncio.run(main())


def test_with_a_simulated_clock_it_waits_for_it(tmp_path):
    async def main():
        clock = tmp_path / "timeline.json"
        gateway = GatewayProcess(config(tmp_path), clock, tmp_path)
        await gateway.start()
        assert gateway.notifications.status == "waiting for the clock"
        assert not gateway.notifications.ready.is_set()
        write_timeline(clock, [[int(mono_ms()), 1_774_371_600_000, 10]])
        await asyncio.wait_for(gateway.notifications.ready.wait(), 30)
        assert await gateway.stop() == 0

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["wrong configuration", "no journal"])
def test_one_that_does_not_start_is_a_failure_with_its_last_words_and_nothing_is_left(tmp_path, fault):
    async def main():
        path = written(tmp_path, SAMPLE.replace("port = 2222", "port = 0"))
        if fault == "no journal":
            path = config(tmp_path)
            (tmp_path / "gateway").mkdir(exist_ok=True)
            (tmp_path / "gateway" / "journal.db").write_bytes(b"no database " * 1000)
        gateway = GatewayProcess(path, None, tmp_path)
        with pytest.raises(Failure) as failed:
            await gateway.start()
        word = "destination[0].port" if fault == "wrong configuration" else "journal"
        assert word in str(failed.value) and gateway.restarts == 0
        assert gateway.process is not None and gateway.process.returncode in (1, 2)
        assert not (tmp_path / "notify").exists()

    asyncio.run(main())


def test_one_that_does_not_listen_to_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway_process, "STOP_TIMEOUT_S", 0.2)

    async def main():
        gateway = GatewayProcess(config(tmp_path), None, tmp_path)
        await gateway.start()
        assert gateway.process is not None
        os.kill(gateway.process.pid, 19)  # SIGSTOP: it hears nothing any more
        assert await gateway.stop() == -9

    asyncio.run(main())


def test_notifications_of_any_service():
    async def main():
        heard = Notifications()
        assert heard.address.startswith("@")
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.connect("\0" + heard.address[1:])
        for data in (b"STATUS=a=b", b"WATCHDOG=1\nnonsense\n\xff\xfe"):
            sender.send(data)
        await until(lambda: heard.status == "a=b")
        assert not heard.ready.is_set() and not heard.waiting.is_set()
        sender.send(b"READY=1\nSTATUS=running")
        await asyncio.wait_for(heard.ready.wait(), 30)
        assert heard.waiting.is_set() and heard.status == "running"
        heard.close()
        sender.close()

    asyncio.run(main())
