"""What the demo itself noted, line by line, so that a run that is killed can be counted by the next one.

run/ledger.jsonl      the device's own counts by boot, and the station's clock
run/province.jsonl    every file in the order in which it reached its final name at the department
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.clock import mono_ms
from simulator.receivers import Arrival


class Ledger:
    """Appends to two files and knows what earlier runs wrote there."""

    def __init__(self, run: Path):
        self._devices: dict[int, dict[str, Any]] = {}
        self._names: list[str] = []
        self.last_ms: int | None = None
        for name in ("ledger.jsonl", "province.jsonl"):
            _cut(run / name)
        for row in _rows(run / "ledger.jsonl"):
            self._take(row)
        for row in _rows(run / "province.jsonl"):
            self._names.append(row["name"])
        self._file = (run / "ledger.jsonl").open("a", encoding="utf-8", buffering=1)
        self._province = (run / "province.jsonl").open("a", encoding="utf-8", buffering=1)
        self._noted = 0

    def _take(self, row: dict[str, Any]) -> None:
        if "boot" in row:
            self._devices[row["boot"]] = row
        if "station_ms" in row:
            self.last_ms = max(self.last_ms or 0, row["station_ms"])

    def _write(self, row: dict[str, Any]) -> None:
        self._take(row)
        self._file.write(json.dumps(row) + "\n")

    def device(self, line: dict[str, Any]) -> None:
        """A line of the device: boot, emitted, acked, final."""
        if line != self._devices.get(line["boot"]):
            self._write(dict(line))

    def heartbeat(self, station_ms: int) -> None:
        """The station has lived until this moment."""
        self._write({"station_ms": station_ms})

    def arrival(self, arrival: Arrival) -> None:
        """A file reached its final name."""
        self._noted += 1
        self._names.append(arrival.name)
        row = {
            "name": arrival.name,
            "size": arrival.size,
            "station_ms": arrival.time_ms,
            "mono_ms": int(mono_ms()),
        }
        self._province.write(json.dumps(row) + "\n")

    def close(self, arrivals: Sequence[Arrival]) -> None:
        """Note what came since the last look, and close."""
        for arrival in arrivals[self._noted :]:
            self.arrival(arrival)
        self._file.close()
        self._province.close()

    def emitted(self) -> dict[int, int]:
        """Boot -> records the device made."""
        return {boot: row["emitted"] for boot, row in self._devices.items()}

    def acknowledged(self) -> dict[int, int]:
        """Boot -> records the device was told are on disk."""
        return {boot: row["acked"] for boot, row in self._devices.items()}

    def drained(self) -> list[int]:
        """Boots whose device stopped in an orderly way: it held nothing any more."""
        return [boot for boot, row in self._devices.items() if row.get("final")]

    def arrivals(self) -> list[str]:
        """File names in the order of their arrival."""
        return list(self._names)


def _cut(path: Path) -> None:
    """Cut off a last line that a kill left half written: what is appended would become part of it."""
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON lines file; none when it is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
