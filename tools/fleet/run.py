"""`quantrac simulate fleet`: what is asked for, in which order it is measured, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from simulator.device_load import FULL
from tools.fleet import facility, province, report
from tools.people import DOES_NOT_HOLD, UsageError


@dataclass(frozen=True)
class FleetOptions:
    """As typed; None where nothing was."""

    stations: int | None
    channels: int
    interval_s: float
    gateways: int | None
    hold_ms: int
    seconds: float
    json: bool
    out: Path | None


def run_fleet(options: FleetOptions) -> int:
    """Measure what was asked for; the exit status, 1 when anything is lost, doubled or wrong."""
    _check(options)
    console = Console(stderr=True)
    results: list[dict[str, Any]] = []
    if options.stations is not None:
        with console.status(f"{options.stations} devices at one gateway, {options.seconds:.0f} s"):
            asked = facility.FacilityOptions(
                options.stations, options.channels, options.interval_s, options.seconds, options.hold_ms
            )
            results.append(facility.run_facility(asked))
    if options.gateways is not None:
        with console.status(f"{options.gateways} gateways at one province, {province.ROUNDS} rounds"):
            wanted = province.ProvinceOptions(options.gateways, options.channels, options.seconds)
            results.append(province.run_province(wanted))
    if options.out is not None:
        report.write(options.out, results)
    if options.json:
        for result in results:
            print(json.dumps(result), flush=True)
    elif (screen := Console()).is_terminal:
        screen.print(Markdown(report.markdown(results)))
    else:
        print(report.markdown(results), flush=True)
    return 0 if all(result["holds"] for result in results) else DOES_NOT_HOLD


def _check(options: FleetOptions) -> None:
    if options.stations is None and options.gateways is None:
        raise UsageError("Say how many: --stations N devices at one gateway, or --gateways M of a province.")
    if options.stations is not None and not 1 <= options.stations <= facility.STATIONS_MAX:
        raise UsageError(f"One gateway has 1 to {facility.STATIONS_MAX} devices: correct --stations.")
    if options.gateways is not None and not 1 <= options.gateways <= province.GATEWAYS_MAX:
        raise UsageError(f"A province has 1 to {province.GATEWAYS_MAX} gateways here: correct --gateways.")
    if not 1 <= options.channels <= FULL:
        raise UsageError(f"A light device has 1 to {FULL} channels: correct --channels.")
    if options.out is not None:
        report.usable(options.out)
