"""How a sheet speaks: its texts, numbers and moments, in Vietnamese and English. Pure."""

from __future__ import annotations

from datetime import date

from gateway.reports.period_words import LANGUAGES
from gateway.reports.period_words import Words as PeriodWords
from gateway.zone import LATEST_MS
from tools.station.sheet import plain
from tools.station.sheet.texts import TEXTS
from tools.station.sheet.texts_missing import MISSING

ALL = TEXTS | MISSING
NONE = "–"

__all__ = ["ALL", "LANGUAGES", "NONE", "Words"]


class Words(PeriodWords):
    """One language; numbers and moments are written as in the gateway's reports."""

    def __call__(self, name: str, /, **parts: object) -> str:
        text = ALL[name][LANGUAGES.index(self.language)]
        return text.format(**parts) if parts else text

    def known(self, group: str, name: object) -> str:
        """The word for a value of ours (`group_name`); a value of somebody else's is said as it is."""
        said = plain.text(name)
        return self(f"{group}_{said}") if f"{group}_{said}" in ALL else said or NONE

    def value(self, value: object, unit: str = "") -> str:
        """A number with its unit; – for none."""
        number = plain.number(value)
        return NONE if number is None else f"{self.plain(number)} {unit}".strip()

    def when(self, at_ms: object) -> str:
        """A moment of a record, GMT+7; – for none."""
        whole = plain.whole(at_ms)
        return self.moment(whole) if whole is not None and 0 <= whole < LATEST_MS else NONE

    def day(self, text: object) -> str:
        """A day as a certificate says it (2027-05-01), as this language writes it; anything else as it is."""
        said = plain.text(text, 40)
        try:
            day = date.fromisoformat(said)
        except ValueError:
            return said
        return said if self.language == "en" else day.strftime("%d/%m/%Y")

    def span(self, low: float | None, high: float | None, unit: str = "") -> str:
        if low is None and high is None:
            return NONE
        if low is None or high is None:
            return f"{'≤' if low is None else '≥'} {self.value(high if low is None else low, unit)}"
        return f"{self.value(low)} – {self.value(high, unit)}"

    def seconds(self, ms: object) -> str:
        """A time that somebody set, in the largest unit that takes it whole."""
        number = plain.number(ms)
        if number is None:
            return NONE
        for length, units in ((3_600_000, ("giờ", "h")), (60_000, ("phút", "min"))):
            if number and number % length == 0:
                return f"{self.plain(number / length)} {self.both(units)}"
        return f"{self.plain(number / 1000)} s"
