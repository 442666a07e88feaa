"""Verbs of calibrations: what people recorded of them. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Config, Json, calibration


@calibration.command("add")
@speak
def gateway_calibration_add(
    config: Config,
    file: Annotated[Path, typer.Option(help="The record, JSON: gateway/README.md says what is in it.")],
    by: Annotated[str, typer.Option(help="Who enters it; it stands in the log for ever.")],
    photo: Annotated[Path | None, typer.Option(help="A JPEG or PNG, kept with its hash.")] = None,
    json: Json = False,
) -> None:
    """Enter the record of a calibration: points, certificate, by whom. The gateway runs.

    Example: quantrac gateway calibration add config.toml --file cod.json --photo cod.jpg --by "Lan"
    """
    from tools.calibrations import print_add

    raise typer.Exit(print_add(config, file, photo, by, json))


@calibration.command("list")
@speak
def gateway_calibration_list(
    config: Config,
    channel: Annotated[str | None, typer.Option(help="Only this channel's.")] = None,
    json: Json = False,
) -> None:
    """List each channel's calibrations, how far it drifted, and when the next is due.

    Example: quantrac gateway calibration list config.toml --channel COD
    """
    from tools.calibrations import print_list

    raise typer.Exit(print_list(config, channel, json))
