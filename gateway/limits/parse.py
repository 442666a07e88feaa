"""A regulation's limits, as they stand in one readable TOML file: strictly checked. Pure: text in, Rule out.

    [rule]      name, title, columns, factors, in_force_from, in_force_until, ...
    [[row]]     symbols, unit, max, min (a figure, or one for each column), size, span, factors, mark, source
    [[factor]]  name, by, unit, steps, mark, source: a table of Kq, Kf, Kp or Kv

Rule 1: nothing is guessed: what is unknown, missing or not a number is a LimitsFault, one sentence that names
        file and row, and one that says what to write instead.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from gateway.limits.rule import (
    FACTORS,
    MARKS,
    ONE,
    SPANS,
    SYMBOLS,
    UNITS,
    Factor,
    LimitsFault,
    Row,
    Rule,
    unit_of,
)

ROW_KEYS = ("symbols", "unit", "max", "min", "size", "span", "factors", "mark", "source")
RULE_KEYS = (
    *("name", "title", "columns", "factors", "oxygen_percent", "conditions"),
    *("in_force_from", "in_force_until", "dates_mark", "dates_source"),
)
FACTOR_KEYS = ("name", "by", "unit", "steps", "mark", "source")
TEXT_MAX = 300


def parse(text: str, file: str, symbols: Collection[str] = ()) -> Rule:
    """A rule from the text of its file. `symbols`: those of channels, beside the known ones. LimitsFault."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise LimitsFault(
            f"{file} is not TOML: {error}.", "Compare it with the rules of gateway/limits."
        ) from None
    _keys(table, ("rule", "row", "factor"), file)
    head = table.get("rule")
    if not isinstance(head, dict):
        raise LimitsFault(f"{file} has no table [rule].", 'Begin with [rule] and name = "...".')
    place = f"{file}, [rule]"
    _keys(head, RULE_KEYS, place)
    columns = _words(head, "columns", place)
    factors = _words(head, "factors", place)
    for factor in factors:
        _one_of(factor, FACTORS, "a factor", place)
    begins, ends = _day(head, "in_force_from", place), _day(head, "in_force_until", place)
    dates_mark = ""
    if begins or ends:
        dates_mark = _one_of(_text(head, "dates_mark", place), MARKS, "a mark", place)
        _text(head, "dates_source", place)
    if begins and ends and ends < begins:
        raise LimitsFault(f"{place}: it ends before it begins.", "Correct in_force_from or in_force_until.")
    if "conditions" in head:
        _text(head, "conditions", place)
    oxygen = _number(head["oxygen_percent"], "oxygen_percent", place) if "oxygen_percent" in head else None
    tables = {
        made.name: made
        for number, each in _tables(table, "factor", file)
        for made in [_factor(each, factors, f"{file}, factor {number}")]
    }
    rows = tuple(
        _row(each, columns, bool(factors), {*SYMBOLS, *symbols}, file, number)
        for number, each in _tables(table, "row", file)
    )
    _apart(rows, file)
    return Rule(
        _text(head, "name", place), _text(head, "title", place), columns, factors, begins, ends, dates_mark,
        oxygen, rows, tables, file,
    )  # fmt: skip


def _row(
    table: dict[str, Any],
    columns: Collection[str],
    factors: bool,
    known: Collection[str],
    file: str,
    number: int,
) -> Row:
    names = table.get("symbols")
    shown = f" ({', '.join(map(str, names))})" if isinstance(names, list) else ""
    place = f"{file}, row {number}{shown}"
    _keys(table, ROW_KEYS, place)
    symbols = _words(table, "symbols", place)
    if not symbols:
        raise LimitsFault(f"{place}: symbols is missing.", 'Write symbols = ["COD"].')
    for symbol in symbols:
        if symbol not in known:
            what = f"{place}: the symbol {symbol!r} is not known."
            raise LimitsFault(what, "Write it as the channel's symbol, upper and lower case as there.")
    unit = table.get("unit")
    if not isinstance(unit, str) or unit not in UNITS:
        meant = unit_of(unit) if isinstance(unit, str) else None
        near = f" (is {meant!r} meant?)" if meant is not None else ""
        what = f"{place}: the unit {unit!r} is not known{near}."
        raise LimitsFault(what, f"Write one of: {', '.join(map(repr, UNITS))}.")
    most, least = (_figures(table, key, columns, place) for key in ("max", "min"))
    if not most and not least:
        raise LimitsFault(
            f"{place}: it has neither max nor min.", "Write max = 75.0, or one for each column."
        )
    for column in most.keys() & least.keys():
        if least[column] >= most[column]:
            what = f"{place}: min {least[column]:g} is not below max {most[column]:g}."
            raise LimitsFault(what, "Write min smaller than max.")
    multiplied = table.get("factors", factors)
    if not isinstance(multiplied, bool) or (multiplied and not factors):
        raise LimitsFault(f"{place}: factors is true or false, and [rule] names them.", "Leave factors out.")
    if multiplied and least:
        raise LimitsFault(f"{place}: a least value is not multiplied by factors.", "Write factors = false.")
    span = table.get("span", "")
    if span != "":
        _one_of(span, SPANS, "a span", place)
    size = _text(table, "size", place) if "size" in table else ""
    mark = _one_of(_text(table, "mark", place), MARKS, "a mark", place)
    return Row(symbols, unit, most, least, size, span, multiplied, mark, _text(table, "source", place))


def _figures(table: dict[str, Any], key: str, columns: Collection[str], place: str) -> dict[str, float]:
    """By column; under ONE where the rule has no columns."""
    value = table.get(key)
    if value is None:
        return {}
    if not columns:
        return {ONE: _number(value, key, place)}
    if not isinstance(value, dict):
        shown = ", ".join(f"{column} = ..." for column in columns)
        raise LimitsFault(f"{place}: {key} is not by columns.", f"Write {key} = {{ {shown} }}.")
    for column in value:
        _one_of(column, columns, "a column", place)
    return {column: _number(figure, f"{key} of column {column}", place) for column, figure in value.items()}


def _factor(table: dict[str, Any], factors: Collection[str], place: str) -> Factor:
    _keys(table, FACTOR_KEYS, place)
    name = _one_of(_text(table, "name", place), factors, "a factor of [rule]", place)
    unit = _one_of(_text(table, "unit", place), tuple(UNITS), "a unit", place)
    steps: list[tuple[float, float]] = []
    found = table.get("steps")
    if not isinstance(found, list) or not found or not all(isinstance(step, dict) for step in found):
        raise LimitsFault(f"{place}: steps is no list of steps.", "Write [{ up_to = 50, value = 0.9 }, ...].")
    for step in found:
        _keys(step, ("up_to", "value"), place)
        up_to = _number(step["up_to"], "up_to", place) if "up_to" in step else math.inf
        value = _number(step.get("value"), "value", place)
        if value <= 0 or (steps and up_to <= steps[-1][0]):
            raise LimitsFault(f"{place}: steps do not rise, or a value is not above 0.", "Correct the steps.")
        steps.append((up_to, value))
    if not math.isinf(steps[-1][0]):
        raise LimitsFault(f"{place}: the last step ends.", "Add { value = ... } without up_to.")
    mark = _one_of(_text(table, "mark", place), MARKS, "a mark", place)
    return Factor(name, _text(table, "by", place), unit, tuple(steps), mark, _text(table, "source", place))


def _apart(rows: Collection[Row], file: str) -> None:
    """No two rows are for the same: nothing is chosen between them."""
    seen: dict[tuple[str, str, str], int] = {}
    for number, row in enumerate(rows, 1):
        for symbol in row.symbols:
            for (name, size, span), other in seen.items():
                if (name, span) == (symbol, row.span) and (size == row.size or not size or not row.size):
                    what = f"{file}, row {number} ({symbol}): row {other} is for the same."
                    raise LimitsFault(what, "Give them another size or span, or remove one.")
        seen |= {(symbol, row.size, row.span): number for symbol in row.symbols}


def _tables(table: dict[str, Any], key: str, file: str) -> list[tuple[int, dict[str, Any]]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise LimitsFault(f"{file}: {key} is no list of tables.", f"Write each below its own line [[{key}]].")
    return list(enumerate(found, 1))


def _keys(table: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in table:
        if key not in known:
            raise LimitsFault(
                f"{place}: there is no key {key!r}.", f"Remove it, or use one of: {', '.join(known)}."
            )


def _text(table: Mapping[str, Any], key: str, place: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > TEXT_MAX:
        what = f"{place}: {key} is missing." if value is None else f"{place}: {key} is not a line of text."
        raise LimitsFault(what, f'Write {key} = "...".')
    return value


def _words(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise LimitsFault(f"{place}: {key} is not a list of words.", f'Write {key} = ["A", "B"].')
    if len(set(value)) != len(value):
        raise LimitsFault(f"{place}: {key} names something twice.", "Name each once.")
    return tuple(value)


def _one_of(value: Any, known: Collection[str], kind: str, place: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise LimitsFault(f"{place}: {value!r} is not {kind}.", f"Write one of: {', '.join(known)}.")
    return value


def _number(value: Any, key: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e12:
        raise LimitsFault(f"{place}: {key} is {value!r}, which is no figure.", "Write a number such as 75.0.")
    return float(value)


def _day(table: Mapping[str, Any], key: str, place: str) -> date | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise LimitsFault(f"{place}: {key} is {value!r}, which is no day.", f"Write {key} = 2025-09-01.")
    return value
