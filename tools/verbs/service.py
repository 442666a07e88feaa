"""Verbs of the gateway as a service of its machine. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Json, gateway


@gateway.command("install")
@speak
def gateway_install(
    config: Annotated[Path, typer.Argument(help="The configuration, or the folder with config.toml.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every file and command, and do nothing.")
    ] = False,
    root: Annotated[Path | None, typer.Option(help="Install below another root, such as an image's.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="A release's folder; default: this one.")
    ] = None,
    python: Annotated[str, typer.Option(help="The Python it is to run on.")] = "/usr/bin/python3",
    port: Annotated[
        list[str] | None, typer.Option(help="NAME=/dev/ttyUSB0: call that port /dev/quantrac/NAME for ever.")
    ] = None,
    time_server: Annotated[list[str] | None, typer.Option(help="A time server of your own.")] = None,
    packages: Annotated[bool, typer.Option(help="Install chrony where it is missing.")] = True,
    start: Annotated[bool, typer.Option(help="Start it, now.")] = True,
    json: Json = False,
) -> None:
    """Make the gateway a service of this machine, shut in and watched. May be said again at any time.

    Example: sudo quantrac gateway install /etc/quantrac
    """
    from tools.service.say import print_install

    ports, servers = port or [], time_server or []
    raise typer.Exit(
        print_install(config, root, dry_run, from_, python, ports, servers, packages, start, json)
    )


@gateway.command("upgrade")
@speak
def gateway_upgrade(
    from_: Annotated[
        Path | None, typer.Option("--from", help="The new release's folder; default: this one.")
    ] = None,
    python: Annotated[str, typer.Option(help="The Python it is to run on.")] = "/usr/bin/python3",
    minutes: Annotated[float, typer.Option(help="To become healthy, else it goes back.", min=0.1)] = 5,
    json: Json = False,
) -> None:
    """Let another version run, after a backup; one that does not become healthy is switched back.

    Example: sudo quantrac gateway upgrade --from quantrac-0.2.0
    """
    from tools.service.say import print_upgrade

    raise typer.Exit(print_upgrade(from_, python, minutes, json))


@gateway.command("rollback")
@speak
def gateway_rollback(
    minutes: Annotated[float, typer.Option(help="To become healthy.", min=0.1)] = 5, json: Json = False
) -> None:
    """Let the version before this one run again; refused where it cannot read the journal any more.

    Example: sudo quantrac gateway rollback
    """
    from tools.service.say import print_rollback

    raise typer.Exit(print_rollback(minutes, json))


@gateway.command("uninstall")
@speak
def gateway_uninstall(
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the data too, after the station's code was typed.")
    ] = False,
    root: Annotated[Path | None, typer.Option(help="Below another root.")] = None,
    json: Json = False,
) -> None:
    """Remove the service; configuration, journal and keys stay.

    Example: sudo quantrac gateway uninstall
    """
    from tools.service.say import print_uninstall

    raise typer.Exit(print_uninstall(root, purge, json))
