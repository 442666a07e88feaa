"""What is asked, where, and how long it takes: a scan's steps, made before the first byte.

Rule 1: at every usual setting the likely addresses are asked first; then all addresses, where one of them
        answered and at the commonest settings.
Rule 2: instruments that keep silent about registers they do not know are asked for their own.
Rule 3: what a scan has covered is the list of its steps: "nothing found" never claims more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol.profile import Identify, Profile
from protocol.registers import words_of
from tools.station.scan.settings import COMMON, Setting, every, usual
from tools.station.scan.talk import Read, Spot

ANYTHING = Read("holding", 0, 2)
"""Whoever is no instrument of the silent kind answers it, with values or an exception. Two registers make the
answer longer than the next request: one that comes too late cannot hide behind it (see talk.py)."""
ALL_UNITS = list(range(1, 248))
USUAL_UNITS = (1, 2, 3)
SILENT_KIND_UNITS = tuple(range(1, 9))
FEW_UNITS = 16
LIKELY_WAIT_S, SWEEP_WAIT_S, AGAIN_WAIT_S, EXPECTED_WAIT_S = 0.04, 0.016, 0.08, 0.3
CHANGE_S = 0.2  # of a port's settings
REQUEST_BYTES = 8
IDENTIFY_S = 0.8  # of a unit that was found, about
UNKNOWN_SILENT = "unknown-silent"  # a profile's [[trap]]


@dataclass(frozen=True)
class Choice:
    """What a person narrowed the scan to. `expected`: the units that the station's folder names."""

    settings: list[Setting] | None = None
    units: list[int] | None = None
    full: bool = False
    wait_s: float = SWEEP_WAIT_S
    expected: dict[Spot, str] = field(default_factory=dict)  # the profile's name of each


@dataclass(frozen=True)
class Step:
    """The same question to many units at one setting. `what`: for people."""

    setting: Setting
    units: tuple[int, ...]
    read: Read
    wait_s: float
    what: str

    @property
    def seconds(self) -> float:
        """On the line, when nobody answers."""
        return len(self.units) * (REQUEST_BYTES * self.setting.char_s + self.wait_s)


class Plan:
    """The steps of a scan: each setting once, and once more at the end if somebody answered there."""

    def __init__(self, choice: Choice, profiles: list[Profile]) -> None:
        self._choice, self._profiles = choice, profiles
        asked_for = choice.settings or (every() if choice.full else None)
        self._sweep_all = asked_for is not None
        self.settings = list(
            dict.fromkeys([*(spot.setting for spot in choice.expected), *(asked_for or usual(profiles))])
        )
        stated = {p.link.unit for p in profiles if "unit" in p.link.stated and isinstance(p.link.unit, int)}
        likely = sorted(stated | set(USUAL_UNITS))
        if choice.units is None:
            self._units, self._likely = ALL_UNITS, likely
        else:
            few = len(choice.units) <= FEW_UNITS
            self._units = choice.units
            self._likely = choice.units if few else [unit for unit in choice.units if unit in likely]

    def first(self, setting: Setting) -> list[Step]:
        """The units that are expected there, and the likely ones."""
        steps = []
        for spot, name in self._choice.expected.items():
            if spot.setting == setting:
                profile = next((p for p in self._profiles if p.name == name), None)
                read = ANYTHING if profile is None else own_read(profile)
                steps.append(Step(setting, (spot.unit,), read, EXPECTED_WAIT_S, "expected units"))
        wait_s = max(LIKELY_WAIT_S, self._choice.wait_s)
        if self._likely:
            steps.append(Step(setting, tuple(self._likely), ANYTHING, wait_s, "likely addresses"))
        return steps + self._silent_kind(setting)

    def sweep(self, setting: Setting, answered: bool) -> list[Step]:
        """Every other address: where somebody answered, at the commonest settings, at those asked for."""
        if not (answered or self._sweep_all or setting in COMMON):
            return []
        units = tuple(unit for unit in self._units if unit not in self._likely)
        step = Step(setting, units, ANYTHING, self._choice.wait_s, "every address")
        return [step] if units else []

    def again(self, setting: Setting) -> list[Step]:
        """The likely ones once more: some instruments are silent for a while after power-up."""
        units = tuple(self._likely)
        return [Step(setting, units, ANYTHING, AGAIN_WAIT_S, "once more")] if units else []

    def seconds(self) -> float:
        """About how long all of it takes when nobody answers at an uncommon setting."""
        steps = self.again(self.settings[0])
        for setting in self.settings:
            steps += self.first(setting) + self.sweep(setting, False)
        return sum(step.seconds for step in steps) + CHANGE_S * len(self.settings)

    def _silent_kind(self, setting: Setting) -> list[Step]:
        """The questions for the silent kind, at the settings that they have or were asked for."""
        reads: dict[Read, None] = {}
        for profile in self._profiles:
            link = profile.link
            own = Setting(link.baud, link.parity, link.stopbits)
            if is_silent_kind(profile) and (own == setting or self._choice.settings):
                reads[own_read(profile)] = None
        units = tuple(self._units)
        if len(units) > FEW_UNITS and not self._choice.full:
            units = tuple(unit for unit in units if unit in SILENT_KIND_UNITS)
        if not units:
            return []
        wait_s = max(LIKELY_WAIT_S, self._choice.wait_s)
        return [Step(setting, units, read, wait_s, "the silent kind") for read in reads]


def is_silent_kind(profile: Profile) -> bool:
    """Whether the instrument gives no answer about a register that it does not know."""
    traps = {trap.kind for trap in getattr(profile, "traps", ())}
    return bool(profile.link.whole) or UNKNOWN_SILENT in traps


def own_read(profile: Profile) -> Read:
    """A read that this instrument answers: what it is recognised by, or the registers of its values."""
    if profile.identify:
        return identify_read(profile.identify[0])
    blocks = value_reads(profile)
    return blocks[0] if blocks else ANYTHING


def identify_read(identify: Identify) -> Read:
    """The read of an [[identify]] entry."""
    return Read(identify.table, identify.register, identify.words)


def value_reads(profile: Profile) -> list[Read]:
    """The reads that bring a profile's values and statuses, as its [link] allows them to be made.

    An open profile's unanswered registers (texts) are left out.
    """
    rows = [row for row in (*profile.quantities, *profile.statuses) if _is_known(row)]
    if not profile.link.merge:
        return list(dict.fromkeys(Read(r.table, r.register, _size(r)) for r in rows))
    limit = profile.link.max_block if isinstance(profile.link.max_block, int) else 1
    reads: list[Read] = []
    for table in dict.fromkeys(row.table for row in rows):
        ranges = sorted((row.register, row.register + _size(row)) for row in rows if row.table == table)
        low, high = ranges[0]
        for begin, end in ranges[1:]:
            near = begin <= high + (0 if not profile.link.whole else limit)
            if near and max(high, end) - low <= limit:
                high = max(high, end)
            else:
                reads.append(Read(table, low, high - low))
                low, high = begin, end
        reads.append(Read(table, low, high - low))
    return reads


def _is_known(row: Any) -> bool:
    return isinstance(row.register, int) and isinstance(row.type, str) and not row.type.startswith("?")


def _size(row: Any) -> int:
    return 1 if row.table in ("coil", "discrete") else words_of(row.type)
