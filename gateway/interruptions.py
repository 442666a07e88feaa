"""Interruptions: what did not measure, or was not sent, from when to when, and why.

Rule 1: a channel is interrupted from the first of LEAST windows in a row that have no good value because
        something failed (status 02; calibration and maintenance are no failure), until the first window that
        has one. So is every channel while the gateway itself does not run.
Rule 2: a destination is interrupted from the oldest document that waits for it, once that is LATE_MS old,
        until nothing so old waits.
Rule 3: beginning and end are EVENT entries of the journal, in the transaction of the windows that show them:
        the list of a month follows from the journal alone. A later revision changes neither: it shows that
        the data were made up for, and the list says so.
Rule 4: after NOTICE_MS a notice is due, once for each interruption.

Pure: no clock, no disk. Times are Unix milliseconds of station time.
Source: Thông tư 10/2021/TT-BTNMT, Điều 39; the 12 hours as collected in the design (unverified there).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway import flags
from gateway.windows import OFF
from protocol import cbor
from protocol import quality as q
from protocol.errors import CodecError

if TYPE_CHECKING:
    from gateway.windows import Window

EVENT_NAME = "interruption"
LEAST = 3
"""Windows in a row: the 15 minutes after which a receiver shows the station offline."""
LATE_MS = 900_000
"""The same for documents on their way."""
NOTICE_MS = 12 * 3_600_000
"""An interruption of so long is reported in writing."""
CHANNEL, DESTINATION = "channel", "destination"
FAILED = "02"
CAUSES = {
    q.FAULT: "the instrument reports a fault",
    q.TIMEOUT: "the instrument does not answer",
    q.BAD_REPLY: "the instrument's answers are damaged",
    q.OUT_OF_RANGE: "values beyond what the instrument can show",
    q.OFF: "the instrument is switched off",
    q.OVERLOAD: "the current loop is broken or overloaded",
    q.TIME_UNTRUSTED: "the device does not know the time",
    q.NO_DATA: "no readings arrived",
    q.COVERAGE: "too few good readings",
    flags.IMPLAUSIBLE: "values that this medium cannot have",
    flags.RATE: "values that change faster than the medium can",
    flags.SPIKE: "spikes",
    flags.STUCK: "the value does not change",
    flags.NEGATIVE: "values below zero",
    flags.UNSUPPORTED: "what it is corrected with is missing",
}


class Interruption(NamedTuple):
    """`to_ms` is None while it lasts. `what`: ("channel", symbol) or ("destination", id)."""

    what: tuple[str, str]
    from_ms: int
    to_ms: int | None
    cause: str

    def event(self) -> bytes:
        """Body of the EVENT entry that says so."""
        return cbor.dumps([EVENT_NAME, "gateway", *self.what, self.from_ms, self.to_ms, self.cause])

    def lasts_ms(self, now_ms: int) -> int:
        """Its length, up to now while it lasts."""
        return (now_ms if self.to_ms is None else self.to_ms) - self.from_ms


def parse(body: bytes) -> Interruption | None:
    """The inverse of event(); None for any other event."""
    try:
        found: Any = cbor.loads(body)
    except CodecError:
        return None
    if not isinstance(found, list) or len(found) != 7 or found[0] != EVENT_NAME:
        return None
    _, _, kind, name, from_ms, to_ms, cause = found
    return Interruption((kind, name), from_ms, to_ms, cause)


def latest(events: Iterable[Interruption]) -> list[Interruption]:
    """Of beginnings and ends in the journal's order: each interruption once, as it was said last."""
    found: dict[tuple[tuple[str, str], int], Interruption] = {}
    for interruption in events:
        found[interruption.what, interruption.from_ms] = interruption
    return sorted(found.values(), key=lambda i: (i.from_ms, i.what))


class Interruptions:
    """What is interrupted now. `known`: latest() of the journal. Give closed() its windows of the last hours
    then: what a crash left without its entry begins or ends once more.
    """

    def __init__(self, known: Iterable[Interruption] = ()):
        self.open: dict[tuple[str, str], Interruption] = {}
        self._ended_ms: dict[tuple[str, str], int] = {}  # what lies before has been said
        for interruption in known:
            if interruption.to_ms is None:
                self.open[interruption.what] = interruption
            else:
                self._ended_ms[interruption.what] = interruption.to_ms
        self._runs: dict[str, list[Window]] = {}  # failed windows in a row that do not make LEAST yet

    def closed(self, windows: Sequence[Window]) -> list[Interruption]:
        """Hear of windows in the order in which they close; what begins or ends with them."""
        found = []
        for window in windows:
            if window.revision == 1:
                change = self._look(window)
                if change is not None:
                    found.append(change)
        return found

    def _look(self, window: Window) -> Interruption | None:
        what = (CHANNEL, window.symbol)
        if window.start_ms < self._ended_ms.get(what, window.start_ms):
            return None
        if window.status == FAILED:
            if what in self.open:
                return None
            run = self._runs.setdefault(window.symbol, [])
            run.append(window)
            if len(run) < LEAST:
                return None
            del self._runs[window.symbol]
            self.open[what] = Interruption(what, run[0].start_ms, None, cause_of(run))
            return self.open[what]
        self._runs.pop(window.symbol, None)
        return self._end(what, window.start_ms)

    def behind(
        self, destination: str, oldest_ms: int | None, now_ms: int, reason: str = ""
    ) -> Interruption | None:
        """How far a destination is behind: the moment of the oldest document that waits for it."""
        what = (DESTINATION, destination)
        late = oldest_ms is not None and now_ms - oldest_ms >= LATE_MS
        if late and what not in self.open:
            assert oldest_ms is not None
            self.open[what] = Interruption(what, oldest_ms, None, reason or "it takes nothing")
            return self.open[what]
        return None if late else self._end(what, now_ms)

    def forget(self, there: Container[tuple[str, str]], now_ms: int) -> list[Interruption]:
        """What is interrupted and is not `there` any more (the configuration lost it) ends now."""
        ends = (self._end(what, now_ms) for what in list(self.open) if what not in there)
        return [change for change in ends if change is not None]

    def _end(self, what: tuple[str, str], at_ms: int) -> Interruption | None:
        lasting = self.open.get(what)
        if lasting is None or at_ms < lasting.from_ms:
            return None
        del self.open[what]
        self._ended_ms[what] = at_ms
        return lasting._replace(to_ms=at_ms)

    def notices_due(self, now_ms: int) -> list[Interruption]:
        """Those that last for NOTICE_MS by now, the oldest first."""
        due = [lasting for lasting in self.open.values() if lasting.lasts_ms(now_ms) >= NOTICE_MS]
        return sorted(due, key=lambda lasting: (lasting.from_ms, lasting.what))


def cause_of(windows: Sequence[Window]) -> str:
    """A sentence for why these windows have no good value: what most of them say."""
    if all(window.reason == OFF for window in windows):
        return "the gateway was not running"
    qualities = Counter(window.quality for window in windows)
    return CAUSES.get(qualities.most_common(1)[0][0], "not known")
