"""Verbs of the station device: updates, backups, restoring. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Dir, Hand, Json, Key, Port, station

packages = typer.Typer(
    help="Update packages: keys, making one of this checkout, looking into one.", no_args_is_help=True
)
station.add_typer(packages, name="package")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Wait = Annotated[bool, typer.Option(help="Wait until the station has confirmed it: ten healthy minutes.")]


@station.command("update")
@speak
def station_update(
    port: Port,
    package: Annotated[
        Path | None, typer.Argument(help="A signed package; without it: how the last update stands.")
    ] = None,
    dir: Dir = Path("."),
    config: Annotated[bool, typer.Option("--config", help="Bring the folder's device/station.json.")] = False,
    yes: Yes = False,
    wait: Wait = True,
    by: Hand = "",
    json: Json = False,
) -> None:
    """Bring a signed firmware, or a changed configuration, to a station, and wait until it has proved itself.

    What ran before stays as the way back. Interrupted at any step: say the same again.

    Example: quantrac station update st-01-0.2.0.update --port /dev/ttyACM0 --dir st-01 --yes
    """
    from tools.station.access import Access
    from tools.station.update import UpdateOptions, run_update

    access = Access(port, dir, by=by)
    raise typer.Exit(run_update(UpdateOptions(access, package, config, yes, wait, json)))


@packages.command("keygen")
@speak
def package_keygen(
    dir: Annotated[Path, typer.Argument(help="Where update.pem and update.pub go.")],
) -> None:
    """Make the pair of keys of updates: update.pem signs and stays secret, update.pub goes onto every device.

    Example: quantrac station package keygen keys
    """
    from tools.station.packages import run_keygen

    raise typer.Exit(run_keygen(dir))


@packages.command("make")
@speak
def package_make(
    key: Annotated[Path, typer.Option(help="The private key, update.pem.")],
    version: Annotated[str, typer.Option(help="What people call it: 0.2.0; the station greets with it.")],
    out: Annotated[Path, typer.Option(help="The package.")],
    board: Annotated[str, typer.Option(help="rp2 (RP2040, RP2350), esp32 or unix.")] = "rp2",
    counter: Annotated[
        int | None, typer.Option(help="Above every earlier one; default: this second, Unix time.", min=1)
    ] = None,
    days: Annotated[int, typer.Option(help="Valid for so long.", min=1, max=3650)] = 90,
    dir: Annotated[
        Path | None, typer.Option(help="A station's folder: the counter is above all that it has had.")
    ] = None,
) -> None:
    """Compile the firmware of this checkout and sign it into one file.

    Example: quantrac station package make --key keys/update.pem --version 0.2.0 --out st-0.2.0.update
    """
    from tools.station.packages import run_make

    raise typer.Exit(run_make(key, version, out, board, counter, days, dir))


@packages.command("show")
@speak
def package_show(
    package: Annotated[Path, typer.Argument(help="The package.")],
    public: Annotated[Path | None, typer.Option(help="update.pub: check the signature, too.")] = None,
    json: Json = False,
) -> None:
    """Check a package and say what is in it.

    Example: quantrac station package show st-0.2.0.update --public keys/update.pub
    """
    from tools.station.packages import run_show

    raise typer.Exit(run_show(package, public, json))


@station.command("backup")
@speak
def station_backup(
    dir: Dir = Path("."),
    port: Annotated[
        str | None, typer.Option(help="Ask the station, too: a serial port, a pty, or tcp://host:port.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The archive, .zip; default: one in the folder's backups.")
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="With the link key: keep the archive secret then.")
    ] = False,
    by: Hand = "",
    json: Json = False,
) -> None:
    """Keep what a replacement needs: the folder, and what the station says of itself; never its seal key.

    Example: quantrac station backup --dir st-01 --port /dev/ttyACM0
    """
    from tools.station.access import Access
    from tools.station.backup import run_backup

    raise typer.Exit(run_backup(Access(port or "", dir, by=by), out, with_key, json))


@station.command("restore")
@speak
def station_restore(
    file: Annotated[Path, typer.Argument(help="An archive of `station backup`.")],
    dir: Annotated[Path, typer.Argument(help="The folder to make; it must be new or empty.")],
    port: Annotated[str | None, typer.Option(help="Bring a running station to that state, too.")] = None,
    key: Key = None,
    yes: Yes = False,
    wait: Wait = True,
    by: Hand = "",
) -> None:
    """Lay out a station's folder from a backup, with the calibrations as the device had them.

    With --port it brings a running station to that state, too. A seal key is never restored.

    Example: quantrac station restore st-01-20260325-100000.zip st-01-again
    """
    from tools.station.access import Access
    from tools.station.restore import RestoreOptions, run_restore

    access = Access(port or "", dir, by=by)
    raise typer.Exit(run_restore(RestoreOptions(file, access, key, yes, wait)))
