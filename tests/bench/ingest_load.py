"""How many readings a second the gateway takes in, durably: `run(seconds, devices)`.

A feeder in a process of its own connects as `devices` station devices over loopback TCP, greets, and sends
authentic frames of ten readings each as fast as acknowledgements allow. This process runs the real links,
device sessions, journal (WAL, synchronous=FULL) and windows. Station time in the frames runs fast enough that
windows close all along.

    python -m tests.bench.ingest_load [seconds] [devices]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

import psutil

from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake
from gateway.ingest.links import TcpDeviceLink
from gateway.journal.journal import Journal
from gateway.windows import Channel, Settings
from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Ack, Hello, Readings, Welcome, decode, encode
from protocol.reading import float_bits

ROWS = 10
"""Readings in a frame: one of each of a device's channels."""
STEP_MS = 1000
"""Station time between two frames of a device."""
IN_FLIGHT = 2048
"""Frames a feeder keeps unacknowledged, so that one commit's delay does not idle the link."""
READ_BYTES = 65536
KEY = bytes(range(32))
SPAN_MS = 50 * 86_400_000
"""How far before now the frames' time begins: a device that sends faster than that has its time step stop."""


def device_id(number: int) -> str:
    return f"bench-{number:02d}"


def hello_of(device: str, boot: int, first: int, nonce: bytes) -> Hello:
    channels = tuple((f"q{i}", STEP_MS, 0, ()) for i in range(ROWS))
    return Hello(1, "bench", device, boot, nonce, bytes(8), channels, boot, first, 1, 0, "bench")


def readings_of(boot: int, frame: int, base_ms: int) -> Readings:
    """Frame number `frame` from 0: ten readings, slowly changing."""
    value = float_bits(20.0 + frame % 512 / 64)
    rows = tuple((i, i * 37, value, 0, 0) for i in range(ROWS))
    return Readings(boot, frame * ROWS + 1, base_ms + frame * STEP_MS, 1, rows)


def feed(port: int, number: int, frames: int, base_ms: int, go, said) -> None:
    """One device: encode everything first, then send as acknowledgements come. Reports acknowledged
    records.
    """
    device = device_id(number)
    mac = Mac0(device, KEY)
    wire = [framing.encode(mac.seal(encode(readings_of(1, i, base_ms)))) for i in range(frames)]
    said.put(("ready", number, 0))
    go.wait()
    decoder = framing.Decoder()
    acked = sent = 0
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(framing.encode(mac.seal(encode(hello_of(device, 1, 1, bytes(7) + b"\x01")))))
        welcomed = False
        while acked < frames:
            if welcomed and sent < frames and sent - acked < IN_FLIGHT:
                until = min(frames, acked + IN_FLIGHT, sent + 256)
                link.sendall(b"".join(wire[sent:until]))
                sent = until
                if sent < frames and sent - acked < IN_FLIGHT:
                    link.setblocking(False)
                    try:
                        data = link.recv(READ_BYTES)
                    except BlockingIOError:
                        data = b""
                    link.setblocking(True)
                else:
                    data = link.recv(READ_BYTES)
            else:
                data = link.recv(READ_BYTES)
            for body in decoder.feed(data):
                message = decode(mac.open(body))
                welcomed = welcomed or type(message) is Welcome
                if type(message) is Ack:
                    acked = max(acked, message.seq // ROWS)
    said.put(("done", number, acked * ROWS))


def _feeder(ports: list[int], frames: int, base_ms: int, go, said) -> None:
    """The feeder's process: a thread for each device would share one interpreter, which is what it may
    cost.
    """
    import threading

    threads = [
        threading.Thread(target=feed, args=(port, n, frames, base_ms, go, said))
        for n, port in enumerate(ports)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _gateway(path: Path, frames: int, devices: int, context) -> dict:
    channels = [
        Channel(f"D{n}Q{i}", "mg/l", f"device/{device_id(n)}", f"q{i}")
        for n in range(devices)
        for i in range(ROWS)
    ]
    journal = Journal(path)
    now = lambda: Moment(time.time_ns() // 1_000_000, time.monotonic_ns())  # noqa: E731
    intake = Intake(journal, channels, Settings(), {device_id(n): KEY for n in range(devices)}, now)
    intake.open()
    journal.start()
    await intake.begin()
    links = [TcpDeviceLink(intake, intake.devices[device_id(n)], "127.0.0.1", 0) for n in range(devices)]
    for link in links:
        await link.listen()
    ticking = asyncio.create_task(intake.run())
    said, go = context.Queue(), context.Event()
    base_ms = time.time_ns() // 1_000_000 - SPAN_MS
    feeder = context.Process(target=_feeder, args=([link.port for link in links], frames, base_ms, go, said))
    feeder.start()
    for _ in range(devices):
        await asyncio.to_thread(said.get)
    cpu, commits, began = time.process_time(), journal.commits, time.perf_counter()
    go.set()
    acknowledged = sum([(await asyncio.to_thread(said.get))[2] for _ in range(devices)])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    commits = journal.commits - commits
    feeder.join()
    ticking.cancel()
    await intake.tick()
    for link in links:
        link.close()
    found = intake.count()
    await journal.close()
    journaled = sum(channel.journaled for channel in found.channels.values())
    return {
        "readings_per_s": round(acknowledged / seconds),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "acknowledged": acknowledged,
        "journaled": journaled,
        "windows": intake.windows.closed * len(channels),
        "fsyncs": commits,
        "pauses": journal.pauses,
        "rss_mib": round(psutil.Process().memory_info().rss / 2**20, 1),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "entries": journal.size,
    }


def run(seconds: float = 20.0, devices: int = 4, rate: int = 200_000, folder: str | None = None) -> dict:
    """Send about `seconds` worth of `rate` readings/s, and say how fast they went through.

    `folder` is where the journal is made (default: the system's temporary folder; on a memory disk an fsync
    costs nothing, so name a real one there).
    """
    context = multiprocessing.get_context("spawn")
    frames = int(seconds * rate / ROWS / devices)
    assert frames * STEP_MS < SPAN_MS, "use more devices: a device's frames would reach into the future"
    with tempfile.TemporaryDirectory(dir=folder) as made:
        return asyncio.run(_gateway(Path(made) / "journal.db", frames, devices, context))


if __name__ == "__main__":
    sys.setswitchinterval(float(os.environ.get("SWITCH_S", "0.005")))
    arguments = [float(argument) for argument in sys.argv[1:]]
    print(json.dumps(run(*arguments[:1], *map(int, arguments[1:2])), indent=1))
