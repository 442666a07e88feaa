"""The stations of `year.py`: one of each kind that has a report of its own, with their channels and limits.

Rule 1: figures are of the size that such a station shows, with a few values beyond each limit, so that every
        section of a report has something in it. Rates of a fee are made up: none is built in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Made(NamedTuple):
    """A channel: what it is called, and about which value it moves."""

    symbol: str
    unit: str
    decimals: int
    mean: float
    swing: float
    limits: Mapping[str, Any] = {}
    more: Mapping[str, Any] = {}  # further settings

    @property
    def highest(self) -> float:
        """Beyond it an alert is raised."""
        return self.limits.get("max", float("inf"))


class Place(NamedTuple):
    """A station."""

    code: str
    name: str
    channels: tuple[Made, ...]
    fees: Mapping[str, Any] = {}
    basis: str = ""  # of limits given as figures


def _rule(name: str, **more: str) -> dict[str, Any]:
    return {"rule": name, **more}


PLACES = {
    "wastewater": Place(
        "NUO001",
        "Trạm quan trắc nước thải",
        (
            Made("Flow", "m3/h", 1, 40.0, 20.0), Made("Temp", "oC", 1, 28.0, 4.0, {"max": 40.0}),
            Made("pH", "", 2, 7.2, 0.5, {"min": 6.0, "max": 9.0}),
            Made("COD", "mg/l", 1, 52.0, 14.0, {"max": 75.0}, {"qal3": {"s_zero": 0.8, "s_span": 1.5}}),
            Made("TSS", "mg/l", 1, 31.0, 12.0, {"max": 50.0}), Made("NH4", "mg/l", 2, 3.1, 1.2, {"max": 5.0}),
            Made("TP", "mg/l", 2, 2.0, 0.8, {"max": 4.0}), Made("TN", "mg/l", 1, 11.0, 4.0, {"max": 20.0}),
            Made("TOC", "mg/l", 1, 18.0, 5.0, {}, {"qal3": {"s_span": 0.5}}),
            Made("Color", "Pt-Co", 0, 24.0, 9.0, {"max": 50.0}),
            Made("Cl", "mg/l", 2, 0.6, 0.3, {"max": 1.0}), Made("Flowin", "m3/h", 1, 42.0, 20.0),
        ),
        {"flow": "Flow", "rates": {"COD": 2000, "TSS": 2400}},
        "QCVN 40:2011 A",
    ),
    "surface-water": Place(
        "NMA001",
        "Trạm quan trắc nước mặt",
        (
            Made("pH", "", 2, 7.3, 0.6, _rule("QCVN 08:2023", column="B")),
            Made("DO", "mg/l", 2, 6.4, 0.8, _rule("QCVN 08:2023", column="B")),
            Made("Temp", "oC", 1, 26.0, 3.0), Made("TSS", "mg/l", 1, 24.0, 14.0),
            Made("COD", "mg/l", 1, 11.0, 5.0, _rule("QCVN 08:2023", column="B") | {"max": 15.0}),
            Made("NH4", "mg/l", 3, 0.25, 0.12), Made("NO3", "mg/l", 2, 1.6, 0.8),
            Made("Turb", "NTU", 1, 22.0, 12.0),
        ),
        basis="QCVN 08:2023",
    ),
    "ambient-air": Place(
        "KHI001",
        "Trạm quan trắc không khí xung quanh",
        (
            Made("PM2,5", "ug/m3", 1, 38.0, 22.0, _rule("QCVN 05:2023")),
            Made("PM10", "ug/m3", 1, 70.0, 35.0, _rule("QCVN 05:2023")),
            Made("NO2", "ug/m3", 1, 45.0, 25.0, _rule("QCVN 05:2023")),
            Made("SO2", "ug/m3", 1, 22.0, 10.0, _rule("QCVN 05:2023")),
            Made("O3", "ug/m3", 1, 70.0, 40.0), Made("CO", "mg/m3", 3, 1.1, 0.5),
            Made("Temp", "oC", 1, 27.0, 5.0), Made("RH", "%", 1, 72.0, 14.0),
            Made("WindSpd", "m/s", 2, 2.4, 1.5),
            Made("WindDir", "deg", 1, 180.0, 150.0, {}, {"average": "vector"}),
        ),
    ),
}  # fmt: skip
"""By the configuration's `kind`."""
