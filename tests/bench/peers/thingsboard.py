"""thingsboard-gateway in a virtual environment of its own: installed by name, configured as it comes.

Rule 1: its configuration is the one that its package brings, with as little changed as the work asks for:
        the broker, the storage, the instruments; and switched off is what costs it and is not the work:
        remote configuration, remote shell, statistics.
Rule 2: an instrument is one entry with an address range, the cheapest way it has: two requests of 100
        registers, as ours makes them. `single=True` gives every register an entry and a name of its own
        instead, as a facility names its channels: it then asks for each by itself.
Rule 3: nothing leaves the machine: its question whether there is a newer version goes to a closed port.

What it needs of ThingsBoard beside a broker is in thingsboard_side.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.peers.gateways import Gateway

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
NOWHERE = "http://127.0.0.1:9"
REGISTERS_MAX = 100
"""In a request; ours takes as many for 100 float32."""
STORAGES: dict[str, dict[str, Any]] = {
    "sqlite": {
        "type": "sqlite", "data_file_path": "./data/", "messages_ttl_check_in_hours": 1,
        "messages_ttl_in_days": 7, "max_read_records_count": 1000,
    },
    "file": {
        "type": "file", "data_folder_path": "./data/", "max_file_count": 10, "max_read_records_count": 10,
        "max_records_per_file": 10000,
    },
    "memory": {"type": "memory", "read_records_count": 100, "max_records_count": 100000},
}  # fmt: skip
"""As its documentation shows them; sqlite is the durable one that it batches, memory the default."""


def install(venv: Path) -> str:
    """Make the environment unless it is there; returns the version of the gateway in it."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        command = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", CONSTRAINTS]
        subprocess.run(command, check=True)
    asked = "from importlib.metadata import version; print(version('thingsboard-gateway'))"
    return subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()


class ThingsBoard(Gateway):
    """`storage` is one of STORAGES."""

    name = "thingsboard"
    stop_by = signal.SIGINT  # the only signal that it stops by; SIGTERM ends it as it is

    def __init__(self, folder: Path, venv: Path, storage: str = "sqlite", single: bool = False):
        super().__init__(folder)
        self._venv, self._storage, self._single = venv.resolve(), storage, single

    def configure(self, ports: list[int], quantities: int, poll_ms: int, mqtt_port: int) -> None:
        python = self._venv / "bin" / "python"
        brought = next(self._venv.glob("lib/python3*/site-packages/thingsboard_gateway/config"))
        config = self.folder / "config"
        config.mkdir()
        settings = json.loads((brought / "tb_gateway.json").read_text(encoding="utf-8"))
        settings["thingsboard"] |= {
            "host": "127.0.0.1", "port": mqtt_port, "remoteConfiguration": False, "remoteShell": False,
            "statistics": {"enable": False},
        }  # fmt: skip
        settings["storage"] = STORAGES[self._storage]
        settings["connectors"] = [{"type": "modbus", "name": "Modbus", "configuration": "modbus.json"}]
        slaves = [self._slave(i, port, quantities, poll_ms) for i, port in enumerate(ports)]
        (config / "tb_gateway.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
        (config / "modbus.json").write_text(json.dumps({"master": {"slaves": slaves}}), encoding="utf-8")
        (config / "logs.json").write_bytes((brought / "logs.json").read_bytes())
        self.command = [str(python), "-m", "thingsboard_gateway.tb_gateway"]
        self.environment |= {
            "TB_GW_CONFIG_DIR": str(config), "HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE,
            "https_proxy": NOWHERE, "http_proxy": NOWHERE,
        }  # fmt: skip
        self.environment.pop("PYTHONPATH", None)

    def _slave(self, instrument: int, port: int, quantities: int, poll_ms: int) -> dict[str, Any]:
        entry = {"type": "32float", "functionCode": 3, "objectsCount": 2}
        if self._single:
            timeseries = [entry | {"tag": f"q_{2 * q}", "address": 2 * q} for q in range(quantities)]
        else:
            timeseries = [
                entry
                | {
                    "tag": "q_${address}",
                    "address": f"0-{2 * quantities - 1}",
                    "maxRegistersPerRequest": REGISTERS_MAX,
                }
            ]
        return {
            "host": "127.0.0.1", "port": port, "type": "tcp", "method": "socket", "unitId": 1,
            "deviceName": f"I{instrument}", "deviceType": "default", "timeout": 35, "byteOrder": "BIG",
            "wordOrder": "BIG", "retries": 3, "pollPeriod": poll_ms, "connectAttemptTimeMs": 500,
            "connectAttemptCount": 5, "waitAfterFailedAttemptsMs": 30000,
            "attributes": [], "timeseries": timeseries, "attributeUpdates": [], "rpc": [],
        }  # fmt: skip
