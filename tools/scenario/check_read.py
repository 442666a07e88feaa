"""What a scenario left behind, as the checks see it: the journal, the destinations, the ledger, the plant.

Rule 1: it is read from the files, by the readers that others use, after everything has ended.
Rule 2: checks take this and nothing else, so that a test can make one by hand, and break it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from gateway import config as configuration
from gateway import interruptions
from gateway.alert_people import INTERRUPTED
from gateway.alert_states import parse
from gateway.ingest.polls import parse_configuration
from gateway.journal.bodies import payload
from gateway.journal.kinds import CONFIGURATION, EVENT, FRAME, HELLO, POLL
from gateway.journal.reader import WINDOW_COLUMNS, Reader, Stored, reading
from gateway.sampling.bottles import SAMPLER, Bottle
from gateway.sampling.bottles import parse as parse_bottle
from gateway.windows import Window
from protocol.messages import Hello, Readings, decode
from protocol.reading import bits_float
from simulator.ledger import UNPLACED_MS, Ledger, Numbers, Row
from simulator.plant import Plant
from simulator.scenario import Scenario
from tools.scenario.department import Order
from tools.scenario.notes import Note
from tools.scenario.polled import Answers

_WINDOWS = f"SELECT {WINDOW_COLUMNS} FROM window ORDER BY idx, symbol"
_DEVICE = "device/"
GRID_MS = 300_000
"""A window of a scenario's station: of five minutes, on the grid."""


class Said(NamedTuple):
    """What the gateway said of an alert, and when."""

    rule: str
    about: str
    what: str  # "raised" | "cleared" | "past" | "acknowledged" | "escalated"
    at_ms: int
    by: str


class Limits(NamedTuple):
    """What the configuration says of a channel."""

    upper: float | None
    decimals: int


@dataclass(frozen=True)
class Evidence:
    """Times are Unix ms."""

    scenario: Scenario
    plant: Plant
    ledger: Ledger
    rows: Iterable[Row]  # of the devices; can be gone through again
    windows: Sequence[Window]  # all revisions, in the order in which they came into the journal
    said: Sequence[Said] = ()
    drained_ms: Mapping[int, int | None] = field(default_factory=dict)  # fault -> after its end
    channels: Mapping[str, Limits] = field(default_factory=dict)
    config_path: Path | None = None
    witness_vkey: str = ""
    polls: Iterable[Row] = ()  # of the gateway's own instruments; can be gone through again
    answers: Mapping[str, Answers] = field(default_factory=dict)  # what these have answered
    device_answers: Mapping[str, Answers] = field(default_factory=dict)  # and those of real devices
    orders: Sequence[Order] = ()  # of the department
    bottles: Sequence[Bottle] = ()  # of the sampler, the newest word of each
    full_ms: Sequence[int] = ()  # when a bottle was truly full
    notes: Sequence[Note] = ()  # what happened beside the story
    counted: Numbers | None = None  # the seven, where they were counted already: it takes the whole journal

    @property
    def begins_ms(self) -> int:
        return self.scenario.station.begins_ms

    @property
    def ends_ms(self) -> int:
        return self.scenario.station.ends_ms

    @cached_property
    def numbers(self) -> Numbers:
        """The seven."""
        return self.counted or self.ledger.numbers(self.rows)

    @cached_property
    def newest(self) -> dict[tuple[str, int], Window]:
        """(symbol, start) -> the newest revision."""
        found: dict[tuple[str, int], Window] = {}
        for window in self.windows:
            key = (window.symbol, window.start_ms)
            if key not in found or found[key].revision < window.revision:
                found[key] = window
        return found

    def of(self, channel: str, from_ms: int, to_ms: int) -> list[Window]:
        """The newest revisions of a channel's windows that lie in a span given since the beginning."""
        first_ms, last_ms = self.begins_ms + from_ms, self.begins_ms + to_ms
        return [
            window
            for (symbol, start_ms), window in sorted(self.newest.items())
            if symbol == channel and first_ms <= start_ms and window.end_ms <= last_ms
        ]


class Rows:
    """The readings of devices in a journal, each time from the beginning."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def __iter__(self) -> Iterator[Row]:
        with reading(self._journal) as reader:
            symbols: dict[tuple[str, str], str] = {}
            named: dict[str, list[str]] = {}
            for entry in reader.entries():
                if entry.kind == CONFIGURATION:
                    channels = parse_configuration(entry.body)[2]
                    symbols |= {(c.source, str(c.quantity)): c.symbol for c in channels}
                elif entry.kind == HELLO:
                    hello = decode(payload(entry.body))
                    assert isinstance(hello, Hello)
                    of_source = [str(channel[0]) for channel in hello.channels]
                    named[entry.source] = [symbols.get((entry.source, one), one) for one in of_source]
                elif entry.kind == FRAME:
                    yield from _rows(entry, named.get(entry.source, []))


def _rows(entry: Stored, names: list[str]) -> Iterator[Row]:
    message = decode(payload(entry.body))
    if not isinstance(message, Readings):
        return
    base_ms = message.base_ms
    if not message.clock:  # of a device that did not know the time: the gateway has placed it, or not yet
        base_ms = None if entry.first_ms is None else entry.first_ms - min(row[1] for row in message.rows)
    device = entry.source.removeprefix(_DEVICE)
    for place, (number, offset_ms, raw, _, _) in enumerate(message.rows):
        time_ms = UNPLACED_MS if base_ms is None else base_ms + offset_ms
        value = None if raw is None else bits_float(raw)
        yield Row(device, message.boot, message.first_seq + place, time_ms, names[number], value)


class Polls:
    """The readings of the gateway's own instruments in a journal, as Rows; `device` is the source."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def __iter__(self) -> Iterator[Row]:
        with reading(self._journal) as reader:
            named: dict[str, list[str]] = {}
            for entry in reader.entries():
                if entry.kind == CONFIGURATION:
                    channels = parse_configuration(entry.body)[2]
                    named = {c.source: [] for c in channels}
                    for channel in channels:
                        named[channel.source].append(channel.symbol)
                if entry.kind != POLL:
                    continue
                message = decode(entry.body)
                assert isinstance(message, Readings)
                for place, (number, offset_ms, raw, _, _) in enumerate(message.rows):
                    value = None if raw is None else bits_float(raw)
                    yield Row(
                        entry.source, message.boot, message.first_seq + place, message.base_ms + offset_ms,
                        named[entry.source][number], value,
                    )  # fmt: skip


def said_of(reader: Reader) -> list[Said]:
    """All that the journal says of alerts and of interruptions, in order."""
    found = []
    for entry in reader.entries(kinds=(EVENT,)):
        alert, interruption = parse(entry.body), interruptions.parse(entry.body)
        if alert is not None:
            found.append(Said(alert.rule, alert.symbol, alert.said, entry.arrived_ms, alert.by))
        elif interruption is not None:
            kind, name = interruption.what
            what = "raised" if interruption.to_ms is None else "cleared"
            found.append(Said(f"{kind} {INTERRUPTED}", name, what, entry.arrived_ms, ""))
    return found


def bottles_of(reader: Reader) -> list[Bottle]:
    """What the journal says of each bottle at last."""
    found: dict[tuple[int, int], Bottle] = {}
    for body, _ in reader.events_with(SAMPLER):
        bottle = parse_bottle(body)
        if isinstance(bottle, Bottle):
            found[bottle.begun_ms, bottle.number] = bottle
    return list(found.values())


def of_outcome(outcome) -> Evidence:
    """From what tools/scenario/run.py left behind."""
    config = configuration.load(outcome.config_path)
    with reading(outcome.journal_path) as reader:
        windows = [Window._make(row) for row in reader.rows(_WINDOWS)]
        said = said_of(reader)
        bottles = bottles_of(reader)
    channels = {
        channel.symbol: Limits(getattr(channel.limits, "max", None), channel.decimals)
        for channel in config.channel
    }
    return Evidence(
        outcome.scenario, outcome.plant, outcome.ledger, Rows(outcome.journal_path), windows, said,
        dict(outcome.drained_ms), channels, outcome.config_path, getattr(outcome, "witness_vkey", ""),
        Polls(outcome.journal_path), getattr(outcome, "answers", {}), getattr(outcome, "device_answers", {}),
        getattr(outcome, "orders", ()), bottles, getattr(outcome, "full_ms", ()),
        tuple(getattr(outcome, "notes", ())), getattr(outcome, "numbers", None),
    )  # fmt: skip
