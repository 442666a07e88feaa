"""What the tests of `quantrac station scan` share: eight units at mixed settings, and lines with faults."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pymodbus.simulator import DataType, SimData, SimDevice

from protocol.instruments import load
from simulator.clock import SimClock
from simulator.instruments import Instrument
from simulator.mixed_line import MixedFaults, MixedLine, MixedUnit, Serial, reordered
from simulator.truth import Truth
from tools.station.scan.plan import Choice
from tools.station.scan.run import all_profiles, scan
from tools.station.scan.settings import parse, parse_units

RAW = [0x1234, 0xFFEE, 7, 65000]


class Bench:
    """Makes units; instruments note their truth below `path`."""

    def __init__(self, path: Path) -> None:
        self._truth = Truth(path / "truth.jsonl")

    def unit(self, name, unit, serial=None, order=None, **manners):
        profile = load(name)
        if order is not None:
            profile = reordered(profile, order)
        device = Instrument(profile, unit, [], SimClock(), self._truth).device
        return MixedUnit(device, serial or Serial(), **manners)

    def raw(self, unit, serial=None, **manners):
        """Registers that no profile knows."""
        data = SimData(300, values=list(RAW), datatype=DataType.REGISTERS)
        return MixedUnit(SimDevice(unit, [data]), serial or Serial(), **manners)

    def eight(self):
        return [
            self.unit("yosemitech-y504", 1, quiet=True, latency_s=0.008),
            self.unit("aqualabo-ntu", 2),
            self.unit("renke-rs-fsjt", 3, Serial(4800, "N", 1), latency_s=0.009),
            self.unit("generic-water", 7, latency_s=0.006),
            self.raw(50, Serial(19200, "E", 1)),
            self.unit("keller-series30", 126, Serial(9600, "E", 1), latency_s=0.005),
            self.unit("vega-vegapuls", 246),
            self.unit("eh-promag-53", 247, Serial(19200, "E", 1)),
        ]

    def three(self):
        """Units 1, 2 and 7 of the eight: they all have the commonest setting."""
        return [unit for unit in self.eight() if unit.device.id in (1, 2, 7)]


def look(end, settings="9600-8N1", units="1,2,7", progress=lambda what, seconds: None):
    """A scan of one end, narrowed so that it is soon done."""
    return scan(end.url, Choice(parse(settings), parse_units(units)), all_profiles(), progress)


def kinds(result):
    return {hint.kind for hint in result.hints}


def named(result):
    """(unit, setting) -> (profile, how)."""
    return {(u.spot.unit, str(u.spot.setting)): (u.profile, u.how) for u in result.units}


@contextlib.contextmanager
def served(kind, units, faults=None, **line):
    """An end of that kind with a line of these units; nobody may ever write to them."""
    mixed = MixedLine(units, faults or MixedFaults(), **line)
    with kind(mixed) as end:
        yield end
    assert mixed.writes == 0
