"""Verbs about profiles of instruments. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Json, profile


@profile.command("list")
@speak
def profile_list(
    word: Annotated[str | None, typer.Argument(help="Only names, titles and makers with this.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only for this kind of station, as wastewater.")] = None,
    mark: Annotated[str | None, typer.Option(help="Only MAKER, CODE or GENERIC.")] = None,
    json: Json = False,
) -> None:
    """The instruments that Quantrac knows: name, where the numbers come from, title, open questions.

    Example: quantrac station profile list --kind wastewater
    """
    from tools.station.profiles import run_list

    raise typer.Exit(run_list(kind, mark, word, json))


@profile.command("show")
@speak
def profile_show(
    name: Annotated[str, typer.Argument(help="Its name, or a file.")],
    json: Json = False,
) -> None:
    """One profile in words: registers, states, traps, and what has to be answered on site.

    Example: quantrac station profile show eh-cm44x
    """
    from tools.station.profiles import run_show

    raise typer.Exit(run_show(name, json))


@profile.command("check")
@speak
def profile_check(
    file: Annotated[Path, typer.Argument(help="The profile, TOML, wherever it stands.")],
    answer: Annotated[
        list[str] | None, typer.Option(help="id=value, to a question; default: an example.")
    ] = None,
    read: Annotated[
        bool, typer.Option("--read/--no-read", help="Serve it with the simulator and let a station measure.")
    ] = True,
    json: Json = False,
) -> None:
    """Check a profile: every fault at once, what looks suspicious, and what a station measures with it.

    Example: quantrac station profile check my-meter.toml
    """
    from tools.station.profiles import CheckOptions, run_check

    raise typer.Exit(run_check(CheckOptions(file, tuple(answer or ()), read, json)))
