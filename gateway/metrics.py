"""The gateway's numbers in Prometheus' text format, made from the same objects as /api/v1/current.

The names that must balance (gateway/counters.py):
    quantrac_readings_read_total == _journaled_total == _windowed_total + _open + _late + _unplaced_total
    quantrac_documents_queued_total == _delivered_total + _parked + _waiting
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATES = {  # names that go up and down; all others only grow
    "open", "late", "waiting", "oldest_unsent_s", "retry_in_s", "connected", "up",
    "backoff_s", "response_ms", "late_ms", "last_ok_ms",
    "documents_parked", "rate_per_s", "eta_s",
    "documents_refused", "witness_refused",  # with the family's name: other families count what they refuse
    "witness_size", "age_s", "behind_s", "disputed",
    "retention_days", "free_bytes", "journal_bytes", "unused_bytes", "held_days", "entries_per_day",
    "bytes_per_entry", "left_days", "fits_days",
}  # fmt: skip


class Numbers(Collector):
    """`read()` gives {family: {label: value, ...: {name: number}}}, see families()."""

    def __init__(self, families: Callable[[], dict[str, tuple[str, dict[str, dict[str, Any]]]]]):
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """One metric for each name of each family, one sample for each of its members."""
        for prefix, (label, members) in self._families().items():
            names = dict.fromkeys(name for numbers in members.values() for name in numbers)
            for name in names:
                state = name in STATES or f"{prefix}_{name}" in STATES
                kind = GaugeMetricFamily if state else CounterMetricFamily
                metric = kind(
                    f"quantrac_{prefix}_{name}", f"{prefix}: {name}", labels=[label] if label else []
                )
                for member, numbers in members.items():
                    value = numbers.get(name)
                    if isinstance(value, int | float):
                        metric.add_metric([member] if label else [], float(value))
                if metric.samples:  # texts are for /api/v1/current
                    yield metric


def exporter(families: Callable[[], dict[str, tuple[str, dict[str, dict[str, Any]]]]]) -> Callable[[], bytes]:
    """A function that gives the page /metrics.

    families: prefix -> (label's name, {label's value: {metric: number}}); a label's name "" means no label.
    """
    registry = CollectorRegistry()
    registry.register(Numbers(families))
    return lambda: generate_latest(registry)
