"""gateway/feed.py: marks go with their documents, a disk that says no, and a source that trips."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from gateway import feed as feed_module
from gateway.errors import JournalError
from gateway.feed_entries import AlertSource, EventSource
from gateway.feed_hours import HourSource
from gateway.journal.journal import Journal
from tests.gateway.feed_rig import LENGTH_MS, Written, all_of, config_of, written
from tests.gateway.journal_rig import Disk, io_error
from tests.gateway.test_provincial import T0


def marks(path: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, value FROM meta WHERE name LIKE 'fed %'"))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fails", range(3, 9))
def test_whatever_commit_fails_each_event_is_queued_once(tmp_path, fails, after):
    config = config_of(tmp_path, "events")
    disk = Disk(
        lambda sql, n: io_error() if sql == "COMMIT" and n == fails and not disk.failed else None, after
    )

    async def story():
        at = await Written(config, disk).open()
        try:
            feed = at.feed(EventSource)
            for i in range(5):
                await at.say("word", "gateway", i)
                await all_of(feed)
            assert [m["detail"] for m in at.messages()] == [[i] for i in range(5)]
            assert disk.failed == 1
        finally:
            await at.journal.close(timeout_s=2.0)

    asyncio.run(story())


def test_a_mark_says_how_far_each_destination_was_served(tmp_path):
    async def story():
        async with written(config_of(tmp_path, "events", "alerts", "hours")) as at:
            await at.say("word", "gateway")
            await all_of(at.feed())
            assert marks(at.journal.path) == {
                "fed events local": 0, "fed events police": 0, "fed alerts local": 0, "fed alerts police": 0,
                "fed hours local": -1, "fed hours police": -1,
            }  # fmt: skip
            await at.close(T0, {"COD": 99.0})
            await all_of(at.feed())
            found = marks(at.journal.path)
            assert found["fed alerts police"] == found["fed events local"] == at.journal.size - 1

    asyncio.run(story())


def test_with_nothing_to_tell_nothing_is_written(tmp_path):
    async def story():
        async with written(config_of(tmp_path, "events", "alerts", "hours")) as at:
            feed = at.feed()
            await at.close(T0, {"COD": 1.0})
            await all_of(feed)
            before = at.journal.commits
            await at.close(T0 + LENGTH_MS, {"COD": 1.0})
            await all_of(feed)
            assert at.journal.commits == before + 2  # of close() itself

    asyncio.run(story())


def test_a_source_that_trips_holds_up_no_other_and_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(AlertSource, "_told", lambda self, reader, entry: {}["mistake"])

    async def story():
        async with written(config_of(tmp_path, "alerts", "events")) as at:
            feed = at.feed(AlertSource, EventSource)
            await at.close(T0, {"COD": 1.0})
            await all_of(feed)
            await at.close(T0 + LENGTH_MS, {"COD": 99.0})
            await all_of(feed)
            await all_of(feed)
            assert [m["name"] for m in at.messages()] == ["alert"]
            (problem,) = feed.problems()
            assert problem.startswith("No alerts are sent: KeyError('mistake').")

    asyncio.run(story())


def test_while_the_journal_cannot_be_read_it_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(feed_module, "LOOK_S", 0.01)

    async def story():
        async with written(config_of(tmp_path, "hours")) as at:
            feed, read, asked = at.feed(HourSource), Journal.read, []

            async def refused(self, *arguments):
                asked.append(arguments)
                raise JournalError("The journal cannot be read.")

            await at.close(T0, {"COD": 1.0})
            monkeypatch.setattr(Journal, "read", refused)
            task = asyncio.create_task(feed.run())
            while len(asked) < 3:
                await asyncio.sleep(0.005)
            monkeypatch.setattr(Journal, "read", read)
            for i in range(1, 12):
                await at.close(T0 + i * LENGTH_MS, {"COD": 1.0})
            async with asyncio.timeout(30):
                while not at.queued():
                    await asyncio.sleep(0.01)
            assert not list(feed.problems()) and not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
