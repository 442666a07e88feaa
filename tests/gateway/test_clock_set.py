"""A device that was told the time late: what it measured before is placed, in whatever order it arrives."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway.counters import LinkCounters
from gateway.ingest import intake as intake_module
from gateway.ingest import replay
from gateway.ingest.devices import DeviceIngest, Moment
from gateway.ingest.intake import Intake
from gateway.ingest.raw import RawFeed
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.lane import FUTURE_MS
from gateway.windows import Settings, Window, Windows
from protocol import cbor
from protocol.messages import CLOCK_SET, Event, Readings, Summary
from protocol.reading import float_bits
from tests.gateway.intake_rig import CHANNELS, KEY, START, Rig, channels, hello, wire
from tests.gateway.test_counters import balanced

LENGTH = 300_000
TURN_MS = 10_000
"""Every ten seconds one reading of each channel, as the greeting says."""
BEGAN = START + 123_456
"""Station time when boot 5 began: on no grid."""
UNTOLD = 60
"""Turns of boot 5 before somebody told it the time: ten minutes."""
TURNS = 72


def of_boot_5(turn: int, told: int = UNTOLD) -> Readings:
    """Turn `turn` from 0; up to `told` in ticks, from then on in Unix time."""
    ticks_ms = 500 + turn * TURN_MS
    seq = 1 + 5 * turn + (turn >= told)  # the event takes one
    rows = tuple((c, c * 7, float_bits(float(100 * c + turn)), 0, 0) for c in range(5))
    return Readings(5, seq, ticks_ms if turn < told else BEGAN + ticks_ms, int(turn >= told), rows)


def told_at(turn: int = UNTOLD) -> Event:
    ticks_ms = 400 + turn * TURN_MS
    return Event(5, 1 + 5 * turn, BEGAN + ticks_ms, 1, CLOCK_SET, [ticks_ms, BEGAN + ticks_ms])


def records(told: int = UNTOLD) -> list:
    before = [of_boot_5(turn, told) for turn in range(told)]
    return [*before, told_at(told), *[of_boot_5(turn, told) for turn in range(told, TURNS)]]


def truth() -> dict[tuple[str, int], tuple[int, float, float, float]]:
    """(symbol, window's start) -> (readings, mean, minimum, maximum), from the definitions."""
    found: dict[tuple[str, int], list[float]] = {}
    for turn in range(TURNS):
        for c, name in enumerate(CHANNELS):
            time_ms = BEGAN + 500 + turn * TURN_MS + c * 7
            found.setdefault((name, time_ms - time_ms % LENGTH), []).append(float(100 * c + turn))
    return {key: (len(v), sum(v) / len(v), min(v), max(v)) for key, v in found.items()}


def newest(path) -> dict[tuple[str, int], tuple[int, float | None, float | None, float | None]]:
    """What the newest revision of each window says."""
    reader = Reader(path)
    rows = {(w.symbol, w.start_ms): w for w in sorted(reader.windows(0, 1 << 62), key=lambda w: w.revision)}
    reader.close()
    return {key: (w.count, w.value, w.minimum, w.maximum) for key, w in rows.items() if w.count}


def rebuilt(path, windows: Windows, starts) -> dict[tuple[str, int], Window]:
    """The same windows from the journal alone."""
    reader = Reader(path)
    rows = [w for start in starts for w in replay.recompute(reader, windows.scratch(start), start)[0]]
    reader.close()
    return {(w.symbol, w.start_ms): w for w in rows if w.count}


def events(path, *names: str) -> list[list]:
    reader = Reader(path)
    found = [cbor.loads(e.body) for e in reader.entries(kinds=(EVENT,)) if e.body]
    reader.close()
    return [said for said in found if said[0] in (names or ("untold", "placed", "located"))]


async def close_all(rig: Rig) -> None:
    """Everything is located, closed and revised."""
    device = rig.intake.devices["st-01"]
    while await rig.intake.tick():
        await rig.journal.commit()
    device.lane.progress = BEGAN + 4 * LENGTH
    await rig.intake.tick()
    while rig.intake.windows.late_waiting:
        await asyncio.sleep(0.1)
        await rig.settle()
    await rig.journal.commit()


async def told_later(path, message_lists: list[list], now_ms: int, greetings: list, **rig_settings) -> Intake:
    """Gateways one after the other, each hears a list of messages; the last one closes all windows."""
    for number, (messages, greeting) in enumerate(zip(message_lists, greetings, strict=True)):
        async with Rig(path, now_ms=now_ms, **rig_settings) as rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(greeting), lambda: None)
            for message in messages:
                rig.intake.feed(device, wire(message), lambda: None)
            if number == len(message_lists) - 1:
                await close_all(rig)
                found = balanced(rig.intake)
                assert {(c["unplaced"], c["late"], c["open"]) for c in found.values()} == {(0, 0, 0)}
                starts = {start for _, start in truth()}
                assert rebuilt(path, rig.intake.windows, starts).keys() == truth().keys()
                for key, window in rebuilt(path, rig.intake.windows, starts).items():
                    assert (window.count, window.value, window.minimum, window.maximum) == truth()[key]
    return rig.intake


LATER = BEGAN + 40 * 60_000


def test_a_boot_that_was_told_late_is_delivered_by_the_next_one_from_flash(tmp_path):
    """Boot 5 ran untold for ten minutes, was told, lost the link, was cut; boot 6 brings all of it."""
    path = tmp_path / "journal.db"
    intake = asyncio.run(told_later(path, [records()], LATER, [hello(boot=6, store=(5, 1))]))
    assert newest(path) == truth()
    link = intake.counters.link("st-01")
    assert (link.placed_late, link.readings) == (5 * UNTOLD, 5 * TURNS)
    assert [said[:4] for said in events(path)][:2] == [["untold", "st-01", 5], ["placed", "st-01", 5, BEGAN]]


def test_the_control_without_the_journal_it_would_be_missing(tmp_path, monkeypatch):
    """What happened before: later records of the boot are placed, those that were there already are not."""

    async def nothing(self):
        return False

    monkeypatch.setattr(Intake, "_locate", nothing)
    path = tmp_path / "journal.db"
    with pytest.raises(AssertionError):
        asyncio.run(told_later(path, [records()], LATER, [hello(boot=6, store=(5, 1))]))
    assert sum(count for count, *_ in newest(path).values()) < 5 * TURNS


def test_the_control_an_event_of_another_boot_places_nothing(tmp_path):
    path = tmp_path / "journal.db"
    wrong = [m._replace(boot=6) if isinstance(m, Event) else m for m in records()]
    wrong = [*wrong[:UNTOLD], wrong[UNTOLD]._replace(seq=1)]

    async def main():
        async with Rig(path, now_ms=LATER) as rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(boot=6, store=(5, 1))), lambda: None)
            for message in wrong:
                rig.intake.feed(device, wire(message), lambda: None)
            await rig.intake.tick()
            await rig.settle()
            assert {c["unplaced"] for c in balanced(rig.intake).values()} == {UNTOLD}
            assert device.lane.placements == {6: BEGAN}

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(12))
def test_however_the_gateway_is_restarted_meanwhile(tmp_path, monkeypatch, seed):
    """Restarts between any two records, small steps, windows closed or open: the same windows."""
    rng = Random(seed)
    monkeypatch.setattr(intake_module, "LOCATE_ENTRIES", rng.choice([1, 7, 128]))
    told = rng.choice([1, 30, UNTOLD, TURNS - 1])
    left, parts = records(told), []
    for _ in range(rng.randint(1, 4)):
        cut = rng.randint(0, len(left))
        parts.append(left[:cut])
        left = left[cut:]
    parts.append(left)
    greetings = [hello(boot=6, nonce=n + 1, store=(5, 1)) for n in range(len(parts))]
    path = tmp_path / "journal.db"
    asyncio.run(told_later(path, parts, LATER, greetings))
    assert newest(path) == truth()
    located = [said for said in events(path) if said[0] == "located"]
    assert located == sorted(located) and len(events(path, "placed")) == len(events(path, "untold")) == 1


def test_a_kill_between_two_steps_repeats_none(tmp_path, monkeypatch):
    """The first gateway takes in two of the steps and is gone; the second one goes on behind them."""
    monkeypatch.setattr(intake_module, "LOCATE_ENTRIES", 10)
    path = tmp_path / "journal.db"

    async def first():
        async with Rig(path, now_ms=LATER) as rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(boot=6, store=(5, 1))), lambda: None)
            for message in records()[: UNTOLD + 1]:
                rig.intake.feed(device, wire(message), lambda: None)
            await rig.intake._locate()
            await rig.intake._locate()
            await rig.journal.commit()
            assert {c["unplaced"] for c in balanced(rig.intake).values()} == {UNTOLD - 20}

    asyncio.run(first())
    asyncio.run(told_later(path, [records()[UNTOLD + 1 :]], LATER, [hello(boot=6, nonce=2, store=(5, 302))]))
    assert newest(path) == truth()
    assert len(events(path, "located")) == UNTOLD // 10


def test_the_device_stays_connected_and_its_gateway_learns_the_time_later(tmp_path):
    """A gateway without time greets, cannot place anything, and tells the time once it knows it."""
    path = tmp_path / "journal.db"

    async def main():
        async with Rig(path, now_ms=LATER) as rig:
            trusted, moment = [False], rig.moment
            rig.intake._now = lambda: moment()._replace(trusted=trusted[0])
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(boot=5, clock=0, ticks_ms=100)), lambda: None)
            for message in records()[:UNTOLD]:
                rig.intake.feed(device, wire(message), lambda: None)
            assert device.lane.placements == {} and {
                c["unplaced"] for c in rig.intake.count().snapshot()["channels"].values()
            } == {UNTOLD}
            trusted[0] = True
            for message in records()[UNTOLD:]:
                rig.intake.feed(device, wire(message), lambda: None)
            await close_all(rig)
            balanced(rig.intake)

    asyncio.run(main())
    assert newest(path) == truth()


def test_a_greeting_that_places_a_boot_places_what_came_before_too(tmp_path):
    path = tmp_path / "journal.db"
    mine = [of_boot_5(turn, TURNS) for turn in range(TURNS)]  # never told, but it greets again

    async def main():
        async with Rig(path, now_ms=LATER) as rig:
            trusted, moment = [False], rig.moment
            rig.intake._now = lambda: moment()._replace(trusted=trusted[0])
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(boot=5, clock=0, ticks_ms=100)), lambda: None)
            for message in mine[:50]:
                rig.intake.feed(device, wire(message), lambda: None)
            trusted[0] = True
            again = hello(boot=5, clock=0, nonce=2, ticks_ms=LATER - BEGAN)
            rig.intake.feed(device, wire(again), lambda: None)
            for message in mine[50:]:
                rig.intake.feed(device, wire(message), lambda: None)
            await close_all(rig)
            balanced(rig.intake)

    asyncio.run(main())
    assert newest(path) == truth()


def test_means_in_ticks_are_placed_as_well(tmp_path):
    path = tmp_path / "journal.db"
    rows = tuple((c, float_bits(2.0), float_bits(1.0), float_bits(3.0), 6, 0, 0) for c in range(5))
    messages = [Summary(5, 1 + 5 * n, (n + 1) * 60_000, 0, 60_000, rows) for n in range(5)]
    messages.append(Event(5, 26, START + 400_000, 1, CLOCK_SET, [400_000, START + 400_000]))

    async def main():
        async with Rig(path, now_ms=LATER) as rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(boot=6, store=(5, 1))), lambda: None)
            for message in messages:
                rig.intake.feed(device, wire(message), lambda: None)
            await close_all(rig)
            assert device.counters.placed_late == 150
            balanced(rig.intake)

    asyncio.run(main())
    assert newest(path) == {(name, START): (30, 2.0, 1.0, 3.0) for name in CHANNELS}


def test_the_raw_feed_hears_of_them_when_they_are_placed(tmp_path):
    told = []
    path = tmp_path / "journal.db"

    async def main():
        rig = Rig(path, now_ms=LATER)

        def documents(name, t_ms, rows, means):
            told.append((name, rows))
            return [("broker", f"readings/{name}", "readings", "topic", "", t_ms, b"{}")]

        rig.intake._raw = RawFeed(channels("st-01"), documents)
        async with rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(boot=6, store=(5, 1))), lambda: None)
            for message in records():
                rig.intake.feed(device, wire(message), lambda: None)
            assert len(told) == TURNS - UNTOLD
            await close_all(rig)

    asyncio.run(main())
    assert told[-1][0] == f"device/st-01/5/1-{5 * UNTOLD}"
    rows = [tuple(row) for _, part in told for row in part]
    expected = {
        (name, BEGAN + 500 + turn * TURN_MS + c * 7, float(100 * c + turn), "00")
        for turn in range(TURNS)
        for c, name in enumerate(CHANNELS)
    }
    assert len(rows) == len(expected) and set(rows) == expected


# What is believed -------------------------------------------------------------------------------------------

MOMENT = Moment(LATER, 0)


def after(*messages, moment: Moment = MOMENT) -> tuple[dict[int, int], list[str]]:
    """(placements, names of our events) after these messages of a boot 6 that brings boot 5."""
    windows = Windows(channels("st-01"), Settings())
    device = DeviceIngest("st-01", KEY, 5, (0, 0), windows.lanes["device/st-01"], LinkCounters())
    data = b"".join(map(wire, [hello(boot=6, store=(5, 1)), *messages]))
    entries, _ = device.feed(data, moment)
    return device.lane.placements, [cbor.loads(entry[9])[0] for entry in entries if entry[0] == EVENT]


@pytest.mark.parametrize("detail", [
    None, "", [], [1], [1, 2, 3], ["1", BEGAN], [1.0, BEGAN], [True, BEGAN], {"ticks": 1}, [0, 0],
    [0, 946_684_800_000], [0, LATER + FUTURE_MS + 1], [5, 2**60], [-1, BEGAN], [2**53, BEGAN],
])  # fmt: skip
def test_what_says_nothing_credible_places_nothing(detail):
    placements, names = after(of_boot_5(0), Event(5, 6, BEGAN, 1, CLOCK_SET, detail))
    assert placements == {} and names == ["untold"]


@pytest.mark.parametrize(
    "detail", [[-(2**64), 2**64 - 1], [2**64 - 1, -(2**64)], [0, 2**53], [0, -1], [-5, 5]]
)
def test_no_number_trips_a_gateway_whose_own_clock_is_behind(detail):
    """It cannot tell what is credible then; what no message can carry is not, and the record is journaled."""
    behind = MOMENT._replace(now_ms=START - 10**10, trusted=False)
    placements, names = after(of_boot_5(0), Event(5, 6, BEGAN, 1, CLOCK_SET, detail), moment=behind)
    assert placements == {} and names == ["untold"]


def test_the_first_word_counts_and_a_greetings_before_the_devices():
    event = told_at(1)
    placements, names = after(of_boot_5(0), event, event._replace(seq=7, detail=[0, BEGAN - 99]))
    assert placements == {5: BEGAN} and names == ["untold", "placed"]
    windows = Windows(channels("st-01"), Settings())
    device = DeviceIngest("st-01", KEY, 5, (0, 0), windows.lanes["device/st-01"], LinkCounters())
    device.feed(wire(hello(boot=5, clock=0, ticks_ms=700)), MOMENT)
    device.feed(wire(told_at(0)), MOMENT)
    assert device.lane.placements == {5: LATER - 700}


def test_a_clock_of_ours_that_is_behind_does_not_doubt_the_device():
    behind = MOMENT._replace(now_ms=START - 10**10, trusted=False)
    assert after(of_boot_5(0), told_at(1), moment=behind)[0] == {5: BEGAN}
