"""Verbs of the station device: a new one. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import UsageError, speak
from tools.verbs.groups import Hand, Json, station


@station.command("new")
@speak
def station_new(
    dir: Annotated[Path | None, typer.Argument(help="A new folder.")] = None,
    file: Annotated[
        Path | None, typer.Option("--from", help="Choices in a TOML file; see --example.")
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print such a file, with comments.")] = False,
    id: Annotated[str, typer.Option(help="Its name.")] = "",
    kind: Annotated[
        str,
        typer.Option(help="wastewater, stack, surface-water, ambient-air, groundwater or water-level."),
    ] = "",
    link: Annotated[
        str, typer.Option(help='To the gateway: usb, "uart0 tx=0 rx=1", /dev/ttyS0 or "tcp 10.0.0.5:7311".')
    ] = "",
    gateway_link: Annotated[
        str, typer.Option(help="The same as the gateway has it: serial:/dev/ttyACM0?baud=115200.")
    ] = "",
    bus: Annotated[
        list[str] | None,
        typer.Option(
            help='A line: "rs485=uart1 tx=4 rx=5 de=6", rs485=/dev/ttyUSB0, "lan=tcp 10.0.0.9:502".'
        ),
    ] = None,
    instrument: Annotated[
        list[str] | None,
        typer.Option(
            help="PROFILE@BUS:UNIT and ,KEY=VALUE: poll_ms, quantities=a+b, range=0..250, rename.a=b, "
            "symbol.a=B, baud, parity, stopbits, ask.QUESTION ..."
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help='"COD=75 QCVN 40:2011 A", "pH=6..9 ...", "COD=rule QCVN 40:2011; column=A; kq=0.9; kf=1", '
            "COD=none."
        ),
    ] = None,
    basis: Annotated[str, typer.Option(help="What limits are based on that do not say it.")] = "",
    update_public: Annotated[
        Path | None, typer.Option(help="update.pub: updates have to be signed with its private half.")
    ] = None,
    no_seal: Annotated[bool, typer.Option("--no-seal", help="Without a seal key.")] = False,
    seal_paper: Annotated[
        Path | None,
        typer.Option(help="Put the seal key there, for a printer, and do not show it: .svg, .png or .txt."),
    ] = None,
    gateway: Annotated[
        Path | None, typer.Option(help="The gateway's configuration, to find clashes with.")
    ] = None,
    scan: Annotated[
        Path | None,
        typer.Option(
            help="What `station scan --json` found, or a folder with its record: offered when asked."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make DIR anew with other choices; id and keys stay.")
    ] = False,
    by: Hand = "",
    json: Json = False,
) -> None:
    """Make a station's folder: identity, keys, the device's files, the gateway's blocks.

    It asks on a terminal when no instrument is named. The seal key is shown once, for the inspector.

    What it would ask, as arguments: --kind wastewater --link usb --bus "rs485=uart1 tx=4 rx=5 de=6"
    --instrument supmea-sup-ph8001@rs485:1 --limit "pH=6..9 QCVN 40:2011 A". Or in a file: see --example.

    Example: quantrac station new st-01 --from station.toml
    """
    if example:
        from tools.station.example import TEXT

        print(TEXT, end="")
        return
    if dir is None:
        raise UsageError("Name a new folder: quantrac station new st-01, or see --help.")
    from tools.station.new import NewOptions, run_new

    options = NewOptions(
        dir, file, id, kind, link, gateway_link,
        tuple(bus or ()), tuple(instrument or ()), tuple(limit or ()),
        basis, update_public, no_seal, seal_paper, gateway, scan, again, by, json,
    )  # fmt: skip
    raise typer.Exit(run_new(options))
