"""How much of an RS-485 line the firmware uses in real time: eight units, one of them dead, three baud rates.

The line is simulator/paced_line.py in a process of its own, the firmware runs in MicroPython as it is, with
a gateway at its link that acknowledges. `limit_per_s` is what physics allows for the same requests: request,
3.5 characters of silence, answer, silence. `share_percent` leaves out what was spent on waiting for the dead
unit, which a short run asks more often than once a minute; `dead_asked` says how often.
tests/firmware/test_bus_physics.py has the exact figures, in virtual time, where computing costs nothing; here
a busy machine shows.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol import modbus
from simulator.child import dying_with_parent
from simulator.station import StationProcess, find_micropython
from simulator.stepped_link import GatewayEnd
from tools.bench.measure import cost_of, machine
from tools.people import Failure

ROOT = Path(__file__).resolve().parents[2]
DEVICE, KEY = "bench", bytes(range(32))
BAUDS = (9600, 19200, 115200)
UNITS, DEAD = tuple(range(1, 9)), 8
REGISTERS = 10
POLL_MS = {9600: 200, 19200: 100, 115200: 30}  # more often than the line can serve seven units
SETTLE_S = 4.0
NOTHING_WIRED = {
    "memory_records": 0, "inputs": [], "outputs": [], "analogs": [], "counters": [], "alarms": [],
    "store": {"thin_at": 0.5, "hold_ms": 2400},
}  # fmt: skip


def run(seconds: float) -> dict[str, Any]:
    """`value` is the share at the fastest rate, in percent; `rates` is the table."""
    if find_micropython() is None:
        raise Failure("There is no MicroPython here: set $MICROPYTHON to one.")
    began = time.monotonic()
    rates = [asyncio.run(_measure(baud, max(2.0, seconds / len(BAUDS)))) for baud in BAUDS]
    return {
        "name": "bus", "value": rates[-1]["share_percent"], "unit": "% of the line at 115,200 baud",
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(sum(rate["cpu_seconds"] for rate in rates), 2),
        "rss_mib": max(rate.pop("rss_mib") for rate in rates), "machine": machine(), "rates": rates,
    }  # fmt: skip


def device_directory(folder: Path, link: dict[str, Any], bus_path: str, baud: int, units: list[dict]) -> Path:
    """A device as provisioned, with one bus; `units` are those of `unit()`."""
    folder.mkdir()
    channels = 1 + max(value["channel"] for unit in units for value in unit["values"])
    station = {
        "buses": [
            {"id": "rs485", "kind": "rtu", "path": bus_path, "baud": baud, "parity": "N", "stopbits": 1}
        ],
        "units": units,
        "channels": [{"name": f"c{i}", "calibration": 0, "points": []} for i in range(channels)],
        **NOTHING_WIRED,
    }
    (folder / "identity.json").write_text(json.dumps({"id": DEVICE, "link": link}), encoding="ascii")
    (folder / "link.key").write_text(KEY.hex() + "\n", encoding="ascii")
    (folder / "station.json").write_text(json.dumps(station), encoding="ascii")
    return folder


def unit(number: int, channels: range, poll_ms: int, timeout_ms: int = 500) -> dict[str, Any]:
    """One instrument of the bench: one read of ten holding registers, floats from the first one on."""
    return {
        "bus": "rs485", "unit": number, "profile": "bench", "poll_ms": poll_ms, "phase_ms": 0,
        "timeout_ms": timeout_ms, "retries": 2, "gap_ms": 0, "start": [], "statuses": [],
        "reads": [{"function": 3, "address": 0, "count": REGISTERS}],
        "values": [
            {
                "channel": channel, "read": 0, "at": 2 * i, "type": "float32", "order": "ABCD",
                "multiply": 1, "divide": 1, "offset": 0, "min": None, "max": None, "status": None,
            }
            for i, channel in enumerate(channels)
        ],
    }  # fmt: skip


async def _measure(baud: int, seconds: float) -> dict[str, Any]:
    gateway = TcpGateway()
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as name:
        folder = Path(name)
        line = start_line(folder / "bus", baud)
        units = [unit(u, range(u - 1, u), 1000 if u == DEAD else POLL_MS[baud]) for u in UNITS]
        link = {"kind": "tcp", "host": "127.0.0.1", "port": await gateway.start()}
        station = StationProcess(device_directory(folder / "device", link, str(folder / "bus"), baud, units))
        try:
            await asyncio.to_thread(_next, line)  # the line is there
            await station.start()
            assert station.pid is not None
            await asyncio.sleep(SETTLE_S)
            first, cost = await asyncio.to_thread(_newest, line), cost_of(station.pid)
            await asyncio.sleep(seconds)
            last, after = await asyncio.to_thread(_newest, line), cost_of(station.pid)
        finally:
            await station.stop()
            end_line(line)
            await gateway.stop()
    found = {key: last[key] - first[key] for key in last}
    took_s = found["t"] - found["dead_s"]
    answer = 5 + 2 * REGISTERS
    limit = 1 / ((8 + answer) * 10 / baud + 2 * modbus.silence_us(baud) / 1e6)
    return {
        "baud": baud, "per_s": round(found["good"] / took_s, 2), "limit_per_s": round(limit, 2),
        "share_percent": round(100 * found["physics_s"] / took_s, 1), "dead_asked": found["dead"],
        "too_soon": found["too_soon"], "records": gateway.end.records,
        "cpu_seconds": round(after.cpu_s - cost.cpu_s, 2), "rss_mib": after.rss_mib,
    }  # fmt: skip


def start_line(path: Path, baud: int) -> subprocess.Popen[bytes]:
    """The paced line under a path, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "simulator.paced_line", str(path), str(baud), str(DEAD)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, preexec_fn=dying_with_parent(), bufsize=0,
    )  # fmt: skip


def end_line(line: subprocess.Popen[bytes]) -> None:
    assert line.stdin is not None and line.stdout is not None
    line.stdin.close()
    line.wait()
    line.stdout.close()


def _next(line: subprocess.Popen[bytes]) -> dict[str, float]:
    assert line.stdout is not None
    return json.loads(line.stdout.readline())


def _newest(line: subprocess.Popen[bytes]) -> dict[str, float]:
    """What it says next: the lines of the seconds in which nobody read have gathered."""
    asked = time.perf_counter()
    found = _next(line)
    while found["t"] < asked:
        found = _next(line)
    return found


class RealTime:
    """What simulator.stepped_link asks of its world, in real time."""

    @property
    def now_us(self) -> int:
        return time.monotonic_ns() // 1000

    def at(self, us: int, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(max(0.0, (us - self.now_us) / 1e6), act)

    def after(self, us: int, act: Callable[[], None]) -> None:
        self.at(self.now_us + us, act)


class TcpGateway:
    """A gateway's end that takes, forgets and acknowledges, on a loopback port. `end` has the counts."""

    def __init__(self) -> None:
        epoch_ms = round(time.time() * 1000) - time.monotonic_ns() // 1_000_000
        self.end = GatewayEnd(RealTime(), DEVICE, KEY, epoch_ms, baud=100_000_000)  # type: ignore[arg-type]

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = _Port(writer)
        self.end.opened(port)  # type: ignore[arg-type]
        try:
            while data := await reader.read(4096):
                self.end.received(port, data)  # type: ignore[arg-type]
        except ConnectionError:
            pass
        self.end.closed(port)  # type: ignore[arg-type]
        writer.close()

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()


class _Port:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.send, self.hang_up = writer.write, writer.close
