"""The gateway's numbers in Prometheus' text format, made from the same objects as /api/v1/current.

The names that must balance (gateway/counters.py):
    quantrac_readings_read_total == _journaled_total == _windowed_total + _open + _late + _unplaced_total
    quantrac_documents_queued_total == _delivered_total + _parked + _waiting
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Label = str | tuple[str, ...]
Families = dict[str, tuple[Label, Mapping[Any, dict[str, Any]]]]
"""prefix -> (label's name, {label's value: {metric: number}}); "" is no label, a tuple several."""

STATES = {  # names that go up and down; all others only grow
    "open", "late", "waiting", "oldest_unsent_s", "retry_in_s", "connected", "up",
    "backoff_s", "response_ms", "late_ms", "last_ok_ms",
    "documents_parked", "rate_per_s", "eta_s",
    "documents_refused", "witness_refused",  # with the family's name: other families count what they refuse
    "witness_size", "age_s", "behind_s", "disputed",
    "retention_days", "free_bytes", "journal_bytes", "unused_bytes", "held_days", "entries_per_day",
    "bytes_per_entry", "left_days", "fits_days",
    "trusted", "synchronized", "error_s", "problems", "alerts_open", "value", "good",
}  # fmt: skip


class Numbers(Collector):
    """`read()` gives {family: {label: value, ...: {name: number}}}, see families()."""

    def __init__(self, families: Callable[[], Families]):
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """One metric for each name of each family, one sample for each of its members."""
        for prefix, (label, members) in self._families().items():
            names = dict.fromkeys(name for numbers in members.values() for name in numbers)
            for name in names:
                state = name in STATES or f"{prefix}_{name}" in STATES
                kind = GaugeMetricFamily if state else CounterMetricFamily
                metric = kind(f"quantrac_{prefix}_{name}", f"{prefix}: {name}", labels=_labels(label))
                for member, numbers in members.items():
                    value = numbers.get(name)
                    if isinstance(value, int | float):
                        metric.add_metric(_labels(member) if label else [], float(value))
                if metric.samples:  # texts are for /api/v1/current
                    yield metric


def _labels(names: Label) -> list[str]:
    return list(names) if isinstance(names, tuple) else [names] if names else []


def exporter(families: Callable[[], Families]) -> Callable[[], bytes]:
    """A function that gives the page /metrics.

    Beside `families` it has what the process takes of the machine (process_*).
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Numbers(families))
    return lambda: generate_latest(registry)
