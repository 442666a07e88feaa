"""Loads and fees of a report, from the columns of its channels. Pure.

Rule 1: one flow, [fees] flow, or else the only channel whose unit is one of a flow: with several of them
        nobody can guess which one carries the load, and the report says so.
Rule 2: a load is of the time in which flow and concentration are valid; what is not covered stands beside.
Rule 3: a fee is of a whole quarter that the report holds; rates are what [fees] says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.columns import Columns, none_of
from gateway.fees import EMISSION, WASTEWATER, Draft, of_loads
from gateway.loads import Gap, Load, UnitRefused, Volume, is_concentration, is_flow
from gateway.loads_columns import Flow, Product
from gateway.spans import Quarter, Span, days, month, quarter_of

DECREES = {"wastewater": WASTEWATER, "stack": EMISSION}


class Rates(NamedTuple):
    """`[fees]`."""

    flow: str | None = None
    monitored: bool = True
    vnd_kg: Mapping[str, float] = {}


class Loaded(NamedTuple):
    """A parameter's load: of the whole time with its gaps, of each month and day without."""

    unit: str
    whole: Load
    months: tuple[Load, ...]
    days: tuple[Load, ...]


class Refused(NamedTuple):
    """A channel whose unit gives no load with this flow."""

    symbol: str
    unit: str


class Loads(NamedTuple):
    flow: str  # "" where it is not known which
    flow_unit: str
    flows: tuple[str, ...]  # all that could be
    volume: Volume | None
    loads: tuple[Loaded, ...]
    refused: tuple[Refused, ...]
    fee_asked: bool
    drafts: tuple[Draft, ...]

    @property
    def is_normal(self) -> bool:
        """Whether volumes are at 25 °C and 760 mmHg."""
        return self.flow_unit.lower().startswith("nm")


def has_to_keep(unit: str) -> bool:
    """Whether the windows of a channel in this unit are needed here."""
    return is_flow(unit) or is_concentration(unit)


def loads_of(
    units: Sequence[tuple[str, str]], columns: Mapping[tuple[str, str], Columns], rates: Rates, kind: str,
    span: Span, reach_ms: int, step_ms: int,
) -> Loads | None:  # fmt: skip
    """`units`: (symbol, unit) as configured. None where there is neither [fees] nor anything to compute."""
    flows = tuple(symbol for symbol, unit in units if is_flow(unit))
    concentrations = [pair for pair in units if is_concentration(pair[1])]
    if rates.flow is None and not (flows and concentrations):
        return None
    name = rates.flow or (flows[0] if len(flows) == 1 else "")
    unit = dict(units).get(name, "")
    nothing = Loads(name, unit, flows, None, (), (), rates.flow is not None, ())
    if not name or not is_flow(unit):
        return nothing
    flow = Flow(columns.get((name, unit), none_of(name, unit)), step_ms)
    reached = Span(span.start_ms, max(span.start_ms, min(span.end_ms, reach_ms)))
    products: dict[str, Product] = {}
    refused = []
    for symbol, of in concentrations:
        try:
            products[symbol] = Product(flow, columns.get((symbol, of), none_of(symbol, of)))
        except UnitRefused:
            refused.append(Refused(symbol, of))
    loaded = [_loaded(product, reached) for product in products.values()]
    drafts = _drafts(flow, products, rates, kind, span, reached)
    return nothing._replace(
        volume=flow.volume(reached), loads=tuple(loaded), refused=tuple(refused), drafts=tuple(drafts)
    )


def _loaded(product: Product, reached: Span) -> Loaded:
    months = [product.load(part, gaps=False) for part in months_of(reached)]
    each = [product.load(part, gaps=False) for part in days_of(reached)]
    return Loaded(product.of.unit, product.load(reached), tuple(months), tuple(each))


def _drafts(
    flow: Flow, products: Mapping[str, Product], rates: Rates, kind: str, span: Span, reached: Span
) -> list[Draft]:
    decree = DECREES.get(kind)
    if rates.flow is None or decree is None:
        return []
    found = []
    for quarter in quarters_of(span):
        if quarter.period.start_ms >= reached.end_ms:
            break
        loads = {
            symbol: products[symbol].load(quarter.period)
            for symbol in rates.vnd_kg
            if symbol in products and not products[symbol].of.is_empty
        }
        volume = flow.volume(quarter.period)
        found.append(of_loads(decree, volume, loads, rates.vnd_kg, quarter, monitored=rates.monitored))
    return found


def days_of(span: Span) -> list[Span]:
    """The days of a span; the first and the last one may be cut."""
    borders = [day.start_ms for day in days(span.start_ms, span.end_ms)]
    return _parts(span, borders)


def months_of(span: Span) -> list[Span]:
    """The months of a span; the first and the last one may be cut."""
    borders = [each.start_ms for quarter in _touched(span) for each in _months(quarter)]
    return _parts(span, borders)


def quarters_of(span: Span) -> list[Quarter]:
    """Those that lie within a span as a whole."""
    return [
        quarter
        for quarter in _touched(span)
        if span.start_ms <= quarter.period.start_ms and quarter.period.end_ms <= span.end_ms
    ]


def _touched(span: Span) -> list[Quarter]:
    found, at_ms = [], span.start_ms
    while at_ms < span.end_ms:
        found.append(quarter_of(at_ms))
        at_ms = found[-1].period.end_ms
    return found


def _months(quarter: Quarter) -> list[Span]:
    return [month(quarter.year, 3 * quarter.number - 2 + i) for i in range(3)]


def _parts(span: Span, borders: list[int]) -> list[Span]:
    inside = [border for border in borders if span.start_ms < border < span.end_ms]
    ends = [*inside, span.end_ms]
    starts = [span.start_ms, *inside]
    return [Span(start, end) for start, end in zip(starts, ends, strict=True) if start < end]


def gaps_alike(found: Loads) -> list[tuple[Gap, tuple[str, ...]]]:
    """Gaps of all parameters by time; those of the same time and reason once, with all their parameters."""
    alike: dict[Gap, list[str]] = {}
    for one in found.loads:
        for gap in one.whole.gaps:
            alike.setdefault(gap, []).append(one.whole.symbol)
    ordered = sorted(alike.items(), key=lambda item: (item[0].start_ms, item[0].end_ms, item[1]))
    return [(gap, tuple(symbols)) for gap, symbols in ordered]
