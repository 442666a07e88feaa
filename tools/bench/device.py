"""What the station device costs: its processor's time on an RP2040, estimated, and its start, measured.

Twelve quantities at 1 Hz (four instruments at 9,600 baud), the link up. The firmware runs in virtual time on
MicroPython's unix port, from bytecode, counted, timed, and once more without either. How much slower an
RP2040 at 125 MHz is was measured for a few operations (SLOWER); each part of the work is scaled by the one
that is most like it. What is no part of its own ("all else": judging values, the poller, the store, the
session) is scaled like CBOR: calls, attributes, small objects. Turns of the event loop and collections of
garbage are counted, and cost what they cost there (RP2040_MS). The estimate is good to perhaps a third, and a
busy machine raises it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from simulator.child import dying_with_parent
from simulator.station import find_micropython
from simulator.stepped import SECOND, Stepped
from simulator.stepped_line import RtuLine
from simulator.stepped_link import GatewayEnd
from tools.bench.bus import DEVICE, KEY, ROOT, TcpGateway, device_directory, end_line, start_line, unit
from tools.bench.measure import machine
from tools.people import Failure
from tools.station import bytecode

SLOWER = {"crc16": 587, "hmac": 332, "cbor": 313}
"""How many times as long an RP2040 takes as the machine on which CRC_US was measured, by kind of work: a loop
over bytes, hashing, calls and small objects (20 fields encoded and decoded)."""
CRC_US = 12.6
"""CRC-16 of 256 bytes, with the table, on that machine: timed here, it tells how fast this one is now."""
RP2040_MS = {
    "turn": 0.5,  # of the event loop, to another task
    "collect": 22.0,  # garbage, with 130 KB in use
}
"""Measured on an emulated RP2040 that is about 20 % off the real one, as is SLOWER."""
GC_BYTES = 16384
"""Collected whenever so much has been allocated (gc.threshold of the boards)."""
TARGET_PERCENT = 40
INSTRUMENTS, PER_INSTRUMENT = 4, 3
SETTLE_S, MEASURE_S, HOARD_S = 30, 600, 20  # station time

CALIBRATE = """
import time
from protocol import modbus
data = bytes(range(256))
least = 1 << 60
for _ in range(20):
    began = time.ticks_us()
    for _ in range(200):
        modbus.crc16(data)
    least = min(least, time.ticks_us() - began)
print(least / 200)
"""

COUNT = """
import gc, json, sys, time
_spent = {"collect": [0, 0, 0]}
def _note(spent, us, most):  # calls, calls that nothing interrupted, us of those
    spent[0] += 1
    if us < most:
        spent[1] += 1
        spent[2] += us
def _count(owner, name, key):
    work = getattr(owner, name)
    spent = _spent.setdefault(key, [0, 0, 0])
    def counted(*arguments):
        began = time.ticks_us()
        try:
            return work(*arguments)
        finally:
            _note(spent, time.ticks_us() - began, 200)
    setattr(owner, name, counted)
class Collector:
    mem_alloc, mem_free = gc.mem_alloc, gc.mem_free
    def collect(self):
        began = time.ticks_us()
        if not HOARDS:
            gc.collect()
        _note(_spent["collect"], time.ticks_us() - began, 2000)
    def threshold(self, *n):
        return gc.threshold(-1 if HOARDS else n[0])
sys.modules["gc"] = Collector()
from firmware.boards import stepped
from protocol import cose, framing, messages, modbus
if TIMED:
    _count(modbus, "crc16", "crc16")
    _count(cose.Mac0, "seal", "hmac")
    _count(cose.Mac0, "open", "hmac")
    _count(messages, "encode", "cbor")
    _count(messages, "decode", "cbor")
    _count(framing, "encode", "framing")
    _count(stepped.Board, "wait_io_event", "turn")
stepped.Board.report = lambda self, text: self.send(
    82, 0, json.dumps({"spent": _spent, "allocated": gc.mem_alloc()}).encode(), False)
"""

WAIT = """
import asyncio, sys
from firmware.boards import stepped
board = stepped.Board(sys.argv[1], sys.argv[2:])
async def main():
    for _ in range(20000):
        await board.sleep_ms(1)
        if ASKS:
            board.send(84, 0, b"0")
    while True:
        await board.sleep_ms(100000)
asyncio.run(main())
"""


def run(seconds: float) -> dict[str, Any]:
    """`value` is the share of an RP2040 in percent; `budget` tells the parts; `start_s` is a median."""
    found = find_micropython()
    if found is None:
        raise Failure("There is no MicroPython here: set $MICROPYTHON to one.")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as name:
        folder = Path(name)
        compile_firmware(folder / "code")
        us = {"crc16 of 256 bytes": _calibrate(found, folder)}
        us["wait"], us["exchange"] = (_waiting(found, folder, asks) for asks in (False, True))
        timed = _station(found, folder / "timed", folder / "code", MEASURE_S, timed=True)
        plain = _station(found, folder / "plain", folder / "code", MEASURE_S)
        hoard = _station(found, folder / "hoard", folder / "code", HOARD_S, hoards=True)
        starts = sorted(asyncio.run(_start(found, folder / f"start{i}", folder / "code")) for i in range(5))
    budget = _budget(us, timed, plain, hoard["allocated"] / HOARD_S)
    return {
        "name": "device", "value": round(sum(budget.values()), 1), "unit": "% of an RP2040, estimated",
        "target_percent": TARGET_PERCENT, "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(plain["cpu_s"], 2), "rss_mib": plain["rss_mib"], "machine": machine(),
        "start_s": round(starts[2], 2), "slowest_start_s": round(starts[-1], 2), "budget": budget,
        "per_station_s": {
            "cpu_ms_here": round(1000 * plain["cpu_s"] / MEASURE_S, 3),
            "turns": round(timed["spent"]["turn"][0] / MEASURE_S, 1),
            "frames": round(timed["spent"]["framing"][0] / MEASURE_S, 2),
            "collections": round(timed["spent"]["collect"][0] / MEASURE_S, 2),
            "bytes_allocated": round(hoard["allocated"] / HOARD_S),
        },
        "us_here": {name: round(value, 2) for name, value in us.items()},
    }  # fmt: skip


def _budget(us: dict[str, float], timed: dict, plain: dict, allocated: float) -> dict[str, float]:
    """Percent of an RP2040, by part; `allocated` is bytes per station second."""

    def slower(name: str) -> float:
        return SLOWER[name] * CRC_US / us["crc16 of 256 bytes"]

    spent = {  # per second: calls, us
        name: (n / MEASURE_S, n / MEASURE_S * us_alone / max(1, alone))
        for name, (n, alone, us_alone) in timed["spent"].items()
    }
    ms = {name: spent[name][1] / 1000 * slower(name) for name in ("crc16", "hmac", "cbor")}
    turns, exchanges = spent["turn"][0], plain["exchanges"] / MEASURE_S
    ms["framing"] = spent["framing"][1] / 1000 * slower("cbor")
    ms["event loop"] = turns * RP2040_MS["turn"]
    asked, collect_us = spent["collect"]
    collections = max(asked, allocated / GC_BYTES)  # those that the poller asks for when idle, and the others
    ms["garbage"] = collections * RP2040_MS["collect"]
    apart_us = sum(spent[name][1] for name in ("crc16", "hmac", "cbor", "framing"))
    apart_us += (turns - exchanges) * us["wait"] + exchanges * us["exchange"]  # the simulation's own
    apart_us += collections * collect_us / max(asked, 0.01)
    rest_us = max(0.0, plain["cpu_s"] * 1e6 / MEASURE_S - apart_us)
    ms["all else"] = rest_us / 1000 * slower("cbor")
    return {name: round(value / 10, 2) for name, value in ms.items()}


def _waiting(micropython: Path, folder: Path, asks: bool) -> float:
    """CPU microseconds here of one wait in virtual time, with or without asking the controller."""
    world = Stepped(str(micropython), folder, "192k", folder / "code", prelude=f"ASKS = {asks}\n{WAIT}")
    try:
        world.start().run(1)
        began = world.process_user_s()
        world.run(40 * SECOND)
        return (world.process_user_s() - began) / 20000 * 1e6
    finally:
        world.close()


def compile_firmware(folder: Path) -> Path:
    """The firmware with the stepped board, as bytecode."""
    sources = {**bytecode.modules("unix"), "firmware.boards.stepped": ROOT / "firmware/boards/stepped.py"}
    for path in sources.values():
        file = path.relative_to(ROOT)
        bytecode.compile_to(folder / file.with_suffix(".mpy"), path.read_text(encoding="utf-8"), str(file))
    return folder


def _calibrate(micropython: Path, folder: Path) -> float:
    """Microseconds here for what took CRC_US there."""
    script = folder / "calibrate.py"
    script.write_text(CALIBRATE, encoding="ascii")
    done = subprocess.run(
        [micropython, "-X", "heapsize=16m", script], capture_output=True, text=True,
        env={**os.environ, "MICROPYPATH": f"{folder / 'code'}:.frozen"},
    )  # fmt: skip
    if done.returncode:
        raise Failure(f"The calibration did not run: {done.stdout}{done.stderr}")
    return float(done.stdout)


def _units() -> list[dict[str, Any]]:
    return [
        unit(u, range(PER_INSTRUMENT * (u - 1), PER_INSTRUMENT * u), 1000) for u in range(1, INSTRUMENTS + 1)
    ]


def _station(
    micropython: Path, folder: Path, code: Path, measure_s: int, timed: bool = False, hoards: bool = False
) -> dict[str, Any]:
    """A station in virtual time: user CPU seconds, exchanges, parts if timed, bytes if none is freed."""
    link = {"kind": "serial", "path": "link", "baud": 115200}
    directory = device_directory(folder, link, "bus", 9600, _units())
    world = Stepped(
        str(micropython), directory, "32m" if hoards else "192k", code,
        prelude=f"TIMED = {timed}\nHOARDS = {hoards}\n{COUNT}",
    )  # fmt: skip
    gateway = GatewayEnd(world, DEVICE, KEY, 1_760_000_000_000)
    world.peers |= {"bus": RtuLine(world, tuple(range(1, INSTRUMENTS + 1))), "link": gateway}
    try:
        world.start().run(SETTLE_S * SECOND)
        first, cpu_s, exchanges = world.last, world.process_user_s(), world.exchanges
        world.run((SETTLE_S + measure_s) * SECOND)
        last, cpu_s = world.last, world.process_user_s() - cpu_s
        rss = world.process_rss_mib()
    finally:
        world.close()
    expected = measure_s * INSTRUMENTS * PER_INSTRUMENT
    if gateway.readings < expected or world.crashes:
        raise Failure(f"Only {gateway.readings} of {expected} readings came. {world.crashes[:1]}")
    spent = {
        name: [after - before for before, after in zip(first["spent"][name], counts, strict=True)]
        for name, counts in last["spent"].items()
    }
    allocated = last["allocated"] - first["allocated"]
    exchanges = world.exchanges - exchanges
    return {"cpu_s": cpu_s, "allocated": allocated, "spent": spent, "exchanges": exchanges, "rss_mib": rss}


async def _start(micropython: Path, folder: Path, code: Path) -> float:
    """Seconds from starting the process to the first reading at the gateway, in real time."""
    read = asyncio.Event()
    gateway = TcpGateway()
    gateway.end.on_message = lambda message: read.set() if hasattr(message, "rows") else None
    folder.mkdir()
    line = start_line(folder / "bus", 9600)
    link = {"kind": "tcp", "host": "127.0.0.1", "port": await gateway.start()}
    directory = device_directory(folder / "device", link, str(folder / "bus"), 9600, [unit(1, range(3), 100)])
    while not (folder / "bus").exists():
        await asyncio.sleep(0.01)
    began = time.monotonic()
    device = await asyncio.create_subprocess_exec(
        micropython, "-X", "heapsize=256k", "-m", "firmware.main", directory,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=dying_with_parent(),
        env={**os.environ, "MICROPYPATH": f"{code}:.frozen"},
    )  # fmt: skip
    try:
        await asyncio.wait_for(read.wait(), 30)
        return time.monotonic() - began
    finally:
        device.kill()
        await device.wait()
        end_line(line)
        await gateway.stop()
