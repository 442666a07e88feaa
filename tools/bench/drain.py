"""Documents a second of a backlog, two weeks of 5-minute files, to other people's servers on loopback.

The real gateway finds them in its outbox and puts, checks, renames and marks each one before it begins the
next. Beside it, on the same server in the same run, the servers' own clients put and rename the same files
(`sftp -b`, `lftp`): they check no size, sync no disk and keep no outbox. All take turns over parts of
the files, in another order each time, and the medians are compared: one long turn after the other would each
meet another load of the machine, and the ratio would say more about that than about the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway.counters import Counters
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.reports.layout import PRESETS, folder, stamp
from tools.bench.ingest import write_config
from tools.bench.measure import cost_of, machine
from tools.bench.receivers import CLIENT_S_MAX, Receiver, program, running
from tools.demo.site import free_port, table
from tools.gateway_process import GatewayProcess
from tools.people import Failure

KINDS = ("sftp", "ftp", "ftps")
DOCUMENTS = 4032
"""Two weeks of 5-minute files; fewer when less than 20 s are given."""
T0 = 1_774_371_600_000
ROUNDS = 5
"""Turns of each; the medians count."""
LINES = 12
"""Of a file: twelve parameters, half a kilobyte."""


def run(seconds: float) -> dict[str, Any]:
    """`value` is documents a second to an SFTP server; each kind, with what its clients did, follows."""
    count = DOCUMENTS if seconds >= 20 else max(int(DOCUMENTS * seconds / 20), 50)
    began, figures, cpu, peak = time.monotonic(), {}, 0.0, 0.0
    for kind in KINDS:
        figures[kind], cpu_s, peak_mib = _kind(kind, count)
        cpu, peak = cpu + cpu_s, max(peak, peak_mib)
    return {
        "name": "drain", "value": figures["sftp"]["documents_s"], "unit": "documents/s",
        "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(cpu, 2), "rss_mib": peak,
        "machine": machine(), "documents": count, **figures,
        "lost": sum(figure.pop("lost") for figure in figures.values()),
    }  # fmt: skip


def _kind(kind: str, count: int) -> tuple[dict[str, Any], float, float]:
    rates: dict[str, list[float]] = {}
    cpu, peak, lost, part = 0.0, 0.0, 0, max(count // ROUNDS, 1)
    for turn in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as temporary:
            path = Path(temporary)
            with running(kind, path / "server") as receiver:
                takers = ["gateway", *(name for name in receiver.clients if program(name))]
                for name in takers[turn % len(takers) :] + takers[: turn % len(takers)]:
                    if name == "gateway":
                        took, cpu_s, peak_mib = asyncio.run(_gateway(path, receiver, part))
                        cpu, peak = cpu + cpu_s, max(peak, peak_mib)
                        rates.setdefault(name, []).append(part / took)
                        lost += _missing(receiver, part)
                    else:
                        rate = _client(name, receiver.clients[name], path, receiver, part)
                        rates.setdefault(name, []).append(rate)
    ours = statistics.median(rates["gateway"])
    figure: dict[str, Any] = {
        "documents_s": round(ours, 1), "cpu_ms_each": round(cpu / (part * ROUNDS) * 1000, 2),
    }  # fmt: skip
    for name, each in rates.items():
        if name != "gateway":
            theirs = statistics.median(each)
            figure |= {f"{name}_s": round(theirs, 1), f"of_{name}": round(ours / theirs, 2)}
    figure["turns"] = {name: [round(rate, 1) for rate in each] for name, each in rates.items()}
    return figure | {"lost": lost}, cpu, peak


def _missing(receiver: Receiver, count: int) -> int:
    found = ((receiver.root / where / name, body) for where, name, body in _documents(count))
    return sum(not path.is_file() or path.read_bytes() != body for path, body in found)


def _documents(count: int, station: str = "NUO001") -> list[tuple[str, str, bytes]]:
    """(folder, name, bytes) of each, oldest first."""
    made = []
    for i in range(count):
        at_ms = T0 + i * 300_000
        body = "".join(f"S{n}\t{i}.{n:04d}\tmg/l\t{stamp(at_ms)}\t00\r\n" for n in range(LINES))
        made.append(
            (
                folder(PRESETS["default"], station, at_ms),
                f"LCa_LOAD_{station}_{stamp(at_ms)}.txt",
                body.encode(),
            )
        )
    return made


def _client(name: str, command: list[str], path: Path, receiver: Receiver, count: int) -> float:
    """Files a second that another client puts and renames."""
    local, documents = path / "local", _documents(count, name)
    local.mkdir(exist_ok=True)
    top, put, move = {
        "sftp": (f"{receiver.root}/", "put {file} {to}.part", "rename {to}.part {to}"),
        "lftp": ("", "put {file} -o {to}.part", "mv {to}.part {to}"),
    }[name]
    if name == "lftp" and receiver.settings["kind"] == "sftp":
        top = f"{receiver.root}/"
    folders = list(dict.fromkeys(where for where, _, _ in documents))
    lines = [
        f"-mkdir {top}{part}" if name == "sftp" else f"mkdir -p -f {top}{part}" for part in _parents(folders)
    ]
    for where, file, body in documents:
        (local / file).write_bytes(body)
        lines += [line.format(file=local / file, to=f"{top}{where}/{file}") for line in (put, move)]
    script = path / f"{name}.script"
    script.write_text("\n".join(lines) + "\n")
    began = time.monotonic()
    done = subprocess.run(
        [part.replace("{script}", str(script)) for part in command],
        capture_output=True, text=True, timeout=CLIENT_S_MAX, cwd=path,
        env={"HOME": str(path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    took = time.monotonic() - began
    there = [(receiver.root / where / file).is_file() for where, file, _ in documents]
    if not all(there):
        raise Failure(f"{name} sent {sum(there)} of {count} files: {done.stderr[-500:]}")
    return count / took


def _parents(folders: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for one in folders:
        parts = one.split("/")
        found |= {"/".join(parts[: n + 1]): None for n in range(len(parts))}
    return list(found)


async def _gateway(path: Path, receiver: Receiver, count: int) -> tuple[float, float, float]:
    """(seconds from the first file's arrival to the last mark, CPU seconds, MiB at the most)."""
    site = path / "site"
    site.mkdir()
    config = write_config(site, {"load-0": b"k" * 32}, {"load-0": free_port()})
    with config.open("a", encoding="utf-8") as file:
        file.write("\n" + table("[[destination]]", {"id": "province", **receiver.settings}))
    documents = _documents(count)
    journal = Journal(site / "gateway" / "journal.db")
    journal.open(["gateway"])
    journal.start()
    outbox = JournalOutbox(journal, lambda: T0, Counters())
    await outbox.queue([
        ("province", f"window/{i}", "windows", name, where, T0 + i * 300_000, body)
        for i, (where, name, body) in enumerate(documents)
    ])  # fmt: skip
    await journal.close()
    gateway = GatewayProcess(config, None, site)
    await gateway.start()
    try:
        assert gateway.process is not None
        first = receiver.root / documents[0][0] / documents[0][1]
        await _until(first.is_file, gateway)
        began, before = time.monotonic(), cost_of(gateway.process.pid)
        await _until(lambda: _marked(site / "gateway" / "journal.db") == count, gateway)
        after = cost_of(gateway.process.pid)
        return time.monotonic() - began, after.cpu_s - before.cpu_s, after.peak_mib
    finally:
        await gateway.stop()


async def _until(true: Any, gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + CLIENT_S_MAX
    while not await asyncio.to_thread(true):
        if time.monotonic() > deadline:
            raise Failure(f"The backlog did not drain. The gateway's last words:\n{gateway.last_words()}")
        await asyncio.sleep(0.1)


def _marked(journal: Path) -> int:
    with contextlib.closing(sqlite3.connect(journal)) as opened:
        return opened.execute("SELECT COUNT(*) FROM outbox WHERE state = 1").fetchone()[0]
