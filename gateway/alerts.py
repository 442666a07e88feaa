"""Alerts by what the windows show: a limit exceeded or near, an instrument's fault. Pure but for learn().

Rule 1: only a valid mean (status 00) is held against a limit, and by the figure that is sent: nobody shall
        have to explain an alert about a value that reads as the limit. The limit itself is allowed.
Rule 2: windows come in their order of time. A later revision of the newest counts as the newest; one of an
        older window says "past" when it exceeds and no alert covers its time. Late windows in a row that
        exceed are one. A warning, or a fault that is over, is not told late.
Rule 3: what is said is an EVENT entry in the transaction of the windows that show it, so that a crash leaves
        both or none. Hours and days follow a moment later (alert_spans.py).
Rule 4: each kind of mean has its own rule by its own figure: "limit" and "near" for windows, "limit hour",
        "near hour", "limit day" ... An instrument that reports a fault is "instrument fault" until a window
        is good.
The states: alert_states.py; what is near: alert_levels.py; all other rules: watch.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gateway.alert_levels import Levels, shows, warns
from gateway.alert_states import (
    CLEAR,
    EVENT_NAME,
    EXCEEDS,
    NEAR,
    PAST,
    RAISED,
    STEPS,
    WITHIN,
    WITHOUT,
    Alert,
    Book,
    Cause,
    Key,
    parse,
)
from gateway.interruptions import CAUSES
from gateway.limits.choose import WINDOW, YEAR, Figure
from gateway.reports import provincial
from protocol import quality as q

if TYPE_CHECKING:
    from gateway.config_model import Channel
    from gateway.journal.reader import Reader
    from gateway.windows import Window

__all__ = [
    "CLEAR", "EXCEEDS", "NEAR", "PAST", "RAISED", "STEPS", "WITHIN", "WITHOUT", "Alert", "Alerts", "Cause",
    "learn", "parse",
]  # fmt: skip

LIMIT, WARNING, FAULT = "limit", "near", "instrument fault"
FAULTS = (q.FAULT, q.OVERLOAD)
"""What the instrument or its current loop says of itself; what does not answer is an interruption."""


def learn(reader: Reader) -> tuple[list[Alert], dict[str, int]]:
    """What Alerts() needs of a journal: what was said, and the newest window of each channel."""
    said = [parse(body) for body, _ in reader.events_with(EVENT_NAME)]
    newest = {symbol: window.start_ms for symbol, window in reader.newest_windows().items()}
    return [alert for alert in said if alert is not None], newest


def rule_of(kind: str, span: str) -> str:
    """The rule's name for one kind of mean: "limit", "limit hour"."""
    return kind if span == WINDOW else f"{kind} {span}"


class Alerts(Book):
    """What is raised now. `said` and `newest_ms`: learn() of the journal."""

    def __init__(
        self, channels: Iterable[Channel], said: Iterable[Alert] = (), newest_ms: dict[str, int] | None = None
    ):
        super().__init__(said)
        self._channels = {channel.symbol: channel for channel in channels}
        self._figures = {
            (channel.symbol, figure.span): figure
            for channel in self._channels.values()
            for figure in channel.limits.figures
            if figure.span != YEAR
        }
        self._newest_ms = {(symbol, WINDOW): start_ms for symbol, start_ms in (newest_ms or {}).items()}

    def closed(self, windows: Sequence[Window]) -> list[Alert]:
        """Hear of windows as they close and are revised; what is to be said of them."""
        found = [
            self.step(key, WITHOUT, standing.raised.basis, (), 0)
            for key, standing in list(self.standing.items())
            if self._gone(key)
        ]
        for window in windows:
            found += self._heard(window, WINDOW)
        return [alert for alert in found if alert is not None]

    def means(self, span: str, means: Sequence[Window]) -> list[Alert]:
        """Hear of hours or days, in their order of time, and of their revisions."""
        return [alert for mean in means for alert in self._heard(mean, span) if alert is not None]

    def compared(self, span: str) -> list[str]:
        """Symbols whose means of this span are held against a limit."""
        return [symbol for symbol, of in self._figures if of == span]

    def begin(self, span: str, newest_ms: dict[str, int]) -> None:
        """The newest mean of each channel that was heard of before this start."""
        self._newest_ms |= {(symbol, span): start_ms for symbol, start_ms in newest_ms.items()}

    def _gone(self, key: Key) -> bool:
        """Whether nothing can raise it any more: the configuration has it no longer."""
        rule, symbol = key
        kind, _, span = rule.partition(" ")
        if rule == FAULT:
            return symbol not in self._channels
        return kind in (LIMIT, WARNING) and (symbol, span or WINDOW) not in self._figures

    def _heard(self, window: Window, span: str) -> list[Alert | None]:
        place = (window.symbol, span)
        channel, figure = self._channels.get(window.symbol), self._figures.get(place)
        if channel is None:
            return []
        late = window.start_ms < self._newest_ms.get(place, window.start_ms)
        if not late:
            self._newest_ms[place] = window.start_ms
        found = [] if late or span != WINDOW else [self._fault(window)]
        if q.status(window.quality) != "00" or window.value is None or not provincial.has_number(window):
            return found
        value = float(provincial.number(window.value, channel.decimals))
        if figure is not None:
            found += self._compare(channel, figure, window, value, late)
        return found

    def _fault(self, window: Window) -> Alert | None:
        """A calibration, or an instrument that does not answer, neither raises nor ends one."""
        shown = EXCEEDS if window.quality in FAULTS else WITHIN if window.quality == q.OK else NEAR
        cause = Cause(window.symbol, window.start_ms, window.revision, float(window.value or 0.0), None)
        key = (FAULT, window.symbol)
        lasting = self.standing.get(key)
        basis = CAUSES.get(window.quality, "") if lasting is None else lasting.raised.basis
        return self.step(key, shown, basis, (cause,), window.start_ms, window.end_ms)

    def _compare(
        self, channel: Channel, figure: Figure, window: Window, value: float, late: bool
    ) -> list[Alert | None]:
        limits, levels = channel.limits, Levels(figure.min, figure.max)
        key = (rule_of(LIMIT, figure.span), window.symbol)
        shown = shows(levels, value, limits.clear_share)
        if not late:
            warned, warning = warns(levels, value, limits.warn_share, limits.clear_share)
            near = (rule_of(WARNING, figure.span), window.symbol)
            return [
                self._step(key, shown, figure, window, value, levels),
                self._step(near, warned, figure, window, value, warning),
            ]
        if shown != EXCEEDS or self.known(key, window.start_ms, window.end_ms):
            return []
        return [self._step(key, PAST, figure, window, value, levels)]

    def _step(
        self, key: Key, shown: str, figure: Figure, window: Window, value: float, levels: Levels
    ) -> Alert | None:
        limit = levels.beyond(value)
        if limit is None and key in self.standing and (causes := self.standing[key].raised.windows):
            limit = causes[0].limit
        span_ms = 0 if figure.span == WINDOW else window.end_ms - window.start_ms
        cause = Cause(window.symbol, window.start_ms, window.revision, value, limit, span_ms)
        return self.step(key, shown, figure.basis, (cause,), window.start_ms, window.end_ms)
