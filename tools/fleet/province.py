"""The province's scale: a thousand light gateways against one real broker and one real SFTP server.

All gateways close their windows at the same moments, as real ones do: clocks agree, so a department's servers
rest for five minutes and then get everything at once. That is what is measured: rounds, each a window of
every gateway, all queued at one instant. A round ends when every document of it is confirmed; the rounds are
spread over the time asked for, and none begins before the one before it has ended.

In the first round the connections are made, ABREAST at a time: a thousand key exchanges at once would not
measure the servers but this machine, on whose cores both ends of each of them lie.

Mosquitto and OpenSSH run as children of this process; their processor time and memory are the kernel's
figures. The senders share the cores with them: the rates are this machine's, not the servers' own limit.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.broker import running_broker
from tools.bench.measure import TICKS_PER_S, machine
from tools.bench.receivers import running
from tools.demo.site import HOST
from tools.fleet.light_gateway import WINDOW_MS, LightGateway
from tools.fleet.received import Listener, files, messages
from tools.people import Failure

ROUNDS = 4
GATEWAYS_MAX = 5000
FILES_A_GATEWAY = 6
"""Descriptors for each gateway: two connections at this end, and what servers and libraries hold."""
ROUND_S_MAX = 600.0
SSHD = ("MaxStartups 2000", "LoginGraceTime 600", "ForceCommand internal-sftp")
"""As a department sets it up: no shell, whose own start-up files would be read at each log-in."""
PATIENT = {"connect_timeout_s": 300, "timeout_s": 300, "keepalive_s": 300}
"""Of gateways that share one loop, and its cores with both servers. No network here could break."""
ABREAST = 16
"""Gateways that connect at a time."""
QUIET_S = 15.0
"""Without any message for so long, what has not come to the subscriber will not."""
ONE_TOO_MANY_S = 0.5
BASE_MS = 1_774_371_600_000
"""Windows end from 2026-03-25 00:00 in GMT+7 on: what is sent is the same in every run."""


@dataclass(frozen=True)
class ProvinceOptions:
    gateways: int
    channels: int = 10
    seconds: float = 60.0
    rounds: int = ROUNDS


def run_province(options: ProvinceOptions) -> dict[str, Any]:
    """Measure; the report as one object. Failure when a server is not installed, or a round does not end."""
    _allow_files(options.gateways * FILES_A_GATEWAY + 200)
    logging.getLogger("gateway.forward").setLevel(logging.CRITICAL)  # failures are counted
    with tempfile.TemporaryDirectory(prefix="quantrac-fleet-") as folder:
        path = Path(folder)
        with running_broker(path) as (broker, port), running("sftp", path / "sftp", SSHD) as receiver:
            sftp = receiver.settings | PATIENT
            mqtt = {"kind": "mqtt", "host": HOST, "port": port} | PATIENT
            gateways = [
                LightGateway(n, options.channels, sftp, mqtt, path) for n in range(1, options.gateways + 1)
            ]
            listener = Listener(port)
            found = asyncio.run(_run(gateways, options))
            _await_all(listener, _messages(gateways))
            listener.stop()
            received = {
                "messages": messages(gateways, listener.seen), "files": files(gateways, receiver.root)
            }  # fmt: skip
    return found | {
        "broker": broker, "machine": machine(), "holds": all(each.holds for each in received.values()),
        "received": {name: each.as_dict() for name, each in received.items()},
    }  # fmt: skip


def _messages(gateways: list[LightGateway]) -> int:
    return sum(document.destination == "national" for gateway in gateways for document in gateway.sent)


def _await_all(listener: Listener, wanted: int) -> None:
    """Until so many messages have come, and no more; or none for QUIET_S."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < (ONE_TOO_MANY_S if seen >= wanted else QUIET_S):
        if (now := sum(listener.seen.values())) != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.05)


def _allow_files(wanted: int) -> None:
    """So many open files for this process and the servers that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Failure(
            f"This system lets a process open {hard} files, and {wanted} are needed: "
            "raise it (ulimit -Hn, as root), or name fewer --gateways."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(gateways: list[LightGateway], options: ProvinceOptions) -> dict[str, Any]:
    for gateway in gateways:
        gateway.start()
    servers = {"mosquitto": _Server("mosquitto"), "sshd": _Server("sshd")}
    rounds, interval_s = [], options.seconds / options.rounds
    try:
        for number in range(options.rounds):
            began = time.monotonic()
            rounds.append(await _round(gateways, number, servers))
            if number + 1 < options.rounds:
                await asyncio.sleep(max(0.0, began + interval_s - time.monotonic()))
        memory = {name: server.memory() for name, server in servers.items()}
    finally:
        await asyncio.gather(*(gateway.stop() for gateway in gateways))
    bodies = [document for gateway in gateways for document in gateway.sent]
    later = rounds[1:] or rounds
    return {
        "name": "fleet-province", "unit": "documents/s",
        "value": round(sum(r["documents"] for r in later) / sum(r["seconds"] for r in later)),
        "seconds": round(sum(r["seconds"] for r in rounds), 1),
        "gateways": len(gateways), "channels": options.channels, "abreast": ABREAST,
        "rounds": rounds, "servers": memory,
        "bytes": {
            kind: round(sum(sizes) / len(sizes))
            for kind in sorted({(d.destination, d.kind) for d in bodies})
            if (sizes := [len(d.body) for d in bodies if (d.destination, d.kind) == kind])
            for kind in ["/".join(kind)]
        },
        "failures": sum(gateway.outbox.failures for gateway in gateways),
        "parked": sum(len(gateway.outbox.parked) for gateway in gateways),
    }  # fmt: skip


async def _round(gateways: list[LightGateway], number: int, servers: dict[str, _Server]) -> dict[str, Any]:
    before = {name: server.cpu_s() for name, server in servers.items()}
    own, began = time.process_time(), time.monotonic()
    first = {gateway.number: len(gateway.sent) for gateway in gateways}
    try:
        async with asyncio.timeout(ROUND_S_MAX):
            await _send(gateways, BASE_MS + (number + 1) * WINDOW_MS, 0 if number else ABREAST)
    except TimeoutError:
        raise Failure(
            f"A round was not confirmed within {ROUND_S_MAX:.0f} s: name fewer --gateways."
        ) from None
    took = time.monotonic() - began
    delays: dict[str, list[float]] = {"province": [], "national": []}
    for gateway in gateways:
        for id in range(first[gateway.number] + 1, len(gateway.sent) + 1):
            if id in gateway.outbox.confirmed:
                document, delay_s = gateway.outbox.confirmed[id]
                delays[document.destination].append(delay_s)
    return {
        "round": number + 1, "documents": sum(map(len, delays.values())), "seconds": round(took, 2),
        "sender_cpu_s": round(time.process_time() - own, 2),
        **{f"{name}_cpu_s": round(server.cpu_s() - before[name], 2) for name, server in servers.items()},
        **{f"{name}_{word}_s": s for name, each in delays.items() for word, s in _shares(each).items()},
    }  # fmt: skip


async def _send(gateways: list[LightGateway], end_ms: int, abreast: int) -> None:
    """A window of every gateway, until all is confirmed: of so many at a time, or of all at once (0)."""
    places = asyncio.Semaphore(abreast or len(gateways))

    async def send(gateway: LightGateway) -> None:
        async with places:
            gateway.close_window(end_ms)
            await gateway.outbox.drained()

    await asyncio.gather(*(send(gateway) for gateway in gateways))


def _shares(delays: list[float]) -> dict[str, float]:
    ordered = sorted(delays) or [0.0]
    return {
        word: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)
        for word, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


class _Server:
    """A server that is a child of this process, with all of its own children."""

    def __init__(self, name: str):
        self._pid = next((pid for pid in _children("self") if _name(pid) == name), None)

    def _all(self) -> list[int]:
        found, new = [], [self._pid] if self._pid else []
        while new:
            found += new
            new = [child for pid in new for child in _children(str(pid))]
        return found

    def cpu_s(self) -> float:
        """Processor time so far, of those that have ended as well; 0 where it is no process of its own."""
        ticks = 0
        for place, pid in enumerate(self._all()):
            fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15] if not place else fields[11:13]))
        return ticks / TICKS_PER_S

    def memory(self) -> dict[str, float]:
        """Processes, and their memory in MiB; what they share is counted once (Pss)."""
        kib, pids = 0, self._all()
        for pid in pids:
            for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
        return {"processes": len(pids), "mib": round(kib / 1024, 1)}


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # it ended meanwhile


def _name(pid: int) -> str:
    return _read(f"/proc/{pid}/comm").strip()


def _children(of: str) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{of}/task").glob("*"):
        found += map(int, _read(f"{task}/children").split())
    return found
