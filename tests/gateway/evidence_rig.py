"""A gateway's journal with all that evidence is about: made by the Intake, with device frames, in no time.

story = Story(tmp_path); story.run(chapters...); story.config is a configuration file beside it
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.config import load
from gateway.documents import documents
from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake, channels_of, settings_of
from gateway.journal.checkpoints import Checkpoints, origin
from gateway.journal.journal import Journal
from protocol.messages import Readings
from protocol.reading import float_bits
from tests.gateway.configured import STATION, written
from tests.gateway.intake_rig import CHANNELS, KEY, hello, wire

START = 1_774_397_100_000  # 2026-03-25 07:05:00 +07
STEP_MS = 30_000
"""Between two frames of a device: ten make a window."""
LENGTH_MS = 300_000
DEVICE = '[[device]]\nid = "st-01"\nlink = "tcp-listen://127.0.0.1:7311"\nkey_file = "keys/st-01.link"\n'
BUS = '[[bus]]\nid = "tank"\nlink = "modbus-tcp://127.0.0.1:5020"\n'
DESTINATIONS = """
[[destination]]
id = "local"
kind = "directory"
path = "sent"
send = ["windows"]

[[destination]]
id = "national"
kind = "mqtt"
host = "127.0.0.1"
send = ["windows"]
"""


def channel(symbol: str, source: str, more: str = "") -> str:
    return f'[[channel]]\nsymbol = "{symbol}"\nunit = "mg/l"\ndecimals = 2\nsource = {source}\n{more}\n'


def tables(*names: str) -> str:
    text = "".join(
        channel(name.upper(), f'{{ device = "st-01", quantity = "{name}" }}', "plausible = [0.0, 140.0]")
        for name in names
    )
    bus = '{ bus = "tank", unit = 1, table = "holding", register = 0, type = "float32", poll_ms = 30000 }'
    return text + channel("Flow", bus)


def kinds() -> str:
    """Channels of every kind that there is, of the two quantities that the device tells."""
    cod, ph = [f'{{ device = "st-01", quantity = "{name}" }}' for name in ("cod", "ph")]
    checks = "checks = { plausible = [1.0, 130.0], rate_per_min = 900.0, spike = 60.0, stuck_min = 15 }"
    text = channel("COD", cod, checks)
    text += channel("Meter", cod, 'average = "total"\nrollover = 140.0')
    text += channel("WindDir", ph, 'average = "vector"')
    text += channel("State", ph, 'average = "last"\nsent = false')
    text += channel("Slow", ph, "update_s = 1800")
    text += channel("Busy", cod, 'busy = { maintenance = "Flow" }')
    text += channel("O2", ph).replace("mg/l", "%")
    text += channel("SO2", '{ corrects = "COD", oxygen = "O2", oxygen_reference = 6.0 }')
    bus = '{ bus = "tank", unit = 1, table = "holding", register = 0, type = "float32", poll_ms = 30000 }'
    return text + channel("Flow", bus)


class Story:
    """A state directory, and starts of a gateway in it. `now_ms` is the station's time."""

    def __init__(self, folder: Path, channels: str = "", more: str = "", start_ms: int = START):
        self.folder, self.now_ms, self.seq, self.boot = folder, start_ms, 1, 1
        text = STATION + DEVICE.replace("keys/", "gateway/keys/") + BUS
        text += (channels or tables(*CHANNELS[:2])) + DESTINATIONS + more
        self.config = written(folder, text)
        (folder / "gateway" / "keys" / "st-01.link").write_text(KEY.hex() + "\n")
        self.state_dir = folder / "gateway"
        self.mono_ns = 0
        self.nonce = 0

    def moment(self) -> Moment:
        return Moment(self.now_ms, self.mono_ns)

    def start(self, *chapters: Callable[[Run], Awaitable[None]]) -> Story:
        """One start of the gateway, and its end."""
        asyncio.run(self._start(chapters))
        return self

    async def _start(self, chapters) -> None:
        config = load(self.config)
        station = config.station
        name = origin(station.province, station.facility, station.code)
        journal = Journal(self.state_dir / "journal.db", checkpoints=Checkpoints(self.state_dir, name))
        settings = settings_of(config)._replace(start_grace_s=0.0, back_grace_s=0.0)
        intake = Intake(
            journal,
            channels_of(config),
            settings,
            {"st-01": KEY},
            self.moment,
            lambda windows: documents(config, windows, journal.checkpoint),
        )
        intake.open()
        journal.start()
        await intake.begin()
        run = Run(self, intake)
        try:
            for chapter in chapters:
                await chapter(run)
                await journal.commit()
        finally:
            await journal.close(5.0)


class Run:
    """One start of the gateway, from inside."""

    def __init__(self, story: Story, intake: Intake):
        self.story, self.intake = story, intake

    def say(self, message) -> None:
        """The device says something."""
        self.intake.feed(self.intake.devices["st-01"], wire(message), lambda: None)

    async def tick(self) -> None:
        await self.intake.journal.commit()
        await self.intake.tick()
        await self.intake.journal.commit()

    def pass_ms(self, ms: int) -> None:
        self.story.now_ms += ms
        self.story.mono_ns += ms * 1_000_000

    def greet(self, **changed) -> None:
        story = self.story
        story.nonce += 1
        points = changed.pop("points", ((0.0, 10.0), (100.0, 210.0)))
        table = tuple(
            (name, 10_000, int(i == 0), points if i == 0 else ()) for i, name in enumerate(CHANNELS)
        )
        store = changed.pop("store", (story.boot, story.seq))
        self.say(hello(boot=story.boot, nonce=story.nonce, store=store, channels=table, **changed))

    def frame(self, base_ms: int | None = None, clock: int = 1, rows: int = 4) -> None:
        """A frame of readings; by default of this moment, three seconds apart."""
        story = self.story
        base_ms = story.now_ms - 10_000 if base_ms is None else base_ms
        told = tuple(
            (i % 2, 3000 * (i // 2), float_bits((story.seq * 7919 + i * 31) % 1000 / 16), 0, int(i % 2 == 0))
            for i in range(rows)
        )
        self.say(Readings(story.boot, story.seq, base_ms, clock, told))
        story.seq += rows

    def poll(self) -> None:
        """A reading of the bus."""
        index = len(self.intake._channels) - 1
        self.intake.poll("tank", [(index, self.story.now_ms - 50, float_bits(self.story.seq % 97 / 4), 0)])


def live(windows: int) -> Callable[[Run], Awaitable[None]]:
    """Readings arrive as they are made, and windows close, so many."""

    async def chapter(run: Run) -> None:
        for _ in range(windows * LENGTH_MS // STEP_MS):
            run.pass_ms(STEP_MS)
            run.frame()
            run.poll()
            await run.tick()

    return chapter


async def greeting(run: Run) -> None:
    run.greet()
    await run.tick()


def late(back_ms: int) -> Callable[[Run], Awaitable[None]]:
    """A reading of a window that is closed: a later revision."""

    async def chapter(run: Run) -> None:
        run.frame(run.story.now_ms - back_ms)
        await run.tick()
        run.pass_ms(5000)
        await run.tick()

    return chapter


async def restarted(run: Run) -> None:
    """The device started again, and did not know the time for a while; then it was told."""
    run.story.boot, run.story.seq = run.story.boot + 1, 1
    run.greet(clock=0, ticks_ms=5000, points=((0.0, 11.0), (100.0, 211.0)))
    run.frame(6000, clock=0)
    await run.tick()
