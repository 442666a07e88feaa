"""A station on an emulated Pico: the firmware as a package, three cables, instruments, a gateway."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

from tests.emulated.pico import Instruments, Pico, Wire
from tests.firmware import update_rig as rig
from tests.firmware.bench import DEVICE, KEY, REST, ROOT, Gateway, T, unit, value
from tools.station import bytecode, package

LINK = {"kind": "serial", "path": "uart0 tx=0 rx=1", "baud": 115200}
LINE = {"kind": "rtu", "path": "uart1 tx=4 rx=5 de=6", "baud": 9600, "parity": "N", "stopbits": 1}


def image() -> Path:
    """The image that RP2_UF2 names: MicroPython 1.28 or newer for a board with an RP2040."""
    return Path(os.environ["RP2_UF2"]).resolve()


def files(
    folder: Path, units: tuple[int, ...], count: int, poll_ms: int, root: Path = ROOT
) -> dict[str, bytes]:
    """What provisioning writes: `count` floats of each unit, polled every poll_ms. root: of the sources."""
    bytecode.build(folder, port="rp2", root=root)
    made = rig.make(folder, version="0.1.0", counter=1, ports=["rp2"])
    polled = [
        unit(
            number,
            [value(first * count + i, 2 * i) for i in range(count)],
            count=2 * count,
            poll_ms=poll_ms,
            timeout_ms=300,
            retries=1,
        )
        for first, number in enumerate(units)
    ]
    channels = [{"name": f"c{i}", "calibration": i, "points": []} for i in range(len(units) * count)]
    station = {"buses": [{"id": "rs485", **LINE}], "units": polled, "channels": channels, **REST}
    return {
        **package.layout(made, package.public_text(rig.key(0))),
        "identity.json": json.dumps({"id": DEVICE, "link": LINK}).encode(),
        "link.key": KEY.hex().encode(),
        "station.json": json.dumps(station).encode(),
    }


class PicoStation:
    """pico, link and bus (Wire), instruments, gateway; powered on. Time everywhere is the emulator's."""

    def __init__(
        self,
        files: dict[str, bytes],
        units: tuple[int, ...],
        count: int,
        turnaround_s: float = 0.01,
        console: bool = False,
    ) -> None:
        self.link = Wire(0, LINK["baud"])
        self.bus = Wire(1, LINE["baud"], de=6)
        self.instruments = Instruments(self.bus, units, count, turnaround_s)
        self.gateway = Gateway(now_ms=lambda: T + int(1000 * self.pico.elapsed))
        self.gateway.write = self.link.send
        self.link.on_byte = lambda byte: self.gateway.feed(bytes((byte,)))
        self._units = units
        self._count = count
        self.pico = Pico(image(), files, (self.link, self.bus, self.instruments), console)

    def status(self) -> dict:
        """The newest status line, of a station with a console."""
        lines = [line for line in self.pico.text.splitlines() if line.startswith("{") and line.endswith("}")]
        return json.loads(lines[-1])

    def rows(self) -> list[tuple]:
        """(boot, seq, time_ms, clock, channel, raw_bits, quality) of the readings there, in order."""
        return [
            (boot, seq, *record[1:6])
            for (boot, seq), record in sorted(self.gateway.records.items())
            if record[0] == "row"
        ]

    def measured(self) -> dict[int, list[tuple[int, float]]]:
        """channel -> [(raw bits, seconds)] of every answer that an instrument gave."""
        said: dict[int, list[tuple[int, float]]] = {}
        for number, answer, seconds in self.instruments.answered:
            for i in range(self._count):
                channel = self._units.index(number) * self._count + i
                (bits,) = struct.unpack(">I", struct.pack(">f", 10000 * number + 1000 * i + answer))
                said.setdefault(channel, []).append((bits, seconds))
        return said
