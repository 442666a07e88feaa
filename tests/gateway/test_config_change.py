"""Another configuration for a gateway that runs, as processes: nothing is lost, a wrong one changes nothing,
one that cuts the gateway off comes back, and so it is whenever the gateway is killed. Control: an old file
that is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config_change import entries, kept
from gateway.forward.files import temporary_name
from gateway.journal.database import connect_to_read
from gateway.journal.kinds import FRAME, POLL
from gateway.journal.reader import reading
from gateway.requests import (
    APPLY,
    AT_START,
    CANCEL,
    CONFIGURE,
    CONFIRM,
    SHOW,
    Answer,
    Order,
    parse_answer,
    write,
)
from simulator.modbus_load import serve
from simulator.receivers import SftpReceiver
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import GatewayRun, running, until
from tests.servers.process import free_port

DYING = "tests.gateway.dying_change"
SHORT = 0.05
"""Minutes: the shortest in which a change may have to be confirmed."""


async def ask(config: Path, mark: str, text: str = "", minutes: float = 5.0, who: str = "lan") -> Answer:
    """What the running gateway answers."""
    order = Order(CONFIGURE, (), "", who, "", mark=mark, text=text, minutes=minutes, at="10.0.0.7")
    await until((config.parent / "gateway" / "requests").exists)
    while True:
        answer = write(config.parent / "gateway", order).with_suffix(".answer")
        await until(answer.exists)
        found = parse_answer(answer.read_bytes())
        if found.said != AT_START[".request"]:  # it was not yet looking
            return found


async def ready(gateway: GatewayRun, times: int) -> None:
    """It was ready so often by now."""
    await until(lambda: gateway.said.count("READY=1") >= times or gateway.process.returncode is not None)
    assert gateway.process.returncode is None, gateway.log


def said(config: Path) -> list[entries.Said]:
    """What the log says of changes."""
    with reading(config.parent / "gateway" / "journal.db") as reader:
        told = [entries.parse(body) for body, _ in reader.events_with(entries.EVENT_NAME)]
    return [one for one in told if one is not None]


def count(config: Path, kind: int) -> int:
    with contextlib.closing(connect_to_read(config.parent / "gateway" / "journal.db")) as connection:
        return connection.execute("SELECT count(*) FROM entry WHERE kind = ?", (kind,)).fetchone()[0]


def frames(config: Path) -> list[tuple[int, int]]:
    """(first, last) reading of each frame of the station device, as the journal holds them."""
    with contextlib.closing(connect_to_read(config.parent / "gateway" / "journal.db")) as connection:
        query = "SELECT first_seq, last_seq FROM entry WHERE kind = ? ORDER BY idx"
        return connection.execute(query, (FRAME,)).fetchall()


def small(folder: Path, *more: str, limit: float = 75.0, web_port: int = 0) -> str:
    """A configuration with a bus where nobody is."""
    limits = {"max": limit, "basis": "permit"}
    parts = [
        rig.bus("tank", "modbus-tcp://127.0.0.1:1"),
        rig.bus_channel("COD", "tank", 0, limits=limits),
        *more,
    ]
    return rig.write_config(folder, *parts, rig.directory(), web_port=web_port).read_text("utf-8")


@contextlib.asynccontextmanager
async def tried(folder: Path, module: str = "tools.cli") -> AsyncIterator[tuple[GatewayRun, Path, str, str]]:
    """A gateway that runs with a limit of 75; (it, its file, its text, and the text with a limit of 80)."""
    port = free_port()
    new = small(folder, limit=80.0, web_port=port)
    old = small(folder, limit=75.0, web_port=port)
    config = folder / "config.toml"
    async with running(config, module=module) as gateway:
        yield gateway, config, old, new


# Nothing is lost ------------------------------------------------------------------------------------------


def test_readings_flow_and_documents_go_out_while_it_changes(tmp_path):
    """A station device sends all the while, an instrument is polled, three documents wait for a province that
    is away; a channel comes. In the journal is each reading once; the documents arrive.
    """

    async def main(modbus_port: int) -> None:
        province = SftpReceiver(tmp_path / "p", "127.0.0.1", free_port(), "station", "right", tmp_path / "hk")
        link, web = free_port(), free_port()
        parts = [
            rig.bus("tank", f"modbus-tcp://127.0.0.1:{modbus_port}"), rig.bus_channel("Flow", "tank", 0),
            rig.device(tmp_path, "st-01", f"tcp-listen://127.0.0.1:{link}"),
            *(rig.device_channel(name.upper(), "st-01", name) for name in rig.QUANTITIES),
            rig.sftp(tmp_path, province.port, province.public_line),
        ]  # fmt: skip
        new = rig.write_config(
            tmp_path, *parts, rig.bus_channel("Level", "tank", 2), web_port=web
        ).read_text()
        config = rig.write_config(tmp_path, *parts, web_port=web)
        await rig.queue(config, [rig.draft("province", number) for number in (1, 2, 3)])
        async with running(config) as gateway:
            process = gateway.process.pid
            device = rig.AwkwardDevice(9, time.time_ns() // 1_000_000 - 3_600_000)
            measuring = True

            async def measure() -> None:
                while measuring:
                    device.store.total += 9
                    await device.run(link)
                    await asyncio.sleep(0.02)

            sending = asyncio.create_task(measure())
            await until(lambda: count(config, POLL) > 3 and len(frames(config)) > 3)
            answer = await ask(config, APPLY, new)
            assert answer.ok and "+ channel Level" in answer.said, answer.said
            before = len(frames(config))
            await ready(gateway, 2)
            assert gateway.process.pid == process
            polled = count(config, POLL)
            await until(lambda: count(config, POLL) > polled and len(frames(config)) > before + 3)
            assert (await ask(config, CONFIRM)).ok
            measuring = False
            await sending
            assert {row["symbol"] for row in (await gateway.current())["channels"]} >= {
                "Level",
                "Flow",
                "COD",
            }
            await province.start()
            await until(lambda: len(province.arrivals) >= 3)
            assert await gateway.stop() == 0
            await province.stop()
            total = device.store.total
        found = frames(config)
        assert [first for first, _ in found] == [1, *(last + 1 for _, last in found[:-1])]
        assert found[-1][1] == total, "a reading is missing"
        names = [arrival.name for arrival in province.arrivals]
        assert len(names) == len(set(names))
        applying, confirmed = said(config)
        assert (applying.what, applying.who, applying.at) == (entries.APPLYING, "lan", "10.0.0.7")
        assert [(one.section, one.name) for one in applying.differences] == [("channel", "Level")]
        assert (confirmed.what, confirmed.new) == (entries.CONFIRMED, load(config).fingerprint)

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


def test_a_disk_that_hangs_does_not_hold_up_the_change(tmp_path):
    """A thread waits for ever to open the file: the process begins anew over it."""

    async def main() -> None:
        new = small(tmp_path, limit=80.0, web_port=free_port())
        config = tmp_path / "config.toml"
        config.write_text(new.replace("80.0", "75.0"))
        one = rig.draft("local", 1)
        await rig.queue(config, [one])
        part = tmp_path / "sent" / temporary_name(one.name)
        part.parent.mkdir()
        os.mkfifo(part)
        async with running(config) as gateway:
            await until(lambda: gateway.get("/healthz"))
            assert (await ask(config, APPLY, new)).ok
            await ready(gateway, 2)
            assert "does not answer a thread" in gateway.log
            assert (await ask(config, CONFIRM)).ok
            assert await gateway.stop() == 0
        part.unlink()
        async with running(config) as gateway:
            await until((tmp_path / "sent" / one.name).exists)
            assert await gateway.stop() == 0

    asyncio.run(main())


# A wrong one ----------------------------------------------------------------------------------------------


def test_a_wrong_one_leaves_the_old_one_running(tmp_path):
    async def main() -> None:
        async with tried(tmp_path) as (gateway, config, old, new):
            for wrong, place in (
                (new.replace("timeout_ms = 200", "timeout_ms = 0"), "bus[0].timeout_ms"),
                (new.replace('code = "NUO001"', 'code = "NUO002"'), "station.code"),
                ("[station", "This is not TOML"), ("\ud800", "UTF-8"),
            ):  # fmt: skip
                answer = await ask(config, APPLY, wrong)
                assert not answer.ok and place in answer.said, answer.said
            assert (await ask(config, APPLY, old)).said.startswith("That is what runs")
            assert not (await ask(config, CONFIRM)).ok
            assert config.read_text() == old and gateway.said.count("READY=1") == 1 and not said(config)
            assert not kept.beside(config, kept.CHANGE).exists()
            assert await gateway.stop() == 0

    asyncio.run(main())


def test_a_folder_that_it_may_not_write_into_changes_nothing(tmp_path):
    async def main() -> None:
        async with tried(tmp_path) as (gateway, config, old, new):
            kept.beside(config, kept.BEFORE + ".new").mkdir()  # so that even root cannot
            answer = await ask(config, APPLY, new)
            assert not answer.ok and answer.said.startswith("Nothing was changed:"), answer.said
            assert config.read_text() == old and not kept.beside(config, kept.CHANGE).exists()
            assert gateway.said.count("READY=1") == 1

    asyncio.run(main())


def test_one_that_does_not_start_comes_back_by_itself(tmp_path):
    async def main() -> None:
        async with tried(tmp_path, DYING) as (gateway, config, old, _):
            boom = small(tmp_path / "x", rig.bus_channel("Boom", "tank", 4), web_port=free_port())
            assert (await ask(config, APPLY, boom)).ok
            await ready(gateway, 2)
            assert config.read_text() == old
            await until(lambda: said(config)[-1].what == entries.BACK)
            assert "Boom cannot be started with" in said(config)[-1].why
            assert await gateway.stop() == 0

    asyncio.run(main())


# One that cuts it off -------------------------------------------------------------------------------------


def test_one_that_cuts_the_gateway_off_comes_back_when_nobody_confirms(tmp_path):
    """The page moves, the destination goes, the bus leads to nobody: nobody there can confirm it."""

    async def main(modbus_port: int) -> None:
        parts = [rig.bus_channel("Flow", "tank", 0), rig.directory()]
        cut = rig.write_config(
            tmp_path, rig.bus("tank", "modbus-tcp://127.0.0.1:1"), parts[0], web_port=free_port()
        ).read_text()  # fmt: skip
        config = rig.write_config(tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{modbus_port}"), *parts)
        old = config.read_text()
        async with running(config) as gateway:
            answer = await ask(config, APPLY, cut, 0.25)
            assert answer.ok and "- destination local" in answer.said
            assert "The gateway's page moves" in answer.said
            await ready(gateway, 2)
            assert config.read_text() == cut
            polled = count(config, POLL)
            await ready(gateway, 3)
            assert config.read_text() == old
            assert [row["id"] for row in (await gateway.current())["destinations"]] == ["local"]
            await until(lambda: count(config, POLL) > polled + 3)
            await until(lambda: said(config)[-1].what == entries.BACK)
            assert said(config)[-1].why == "nobody confirmed it within 0.25 minutes"
            assert not kept.beside(config, kept.CHANGE).exists()
            assert await gateway.stop() == 0

    with serve(1, 2) as (port,):
        asyncio.run(main(port))


def test_it_is_taken_back_and_a_second_one_waits_for_the_first(tmp_path):
    async def main() -> None:
        async with tried(tmp_path) as (gateway, config, old, new):
            assert (await ask(config, APPLY, new)).ok
            await ready(gateway, 2)
            (problem,) = [text for text in (await gateway.health())[1] if "not confirmed" in text]
            assert problem.startswith("The configuration of lan is not confirmed: in ")
            assert not (await ask(config, APPLY, old)).ok
            assert (await ask(config, CANCEL, who="minh")).ok
            await ready(gateway, 3)
            await until(lambda: said(config)[-1].what == entries.BACK)
            assert config.read_text() == old and said(config)[-1].why == "minh took it back"
            assert await gateway.stop() == 0

    asyncio.run(main())


# Killed at every step -------------------------------------------------------------------------------------

STEPS = [
    "before config.toml.before", "after config.toml.before", "before config.toml.change",
    "after config.toml.change", "before the entry", "after the entry", "before config.toml",
    "after config.toml", "before the restart", "before config.toml.change", "after config.toml.change",
]  # fmt: skip
"""Of a change, up to the first thing that the gateway writes when it has started with it."""


async def killed(folder: Path, number: int) -> Path:
    """Kill the gateway at a step of a change, start it as systemd would, and let nobody confirm."""
    async with tried(folder, DYING) as (gateway, config, old, new):
        await until(kept.beside(config, kept.RUNNING).exists)
        await ask(config, SHOW)  # it takes orders by now: what lay there before would not be done
        (folder / "die-at").write_text(str(number))
        order = Order(CONFIGURE, (), "", "lan", "", mark=APPLY, text=new, minutes=SHORT)
        write(folder / "gateway", order)
        assert await gateway.ended() == -9, gateway.log
        assert config.read_text() in (old, new)
    async with running(config, module=DYING) as gateway:
        assert load(config).channel[0].limits.max in (75.0, 80.0)
        await until(lambda: config.read_text() == old and not kept.beside(config, kept.CHANGE).exists())
        await until(lambda: gateway.process.returncode is None and (folder / "gateway").exists())
        status = (await ask(config, SHOW)).said
        assert load(config).fingerprint[:16] in status, "it runs with something else"
        assert await gateway.stop() == 0
    return config


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_killed_at_every_step_it_runs_again_and_goes_back(tmp_path, number):
    config = asyncio.run(killed(tmp_path, number))
    assert (tmp_path / "steps").read_text().splitlines()[:number] == STEPS[:number]
    told = [one.what for one in said(config)]
    assert told in ([], [entries.BACK], [entries.APPLYING, entries.BACK]), told
    assert told[-1:] == [entries.BACK] or number < STEPS.index("after config.toml.change") + 1


def test_control_without_the_kept_old_file_it_does_not_go_back(tmp_path):
    (tmp_path / "careless").touch()

    async def main() -> None:
        async with tried(tmp_path, DYING) as (gateway, config, _, new):
            assert (await ask(config, APPLY, new, SHORT)).ok
            await ready(gateway, 2)
            await until(lambda: said(config)[-1].what == entries.OVERTAKEN)
            assert config.read_text() == new

    asyncio.run(main())


# By hand --------------------------------------------------------------------------------------------------


def test_a_file_that_was_edited_by_hand_is_told_of_and_runs_when_somebody_says_so(tmp_path):
    async def main() -> None:
        async with tried(tmp_path, DYING) as (gateway, config, old, new):
            await until(kept.beside(config, kept.RUNNING).exists)

            async def told() -> str:
                return next((text for text in (await gateway.health())[1] if "config.toml" in text), "")

            config.write_text(new)
            assert "was changed by hand and does not run" in await until(told)
            show = (await ask(config, SHOW)).said
            assert "channel COD limits.max: 75.0 -> 80.0" in show
            assert not (await ask(config, APPLY, old.replace("75.0", "90.0"))).ok, "the edit would be lost"
            assert gateway.said.count("READY=1") == 1
            assert (await ask(config, CANCEL)).ok
            assert config.read_text() == old and kept.beside(config, kept.EDITED).read_text() == new
            assert not await told()
            config.write_text(new.replace("timeout_ms = 200", "timeout_ms = 0"))
            assert "bus[0].timeout_ms" in await until(told)
            assert not (await ask(config, APPLY)).ok
            config.write_text(new)
            await until(lambda: told_without_faults(told))
            assert (await ask(config, APPLY)).ok
            await ready(gateway, 2)
            assert (await ask(config, CONFIRM)).ok
            assert await gateway.stop() == 0
        assert [one.what for one in said(config)] == [entries.APPLYING, entries.CONFIRMED]

    async def told_without_faults(told) -> bool:
        text = await told()
        return bool(text) and "timeout_ms" not in text

    asyncio.run(main())


def test_a_restart_with_an_edited_file_is_entered_and_with_faults_goes_on_with_what_ran(tmp_path):
    async def main() -> None:
        async with tried(tmp_path, DYING) as (gateway, config, old, new):
            await until(kept.beside(config, kept.RUNNING).exists)
            assert await gateway.stop() == 0
        config.write_text(new)
        async with running(config, module=DYING) as gateway:
            await until(lambda: said(config) and kept.beside(config, kept.RUNNING).read_text() == new)
            (started,) = said(config)
            assert started.what == entries.STARTED
            assert [str(one) for one in started.differences] == ["channel COD limits.max: 75.0 -> 80.0"]
            assert await gateway.stop() == 0
        config.write_text(old.replace("timeout_ms = 200", "timeout_ms = 0"))
        async with running(config, module=DYING) as gateway:
            problems = (await gateway.health())[1]
            assert any("is not what runs, and has 1 faults" in text for text in problems), problems
            assert await gateway.stop() == 0
        assert len(said(config)) == 1

    asyncio.run(main())
