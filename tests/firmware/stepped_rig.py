"""A whole station in virtual time: the firmware in MicroPython, a bad line, a link that comes and goes."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

from protocol import messages, quality
from simulator.stepped import HOUR, SECOND, Stepped
from simulator.stepped_line import RtuLine, origin
from simulator.stepped_link import GatewayEnd
from tests.firmware.bench import DEVICE, KEY, ROOT, T, station, unit, value
from tests.protocol.test_runtimes import interpreter
from tools.station import bytecode

UNITS = (1, 2, 3, 4)
PER_UNIT = 3  # channels: unit u has those from 3 * (u - 1) on, in register pairs from 0
STEPPED = ("firmware.boards.stepped",)  # which no other module names


def compiled(folder: Path, short_names: bool = False) -> Path:
    """The firmware with the stepped board as bytecode. Who breaks it by private names needs long ones."""
    sources = {
        **bytecode.modules("unix"),
        **{name: ROOT / (name.replace(".", "/") + ".py") for name in STEPPED},
    }
    texts = {name: path.read_text(encoding="utf-8") for name, path in sources.items()}
    if short_names:
        texts = bytecode.shortened(texts)
    for name, path in sources.items():
        file = path.relative_to(ROOT)
        bytecode.compile_to(folder / file.with_suffix(".mpy"), texts[name], str(file))
    return folder


def directory(tmp_path: Path, units: list[dict], baud: int = 9600) -> Path:
    """A device's directory whose line and link are the peers "bus" and "link"."""
    made = station(tmp_path, {"kind": "serial", "path": "link", "baud": 115200}, units)
    table = json.loads((made / "station.json").read_text())
    table["buses"][0] |= {"path": "bus", "baud": baud}
    (made / "station.json").write_text(json.dumps(table))
    return made


def quantities(poll_ms: int, units=UNITS, timeout_ms: int = 500) -> list[dict]:
    return [
        unit(
            u,
            [value(PER_UNIT * (u - 1) + k, 2 * k) for k in range(PER_UNIT)],
            count=2 * PER_UNIT,
            poll_ms=poll_ms,
            timeout_ms=timeout_ms,
        )
        for u in units
    ]


class Rig:
    """World, line, gateway; every reading that arrives is held against what the line has given."""

    def __init__(
        self,
        tmp_path: Path,
        code: Path,
        heap: str,
        seed: int = 0,
        poll_ms: int = 10_000,
        baud: int = 9600,
        chances: dict | None = None,
        units=UNITS,
        timeout_ms: int = 500,
        **more,
    ) -> None:
        self.random = random.Random(seed)
        self.directory = directory(tmp_path, quantities(poll_ms, units, timeout_ms), baud)
        self.world = Stepped(interpreter(), self.directory, heap, code, seed, **more)
        self.line = RtuLine(self.world, units, baud, chances, seed)
        self.gateway = GatewayEnd(self.world, DEVICE, KEY, T, on_message=self._check)
        self.world.peers |= {"bus": self.line, "link": self.gateway}
        self.wrong: list[tuple] = []  # readings that nobody gave: must stay empty
        self.twice = 0  # readings that came under two names
        self.empty = 0  # readings without a number
        self.summed = 0  # readings that came as parts of a mean
        self.seen: dict[int, set[int]] = {}  # channel -> n of its readings
        self.calm: list[tuple[int, int]] = []  # (us, heap in use) whenever link and store were at rest

    def __enter__(self) -> Rig:
        self.world.start()
        return self

    def __exit__(self, *_) -> None:
        self.world.close()

    def _check(self, message) -> None:
        if isinstance(message, messages.Readings):
            for channel, _, bits, why, _ in message.rows:
                if bits is None:
                    self.empty += 1
                elif self._is(channel, bits) and why == quality.OK:
                    n = origin(bits)[2]
                    seen = self.seen.setdefault(channel, set())
                    self.twice += n in seen
                    seen.add(n)
                else:
                    self.wrong.append((channel, hex(bits), why))
        elif isinstance(message, messages.Summary):
            for channel, _, low, high, count, _, _ in message.rows:
                self.summed += count
                if not (self._is(channel, low) and self._is(channel, high)):
                    self.wrong.append((channel, hex(low), hex(high)))

    def _is(self, channel: int, bits: int) -> bool:
        unit_number, address, n = origin(bits)
        expected = channel // PER_UNIT + 1, channel % PER_UNIT * 2
        return (unit_number, address) == expected and n in self.line.given[unit_number]

    def unseen(self) -> int:
        """Readings that the line gave undisturbed and that never came to the gateway as such."""
        return sum(
            len(self.line.sure[u] - self.seen.get(PER_UNIT * (u - 1) + k, set()))
            for u in self.line.units
            for k in range(PER_UNIT)
        )

    def flap(self, down_s: tuple[float, float], up_s: tuple[float, float]) -> None:
        """From now on the link goes and comes back: durations drawn evenly on a logarithmic scale."""
        gateway, draw, world = self.gateway, self.random, self.world

        def wait(bounds: tuple[float, float]) -> int:
            return round(math.exp(draw.uniform(*map(math.log, bounds))) * SECOND)

        def down() -> None:
            gateway.set_state(draw.choice(("cut", "gone", "paused")))
            world.after(wait(down_s), up)

        def up() -> None:
            gateway.trusted = draw.random() > 0.1
            gateway.step_ms = draw.choice((0, 0, 0, 0, 3_000, -5_000))
            if draw.random() < 0.2:
                gateway.forget(*gateway.session.durable)
            gateway.set_state("up")
            self.downs += 1
            world.after(wait(up_s), down)

        self.downs = 0
        world.after(wait(up_s), down)

    def watch_heap(self, every_us: int) -> None:
        """Weigh the heap in like phases: the link up, nothing held back."""

        def weigh() -> None:
            last = self.world.last
            if self.gateway.state == "up" and last.get("state") == "LIVE" and last["held"] < 50:
                self.world.weigh()

        self.world.every(every_us, weigh)

    def drained(self) -> dict:
        """The link stays up, what is held goes out, the firmware ends: its last line."""
        self.gateway.trusted, self.gateway.step_ms = True, 0
        self.gateway.set_state("up")
        world = self.world
        world.run_until(lambda: world.last.get("state") == "LIVE" and world.last["held"] < 50, "all is sent")
        return world.stop()


def hourly(heaps: list[tuple[int, int, int]]) -> list[int]:
    """The least heap in use in each hour that was weighed."""
    lowest: dict[int, int] = {}
    for us, used, _ in heaps:
        hour = us // HOUR
        lowest[hour] = min(used, lowest.get(hour, used))
    return [lowest[hour] for hour in sorted(lowest)]
