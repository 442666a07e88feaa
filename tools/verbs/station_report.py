"""Verbs that document a station: its commissioning sheet, and photographs for it. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Dir, Hand, Json, Key, station


@station.command("report")
@speak
def station_report(
    dir: Dir = Path("."),
    port: Annotated[
        str, typer.Option(help="Ask the device itself, too: a serial port, a pty, or tcp://host:port.")
    ] = "",
    key: Key = None,
    out: Annotated[Path | None, typer.Option(help="Where they go; default: the station's folder.")] = None,
    lang: Annotated[str, typer.Option(help="vi, en or both.")] = "both",
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 while something is missing.")] = False,
    json: Json = False,
) -> None:
    """The commissioning sheet, HTML and PDF: what the station is, what was done, and what is still missing.

    Example: quantrac station report --dir st-01 --lang both
    """
    from tools.station.sheet.run import ReportOptions, run_report

    raise typer.Exit(run_report(ReportOptions(dir, port, key, out, lang, check, json)))


@station.command("photo")
@speak
def station_photo(
    files: Annotated[list[Path], typer.Argument(help="The photographs.")],
    what: Annotated[str, typer.Option(help="What they show.")],
    dir: Dir = Path("."),
    by: Hand = "",
    json: Json = False,
) -> None:
    """Keep photographs in the station's folder, with their SHA-256 in its records and its sheet.

    Example: quantrac station photo cabinet.jpg --dir st-01 --what "cabinet, open" --by "N. V. An"
    """
    from tools.station.folder import Folder
    from tools.station.sheet.run import run_photo

    raise typer.Exit(run_photo(files, Folder.at(dir), what, by, json))
