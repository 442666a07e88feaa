"""Verbs of the station device, real and simulated. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import simulate, station


@station.command("console")
@speak
def station_console(
    port: Annotated[str, typer.Option(help="A serial port, a pty, or tcp://host:port.")],
    key: Annotated[Path | None, typer.Option(help="The station's link key, 64 hexadecimal digits.")] = None,
    id: Annotated[str | None, typer.Option(help="Its id; default: whoever proves itself by the key.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long; default: until Ctrl-C.", min=0)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    dir: Annotated[Path | None, typer.Option(help="Its folder, which has its key, units and names.")] = None,
) -> None:
    """What a station says of itself, live, and commands typed to it. Takes no record from the real gateway.

    Type help for the commands. Without --dir or --key only the greeting is seen.

    Example: quantrac station console --port /dev/ttyACM0 --dir st-01
    """
    from tools.station.console import ConsoleOptions, run_console

    raise typer.Exit(run_console(ConsoleOptions(port, key, id, seconds, json, dir)))


@simulate.command("station")
@speak
def simulate_station(
    dir: Annotated[Path, typer.Argument(help="A device's folder: identity.json, link.key and station.json.")],
    seconds: Annotated[float | None, typer.Option(help="How long; default: until Ctrl-C.", min=0)] = None,
    heap: Annotated[str, typer.Option(help="MicroPython's heap, about that of a board.")] = "256k",
) -> None:
    """The station device's own firmware on MicroPython, started again whenever it resets itself.

    Example: quantrac simulate station demo-data/device
    """
    from tools.station.simulate import run_station

    raise typer.Exit(run_station(dir, seconds, heap))
