"""Verbs of the gateway: run it, make and check its configuration, look after its disk. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Config, Json, gateway


@gateway.command("run")
@speak
def gateway_run(
    config: Config,
    clock: Annotated[
        Path | None, typer.Option(help="Simulation only: take the time from this timeline file.")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Example: quantrac gateway run /etc/quantrac/config.toml
    """
    from gateway.start import main as run_gateway

    raise typer.Exit(run_gateway(config, clock))


@gateway.command("check")
@speak
def gateway_check(config: Config, json: Json = False) -> None:
    """Report every fault of a configuration at once, with what to write instead.

    Example: quantrac gateway check config.toml
    """
    from tools.gateway import print_check

    raise typer.Exit(print_check(config, json))


@gateway.command("init")
@speak
def gateway_init(dir: Annotated[Path, typer.Argument(help="A new folder.")], json: Json = False) -> None:
    """Write a commented configuration with safe defaults, and the keys it names.

    Example: quantrac gateway init /etc/quantrac
    """
    from tools.gateway import print_init

    raise typer.Exit(print_init(dir, json))


@gateway.command("config")
@speak
def gateway_config(
    config: Config,
    what: Annotated[str, typer.Argument(help="show, check, apply, confirm or cancel.")] = "show",
    new: Annotated[Path | None, typer.Argument(help="With check and apply: the new file.")] = None,
    minutes: Annotated[float, typer.Option(help="With apply: to confirm it in, else it is undone.")] = 5,
    json: Json = False,
) -> None:
    """Show what runs, check another file against it, apply it: the gateway restarts with it, and goes back to
    the file of before when nobody confirms in time. Without a file, apply takes CONFIG as it was edited.

    Example: quantrac gateway config /etc/quantrac/config.toml apply new.toml
    """
    from tools.config_change import print_config

    raise typer.Exit(print_config(config, what, new, minutes, json))


@gateway.command("doctor")
@speak
def gateway_doctor(config: Config, json: Json = False) -> None:
    """Look at everything that could keep the station from measuring, storing and sending. It may run.

    Example: sudo quantrac gateway doctor /etc/quantrac/config.toml
    """
    from tools.doctor.run import print_doctor

    raise typer.Exit(print_doctor(config, json))


@gateway.command("compact")
@speak
def gateway_compact(config: Config, json: Json = False) -> None:
    """Make the journal's file smaller after retention_days was lowered. The gateway must be stopped.

    Example: quantrac gateway compact /etc/quantrac/config.toml
    """
    from tools.gateway import print_compact

    raise typer.Exit(print_compact(config, json))
