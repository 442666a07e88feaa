"""`quantrac simulate station`: the firmware on a folder, started again whenever it asks for a reset."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from simulator.station import StationProcess
from tools.people import UsageError

NEEDED = ("identity.json", "link.key")


def run_station(directory: Path, seconds: float | None, heap: str) -> int:
    """Run until `seconds` have passed, Ctrl-C or SIGTERM; every line it prints is printed.

    Returns its exit status. UsageError when `directory` is no device's folder.
    """
    missing = [name for name in NEEDED if not (directory / name).is_file()]
    if missing:
        raise UsageError(f"{directory} holds no {' and no '.join(missing)}: name a device's folder.")
    return asyncio.run(_run(directory, seconds, heap))


async def _run(directory: Path, seconds: float | None, heap: str) -> int:
    station = StationProcess(directory, heap=heap)
    station.on_line = lambda line: print(line, flush=True)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await station.start()
    ended = asyncio.create_task(station.ended())
    waiting = [ended, asyncio.create_task(stopped.wait())]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    await station.stop()
    for task in waiting:
        task.cancel()
    print(f"{station.runtime}, {station.restarts} restarts", flush=True)
    return station.returncode or 0
