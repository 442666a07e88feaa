"""What the technician gives: the standards' values, their certificates, the instrument's serial number.

    --points 0,50,100   --zero 0 --span 100   --standard "KT-22/118;100;1.0;2027-05-01"   --serial A-4711

What is not on the command line is asked for; Enter takes what stands in brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from gateway.calibration.record import Certificate
from tools.people import UsageError
from tools.station.calibrate.fit import POINTS_MAX, POINTS_MIN
from tools.station.calibrate.talk import Talk, number
from tools.station.folder import Folder

LINE_MAX = 100


def points_of(text: str | None, zero: float | None, span: float | None) -> list[float] | None:
    """The standards' values of the command line; None when it names none. UsageError."""
    if text is not None and (zero is not None or span is not None):
        raise UsageError("Write either --points 0,50,100 or --zero 0 --span 100.")
    if text is None:
        if (zero is None) != (span is None):
            raise UsageError("--zero and --span go together: write both, such as --zero 0 --span 100.")
        return None if zero is None or span is None else checked([zero, span])
    return checked([number(part) for part in text.replace(";", " ").replace(",", " ").split()])


def checked(points: Sequence[float]) -> list[float]:
    """UsageError unless they are two to five different ones."""
    if not POINTS_MIN <= len(points) <= POINTS_MAX or len(set(points)) != len(points):
        raise UsageError(
            f"A calibration has {POINTS_MIN} to {POINTS_MAX} different standards: write --points 0,50,100."
        )
    return list(points)


def standard_of(text: str) -> Certificate:
    """NUMBER;VALUE;UNCERTAINTY;VALID UNTIL of the command line. UsageError."""
    parts = [part.strip() for part in text.rsplit(";", 3)]
    if len(parts) != 4:
        raise UsageError(f'--standard {text!r}: write it as "KT-22/118;100;1.0;2027-05-01".')
    return Certificate(_line(parts[0]), number(parts[1]), _uncertainty(parts[2]), _day(parts[3]))


async def points(talk: Talk, unit: str) -> list[float]:
    """Ask for the standards' values."""
    while True:
        text = await talk.ask(f"Values of the standards, 2 to 5, in {unit or 'the unit'} (such as 0,100):")
        try:
            return points_of(text, None, None) or []
        except UsageError as error:
            talk.say(str(error))


async def certificates(
    talk: Talk, given: Sequence[Certificate], points: Sequence[float], unit: str, today: date
) -> list[Certificate]:
    """One for each standard that has one, at least one of them all; asked for where it was not given."""
    for one in given:
        fault = _ended(one, today)
        if fault:
            raise UsageError(fault)
        if one.value not in points:
            raise UsageError(f"--standard {one.number}: {one.value:g} is none of the points.")
    found = list(given)
    while not found:
        for value in points:
            one = await _asked(talk, value, unit, today, found[-1] if found else None)
            found += [one] if one else []
        if not found:
            talk.say("At least one standard needs a certificate: without any the calibration shows nothing.")
    return found


async def serial(talk: Talk, given: str | None, folder: Folder, channel: str) -> str:
    """The instrument's serial number; the one of the calibration before is offered."""
    if given is not None:
        return _line(given)
    records = [one for one in folder.records("calibrated") if one.get("channel") == channel]
    known = str(records[-1].get("serial") or "") if records else ""
    while True:
        text = await talk.ask(f"Serial number of the instrument{f' [{known}]' if known else ''}:")
        try:
            return _line(text or known)
        except UsageError as error:
            talk.say(str(error))


async def _asked(
    talk: Talk, value: float, unit: str, today: date, last: Certificate | None
) -> Certificate | None:
    text = await talk.ask(
        f"Standard {value:g} {unit}".rstrip() + ": number of its certificate (Enter: none):"
    )
    if not text:
        return None
    while True:
        try:
            name = _line(text)
            uncertainty = _uncertainty(await talk.ask(f"  its uncertainty, in {unit or 'the unit'}:"))
            offered = f" [{last.valid_until}]" if last else ""
            until = await talk.ask(f"  valid until, such as 2027-05-01{offered}:")
            one = Certificate(name, value, uncertainty, _day(until or (last.valid_until if last else "")))
        except UsageError as error:
            talk.say(str(error))
            continue
        fault = _ended(one, today)
        if not fault:
            return one
        talk.say(fault)
        text = await talk.ask("  Number of a certificate that is valid (Enter: none):")
        if not text:
            return None


def _line(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= LINE_MAX or not text.isprintable():
        raise UsageError(f"Write a line of 1 to {LINE_MAX} characters.")
    return text


def _uncertainty(text: str) -> float:
    found = number(text)
    if found < 0:
        raise UsageError("An uncertainty is not below 0.")
    return found


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"{text!r} is no day: write it as 2027-05-01.") from None


def _ended(one: Certificate, today: date) -> str:
    if date.fromisoformat(one.valid_until) >= today:
        return ""
    return f"The certificate {one.number} ended on {one.valid_until}: such a standard shows nothing."
