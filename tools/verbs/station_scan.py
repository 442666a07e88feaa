"""Verbs of the station device: finding what is wired. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Hand, Json, station


@station.command("scan")
@speak
def station_scan(
    port: Annotated[
        str | None,
        typer.Option(help="The bus: a serial port, rfc2217:// or tcp://host:port. Default: list the ports."),
    ] = None,
    settings: Annotated[str | None, typer.Option(help="Only these, such as 9600-8N1,19200-8E1.")] = None,
    units: Annotated[str | None, typer.Option(help="Only these addresses, such as 1-32,247.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Every address at every setting.")] = False,
    wait_ms: Annotated[
        int | None, typer.Option(help="How long an answer may take to begin; default: 16.", min=5, max=5000)
    ] = None,
    dir: Annotated[
        Path | None, typer.Option(help="The station's folder: its units are expected, the result is kept.")
    ] = None,
    by: Hand = "",
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask silent boards for MicroPython's version; without --port.")
    ] = False,
    listen: Annotated[
        float, typer.Option(help="Seconds to listen for stations, 0 for none; without --port.", min=0)
    ] = 9.0,
    json: Json = False,
) -> None:
    """Serial ports and what is behind them; with --port, the units on a bus, what they are and what is wrong.

    Only reads are sent: nothing is ever written to an instrument, and the port's settings are restored.

    Example: quantrac station scan --port /dev/ttyUSB0
    """
    from tools.station.scan.command import ScanOptions, run_scan

    raise typer.Exit(run_scan(ScanOptions(port, dir, by, settings, units, full, wait_ms, ask, listen, json)))
