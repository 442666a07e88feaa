"""Which figures hold for a channel: a row of a rule, multiplied by its factors, and the permit's own figures.

Rule 1: Cmax = C x Kq x Kf (stack rules that have them: Kp, Kv), in decimal, so that 75 x 0.9 x 1.1 is 74.25.
        Rows such as temperature, colour and pH are not multiplied, whatever factors a channel writes.
Rule 2: the permit's own max and min stand in the place of the rule's, for what the channel compares.
Rule 3: nothing is guessed: a column, size or factor that is not written is a LimitsFault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from gateway.limits.rule import NOT_VERIFIED, ONE, LimitsFault, Row, Rule, unit_of

WINDOW, HOUR, HOURS_8, DAY, YEAR = "window", "hour", "8 hours", "day", "year"
COMPARED = (WINDOW, HOUR, DAY)
"""What a single figure may be held against."""
SPAN_OF = {"5 min": WINDOW, "1 h": HOUR, "8 h": HOURS_8, "24 h": DAY, "year": YEAR}
PERMIT = "permit"


class Figure(NamedTuple):
    """The limits that hold for one kind of mean of a channel."""

    span: str  # WINDOW, HOUR, HOURS_8, DAY; YEAR is for reports
    max: float | None
    min: float | None
    basis: str
    mark: str  # how far it is to be believed: MARKS of rule.py


class Asked(NamedTuple):
    """What a channel writes as its `limits`."""

    symbol: str
    unit: str
    column: str
    size: str
    factors: Mapping[str, float]
    compare: Sequence[str]
    max: float | None
    min: float | None
    basis: str


def own(asked: Asked) -> tuple[Figure, ...]:
    """Figures of a channel that has no rule: its own, for each thing that it compares."""
    if asked.max is None and asked.min is None:
        return ()
    return tuple(Figure(span, asked.max, asked.min, asked.basis, PERMIT) for span in asked.compare)


def choose(rule: Rule, asked: Asked) -> tuple[Figure, ...]:
    """Figures of a channel that names `rule`. LimitsFault."""
    rows = [row for row in rule.rows if asked.symbol in row.symbols]
    given = asked.max is not None or asked.min is not None
    if not rows and not given:
        there = sorted({symbol for row in rule.rows for symbol in row.symbols})
        what = f"{rule.name} has no figures for {asked.symbol}" + (
            f", only for {', '.join(there)}." if there else "."
        )
        raise LimitsFault(what, "Write max or min from the permit, or parameter = the rule's symbol for it.")
    rows = _of_size(rule, rows, asked)
    _column(rule, rows, asked)
    _factors(rule, rows, asked)
    for row in rows:
        if unit_of(asked.unit) != row.unit:
            what = f"The channel {asked.symbol} has the unit {asked.unit!r}, {rule.name} {row.unit!r}."
            raise LimitsFault(what, "Correct the channel's unit, or write max in it, as the permit does.")
    found: dict[str, Figure] = {}
    for row in rows:
        for figure in _figures(rule, row, asked):
            found[figure.span] = figure
    if given:
        for span in asked.compare:
            found[span] = _overridden(found.get(span), span, asked, rule)
    elif not found:
        what = f"{rule.name} has no figure for {asked.symbol} in column {asked.column}."
        raise LimitsFault(what, "Choose another column, or write max or min from the permit.")
    return tuple(found.values())


def _of_size(rule: Rule, rows: Sequence[Row], asked: Asked) -> list[Row]:
    sizes = list(dict.fromkeys(row.size for row in rows if row.size))
    known = {row.size for row in rule.rows if row.size}
    if asked.size and asked.size not in known:
        what = f"{rule.name} knows no size {asked.size!r}."
        raise LimitsFault(what, f"Write one of: {', '.join(sorted(known))}." if known else "Leave size out.")
    if sizes and not asked.size:
        what = f"{rule.name} has figures for {asked.symbol} by size."
        raise LimitsFault(what, f"Write size = one of: {', '.join(map(repr, sizes))}.")
    return [row for row in rows if row.size in ("", asked.size)]


def _column(rule: Rule, rows: Sequence[Row], asked: Asked) -> None:
    if asked.column and asked.column not in rule.columns:
        what = f"{rule.name} has no column {asked.column!r}."
        there = f"Write one of: {', '.join(rule.columns)}." if rule.columns else "Leave column out."
        raise LimitsFault(what, there)
    if rows and rule.columns and not asked.column:
        raise LimitsFault(f"{rule.name} has columns.", f"Write column = one of: {', '.join(rule.columns)}.")


def _factors(rule: Rule, rows: Sequence[Row], asked: Asked) -> None:
    for name in asked.factors:
        if name not in rule.factors:
            has = f"only {', '.join(rule.factors)}" if rule.factors else "none"
            raise LimitsFault(f"{rule.name} has no factor {name}: {has}.", f"Remove {name}.")
    for name in rule.factors:
        if name not in asked.factors and any(row.factors for row in rows):
            table = f" ({rule.tables[name].told()})" if name in rule.tables else ""
            what = f"{rule.name} multiplies {asked.symbol} by {name}, and it is not written."
            raise LimitsFault(what, f"Write {name} from the permit{table}.")


def _figures(rule: Rule, row: Row, asked: Asked) -> list[Figure]:
    column = asked.column if rule.columns else ONE
    most, least = row.max.get(column), row.min.get(column)
    if most is None and least is None:
        return []
    said = " ".join(filter(None, (rule.name, asked.column, row.size)))
    mark = row.mark
    if row.factors and most is not None:
        product = Decimal(repr(most))
        for name in rule.factors:
            product *= Decimal(repr(asked.factors[name]))
            said += f", {name.capitalize()} {asked.factors[name]:g}"
        most = float(product)
    spans = [SPAN_OF[row.span]] if row.span else asked.compare
    return [Figure(span, most, least, asked.basis or said, mark) for span in spans]


def _overridden(figure: Figure | None, span: str, asked: Asked, rule: Rule) -> Figure:
    basis = asked.basis or f"{rule.name} {asked.column}".rstrip() + ", permit"
    if figure is None:
        return Figure(span, asked.max, asked.min, basis, PERMIT)
    most = figure.max if asked.max is None else asked.max
    least = figure.min if asked.min is None else asked.min
    whole = (asked.max is not None or figure.max is None) and (asked.min is not None or figure.min is None)
    return Figure(span, most, least, basis, PERMIT if whole else figure.mark)


def unverified(figures: Sequence[Figure]) -> list[Figure]:
    """Those that are to be held against the permit before anybody relies on them."""
    return [figure for figure in figures if figure.mark == NOT_VERIFIED]
