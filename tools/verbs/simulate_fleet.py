"""The verb that simulates many stations at once. See tools/commands.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Json, simulate


@simulate.command("fleet")
@speak
def simulate_fleet(
    stations: Annotated[
        int | None, typer.Option(help="Station devices at one real gateway, up to 250.")
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels of each device or gateway.")] = 10,
    interval: Annotated[
        float, typer.Option(help="Seconds between two readings of a channel.", min=0.1, max=60)
    ] = 1.0,
    gateways: Annotated[
        int | None, typer.Option(help="Light gateways at one real MQTT broker and one real SFTP server.")
    ] = None,
    hold_ms: Annotated[
        int, typer.Option(help="How long readings wait in a device to share a frame.", min=0, max=2400)
    ] = 1000,
    seconds: Annotated[float, typer.Option(help="How long each of them is measured.", min=1)] = 60,
    json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Write the report there, as .html or .md.")] = None,
) -> None:
    """Many stations: rates, delays, processor time and memory, and what is lost or doubled (status 1).

    Example: quantrac simulate fleet --stations 250 --seconds 120 --out fleet.html
    """
    from tools.fleet.run import FleetOptions, run_fleet

    options = FleetOptions(stations, channels, interval, gateways, hold_ms, seconds, json, out)
    raise typer.Exit(run_fleet(options))
