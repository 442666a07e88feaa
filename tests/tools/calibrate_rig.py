"""A station whose one instrument drifts, for `quantrac station calibrate`: the real firmware in MicroPython,
the instrument on a pty, a real gateway that writes provincial files into a folder, a technician who types.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from protocol.instruments import load
from simulator.bus import RtuLine
from simulator.child import dying_with_parent
from simulator.clock import SimClock, mono_ms, write_timeline
from simulator.drifting import Drift, DriftingSignal, let_drift
from simulator.instruments import Instrument, Served
from simulator.pty import Pty
from simulator.signals import Shape
from simulator.station import StationProcess
from simulator.truth import Truth
from tests.gateway import app_rig
from tests.system.truth import Line, end_ms, read_file
from tools.station.build import write
from tools.station.folder import KEY, SITE, Folder

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "st-01"
POLL_MS = 5000
WINDOW_MS = 60_000
LEVEL = 120.0  # mg/l in the process
GAIN, OFFSET, NOISE = 0.8, 5.0, 0.2
LIMITS = {"zero_drift_max": 10.0, "span_drift_max": 10.0}
STANDARD = "VMI-22/118;100;1.0;2126-05-01"
WAIT_S = 90.0


def ends(folder: Path) -> tuple[Path, Path, Path]:
    """Of the cable: at the device, the gateway and the laptop."""
    return folder / "ttyDEVICE", folder / "ttyGATEWAY", folder / "ttyLAPTOP"


class Cable:
    """The device's serial cable: its other end is in the gateway, in the laptop, or nowhere."""

    def __init__(self, folder: Path) -> None:
        self.device, self.gateway, self.laptop = ends(folder)
        self._in: Path | None = self.gateway
        self._near = Pty(self.device, self._from_device)
        self._far = {
            end: Pty(end, lambda data, end=end: self._to_device(end, data))
            for end in (self.gateway, self.laptop)
        }

    def plug(self, end: Path | None) -> None:
        """Into this end; None: pulled."""
        self._in = end

    def unplug_laptop(self) -> None:
        """The adapter is pulled out of the laptop: its port is gone."""
        self._in = None
        self._far[self.laptop].close()

    def _from_device(self, data: bytes) -> None:
        if self._in is not None:
            self._far[self._in].write(data)

    def _to_device(self, end: Path, data: bytes) -> None:
        if end == self._in:
            self._near.write(data)

    def close(self) -> None:
        for pty in (self._near, *self._far.values()):
            pty.close()


class Bench:
    """Device, instrument and cable; times run `speed` times as fast. `probe` is moved into standards."""

    def __init__(self, path: Path, speed: int = 1, drift: Drift | None = None, **site: Any) -> None:
        self.path, self.speed = path, speed
        self._drift = drift or Drift(GAIN, OFFSET, noise=NOISE, response_s=2.0)
        self._site = site
        self.station = path / "station"
        self.device_files = path / "device"
        self.timeline = path / "timeline.json"
        self.clock: SimClock
        self.probe: DriftingSignal
        self.cable: Cable
        self.device: StationProcess

    async def __aenter__(self) -> Bench:
        self.path.mkdir(exist_ok=True)
        write_timeline(
            self.timeline, [[int(mono_ms()), time.time_ns() // 1_000_000 // 60_000 * 60_000, self.speed]]
        )
        self.clock = SimClock.from_file(self.timeline)
        self.truth = Truth(self.path / "truth.jsonl")
        served = Served("tss", "TSS", Shape(LEVEL, turbulence=1.0), POLL_MS / 1000)
        profile = load("generic-tss")
        instrument = Instrument(profile, 2, [served], self.clock, self.truth)
        self.probe = let_drift(instrument, "tss", self._drift)
        self.line = await RtuLine(self.path / "bus", [instrument.device]).start()
        self.instrument = instrument
        self.cable = Cable(self.path)
        self.prepare()
        self.device = await StationProcess(self.device_files, self.timeline).start()
        return self

    def prepare(self) -> None:
        """The station's folder, and the device's files."""
        site = {
            "id": DEVICE,
            "link": {"kind": "serial", "path": str(ends(self.path)[0]), "baud": 115200},
            "buses": [{"id": "rs485", "kind": "rtu", "path": str(self.path / "bus")}],
            "units": [
                {
                    "bus": "rs485", "unit": 2, "profile": "generic-tss", "quantities": ["tss"],
                    "poll_ms": POLL_MS, "phase_ms": POLL_MS // 2,
                }
            ],
            **self._site,
        }  # fmt: skip
        for folder in (self.station, self.device_files):
            folder.mkdir(exist_ok=True)
        (self.station / SITE).write_text(json.dumps(site))
        (self.station / KEY).write_text(app_rig.KEY.hex() + "\n")
        write(self.device_files, {**site, "key": app_rig.KEY.hex()})

    async def __aexit__(self, *_: object) -> None:
        await self.device.kill()
        self.cable.close()
        await self.line.stop()
        self.truth.close()

    @property
    def folder(self) -> Folder:
        return Folder.at(self.station)

    def move(self, standard: float | None) -> None:
        """The technician puts the probe there."""
        self.probe.move(self.clock.now_ms(), standard)

    def held(self) -> list[Any]:
        """[number, points as bits] that the device has on its flash; [] for nothing."""
        try:
            return json.loads((self.device_files / "state" / "calibration").read_text()).get("tss", [])
        except (FileNotFoundError, ValueError):
            return []

    def calibrate(self, *more: object, by: str = "Lan", module: str = "tools.cli") -> Technician:
        """The verb, to be begun with `async with`."""
        return Technician(self, module, ["tss", "--dir", self.station, "--by", by, *more])

    # The gateway --------------------------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        return self.path / "gw" / "config.toml"

    def configure(self) -> None:
        """The gateway's configuration."""
        folder = self.path / "gw"
        link = f"serial:{ends(self.path)[1]}?baud=115200"
        app_rig.write_config(
            folder,
            app_rig.device(folder, DEVICE, link),
            app_rig.device_channel("TSS", DEVICE, "tss", decimals=3, calibration=LIMITS),
            app_rig.directory(),
            window_minutes=WINDOW_MS // 60_000,
            grace_s=30,
        )

    def files(self) -> dict[int, Line]:
        """By the end of its window (Unix ms): the line of TSS in each provincial file."""
        found = {}
        for path in sorted((self.path / "gw" / "sent").rglob("*.txt")):
            (line,) = read_file(path)
            found[end_ms(path)] = line
        return found

    def true_mean(self, end_ms: int) -> float:
        """What really was in the process during a window."""
        times = range(end_ms - WINDOW_MS, end_ms, 1000)
        return sum(self.probe.truth(t) for t in times) / len(times)

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[app_rig.GatewayRun]:
        self.configure()
        async with app_rig.running(self.config, self.timeline) as running:
            yield running


class Technician:
    """The verb's process. `said` is what it printed; see() waits for words that have not been seen yet."""

    def __init__(self, bench: Bench, module: str, words: list[object]) -> None:
        self.bench = bench
        self._command = [sys.executable, "-m", module, "station", "calibrate", *map(str, words)]
        self.said = ""
        self._seen = 0
        self.process: asyncio.subprocess.Process
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Technician:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env=dict(os.environ, COLUMNS="80"),
            preexec_fn=dying_with_parent(),
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process.stdout
        while data := await self.process.stdout.read(4096):
            self.said += data.decode()

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader

    async def see(self, words: str, seconds: float = WAIT_S) -> None:
        """Wait until it says this, behind what was seen before."""
        end = time.monotonic() + seconds
        while words not in self.words[self._seen :]:
            assert not self._reader.done(), f"it ended without {words!r}:\n{self.said}"
            assert time.monotonic() < end, f"never said {words!r}:\n{self.said}"
            await asyncio.sleep(0.02)
        self._seen = self.words.index(words, self._seen) + len(words)

    def type(self, text: str = "") -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{text}\n".encode())

    def hang_up(self) -> None:
        """The end of its input."""
        assert self.process.stdin
        self.process.stdin.close()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def put(self, standard: float) -> None:
        """Asked for it, put the probe in and press Enter."""
        await self.see(f"standard of {standard:g} mg/l")
        self.bench.move(standard)
        self.type()

    @property
    def words(self) -> str:
        """What it said, without its line ends."""
        return " ".join(self.said.split())

    async def ended(self, seconds: float = WAIT_S) -> int:
        status = await asyncio.wait_for(self.process.wait(), seconds)
        await self._reader
        assert "Traceback" not in self.said, self.said
        for line in self.said.splitlines():
            assert len(line) <= 79 or "quantrac " in line or "/" in line or line.startswith("/"), line
        return status
