"""Verbs of the station device: calibrating an instrument. See tools/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.people import speak
from tools.verbs.groups import Dir, Json, Key, station

_Number = float | None


@station.command("calibrate")
@speak
def station_calibrate(
    quantity: Annotated[str, typer.Argument(help="The channel, by its name on the device or its symbol.")],
    by: Annotated[str, typer.Option(help="Who does it; it stands on the certificate.")],
    port: Annotated[
        str | None, typer.Option(help="The station's own port; without it, through --gateway.")
    ] = None,
    dir: Dir = Path("."),
    key: Key = None,
    gateway: Annotated[
        Path | None, typer.Option(help="Configuration of its gateway, where that runs on this machine.")
    ] = None,
    points: Annotated[str | None, typer.Option(help="Values of the standards: 0,50,100; 2 to 5.")] = None,
    zero: Annotated[_Number, typer.Option(help="The same for two: zero,")] = None,
    span: Annotated[_Number, typer.Option(help="and span.")] = None,
    standard: Annotated[
        list[str] | None,
        typer.Option(help='A certificate: "NUMBER;VALUE;UNCERTAINTY;VALID UNTIL". May be given again.'),
    ] = None,
    serial: Annotated[str | None, typer.Option(help="The instrument's serial number.")] = None,
    within: Annotated[
        _Number, typer.Option(help="How long it has to stand still, s; default 60 or more.")
    ] = None,
    stdev: Annotated[
        _Number, typer.Option(help="How much it may scatter meanwhile, raw; default by its profile.")
    ] = None,
    residual: Annotated[
        _Number, typer.Option(help="How far a point may lie beside the line; default 1 % of the span.")
    ] = None,
    zero_drift_max: Annotated[
        _Number, typer.Option(help="Drift allowed at zero, where no gateway's limit is known.")
    ] = None,
    span_drift_max: Annotated[_Number, typer.Option(help="The same at span.")] = None,
    piecewise: Annotated[
        bool, typer.Option("--piecewise", help="Straight from point to point instead of one line.")
    ] = False,
    minutes: Annotated[
        float, typer.Option(help="How long the gateway's mark lasts at most, if nobody ends it.")
    ] = 60.0,
    lang: Annotated[str, typer.Option(help="Of the certificate: both, vi or en.")] = "both",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it is written.")] = False,
    json: Json = False,
) -> None:
    """Calibrate an instrument, guided, at two to five points; writes it and makes the certificate.

    Stopped at any moment, the old calibration or the new one is in force, and it says which.

    Example: quantrac station calibrate cod --port /dev/ttyACM0 --dir st-01 --by Lan --zero 0 --span 100
    """
    from tools.station.calibrate.plan import Options
    from tools.station.calibrate.run import run_calibrate

    options = Options(
        quantity, by, port, dir, key, points, zero, span, tuple(standard or ()), serial, gateway, within,
        stdev, residual, zero_drift_max, span_drift_max, minutes, piecewise, lang, yes, json,
    )  # fmt: skip
    raise typer.Exit(run_calibrate(options))
