"""A profile tried out on the whole path: simulator, line, the station's own firmware, its link.

Rule 1: what is compared is what the registers held with what the station reported, bit for bit.
Rule 2: nothing of it stays: folder, processes and ports end with the trial.
"""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import instruments
from protocol.profile import Profile
from simulator.bus import PtyPair, RtuLine
from simulator.clock import SimClock
from simulator.instruments import Instrument, Served
from simulator.signals import Shape
from simulator.station import StationProcess
from simulator.truth import Truth
from tools.people import Failure
from tools.station.build import build, write
from tools.station.link import Station, StationLink

KEY = "5a" * 32  # of a station that lives for seconds
UNIT = 1
PATIENCE_S = 90.0  # beyond what the instrument itself needs: a busy machine starts a process in seconds
BUILD_POLL_MS = 86_400_000


@dataclass(frozen=True)
class Measured:
    """One quantity: what the station reported (None: no number), and what the instrument held."""

    quantity: str
    value: float | None
    quality: str
    held: float

    @property
    def holds(self) -> bool:
        return self.quality == "OK" and self.value == self.held

    def row(self) -> dict[str, Any]:
        return {"quantity": self.quantity, "value": self.value, "quality": self.quality, "held": self.held}


async def trial(profile: Profile) -> list[Measured]:
    """What a station measures when the simulator serves this profile, each value once.

    Failure when the station reports nothing at all; ConfigError when its station.json cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="quantrac-profile-") as folder, instruments.lent(profile):
        return await _trial(profile, Path(folder))


async def _trial(profile: Profile, folder: Path) -> list[Measured]:
    async with AsyncExitStack() as stack:
        truth = Truth(folder / "truth.jsonl")
        stack.callback(truth.close)
        instrument = Instrument(profile, UNIT, [_steady(q) for q in profile.quantities], SimClock(), truth)
        line = await RtuLine(folder / "line", [instrument.device]).start()
        stack.push_async_callback(line.stop)
        cable = await PtyPair(folder / "device", folder / "here").start()
        stack.push_async_callback(cable.stop)
        link = await stack.enter_async_context(StationLink(str(folder / "here"), bytes.fromhex(KEY)))
        site = _site(profile, folder)
        write(folder, site)
        process = await StationProcess(folder).start()
        stack.push_async_callback(process.kill)
        station = await link.greeted(PATIENCE_S)
        wanted = {quantity.id for quantity in profile.quantities}
        patience_s = PATIENCE_S + 3 * site["units"][0]["poll_ms"] / 1000
        await link.wait(lambda: _complete(station, wanted), patience_s)
        return _measured(profile, station, truth.current())


def _steady(quantity: Any) -> Served:
    low, high = quantity.plausible
    return Served(quantity.id, quantity.id, Shape(level=low + 0.4 * (high - low)), quantity.update_s)


def _site(profile: Profile, folder: Path) -> dict[str, Any]:
    unit: dict[str, Any] = {"bus": "line", "unit": UNIT, "profile": profile.name, "poll_ms": BUILD_POLL_MS}
    unit |= {"timeout_ms": max(2000, profile.link.timeout_ms), "retries": 3}
    site = {
        "id": "trial",
        "key": KEY,
        "link": {"kind": "serial", "path": str(folder / "device"), "baud": 115200},
        "buses": [{"id": "line", "kind": "rtu", "path": str(folder / "line")}],
        "units": [unit],
    }
    reads = len(build(site)["units"][0]["reads"])
    waits_ms = sum(start.wait_ms for start in profile.starts)
    unit["poll_ms"] = 1000 + waits_ms * 3 // 2 + reads * (profile.link.gap_ms + 250)
    return site


def _complete(station: Station, wanted: set[str]) -> bool:
    """Whether every channel was reported, and none is still what a first poll may have missed."""
    known = station.readings
    return wanted <= set(known) and all(known[id].quality not in ("TIMEOUT", "OFFLINE") for id in wanted)


def _measured(profile: Profile, station: Station, held: dict[str, tuple[int, float]]) -> list[Measured]:
    if not station.readings:
        why = f" It says: {station.safe_mode}." if station.safe_mode else ""
        raise Failure(f"The station started and reported no reading of {profile.name}.{why}")
    rows = []
    for quantity in profile.quantities:
        reading = station.readings.get(quantity.id)
        value, quality = (None, "NOTHING") if reading is None else (reading.raw, reading.quality)
        rows.append(Measured(quantity.id, value, quality, held[quantity.id][1]))
    return rows
