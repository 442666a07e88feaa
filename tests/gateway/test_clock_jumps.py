"""Promise 7: wrong clocks do not corrupt data. 500 jumps in every run, 20,000 with QUANTRAC_LONG.

The device's clock jumps by a second to ten years, ahead and back, to 1970 and to 2000, and the gateway's by
up to a month; the device starts again and does not know the time. What must hold, worked out from what was
sent alone: each record is taken once, in the order of its sequence; no window is doubled, turned round or off
the grid; a reading is in the window of its own stamp, or in none when that is not credible or was never told.
Controls: the order of clocks instead of sequences; limits of credibility taken away; ticks taken for a time.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from random import Random

import pytest

from gateway import lane as lane_module
from gateway.counters import LinkCounters
from gateway.errors import JournalError
from gateway.ingest.devices import DeviceIngest, Moment
from gateway.journal.fold import Fold
from gateway.journal.kinds import FRAME
from gateway.windows import EMPTY_MS, Channel, Settings, Window, Windows
from protocol.messages import CLOCK_SET, Event, Readings
from protocol.reading import bits_float, float_bits
from tests.gateway.intake_rig import KEY, START, hello, wire
from tests.promises.counted import counted

JUMPS = 20_000 if os.environ.get("QUANTRAC_LONG") else 500
LIFE_JUMPS = 25
PARTS = 2
LENGTH = 300_000
DAY_MS = 86_400_000
JUMP_MS = (1000, 3653 * DAY_MS)
GATEWAY_MS = 30 * DAY_MS
STARTS = (0, 946_684_800_000)
"""What clocks show that nobody has set: 1970, and 2000."""
BACK_MS, FUTURE_MS = 60 * DAY_MS, 120_000
"""What may be credible, as the specification says it: not taken from the gateway."""
ROWS = 5
CHANNELS = (("x", 10_000, 0, ()),)


class Wrong(AssertionError):
    """The data are not what was sent."""


class Life:
    """A device, a gateway, and the true time. `truth` is what belongs in each window."""

    def __init__(self, seed: int, by_clock: bool = False):
        self.rng, self.by_clock = Random(seed), by_clock
        self.true_ms, self.mono_ns = START, 0
        self.device_off = self.gateway_off = 0
        self.boot, self.seq, self.began_ms, self.set = 1, 1, START, True
        self.placed_ms: int | None = None
        self.windows = Windows([Channel("X", "u", "device/st-01", "x")], Settings())
        lane = self.windows.lanes["device/st-01"]
        self.ingest = DeviceIngest("st-01", KEY, 1, (0, 0), lane, LinkCounters())
        self.fold, self.entries = Fold(), 0
        self.sent: list[tuple[int, int]] = []
        self.taken: list[tuple[int, int]] = []
        self.rows: dict[int, list[Window]] = {}
        self.truth: dict[int, list[float]] = defaultdict(list)
        self.kept: dict[int, list[Readings]] = defaultdict(list)
        self.unplaced = 0
        self.starts: list[int] = []
        self.value = 0

    def moment(self) -> Moment:
        return Moment(self.true_ms + self.gateway_off, self.mono_ns)

    def passes(self, ms: int) -> None:
        self.true_ms += ms
        self.mono_ns += ms * 1_000_000

    # What happens -------------------------------------------------------------------------------------------

    def jump(self) -> None:
        size = int(JUMP_MS[0] * (JUMP_MS[1] / JUMP_MS[0]) ** self.rng.random())
        if self.rng.random() < 0.7:
            self.device_off = self.rng.choice([size, -size, 0, self.rng.choice(STARTS) - self.true_ms])
        else:  # with a device that follows it, each month is 9,000 windows to close
            self.gateway_off = self.rng.choice([1, -1, 0]) * min(size, GATEWAY_MS)

    def restart(self) -> None:
        self.boot, self.seq, self.began_ms, self.set = self.boot + 1, 1, self.true_ms, False
        self.greet(clock=self.rng.randrange(2))

    def greet(self, clock: int) -> None:
        """With clock 0 it says that it knows no time: the gateway places its ticks by this moment."""
        self.placed_ms = None if clock else self.moment().now_ms
        self.hear(
            hello(boot=self.boot, nonce=self.boot, store=(self.boot, 1), clock=clock, channels=CHANNELS)
        )

    def ticks_ms(self) -> int:
        return self.true_ms - self.began_ms

    def told(self) -> None:
        """Somebody sets the device's clock, rightly or not."""
        stamp = self.true_ms + self.device_off
        if stamp < 0:
            return
        self.hear(Event(self.boot, self.seq, stamp, 1, CLOCK_SET, [self.ticks_ms(), stamp]))
        self.sent.append((self.boot, self.seq))
        self.seq, self.set = self.seq + 1, True

    def frame(self) -> list[tuple]:
        stamp = self.true_ms + self.device_off if self.set else self.ticks_ms()
        if stamp < 0:
            return []
        rows = []
        for row in range(ROWS):
            self.value = self.value % 1_000_000 + 1  # exact as a 32-bit float
            rows.append((0, row * 1000, float_bits(float(self.value)), 0, 0))
        message = Readings(self.boot, self.seq, stamp, int(self.set), tuple(rows))
        self.belongs(message)
        entries = self.hear(message, journal=False)
        self.sent.append((self.boot, self.seq))
        self.seq += ROWS
        return entries

    def belongs(self, message: Readings) -> None:
        """Where its readings have to be."""
        now_ms = self.moment().now_ms
        if not message.clock and self.placed_ms is None:
            self.unplaced += ROWS
            return
        offset_ms = 0 if message.clock else self.placed_ms
        for _, offset, bits, _, _ in message.rows:
            stamp = message.base_ms + offset_ms + offset
            if now_ms - BACK_MS <= stamp <= now_ms + FUTURE_MS:
                start_ms = stamp - stamp % LENGTH
                self.truth[start_ms].append(bits_float(bits))
                self.kept[start_ms].append(
                    message._replace(base_ms=stamp, clock=1, rows=((0, 0, bits, 0, 0),))
                )
            else:
                self.unplaced += 1

    # What the gateway does ----------------------------------------------------------------------------------

    def hear(self, message, journal: bool = True) -> list[tuple]:
        entries, _ = self.ingest.feed(wire(message), self.moment())
        if journal:
            self.journal(entries)
        return entries

    def journal(self, entries: list[tuple]) -> None:
        if self.by_clock:
            entries = sorted(entries, key=lambda entry: entry[7] if entry[7] is not None else math.inf)
        for entry in entries:
            kind, source, boot, first_seq, last_seq, _, _, first_ms, last_ms, _ = entry
            self.fold.take(self.entries, kind, source, boot, first_seq, last_seq, first_ms, last_ms)
            self.entries += 1
            if kind == FRAME:
                self.taken.append((boot, first_seq))

    def tick(self) -> None:
        """As Intake.tick()."""
        moment, windows = self.moment(), self.windows
        while (start_ms := windows.due(moment.now_ms, moment.mono_s)) is not None:
            if start_ms < moment.now_ms - EMPTY_MS and windows.skip(moment.now_ms):
                continue
            self.starts.append(start_ms)
            self.rows.setdefault(start_ms, []).extend(windows.close(start_ms))
        for late in windows.late_due(moment.mono_s):
            stored = self.rows.get(late.start_ms, [])
            if stored:
                stored += windows.revised(self.again(late.start_ms), stored)
                late.settled()

    def again(self, start_ms: int) -> list[Window]:
        scratch = self.windows.scratch(start_ms)
        for message in self.kept[start_ms]:
            scratch.lanes["device/st-01"].add(message, message.base_ms, 0.0)
        return scratch.close(start_ms)

    # What must hold -----------------------------------------------------------------------------------------

    def live(self, jumps: int) -> None:
        self.greet(clock=1)
        for _ in range(jumps):
            self.jump()
            if self.rng.random() < 0.1:
                self.restart()
            for _ in range(self.rng.randrange(1, 5)):
                batch = []
                for _ in range(self.rng.randrange(1, 4)):
                    self.passes(self.rng.randrange(1000, 120_000))
                    batch += self.frame()
                    if self.rng.random() < 0.15:
                        self.device_off += self.rng.choice([-600_000, -1000, 1000])
                self.journal(batch)
                if not self.set and self.rng.random() < 0.3:
                    self.told()
                self.tick()
        for _ in range(3):  # what came late is computed again, by a clock that does not step
            self.passes(3_600_000)
            self.tick()
        self.check()

    def check(self) -> None:
        wrong(self.taken == self.sent, "records are missing, doubled or out of order")
        wrong(self.starts == sorted(set(self.starts)), "a window was closed twice, or after a later one")
        for start_ms, rows in self.rows.items():
            wrong([row.revision for row in rows] == list(range(1, len(rows) + 1)), "a revision is doubled")
            for row in rows:
                wrong(
                    row.start_ms == start_ms and row.end_ms == start_ms + LENGTH, "a window is turned round"
                )
                wrong(start_ms % LENGTH == 0, "a window is off the grid")
            newest, values = rows[-1], self.truth.get(start_ms, [])
            wrong(newest.count == len(values), f"{newest.count} readings, not {len(values)}, at {start_ms}")
            if values:
                mean = math.fsum(values) / len(values)
                wrong(math.isclose(newest.value, mean, rel_tol=1e-12), f"another mean at {start_ms}")
        (state,) = self.windows.states
        wrong(state.unplaced == self.unplaced, "what has no credible time is not counted as that")


def wrong(holds: bool, said: str) -> None:
    if not holds:
        raise Wrong(said)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_clocks_that_jump_move_no_reading(part):
    seeds = range(part, JUMPS // LIFE_JUMPS, PARTS)
    closed = late = 0
    for seed in seeds:
        life = Life(seed)
        try:
            life.live(LIFE_JUMPS)
        except (Wrong, JournalError) as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        closed += len(life.starts)
        late += sum(len(rows) - 1 for rows in life.rows.values())
    assert closed > 10 * len(seeds) and late > 0
    counted("jumps", len(seeds) * LIFE_JUMPS)


def caught(said: str, **changed) -> None:
    with pytest.raises((Wrong, JournalError), match=said):
        for seed in range(20):
            Life(seed, **changed).live(LIFE_JUMPS)


def test_control_entries_in_the_order_of_their_clocks_are_caught():
    caught("again|out of order", by_clock=True)


@pytest.mark.parametrize(("limit", "wider_ms"), [("FUTURE_MS", 10 * DAY_MS), ("BACK_MS", 1 << 60)])
def test_control_a_time_that_is_not_credible_and_is_believed_is_caught(monkeypatch, limit, wider_ms):
    monkeypatch.setattr(lane_module, limit, wider_ms)
    caught("readings, not|counted as that|closed twice")


def test_control_ticks_that_are_taken_for_a_time_are_caught(monkeypatch):
    add = lane_module.Lane.add

    def careless(self, readings, now_ms, mono_s):
        told = readings._replace(clock=1, base_ms=readings.base_ms if readings.clock else now_ms)
        return add(self, told, now_ms, mono_s)

    monkeypatch.setattr(lane_module.Lane, "add", careless)
    caught("readings, not|counted as that")
