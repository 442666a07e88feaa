"""send = ["public"]: what a portal gets at each window, by every way, through the outbox and real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from gateway import documents as module
from gateway.config import Config
from gateway.counters import Counters
from gateway.documents import Draft, documents, due_after_ms
from gateway.forward.make import make
from gateway.forward.worker import Backoff, Worker
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.reports import provincial
from gateway.windows import OFF
from protocol import quality
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import until
from tests.gateway.forward_rig import MqttRig
from tests.gateway.journal_rig import opened
from tests.gateway.public_rig import FIVE_MIN_MS, PUBLIC, group, public_config
from tests.gateway.receiver import Receiver
from tests.gateway.test_provincial import T0
from tools.demo.site import table

LOCAL = '[[destination]]\nid = "local"\nkind = "directory"\npath = "sent"\nlayout = "date"\n'
BROKER = '[[destination]]\nid = "broker"\nkind = "mqtt"\nhost = "127.0.0.1"\n'
PORTAL = '[[destination]]\nid = "portal"\nkind = "https"\nurl = "https://h/x"\n'
WANTED = 'send = ["public"]\n'
TOPIC = "quantrac/LCa/DEMO/NUO001/public"


def every_way(folder: Path, public: str = PUBLIC) -> Config:
    return public_config(folder, public, LOCAL + WANTED + BROKER + WANTED + PORTAL + WANTED)


# What is queued ---------------------------------------------------------------------------------------------


def test_every_kind_of_destination_gets_the_same_object(tmp_path):
    local, broker, portal = documents(every_way(tmp_path), group(0), b"a text\n\nsigned\n")
    key = "public/NUO001/20260325000000/1"
    assert local[:6] == (
        "local", key, "public", "LCa-DEMO-NUO001-20260325000000-public-1.json", "NUO001/20260325", T0,
    )  # fmt: skip
    assert broker[:6] == ("broker", key, "public", TOPIC, "", T0)
    assert portal[:6] == ("portal", key, "public", "LCa/DEMO/NUO001/public/20260325000000/1", "", T0)
    assert local.body == broker.body == portal.body
    found = json.loads(local.body)
    assert found["id"] == portal.name and found["checkpoint"] == "a text\n\nsigned\n"
    assert set(found["channels"]) == {"COD", "pH"} and b"Cyanide" not in local.body
    assert len(local.body) < 4096, "a document at each window stays small"


def test_who_did_not_ask_gets_none_and_windows_stay_as_they_are(tmp_path):
    both = LOCAL + 'send = ["windows", "public"]\n' + BROKER
    found = documents(public_config(tmp_path, PUBLIC, both), group(0))
    assert [(one.destination, one.kind) for one in found] == [
        ("local", "windows"), ("broker", "windows"), ("local", "public"),
    ]  # fmt: skip
    without = documents(public_config(tmp_path, "", LOCAL + BROKER), group(0))
    assert found[:2] == without


def test_every_revision_of_a_public_channel_goes_out_under_its_own_name(tmp_path):
    config = every_way(tmp_path)
    later = documents(config, group(0, cod=17.0, revision=2))
    assert [one.name for one in later] == [
        "LCa-DEMO-NUO001-20260325000000-public-2.json", TOPIC, "LCa/DEMO/NUO001/public/20260325000000/2",
    ]  # fmt: skip
    assert documents(config, group(0, revision=2)[2:]) == [], "a revision of what is not public"


def test_no_data_are_told_as_such(tmp_path):
    """A portal's curve ends where nothing was measured; it does not wait for windows that never come."""
    off = [one._replace(reason=OFF) for one in group(0, q=quality.NO_DATA)]
    local, *_ = documents(every_way(tmp_path), off)
    cod = json.loads(local.body)["channels"]["COD"]
    assert cod["value"] is None and cod["status_en"] == "no data"


# As a file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looks_at_all", [False, True])
def test_the_receiving_software_does_not_see_it_whenever_it_comes(tmp_path, looks_at_all):
    """Neither one that picks by _<station>_ nor one that takes whatever sorts behind its newest."""
    config = public_config(tmp_path, PUBLIC, LOCAL + 'send = ["windows", "public"]\n')

    def received(kinds: set[str]) -> dict:
        receiver = Receiver("NUO001", {"COD", "pH", "Cyanide"})
        files: dict[str, bytes] = {}
        for i in range(30):
            drafts = documents(config, group(i, cod=float(i)))
            for draft in drafts if i % 2 else reversed(drafts):
                if draft.kind in kinds:
                    files[draft.name + ("_NUO001_" if looks_at_all else "")] = draft.body
                    receiver.poll(files)
        return receiver.values

    assert received({"windows", "public"}) == received({"windows"}) and len(received({"windows"})) == 90


@pytest.mark.parametrize("looks_at_all", [False, True])
def test_control_a_name_like_a_files_costs_the_department_windows(tmp_path, monkeypatch, looks_at_all):
    def stem(station, at_ms):
        return provincial.file_name(station, at_ms).removesuffix(".txt").replace("_2026", "_public_2026")

    monkeypatch.setattr(module, "_side_stem", stem)
    with pytest.raises(AssertionError):
        test_the_receiving_software_does_not_see_it_whenever_it_comes(tmp_path, looks_at_all)


# Delivered --------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_ms = T0


@contextlib.asynccontextmanager
async def delivering(journal: Journal, config: Config, clock: Clock) -> AsyncIterator[JournalOutbox]:
    """Outbox and workers as app.py wires them."""
    counters, random = Counters(), Random(1)
    delays = {one.id: due_after_ms(config, one) for one in config.destination}
    outbox = JournalOutbox(journal, lambda: clock.now_ms, counters, delays_ms=delays)
    await outbox.load()
    workers = [
        Worker(one.id, make(config, one), outbox, random=random, backoff=Backoff(random, 0.01, 0.1))
        for one in config.destination
    ]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield outbox
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_folder_and_a_broker_have_every_window_across_cuts_and_restarts(tmp_path):
    async def story() -> None:
        (tmp_path / "broker").mkdir()
        rig = MqttRig(tmp_path / "broker")
        rig.password_file.chmod(0o600)
        await rig.start()
        assert rig.proxy is not None
        journal = opened(tmp_path / "journal.db")
        journal.start()
        try:
            to = f'port = {rig.proxy.port}\nuser = "station"\npassword_file = "{rig.password_file}"\n'
            config = public_config(tmp_path / "c", PUBLIC, LOCAL + WANTED + BROKER + to + WANTED)
            queued: list[Draft] = []
            for run in range(3):
                async with delivering(journal, config, Clock()) as outbox:
                    for i in range(run * 4, run * 4 + 4):
                        made = documents(config, group(i, cod=float(i)))
                        queued += made
                        await outbox.queue(made)
                        await outbox.queue(made)  # a key is taken once
                    rig.proxy.cut_after = 700
                    folder = config.path.parent / "sent"
                    await until(lambda run=run, at=folder: len(list(at.rglob("*.json"))) == run * 4 + 4)
            async with delivering(journal, config, Clock()):
                await until(lambda: len({body for _, body in rig.subscriber.messages}) == 12)
            for one in (draft for draft in queued if draft.destination == "local"):
                assert (folder / one.folder / one.name).read_bytes() == one.body
            bodies = list(dict.fromkeys(body for topic, body in rig.subscriber.messages if topic == TOPIC))
            assert bodies == [one.body for one in queued if one.destination == "broker"], "oldest first"
        finally:
            await journal.close(timeout_s=2.0)
            await rig.stop()

    asyncio.run(story())


def test_nothing_is_pushed_before_it_is_as_old_as_was_agreed(tmp_path):
    late = "delay_min = 60\n"
    config = public_config(tmp_path, PUBLIC + late, LOCAL + WANTED + late)

    async def story() -> None:
        journal, clock = opened(tmp_path / "journal.db"), Clock()
        journal.start()
        try:
            delays = {one.id: due_after_ms(config, one) for one in config.destination}
            outbox = JournalOutbox(journal, lambda: clock.now_ms, Counters(), delays_ms=delays)
            for i in range(20):
                await outbox.queue(documents(config, group(i)))
            clock.now_ms = T0 + 19 * FIVE_MIN_MS
            due = [document.at_ms for document in await outbox.pending("local", 0, 99)]
            assert due == [T0 + i * FIVE_MIN_MS for i in range(8)]
        finally:
            await journal.close(timeout_s=2.0)

    asyncio.run(story())


def test_a_whole_gateway_shows_and_pushes_what_was_agreed_and_nothing_else(tmp_path):
    async def story(modbus_port: int) -> None:
        mono_ms = time.monotonic_ns() // 1_000_000
        clock = tmp_path / "clock.json"
        clock.write_text(json.dumps({"segments": [[mono_ms, T0, 60]]}))  # a window each second
        config = rig.write_config(
            tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{modbus_port}"),
            rig.bus_channel("Flow", "tank", 0, poll_ms=6000, limits={"max": 1e9, "basis": "permit 7"}),
            rig.bus_channel("Level", "tank", 2, poll_ms=6000),
            table("[public]", {"channels": ["Flow"], "title": "Suối"}),
            table("[[destination]]", {
                "id": "folder", "kind": "directory", "path": "sent", "send": ["public"],
            }),
            window_minutes=1,
        )  # fmt: skip
        async with rig.running(config, clock) as gateway:
            files = await until(lambda: len(found := sent(tmp_path)) >= 3 and found)
            page = await until(lambda: shown(gateway))
            assert page["title"] == "Suối" and list(page["channels"]) == ["Flow"]
            assert page["channels"]["Flow"]["limits"] == {"min": None, "max": 1e9, "basis": "permit 7"}
            status, table_text = await gateway.get("/public.csv")
            assert status == 200 and ",Flow," in table_text and "Level" not in table_text + json.dumps(page)
            assert await gateway.stop() == 0
        for path in files:
            text = path.read_text("utf-8")
            pushed = json.loads(text)
            assert list(pushed["channels"]) == ["Flow"] and "Level" not in text
            place = page["windows"]["t"].index(pushed["t"])
            assert pushed["windows"]["values"]["Flow"] == [page["windows"]["values"]["Flow"][place]]
        assert pushed["checkpoint"].startswith("quantrac/LCa/DEMO/NUO001\n")

    async def shown(gateway: rig.GatewayRun) -> dict | None:
        page = json.loads((await gateway.get("/public.json"))[1])
        return page if page["t"] and len(page["windows"]["t"]) >= 3 else None

    with serve(1, 2) as ports:
        asyncio.run(story(ports[0]))


def sent(folder: Path) -> list[Path]:
    return sorted((folder / "sent").rglob("*-public-*.json"))
