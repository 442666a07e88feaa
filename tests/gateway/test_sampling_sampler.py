"""The sampler at work: each bottle an entry before and after, none twice, so many a day by rule."""

from __future__ import annotations

import asyncio

import pytest

from gateway.alert_states import Alert
from gateway.errors import CommandError
from gateway.sampling import sampler as sampler_module
from gateway.sampling.bottles import BEGUN, FILLED, NO_FEEDBACK, NOT_SENT, Asked
from gateway.zone import DAY_MS, HOUR_MS, day_of
from protocol import quality as q
from tests.gateway.configured import channel, configured
from tests.gateway.feed_rig import LOCAL
from tests.gateway.sampling_rig import WINDOW_MS, Plant, Start
from tests.gateway.test_provincial import T0
from tests.gateway.watch_rig import said, watched

LAN = Asked(2, "smell", "Lan")
NOON = day_of(T0) + DAY_MS // 2


def run(case, plant: Plant) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await case(plant)

    asyncio.run(main())


def test_each_bottle_is_an_entry_before_and_after(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started() as start:
            done = await (await start.sampler.begin(LAN))
        found = plant.entries()
        assert [(one.number, one.state) for one in found] == [
            (1, BEGUN), (1, FILLED), (2, BEGUN), (2, FILLED)
        ]  # fmt: skip
        assert found[1::2] == done
        for one in found:
            assert (one.who, one.reason, one.begun_ms, one.rule) == ("Lan", "smell", T0, "")
            assert list(one.values) == [["COD", 80.5, q.OK, T0 - 500]]
        assert found[1].text == "The feedback contact closed."

    run(case, Plant(tmp_path))


def test_whoever_takes_pictures_hears_of_each_bottle_behind_its_entry(tmp_path):
    async def case(plant: Plant) -> None:
        heard: list[tuple[str, int]] = []
        async with plant.started() as start:
            start.sampler.seen = lambda bottle: heard.append((bottle.name, len(plant.entries())))
            await (await start.sampler.begin(LAN))
        assert heard == [("bottle/1/20260325000000", 1), ("bottle/2/20260325000000", 3)]

    run(case, Plant(tmp_path))


def test_what_did_not_come_is_said_and_the_rest_goes_on(tmp_path):
    async def case(plant: Plant) -> None:
        plant.tap.says = [(NO_FEEDBACK, "It did not close."), (FILLED, "It closed.")]
        async with plant.started() as start:
            await (await start.sampler.begin(LAN))
        assert [(one.number, one.state, one.text) for one in plant.entries()[1::2]] == [
            (1, NO_FEEDBACK, "It did not close."), (2, FILLED, "It closed.")
        ]  # fmt: skip

    run(case, Plant(tmp_path))


def test_where_nothing_moved_the_bottle_is_free_again_and_it_ends(tmp_path):
    async def case(plant: Plant) -> None:
        plant.tap.says = [(NOT_SENT, "The line is down.")]
        async with plant.started() as start:
            assert len(await (await start.sampler.begin(LAN))) == 1
            assert start.sampler.told()["used"] == 0
            await (await start.sampler.begin(LAN))
        assert plant.tap.drawn == [1, 1, 2]

    run(case, Plant(tmp_path))


def test_one_at_a_time_and_no_more_than_there_are(tmp_path):
    async def case(plant: Plant) -> None:
        plant.tap.hold = asyncio.Event()
        async with plant.started() as start:
            first = await start.sampler.begin(LAN)
            with pytest.raises(CommandError, match="at work"):
                await start.sampler.begin(LAN)
            with pytest.raises(CommandError, match="at work"):
                await start.sampler.emptied("Lan", "")
            plant.tap.hold.set()
            await first
            with pytest.raises(CommandError, match="2 of 5 bottles are used: empty the carousel"):
                await start.sampler.begin(LAN._replace(bottles=4))
            await (await start.sampler.begin(LAN._replace(bottles=3)))
            assert "5 bottles were taken out" in await start.sampler.emptied("Lan", "new ones")
            await (await start.sampler.begin(LAN._replace(bottles=5)))
        assert plant.tap.drawn == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
        assert [why.partition(":")[0] for *_, why in plant.refused()] == [
            "The sampler is at work", "2 of 5 bottles are used"
        ]  # fmt: skip

    run(case, Plant(tmp_path))


async def _broken_off(plant: Plant) -> None:
    """A gateway that is stopped while the first of two bottles is filled."""
    plant.tap.hold = asyncio.Event()
    async with plant.started() as start:
        future = await start.sampler.begin(LAN._replace(ask=b"\x07" * 32))
        await plant.tap.begun.wait()
    assert future.cancelled()
    plant.tap.hold = None


def test_a_stop_between_entry_and_end_begins_nothing_again(tmp_path):
    async def case(plant: Plant) -> None:
        await _broken_off(plant)
        async with plant.started() as start:
            await start.sampler.of_order(b"")
            await start.settled()
            assert plant.tap.drawn == [1]
            await (await start.sampler.begin(LAN))  # and the next number is another
            assert plant.tap.drawn == [1, 2, 3], "a bottle was filled twice"
            (known,) = await start.sampler.of_order(b"\x07" * 32)
            assert (known.number, known.state) == (1, BEGUN)

    run(case, Plant(tmp_path))


def test_the_control_a_number_after_the_deed_would_be_used_twice(tmp_path, monkeypatch):
    """Without the entry before it, the bottle that a stop broke off is filled a second time."""
    honest = sampler_module.Sampler._write

    async def late(self, bodies):
        await honest(self, [body for body in bodies if b"begun" not in body])

    monkeypatch.setattr(sampler_module.Sampler, "_write", late)
    with pytest.raises(AssertionError, match="filled twice"):
        test_a_stop_between_entry_and_end_begins_nothing_again(tmp_path)


# By rule ----------------------------------------------------------------------------------------------------


async def _episodes(start: Start, count: int, from_ms: int) -> int:
    """So many exceedances, each over before the next; the end of the last window."""
    for _ in range(count):
        await start.exceed(from_ms, 80.0)
        await start.settled()
        await start.exceed(from_ms + WINDOW_MS, 10.0)
        from_ms += 2 * WINDOW_MS
    return from_ms


def test_a_limit_exceeded_fills_a_bottle_and_says_why(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started(NOON) as start:
            await start.exceed(NOON, 70.0)
            await start.exceed(NOON + WINDOW_MS, 80.0)
            await start.exceed(NOON + 2 * WINDOW_MS, 90.0)  # the same exceedance
            await start.settled()
        (begun, filled) = plant.entries()
        assert plant.tap.drawn == [1] and (begun.state, filled.state) == (BEGUN, FILLED)
        assert filled.reason == "limit exceeded: COD 80 (limit 75)" and filled.who == "rule"
        assert filled.rule.startswith("limit/COD/")

    run(case, Plant(tmp_path))


def test_so_many_a_day_and_no_more_over_restarts(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started(NOON) as start:
            end_ms = await _episodes(start, 1, NOON)
        async with plant.started(end_ms) as start:
            end_ms = await _episodes(start, 2, end_ms)
            assert plant.tap.drawn == [1, 2] and start.sampler.told()["by_rule_today"] == 2
            await (await start.sampler.begin(LAN._replace(bottles=1)))  # a person may all the same
            await _episodes(start, 1, day_of(NOON) + DAY_MS)  # and so may tomorrow
        assert plant.tap.drawn == [1, 2, 3, 4]
        ((*_, why),) = plant.refused()
        assert why == "2 bottles were filled by rule today, which is all."

    run(case, Plant(tmp_path))


def test_the_control_a_count_in_memory_would_forget(tmp_path, monkeypatch):
    monkeypatch.setattr(sampler_module, "_said", lambda reader: [])
    with pytest.raises(AssertionError):
        test_so_many_a_day_and_no_more_over_restarts(tmp_path)


def test_an_alert_just_before_a_stop_is_found_again_once(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started(NOON) as start:
            await start.exceed(NOON, 80.0, told=False)
        for _ in range(2):
            async with plant.started(NOON + WINDOW_MS + 60_000) as start:
                await start.sampler.of_order(b"")
                await asyncio.sleep(0.1)
                await start.settled()
        assert plant.tap.drawn == [1]

    run(case, Plant(tmp_path))


def test_what_was_exceeded_long_ago_fills_nothing(tmp_path):
    """A gateway that was away closes windows of hours ago: what flows now has nothing to do with them."""

    async def case(plant: Plant) -> None:
        async with plant.started(NOON + 10 * WINDOW_MS) as start:
            await start.exceed(NOON, 80.0)
            await start.settled()
            await asyncio.sleep(0.1)
        assert plant.tap.drawn == [] and plant.entries() == []

    run(case, Plant(tmp_path))


def test_warnings_and_what_is_over_fill_nothing(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started(NOON) as start:
            await start.exceed(NOON, 80.0)
            await start.settled()
            await start.exceed(NOON + WINDOW_MS, 10.0)  # "cleared"
            await asyncio.sleep(0.1)
        assert plant.tap.drawn == [1]

    run(case, Plant(tmp_path))


def test_no_rule_where_none_is_wanted(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started(NOON) as start:
            await start.exceed(NOON, 80.0)
            await asyncio.sleep(0.1)
        assert plant.tap.drawn == [] and plant.refused() == []

    run(case, Plant(tmp_path, per_day=0))


def test_an_hour_that_exceeds_is_heard_of_too(tmp_path):
    """Watch says it, once it is in the journal (watch.py)."""

    async def case(plant: Plant) -> None:
        limits = 'limits = { max = 75.0, basis = "permit", compare = ["hour"] }'
        config = configured(tmp_path, channel("COD", "mg/l", 2, limits), LOCAL)
        async with watched(config) as at:
            heard: list[Alert] = []
            at.watch.hear = heard.extend
            await at.watch.look()
            for number in range(12):
                await at.at.close(T0 + number * WINDOW_MS, {"COD": 80.0})
            await at.later(1)
            (alert,) = [one for one in heard if one.rule == "limit hour"]
            assert alert.said == "raised" and alert in said(config)
        async with plant.started(T0 + HOUR_MS + 60_000) as start:
            start.sampler.heard([alert])
            await start.settled()
        assert [one.reason for one in plant.entries()] == ["limit hour exceeded: COD 80 (limit 75)"] * 2

    run(case, Plant(tmp_path / "plant"))


def test_no_empty_bottle_is_a_problem(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started() as start:
            assert start.sampler.problems() == []
            await (await start.sampler.begin(LAN))
            (said,) = start.sampler.problems()
            assert "all 2 are used" in said
            await start.sampler.emptied("Lan", "")
            assert start.sampler.problems() == []

    run(case, Plant(tmp_path, bottles=2))


def test_a_full_carousel_is_said_when_the_rule_wants_a_bottle(tmp_path):
    async def case(plant: Plant) -> None:
        async with plant.started(NOON) as start:
            await (await start.sampler.begin(LAN._replace(bottles=1)))
            await start.exceed(NOON, 80.0)
            await start.settled()
            await asyncio.sleep(0.1)
        ((reason, who, _, rule, why),) = plant.refused()
        assert (who, plant.tap.drawn) == ("rule", [1]) and "1 of 1 bottles are used" in why
        assert rule.startswith("limit/COD/") and "COD 80" in reason

    run(case, Plant(tmp_path, bottles=1))
