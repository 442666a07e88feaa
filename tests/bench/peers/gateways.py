"""Two gateways that poll the same instruments over Modbus TCP and publish to the same broker, each in a
folder of its own, as a process that can be measured, killed and started again.

Rule 1: both are configured by the same table: the same registers as float32, ABCD, at the same interval.
Rule 2: what costs and is not the work is switched off in the peer (thingsboard.py says what), in ours not.
Rule 3: both end with whoever started them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from simulator.child import dying_with_parent
from tools.bench.measure import Cost, cost_of, written_by
from tools.bench.poll import modbus_config
from tools.demo.site import HOST, free_port, table

ROOT = Path(__file__).resolve().parents[3]
STOP_S_MAX = 20.0


class Gateway:
    """`name`; `configure()` writes what it needs into its folder, `command` runs it there."""

    name = ""
    tells_readings = True
    stop_by = signal.SIGTERM

    def __init__(self, folder: Path):
        self.folder = folder
        self.command: list[str] = []
        self.environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, ports: list[int], quantities: int, poll_ms: int, mqtt_port: int) -> None:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "said.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=dying_with_parent(), process_group=0,
            )  # fmt: skip

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was not started"
        return self._process

    def running(self) -> bool:
        return self.process.poll() is None

    def cost(self) -> Cost:
        return cost_of(self.process.pid)

    def written(self) -> int:
        return written_by(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As a service manager would; killed when it takes longer than STOP_S_MAX."""
        if self._process is None or not self.running():
            return
        self.process.send_signal(self.stop_by)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S_MAX)
        if self.running():
            self.kill()

    def last_words(self) -> str:
        text = (self.folder / "said.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-15:])


class Quantrac(Gateway):
    """This project's gateway, with everything it does: journal, windows, evidence, its page; `send` is what
    goes to the broker.
    """

    name = "quantrac"

    def __init__(self, folder: Path, send: str = "readings"):
        super().__init__(folder)
        self._send = send
        self.tells_readings = send == "readings"

    def configure(self, ports: list[int], quantities: int, poll_ms: int, mqtt_port: int) -> None:
        destination = table(
            "[[destination]]",
            {"id": "national", "kind": "mqtt", "host": HOST, "port": mqtt_port, "send": [self._send]},
        )
        config = self.folder / "config.toml"
        text = modbus_config(ports, quantities, poll_ms, free_port(), [destination])
        config.write_text(text, encoding="utf-8")
        self.command = [sys.executable, "-m", "tools.cli", "gateway", "run", str(config)]
        self.environment["PYTHONPATH"] = str(ROOT)
