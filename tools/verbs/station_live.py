"""Verbs of the station device: looking at a station at work. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Dir, Hand, Json, Key, Port, station


@station.command("read")
@speak
def station_read(
    port: Port,
    dir: Annotated[
        Path | None, typer.Option(help="The station's folder; it has registers, units and limits.")
    ] = None,
    key: Key = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only this one; may be given again.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long; default: until Ctrl-C.", min=0)] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    json: Json = False,
) -> None:
    """What a station measures, live: registers, raw and engineering values, limits, and its bus statistics.

    Example: quantrac station read --port /dev/ttyACM0 --dir st-01
    """
    from tools.station.live.read import ReadOptions, run_read

    options = ReadOptions(port, dir, key, tuple(channel or ()), seconds, once, json)
    raise typer.Exit(run_read(options))


@station.command("test-io")
@speak
def station_test_io(
    port: Port,
    dir: Dir = Path("."),
    by: Hand = "",
    inputs_only: Annotated[bool, typer.Option("--inputs-only", help="Contacts only.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nobody: switch relays, each for a short time. Not the sampler.")
    ] = False,
    sampler: Annotated[bool, typer.Option("--sampler", help="With --yes: draw a sample, too.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(help="How long contacts are waited for; default: as long as somebody types.", min=0),
    ] = None,
    json: Json = False,
) -> None:
    """Try out what is wired to a station, with a person: contacts, relays, sampler, loops and every channel.

    What was found stands in the station's records. A relay is on for a pulse that the station itself ends.

    Example: quantrac station test-io --port /dev/ttyACM0 --dir st-01 --by Lan
    """
    from tools.station.live.commission import IoOptions, run_test_io

    options = IoOptions(port, dir, by, inputs_only, yes, sampler, seconds, json=json)
    raise typer.Exit(run_test_io(options))
