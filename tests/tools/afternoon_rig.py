"""A simulated site for what is no coroutine: a line, a cable and a running device, served by a thread.

with Site(folder) as site:
    site.serve([device, ...])           the instruments, on the pty `site.bus`
    site.power(board, rate=10)          the device on this directory, from now on; again: a power cut
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from pymodbus.simulator import SimDevice

from protocol.instruments import load
from protocol.profile import Profile
from simulator.bus import PtyPair, RtuLine
from simulator.clock import SimClock, mono_ms, write_timeline
from simulator.instruments import Instrument, Served
from simulator.signals import Shape
from simulator.station import StationProcess
from simulator.truth import Truth

HEAP = "256k"
WAIT_S = 60.0


class Site:
    """`bus` is the device's end of the line, `link` its end of the cable, `port` the technician's."""

    def __init__(
        self, path: Path, bus: Path | None = None, link: Path | None = None, port: Path | None = None
    ):
        self.path = path
        self.bus = bus or path / "bus"
        self.link = link or path / "link"
        self.port = port or path / "ttyACM0"
        self.clock = SimClock()
        self.truth = Truth(path / "truth.jsonl")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="site", daemon=True)
        self._line: RtuLine | None = None
        self._cable: PtyPair | None = None
        self._device: StationProcess | None = None

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.off()
        if self._cable is not None:
            self._do(self._cable.stop())
        if self._line is not None:
            self._do(self._line.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.truth.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def instrument(
        self, name: str | Profile, unit: int, shapes: dict[str, Shape], update_s: float
    ) -> Instrument:
        """An instrument of this profile; each quantity with a shape lives, at the pace of `update_s`."""
        profile = load(name) if isinstance(name, str) else name
        served = [
            Served(id, profile.quantity(id).symbol or id, shape, update_s) for id, shape in shapes.items()
        ]
        return Instrument(profile, unit, served, self.clock, self.truth)

    def serve(self, devices: list[SimDevice]) -> None:
        """Put them on the line, and the cable to the laptop."""
        self._line = RtuLine(self.bus, devices)
        self._do(self._line.start())
        self._cable = PtyPair(self.link, self.port)
        self._do(self._cable.start())

    def power(self, board: Path, rate: int = 1) -> None:
        """Start the device on `board`, its clock running `rate` times as fast; one that runs is cut off."""
        self.off()
        timeline = self.path / "timeline.json"
        write_timeline(timeline, [[int(mono_ms()), time.time_ns() // 1_000_000, rate]])
        self._device = StationProcess(board, timeline, heap=HEAP)
        if (board / "main.py").exists():  # out of its package, as on a board, and of nothing else
            self._device.more_environment = {"MICROPYPATH": ".frozen"}
        self._do(self._device.start())

    def off(self) -> None:
        """The device's power is cut."""
        if self._device is not None:
            self._do(self._device.kill())
            self._device = None
