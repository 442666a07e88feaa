"""Verbs of the gateway's backup and of its log's keys. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Config, Json, gateway


@gateway.command("backup")
@speak
def gateway_backup(
    config: Config,
    out: Annotated[Path, typer.Option(help="A new folder, best on another disk. It will hold keys.")],
    json: Json = False,
) -> None:
    """Copy all that the gateway needs to go on elsewhere; it may run meanwhile.

    Example: quantrac gateway backup /etc/quantrac/config.toml --out /mnt/usb/quantrac-2026-03-25
    """
    from tools.gateway_log import print_backup

    raise typer.Exit(print_backup(config, out, json))


@gateway.command("restore")
@speak
def gateway_restore(
    backup: Annotated[Path, typer.Argument(help="The folder that `quantrac gateway backup` made.")],
    config: Annotated[Path, typer.Argument(help="The configuration; from the backup when it is not there.")],
    new_epoch: Annotated[
        str | None,
        typer.Option(help="Why the log is to go on under a new name, when not all of it is left."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a backup a gateway again; refused where that would sign a second history of the log.

    Example: quantrac gateway restore /mnt/usb/quantrac-2026-03-25 /etc/quantrac/config.toml
    """
    from tools.gateway_log import print_restore

    raise typer.Exit(print_restore(backup, config, new_epoch, json))


@gateway.command("rotate-key")
@speak
def gateway_rotate_key(
    config: Config,
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")],
    json: Json = False,
) -> None:
    """Sign the log with another key from here on; the old key vouches for it. Stop the gateway first.

    Example: quantrac gateway rotate-key /etc/quantrac/config.toml --reason "once a year"
    """
    from tools.gateway_log import print_rotate

    raise typer.Exit(print_rotate(config, reason, json))


@gateway.command("new-epoch")
@speak
def gateway_new_epoch(
    config: Config,
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it begins.")] = False,
    json: Json = False,
) -> None:
    """Go on where the log cannot be signed any more, under a new name that says so. Stop the gateway first.

    Example: quantrac gateway new-epoch /etc/quantrac/config.toml --reason "the card died on 25 March"
    """
    from tools.gateway_log import print_epoch

    raise typer.Exit(print_epoch(config, reason, yes, json))
