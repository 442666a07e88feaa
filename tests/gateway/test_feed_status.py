"""The status message: of now, small whatever it is about, not held back, and gone when it is delivered."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import feed_status
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.counters import Counters
from gateway.feed_status import StatusFeed
from gateway.journal.outbox import JournalOutbox
from gateway.reports.message import STATUS_BYTES_MAX, STATUS_PARTS
from tests.gateway import app_rig as rig
from tests.gateway.configured import configured
from tests.gateway.feed_rig import LENGTH_MS, POLICE, Written, config_of, written
from tests.gateway.test_provincial import T0
from tests.gateway.test_status import HandTimeline

WANTED = 'send = ["status"]\n'


def status(**more) -> dict:
    return {"t": "now", "channels": [], **dict.fromkeys(STATUS_PARTS, ()), **more}


def feed_of(at: Written, current=status) -> StatusFeed:
    return StatusFeed(at.config, at.journal, at.outbox, current, lambda: at.now_ms)


def test_one_for_each_window_and_one_at_the_start(tmp_path):
    config = config_of(tmp_path, "status", destinations=POLICE + "SEND")

    async def story():
        async with written(config) as at:
            feed, sent = feed_of(at), []
            at.now_ms = T0 + 61_000
            for _ in range(16):
                await feed.look()
                await feed.look()
                sent.append(len(at.queued()))
                at.now_ms += 60_000
            assert sent == [1] * 4 + [2] * 5 + [3] * 5 + [4] * 2
            assert [key for key, _, _ in at.queued()][:2] == [
                "status/NUO001/20260325000101", "status/NUO001/20260325000501",
            ]  # fmt: skip
            assert at.queued()[0][1] == "quantrac/LCa/DEMO/NUO001/status"
            assert at.messages()[0]["id"] == "LCa/DEMO/NUO001/status/20260325000101"

    asyncio.run(story())


def test_nobody_asked(tmp_path):
    async def story():
        async with written(config_of(tmp_path, "windows")) as at:
            await feed_of(at).look()
            assert at.queued() == []

    asyncio.run(story())


def test_what_the_gateway_says_of_itself(tmp_path):
    """The parts of /api/v1/current of a real gateway, by their names."""
    config = load(
        rig.write_config(
            tmp_path, rig.bus("tank", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("Flow", "tank", 0),
            rig.mqtt(1883, "status"),
        )
    )  # fmt: skip
    gateway = Gateway(config, Clock(HandTimeline()))

    async def story():
        gateway.journal.start()
        await gateway.status_feed.look()
        (found,) = await gateway.outbox.pending("national", 0, 9)
        await gateway.journal.close()
        return json.loads(found.body)

    found = asyncio.run(story())
    assert set(found) == {"id", "t", *STATUS_PARTS}
    assert found["problems"] == ["The bus tank is down: not connected yet."]
    assert [each["id"] for each in found["destinations"]] == ["national"] and "tank" in found["buses"]


@pytest.mark.parametrize("big, kept", [(("buses",), "devices"), (("buses", "problems", "disk"), "journal")])
def test_however_much_there_is_it_stays_small_and_says_what_it_leaves_out(tmp_path, big, kept):
    config = config_of(tmp_path, "status", destinations=POLICE + "SEND")

    async def story():
        async with written(config) as at:
            units = {str(i): {"polls": i, "error": "x" * 50} for i in range(247)}
            await feed_of(at, lambda: status(**dict.fromkeys(big, units))).look()
            ((_, _, body),) = at.queued()
            found = json.loads(body)
            assert len(body) <= STATUS_BYTES_MAX and set(found["left_out"]) == set(big) and kept in found

    asyncio.run(story())


def test_no_delay_holds_it_back_and_nothing_else_goes_before_its_time(tmp_path):
    config = config_of(tmp_path, "status", destinations=POLICE + "SEND")

    async def story():
        async with written(config) as at:
            outbox = JournalOutbox(at.journal, lambda: at.now_ms, Counters(), delays_ms={"police": 3_600_000})
            await outbox.queue([("police", "window/1", "windows", "n", "", at.now_ms, b"x")])
            await feed_of(at).look()
            assert [d.kind for d in await outbox.pending("police", 0, 9)] == ["status"]
            at.now_ms += 3_600_000
            assert [d.kind for d in await outbox.pending("police", 0, 9)] == ["windows", "status"]

    asyncio.run(story())


def test_delivered_it_leaves_nothing_but_its_count(tmp_path):
    config = config_of(tmp_path, "status", destinations=POLICE + "SEND")

    async def story():
        async with written(config) as at:
            counters = Counters()
            outbox = JournalOutbox(at.journal, lambda: at.now_ms, counters)
            await StatusFeed(config, at.journal, outbox, status, lambda: at.now_ms).look()
            before = at.journal.size
            await outbox.delivered([d.id for d in await outbox.pending("police", 0, 9)])
            assert at.queued() == [] and at.journal.size == before
            again = JournalOutbox(at.journal, lambda: at.now_ms, fresh := Counters())
            await again.load()
            assert fresh.destination("police").delivered == counters.destination("police").delivered == 1

    asyncio.run(story())


def test_ends_that_passed_meanwhile_are_left_out(tmp_path):
    config = config_of(tmp_path, "status", destinations=POLICE + "SEND")

    async def story():
        async with written(config) as at:
            feed = feed_of(at)
            await feed.look()
            at.now_ms += 1000 * LENGTH_MS
            await feed.look()
            assert len(at.queued()) == 2

    asyncio.run(story())


def test_a_file_of_it_is_a_fault(tmp_path):
    with pytest.raises(Exception, match="A status has no file format"):
        configured(tmp_path, "", '[[destination]]\nid = "f"\nkind = "directory"\npath = "s"\n' + WANTED)
    assert feed_status.LOOK_S <= 5
