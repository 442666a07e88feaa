"""The `quantrac` command: every verb, one line each, and nothing else.

Rule 1: a verb imports what it runs when it runs, so that `--help` is quick and the gateway stays small.
Rule 2: exit status 0 success, 1 what was checked does not hold, 2 used or configured wrongly.
Rule 3: a person never sees a traceback: `tools.people.speak` turns the expected errors into sentences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak

app = typer.Typer(
    name="quantrac",
    help="Continuous environmental monitoring: station device, gateway, simulator and their proofs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
gateway = typer.Typer(
    help="The gateway: run it, check its configuration, make a new one; its backup, its log's keys.",
    no_args_is_help=True,
)
app.add_typer(gateway, name="gateway")
station = typer.Typer(help="The station device: look at it, and work on it.", no_args_is_help=True)
app.add_typer(station, name="station")
simulate = typer.Typer(help="Parts of the chain, simulated on this machine.", no_args_is_help=True)
app.add_typer(simulate, name="simulate")

TIME_HELP = "2026-03-25, 2026-03-25T10:00 (GMT+7), or with an offset."
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command()
@speak
def demo(
    dir: Annotated[Path, typer.Option(help="Where everything goes; continued when it exists.")] = Path(
        "demo-data"
    ),
    seconds: Annotated[
        float | None, typer.Option(help="Real seconds to run; default: until Ctrl-C.", min=1)
    ] = None,
    speed: Annotated[float, typer.Option(help="Station seconds per real second.", min=1, max=300)] = 30,
    station: Annotated[
        str, typer.Option(help="wastewater, stack, surface-water or ambient-air.")
    ] = "wastewater",
    port: Annotated[int, typer.Option(help="Port of the gateway's status pages.", min=0, max=65535)] = 8080,
    outage: Annotated[
        float, typer.Option(help="Real seconds without the province, in the middle.", min=0)
    ] = 0,
    json: Json = False,
) -> None:
    """The whole chain on this machine: instruments, device, gateway, province, nation.

    Example: quantrac demo --seconds 60 --speed 30 --dir demo-data
    """
    from tools.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        dir=dir, seconds=seconds, speed=speed, station=station, port=port, outage_s=outage, json=json
    )
    raise typer.Exit(run_demo(options))


@gateway.command("run")
@speak
def gateway_run(
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
    clock: Annotated[
        Path | None, typer.Option(help="Simulation only: take the time from this timeline file.")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Example: quantrac gateway run /etc/quantrac/config.toml
    """
    from gateway.app import main as run_gateway

    raise typer.Exit(run_gateway(config, clock))


@gateway.command("check")
@speak
def gateway_check(
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")], json: Json = False
) -> None:
    """Report every fault of a configuration at once, with what to write instead.

    Example: quantrac gateway check config.toml
    """
    from tools.gateway import print_check

    raise typer.Exit(print_check(config, json))


@gateway.command("init")
@speak
def gateway_init(dir: Annotated[Path, typer.Argument(help="A new folder.")], json: Json = False) -> None:
    """Write a commented configuration with safe defaults, and the keys it names.

    Example: quantrac gateway init /etc/quantrac
    """
    from tools.gateway import print_init

    raise typer.Exit(print_init(dir, json))


@gateway.command("backup")
@speak
def gateway_backup(
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
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
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
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
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it begins.")] = False,
    json: Json = False,
) -> None:
    """Go on where the log cannot be signed any more, under a new name that says so. Stop the gateway first.

    Example: quantrac gateway new-epoch /etc/quantrac/config.toml --reason "the card died on 25 March"
    """
    from tools.gateway_log import print_epoch

    raise typer.Exit(print_epoch(config, reason, yes, json))


@gateway.command("compact")
@speak
def gateway_compact(
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")], json: Json = False
) -> None:
    """Make the journal's file smaller after retention_days was lowered. The gateway must be stopped.

    Example: quantrac gateway compact /etc/quantrac/config.toml
    """
    from tools.gateway import print_compact

    raise typer.Exit(print_compact(config, json))


@gateway.command("parked")
@speak
def gateway_parked(
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
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
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
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
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
    ids: Annotated[list[int], typer.Argument(help="Numbers of documents that wait to be sent.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the log for ever.")],
    json: Json = False,
) -> None:
    """Do not send these documents until they are released. The gateway may run or not.

    Example: quantrac gateway park config.toml 4711 --reason "made during the test of 25 March"
    """
    from tools.parked import print_change

    raise typer.Exit(print_change(config, "park", ids, "", reason, json))


@gateway.command("interruptions")
@speak
def gateway_interruptions(
    config: Annotated[Path, typer.Argument(help="The configuration, TOML.")],
    month: Annotated[str | None, typer.Option(help="Such as 2026-11; default: the present one.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the list in Vietnamese into this file.")] = None,
    json: Json = False,
) -> None:
    """List what was interrupted in a month: channels without data, destinations that were not reached.

    Example: quantrac gateway interruptions config.toml --month 2026-11 --csv november.csv
    """
    from tools.interruptions import print_interruptions

    raise typer.Exit(print_interruptions(config, month, csv, json))


@station.command("console")
@speak
def station_console(
    port: Annotated[str, typer.Option(help="A serial port, a pty, or tcp://host:port.")],
    key: Annotated[Path | None, typer.Option(help="The station's link key, 64 hexadecimal digits.")] = None,
    id: Annotated[str | None, typer.Option(help="Its id; default: whoever proves itself by the key.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long; default: until Ctrl-C.", min=0)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """What a station says of itself, live, and commands typed to it. Takes no record from the real gateway.

    Example: quantrac station console --port /dev/ttyACM0 --key st-01.link
    """
    from tools.station.console import ConsoleOptions, run_console

    raise typer.Exit(run_console(ConsoleOptions(port, key, id, seconds, json)))


@simulate.command("station")
@speak
def simulate_station(
    dir: Annotated[Path, typer.Argument(help="A device's folder: identity.json, link.key and station.json.")],
    seconds: Annotated[float | None, typer.Option(help="How long; default: until Ctrl-C.", min=0)] = None,
    heap: Annotated[str, typer.Option(help="MicroPython's heap, about that of a board.")] = "256k",
) -> None:
    """The station device's own firmware on MicroPython, started again whenever it resets itself.

    Example: quantrac simulate station demo-data/device
    """
    from tools.station.simulate import run_station

    raise typer.Exit(run_station(dir, seconds, heap))


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
def bench(
    name: Annotated[str | None, typer.Argument(help="One of the names; default: all.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each one measures.", min=1)] = 20,
    json: Json = False,
) -> None:
    """Measure: readings, registers and documents a second, memory, start-up.

    Example: quantrac bench ingest --json
    """
    from tools.bench import run_benches

    raise typer.Exit(run_benches(name, seconds, json))


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
