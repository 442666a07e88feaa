"""SUMMARY and NOW: means count as the readings they were made of, what is only shown counts as nothing."""

from __future__ import annotations

import asyncio
import builtins
import time
from random import Random

import pytest

from gateway.accumulate import ExactSum, Newest
from gateway.ingest import replay
from gateway.ingest.intake import PAUSE_MS
from gateway.ingest.raw import RawFeed
from gateway.journal import journal as journal_module
from gateway.journal.kinds import FRAME
from gateway.journal.reader import Reader
from gateway.windows import LATE, THINNED, Channel, Window, Windows
from protocol import framing
from protocol import quality as q
from protocol.cose import payload_of
from protocol.messages import Now, Summary, decode
from protocol.reading import bits_float, float_bits
from tests.gateway.intake_rig import NOW, START, Device, Rig, Store, hello, readings, wire
from tests.gateway.journal_rig import Disk
from tests.gateway.test_counters import balanced
from tests.gateway.test_windows import LENGTH, MINUTE, frame, give, windows_of

STEP_MS = 5_000
A_MINUTE = MINUTE // STEP_MS


def summary(
    *rows,
    time_ms: int = START + MINUTE,
    clock: int = 1,
    span_ms: int = MINUTE,
    boot: int = 1,
    first_seq: int = 1,
) -> Summary:
    """Rows of (mean, minimum, maximum, count, quality[, channel[, calibration]]); None for no value."""
    return Summary(boot, first_seq, time_ms, clock, span_ms, tuple(
        (
            rest[0] if rest else 0,
            *(None if value is None else float_bits(value) for value in (mean, low, high)),
            count, quality, rest[1] if rest[1:] else 0,
        )
        for mean, low, high, count, quality, *rest in rows
    ))  # fmt: skip


def sum_up(samples: list[tuple[float | None, int]], channel: int = 0) -> list[tuple]:
    """What a device makes of a minute's samples: a row for each quality."""
    rows = []
    for quality in sorted({quality for _, quality in samples}):
        values = [value for value, found in samples if found == quality]
        if values[0] is None:
            rows.append((None, None, None, len(values), quality, channel))
        else:
            mean = bits_float(float_bits(sum(values) / len(values)))
            rows.append((mean, min(values), max(values), len(values), quality, channel))
    return rows


def sampled(rng: Random, minutes: int = 5) -> list[list[tuple[float | None, int]]]:
    """Samples by minute, the same value throughout: the mean is not rounded, so windows can be compared."""
    qualities = [q.OK] * rng.choice([3, 9, 40]) + [q.TIMEOUT, q.FAULT, q.CALIBRATING]
    return [
        [(None if quality == q.TIMEOUT else value, quality) for quality in rng.choices(qualities, k=A_MINUTE)]
        for value in [float(rng.randrange(-50, 50)) for _ in range(minutes)]
    ]


def both(minutes: list) -> tuple[Window, Window]:
    """The window of the same samples, once as readings and once as means."""
    one, other = windows_of(interval_ms=STEP_MS), windows_of(interval_ms=STEP_MS)
    for number, samples in enumerate(minutes):
        give(one, *[(number * MINUTE + i * STEP_MS, *sample) for i, sample in enumerate(samples)])
        end_ms = START + (number + 1) * MINUTE
        other.lanes["device/st-01"].add_summary(summary(*sum_up(samples), time_ms=end_ms), NOW, 0.0)
    return one.close(START)[0], other.close(START)[0]


def same(one: Window, other: Window) -> bool:
    return one._replace(last=None) == other._replace(last=None, reason="")


def test_means_give_the_window_of_their_readings():
    rng = Random(9)
    statuses = set()
    for _ in range(300):
        one, other = both(sampled(rng))
        assert same(one, other) and other.reason == THINNED
        statuses.add(one.status)
    assert statuses == {"00", "01", "02"}


def test_the_control_a_mean_that_counts_once_is_seen(monkeypatch):
    minutes = [[(1.0, q.OK)] * 12, [(4.0, q.OK)] * 6 + [(None, q.TIMEOUT)] * 6, *[[(1.0, q.OK)] * 12] * 3]
    assert same(*both(minutes))
    monkeypatch.setattr(ExactSum, "add_mean", lambda self, mean, count: self.add([mean]))
    assert not same(*both(minutes))


def test_means_and_readings_add_up_in_one_window_whatever_their_order():
    rng = Random(4)
    for _ in range(50):
        minutes = sampled(rng)
        parts = []
        for number, samples in enumerate(minutes):
            if rng.random() < 0.5:
                end_ms = START + (number + 1) * MINUTE
                parts.append(("add_summary", summary(*sum_up(samples), time_ms=end_ms)))
            else:
                rows = [(number * MINUTE + i * STEP_MS, *sample) for i, sample in enumerate(samples)]
                parts.append(("add", frame(*rows)))
        found = []
        for _ in range(3):
            rng.shuffle(parts)
            windows = windows_of(interval_ms=STEP_MS)
            for name, message in parts:
                getattr(windows.lanes["device/st-01"], name)(message, NOW, 0.0)
            found.append(windows.close(START)[0])
            assert windows.states[0].read == windows.states[0].windowed == 5 * A_MINUTE
        assert all(same(both(minutes)[0]._replace(reason=""), window) for window in found)


def test_a_span_belongs_to_the_window_that_holds_it():
    windows = windows_of()
    lane = windows.lanes["device/st-01"]
    assert lane.add_summary(summary((1.0, 1.0, 1.0, 9, q.OK), time_ms=START), NOW, 0.0) == (
        START - MINUTE, START - 1,
    )  # fmt: skip
    assert lane.progress == START - 1  # others of this minute may be on their way: not past the window's end
    lane.add_summary(summary((2.0, 2.0, 2.0, 7, q.OK), time_ms=START + LENGTH), NOW, 0.0)
    rows = [windows.close(windows.next_ms)[0] for _ in range(2)]
    assert [(row.start_ms - START, row.count, row.value) for row in rows] == [(-LENGTH, 9, 1.0), (0, 7, 2.0)]


@pytest.mark.parametrize(("late_ms", "index"), [(20_000, 0), (40_000, 1)])
def test_a_span_of_ticks_goes_where_its_middle_lies(late_ms, index):
    windows = windows_of()
    lane = windows.lanes["device/st-01"]
    give(windows, (-LENGTH, 1.0, q.OK))
    lane.place(1, START - 600_000 + late_ms)
    lane.add_summary(summary((5.0, 5.0, 5.0, 4, q.OK), time_ms=600_000, clock=0), NOW, 0.0)
    counts = [windows.close(windows.next_ms)[0].count for _ in range(2)]
    assert counts == ([5, 0] if index == 0 else [1, 4])


CALIBRATED = Channel("COD", "mg/l", "device/st-01", "cod", low=0.0, high=100.0)


def closed(row: tuple, points=(), channel: Channel = CALIBRATED) -> Window:
    windows = windows_of(channel, interval_ms=LENGTH // 12)
    windows.lanes["device/st-01"].describe(1, [("cod", LENGTH // 12, 3, points)])
    windows.lanes["device/st-01"].add_summary(summary(row), NOW, 0.0)
    return windows.close(START)[0]


def numbers(window: Window) -> tuple:
    return window.value, window.minimum, window.maximum, window.count, window.quality


def test_calibration_applies_to_all_three():
    row = (20.0, 10.0, 30.0, 12, q.OK, 0, 3)
    assert numbers(closed(row, ((0.0, 5.0), (40.0, 85.0)))) == (45.0, 25.0, 65.0, 12, q.OK)
    falling = ((0.0, 90.0), (40.0, 10.0))
    assert numbers(closed(row, falling)) == (50.0, 30.0, 70.0, 12, q.OK)  # the least indicated is the maximum
    assert numbers(closed(row, ((1.0, 2.0),))) == (21.0, 11.0, 31.0, 12, q.OK)
    bent = ((0.0, 0.0), (20.0, 20.0), (40.0, 80.0))
    assert numbers(closed(row, bent)) == (20.0, 10.0, 50.0, 12, q.OK)  # as well as it can be known


def test_what_is_not_good_in_all_of_it_is_no_good_value():
    for row in ((50.0, -1.0, 60.0), (50.0, 40.0, 101.0), (101.0, 100.5, 102.0)):
        window = closed((*row, 12, q.OK, 0, 0))
        assert (window.count, window.quality, window.value) == (0, q.OUT_OF_RANGE, row[0])
    for row in ((float("nan"), 1.0, 2.0), (1.0, float("-inf"), 2.0)):
        window = closed((*row, 12, q.OK, 0, 0))
        assert (window.count, window.quality, window.value) == (0, q.FAULT, None)
    assert closed((5.0, 4.0, 6.0, 12, q.OK, 0, 9)).quality == q.FAULT  # nobody said what calibration 9 is
    assert closed((5.0, 4.0, 6.0, 12, q.MAINTENANCE, 0, 0)).status == "01"
    assert closed((None, None, None, 12, q.TIMEOUT, 0, 0)).quality == q.TIMEOUT


def test_counts_balance_with_means():
    rng = Random(3)
    windows = windows_of(Channel("COD", "", "device/st-01", "cod"), start_grace_s=0.0)
    lane = windows.lanes["device/st-01"]
    given = unrouted = 0
    for i in range(2000):
        wild = rng.choice([0, 0, 0, 0, -20 * LENGTH, 40 * 86_400_000, -70 * 86_400_000])
        rows = []
        for _ in range(rng.randint(1, 9)):
            quality, count, channel = (
                rng.choice([q.OK, q.FAULT, q.TIMEOUT]),
                rng.randint(1, 99),
                rng.randint(0, 1),
            )
            rows.append((*[None if quality == q.TIMEOUT else 1.5] * 3, count, quality, channel))
            given += count * (channel == 0)
            unrouted += count * (channel == 1)
        now_ms = START + i * MINUTE
        boot, clock = rng.choice([(1, 1), (1, 1), (2, 0)])
        lane.add_summary(summary(*rows, time_ms=now_ms + wild, boot=boot, clock=clock), now_ms, i / 10)
        if rng.random() < 0.3:
            give(windows, (0, 2.5, q.OK), base_ms=now_ms, now_ms=now_ms, mono_s=i / 10)
            given += 1
        while (start := windows.due(now_ms, i / 10)) is not None:
            windows.close(start)
        if i % 3 == 0:
            for late in windows.late_due(i / 10):
                late.settled()
        [state] = windows.states
        assert sum(lane.read_now()) == given and lane.unrouted == unrouted
        assert given == state.windowed + state.open() + state.late + state.unplaced
    assert windows.closed > 50 and state.unplaced and state.windowed


# Through the intake -----------------------------------------------------------------------------------------


def minute(number: int, first_seq: int, value: float, boot: int = 1) -> Summary:
    """Means of minute `number` of all five channels."""
    rows = [(value + c, value + c - 1, value + c + 1, 6, q.OK, c) for c in range(5)]
    return summary(*rows, time_ms=START + (number + 1) * MINUTE, boot=boot, first_seq=first_seq)


def stored(path) -> list[Window]:
    reader = Reader(path)
    try:
        return reader.windows(0, 1 << 62)
    finally:
        reader.close()


def rebuilt(path, windows: Windows, start_ms: int) -> list[Window]:
    """The window anew, from the journal alone."""
    reader = Reader(path)
    try:
        return replay.recompute(reader, windows.scratch(start_ms), start_ms)[0]
    finally:
        reader.close()


def test_means_are_journaled_as_they_came_acknowledged_and_read_back_after_a_restart(tmp_path):
    path = tmp_path / "journal.db"
    sent = [minute(n, 1 + 5 * n, float(n)) for n in range(10)]

    async def first():
        async with Rig(path, now_ms=START + LENGTH) as rig:
            device = rig.intake.devices["st-01"]
            flushed = []
            rig.intake.feed(device, wire(hello()), lambda: None)
            for message in sent[:5]:
                rig.intake.feed(
                    device, wire(message), lambda: flushed.append(rig.intake.acknowledgement(device))
                )
            await rig.settle()
            assert device.session.durable == (1, 25) and flushed[-1]
            assert device.counters.summaries == 25 and device.counters.readings == 150
            balanced(rig.intake)

    async def second():
        """The gateway was started anew; the rest comes."""
        async with Rig(path, now_ms=START + 2 * LENGTH) as rig:
            assert balanced(rig.intake)["cod"]["read"] == 30  # what was open is open again
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello(nonce=2)), lambda: None)
            for message in sent[5:]:
                rig.intake.feed(device, wire(message), lambda: None)
            await rig.settle()
            device.lane.progress = START + 2 * LENGTH
            await rig.settle()
            assert {c["windowed"] for c in balanced(rig.intake).values()} == {60}
            return [rebuilt(path, rig.intake.windows, start) for start in (START, START + LENGTH)]

    asyncio.run(first())
    again = asyncio.run(second())
    windows = stored(path)
    cod = [w for w in windows if w.symbol == "cod"]
    assert [(w.value, w.minimum, w.maximum, w.count, w.expected, w.status) for w in cod] == [
        (2.0, -1.0, 5.0, 30, 30, "00"), (7.0, 4.0, 10.0, 30, 30, "00"),
    ]  # fmt: skip
    assert {w.reason for w in windows} == {THINNED}
    assert sorted(row for rows in again for row in rows) == sorted(windows)
    reader = Reader(path)
    bodies = [decode(payload_of(entry.body)) for entry in reader.entries() if entry.kind == FRAME]
    reader.close()
    assert bodies == sent


def test_means_for_a_closed_window_make_a_revision_that_says_so(tmp_path):
    path = tmp_path / "journal.db"

    async def main():
        async with Rig(path, now_ms=START + 3 * LENGTH) as rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello()) + wire(readings(1, 1)), lambda: None)
            device.lane.progress = START + LENGTH
            await rig.settle()
            for n in range(1, 5):
                rig.intake.feed(device, wire(minute(n, 6 + 5 * n, float(n))), lambda: None)
            assert balanced_later(rig)["cod"]["late"] == 24
            await asyncio.sleep(1.1)  # LATE_QUIET_S
            await rig.settle()
            found = balanced_later(rig)["cod"]
            assert (found["late"], found["windowed"], found["open"]) == (0, 26, 0)
            return rebuilt(path, rig.intake.windows, START)

    def balanced_later(rig):
        return rig.intake.count().snapshot()["channels"]

    again = asyncio.run(main())
    cod = [w for w in stored(path) if w.symbol == "cod"]
    assert [(w.revision, w.count, w.reason) for w in cod] == [(1, 2, ""), (2, 26, f"{LATE}, {THINNED}")]
    assert again[0]._replace(revision=2, reason=cod[1].reason) == cod[1]


def test_the_raw_feed_tells_means_apart_from_readings():
    windows = windows_of(CALIBRATED, Channel("COD2", "", "device/st-01", "cod", high=15.0))
    lane = windows.lanes["device/st-01"]
    lane.describe(1, [("cod", 1000, 3, ((0.0, 50.0), (50.0, 0.0)))])
    feed = RawFeed(
        [state.channel for state in windows.states],
        lambda name, t_ms, rows, means: [(name, t_ms, rows, means)],
    )
    records = [
        summary((40.0, 35.0, 45.0, 60, q.OK, 0, 3), (None, None, None, 2, q.TIMEOUT, 0, 3)),
        frame((0, 40.0, q.OK, 0, 3)),
    ]
    entries = [(FRAME, 1, 1, 1, 3, 0, 0, 0, 0, body) for body in bodies_of(*records)]
    [(name, t_ms, rows, means)] = feed.framed(lane, entries)
    assert (name, t_ms) == ("device/st-01/1/1-3", START)
    assert rows == [("COD", START, 10.0, "00"), ("COD2", START, 10.0, "00")]
    to_ms = START + MINUTE
    assert means == [
        ("COD", START, to_ms, 10.0, 5.0, 15.0, 60, "00"), ("COD2", START, to_ms, 10.0, 5.0, 15.0, 60, "00"),
        ("COD", START, to_ms, None, None, None, 2, "02"), ("COD2", START, to_ms, None, None, None, 2, "02"),
    ]  # fmt: skip
    assert feed.framed(lane, [(FRAME, 1, 9, 1, 1, 0, 0, None, None, bodies_of(
        summary((1.0, 1.0, 1.0, 1, q.OK), boot=9, clock=0))[0])]) == []  # fmt: skip


def bodies_of(*messages) -> list[bytes]:
    return framing.Decoder().feed(b"".join(map(wire, messages)))


class Thinned(Store):
    """A device's store that holds means only: five records a minute."""

    def batch(self, boot, seq):
        if boot != self.boot or seq <= self.released or seq > self.total:
            return None
        self.handed = max(self.handed, seq + 4)
        return minute((seq - 1) // 5, seq, 20.0, self.boot)


@pytest.mark.parametrize("always", [False, True])
def test_a_full_queue_slows_down_means_as_well_and_starves_nobody(tmp_path, monkeypatch, always):
    monkeypatch.setattr(journal_module, "QUEUE_ENTRIES_FULL", 8)
    total = 5 * 200 if always else 5 * 2000
    if always:  # as when others keep the queue half full for ever: this one still gets its frames through
        monkeypatch.setattr(journal_module.Journal, "half_full", property(lambda self: True))

    async def main():
        links = []

        def delay(sql, commits):
            if sql == "COMMIT":
                time.sleep(0.02)
                end = time.monotonic() + 2.0  # a busy device may be slower: the queue is full once
                while links and not always and links[0].pauses == 0 and time.monotonic() < end:
                    time.sleep(0.01)

        async with Rig(tmp_path / "journal.db", connect=Disk(delay)) as rig:
            links.append(rig.intake.counters.link("st-01"))
            device = Device(total, window_frames=64)
            device.store = device.session._store = Thinned(total)
            asked = []
            receive = device.session.receive
            monkeypatch.setattr(
                device.session, "receive",
                lambda m, now: (asked.append(getattr(m, "pause_ms", 0)), receive(m, now))[1],
            )  # fmt: skip
            async with asyncio.timeout(60):
                await device.run(rig.port())
            await rig.settle()
            assert device.acked == (1, total)
            assert PAUSE_MS in asked or not always
            assert rig.intake.counters.link("st-01").summaries == total
            assert always or rig.intake.counters.link("st-01").pauses > 0
            balanced(rig.intake)

    asyncio.run(main())


# NOW --------------------------------------------------------------------------------------------------------


def now(*rows, base_ms: int = NOW - 1000, clock: int = 1, nonce: int = 1) -> Now:
    return Now(nonce.to_bytes(8, "big"), base_ms, clock, tuple(
        (channel, offset, None if value is None else float_bits(value), quality, 0)
        for channel, offset, value, quality in rows
    ))  # fmt: skip


def test_what_is_shown_is_shown_and_nothing_else(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            device = rig.intake.devices["st-01"]
            rig.intake.feed(device, wire(hello()) + wire(readings(1, 1)), lambda: None)
            await rig.settle()
            rig.intake.acknowledgement(device)
            before, size = balanced(rig.intake), rig.journal.size
            old = rig.intake.newest("cod")
            heard, progress = device.lane.heard_s, device.lane.progress
            answers = []
            told = now((0, 0, 77.0, q.OK), (1, 5, None, q.TIMEOUT), (200, 0, 1.0, q.OK))
            assert rig.intake.feed(device, wire(told), lambda: answers.append(1)) == b""
            await rig.settle()
            assert rig.intake.newest("cod") == Newest(NOW - 1000, 77.0, q.OK) != old
            assert rig.intake.newest("ph") == Newest(NOW - 995, None, q.TIMEOUT)
            assert rig.intake.newest("temp").time_ms < NOW - 1000  # not told: what was taken
            assert (rig.journal.size, answers) == (size, []) and balanced(rig.intake) == before
            assert (device.lane.heard_s, device.lane.progress) == (heard, progress)
            counters = device.counters
            assert (counters.shown, counters.readings, counters.unrouted) == (1, 10, 0)
            stale = [now((0, 0, 78.0, q.OK), base_ms=NOW, nonce=2)]
            rig.intake.feed(device, b"".join(map(wire, stale)), lambda: None)
            assert counters.stale == 1 and rig.intake.newest("cod").value == 77.0
            windows = rig.intake.windows
            assert all(state.cells.keys() == {START} for state in windows.states)

    asyncio.run(main())


def shown_and_read(times: list[tuple[str, int]], now_ms: int = NOW) -> list[Newest | None]:
    """What is shown of a channel after each of ("now" | "read", time); the value says which it was."""
    windows = windows_of(CALIBRATED)
    lane, [state] = windows.lanes["device/st-01"], windows.states
    found = []
    for number, (how, time_ms) in enumerate(times):
        if how == "now":
            lane.show(now((0, 0, float(number), q.OK), base_ms=time_ms), 1, now_ms)
        else:
            give(windows, (0, float(number), q.OK), base_ms=time_ms, now_ms=now_ms)
        found.append(lane.newest(state, now_ms))
    return found


def test_a_newer_reading_is_never_hidden():
    late, early = NOW - 1000, NOW - 50_000
    values = [n.value for n in shown_and_read([("read", early), ("now", late), ("read", early + 10)])]
    assert values == [0.0, 1.0, 1.0]
    assert [n.value for n in shown_and_read([("now", late), ("read", late + 1), ("now", late)])] == [0, 1, 1]
    assert [n.value for n in shown_and_read([("now", late), ("now", late - 1)])] == [0, 0]  # a recorded one
    # Far ahead or long ago is no time at all.
    assert shown_and_read([("now", NOW + 10**9), ("now", NOW - 10**10)]) == [None, None]


def of_a_device_that_is_ahead() -> float | None:
    """Two minutes later: what is shown after a NOW from a clock that was ahead, and a reading since."""
    windows = windows_of(CALIBRATED)
    lane, [state] = windows.lanes["device/st-01"], windows.states
    lane.show(now((0, 0, 1.0, q.OK), base_ms=NOW + 100_000), 1, NOW)
    give(windows, (0, 2.0, q.OK), base_ms=NOW + 1, now_ms=NOW + 120_000)
    found = lane.newest(state, NOW + 120_000)
    return None if found is None else found.value


def test_a_clock_that_is_ahead_hides_nothing():
    assert of_a_device_that_is_ahead() == 2.0


def test_the_control_a_time_that_is_believed_hides_what_comes(monkeypatch):
    monkeypatch.setattr(
        "gateway.lane.min", lambda *of: of[0] if len(of) == 2 else builtins.min(*of), raising=False
    )
    assert of_a_device_that_is_ahead() == 1.0


def test_our_own_clock_set_back_hides_nothing():
    windows = windows_of(CALIBRATED)
    lane, [state] = windows.lanes["device/st-01"], windows.states
    lane.show(now((0, 0, 1.0, q.OK), base_ms=NOW), 1, NOW)
    give(windows, (0, 2.0, q.OK), base_ms=NOW - 3_600_000, now_ms=NOW - 3_600_000)
    assert lane.newest(state, NOW - 3_600_000).value == 2.0
    assert lane.newest(state, NOW).value == 1.0


def test_what_is_shown_is_judged_as_the_windows_do():
    windows = windows_of(CALIBRATED)
    lane, [state] = windows.lanes["device/st-01"], windows.states
    for number, (value, quality, expected) in enumerate(
        [(50.0, q.OK, q.OK), (101.0, q.OK, q.OUT_OF_RANGE), (50.0, q.MAINTENANCE, q.MAINTENANCE)]
    ):
        assert lane.show(now((0, number, value, quality)), 1, NOW)
        assert state.shown == Newest(NOW - 1000 + number, value, expected)
    assert lane.show(now((0, 9, float("nan"), q.OK)), 1, NOW) and state.shown[1:] == (None, q.FAULT)
    assert not lane.show(now((0, 0, 1.0, q.OK), base_ms=5000, clock=0), 1, NOW)  # nobody knows when
    lane.place(1, NOW - 5000)
    assert lane.show(now((0, 0, 1.0, q.OK), base_ms=5000, clock=0), 1, NOW) and state.shown.time_ms == NOW


def test_rows_by_hand():
    assert summary((1.0, 0.5, 2.0, 3, q.OK, 1, 2)).rows == (
        (1, float_bits(1.0), float_bits(0.5), float_bits(2.0), 3, 0, 2),
    )
    assert sum_up([(1.0, 0), (None, q.TIMEOUT), (3.0, 0)]) == [
        (2.0, 1.0, 3.0, 2, 0, 0),
        (*[None] * 3, 1, 4, 0),
    ]
