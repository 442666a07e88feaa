"""Verbs of what waits for a person: documents, alerts, instruments, interruptions. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Config, Json, gateway


@gateway.command("parked")
@speak
def gateway_parked(
    config: Config,
    destination: Annotated[str | None, typer.Option(help="Only this destination's.")] = None,
    json: Json = False,
) -> None:
    """List the documents that are not sent until a person has looked at them, and why.

    Example: quantrac gateway parked config.toml --destination province
    """
    from tools.parked import print_parked

    raise typer.Exit(print_parked(config, destination, json))


@gateway.command("release")
@speak
def gateway_release(
    config: Config,
    ids: Annotated[list[int] | None, typer.Argument(help="Their numbers, as `parked` lists them.")] = None,
    all: Annotated[bool, typer.Option("--all", help="All that are parked for --destination.")] = False,
    destination: Annotated[str | None, typer.Option(help="With --all.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")] = "",
    json: Json = False,
) -> None:
    """Send parked documents after all, the oldest first. The gateway may run or not.

    Example: quantrac gateway release config.toml --all --destination province --reason "they fixed it"
    """
    from tools.parked import print_change
    from tools.people import UsageError

    if all != (destination is not None):
        raise UsageError("--all and --destination ID belong together.")
    raise typer.Exit(print_change(config, "release", ids or (), destination or "", reason, json))


@gateway.command("park")
@speak
def gateway_park(
    config: Config,
    ids: Annotated[list[int], typer.Argument(help="Numbers of documents that wait to be sent.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")],
    json: Json = False,
) -> None:
    """Do not send these documents until they are released. The gateway may run or not.

    Example: quantrac gateway park config.toml 4711 --reason "made during the test of 25 March"
    """
    from tools.parked import print_change

    raise typer.Exit(print_change(config, "park", ids, "", reason, json))


@gateway.command("pause")
@speak
def gateway_pause(
    config: Config,
    destination: Annotated[str, typer.Argument(help="Its id.")],
    by: Annotated[str, typer.Option(help="Who does it; it stands in the log for ever.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log, too.")],
    json: Json = False,
) -> None:
    """Send nothing to a destination until somebody resumes it; what comes for it waits.

    Example: quantrac gateway pause config.toml province --by "Lan" --reason "they move their server"
    """
    from tools.pauses import print_pause

    raise typer.Exit(print_pause(config, destination, by, reason, True, json))


@gateway.command("resume")
@speak
def gateway_resume(
    config: Config,
    destination: Annotated[str, typer.Argument(help="Its id.")],
    by: Annotated[str, typer.Option(help="Who does it; it stands in the log for ever.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log, too.")] = "",
    json: Json = False,
) -> None:
    """Let a paused destination go on, the oldest first.

    Example: quantrac gateway resume config.toml province --by "Lan"
    """
    from tools.pauses import print_pause

    raise typer.Exit(print_pause(config, destination, by, reason, False, json))


@gateway.command("alerts")
@speak
def gateway_alerts(
    config: Config,
    json: Json = False,
) -> None:
    """List the alerts that are raised, since when, and who acknowledged them.

    Example: quantrac gateway alerts config.toml
    """
    from tools.alerts import print_alerts

    raise typer.Exit(print_alerts(config, json))


@gateway.command("acknowledge")
@speak
def gateway_acknowledge(
    config: Config,
    alert: Annotated[
        str, typer.Argument(help="Its name, as `alerts` lists it; or COD, if that has only one.")
    ],
    by: Annotated[str, typer.Option(help="Who acts; it stands in the log for ever.")],
    note: Annotated[str, typer.Option(help="What is done about it.")] = "",
    json: Json = False,
) -> None:
    """Say that somebody acts on an alert: then it is not escalated. The gateway may run or not.

    Example: quantrac gateway acknowledge config.toml limit/COD/20260325000500 --by "Lan" --note "valve shut"
    """
    from tools.alerts import print_acknowledge

    raise typer.Exit(print_acknowledge(config, alert, by, note, json))


@gateway.command("mark")
@speak
def gateway_mark(
    config: Config,
    channel: Annotated[str, typer.Argument(help="The channel's symbol.")],
    what: Annotated[str, typer.Argument(help="calibrating, maintenance, or over.")],
    by: Annotated[str, typer.Option(help="Who does it; it stands in the log for ever.")],
    minutes: Annotated[float, typer.Option(help="For how long at the most; it ends by itself.")] = 60,
    reason: Annotated[str, typer.Option(help="What is done.")] = "",
    json: Json = False,
) -> None:
    """Say that an instrument is calibrated or maintained from now on: its windows get status 01.

    Example: quantrac gateway mark config.toml COD calibrating --minutes 30 --by "Lan" --reason "zero"
    """
    from tools.marks import print_mark

    raise typer.Exit(print_mark(config, channel, what, minutes, by, reason, json))


@gateway.command("sample")
@speak
def gateway_sample(
    config: Config,
    by: Annotated[str, typer.Option(help="Who does it; it stands in the log for ever.")],
    bottles: Annotated[int, typer.Option(help="How many are to be filled.")] = 1,
    emptied: Annotated[bool, typer.Option("--emptied", help="Say that all bottles are empty ones.")] = False,
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")] = "",
    json: Json = False,
) -> None:
    """Let the sampler fill bottles now; what came of each stands in the log.

    Example: quantrac gateway sample config.toml --bottles 1 --by "Lan" --reason "foam in the basin"
    """
    from tools.sample import print_sample

    raise typer.Exit(print_sample(config, bottles, emptied, by, reason, json))


@gateway.command("interruptions")
@speak
def gateway_interruptions(
    config: Config,
    month: Annotated[str | None, typer.Option(help="Such as 2026-11; default: the present one.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the list in Vietnamese into this file.")] = None,
    json: Json = False,
) -> None:
    """List what was interrupted in a month: channels without data, destinations that were not reached.

    Example: quantrac gateway interruptions config.toml --month 2026-11 --csv november.csv
    """
    from tools.interruptions import print_interruptions

    raise typer.Exit(print_interruptions(config, month, csv, json))
