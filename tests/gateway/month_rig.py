"""A station's month, made from a seed: every kind of channel, and on each day whatever happens to stations.

    story, days = Story(folder, every_kind(), start_ms=FIRST), 31
    live_through(story, days, seed)

A reading of each quantity every 100 s, three to a window: what is rebuilt is the same as with more of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from protocol import quality as q
from protocol.messages import Readings
from protocol.reading import float_bits
from tests.gateway.evidence_rig import Run, Story
from tests.gateway.intake_rig import CHANNELS, hello

FIRST = 1_772_298_000_000  # 2026-03-01 00:00 +07
MARCH_DAYS = 31
STEP_MS = 100_000
DAY_MS = 86_400_000
BEATS = DAY_MS // STEP_MS
"""Readings of a quantity in a day."""


def channel(symbol: str, unit: str, source: str, more: str = "") -> str:
    return f'[[channel]]\nsymbol = "{symbol}"\nunit = "{unit}"\ndecimals = 3\nsource = {source}\n{more}\n'


def every_kind() -> str:
    """A stack, its contact, its meter and its slow analyser."""
    cod, ph, temp, tss, nh4 = [f'{{ device = "st-01", quantity = "{name}" }}' for name in CHANNELS]
    bus = '{{ bus = "tank", unit = 1, table = "holding", register = {}, type = "float32", poll_ms = 100000 }}'
    checks = (
        "plausible = [1.0, 400.0], rate_per_min = 150.0, spike = 180.0, stuck_min = 30, negative_min = -1.0"
    )
    stack = 'corrects = "SO2m", oxygen = "O2", temperature = "Temp", pressure = "P", moisture = "RH"'
    return (
        channel("SO2m", "mg/m3", cod, f'checks = {{ {checks} }}\nbusy = {{ maintenance = "Door" }}')
        + channel("O2", "%", ph)
        + channel("Temp", "oC", temp)
        + channel("P", "kPa", tss)
        + channel("RH", "%", nh4)
        + channel("SO2", "mg/Nm3", f"{{ {stack}, oxygen_reference = 7.0 }}")
        + channel("SO2kg", "kg/h", '{ mass_of = "SO2", flow = "Flow" }')
        + channel("WindDir", "", temp, 'average = "vector"')
        + channel("Slow", "mg/m3", cod, "update_s = 1800")
        + channel("State", "", ph, 'average = "last"\nsent = false')
        + channel("Flow", "Nm3/h", bus.format(0))
        + channel("Meter", "m3", bus.format(2), 'average = "total"\nrollover = 100000.0')
        + channel("Door", "", bus.format(4), 'average = "last"\nsent = false')
    )


def live_through(story: Story, days: int, seed: int) -> None:
    """So many days, in starts of the gateway of random length; in the middle the configuration changes."""
    chance = random.Random(seed)
    month = _Month(story, chance)
    left, changed = days * BEATS, False
    while left > 0:
        beats = min(left, chance.randrange(BEATS // 3, 2 * BEATS))
        month.beats = beats
        story.start(month.chapter)
        left -= beats
        off = min(left, chance.choice([0, 1, 9, 60]))  # up to 100 minutes without a gateway
        story.now_ms += off * STEP_MS
        left -= off
        if not changed and left < days * BEATS // 2:
            text, changed = story.config.read_text(), True
            text = text.replace("[1.0, 400.0]", "[1.0, 300.0]").replace("update_s = 1800", "update_s = 900")
            story.config.write_text(text + channel("NH4", "mg/m3", '{ device = "st-01", quantity = "nh4" }'))


class _Month:
    """What the plant does, and what goes wrong."""

    def __init__(self, story: Story, chance: random.Random):
        self.story, self.chance, self.beats = story, chance, 0
        self.points = ((0.0, 0.0), (100.0, 200.0))
        self.silent = 0  # beats for which the device is still away
        self.kept: list[int] = []  # moments of readings that it will tell when it is back
        self.meter, self.door = 0.0, 0
        self.clock = 1

    async def chapter(self, run: Run) -> None:
        self.greet(run)
        for _ in range(self.beats):
            run.pass_ms(STEP_MS)
            await self.happens(run)
            if self.silent:
                self.silent -= 1
                self.kept.append(self.story.now_ms - 5000)
                if not self.silent:
                    self.back(run)
            else:
                self.say(run, self.story.now_ms - 5000)
            self.poll(run)
            await run.tick()

    def greet(self, run: Run) -> None:
        story = self.story
        story.nonce += 1
        table = tuple(
            (name, STEP_MS, int(i == 0), self.points if i == 0 else ()) for i, name in enumerate(CHANNELS)
        )
        told = {"store": (story.boot, story.seq), "clock": self.clock, "ticks_ms": 5000 * (1 - self.clock)}
        run.say(hello(boot=story.boot, nonce=story.nonce, channels=table, **told))

    async def happens(self, run: Run) -> None:
        """One thing in a while, each on some day of the month."""
        what = self.chance.randrange(500)
        if what == 0:
            self.silent = self.chance.choice([2, 10, 40])
        elif what == 1:  # late, or ahead of its time
            self.say(run, self.story.now_ms + self.chance.choice([-40, -12, -3, 1]) * STEP_MS)
        elif what == 2:
            quality = self.chance.choice([q.CALIBRATING, q.MAINTENANCE])
            await run.intake.mark(self.chance.choice(["SO2m", "O2", "Meter"]), quality, 12, "Lan", "zero")
        elif what == 3:
            self.door = self.chance.randrange(1, 6)
        elif what == 4:  # another calibration
            self.points = ((0.0, self.chance.randrange(9) / 1.0), (100.0, 200.0))
            self.greet(run)
        elif what == 5:  # the device starts anew, and is told the time a moment later
            self.story.boot, self.story.seq, self.clock = self.story.boot + 1, 1, 0
            self.greet(run)
            self.say(run, 6000)
            self.clock = 1
            self.greet(run)
        elif what == 6:  # a new meter
            self.meter = 0.0

    def back(self, run: Run) -> None:
        """It is there again: with all it kept, with half of it, or with nothing."""
        kept, self.kept = self.kept, []
        for at_ms in self.chance.choice([kept, kept[::2], []]):
            self.say(run, at_ms)

    def say(self, run: Run, at_ms: int) -> None:
        """A reading of each quantity, now and then a bad one."""
        story, chance = self.story, self.chance
        day = math.sin(at_ms / DAY_MS * 2 * math.pi)
        gas = 40 + 20 * day + chance.randrange(64) / 16
        values = [gas, 8.0 + 4 * day + chance.randrange(8) / 16, 120.0 + 30 * day, 99.0 + day, 11.0 + day]
        bad = chance.randrange(60)
        if bad < 5:
            values[bad] = chance.choice([-3.0, 0.0, 1e6, values[bad] * 2])
        quality = chance.choice([q.FAULT, q.OUT_OF_RANGE, q.CALIBRATING]) if bad == 5 else q.OK
        rows = tuple(
            (i, 20 * i, float_bits(round(value, 3)), quality if i == bad % 2 else q.OK, int(i == 0))
            for i, value in enumerate(values)
        )
        run.say(Readings(story.boot, story.seq, at_ms, self.clock, rows))
        story.seq += len(rows)

    def poll(self, run: Run) -> None:
        self.meter = (self.meter + self.chance.randrange(200)) % 100_000
        self.door = max(0, self.door - 1)
        at_ms = self.story.now_ms - 50
        wired: Sequence[tuple[str, float]] = (
            ("Flow", 9000.0 + self.chance.randrange(1000)),
            ("Meter", self.meter),
            ("Door", float(self.door > 0)),
        )
        known = [channel.symbol for channel in run.intake._channels]
        if self.chance.randrange(30):  # the bus fails at times
            run.intake.poll(
                "tank", [(known.index(name), at_ms, float_bits(value), 0) for name, value in wired]
            )
