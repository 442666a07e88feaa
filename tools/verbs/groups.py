"""The groups that verbs stand in, and the options that several of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="quantrac",
    help="Continuous environmental monitoring: station device, gateway, simulator and their proofs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
gateway = typer.Typer(
    help="The gateway: run it, check its configuration, make a new one; its backup, its log's keys.",
    no_args_is_help=True,
)
app.add_typer(gateway, name="gateway")
people = typer.Typer(help="Who may log in on the gateway's page, and as what.", no_args_is_help=True)
gateway.add_typer(people, name="people")
calibration = typer.Typer(help="What people recorded of calibrations.", no_args_is_help=True)
gateway.add_typer(calibration, name="calibration")
station = typer.Typer(help="The station device: look at it, and work on it.", no_args_is_help=True)
app.add_typer(station, name="station")
simulate = typer.Typer(help="Parts of the chain, simulated on this machine.", no_args_is_help=True)
app.add_typer(simulate, name="simulate")

profile = typer.Typer(
    help="Profiles of instruments: which there are, and checking a new one.", no_args_is_help=True
)
station.add_typer(profile, name="profile")

Port = Annotated[str, typer.Option(help="A serial port, a pty, or tcp://host:port.")]
Dir = Annotated[Path, typer.Option(help="The station's folder, which `station new` made.")]
Key = Annotated[Path | None, typer.Option(help="The link key's file; default: the folder's.")]
Hand = Annotated[str, typer.Option("--by", help="Who does it; it stands in the station's records.")]

TIME_HELP = "2026-03-25, 2026-03-25T10:00 (GMT+7), or with an offset."
Config = Annotated[Path, typer.Argument(help="The configuration, TOML.")]
By = Annotated[str, typer.Option(help="Who does it; it stands in the log for ever, with the system's user.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File with the password, - for a line of input; default: one is made.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
