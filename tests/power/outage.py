"""How many days of outage a station's flash holds: measured, printed as the table of the README.

    python -m tests.power.outage

Bytes per reading come from the real store writing real segments: readings of the simulator's scenes (slow
analysers that repeat their value for minutes, noisy flow and pH, registers rounded as the instruments do), on
the grid of their interval, with nobody acknowledging. How many bytes of segments a chip holds comes from a
real littlefs of its size, filled until the oldest segment had to go, with two packages of the whole firmware
on it (its slots) and the reserve kept, which has room for a third one. Days = held bytes / bytes a day; with
thinning (in brackets) the second half of the flash fills at the thinned rate.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random

from firmware.files import Files
from firmware.store import RESERVE
from protocol.reading import float_bits
from simulator.scene import KINDS, load_scene
from simulator.signals import Signal
from tests.firmware import update_rig
from tests.firmware.flash_rig import Station, T
from tests.power.rig import cuts
from tools.station import bytecode

BLOCK = 4096
FLASHES = (  # name, bytes of the file system
    ("Pico W", 848 * 1024),
    ("Pico", 1408 * 1024),
    ("ESP32, 2 MB of files", 2048 * 1024),
    ("Pico 2 W", 2560 * 1024),
)
PLANS = ((12, 60), (12, 10), (12, 1), (40, 60), (40, 10))  # channels, seconds between readings of each
NAMES = {60: "1/min", 10: "10 s", 1: "1 s"}
SLOW_S = 100  # an instrument that updates less often is an analyser: it keeps its time whatever it is asked
UNITS = 5  # instruments on one bus, asked one after another


class Channels:
    """The quantities of the scenes, one channel each, again and again until there are `n`."""

    def __init__(self, n: int, seed: int = 1) -> None:
        order = sorted(KINDS, key=lambda kind: kind not in ("surface-water", "wastewater"))
        quantities = [
            channel for kind in order for unit in load_scene(kind).units for channel in unit.channels
        ]
        chosen = [quantities[i % len(quantities)] for i in range(n)]
        self.channels = [(c, Signal(c.shape, seed + i, "outage", c.symbol)) for i, c in enumerate(chosen)]
        self.random = Random(seed)

    def read(self, channel: int, t_ms: int) -> int:
        """The raw bits that the device makes of the instrument's registers at Unix time `t_ms`."""
        scene, signal = self.channels[channel]
        if scene.update_s >= SLOW_S:
            step_ms = round(scene.update_s * 1000)
            t_ms = t_ms // step_ms * step_ms
        value = signal.value(t_ms)
        scale = scene.quantity.scale
        if scene.quantity.type != "float32":
            value = round(value / scale) * scale
        return float_bits(value)


def measure(n: int, interval_s: int, minutes: int, thinned: bool) -> tuple[float, float]:
    """(bytes a day on flash, bytes per reading) of `n` channels, from `minutes` of station time."""
    channels = Channels(n)
    with tempfile.TemporaryDirectory() as directory:
        station = Station(Files(directory), 7, ring=512, thin_at=0 if thinned else 100)
        store = station.store
        station.made = {}
        read = [0]

        def poll(station: Station) -> None:
            stamp = 0
            for channel in range(n):
                if channel % -(-n // UNITS) == 0:  # the next instrument answers a little later
                    stamp = station.clock.now() + channel * 7 + channels.random.randrange(15)
                read[0] += 1
                store.put(channel, (stamp, 1), channels.read(channel, T + station.board.now_ms), 0, 3)

        def run(ms: int) -> tuple[int, int]:
            station.go(ms, poll, interval_s * 1000)
            return sum(entry[3] for entry in store._segments.entries), read[0]

        settle_ms = 180_000  # thinning begins after a minute of silence, with a whole minute
        before = run(settle_ms)
        after = run(minutes * 60_000)
    used, readings = after[0] - before[0], after[1] - before[1]
    return used / minutes * 1440, used / readings


def package_bytes() -> int:
    """Of a package with the whole firmware for an RP2040."""
    with tempfile.TemporaryDirectory() as folder:
        bytecode.build(folder, port="rp2", arch="armv6m")
        return len(update_rig.make(Path(folder), ports=["rp2"]))


def fill(flash_bytes: int, package: int) -> dict:
    """What a littlefs of that size holds beside two packages: see fill.py."""
    return cuts("tests.power.fill", str(flash_bytes // BLOCK), str(RESERVE), str(package), heap="64m")


def days(held: int, plain: float, thin: float) -> tuple[float, float]:
    """Days without and with thinning from half of the flash on."""
    return held / plain, held / 2 / plain + held / 2 / min(plain, thin)


def main() -> None:
    package = package_bytes()
    held = {name: fill(flash, package) for name, flash in FLASHES}
    print(f"firmware: a package of {package:,} bytes, twice; reserve {RESERVE:,} bytes\n")
    for name, counts in held.items():
        print(f"{name}: {json.dumps(counts)}")
    print("\n| flash | records | " + " | ".join(f"{n} at {NAMES[s]}" for n, s in PLANS) + " |")
    print("|---|---|" + "---|" * len(PLANS))
    rates = []
    for n, interval_s in PLANS:
        minutes = 240 if interval_s == 60 else 60 if interval_s == 10 else 20
        plain, per_reading = measure(n, interval_s, minutes, False)
        thin = measure(n, interval_s, minutes, True)[0] if interval_s < 60 else plain
        rates.append((plain, thin, per_reading))
    for name, counts in held.items():
        cells = []
        for plain, thin, _ in rates:
            without, with_thinning = days(counts["held"], plain, thin)
            cells.append(f"{without:.1f}" if thin >= plain else f"{without:.1f} ({with_thinning:.1f})")
        print(f"| {name} | {counts['held'] // 1024} KB | " + " | ".join(cells) + " |")
    print("| bytes per reading | | " + " | ".join(f"{one[2]:.1f}" for one in rates) + " |")
    print(
        "| KB a day, thinned | | " + " | ".join(f"{p / 1024:.0f}, {t / 1024:.0f}" for p, t, _ in rates) + " |"
    )


if __name__ == "__main__":
    main()
