"""The verbs of the `quantrac` command: they are in tools/verbs/, a file a group, and nothing else is there.

Rule 1: a verb imports what it runs when it runs, so that `--help` is quick and the gateway stays small.
Rule 2: exit status 0 success, 1 what was checked does not hold, 2 used or configured wrongly.
Rule 3: a person never sees a traceback: `tools.people.speak` turns the expected errors into sentences.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from tools import people
from tools.people import speak
from tools.verbs.groups import Json, app

for group in (
    "gateway",
    "service",
    "care",
    "calibration",
    "keys",
    "people",
    "station_scan",
    "station_new",
    "station_flash",
    "station_live",
    "station",
    "station_calibrate",
    "station_update",
    "station_profile",
    "station_report",
    "simulate_fleet",
    "simulate",
    "log",
):  # as `--help` lists them
    import_module(f"tools.verbs.{group}")


@app.command()
@speak
def demo(
    dir: Annotated[Path, typer.Option(help="Where everything goes; continued when it exists.")] = Path(
        "demo-data"
    ),
    seconds: Annotated[
        float | None, typer.Option(help="Real seconds to run; default: until Ctrl-C.", min=1)
    ] = None,
    speed: Annotated[float, typer.Option(help="Station seconds per real second.", min=1, max=300)] = 30,
    station: Annotated[
        str, typer.Option(help="wastewater, stack, surface-water or ambient-air.")
    ] = "wastewater",
    port: Annotated[int, typer.Option(help="Port of the gateway's status pages.", min=0, max=65535)] = 8080,
    outage: Annotated[
        float, typer.Option(help="Real seconds without the province, in the middle.", min=0)
    ] = 0,
    json: Json = False,
) -> None:
    """The whole chain on this machine: instruments, device, gateway, province, nation.

    Example: quantrac demo --seconds 60 --speed 30 --dir demo-data
    """
    from tools.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        dir=dir, seconds=seconds, speed=speed, station=station, port=port, outage_s=outage, json=json
    )
    raise typer.Exit(run_demo(options))


@app.command()
@speak
def bench(
    name: Annotated[str | None, typer.Argument(help="One of the names; default: all.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each one measures.", min=1)] = 20,
    json: Json = False,
) -> None:
    """Measure: readings, registers and documents a second, memory, start-up.

    Example: quantrac bench ingest --json
    """
    from tools.bench import run_benches

    raise typer.Exit(run_benches(name, seconds, json))


@app.callback()
def whole(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from, for programmers.")
    ] = False,
) -> None:
    """Continuous environmental monitoring: station device, gateway, simulator and their proofs."""
    people.DEBUG = people.DEBUG or debug
