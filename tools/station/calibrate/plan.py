"""What a calibration is of and what it is held against: options, the channel, its instrument, its limits."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.calibration.given import Known
from gateway.calibration.record import Limits
from protocol.profile import Quantity
from tools.people import UsageError
from tools.station import site as sites
from tools.station.calibrate.fit import Line, line_of
from tools.station.calibrate.model import Instrument
from tools.station.calibrate.settle import COUNT_MIN
from tools.station.calibrate.through import GatewayHand, Measured
from tools.station.calibrate.ways import Standing, Way
from tools.station.folder import GATEWAY, Folder

WITHIN_S = 60.0
POLLS_WITHIN = 4
UPDATES_WITHIN = 2
DECIMALS_STILL = 2.0
"""Steps of the last decimal that scatter is allowed without being asked for,"""
RANGE_STILL = 0.001
"""... or this share of the instrument's range, whichever is more."""
STANDARDS_STILL = 0.002
"""Of what lies between the standards, where no profile says anything."""
RESIDUAL_SHARE = 0.01
"""Of what lies between the standards."""
RESIDUAL_SCATTER = 3.0
"""Times the scatter that is allowed, whichever is more."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line said."""

    quantity: str
    by: str
    port: str | None = None
    dir: Path = Path(".")
    key: Path | None = None
    points: str | None = None
    zero: float | None = None
    span: float | None = None
    standard: Sequence[str] = ()
    serial: str | None = None
    gateway: Path | None = None
    within_s: float | None = None
    deviation_max: float | None = None
    residual_max: float | None = None
    zero_drift_max: float | None = None
    span_drift_max: float | None = None
    minutes: float = 60.0
    piecewise: bool = False
    lang: str = "both"
    yes: bool = False
    json: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """Of one channel, once the device has said what is in force."""

    channel: str
    symbol: str
    symbols: tuple[str, ...]  # of the gateway's, all that this quantity feeds
    unit: str
    known: Mapping[str, Known]  # for the check of a record
    quantity: Quantity | None  # of the profile
    instrument: Instrument  # its serial number is asked for later
    old: Standing
    pace_ms: int
    within_s: float
    skip_ms: int

    def limits(self, options: Options, references: Sequence[float]) -> Limits:
        """What drift is held against: the gateway's, else the command line's."""
        if self.symbol in self.known:
            found = self.known[self.symbol].limits
        else:
            found = Limits(min(references), max(references))
        return found._replace(
            zero_drift_max=options.zero_drift_max if found.zero_drift_max is None else found.zero_drift_max,
            span_drift_max=options.span_drift_max if found.span_drift_max is None else found.span_drift_max,
        )

    def deviation_max(self, options: Options, references: Sequence[float]) -> float:
        """How much the readings of a point may scatter (standard deviation, raw)."""
        if options.deviation_max is not None:
            return options.deviation_max
        if self.quantity is None:
            return STANDARDS_STILL * (max(references) - min(references)) / abs(line_of(self.old.points).slope)
        low, high = self.quantity.plausible
        return max(DECIMALS_STILL * 10.0**-self.quantity.decimals, RANGE_STILL * (high - low))

    def residual_max(self, options: Options, references: Sequence[float]) -> float:
        """How far a point may lie beside the new calibration, in the channel's unit."""
        if options.residual_max is not None:
            return options.residual_max
        scatter = self.deviation_max(options, references) * abs(line_of(self.old.points).slope)
        return max(RESIDUAL_SHARE * (max(references) - min(references)), RESIDUAL_SCATTER * scatter)

    @property
    def before(self) -> Line | None:
        """The line that a new one should be near to; None for an input that was never calibrated."""
        return line_of(self.old.points) if self.old.points or self.quantity is not None else None


def check_options(options: Options) -> None:
    """UsageError with what to write."""
    if options.port is None and options.gateway is None:
        raise UsageError(
            "Name the way to the station: --port PORT, or --gateway CONFIG where its gateway runs here."
        )
    if options.piecewise and options.port is None:
        raise UsageError("--piecewise needs the station's own --port: a gateway corrects by a line.")
    if not 1 <= len(options.by.strip()) <= 100 or not options.by.isprintable():
        raise UsageError("--by is a line of 1 to 100 characters: who does it.")
    for name, value in (
        ("--within", options.within_s), ("--stdev", options.deviation_max),
        ("--residual", options.residual_max), ("--minutes", options.minutes),
    ):  # fmt: skip
        if value is not None and not 0 < value < 1e9:
            raise UsageError(f"{name} is a number above 0.")


def plan(options: Options, folder: Folder, way: Way, hand: GatewayHand | None) -> Plan:
    """UsageError for a channel that there is not, or settings that cannot work."""
    table = way.table()
    channel = _channel(options.quantity, list(table), hand, way.id)
    old = table[channel]
    quantity, instrument = _instrument(folder, channel)
    measured = hand.measured(way.id, channel) if hand else []
    if hand and not measured:
        raise UsageError(
            f"The gateway has no channel of {way.id}'s {channel}: leave out --gateway, or configure it."
        )
    symbol, unit = _named(folder, channel, quantity, measured)
    pace_ms = max(way.pace_ms, old.interval_ms or 1000)
    update_ms = int(1000 * quantity.update_s) if quantity else 0
    least_s = COUNT_MIN * pace_ms / 1000
    within_s = options.within_s or max(
        WITHIN_S, POLLS_WITHIN * pace_ms / 1000, UPDATES_WITHIN * update_ms / 1000
    )
    if within_s < least_s:
        raise UsageError(
            f"--within {within_s:g} is too short: {channel} gives a reading every {pace_ms / 1000:g} s, "
            f"so write {least_s:g} or more."
        )
    return Plan(
        channel, symbol, tuple([one.symbol for one in measured]), unit,
        measured[0].known if measured else {}, quantity, instrument, old, pace_ms, within_s,
        update_ms + way.lag_ms + old.interval_ms,
    )  # fmt: skip


def _channel(wanted: str, names: Sequence[str], hand: GatewayHand | None, device: str) -> str:
    if wanted in names:
        return wanted
    behind = hand.quantity(device, wanted) if hand else None
    if behind in names:
        return str(behind)
    near = [name for name in names if name.casefold() == wanted.casefold()]
    if len(near) == 1:
        return near[0]
    raise UsageError(f"{device} has no channel {wanted!r}: write one of {', '.join(names) or 'none'}.")


def _instrument(folder: Folder, channel: str) -> tuple[Quantity | None, Instrument]:
    checked = sites.check([], folder.site())
    for unit in checked.units if checked else ():
        if channel in unit.names:
            profile = unit.profile
            where = f"{unit.given['bus']}, unit {unit.given['unit'] or profile.link.unit}"
            found = Instrument(profile.title, profile.name, profile.source, where, "")
            return unit.quantities[unit.names.index(channel)], found
    return None, Instrument(f"{channel}, an input of the device", "", "", "", "")


def _named(
    folder: Folder, channel: str, quantity: Quantity | None, measured: Sequence[Measured]
) -> tuple[str, str]:
    """(symbol, unit): the gateway's, those of the blocks that were made for it, or the profile's."""
    if measured:
        return measured[0].symbol, measured[0].unit
    try:
        blocks: Any = tomllib.loads((folder.path / GATEWAY).read_text(encoding="utf-8"))
        for block in blocks.get("channel", ()):
            if block["source"].get("quantity") == channel:
                return str(block["symbol"]), str(block["unit"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return (quantity.symbol, quantity.unit) if quantity else (channel, "")
