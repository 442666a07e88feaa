"""How long `quantrac verify` takes for a bundle of 100,000 entries: the command itself, as people start it.

The journal is made by the gateway's own intake, in this process, on a clock that runs as fast as it can:
frames of ten readings, two quantities, one of them calibrated; a window every thousand of them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway.config import load
from gateway.documents import documents
from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake, channels_of, settings_of
from gateway.journal.checkpoints import VKEY_FILE, Checkpoints, origin
from gateway.journal.journal import Journal
from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Hello, Readings, encode
from protocol.reading import float_bits
from tools.bench.measure import machine
from tools.demo.site import table
from tools.log.export import export

ENTRIES = 100_000
WINDOW_FRAMES = 1000
ROWS = 10
ROUNDS = 3
START_MS = 1_774_397_100_000  # 2026-03-25 07:05:00 +07
WINDOW_MS = 300_000
POINTS = ((0.0, 10.0), (100.0, 210.0))
STATION = {"province": "LCa", "facility": "DEMO", "code": "NUO001", "name": "bench", "kind": "wastewater"}


def run(seconds: float, entries: int = ENTRIES) -> dict[str, Any]:
    """`value` is the median in seconds; `seconds` of the argument is not needed here."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        config = _site(Path(folder))
        asyncio.run(_fill(config, -(-entries // WINDOW_FRAMES) + 1))
        bundle = Path(folder) / "bundle"
        manifest = export(config, START_MS, 1 << 50, bundle).manifest
        took = [_verify(bundle, config.parent / VKEY_FILE) for _ in range(ROUNDS)]
    middle = sorted(took)[ROUNDS // 2]
    return {
        "name": "verify", "value": round(middle[0], 2), "unit": "s",
        "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(middle[1], 2),
        "rss_mib": middle[2], "machine": machine(), "entries": manifest.last - manifest.first + 1,
        "windows": manifest.windows, "entries_per_s": round((manifest.last + 1) / middle[0]),
    }  # fmt: skip


def _site(folder: Path) -> Path:
    (folder / "st-01.link").touch(0o600)
    (folder / "st-01.link").write_text(secrets.token_hex(32))
    device = {"id": "st-01", "link": "tcp-listen://127.0.0.1:7311", "key_file": "st-01.link"}
    channels = [
        {"symbol": name.upper(), "unit": "mg/l", "source": {"device": "st-01", "quantity": name}}
        for name in ("cod", "tss")
    ]
    parts = [
        table("[station]", STATION),
        table("[gateway]", {"state_dir": "."}),
        table("[[device]]", device),
        *(table("[[channel]]", channel) for channel in channels),
        table("[[destination]]", {"id": "sent", "kind": "directory", "path": "sent"}),
    ]
    path = folder / "config.toml"
    path.write_text("\n".join(parts), "utf-8")
    return path


async def _fill(path: Path, windows: int) -> None:
    config = load(path)
    name = origin(*list(STATION.values())[:3])
    state_dir = config.gateway.state_dir
    now_ms = START_MS
    journal = Journal(state_dir / "journal.db", checkpoints=Checkpoints(state_dir, name))
    key = bytes.fromhex(config.device[0].key_file.read_text())
    intake = Intake(
        journal, channels_of(config), settings_of(config)._replace(start_grace_s=0.0, back_grace_s=0.0),
        {"st-01": key}, lambda: Moment(now_ms, (now_ms - START_MS) * 1_000_000),
        lambda windows: documents(config, windows),
    )  # fmt: skip
    intake.open()
    journal.start()
    await intake.begin()
    seal = Mac0("st-01", key).seal

    def say(message: Any) -> None:
        intake.feed(intake.devices["st-01"], framing.encode(seal(encode(message))), lambda: None)

    step_ms = WINDOW_MS // WINDOW_FRAMES
    table_said = (("cod", step_ms * 2 // ROWS, 1, POINTS), ("tss", step_ms * 2 // ROWS, 0, ()))
    say(Hello(1, "bench", "st-01", 1, bytes(8), bytes(8), table_said, 1, 1, 1, 0, "bench"))
    for frame in range(windows * WINDOW_FRAMES):
        base_ms, now_ms = now_ms, now_ms + step_ms
        rows = tuple(
            (i % 2, i * step_ms // ROWS, float_bits((frame * 7919 + i) % 800 / 8), 0, 1 - i % 2)
            for i in range(ROWS)
        )
        say(Readings(1, 1 + frame * ROWS, base_ms, 1, rows))
        if frame % 100 == 99:
            await journal.commit()
            await intake.tick()
    await journal.close(30.0)


def _verify(bundle: Path, vkey: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds, peak MiB)"""
    command = [sys.executable, "-m", "tools.cli", "verify", str(bundle), "--vkey", str(vkey)]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError("the bundle that was just made does not hold")
    return time.monotonic() - start, used.ru_utime + used.ru_stime, round(used.ru_maxrss / 1024, 1)
