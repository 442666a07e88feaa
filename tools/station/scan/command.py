"""`quantrac station scan`: from its options to what stands on the screen."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.log.progress import Bar
from tools.people import UsageError
from tools.station.folder import Folder
from tools.station.scan import ports as ports_of
from tools.station.scan import say
from tools.station.scan.plan import SWEEP_WAIT_S, Choice, Plan
from tools.station.scan.run import all_profiles, expected_units, is_fixed, scan
from tools.station.scan.settings import parse, parse_units

DONE, NOTHING = 0, 1
REFRESH_S = 0.25  # of the bar: drawing it costs milliseconds that the line should have


@dataclass(frozen=True)
class ScanOptions:
    """What the command line said. Without `port`, the ports are listed."""

    port: str | None = None
    dir: Path | None = None
    by: str = ""
    settings: str | None = None
    units: str | None = None
    full: bool = False
    wait_ms: int | None = None
    ask: bool = False
    listen_s: float = ports_of.GREETING_S
    json: bool = False


def run_scan(options: ScanOptions) -> int:
    """0 done; 1 when there is no port, or nobody answered. UsageError and Failure as they come."""
    return _list_ports(options) if options.port is None else _scan_bus(options, options.port)


def _list_ports(options: ScanOptions) -> int:
    if options.settings or options.units or options.full or options.wait_ms or options.dir:
        raise UsageError("Name the bus to scan with --port; without it, the ports are listed.")
    ports = ports_of.known_ports()
    if ports and options.listen_s:
        with Bar("listening", round(options.listen_s)) as bar:
            passed = [0.0]

            def progress(seconds: float) -> None:
                passed[0] += seconds
                bar.to("listening for stations", round(passed[0]), round(options.listen_s))

            asyncio.run(ports_of.look(ports, options.listen_s, options.ask, progress))
    _print(options, say.ports_object(ports), say.ports_text(ports))
    return DONE if ports else NOTHING


def _scan_bus(options: ScanOptions, port: str) -> int:
    folder = None if options.dir is None else Folder.at(options.dir)
    choice = _choice(options, port, folder)
    profiles = all_profiles()
    planned_s = Plan(choice, profiles).seconds()
    print(f"About {_duration(planned_s)}, and more where units answer.", file=sys.stderr)
    with Bar("scan", round(planned_s)) as bar:
        result = scan(port, choice, profiles, _progress(bar, planned_s))
    if folder is not None:
        folder.record("scanned", options.by, **say.record(result))
    _print(options, say.bus_object(result), say.bus_text(result))
    return DONE if result.units else NOTHING


def _choice(options: ScanOptions, port: str, folder: Folder | None) -> Choice:
    settings = parse(options.settings) if options.settings else None
    if options.full and settings:
        raise UsageError("--full asks at every setting: leave --settings out, or --full.")
    if is_fixed(port) and (options.full or len(settings or ()) != 1):
        raise UsageError(
            "A serial server behind tcp:// keeps its own settings: name them, --settings 9600-8N1, "
            "or write rfc2217:// where it knows that."
        )
    wait_s = SWEEP_WAIT_S if options.wait_ms is None else options.wait_ms / 1000
    units = parse_units(options.units) if options.units else None
    expected = {} if folder is None else expected_units(folder)
    if is_fixed(port):
        expected = {spot: name for spot, name in expected.items() if spot.setting in (settings or ())}
    return Choice(settings, units, options.full, wait_s, expected)


def _progress(bar: Bar, planned_s: float) -> Callable[[str, float], None]:
    done_s, shown_s = 0.0, 0.0

    def progress(what: str, seconds: float) -> None:
        nonlocal done_s, shown_s
        done_s += seconds
        now_s = time.monotonic()
        if now_s - shown_s >= REFRESH_S:
            shown_s = now_s
            bar.to(what, round(done_s), round(max(planned_s, done_s)))

    return progress


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _print(options: ScanOptions, found: dict[str, Any], lines: list[str]) -> None:
    print(json.dumps(found, ensure_ascii=False) if options.json else "\n".join(lines))
