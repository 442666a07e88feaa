"""gateway/app.py and process.py: wrong configurations, everything away, stopping, dying, balances."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import app
from gateway.clock import Clock
from gateway.config import load
from gateway.forward.files import temporary_name
from gateway.journal.database import connect_to_read
from gateway.journal.kinds import POLL
from simulator.modbus_load import serve
from simulator.network import TcpProxy
from simulator.receivers import MqttReceiver, SftpReceiver
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import GatewayRun, running, until
from tests.gateway.configured import HOST_KEY, SAMPLE, written
from tests.servers.process import free_port


def measuring(folder: Path, modbus_port: int, *parts: str, **settings) -> Path:
    """A gateway with one live instrument."""
    return rig.write_config(
        folder, rig.bus("tank", f"modbus-tcp://127.0.0.1:{modbus_port}"),
        rig.bus_channel("Flow", "tank", 0), rig.bus_channel("Level", "tank", 2), *parts, **settings,
    )  # fmt: skip


def nobody(port: int) -> str:
    return rig.bus("dead", f"modbus-tcp://127.0.0.1:{port}") + rig.bus_channel("Dead", "dead", 0)


async def polled(config: Path, more_than: int = 0) -> int:
    """Waits until the journal holds more polls than that; how many it holds."""

    def count() -> int:
        with contextlib.closing(connect_to_read(config.parent / "gateway" / "journal.db")) as connection:
            return connection.execute("SELECT count(*) FROM entry WHERE kind = ?", (POLL,)).fetchone()[0]

    return await until(lambda: (n := count()) > more_than and n)


async def quiet(gateway: GatewayRun) -> tuple[dict, dict]:
    """(/api/v1/current, /metrics) once nothing waits for the disk; the balance must hold in both, always."""

    async def look():
        metrics, current = await gateway.metrics(), await gateway.current()
        check_balance(metrics, current)
        settled = all(
            metrics["readings_read", s] == metrics["readings_journaled", s] for s in symbols(metrics)
        )
        readings = [row["readings"] for row in current["channels"]]
        return (current, metrics) if settled and all(r["read"] == r["journaled"] for r in readings) else None

    return await until(look)


def symbols(metrics: dict) -> list[str]:
    return [label for name, label in metrics if name == "readings_read"]


def check_balance(metrics: dict, current: dict) -> None:
    """What holds at any moment, whatever is under way; read == journaled only while nothing is."""
    for s in symbols(metrics):
        m = {
            name: metrics[f"readings_{name}", s] for name in ("read", "windowed", "open", "late", "unplaced")
        }
        assert m["read"] == m["windowed"] + m["open"] + m["late"] + m["unplaced"], (s, m)
        assert metrics["readings_journaled", s] <= m["read"]
    for row in current["channels"]:
        r = row["readings"]
        assert r["read"] == r["windowed"] + r["open"] + r["late"] + r["unplaced"], row
    for label in [label for name, label in metrics if name == "documents_queued"]:
        d = {
            name: metrics[f"documents_{name}", label] for name in ("queued", "delivered", "parked", "waiting")
        }
        assert d["queued"] == d["delivered"] + d["parked"] + d["waiting"], (label, d)
    for row in current["destinations"]:
        assert row["queued"] == row["delivered"] + row["parked"] + row["backlog"], row


# Used wrongly ---------------------------------------------------------------------------------------------


def run_wrong(*arguments: str) -> str:
    """What `gateway run` says to a person who used it wrongly."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "gateway", "run", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_wrong_configuration_says_every_fault_at_once(tmp_path):
    text = SAMPLE.replace("port = 2222", "port = 0").replace('type = "float32"', 'type = "real"')
    text = text.replace("retention_days = 400", "retention_days = 7").replace('bus = "tank"', 'bus = "tonk"')
    said = run_wrong(str(written(tmp_path, text)))
    lines = said.splitlines()
    assert lines[0].endswith("4 faults.") and len(lines) == 5
    for line, (place, instead) in zip(lines[1:], [
        ("gateway.retention_days", "60"), ("channel[1].source.type", "float32"),
        ("channel[1].source.bus", "tank"), ("destination[0].port", "65,535"),
    ], strict=True):  # fmt: skip
        assert place in line and instead in line
    assert not (tmp_path / "gateway" / "journal.db").exists(), "something was started"


def test_a_file_that_is_not_there_or_no_toml(tmp_path):
    said = run_wrong(str(tmp_path / "absent.toml"))
    assert "There is no such file." in said and "quantrac gateway init" in said
    (tmp_path / "broken.toml").write_text("[station\n")
    assert "broken.toml:1" in run_wrong(str(tmp_path / "broken.toml"))


# Everything away ------------------------------------------------------------------------------------------


def test_what_is_away_is_a_warning_and_a_sentence_and_the_process_lives(tmp_path):
    async def main(modbus_port):
        config = measuring(
            tmp_path, modbus_port, nobody(free_port()),
            rig.bus("rs485", f"modbus-rtu:{tmp_path}/ttyNONE?baud=9600"), rig.bus_channel("Dust", "rs485", 0),
            rig.device(tmp_path, "st-01", f"serial:{tmp_path}/ttyGONE?baud=115200"),
            rig.device_channel("COD", "st-01", "cod"),
            rig.sftp(tmp_path, free_port(), HOST_KEY), rig.mqtt(free_port()),
        )  # fmt: skip
        await rig.queue(config, [rig.draft("province", 1), rig.draft("national", 1)])
        async with running(config) as gateway:
            names = ("bus dead", "bus rs485", "device st-01", "destination province", "destination national")

            async def all_told():
                status, reasons = await gateway.health()
                found = [reason for name in names for reason in reasons if name in reason]
                return found if status == 503 and len(found) == len(names) else None

            told = await until(all_told)
            assert [reason for reason in told if not reason.endswith(".")] == []
            await polled(config)
            assert not [r for r in (await gateway.health())[1] if "bus tank" in r]
            waits = await until(lambda: backed_off(gateway))
            assert all(0 < wait <= 60 for wait in waits.values())
            await polled(config, await polled(config))  # the one that is there is measured all the while
            current = await gateway.current()
            assert {row["id"]: row["connected"] for row in current["destinations"]} == {
                "province": False, "national": False,
            }  # fmt: skip
            assert gateway.process.returncode is None
            assert await gateway.stop() == 0
            assert gateway.log.count("WARNING") >= 5 and "Traceback" not in gateway.log

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


async def backed_off(gateway: GatewayRun) -> dict | None:
    """The pauses under way, once both destinations are in one."""
    rows = (await gateway.current())["destinations"]
    waits = {row["id"]: row["retry_in_s"] for row in rows}
    return waits if all(waits.values()) else None


# Starting and stopping ------------------------------------------------------------------------------------


def test_systemd_is_told_and_sigterm_ends_it(tmp_path):
    async def main(modbus_port):
        config = measuring(tmp_path, modbus_port)
        async with running(config) as gateway:
            await until(lambda: "WATCHDOG=1" in gateway.said)
            assert gateway.said.index("READY=1") < gateway.said.index("WATCHDOG=1")
            assert any(line.startswith("STATUS=") for line in gateway.said)
            await polled(config)
            assert await gateway.stop() == 0
            await until(lambda: "STOPPING=1" in gateway.said)

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


@contextlib.contextmanager
def hanging(port: int = 0, full: bool = False):
    """A server that takes connections and says nothing; `full`: not even the connection is answered."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(0 if full else 16)
        for _ in range(4 if full else 0):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize("full", [False, True], ids=["silent", "unanswered"])
def test_sigterm_while_destinations_hang_and_the_outbox_goes_at_the_next_start(tmp_path, full):
    async def main():
        with hanging(full=full) as sftp_port, hanging(full=full) as mqtt_port:
            province = SftpReceiver(
                tmp_path / "p", "127.0.0.1", sftp_port, "station", "right", tmp_path / "hk"
            )
            config = rig.write_config(
                tmp_path, nobody(free_port()),
                rig.sftp(tmp_path, sftp_port, province.public_line), rig.mqtt(mqtt_port),
            )  # fmt: skip
            drafts = [rig.draft(id, n) for n in range(5) for id in ("province", "national")]
            await rig.queue(config, drafts)
            async with running(config) as gateway:
                await until(lambda: under_way(gateway))
                assert await gateway.stop() == 0
        national = MqttReceiver("127.0.0.1", mqtt_port, tmp_path / "n.jsonl")
        await province.start()
        await national.start()
        async with running(config) as gateway:
            await until(lambda: len(province.arrivals) == 5 and national.messages == 5)
            assert await gateway.stop() == 0
        await province.stop()
        await national.stop()
        names = [arrival.name for arrival in province.arrivals]
        assert names == sorted(names) and len(set(names)) == 5
        lines = (tmp_path / "n.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == [f"w{n}" for n in range(5)]

    asyncio.run(main())


def test_sigterm_while_a_disk_hangs(tmp_path):
    async def main():
        config = rig.write_config(tmp_path, nobody(free_port()), rig.directory())
        one = rig.draft("local", 1)
        await rig.queue(config, [one])
        part = tmp_path / "sent" / temporary_name(one.name)
        part.parent.mkdir()
        os.mkfifo(part)  # to open it for writing takes for ever
        async with running(config) as gateway:
            await until(lambda: under_way(gateway))
            assert await gateway.stop() == 0
            assert "does not answer a thread" in gateway.log
        part.unlink()
        async with running(config) as gateway:
            await until((tmp_path / "sent" / one.name).exists)
            assert await gateway.stop() == 0
        assert (tmp_path / "sent" / one.name).read_bytes() == one.body

    asyncio.run(main())


async def under_way(gateway: GatewayRun) -> bool:
    return all(row["attempts"] for row in (await gateway.current())["destinations"])


def test_what_is_waiting_is_still_sent_after_sigterm(tmp_path):
    async def main(modbus_port):
        national = await MqttReceiver("127.0.0.1", 0, tmp_path / "n.jsonl").start()
        network = await TcpProxy("127.0.0.1", national.port).start()
        network.latency_s = 0.3  # so that some messages are always under way
        config = measuring(tmp_path, modbus_port, rig.mqtt(network.port, "readings"))
        async with running(config) as gateway:
            await polled(config, 3)
            assert await gateway.stop() == 0
        with contextlib.closing(connect_to_read(tmp_path / "gateway" / "journal.db")) as connection:
            entries = connection.execute("SELECT count(*) FROM entry WHERE kind = ?", (POLL,)).fetchone()[0]
            waiting = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        assert waiting == 0 and national.messages == entries and national.duplicates == 0
        await network.stop()
        await national.stop()

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


def test_a_second_gateway_on_the_same_state_is_refused(tmp_path):
    async def main():
        config = rig.write_config(tmp_path, nobody(free_port()))
        async with running(config) as first:
            other = rig.write_config(tmp_path / "o", nobody(free_port()), state_dir=str(tmp_path / "gateway"))
            second = await GatewayRun(other).start()
            try:
                assert await second.ended() == 1
            finally:
                await second.close()
            pid = str(first.process.pid)
            assert "Another gateway" in second.log and pid in second.log and "Traceback" not in second.log
            assert "READY=1" not in second.said and first.process.returncode is None
            await first.kill()
        async with running(other) as third:  # the lock of a killed one is nobody's
            assert await third.stop() == 0

    asyncio.run(main())


def test_the_port_of_the_pages_is_taken(tmp_path):
    async def main(modbus_port):
        with hanging() as taken:
            config = measuring(tmp_path, modbus_port, web_port=taken)
            async with running(config) as gateway:
                await polled(config, await polled(config))
                await until(lambda: "the status pages have no port" in gateway.log)
                assert await gateway.stop() == 0
                assert "Traceback" not in gateway.log

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


def test_a_bus_that_no_channel_is_read_from_does_not_end_the_gateway(tmp_path):
    async def main(modbus_port):
        config = measuring(tmp_path, modbus_port, rig.bus("spare", "modbus-tcp://127.0.0.1:1"))
        async with running(config) as gateway:
            await polled(config, await polled(config))
            assert gateway.process.returncode is None
            assert not [r for r in (await gateway.health())[1] if "spare" in r]
            assert await gateway.stop() == 0

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


# Our own mistakes -----------------------------------------------------------------------------------------


def broken(config):
    """A configuration that no file can be: the line's task dies of an AttributeError."""
    return config.model_copy(update={"bus": (config.bus[0].model_copy(update={"link": object()}),)})


def test_a_task_that_dies_ends_the_run(tmp_path):
    config = broken(load(rig.write_config(tmp_path, nobody(free_port()))))
    said = []
    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(app.Gateway(config, Clock()).run(said.append))
    gc.unfreeze()
    assert raised.group_contains(AttributeError)
    assert any("READY=1" in line for line in said) and not any("STOPPING" in line for line in said)


def test_a_task_that_dies_ends_the_process_with_a_status(tmp_path):
    config = rig.write_config(tmp_path, nobody(free_port()))
    script = (
        "import sys\nfrom pathlib import Path\nfrom gateway import process\n"
        "from tests.gateway.test_app import broken\n"
        "begin = process.begin\n"
        "def with_broken(*arguments):\n    begun = begin(*arguments)\n"
        "    return begun._replace(config=broken(begun.config))\n"
        "process.begin = with_broken\n"
        "sys.exit(process.main(Path(sys.argv[1]), None))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(config)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "AttributeError" in done.stderr
    assert done.stderr.count("a task did not end well") >= 1


def test_a_task_that_returns_is_a_mistake_too():
    async def main():
        async def nothing():
            pass

        done, waiting = asyncio.create_task(nothing(), name="line x"), asyncio.create_task(asyncio.sleep(60))
        await done
        app._raise_first([waiting])
        with pytest.raises(RuntimeError, match="line x ended by itself"):
            app._raise_first([waiting, done])
        await app._cancel([waiting, done])
        assert waiting.cancelled()

    asyncio.run(main())


# Numbers that balance -------------------------------------------------------------------------------------


def test_counters_balance_through_faults_a_kill_and_a_restart(tmp_path):
    async def main(stack):
        (modbus_port,) = stack.enter_context(serve(1, 2))
        province = SftpReceiver(tmp_path / "p", "127.0.0.1", 0, "station", "right", tmp_path / "hk")
        national = MqttReceiver("127.0.0.1", 0, tmp_path / "n.jsonl")
        await province.start()
        await national.start()
        link = free_port()
        config = measuring(
            tmp_path, modbus_port, rig.device(tmp_path, "st-01", f"tcp-listen://127.0.0.1:{link}"),
            *(rig.device_channel(name.upper(), "st-01", name) for name in rig.QUANTITIES),
            rig.sftp(tmp_path, province.port, province.public_line), rig.mqtt(national.port, "windows"),
            rig.directory(),
        )  # fmt: skip
        minute = 60 * len(rig.QUANTITIES)  # records of the device in a minute of station time
        now_ms = time.time_ns() // 1_000_000
        device = rig.AwkwardDevice(12 * minute, now_ms // 300_000 * 300_000 - 35 * 60_000)
        async with running(config) as gateway:
            await device.run(link)  # two windows and more
            await until(lambda: len(province.arrivals) >= 2 and national.messages >= 2)
            _, metrics = await quiet(gateway)
            assert metrics["readings_windowed", "COD"] >= 600 and metrics["documents_delivered", "local"] >= 2
            assert metrics["readings_read", "Flow"] > 0
            device.store.back = (device.store.total, device.store.total + minute, 8 * 60_000)
            device.store.total += minute
            await device.run(link)  # late: of windows that are closed, which get a new revision
            revised = await until(lambda: settled(gateway, metrics["readings_windowed", "COD"] + 60))
            assert revised["late"] == 0 and revised["windowed"] + revised["open"] == revised["read"]
            await province.cut()
            await national.cut()
            stack.close()  # the instrument stops
            device.store.total = 24 * minute
            await device.run(link)  # two more windows, for destinations that are away
            ages = []
            for _ in range(2):
                ages.append(await until(lambda: older(gateway, ages)))
            assert 0 < ages[0]["province"] < ages[1]["province"] and ages[0]["national"] < ages[1]["national"]
            await until(lambda: local_has_all(gateway))
            await quiet(gateway)
            device.store.total = 30 * minute
            sending = asyncio.create_task(device.run(link))
            await until(lambda: device.acked[1] > 25 * minute)
            await gateway.kill()
            sending.cancel()
        async with running(config) as gateway:
            check_balance(await gateway.metrics(), await gateway.current())
            await device.run(link)
            await province.restore()
            await national.restore()

            async def all_sent():
                current, metrics = await quiet(gateway)  # the metrics were looked at first
                sent = [metrics["documents_waiting", row["id"]] == 0 for row in current["destinations"]]
                return all(sent) and (current, metrics)

            current, metrics = await until(all_sent)
            assert all(row["oldest_unsent_s"] is None for row in current["destinations"])
            for id in ("province", "national", "local"):
                assert metrics["documents_oldest_unsent_s", id] == metrics["documents_waiting", id] == 0
            assert metrics["readings_unplaced", "COD"] == 0
            assert await gateway.stop() == 0
        await province.stop()
        await national.stop()
        names = [arrival.name for arrival in province.arrivals]
        assert len(names) == len(set(names)) >= 5 and names == sorted(names)

    with contextlib.ExitStack() as stack:
        asyncio.run(main(stack))


async def local_has_all(gateway: GatewayRun) -> bool:
    """Whether the destination that is there has nothing to wait for."""
    metrics = await gateway.metrics()
    return metrics["documents_oldest_unsent_s", "local"] == metrics["documents_waiting", "local"] == 0


async def settled(gateway: GatewayRun, windowed: float) -> dict | None:
    """COD's readings once so many are in windows."""
    current, metrics = await gateway.current(), await gateway.metrics()
    check_balance(metrics, current)
    (row,) = [row["readings"] for row in current["channels"] if row["symbol"] == "COD"]
    return row if row["windowed"] >= windowed else None


async def older(gateway: GatewayRun, before: list[dict]) -> dict | None:
    """The ages of the oldest unsent documents once both that are away have grown."""
    current, metrics = await gateway.current(), await gateway.metrics()
    check_balance(metrics, current)
    found = {id: metrics["documents_oldest_unsent_s", id] for id in ("province", "national", "local")}
    least = before[-1] if before else {"province": 0, "national": 0}
    return found if all(found[id] > least[id] for id in ("province", "national")) else None
