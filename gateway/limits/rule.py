"""What stands in a regulation's file of limits: its rows, its factors, when it is in force. Pure.

Rule 1: every row has a source and a mark: how far its figures are to be believed.
Rule 2: a row without `span` holds a figure for whatever is measured; the operator says what is compared.
The files are read and checked in parse.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

MARKS = ("law", "secondary", "observed", "not verified", "permit")
"""Wording of a legal text; as others quote it; as seen in use; recollected; from the operator's permit."""
NOT_VERIFIED = "not verified"
SPANS = ("5 min", "1 h", "8 h", "24 h", "year")
FACTORS = ("kq", "kf", "kp", "kv")
_SYMBOLS = """
Flow Flowin Flow_Out Temp Nhiệtđộ Ápsuất Color Colour pH TSS COD BOD BOD5 NH4 Amoni TP TN TOC Cl RH P NO NO2
NOx CO SO2 O2 H2S NH3 VHg PM Dust O3 TSP PM10 PM2,5 PM2.5 COND TURB DO NO3 NO3-N PO4 WindDir
"""
SYMBOLS = frozenset(_SYMBOLS.split())
"""Bảng 34 of Thông tư 10/2021, and what else is met in the field."""
UNITS = {
    "": ("", "-"),
    "mg/l": ("mg/l", "mg/L"),
    "mg/Nm3": ("mg/Nm3", "mg/Nm³"),
    "mg/m3": ("mg/m3", "mg/m³"),
    "ug/m3": (  # of ambient air: what its rule calls Nm3 is the same air, and both are written
        *("ug/m3", "ug/Nm3", "µg/m3", "µg/m³", "µg/Nm3", "µg/Nm³"),
        *("μg/m3", "μg/m³", "μg/Nm3", "μg/Nm³"),
    ),
    "oC": ("oC", "°C", "C"),
    "Pt-Co": ("Pt-Co", "PtCo", "Pt/Co"),
    "%": ("%", "%V"),
    "m3/h": ("m3/h", "m³/h"),
    "m3/day": ("m3/day", "m³/day", "m3/d"),
    "m3/s": ("m3/s", "m³/s"),
    "NTU": ("NTU",),
    "uS/cm": ("uS/cm", "µS/cm", "μS/cm"),
}
"""Spellings of each unit. They are compared, never converted."""
_UNIT_OF = {spelt: unit for unit, spellings in UNITS.items() for spelt in spellings}
ONE = ""
"""The column of a rule that has none."""


class LimitsFault(Exception):
    """What is wrong, and where: one sentence. `instead`: what to write."""

    def __init__(self, what: str, instead: str):
        super().__init__(what)
        self.what, self.instead = what, instead


class Row(NamedTuple):
    """One line of a rule. `max` and `min` by column."""

    symbols: tuple[str, ...]
    unit: str
    max: Mapping[str, float]
    min: Mapping[str, float]
    size: str  # of the plant, "" for any
    span: str  # of the mean that is compared: of SPANS, or "" where the rule has one figure
    factors: bool  # whether max is multiplied by the rule's factors
    mark: str
    source: str


class Factor(NamedTuple):
    """A table of a factor: its value up to and including each step; the last step has no end."""

    name: str
    by: str
    unit: str
    steps: tuple[tuple[float, float], ...]  # (up to, value)
    mark: str
    source: str

    def of(self, amount: float) -> float:
        """The factor for so much of `by`."""
        return next(value for up_to, value in self.steps if amount <= up_to)

    def told(self) -> str:
        """For people: "0.9 up to 50 m3/s, ..."."""
        steps = [
            f"{value:g} beyond" if math.isinf(up_to) else f"{value:g} up to {up_to:g} {self.unit}"
            for up_to, value in self.steps
        ]
        return ", ".join(steps)


class Rule(NamedTuple):
    """One regulation."""

    name: str
    title: str
    columns: tuple[str, ...]
    factors: tuple[str, ...]
    in_force_from: date | None
    in_force_until: date | None  # its last day
    dates_mark: str
    oxygen_percent: float | None  # the oxygen to which values are corrected before they are compared
    rows: tuple[Row, ...]
    tables: Mapping[str, Factor]
    file: str

    def in_force(self, day: date) -> bool:
        """Whether it is in force on that day, as far as its dates are known."""
        begun = self.in_force_from is None or self.in_force_from <= day
        return begun and (self.in_force_until is None or day <= self.in_force_until)


def unit_of(spelt: str) -> str | None:
    """The unit by its usual spelling; None when it is none of UNITS."""
    return _UNIT_OF.get(spelt)
