"""What the two transports cost when nothing is polled, stored or proved: other people's own clients.

Rule 1: `mosquitto_pub -l` publishes, with QoS 1, the very messages that our gateway sent in this run.
Rule 2: OpenSSH's `sftp -b` puts and renames the files that our gateway puts, checks, renames and marks: that
        is `quantrac bench drain`, taken as it is.

Where mosquitto_pub is not installed, Debian's package is fetched and only unpacked, into the work folder.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.bench.peers.arrivals import Subscriber
from tests.servers.mosquitto import Mosquitto
from tools.bench import drain

PACKAGES = ("mosquitto-clients", "libmosquitto1", "libcjson1")
TURNS = 3
WAIT_S_MAX = 60.0


def mosquitto_pub(folder: Path) -> tuple[str, dict[str, str]]:
    """(the program, the environment that it needs)."""
    if installed := shutil.which("mosquitto_pub"):
        return installed, dict(os.environ)
    folder.mkdir(exist_ok=True)
    program = folder / "usr" / "bin" / "mosquitto_pub"
    if not program.exists():
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=folder, check=True, capture_output=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
    libraries = ":".join(str(path) for path in (folder / "usr" / "lib").glob("*/"))
    return str(program), {**os.environ, "LD_LIBRARY_PATH": libraries}


def publish(work: Path, payloads: list[bytes]) -> dict[str, Any]:
    """Medians of TURNS turns, each with a broker and a subscriber as the gateways have."""
    program, environment = mosquitto_pub(work / "mosquitto-clients")
    turns = [_publish(work / f"floor-{number}", program, environment, payloads) for number in range(TURNS)]
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}


def _publish(
    folder: Path, program: str, environment: dict[str, str], payloads: list[bytes]
) -> dict[str, Any]:
    broker = Mosquitto(folder)
    broker.start()
    subscriber = Subscriber(broker.port)
    try:
        command = [
            program,
            "-h",
            "127.0.0.1",
            "-p",
            str(broker.port),
            "-q",
            "1",
            "-t",
            "quantrac/floor",
            "-l",
        ]
        lines = b"\n".join(payloads) + b"\n"
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        process.stdin.write(lines)
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - began
        if process.returncode:
            raise RuntimeError(f"mosquitto_pub ended with {process.returncode}")
        until = time.monotonic() + WAIT_S_MAX
        while subscriber.look().messages < len(payloads) and time.monotonic() < until:
            time.sleep(0.1)
        cpu_s, readings = used.ru_utime + used.ru_stime, subscriber.count.arrived
        return {
            "messages": len(payloads), "arrived": subscriber.count.messages,
            "readings_per_s": round(readings / took), "cpu_us_per_reading": round(cpu_s / readings * 1e6, 2),
            "readings_per_cpu_s": round(readings / cpu_s), "rss_mib": round(used.ru_maxrss / 1024, 1),
        }  # fmt: skip
    finally:
        subscriber.stop()
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def files(seconds: float) -> dict[str, Any]:
    """Files a second to OpenSSH's server: ours, and sftp's own."""
    found = drain.run(seconds)
    return {"documents": found["documents"], **found["sftp"]}
