"""What a period's report says, in Vietnamese (first) and English; how it writes numbers and moments. Pure.

Rule 1: Vietnamese uses the words of the regulation; both languages have all texts.
Rule 2: a figure has the decimals that are sent, with a comma in Vietnamese and a point in English.
"""

from __future__ import annotations

import time

from gateway.quality_words import WORDS
from gateway.reports import period_texts, period_texts_added, provincial
from gateway.reports.period import DAY, HALF, MONTH, QUARTER, YEAR, Period
from gateway.zone import GMT7_S

LANGUAGES = ("vi", "en")
TEXTS = period_texts.TEXTS | period_texts_added.TEXTS
_SWAPPED = str.maketrans(",.", ".,")
_REASONS_VI = {
    "late data": "số liệu đến muộn",
    "holds means of thinned readings": "có số liệu trung bình lưu tại thiết bị",
    "nothing was running": "hệ thống không hoạt động",
    "revised before": "phiên liền trước được tính lại",
}


class Words:
    """One language."""

    def __init__(self, language: str):
        self.language = language
        self._at = LANGUAGES.index(language)

    def __call__(self, name: str, /, **parts: object) -> str:
        """A text, with `parts` filled in."""
        text = TEXTS[name][self._at]
        return text.format(**parts) if parts else text

    @property
    def letter_head(self) -> tuple[str, ...]:
        """What stands above the title."""
        return period_texts.LETTER_HEAD if self._at == 0 else ()

    def quality(self, quality: int) -> str:
        """Why a window is not valid."""
        return WORDS[quality][self._at]

    def reason(self, reason: str) -> str:
        """Why a window was computed again, as its row says."""
        if self._at:
            return reason
        return ", ".join(_REASONS_VI.get(part, part) for part in reason.split(", "))

    def figure(self, value: float | None, decimals: int) -> str:
        """A number as it is sent; – for none."""
        if value is None or value != value:
            return "–"
        text = provincial.number(value, decimals)
        return text if self._at else text.replace(".", ",")

    def plain(self, value: float, digits: int = 6) -> str:
        """A number as short as it can be written with so many digits."""
        text = f"{value:.{digits}g}"
        return text if self._at else text.replace(".", ",")

    def count(self, number: int) -> str:
        """A whole number, with groups of three digits."""
        return f"{number:,}" if self._at else f"{number:,}".replace(",", ".")

    def of(self, some: int, all_: int) -> str:
        """4.302/4.344"""
        return f"{self.count(some)}/{self.count(all_)}"

    def share(self, percent: float) -> str:
        return f"{self.figure(percent, 2)} %"

    def moment(self, time_ms: int) -> str:
        """To the minute, GMT+7."""
        return self._time(time_ms, ("%H:%M %d/%m/%Y", "%Y-%m-%d %H:%M"))

    def date(self, time_ms: int) -> str:
        return self._time(time_ms, ("%d/%m/%Y", "%Y-%m-%d"))

    def hour(self, time_ms: int) -> str:
        """The start of an hour, without its year."""
        return self._time(time_ms, ("%H:%M %d/%m", "%m-%d %H:%M"))

    def month(self, time_ms: int) -> str:
        return self._time(time_ms, ("%m/%Y", "%Y-%m"))

    def colour(self, rgb: tuple[int, int, int]) -> str:
        """The name of a class's colour."""
        return period_texts_added.COLOURS[rgb][self._at]

    def money(self, vnd: int | None) -> str:
        """Whole đồng, with groups of three digits."""
        return self("no_total") if vnd is None else self.count(vnd)

    def rate(self, vnd_kg: float) -> str:
        """What a kilogram costs: 2.000, or 0,8."""
        return self.count(int(vnd_kg)) if vnd_kg == int(vnd_kg) else self.plain(vnd_kg)

    def kg(self, value: float, like: float | None = None) -> str:
        """Of a load or a volume, with groups of three digits: three decimals below 100, none from 10,000 on,
        by the size of `like` where several figures stand in one column.
        """
        size = abs(value if like is None else like)
        text = f"{value:,.{3 if size < 100 else 1 if size < 10_000 else 0}f}"
        return text if self._at else text.translate(_SWAPPED)

    def period(self, period: Period) -> str:
        """A period's name for people: 6 tháng đầu năm 2026."""
        year = period.name[:4]
        if period.kind == HALF:
            return f"{self(period.name[-2:])} {year}"
        if period.kind == QUARTER:
            return f"{self('quarter')} {period.name[-1]}/{year}"
        if period.kind == YEAR:
            return f"{self('year')} {year}"
        if period.kind in (DAY, MONTH):
            named = self.date if period.kind == DAY else self.month
            return f"{self(period.kind)} {named(period.from_ms)}"
        return f"{self.moment(period.from_ms)} – {self.moment(period.to_ms)}"

    def both(self, texts: tuple[str, str]) -> str:
        """The one of (Vietnamese, English) that is in this language."""
        return texts[self._at]

    def length(self, ms: int) -> str:
        hours, minutes = divmod(ms // 60_000, 60)
        if not hours:
            return (f"{minutes} phút", f"{minutes} min")[self._at]
        return (f"{hours} giờ {minutes:02d} phút", f"{hours} h {minutes:02d} min")[self._at]

    def _time(self, time_ms: int, formats: tuple[str, str]) -> str:
        return time.strftime(formats[self._at], time.gmtime(time_ms // 1000 + GMT7_S))
