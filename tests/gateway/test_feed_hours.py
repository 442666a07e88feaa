"""Hours on their way out: each whole one, each revision with its own number, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from gateway import feed_hours
from gateway.documents import due_after_ms
from gateway.feed import Feed
from gateway.feed_hours import HourSource
from gateway.hours import HOUR_MS
from gateway.windows import OFF
from protocol import quality as q
from protocol.checkpoint import open_checkpoint
from protocol.note import parse_vkey
from tests.gateway.feed_rig import LENGTH_MS, Written, all_of, config_of, window, written
from tests.gateway.receiver import Receiver
from tests.gateway.test_provincial import T0


async def closing(at: Written, first: int, count: int, value: float = 10.0) -> None:
    """Windows number `first` from T0 on; 12 are an hour."""
    for i in range(first, first + count):
        await at.close(T0 + i * LENGTH_MS, {"COD": value + i, "pH": 7.0})


def names(at: Written, destination: str = "police") -> list[str]:
    return [key.removeprefix("hour/NUO001/") for key, _, _ in at.queued(destination, "hours")]


def test_an_hour_goes_out_when_it_is_whole(tmp_path):
    config = config_of(tmp_path, "hours")

    async def story():
        async with written(config) as at:
            feed = at.feed(HourSource)
            await closing(at, 0, 11)
            await all_of(feed)
            assert names(at) == []
            await closing(at, 11, 1)
            await all_of(feed)
            await all_of(feed)
            assert names(at) == names(at, "local") == ["20260325010000/1"]
            ((key, topic, _),) = at.queued("police")
            (found,) = at.messages()
            assert topic == "quantrac/LCa/DEMO/NUO001/hour" and key == "hour/NUO001/20260325010000/1"
            assert found["id"] == "LCa/DEMO/NUO001/hour/20260325010000/1"
            assert found["t"] == "2026-03-25T01:00:00+07:00"
            assert found["channels"] == {
                "COD": {
                    "value": 15.5, "unit": "mg/l", "status": "00", "valid_share": 1.0, "revision": 1,
                    "count": 12, "expected": 12,
                },
                "pH": {
                    "value": 7.0, "unit": "", "status": "00", "valid_share": 1.0, "revision": 1,
                    "count": 12, "expected": 12,
                },
            }  # fmt: skip
            log = parse_vkey((at.state_dir / "log.vkey").read_text().strip())
            covered = open_checkpoint(found["checkpoint"].encode(), log).size
            assert covered == at.journal.size, "its checkpoint covers its windows"
            ((_, name, body),) = at.queued("local")
            assert name == "LCa-DEMO-NUO001-20260325010000-hour-1.json" and body == at.queued("police")[0][2]

    asyncio.run(story())


def test_a_revised_window_makes_a_revision_and_two_at_once_leave_a_number_out(tmp_path):
    config = config_of(tmp_path, "hours")

    async def story():
        async with written(config) as at:
            feed = at.feed(HourSource)
            await closing(at, 0, 5)
            await at.close(T0, {"COD": 22.0}, revision=2)  # before it is whole: it is no revision of the hour
            await closing(at, 5, 8)
            await all_of(feed)
            await at.close(T0 + LENGTH_MS, {"COD": 23.0}, revision=2)
            await all_of(feed)
            await at.close(T0 + LENGTH_MS, {"COD": 11.0}, revision=3)
            await at.close(T0 + 2 * LENGTH_MS, {"pH": 8.2}, revision=2)
            await all_of(feed)
            assert names(at) == [f"20260325010000/{n}" for n in (1, 2, 4)]
            found = [(m["channels"]["COD"]["value"], m["channels"]["pH"]["value"]) for m in at.messages()]
            assert found == [(16.5, 7.0), (17.5, 7.0), (16.5, 7.1)]
            assert [m["channels"]["pH"]["revision"] for m in at.messages()] == [1, 2, 4]

    asyncio.run(story())


def scenes(seed: int) -> list[tuple]:
    """What happens to a journal: windows close, are revised, are skipped."""
    random, found, i, revisions = Random(seed), [], 0, {}
    for _ in range(90):
        if random.random() < 0.05:
            i += random.randrange(1, 30)  # a gap
        if random.random() < 0.25 and revisions:
            start = random.choice(list(revisions)[-30:])
            revisions[start] += 1
            found.append((start, random.uniform(1, 50), revisions[start]))
        else:
            revisions[T0 + i * LENGTH_MS] = 1
            found.append((T0 + i * LENGTH_MS, random.uniform(1, 50), 1))
            i += 1
    return found


async def played(folder: Path, seed: int, kills: bool) -> dict[str, list[tuple[str, dict]]]:
    """The documents of scenes(seed), looked for after each (or, with kills, now and then, by new feeds)."""
    config, chance = config_of(folder, "hours"), Random(seed)
    todo = scenes(seed)
    while True:
        async with written(config) as at:
            feed = at.feed(HourSource)
            await feed.look()
            while todo:
                start_ms, value, revision = todo.pop(0)
                await at.close(start_ms, {"COD": value, "pH": value / 5}, revision)
                if not kills or chance.random() < 0.3:
                    await all_of(feed)
                if kills and chance.random() < 0.1:
                    break
            else:
                await all_of(at.feed(HourSource))
                return {
                    id: [(key, json.loads(data)["channels"]) for key, _, data in at.queued(id)]
                    for id in ("local", "police")
                }


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_time_no_hour_is_left_out_and_no_number_means_two(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(feed_hours, "AT_ONCE", 7)

    async def story():
        plain = (await played(tmp_path / "plain", seed, kills=False))["police"]
        killed = await played(tmp_path / "killed", seed, kills=True)
        assert killed["local"] == killed["police"]
        every = dict(plain)
        assert len(every) == len(plain) > 10
        for key, channels in killed["police"]:
            assert every[key] == channels, "a number is told with the same values, whenever it is looked"
        newest = {key.rpartition("/")[0]: int(key.rpartition("/")[2]) for key, _ in plain}
        assert {key.rpartition("/")[0]: int(key.rpartition("/")[2]) for key, _ in killed["police"]} == newest

    (tmp_path / "plain").mkdir()
    (tmp_path / "killed").mkdir()
    asyncio.run(story())


def test_control_windows_of_one_transaction_looked_at_apart_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(feed_hours, "_stop", lambda reader, stop, end: stop)
    with pytest.raises(AssertionError):
        for seed in range(4):
            (tmp_path / str(seed)).mkdir()
            test_killed_at_any_time_no_hour_is_left_out_and_no_number_means_two(
                tmp_path / str(seed), seed, monkeypatch
            )


def test_who_asks_for_the_first_time_gets_the_newest_hour_and_all_after(tmp_path):
    config = config_of(tmp_path, "hours")

    async def story():
        async with written(config) as at:
            await closing(at, 0, 40)
        async with written(config) as at:
            await all_of(at.feed(HourSource))
            assert names(at) == ["20260325030000/1"]
            await at.close(T0, {"COD": 99.0}, revision=2)
            await closing(at, 40, 8)
            await all_of(at.feed(HourSource))
            assert names(at)[1:] == ["20260325010000/2", "20260325040000/1"]

    asyncio.run(story())


def test_an_hour_before_a_gap_is_whole_when_the_next_window_closes(tmp_path):
    config = config_of(tmp_path, "hours")

    async def story():
        async with written(config) as at:
            feed = at.feed(HourSource)
            await closing(at, 0, 5)
            await all_of(feed)
            await closing(at, 12 * 24 * 9 + 3, 9)
            await all_of(feed)
            assert names(at) == ["20260325010000/1", "20260403010000/1"]
            first, second = at.messages()
            assert [m["channels"]["pH"]["count"] for m in (first, second)] == [5, 9]
            assert [m["channels"]["pH"]["status"] for m in (first, second)] == ["02", "00"]

    asyncio.run(story())


def test_named_after_its_start_where_windows_are_and_the_delay_counts_from_its_end(tmp_path):
    config = config_of(tmp_path, "hours")
    config = config.model_copy(update={"gateway": config.gateway.model_copy(update={"label": "start"})})
    late = config.destination[1].model_copy(update={"delay_min": 60})

    async def story():
        async with written(config) as at:
            await closing(at, 0, 12)
            await all_of(at.feed(HourSource))
            assert names(at) == ["20260325000000/1"]
            (found,) = await at.outbox.pending("police", 0, 9)
            assert found.at_ms + due_after_ms(config, late) == T0 + HOUR_MS + HOUR_MS

    asyncio.run(story())


def test_an_hour_of_a_time_when_nothing_ran_is_told_and_is_no_file(tmp_path):
    config = config_of(tmp_path, "hours")

    async def story():
        async with written(config) as at:
            for i in range(12):
                await at.closed([window("COD", T0 + i * LENGTH_MS, 5.0, q.NO_DATA, reason=OFF)])
            await all_of(at.feed(HourSource))
            assert len(names(at)) == 1 and names(at, "local") == []

    asyncio.run(story())


def test_the_receiving_software_does_not_see_its_file(tmp_path):
    config = config_of(tmp_path, "hours")

    async def story():
        async with written(config) as at:
            await closing(at, 0, 12)
            await all_of(at.feed(HourSource))
            ((_, name, body),) = at.queued("local")
            receiver = Receiver("NUO001", {"COD", "pH"})
            receiver.poll({name: body})
            assert receiver.values == {} and name < "LCa_DEMO_NUO001_2"

    asyncio.run(story())


def test_nobody_asked(tmp_path):
    config = config_of(tmp_path, "windows")

    async def story():
        async with written(config) as at:
            feed: Feed = at.feed()
            await closing(at, 0, 12)
            assert not await feed.look() and at.queued() == []

    asyncio.run(story())
