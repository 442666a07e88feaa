"""Events and alerts on their way out: every entry once and in order, whatever is killed; what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import feed as feed_module
from gateway import feed_entries
from gateway.feed import Feed
from gateway.feed_entries import AlertSource, EventSource, described, plain
from gateway.interruptions import Interruption
from gateway.journal.kinds import CALIBRATION, COMMAND, CONFIGURATION, EVENT, LOG
from gateway.journal.reader import reading
from protocol import cbor
from protocol.checkpoint import open_checkpoint
from protocol.merkle import EvidenceError
from protocol.note import parse_vkey
from tests.gateway.feed_rig import LENGTH_MS, POLICE, Written, all_of, config_of, window, written
from tests.gateway.test_provincial import T0
from tools.log.rebuild import rebuild

KINDS = (EVENT, LOG, COMMAND, CALIBRATION)


def told(at: Written, kind: str = "events", destination: str = "police") -> list[int]:
    """Numbers of the entries that are in its outbox, in order."""
    return [int(key.split("/")[2].split("-")[0]) for key, _, _ in at.queued(destination, kind)]


def held(path: Path, *kinds: int) -> list[int]:
    with reading(path) as reader:
        return [entry.idx for entry in reader.entries(kinds=kinds or KINDS)]


# Events -----------------------------------------------------------------------------------------------------


def test_each_event_is_a_message_and_a_side_file(tmp_path):
    config = config_of(tmp_path, "events")

    async def story():
        async with written(config) as at:
            feed = at.feed(EventSource)
            await at.say({"x": 1}, kind=CONFIGURATION)
            await feed.look()
            await at.say("located", "st-01", 7, b"\x01\xff")
            await at.close(T0, {"COD": 1.0})
            await at.say("command", "st-01", "who", 3, "reset", None, kind=COMMAND)
            await at.say({"what": "in force", "points": [[1.0, 2.0]]}, kind=CALIBRATION)
            await all_of(feed)
            first, second, third = at.messages()
            with reading(at.journal.path) as reader:
                leaf = next(reader.entries(1, 1)).leaf.hex()
            assert first | {"checkpoint": ""} == {
                "id": f"LCa/DEMO/NUO001/event/1-{leaf[:8]}", "t": "2026-03-25T00:00:00+07:00", "entry": 1,
                "leaf": leaf, "kind": "event", "source": "gateway", "name": "located", "about": "st-01",
                "detail": [7, "01ff"], "checkpoint": "",
            }  # fmt: skip
            assert (second["kind"], second["name"], second["detail"][1:3]) == (
                "command",
                "command",
                [3, "reset"],
            )
            assert (third["kind"], third["name"]) == ("calibration", "in force")
            assert third["detail"] == {"what": "in force", "points": [[1.0, 2.0]]}
            ((key, name, body), *_) = at.queued("local")
            assert (key, name) == (
                f"event/NUO001/1-{leaf[:8]}",
                "LCa-DEMO-NUO001-20260325000000-event-1.json",
            )
            assert json.loads(body) == first
            assert at.queued()[0][1] == "quantrac/LCa/DEMO/NUO001/event"

    asyncio.run(story())


async def _played(folder: Path, seed: int) -> tuple[list[int], list[int], list[int]]:
    """(entries in the journal that are events, what each destination was told) after kills at random."""
    config, chance = config_of(folder, "events"), Random(seed)
    for _ in range(10):
        async with written(config) as at:
            feed = at.feed(EventSource)
            for _ in range(chance.randrange(5)):
                for _ in range(chance.randrange(4)):
                    await at.say("word", "gateway", chance.random(), kind=chance.choice(KINDS))
                await at.close(T0 + at.journal.size * LENGTH_MS, {"COD": 1.0})
                if chance.random() < 0.6:
                    await feed.look()
    async with written(config) as at:
        await all_of(at.feed(EventSource))
        return held(at.journal.path), told(at), told(at, destination="local")


@pytest.mark.parametrize("seed", range(4))
def test_killed_between_an_event_and_its_message_none_is_left_out_or_doubled(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(feed_entries, "AT_ONCE", 3)
    events, police, local = asyncio.run(_played(tmp_path, seed))
    assert police == local == [idx for idx in events if idx >= police[0]] and len(police) > 10


def test_control_with_the_newest_at_each_start_some_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(feed_module, "_MARKED", "SELECT value FROM meta WHERE name = ? AND 0")
    with pytest.raises(AssertionError):
        for seed in range(4):
            test_killed_between_an_event_and_its_message_none_is_left_out_or_doubled(
                tmp_path / str(seed), seed, monkeypatch
            )


def test_control_a_mark_ahead_of_its_documents_leaves_some_out(tmp_path, monkeypatch):
    """Marked, then killed, then never queued."""
    chance = Random(8)
    marks = Feed._marks

    def ahead(self, source, takers, reached):
        return marks(self, source, takers, reached + chance.randrange(3))

    monkeypatch.setattr(Feed, "_marks", ahead)
    with pytest.raises(AssertionError):
        for seed in range(4):
            (tmp_path / str(seed)).mkdir()
            test_killed_between_an_event_and_its_message_none_is_left_out_or_doubled(
                tmp_path / str(seed), seed, monkeypatch
            )


def test_who_asks_for_the_first_time_gets_the_newest_and_all_after(tmp_path):
    async def story():
        async with written(config_of(tmp_path, "windows")) as at:
            for i in range(5):
                await at.say("word", "gateway", i)
        async with written(config_of(tmp_path, "events")) as at:
            feed = at.feed(EventSource)
            await all_of(feed)
            assert told(at) == [4]
            await at.say("word", "gateway", 5)
            await all_of(feed)
            assert told(at) == [4, 5]

    asyncio.run(story())


def test_what_tells_of_deliveries_makes_no_events(tmp_path):
    async def story():
        async with written(config_of(tmp_path, "events", "alerts", "hours")) as at:
            feed = at.feed()
            for i in range(13):
                await at.close(T0 + i * LENGTH_MS, {"COD": 80.0 if i == 3 else 1.0})
                await all_of(feed)
            for _ in range(5):
                await all_of(feed)
                await at.outbox.delivered([d.id for d in await at.outbox.pending("police", 0, 99)])
                await at.outbox.delivered([d.id for d in await at.outbox.pending("local", 0, 99)])
            assert len(at.queued()) == 2 + 2 + 1  # raised and cleared, both ways, and the hour

    asyncio.run(story())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64) + 1, (1 << 64) - 1) | st.text() | st.binary()
    | st.floats(width=64),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_whatever_an_entry_holds_is_json(value):
    for told in (plain(value), described(cbor.dumps(value))):
        json.loads(msgspec.json.encode(told))


@given(st.binary(max_size=40))
def test_whatever_the_bytes_of_an_entry_they_are_told(body):
    found = described(body)
    json.loads(msgspec.json.encode(found))
    assert set(found) == {"name", "about", "detail"}


@pytest.mark.parametrize(
    "statement, says",
    [
        ("UPDATE outbox SET attempts = 1", ""),
        (
            "UPDATE outbox SET body = CAST(replace(body, 'word', 'ward') AS BLOB)",
            "is not what its entry gives",
        ),
        ("UPDATE outbox SET key = replace(key, '/1-', '/2-')", "tells of no entry"),
        ("UPDATE outbox SET key = 'event/NUO001/x' WHERE id = 1", "tells of no entry"),
    ],
)
def test_rebuild_holds_each_event_against_its_entry(tmp_path, statement, says):
    config = config_of(tmp_path, "events", destinations=POLICE + "SEND")

    async def story():
        async with written(config) as at:
            feed = at.feed(EventSource)
            await feed.look()
            for i in range(3):
                await at.say("word", "gateway", i)
            await all_of(feed)
            path = at.journal.path
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    asyncio.run(story())
    if says:
        with pytest.raises(EvidenceError, match=says):
            rebuild(config.path)
    else:
        assert rebuild(config.path).events == 3


# Alerts -----------------------------------------------------------------------------------------------------


def test_an_alert_carries_its_windows_their_receipts_and_a_checkpoint_that_covers_them(tmp_path):
    config = config_of(tmp_path, "alerts")

    async def story():
        async with written(config) as at:
            feed = at.feed(AlertSource)
            await at.close(T0, {"COD": 1.0, "pH": 7.0})
            await feed.look()
            await at.close(T0 + LENGTH_MS, {"COD": 80.126, "pH": 7.0})
            await at.say("word", "gateway", "of no alert")
            await all_of(feed)
            await at.close(T0 + 2 * LENGTH_MS, {"COD": 1.0, "pH": 7.0})
            await all_of(feed)
            raised, cleared = at.messages()
            assert {k: v for k, v in raised.items() if k not in ("id", "checkpoint", "entry")} == {
                "t": "2026-03-25T00:10:02+07:00", "alert": "limit/COD/20260325000500", "state": "raised",
                "rule": "limit", "about": "COD", "since": "2026-03-25T00:05:00+07:00",
                "basis": "QCVN 40:2011 A",
                "windows": [{
                    "symbol": "COD", "start": "2026-03-25T00:05:00+07:00", "start_ms": T0 + LENGTH_MS,
                    "revision": 1, "value": 80.13, "limit": 75.0,
                    "receipt": "/api/v1/receipt/COD/20260325001000?revision=1",
                }],
            }  # fmt: skip
            assert cleared["alert"] == raised["alert"] and cleared["state"] == "cleared"
            assert cleared["windows"][0]["value"] == 1.0
            log = parse_vkey((at.state_dir / "log.vkey").read_text().strip())
            with reading(at.journal.path) as reader:
                for found in (raised, cleared):
                    size = open_checkpoint(found["checkpoint"].encode(), log).size
                    start_ms = found["windows"][0]["start_ms"]
                    rows = reader.rows("SELECT idx FROM window WHERE start_ms = ?", start_ms)
                    assert found["entry"] < size and all(idx < size for (idx,) in rows)
            assert [name for _, name, _ in at.queued("local")] == [
                f"LCa-DEMO-NUO001-20260325001002-alert-{raised['entry']}.json",
                f"LCa-DEMO-NUO001-20260325001502-alert-{cleared['entry']}.json",
            ]
            assert at.queued()[0][1] == "quantrac/LCa/DEMO/NUO001/alert"

    asyncio.run(story())


def test_a_receipt_is_asked_for_by_the_length_that_windows_had(tmp_path):
    """... where it was changed before the alert was told."""
    config = config_of(tmp_path, "alerts")

    async def story():
        async with written(config) as at:
            await at.close(T0, {"COD": 1.0})
            await at.feed(AlertSource).look()
            await at.close(T0 + LENGTH_MS, {"COD": 80.0})
            gateway = config.gateway.model_copy(update={"window_minutes": 10})
            at.config = config.model_copy(update={"gateway": gateway})
            await all_of(at.feed(AlertSource))
            (shown,) = at.messages()[0]["windows"]
            assert shown["receipt"] == "/api/v1/receipt/COD/20260325001000?revision=1"

    asyncio.run(story())


def test_an_interruption_is_an_alert(tmp_path):
    config = config_of(tmp_path, "alerts")

    async def story():
        async with written(config) as at:
            feed = at.feed(AlertSource)
            await at.close(T0, {"COD": 1.0})
            await feed.look()
            for i in (1, 2, 3):
                await at.closed([window("COD", T0 + i * LENGTH_MS, 1.004, 4)])
            began = Interruption(("channel", "COD"), T0 + LENGTH_MS, None, "the instrument does not answer")
            await at.journal.commit(entries=[at.event(began.event())])
            await at.close(T0 + 4 * LENGTH_MS, {"COD": 2.0})
            ended = began._replace(to_ms=T0 + 4 * LENGTH_MS)
            away = Interruption(("destination", "police"), T0, None, "it takes nothing")
            await at.journal.commit(entries=[at.event(one.event()) for one in (ended, away)])
            await all_of(feed)
            raised, cleared, other = at.messages()
            assert (raised["rule"], raised["about"], raised["state"]) == (
                "channel interrupted",
                "COD",
                "raised",
            )
            assert raised["cause"] == "the instrument does not answer" and "until" not in raised
            shown = [(w["start_ms"] - T0, w["status"], w["value"]) for w in raised["windows"]]
            assert shown == [(i * LENGTH_MS, "02", 1.0) for i in (1, 2, 3)]
            assert (cleared["state"], cleared["until"]) == ("cleared", "2026-03-25T00:20:00+07:00")
            assert cleared["alert"] == raised["alert"] == "channel interrupted/COD/20260325000500"
            assert [w["start_ms"] for w in cleared["windows"]] == [T0 + 4 * LENGTH_MS]
            assert (other["rule"], other["about"], other["windows"]) == (
                "destination interrupted",
                "police",
                [],
            )

    asyncio.run(story())


def test_who_asks_for_alerts_when_there_was_none_gets_all_that_come_whatever_is_killed(tmp_path):
    """Two alerts in one transaction, and killed before they are queued."""
    config = config_of(tmp_path, "alerts")

    async def story():
        async with written(config) as at:
            await at.close(T0, {"COD": 1.0, "pH": 7.0})
            await all_of(at.feed(AlertSource))
            await at.close(T0 + LENGTH_MS, {"COD": 99.0, "pH": 2.0})
        async with written(config) as at:
            await all_of(at.feed(AlertSource))
            assert [m["about"] for m in at.messages()] == ["COD", "pH"]

    asyncio.run(story())
