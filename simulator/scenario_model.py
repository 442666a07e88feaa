"""What a scenario is: a station for some days, what its water does, what breaks, what people do, what must
come out. Frozen. simulator/scenario.py reads it from TOML; scenario_words.py says what may stand in it.

Rule 1: times are whole milliseconds since the scenario's beginning; lengths are milliseconds. Only
        `Station.begins_ms` is Unix time.
Rule 2: keys that only one kind of entry has are in `given`, read and checked: lengths and moments are
        milliseconds there, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from simulator.signals import DAY_MS


class ScenarioError(ValueError):
    """A scenario that cannot be run; `faults` are sentences, each with its line where that is known."""

    def __init__(self, path: object, faults: list[str]) -> None:
        self.path, self.faults = path, faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{path}: {count}.", *(f"  {fault}" for fault in faults)]))


@dataclass(frozen=True)
class Station:
    """Where, from when, for how long."""

    kind: str  # a scene of simulator/scenes
    begins_ms: int  # Unix ms
    days: float
    stations: int = 1
    poll_s: int = 30  # how often a device reads
    witness: bool = False
    national: bool = True
    department: bool = False
    sampler: bool = False  # on the gateway's own bus
    polled: bool = False  # the scene's instruments on Modbus TCP are the gateway's own, not the device's
    firmware: str = "light"  # "micropython": its devices are the real firmware, which costs a lot more time
    channels: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Symbol -> more settings of the gateway's channel, such as `checks`, over those of the scene."""

    @property
    def length_ms(self) -> int:
        return round(self.days * DAY_MS)

    @property
    def ends_ms(self) -> int:
        """Unix ms."""
        return self.begins_ms + self.length_ms


@dataclass(frozen=True)
class Timed:
    """Something that happens at a time, for a while, perhaps again and again."""

    at_ms: int = 0
    for_ms: int | None = None  # None: an instant, or what stays
    every_ms: int | None = None
    given: Mapping[str, object] = field(default_factory=dict)

    def spans(self, end_ms: int) -> Iterator[tuple[int, int]]:
        """(from, to) of each time that it happens and begins before `end_ms`; an instant has from == to."""
        at_ms = self.at_ms
        while at_ms < end_ms:
            yield at_ms, at_ms + (self.for_ms or 0)
            if self.every_ms is None:
                return
            at_ms += self.every_ms

    def number(self, key: str, default: float = 0.0) -> float:
        """A number of `given`."""
        value = self.given.get(key, default)
        assert isinstance(value, int | float)
        return value

    def text(self, key: str, default: str = "") -> str:
        """A text of `given`."""
        return str(self.given.get(key, default))


@dataclass(frozen=True)
class Process(Timed):
    """What the water does, or the instrument in it; kinds, and what `size` is, in scenario_words.PROCESS."""

    channel: str = ""
    what: str = ""
    size: float = 0.0


@dataclass(frozen=True)
class Fault(Timed):
    """What breaks."""

    where: str = ""
    how: str = ""

    @property
    def ends_ms(self) -> int:
        """The end of the first time that it happens."""
        return self.at_ms + (self.for_ms or 0)


@dataclass(frozen=True)
class Act(Timed):
    """What a person does."""

    what: str = ""
    by: str = ""


@dataclass(frozen=True)
class Expect:
    """What must come out: one check of tools/scenario/check.py."""

    what: str
    given: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """A story, whole."""

    name: str  # the file's, without .toml
    title: str
    story: str
    outcome: str
    station: Station
    process: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    expect: tuple[Expect, ...] = ()
