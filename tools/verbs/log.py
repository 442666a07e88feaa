"""Verbs of what the journal proves and tells: bundles, the same once more, reports. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import TIME_HELP, Json, app


@app.command()
@speak
def export(
    config: Annotated[Path, typer.Argument(help="The gateway's configuration, TOML.")],
    from_: Annotated[str, typer.Option("--from", help=TIME_HELP)],
    to: Annotated[str, typer.Option("--to", help=TIME_HELP)],
    out: Annotated[Path, typer.Option(help="A new folder, or a file that ends in .zip.")],
    seen: Annotated[
        Path | None, typer.Option(help="Show that the log goes on behind this checkpoint, too.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a bundle that proves a time's readings, windows and files to people who trust nobody.

    Example: quantrac export config.toml --from 2026-03-25 --to 2026-03-26 --out march-25
    """
    from tools.log.export import print_export
    from tools.log.times import time_ms

    raise typer.Exit(print_export(config, time_ms(from_, "--from"), time_ms(to, "--to"), out, seen, json))


@app.command()
@speak
def verify(
    bundle: Annotated[Path, typer.Argument(help="What `quantrac export` wrote.")],
    vkey: Annotated[Path | None, typer.Option(help="The log's key, as you got it at commissioning.")] = None,
    witness_vkey: Annotated[
        list[Path] | None, typer.Option(help="Key of a witness who must have cosigned. Several times.")
    ] = None,
    seal_key: Annotated[
        str | None, typer.Option(help="The seal key of the device, or DEVICE=FILE.", metavar="FILE")
    ] = None,
    seen: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint you kept: the log must go on behind it.")
    ] = None,
    json: Json = False,
) -> None:
    """Check a bundle, offline: every entry, window and file. Exit status 1 names the first thing wrong.

    Example: quantrac verify march-25 --vkey log.vkey --seen checkpoint-of-april
    """
    from tools.log.verify import print_verify, trust_of

    trust = trust_of(vkey, witness_vkey or (), seen or (), seal_key)
    raise typer.Exit(print_verify(bundle, trust, json))


@app.command()
@speak
def rebuild(
    config: Annotated[Path, typer.Argument(help="The gateway's configuration, TOML.")], json: Json = False
) -> None:
    """Make windows and documents once more from the journal, and compare bytes. Exit status 1: they differ.

    Example: quantrac rebuild config.toml
    """
    from tools.log.rebuild import print_rebuild

    raise typer.Exit(print_rebuild(config, json))


@app.command()
@speak
def report(
    config: Annotated[Path, typer.Argument(help="The gateway's configuration, TOML.")],
    out: Annotated[
        Path, typer.Option(help="A folder; made when missing. Files of the same name are replaced.")
    ],
    period: Annotated[
        str | None, typer.Option(help="2026-03-25, 2026-03, 2026-Q1, 2026-H1 or 2026; it need not be over.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help=TIME_HELP)] = None,
    to: Annotated[str | None, typer.Option("--to", help=TIME_HELP)] = None,
    lang: Annotated[str, typer.Option(help="vi or en: the language of the HTML, PDF and XLSX.")] = "vi",
    json: Json = False,
) -> None:
    """Write a period's report: HTML to read, PDF to sign, XLSX and CSV to work with. The gateway may run.

    Example: quantrac report config.toml --period 2026-H1 --out report-2026-H1
    """
    from tools.report import asked_period, print_report

    raise typer.Exit(print_report(config, asked_period(period, from_, to), out, lang, json))
