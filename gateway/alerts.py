"""Alerts about values: raised and cleared, by what the windows show. Pure but for learn().

    state     a window shows     state then     what is said
    clear     exceeds            raised         "raised"
    raised    within             clear          "cleared"
    raised    without limit      clear          "cleared"   (the configuration has none any more)
    any       past               the same       "past"      (a late revision: it had exceeded, back then)

Everything else changes nothing and says nothing. Who acknowledges and who is told next (escalation) are to be
further states and inputs of STEPS.

Rule 1: only a valid window (status 00) is held against a limit, and by the figure that is sent: nobody shall
        have to explain an alert about a value that reads as the limit. The limit itself is allowed.
Rule 2: windows come in their order of time. A later revision of the newest counts as the newest; one of an
        older window says "past" when it exceeds and no alert covers its time. Late windows in a row that
        exceed are one.
Rule 3: what is said is an EVENT entry in the transaction of the windows that show it, so that a crash leaves
        both or none:
            ["alert", symbol, what is said, "limit", since_ms, basis, windows]
            windows: [symbol, start_ms, revision, value, limit] each
Times are Unix ms of station time; since_ms is the start of the window that raised it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.journal.kinds import EVENT
from gateway.reports import provincial
from protocol import cbor
from protocol import quality as q
from protocol.errors import CodecError

if TYPE_CHECKING:
    from gateway.config import Channel
    from gateway.journal.reader import Reader
    from gateway.windows import Window

EVENT_NAME = "alert"
LIMIT = "limit"
"""The rule by which an alert is raised; others are to have other names."""
CLEAR, RAISED = "clear", "raised"  # states
EXCEEDS, WITHIN, WITHOUT, PAST = "exceeds", "within", "without limit", "past"  # what a window shows
STEPS = {  # (state, what a window shows) -> (state then, what is said)
    (CLEAR, EXCEEDS): (RAISED, "raised"),
    (RAISED, WITHIN): (CLEAR, "cleared"),
    (RAISED, WITHOUT): (CLEAR, "cleared"),
    (CLEAR, PAST): (CLEAR, "past"),
    (RAISED, PAST): (RAISED, "past"),
}
EPISODES_MAX = 1000
"""Alerts of a channel that are remembered, so that no late revision says again what was said."""
_EVER_MS = 1 << 62
_SAID = (  # without those that cannot be one, of which a journal has very many
    "SELECT body FROM entry INDEXED BY entry_rare "
    f"WHERE kind >= {EVENT} AND kind = {EVENT} AND instr(body, '{EVENT_NAME}') ORDER BY idx"
)


class Cause(NamedTuple):
    """A window that shows it: with its symbol and revision, one row of the journal."""

    symbol: str
    start_ms: int
    revision: int
    value: float
    limit: float | None  # that it exceeds or, for "cleared", that was exceeded


class Alert(NamedTuple):
    symbol: str
    said: str  # "raised" | "cleared" | "past"
    since_ms: int
    basis: str  # of the limit, as configured
    windows: Sequence[Cause]
    rule: str = LIMIT

    def event(self) -> bytes:
        """Body of the EVENT entry that says so."""
        causes = [list(cause) for cause in self.windows]
        return cbor.dumps([EVENT_NAME, self.symbol, self.said, self.rule, self.since_ms, self.basis, causes])


def parse(body: bytes) -> Alert | None:
    """The inverse of event(); None for any other event, also one of a later version."""
    try:
        found: Any = cbor.loads(body)
        if found[0] != EVENT_NAME:
            return None
        _, symbol, said, rule, since_ms, basis, causes = found
        return Alert(symbol, said, since_ms, basis, tuple(Cause(*cause) for cause in causes), rule)
    except (CodecError, TypeError, ValueError, IndexError, KeyError):
        return None


def learn(reader: Reader) -> tuple[list[Alert], dict[str, int]]:
    """What Alerts() needs of a journal: what was said, and the newest window of each channel."""
    said = [parse(body) for (body,) in reader.rows(_SAID)]
    newest = {symbol: window.start_ms for symbol, window in reader.newest_windows().items()}
    return [alert for alert in said if alert is not None], newest


class Alerts:
    """What is raised now. `said` and `newest_ms`: learn() of the journal."""

    def __init__(
        self, channels: Iterable[Channel], said: Iterable[Alert] = (), newest_ms: dict[str, int] | None = None
    ):
        self.raised: dict[str, Alert] = {}
        self._limited = {
            channel.symbol: channel
            for channel in channels
            if channel.limits.max is not None or channel.limits.min is not None
        }
        self._newest_ms = dict(newest_ms or {})
        self._episodes: dict[str, deque[list[int]]] = {}  # symbol -> [from, to) that were told of
        for alert in said:
            if alert.rule == LIMIT:
                self._note(alert)

    def closed(self, windows: Sequence[Window]) -> list[Alert]:
        """Hear of windows as they close and are revised; what is to be said of them."""
        found = [
            self._step(lasting.symbol, WITHOUT, lasting.basis, ())
            for lasting in list(self.raised.values())
            if lasting.symbol not in self._limited
        ]
        for window in windows:
            channel = self._limited.get(window.symbol)
            if channel is not None:
                found.append(self._look(channel, window))
        return [alert for alert in found if alert is not None]

    def _look(self, channel: Channel, window: Window) -> Alert | None:
        symbol = window.symbol
        late = window.start_ms < self._newest_ms.get(symbol, window.start_ms)
        if not late:
            self._newest_ms[symbol] = window.start_ms
        if q.status(window.quality) != "00" or window.value is None or not provincial.has_number(window):
            return None
        value = float(provincial.number(window.value, channel.decimals))
        limit = exceeded(channel, value)
        if late:
            if limit is None or self._known(symbol, window):
                return None
            shows = PAST
        else:
            shows = WITHIN if limit is None else EXCEEDS
        if limit is None and symbol in self.raised:
            limit = self.raised[symbol].windows[0].limit
        cause = Cause(symbol, window.start_ms, window.revision, value, limit)
        return self._step(symbol, shows, channel.limits.basis, (cause,), window.end_ms)

    def _step(
        self, symbol: str, shows: str, basis: str, causes: Sequence[Cause], end_ms: int = 0
    ) -> Alert | None:
        lasting = self.raised.get(symbol)
        step = STEPS.get((CLEAR if lasting is None else RAISED, shows))
        if step is None:
            return None
        _, said = step
        since_ms = lasting.since_ms if lasting and shows != PAST else causes[0].start_ms
        alert = Alert(symbol, said, since_ms, basis, causes)
        self._note(alert, end_ms)
        return alert

    def _note(self, alert: Alert, end_ms: int = 0) -> None:
        """Be in the state after this was said."""
        episodes = self._episodes.setdefault(alert.symbol, deque(maxlen=EPISODES_MAX))
        if alert.said == "raised":
            self.raised[alert.symbol] = alert
            episodes.append([alert.since_ms, _EVER_MS])
        elif alert.said == "cleared":
            self.raised.pop(alert.symbol, None)
            for episode in episodes:
                if episode[0] == alert.since_ms and episode[1] == _EVER_MS:
                    episode[1] = alert.windows[0].start_ms if alert.windows else episode[0] + 1
        else:
            episodes.append([alert.since_ms, end_ms or alert.since_ms + 1])

    def _known(self, symbol: str, window: Window) -> bool:
        """Whether it was told that this time exceeded; one right behind such a time is the same alert."""
        for episode in self._episodes.get(symbol, ()):
            if episode[0] <= window.start_ms < episode[1]:
                return True
            if window.start_ms == episode[1]:
                episode[1] = window.end_ms
                return True
        return False


def exceeded(channel: Channel, value: float) -> float | None:
    """The limit that a value is beyond; None within them."""
    limits = channel.limits
    if limits.max is not None and value > limits.max:
        return limits.max
    if limits.min is not None and value < limits.min:
        return limits.min
    return None
