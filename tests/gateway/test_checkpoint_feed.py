"""Checkpoints on their way out: each one that was signed, once for each destination, through real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from gateway import feed, feed_checkpoints
from gateway.config import Config
from gateway.counters import Counters
from gateway.documents import checkpoint_drafts, documents
from gateway.feed import Feed
from gateway.feed_checkpoints import CheckpointSource
from gateway.forward.make import make
from gateway.forward.worker import Backoff, Worker
from gateway.journal import durable
from gateway.journal.outbox import JournalOutbox
from gateway.reports import provincial
from protocol import checkpoint, note
from protocol.checkpoint import open_checkpoint
from tests.gateway.configured import channel, configured
from tests.gateway.forward_rig import MqttRig
from tests.gateway.receiver import Receiver
from tests.gateway.test_provincial import T0, window
from tests.gateway.witness_rig import NOW_MS, Site, asking, server, site

LOCAL = '[[destination]]\nid = "local"\nkind = "directory"\npath = "sent"\n'
POLICE = '[[destination]]\nid = "police"\nkind = "mqtt"\nhost = "127.0.0.1"\n'
WANTED = 'send = ["checkpoints"]\n'
TOPIC = "quantrac/LCa/DEMO/NUO001/checkpoint"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(feed, "LOOK_S", 0.01)


def config_of(folder: Path, destinations: str = LOCAL + WANTED) -> Config:
    return configured(folder, channel("COD", "mg/l") + channel("pH", "", 2), destinations)


def feed_of(at: Site, config: Config, outbox: JournalOutbox | None = None) -> Feed:
    outbox = outbox or JournalOutbox(at.journal, lambda: NOW_MS, Counters())
    return Feed(config, at.journal, outbox, [CheckpointSource(config, at.journal)])


def queued(at: Site, destination: str = "local", state: str = "0, 1, 2") -> list[int]:
    """Entries of the checkpoints in its outbox, in their order."""
    with contextlib.closing(sqlite3.connect(at.journal.path)) as connection:
        rows = connection.execute(
            f"SELECT key FROM outbox WHERE destination = ? AND kind = 'checkpoints' AND state IN ({state}) "
            "ORDER BY id",
            (destination,),
        ).fetchall()
    assert all(key.startswith("checkpoint/NUO001/") for (key,) in rows)
    return [int(key.rpartition("/")[2]) for (key,) in rows]


def waiting(at: Site, destination: str) -> list[int]:
    """Those that are not delivered yet. The counters hear of a document a moment after the disk has it."""
    return queued(at, destination, "0")


# Which ones -------------------------------------------------------------------------------------------------


def test_each_one_that_is_signed_is_queued_once(tmp_path):
    async def story():
        config = config_of(tmp_path)
        async with site(tmp_path) as at:
            fed = feed_of(at, config)
            assert not await fed.look() and queued(at) == []
            sizes = [await at.window()]
            await fed.look()
            sizes += [await at.window() for _ in range(5)]
            await fed.look()
            await fed.look()
            assert queued(at) == sizes
        async with site(tmp_path) as at:  # what was signed and not queued, and nothing again
            sizes.append(await at.window())
            await feed_of(at, config).look()
            assert queued(at) == sizes

    asyncio.run(story())


def test_who_asked_before_there_was_any_gets_all_whatever_is_killed(tmp_path):
    async def story():
        config = config_of(tmp_path)
        async with site(tmp_path) as at:
            assert not await feed_of(at, config).look()
            sizes = [await at.window() for _ in range(3)]
        async with site(tmp_path) as at:
            await feed_of(at, config).look()
            assert queued(at) == sizes

    asyncio.run(story())


@pytest.mark.parametrize("windows", [1, 3])
def test_what_is_signed_while_the_first_look_is_under_way_goes_out(tmp_path, windows):
    """... after it was looked whether there is any, before the newest is read."""

    async def story():
        async with site(tmp_path) as at:
            fed, read, sizes = feed_of(at, config_of(tmp_path)), at.journal.read, []

            async def late(function, *arguments):
                if function is feed._before_newest:
                    sizes.extend([await at.window() for _ in range(windows)])
                return await read(function, *arguments)

            at.journal.read = late
            await fed.look()
            await fed.look()
            assert queued(at) == sizes and len(sizes) == windows

    asyncio.run(story())


def test_more_than_fit_into_one_transaction(tmp_path, monkeypatch):
    monkeypatch.setattr(feed_checkpoints, "AT_ONCE", 2)

    async def story():
        async with site(tmp_path) as at:
            fed = feed_of(at, config_of(tmp_path))
            sizes = [await at.window()]
            await fed.look()
            sizes += [await at.window() for _ in range(5)]
            while await fed.look():
                pass
            assert queued(at) == sizes

    asyncio.run(story())


def test_killed_between_the_signature_and_its_document_nothing_is_left_out_or_doubled(tmp_path):
    """At every place: the process ends before, between and after the transactions."""

    async def story():
        sizes, chance = [], Random(5)
        config = config_of(tmp_path, LOCAL + WANTED + POLICE + WANTED)
        for _ in range(12):
            async with site(tmp_path) as at:
                fed = feed_of(at, config)
                for _ in range(chance.randrange(4)):
                    sizes.append(await at.window())
                    if chance.random() < 0.6 or not queued(at):
                        await fed.look()
        async with site(tmp_path) as at:
            await feed_of(at, config).look()
            assert queued(at) == queued(at, "police") == sizes and len(sizes) > 10

    asyncio.run(story())


def test_control_with_only_the_newest_at_each_start_some_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "_MARKED", "SELECT value FROM meta WHERE name = ? AND 0")
    with pytest.raises(AssertionError):
        test_killed_between_the_signature_and_its_document_nothing_is_left_out_or_doubled(tmp_path)


def test_who_asks_for_the_first_time_gets_the_newest(tmp_path):
    async def story():
        async with site(tmp_path) as at:
            await feed_of(at, config_of(tmp_path, LOCAL)).look()
            sizes = [await at.window() for _ in range(4)]
            await feed_of(at, config_of(tmp_path)).look()
            assert queued(at) == sizes[-1:]
            sizes.append(await at.window())
            await feed_of(at, config_of(tmp_path, LOCAL + WANTED + POLICE + WANTED)).look()
            assert queued(at) == sizes[-2:] and queued(at, "police") == sizes[-1:]

    asyncio.run(story())


def test_what_no_disk_holds_outside_of_the_journal_goes_to_nobody(tmp_path, monkeypatch):
    async def story():
        async with site(tmp_path) as at:
            fed = feed_of(at, config_of(tmp_path))
            first = await at.window()
            await fed.look()
            with monkeypatch.context() as broken:
                broken.setattr(durable, "replace", lambda *arguments: (_ for _ in ()).throw(OSError("full")))
                second = await at.window()
            await fed.look()
            assert list(at.notes()) == [first, second] and queued(at) == [first]
            third = await at.window()
            await fed.look()
            assert queued(at) == [first, second, third]

    asyncio.run(story())


def test_nobody_asked(tmp_path):
    async def story():
        async with site(tmp_path) as at:
            fed = feed_of(at, config_of(tmp_path, LOCAL))
            await at.window()
            assert not await fed.look() and queued(at) == []

    asyncio.run(story())


def test_a_delivery_of_a_checkpoint_makes_no_checkpoint(tmp_path):
    async def story():
        async with site(tmp_path) as at:
            fed = feed_of(at, config_of(tmp_path))
            size = await at.window()
            await fed.look()
            outbox = JournalOutbox(at.journal, lambda: NOW_MS, Counters())
            await outbox.delivered([d.id for d in await outbox.pending("local", 0, 9)])
            await fed.look()
            assert at.journal.size == size + 1 and list(at.notes()) == queued(at) == [size]

    asyncio.run(story())


# As a file --------------------------------------------------------------------------------------------------


def side_file(folder: Path, at_ms: int, size: int) -> tuple[str, str]:
    (draft,) = checkpoint_drafts(config_of(folder), size, at_ms, b"a note\n\n")
    return draft.folder, draft.name


def test_a_side_file_stands_beside_the_files_of_its_day(tmp_path):
    assert side_file(tmp_path, T0 + 1234, 77) == (
        "NUO001/2026/03/25",
        "LCa-DEMO-NUO001-20260325000001-77.checkpoint",
    )
    names = {side_file(tmp_path, T0, size) for size in range(20)}
    assert len(names) == 20, "two that are signed in one second are two files"


@pytest.mark.parametrize("looks_at_all", [False, True])
def test_the_receiving_software_does_not_see_it_whenever_it_comes(tmp_path, looks_at_all):
    """Neither one that picks by _<station>_ nor one that takes whatever sorts behind its newest."""
    config = config_of(tmp_path, LOCAL + 'send = ["windows", "checkpoints"]\n')

    def received(with_checkpoints: bool) -> dict:
        receiver, files = Receiver("NUO001", {"COD", "pH"}), {}
        if looks_at_all:
            receiver.station = ""
        for i in range(30):
            end_ms = T0 + i * 300_000
            drafts = documents(config, [window("COD", i, end_ms=end_ms)])
            side = checkpoint_drafts(config, i + 1, end_ms + 2000, b"COD 7 mg/l 20260325000000 00\n")
            for draft in [*drafts, *side] if i % 2 else [*side, *drafts]:
                if draft.kind == "windows" or with_checkpoints:
                    files[draft.name] = draft.body
                    if looks_at_all:
                        files = {name.replace("_NUO001_", "__"): data for name, data in files.items()}
                    receiver.poll(files)
        return receiver.values

    assert received(True) == received(False) and len(received(True)) == 30


def test_control_a_name_made_as_the_files_is_taken_for_one(tmp_path, monkeypatch):
    drafts = checkpoint_drafts

    def named(config, size, at_ms, data):
        name = provincial.file_name(config.station, at_ms).replace(".txt", ".checkpoint")
        return [draft._replace(name=name) for draft in drafts(config, size, at_ms, data)]

    monkeypatch.setitem(globals(), "checkpoint_drafts", named)
    with pytest.raises(AssertionError):
        test_the_receiving_software_does_not_see_it_whenever_it_comes(tmp_path, False)


@contextlib.asynccontextmanager
async def delivering(at: Site, config: Config) -> AsyncIterator[Counters]:
    """The feed and the workers, at work on the site's outbox."""
    counters, random = Counters(), Random(1)
    outbox = JournalOutbox(at.journal, lambda: NOW_MS, counters)
    await outbox.load()
    workers = [
        Worker(one.id, make(config, one), outbox, random=random, backoff=Backoff(random, 0.01, 0.1))
        for one in config.destination
    ]
    parts = [feed_of(at, config, outbox), *workers]
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield counters
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_in_a_folder_they_are_files_that_verify_takes(tmp_path):
    async def story():
        config = config_of(tmp_path)
        async with site(tmp_path) as at:
            async with delivering(at, config) as counters:
                sizes = [await at.window() for _ in range(5)]
                await until(lambda: counters.destination("local").delivered and queued(at)[-1] == sizes[-1])
                await until(lambda: not waiting(at, "local"))
            files = sorted((tmp_path / "sent").rglob("*.checkpoint"), key=lambda path: path.name)
            found = [open_checkpoint(path.read_bytes(), at.log).size for path in files]
            assert sorted(found) == queued(at) and max(found) == sizes[-1]

    asyncio.run(story())


# As a message -----------------------------------------------------------------------------------------------


def broker(rig: MqttRig) -> str:
    return (
        POLICE
        + f'port = {rig.proxy.port}\nuser = "station"\npassword_file = "{rig.password_file}"\n'
        + WANTED
    )


def messages(rig: MqttRig) -> list[dict]:
    return [json.loads(body) for topic, body in rig.subscriber.messages if topic == TOPIC]


def test_a_broker_gets_one_message_for_each_across_cuts_and_restarts(tmp_path):
    async def story():
        (tmp_path / "broker").mkdir()
        rig = MqttRig(tmp_path / "broker")
        rig.password_file.chmod(0o600)
        await rig.start()
        assert rig.proxy is not None
        try:
            config, sizes = config_of(tmp_path, broker(rig)), []
            for run in range(3):
                async with site(tmp_path) as at, delivering(at, config):
                    for _ in range(4):
                        sizes.append(await at.window())
                        await until(lambda at=at, sizes=sizes: queued(at, "police")[-1:] == sizes[-1:])
                    rig.proxy.cut_after = 300
                    if run == 2:
                        await until(lambda at=at: not waiting(at, "police"))
                        log = at.log
            await until(lambda: {each["id"] for each in messages(rig)} == ids(sizes))
            first = list({each["id"]: each for each in messages(rig)}.values())
            assert [each["id"] for each in first] == [f"LCa/DEMO/NUO001/checkpoint/{size}" for size in sizes]
            for each, size in zip(first, sizes, strict=True):
                assert set(each) == {"id", "t", "checkpoint"} and each["t"].endswith("+07:00")
                assert open_checkpoint(each["checkpoint"].encode(), log).size == size
            for each in messages(rig):
                assert each in first, "what is sent again is the same"
        finally:
            await rig.stop()

    def ids(sizes: list[int]) -> set[str]:
        return {f"LCa/DEMO/NUO001/checkpoint/{size}" for size in sizes}

    asyncio.run(story())


# Cosigned ---------------------------------------------------------------------------------------------------


def test_what_is_handed_out_is_cosigned_once_a_witness_has(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.witness.LOOK_S", 0.01)

    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            witness = note.parse_vkey(there.witness.vkey)

            def cosigned(data: bytes) -> bool:
                return any(found[:2] == witness[:2] for found in note.parse(data).signatures)

            async with asking(at.client(there.url, there.witness.vkey)) as client:
                size = await at.window()
                await until(lambda: client.counters.size == size)
                assert cosigned(at.journal.checkpoint) and at.journal.checkpoint == at.notes()[size]
                await until(lambda: not client.waiting)
                asked = client.counters.asked
            more = await at.window()
            assert not cosigned(at.journal.checkpoint), "a newer one, which nobody has cosigned, goes before"
            assert checkpoint.parse(note.parse(at.journal.checkpoint).text).size == more
            at.journal.cosigned(at.notes()[size])  # said late: nothing goes back
            assert checkpoint.parse(note.parse(at.journal.checkpoint).text).size == more
            assert asked == 1, "a cosignature is no reason to ask again"

    asyncio.run(story())
