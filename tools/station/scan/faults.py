"""The usual faults of wiring, told from what the line did. No I/O.

    swapped       rubbish follows every question, at every setting, and nobody ever answered whole
    termination   answers are damaged now and then, and a repetition mends it
    twins         the answers of one address are damaged every time, while others are whole
    echo          our own requests come back
    word-order    the values are plausible only in another order of words than the profile says
    silent        a unit that the station's folder names does not answer, or one that answered has stopped
    late          a unit answered only at the end of the scan: just powered up, or slow
    two-settings  one address is used at two settings: twins, as soon as both are set alike
    busy          somebody else talks on the line
    nobody        nothing came at all

Rule 1: a fault is named when the line showed it, never because it is usual. `nobody` says what to look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tools.station.scan.identify import Unit
from tools.station.scan.settings import Setting
from tools.station.scan.talk import Heard, Spot, Tally

TWIN_TRIES = 5  # damaged answers in a row, without one that is whole
ECHO_SHARE = 0.5
BUSY_BYTES = 4  # heard while nobody was asked; the port itself may make one or two when it is opened
CHANCE_MAX = 0.02  # that reflections alone damaged every answer of a unit


@dataclass(frozen=True)
class Hint:
    """`kind`: of the list above; `unit`: the address that it is about, if it is about one."""

    kind: str
    text: str
    unit: int | None = None


@dataclass
class Evidence:
    """What a scan has seen of the line."""

    tallies: dict[Spot, Tally]
    heard: dict[Setting, Heard]
    units: list[Unit]
    unasked_bytes: int = 0  # heard before the first question
    strangers: frozenset[int] = frozenset()
    late: tuple[Spot, ...] = ()
    missing: tuple[tuple[Spot, str, int], ...] = ()  # expected: where, profile, its startup_ms


def hints(seen: Evidence) -> list[Hint]:
    """Every fault that shows, the line's own first."""
    found = [*(_busy(seen) or _swapped(seen)), *_echo(seen)]
    kinds = {hint.kind for hint in found}
    if not kinds & {"swapped", "busy"}:
        found += [*_termination(seen), *_twins(seen)]
    found += [*_word_order(seen.units), *_silent(seen), *_late(seen), *_two_settings(seen.units)]
    answered = seen.units or {"swapped", "busy", "twins", "termination"} & {hint.kind for hint in found}
    return found if answered else [*found, _nobody()]


def _busy(seen: Evidence) -> list[Hint]:
    if seen.unasked_bytes < BUSY_BYTES and not seen.strangers:
        return []
    what = "bytes came before anything was asked"
    if seen.strangers:
        what = f"unit {min(seen.strangers)} answered somebody else's question"
    return [
        Hint("busy", f"Somebody else talks on this line ({what}): another master polls it, such as the "
             "station or a PLC. Stop that first; until then, nothing said here is certain.")
    ]  # fmt: skip


def _swapped(seen: Evidence) -> list[Hint]:
    heard = [one for one in seen.heard.values() if one.firsts]
    if not heard or any(tally.clean for tally in seen.tallies.values()):
        return []
    if not all(one.rubbish and one.rubbish >= 0.8 * one.firsts for one in heard):
        return []
    return [
        Hint("swapped", "Only rubbish follows every question, at every setting: A and B are swapped "
             "(some makers call them the other way round). Exchange the two wires; that harms nothing.")
    ]  # fmt: skip


def _echo(seen: Evidence) -> list[Hint]:
    probes = sum(one.probes for one in seen.heard.values())
    echoes = sum(one.echoes for one in seen.heard.values())
    if not echoes or echoes < ECHO_SHARE * probes:
        return []
    return [
        Hint("echo", "The adapter hears what it sends: every request came back as an echo. Switch the echo "
             "off (its receiver has to be off while it sends), or the station takes it for an answer.")
    ]  # fmt: skip


def _termination(seen: Evidence) -> list[Hint]:
    mixed = {spot: tally for spot, tally in seen.tallies.items() if tally.damaged and tally.clean}
    if not mixed:
        return []
    by_baud: dict[int, list[int]] = {}
    for spot, tally in mixed.items():
        counts = by_baud.setdefault(spot.setting.baud, [0, 0])
        counts[0] += tally.damaged
        counts[1] += tally.damaged + tally.clean
    shares = ", ".join(f"{bad} of {of} at {baud}" for baud, (bad, of) in sorted(by_baud.items()))
    units = ", ".join(str(unit) for unit in sorted({spot.unit for spot in mixed}))
    return [
        Hint("termination", f"Answers came damaged, and a repetition mended it ({shares}; unit {units}): "
             "reflections. Put 120 ohm between A and B at both ends of the cable, and nowhere else; "
             "look for long stubs. A lower speed helps meanwhile.")
    ]  # fmt: skip


def _twins(seen: Evidence) -> list[Hint]:
    share = _damaged_share(seen.tallies.values())
    found = {}
    for spot, tally in seen.tallies.items():
        if not tally.clean and tally.damaged >= TWIN_TRIES and share**tally.damaged <= CHANCE_MAX:
            found.setdefault(spot.unit, []).append(str(spot.setting))
    others = any(tally.clean for tally in seen.tallies.values())
    return [
        Hint("twins", f"Address {unit} at {', '.join(settings)}: every answer is damaged, repetitions too"
             f"{', while other units are heard well' if others else ''}. Two units have this address and "
             "answer at once: disconnect one and give the other another address.", unit)
        for unit, settings in sorted(found.items())
    ]  # fmt: skip


def _damaged_share(tallies: Iterable[Tally]) -> float:
    """Of the answers of units that were heard at all."""
    heard = [tally for tally in tallies if tally.clean]
    damaged = sum(tally.damaged for tally in heard)
    return damaged / max(1, damaged + sum(tally.clean for tally in heard))


def _word_order(units: list[Unit]) -> list[Hint]:
    found = []
    for unit in units:
        if unit.wrong_order is None or unit.fit is None:
            continue
        of = {q.id: q.word_order for q in unit.fit.profile.quantities}
        own = ", ".join(sorted({of[quantity] for quantity in unit.orders}))
        found.append(
            Hint("word-order", f"Unit {unit.spot.unit}: its values make sense in word order "
                 f"{unit.wrong_order} only, {unit.profile} has {own}. Set the instrument to {own}, or the "
                 f'profile\'s word_order to "{unit.wrong_order}".', unit.spot.unit)
        )  # fmt: skip
    return found


def _silent(seen: Evidence) -> list[Hint]:
    found = []
    for spot, profile, startup_ms in seen.missing:
        wait = f" It is silent for up to {startup_ms / 1000:.0f} s after power-up." if startup_ms else ""
        found.append(
            Hint("silent", f"Unit {spot.unit} ({profile}) does not answer at {spot.setting}, where the "
                 f"station's folder has it: look at its power, its wires, its address and its speed.{wait}",
                 spot.unit)
        )  # fmt: skip
    for unit in seen.units:
        if unit.stopped:
            found.append(
                Hint("silent", f"Unit {unit.spot.unit} answered at {unit.spot.setting}, and then no more: a "
                     "loose wire, or a power supply that breaks down. Look, and scan again.", unit.spot.unit)
            )  # fmt: skip
    return found


def _late(seen: Evidence) -> list[Hint]:
    return [
        Hint("late", f"Unit {spot.unit} at {spot.setting} was silent at first and answered at the end: it "
             "had just been powered up, or is slow. Scan again to see whether that was all.", spot.unit)
        for spot in seen.late
    ]  # fmt: skip


def _two_settings(units: list[Unit]) -> list[Hint]:
    by_unit: dict[int, list[Setting]] = {}
    for unit in units:
        by_unit.setdefault(unit.spot.unit, []).append(unit.spot.setting)
    return [
        Hint("two-settings", f"Address {unit} is used twice, at {' and at '.join(map(str, settings))}: give "
             "one of the two another address before you set them alike.", unit)
        for unit, settings in sorted(by_unit.items())
        if len(settings) > 1
    ]  # fmt: skip


def _nobody() -> Hint:
    return Hint("nobody", "Nobody answered, and nothing was heard. Look at: power of the instruments; A and "
                "B exchanged (that harms nothing); the common wire (ground); whether the address and the "
                "speed were among those asked (below; --full asks all).")  # fmt: skip
