"""The settings of what is computed: how readings are held against each other (gateway/checks.py), who says
that an instrument is being calibrated, and channels that are made of others (gateway/derive.py).
"""

from __future__ import annotations

from gateway import derive
from gateway.checks import Checks
from gateway.config_base import Section, setting
from gateway.config_types import Range, Symbol
from protocol import quality as q

CHANNEL_UNIT = "(in the channel's unit)"


class ChecksSection(Section):
    """`checks = { plausible, rate_per_min, spike, stuck_min, resolution, negative_min }`: rules by which
    readings are flagged; a flagged reading is kept, and is not in the mean.
    """

    plausible: Range | None = setting(
        "What this medium can be; beyond it a reading is IMPLAUSIBLE. `plausible` beside it is what the "
        "instrument can show.",
        None,
        unit=CHANNEL_UNIT,
    )
    rate_per_min: float | None = setting(
        "Fastest change in a minute; a faster one is RATE.", None, unit=CHANNEL_UNIT, ge=1e-12, le=1e12
    )
    spike: float | None = setting(
        "A reading further than this from both its neighbours, on the same side, is a SPIKE.",
        None,
        unit=CHANNEL_UNIT,
        ge=1e-12,
        le=1e12,
    )
    stuck_min: int | None = setting(
        "The same value for longer is STUCK; more than the instrument's own update interval.",
        None,
        unit="minutes",
        ge=1,
        le=100_000,
    )
    resolution: float = setting(
        "What the instrument can tell apart; smaller changes are none.", 0.0, unit=CHANNEL_UNIT, ge=0, le=1e12
    )
    negative_min: float | None = setting(
        "Below this a concentration is NEGATIVE; a little below zero an analyser scatters.",
        None,
        unit=CHANNEL_UNIT,
        example=-0.5,
        ge=-1e12,
        le=0,
    )

    def rules(self) -> tuple:
        """As the windows see them; () for none."""
        low, high = self.plausible or (None, None)
        stuck_ms = None if self.stuck_min is None else self.stuck_min * 60_000
        found = Checks(low, high, self.rate_per_min, self.spike, stuck_ms, self.resolution, self.negative_min)
        return () if found == Checks(resolution=self.resolution) else tuple(found)


class Contacts(Section):
    """`busy = { calibrating, maintenance }`: channels of contacts; while one is on (1), this one is that."""

    calibrating: Symbol | None = setting("Symbol of the contact's channel.", None, example="K1")
    maintenance: Symbol | None = setting("Symbol of the contact's channel.", None, example="K2")

    def pairs(self) -> tuple:
        """(symbol, quality) of those that there are; calibrating first."""
        pairs = ((self.calibrating, q.CALIBRATING), (self.maintenance, q.MAINTENANCE))
        return tuple([pair for pair in pairs if pair[0] is not None])


class CorrectedSource(Section):
    """`source = { corrects, oxygen, oxygen_reference, temperature, pressure, moisture }`: a concentration at
    standard conditions (25 degrees Celsius, 760 mmHg), dry, at the reference oxygen of the rule.
    """

    corrects: Symbol = setting("Symbol of the measured concentration.", example="SO2m")
    oxygen: Symbol | None = setting("Symbol of the oxygen channel, in percent by volume.", None, example="O2")
    oxygen_reference: float = setting(
        "Reference oxygen of the rule.", 7.0, unit="percent by volume", ge=0, le=20
    )
    oxygen_is_wet: bool = setting("Whether oxygen is measured in the moist gas.", False)
    temperature: Symbol | None = setting("Symbol of the gas temperature where it is measured.", None)
    pressure: Symbol | None = setting("Symbol of the gas pressure, absolute.", None)
    moisture: Symbol | None = setting(
        "Symbol of the moisture, percent by volume, where the concentration is measured in the moist gas.",
        None,
    )

    def derived(self) -> tuple:
        """As gateway/derive.py has it."""
        supports = [symbol or "" for symbol in (self.temperature, self.pressure, self.moisture)]
        reference = self.oxygen_reference
        return (derive.CORRECTED, self.corrects, self.oxygen or "", reference, *supports, self.oxygen_is_wet)


class MassSource(Section):
    """`source = { mass_of, flow }`: what goes out in an hour, kg/h."""

    mass_of: Symbol = setting("Symbol of the concentration.", example="SO2")
    flow: Symbol = setting("Symbol of the flow.", example="Flow")

    def derived(self) -> tuple:
        """As gateway/derive.py has it."""
        return (derive.MASS, self.mass_of, self.flow)
