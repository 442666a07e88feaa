"""A station with its folder, as `station new` leaves it, its real firmware, and a line that counts."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from pathlib import Path

from pymodbus.simulator import DataType, SimData, SimDevice

from protocol import registers
from simulator.bus import PtyPair, RtuLine
from simulator.station import StationProcess
from tests.firmware.bench import KEY, ROOT
from tools.station.build import write

ID = "st-01"
KEY_HEX = KEY.hex()
GATEWAY = """
[[device]]
id = "st-01"
link = "serial:/dev/ttyACM0?baud=115200"
key_file = "keys/st-01.link"

[[channel]]
symbol = "COD"
unit = "mg/l"
decimals = 2
source = { device = "st-01", quantity = "cod" }
limits = { max = 75.0, basis = "QCVN 40:2011 A" }

[[channel]]
symbol = "pH"
decimals = 2
source = { device = "st-01", quantity = "ph" }
limits = { min = 6.0, max = 9.0 }
"""


class CountingLine(RtuLine):
    """A line that counts for each unit, and spoils every n-th answer: `flips` and `drops`, unit -> n."""

    def __init__(self, path: Path, devices: list[SimDevice]) -> None:
        super().__init__(path, devices)
        self.asked: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.flipped: Counter[int] = Counter()
        self.dropped: Counter[int] = Counter()
        self.times: list[tuple[int, str, float]] = []
        self.flips: dict[int, int] = {}
        self.drops: dict[int, int] = {}

    async def _answer(self, request):
        self.asked[request.dev_id] += 1
        self.times.append((request.dev_id, "asked", time.monotonic()))
        return await super()._answer(request)

    async def _send(self, frame: bytes) -> None:
        unit = frame[0]
        self.answered[unit] += 1
        number = self.answered[unit]
        if unit in self.drops and number % self.drops[unit] == 0:
            self.dropped[unit] += 1
            self.silent += 1
            return
        if unit in self.flips and number % self.flips[unit] == 0:
            self.flipped[unit] += 1
            frame = frame[:3] + bytes([frame[3] ^ 0x10]) + frame[4:]
        elif frame[1] & 0x80:
            self.refused[unit] += 1
        self.times.append((unit, "answered", time.monotonic()))
        await super()._send(frame)


def device(number: int, words: dict[int, int]) -> SimDevice:
    """An instrument with these holding registers."""
    data = [SimData(at, values=[word], datatype=DataType.REGISTERS) for at, word in sorted(words.items())]
    return SimDevice(number, simdata=data)


def cod(number: int, value: float, order: str = "CDAB") -> SimDevice:
    """A hach-codmax2, which measures."""
    high, low = registers.encode(value, "float32", order)
    return device(number, {0: high, 1: low, 7: 0, 51: 0x0101})


def ph(number: int, value: int = 712, temperature: int = 253) -> SimDevice:
    """A supmea-sup-ph8001: hundredths of pH, tenths of a degree."""
    return device(number, {0: temperature, 1: value})


def unit(profile: str, number: int, **more) -> dict:
    given = {"bus": "rs485", "profile": profile, "unit": number, "poll_ms": 500, "timeout_ms": 200}
    return {**given, "baud": 9600, "parity": "N", "stopbits": 1, **more}


UNITS = (
    unit("supmea-sup-ph8001", 1, quantities=["ph", "temperature"]),
    unit("hach-codmax2", 2),
)


class Rig:
    """`folder` is the station's, `board` what its board holds, `port` the cable's end for the technician."""

    def __init__(self, path: Path, devices: list[SimDevice], units=UNITS, change=None, **more) -> None:
        self.path = path
        self.port, self.folder, self.board = path / "port", path / "folder", path / "board"
        bus = {"id": "rs485", "kind": "rtu", "path": str(path / "bus")}
        self.site = {
            "id": ID,
            "link": {"kind": "serial", "path": str(path / "link"), "baud": 115200},
            "buses": [{**bus, "baud": 9600, "parity": "N", "stopbits": 1}],
            "units": list(units),
            **more,
        }
        (self.folder / "device").mkdir(parents=True)
        (self.folder / "site.json").write_text(json.dumps(self.site))
        (self.folder / "link.key").write_text(KEY_HEX + "\n")
        (self.folder / "gateway.toml").write_text(GATEWAY)
        write(self.folder / "device", {**self.site, "key": KEY_HEX})
        if change:  # what station.json says otherwise
            file = self.folder / "device" / "station.json"
            station = json.loads(file.read_text())
            change(station)
            file.write_text(json.dumps(station))
        shutil.copytree(self.folder / "device", self.board)
        self.line = CountingLine(path / "bus", devices)

    async def __aenter__(self) -> Rig:
        await self.line.start()
        self.cable = await PtyPair(self.path / "link", self.port).start()
        self.device = await StationProcess(self.board).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.device.kill()
        await self.cable.stop()
        await self.line.stop()

    async def again(self) -> None:
        """Start the device anew: so it greets whoever comes next at once, not after 16 s."""
        await self.device.kill()
        self.device = await StationProcess(self.board).start()

    def pin(self, number: int) -> str:
        """The level of an output."""
        with contextlib.suppress(OSError):
            return (self.board / "io" / str(number)).read_text()
        return ""

    def set(self, number: int, level: int) -> None:
        """Close or open what is wired to an input."""
        (self.board / "io").mkdir(exist_ok=True)
        part = self.board / "io" / f"{number}.part"
        part.write_text(str(level))
        part.replace(self.board / "io" / str(number))


class Run:
    """`quantrac station ...` as a process: on pipes, or on a terminal of so many columns and lines."""

    def __init__(self, *arguments: object, size: tuple[int, int] | None = None) -> None:
        command = [sys.executable, "-m", "tools.cli", "station", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            environment.pop(name, None)
        self._ours = theirs = None
        if size:
            self._ours, theirs = os.openpty()
            set_size(theirs, *size)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True, close_fds=True,
            stdin=theirs or subprocess.PIPE, stdout=theirs or subprocess.PIPE,
            stderr=theirs or subprocess.STDOUT,
        )  # fmt: skip
        if theirs is not None:
            os.close(theirs)
        self.raw = b""

    @property
    def text(self) -> str:
        """What it printed, without what moves the cursor."""
        return plain(self.raw)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def type(self, text: str) -> None:
        os.write(self._ours if self._ours is not None else self.process.stdin.fileno(), text.encode())

    def _fetch(self) -> bool:
        """Whether there may be more."""
        fd = self._ours if self._ours is not None else self.process.stdout.fileno()
        while select.select([fd], [], [], 0)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the other end of the pty has gone
                data = b""
            if not data:
                return False
            self.raw += data
        return True

    async def until(self, what: str, seconds: float = 60.0, times: int = 1) -> None:
        """Wait until it has printed that, so often."""
        end = time.monotonic() + seconds
        while plain(self.raw).count(what) < times:
            alive = self._fetch()
            if plain(self.raw).count(what) >= times:
                return
            assert alive, f"it ended without {what!r}:\n{self.text}"
            assert time.monotonic() < end, f"never printed {what!r}:\n{self.text[-3000:]}"
            await asyncio.sleep(0.02)

    async def ended(self, seconds: float = 60.0) -> int:
        """Its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            self._fetch()
            assert time.monotonic() < end, f"never ended:\n{self.text[-3000:]}"
            await asyncio.sleep(0.02)
        self._fetch()
        self.close()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._fetch()
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None
        else:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()


def set_size(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def plain(raw: bytes) -> str:
    """Without ANSI sequences; a line that was drawn over another is a line of its own."""
    text = raw.decode("utf-8", "replace")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")
