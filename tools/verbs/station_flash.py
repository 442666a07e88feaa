"""Verbs of the station device: what goes onto a board. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Dir, Hand, Json, station


@station.command("flash")
@speak
def station_flash(
    port: Annotated[str, typer.Option(help="The board's serial port.")],
    dir: Dir = Path("."),
    board: Annotated[
        str | None, typer.Option(help="What the board has to be: rp2 or esp32; default: as it says.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="MicroPython's image, .uf2 or .bin, where it has to come first.")
    ] = None,
    package: Annotated[
        Path | None, typer.Option(help="The firmware as a package; default: this checkout's.")
    ] = None,
    update_key: Annotated[
        Path | None, typer.Option(help="Sign this checkout's firmware with this update.pem.")
    ] = None,
    drive: Annotated[
        Path | None, typer.Option(help="Where the boot loader's drive is; default: where it appears.")
    ] = None,
    erase: Annotated[bool, typer.Option("--erase", help="ESP32: erase the whole flash before.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="The board may be another station: that one is lost.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the board; write nothing.")] = False,
    by: Hand = "",
    json: Json = False,
) -> None:
    """Make a board this station: MicroPython where an image is named, firmware, the station's files and keys.

    A running station is stopped and started again. Interrupted at any step: say the same again.

    Example: quantrac station flash --dir st-01 --port /dev/ttyACM0 --dry-run
    """
    from tools.station.flash.run import FlashOptions, run_flash

    options = FlashOptions(
        dir, port, board, image, package, update_key, drive, erase, replace, dry_run, by, json
    )
    raise typer.Exit(run_flash(options))
