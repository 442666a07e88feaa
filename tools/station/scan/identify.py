"""Which instrument a unit is: its own words for it where a profile knows them, else the profile that fits.

    identified   it says so itself: all [[identify]] entries of the profile hold
    fits         all registers of the profile are there with plausible values, hardly by chance
    perhaps      the same, but it may well be chance: compare with the instrument's type plate
    unknown      it answers, and no profile fits

Rule 1: only reads, and as few as it takes: a register that is known, or known not to be there, is not asked
        for again.
Rule 2: an instrument that keeps silent where others send an exception costs a timeout each time. After two
        of them it is asked only what its own kind would answer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.errors import ConfigError
from protocol.profile import Profile, answered, matches
from protocol.registers import ORDERS
from tools.station.scan.evidence import Fit, judge, orders, plausible
from tools.station.scan.frames import Answer
from tools.station.scan.plan import identify_read, is_silent_kind, value_reads
from tools.station.scan.talk import Read, Spot, Talk

ANSWER_S, SILENT_KIND_S, PAUSE_S = 0.4, 0.2, 0.35
SILENCES_MAX = 2
TRIES = 5
FITS_BITS, PERHAPS_BITS, ORDER_BITS = 6.0, 1.5, 8.0
OTHER_ORDER_BITS, WRONG_ORDER_MARGIN = -4.0, 6.0  # a fault is the less likely explanation
OPEN_BITS = -2.0  # one of four orders fits sooner than the one
TIE_BITS = 1.5
CERTAIN_BITS = 20.0  # beyond it, only profiles that share registers with it are compared
EXPECTED_BITS = 6.0
ILLEGAL_FUNCTION = 1


@dataclass
class Unit:
    """What was found out of one unit. `also`: profiles that fit as well. `orders`: see wrong_order."""

    spot: Spot
    fit: Fit | None = None
    also: list[str] = field(default_factory=list)
    wrong_order: str | None = None  # the word order it uses in place of its profile's
    orders: dict[str, dict[str, float | None]] = field(default_factory=dict)  # by quantity
    asked_order: str | None = None  # its profile asks for the word order, and this one fits
    stopped: bool = False  # it answered first, and nothing after that

    @property
    def profile(self) -> str | None:
        return self.fit.profile.name if self.fit else None

    @property
    def how(self) -> str:
        return self.fit.how if self.fit else "unknown"


class Registers:
    """A unit's registers, asked for once. `words` holds what is known."""

    def __init__(self, talk: Talk, spot: Spot) -> None:
        self.words: dict[tuple[str, int], int] = {}
        self.refused = self.lost = 0
        self.silences = 0
        self.answers = 0
        self._talk, self._spot = talk, spot
        self._closed: set[str] = set()
        self._refused: list[Read] = []

    @property
    def is_silent_kind(self) -> bool:
        return self.silences >= SILENCES_MAX

    def read(self, read: Read) -> bool:
        """Whether all of it is known now."""
        places = [(read.table, read.register + i) for i in range(read.size)]
        if all(place in self.words for place in places):
            return True
        if read.table in self._closed or not self._talk.allowed(read) or self._is_refused(read):
            return False
        return self._ask(read, places)

    def _is_refused(self, read: Read) -> bool:
        """Whether it asks for all that was refused before: what more it asks for makes it no better."""
        end = read.register + read.size
        return any(
            one.table == read.table and read.register <= one.register and one.register + one.size <= end
            for one in self._refused
        )

    def _ask(self, read: Read, places: list[tuple[str, int]]) -> bool:
        paused = False
        for _ in range(TRIES):
            wait_s = SILENT_KIND_S if self.is_silent_kind else ANSWER_S
            outcome = self._talk.ask(self._spot.unit, read, wait_s, patient=True)
            if outcome.answer is not None:
                return self._answered(read, places, outcome.answer)
            if outcome.noise:
                continue
            if paused or self.is_silent_kind:
                break
            self._talk.listen(PAUSE_S)  # some want a rest between two requests
            paused = True
        else:
            self.lost += 1  # damaged every time: nothing is known of these
            return False
        self.silences += 1
        self._refused.append(read)
        return False

    def _answered(self, read: Read, places: list[tuple[str, int]], answer: Answer) -> bool:
        self.answers += 1
        if answer.exception is not None:
            self.refused += 1
            self._refused.append(read)
            if answer.exception == ILLEGAL_FUNCTION:
                self._closed.add(read.table)
            return False
        if read.table in ("holding", "input"):
            self.words.update(zip(places, answer.words, strict=True))
        else:
            bits = [answer.data[i >> 3] >> (i & 7) & 1 for i in range(read.size)]
            self.words.update(zip(places, bits, strict=True))
        return True

    def touches(self, profile: Profile) -> bool:
        """Whether some of the profile's registers have been read already."""
        return any(
            (read.table, read.register + i) in self.words
            for read in value_reads(profile)
            for i in range(read.size)
        )

    def of(self, read: Read) -> tuple[int, ...]:
        return tuple(self.words[read.table, read.register + i] for i in range(read.size))


def identify(
    talk: Talk,
    spot: Spot,
    profiles: list[Profile],
    known: Iterable[Read] = (),
    expected: str | None = None,
) -> Unit:
    """What the unit is. `known`: the reads that it answered in the search; `expected`: a profile's name."""
    unit, held = Unit(spot), Registers(talk, spot)
    for read in known:
        held.read(read)
    named = [p for p in _named(held, profiles, expected) if p is not None]
    for profile in named:
        fit = _fit_of(held, profile, unit, spot, expected) or Fit(profile, 0.0)
        by_number = all(identify.type != "text" for identify in profile.identify)
        if by_number and not fit.values:
            continue  # a number alone may stand in any register
        fit.how = "identified"
        unit.fit = fit
        break
    else:
        _best(held, [p for p in profiles if not p.identify], unit, spot, expected)
    unit.stopped = not held.answers
    return unit


def _named(held: Registers, profiles: list[Profile], expected: str | None) -> list[Profile]:
    """The profiles whose [[identify]] entries all hold."""
    candidates = [p for p in profiles if p.identify]
    candidates.sort(key=lambda p: (p.name != expected, not _is_known(held, p)))
    found = []
    for profile in candidates:
        if held.is_silent_kind and not is_silent_kind(profile) and not _is_known(held, profile):
            continue
        entries = [(entry, identify_read(entry)) for entry in profile.identify]
        if all(held.read(read) and matches(entry, held.of(read)) for entry, read in entries):
            found.append(profile)
            if any(entry.type == "text" for entry, _ in entries):
                break
    return found


def _is_known(held: Registers, profile: Profile) -> bool:
    read = identify_read(profile.identify[0])
    return (read.table, read.register) in held.words


def _best(held: Registers, profiles: list[Profile], unit: Unit, spot: Spot, expected: str | None) -> None:
    fits: list[tuple[Fit, Unit]] = []
    for profile in sorted(profiles, key=lambda p: (-_prior(p, spot, expected), not held.touches(p))):
        if held.is_silent_kind and not is_silent_kind(profile) and profile.name != expected:
            continue
        certain = any(fit.bits >= CERTAIN_BITS and not one.wrong_order for fit, one in fits)
        if certain and not held.touches(profile):
            continue
        candidate = Unit(spot)
        fit = _fit_of(held, profile, candidate, spot, expected)
        if fit is not None and fit.bits >= PERHAPS_BITS:
            fits.append((fit, candidate))
    fits.sort(key=lambda one: WRONG_ORDER_MARGIN * (one[1].wrong_order is not None) - one[0].bits)
    if not fits:
        return
    fit, best = fits[0]
    fit.how = "fits" if fit.bits >= FITS_BITS and not held.lost else "perhaps"
    unit.fit, unit.wrong_order, unit.orders = fit, best.wrong_order, best.orders
    unit.asked_order = best.asked_order
    unit.also = [
        other.profile.name
        for other, candidate in fits[1:]
        if other.bits > fit.bits - TIE_BITS and candidate.wrong_order == best.wrong_order
    ]


def _begins_well(held: Registers, profile: Profile) -> bool:
    """Whether its first value is there and may be one: if not, the other registers need not be read."""
    first = profile.quantities[0]
    reads = [read for read in value_reads(profile) if read.table == first.table]
    own = next((read for read in reads if read.register <= first.register < read.register + read.size), None)
    if own is None or not held.read(own):
        return False
    found = orders(first, held.words).values()
    return any(value is None or plausible(first, value) for value in found)


def _fit_of(held: Registers, profile: Profile, unit: Unit, spot: Spot, expected: str | None) -> Fit | None:
    """The profile's fit, with what was found of word orders noted in `unit`; None when it does not fit."""
    for variant, order in _variants(profile):
        if not _begins_well(held, variant):
            continue
        if not all(held.read(read) for read in value_reads(variant)):
            continue
        fit = judge(variant, held.words, sparse=bool(held.refused))
        if fit is not None:
            fit.bits += _prior(profile, spot, expected) + (OPEN_BITS if order else 0.0)
            unit.asked_order = order
            return fit
    return None if _is_open(profile) else _in_another_order(held, profile, unit, spot, expected)


def _in_another_order(
    held: Registers, profile: Profile, unit: Unit, spot: Spot, expected: str | None
) -> Fit | None:
    found = []
    certain = profile.identify or profile.name == expected
    for order in ORDERS:
        fit = judge(profile, held.words, order, sparse=bool(held.refused))
        if fit is not None and fit.longs >= (1 if certain else 2):
            fit.bits += _prior(profile, spot, expected) + OTHER_ORDER_BITS
            if certain or fit.bits >= ORDER_BITS:
                found.append(fit)
    if not found:
        return None
    fit = max(found, key=lambda one: one.bits)
    unit.wrong_order = fit.order
    long = [q for q in profile.quantities if q.type not in ("int16", "uint16")]
    unit.orders = {q.id: orders(q, held.words) for q in long}
    return fit


def _prior(profile: Profile, spot: Spot, expected: str | None) -> float:
    """What speaks for a profile before its registers are looked at: as it leaves the factory, or is wired."""
    link, bits = profile.link, 0.0
    own = {"baud": spot.setting.baud, "parity": spot.setting.parity, "stopbits": spot.setting.stopbits}
    if set(own) <= set(link.stated):
        bits += 0.5 if all(getattr(link, key) == value for key, value in own.items()) else -0.5
    if "unit" in link.stated and link.unit == spot.unit != 1:
        bits += 1.5
    return bits + (EXPECTED_BITS if profile.name == expected else 0.0)


def _is_open(profile: Profile) -> bool:
    return bool(getattr(profile, "asks", ()))


@functools.cache
def _variants(profile: Profile) -> list[tuple[Profile, str | None]]:
    """The profile itself; of one that asks only for its word order, one for each answer; else none."""
    asks = getattr(profile, "asks", ())
    if not asks:
        return [(profile, None)]
    if len(asks) > 1 or asks[0].kind != "word_order":
        return []
    made = []
    for order in asks[0].choices:
        try:
            made.append((answered(profile, {asks[0].id: order}), order))
        except ConfigError:
            continue
    return made
