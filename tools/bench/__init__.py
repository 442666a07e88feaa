"""`quantrac bench`: the figures, each measured on the real gateway or device from outside it.

One JSON object each: name, value, unit, seconds, cpu_seconds, rss_mib, machine, and what else the reader
needs to judge it. Figures of two runs are comparable only on one machine at one time: machines are noisy.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

from rich.console import Console

from tools.people import DOES_NOT_HOLD, UsageError

NAMES = {
    "ingest": "readings/s through authentication, journal with full durability and acknowledgement",
    "poll": "readings/s from Modbus TCP through the journal to an MQTT broker (QoS 1)",
    "card": "bytes a second written to the memory card at one station's load (20 readings/s)",
    "drain": "documents/s of two weeks' files to SFTP, FTP and FTPS servers, beside their own clients",
    "verify": "quantrac verify of a bundle of 100,000 entries",
    "receipt": "the receipt of one entry, and a checkpoint, in a log of 10,000,000 entries (takes minutes)",
    "report": "quantrac report of a year of 12 channels in 5-minute windows, all files",
    "page": "the gateway's page with a year of data behind it: answers, and what looking at it costs",
    "query": "the query of a day's chart in that journal",
    "memory": "resident memory of the gateway at the demo's load",
    "startup": "from the command to a gateway that is ready",
    "bus": "share of an RS-485 line that the device uses, of what physics allows",
    "device": "estimated share of an RP2040 for twelve quantities a second; start to first reading",
}


def run_benches(name: str | None, seconds: float, as_json: bool) -> int:
    """Run one bench or all, print each result; returns the exit status, 1 when one lost or mixed anything."""
    if name is not None and name not in NAMES:
        raise UsageError(f'There is no bench "{name}": write one of {", ".join(NAMES)}.')
    console = Console(stderr=True)
    status = 0
    for chosen in [name] if name else NAMES:
        with console.status(f"{chosen}: {NAMES[chosen]} ({seconds:.0f} s)"):
            result = importlib.import_module(f"tools.bench.{chosen}").run(seconds)
        if as_json or not console.is_terminal:
            print(json.dumps(result), flush=True)
        else:
            _print(result)
        if result.get("lost") or result.get("wrong"):
            status = DOES_NOT_HOLD
    return status


def _print(result: dict[str, Any]) -> None:
    print(f"{result['name']}: {result['value']:,} {result['unit']}")
    for key, value in result.items():
        if key not in ("name", "value", "unit"):
            print(f"    {key}: {value}")
