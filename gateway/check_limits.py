"""What `quantrac gateway check` warns of in a channel's limits: figures nobody verified, a rule that is not
in force, a factor that its table does not have, an instrument that cannot show what would have to be seen,
a stack gas that is corrected to another oxygen than its rule compares at.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from gateway.config_arithmetic import CorrectedSource
from gateway.config_lines import Place
from gateway.config_model import Channel
from gateway.limits.choose import YEAR, unverified
from gateway.limits.rule import NOT_VERIFIED, Rule
from gateway.zone import date_of

RANGE_TO_LIMIT_MIN = 3  # Thông tư 10/2021, Điều 35: the measuring range reaches at least 3 times the limit

Found = tuple[Place, str, str]


def limits_of(place: Place, channel: Channel, now_ms: int) -> Iterator[Found]:
    """Warnings about the limits of one channel, at the moment now_ms."""
    yield from _reach((*place, "plausible"), channel)
    drift = channel.calibration
    if channel.calibrate_days is not None and drift.zero_drift_max is None and drift.span_drift_max is None:
        what = f"No drift of {channel.symbol} is held against anything: its calibrations have no limits."
        instead = (
            "Write calibration = { zero_drift_max = 1.5, span_drift_max = 3.0 }, as its manual has them."
        )
        yield (*place, "calibrate_days"), what, instead
    rule = channel.limits.regulation
    if rule is None:
        return
    place = (*place, "limits")
    doubtful = unverified(channel.limits.figures)
    if doubtful:
        what = f"Figures of {rule.name} for {channel.symbol} are not verified: {_told(channel)}."
        yield place, what, "Hold them against your permit, and write max and min from there."
    yield from _force(place, rule, date_of(now_ms))
    yield from _oxygen(place[:-1], channel, rule)
    for name, table in rule.tables.items():
        given = getattr(channel.limits, name)
        if given is not None and given not in [value for _, value in table.steps]:
            mark = f" ({NOT_VERIFIED})" if table.mark == NOT_VERIFIED else ""
            what = f"{name} = {given:g} is none of {rule.name}: {table.told()}{mark}."
            yield (*place, name), what, "Write the one that the permit names."
    unused = [f"{figure.max:g}" for figure in channel.limits.figures if figure.span == YEAR and figure.max]
    if unused and len(channel.limits.figures) == len(unused):
        what = f"{rule.name} has only a figure for a year, {unused[0]}: no alert compares it."
        yield place, what, "Write max for what should be compared."


def _reach(place: Place, channel: Channel) -> Iterator[Found]:
    highest = [figure.max for figure in channel.limits.figures if figure.max is not None]
    if not highest or channel.plausible is None or _symmetric(channel):
        return
    limit, reach = max(highest), channel.plausible[1]
    if reach < RANGE_TO_LIMIT_MIN * limit:
        yield (
            place,
            f"The range of {channel.symbol} ends at {reach:g}, below 3 times its limit {limit:g}.",
            f"The regulation asks for a measuring range up to {RANGE_TO_LIMIT_MIN * limit:g} or more.",
        )


def _symmetric(channel: Channel) -> bool:
    """pH has a scale, not a range that could reach three times a limit."""
    least = [figure.min for figure in channel.limits.figures if figure.min is not None]
    return channel.symbol.lower() == "ph" or bool(least)


def _force(place: Place, rule: Rule, today: date) -> Iterator[Found]:
    if rule.in_force(today):
        return
    mark = f" ({NOT_VERIFIED})" if rule.dates_mark == NOT_VERIFIED else ""
    if rule.in_force_until is not None and rule.in_force_until < today:
        what = f"{rule.name} is out of force since {rule.in_force_until}{mark}."
    else:
        what = f"{rule.name} is in force only from {rule.in_force_from}{mark}."
    yield (*place, "rule"), what, "Choose the rule that your permit names."


def _oxygen(place: Place, channel: Channel, rule: Rule) -> Iterator[Found]:
    """The figures of a rule hold at its reference oxygen: at another one a comparison means nothing."""
    source, asked = channel.source, rule.oxygen_percent
    if asked is None or not isinstance(source, CorrectedSource):
        return
    if source.oxygen is None:
        what = f"{channel.symbol} is not corrected for oxygen, and {rule.name} compares at {asked:g} %."
        yield (*place, "source"), what, "Name the oxygen channel, unless the analyser corrects by itself."
    elif source.oxygen_reference != asked:
        given = f"{source.oxygen_reference:g} % of oxygen"
        what = f"{channel.symbol} is corrected to {given}, and {rule.name} compares at {asked:g} %."
        instead = f"Write {asked:g}, or name the rule of this kind of plant."
        yield (*place, "source", "oxygen_reference"), what, instead


def _told(channel: Channel) -> str:
    told = []
    for figure in unverified(channel.limits.figures):
        if figure.min is not None:
            told.append(f"least {figure.min:g} ({figure.span})")
        if figure.max is not None:
            told.append(f"most {figure.max:g} ({figure.span})")
    return ", ".join(told)
