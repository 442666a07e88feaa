"""gateway/metrics.py: a page that Prometheus' own parser reads, with the names that must balance."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import exporter

FAMILIES = {
    "readings": ("channel", {
        "COD": {"read": 5, "open": 2, "late": 1}, 'p"H\\\n': {"read": 7, "open": 0, "late": 0},
    }),
    "documents": ("destination", {"province": {
        "queued": 3, "waiting": 1, "connected": True, "refused": False, "retry_in_s": 1.5, "last_error": "no",
        "oldest_unsent_s": 12.25,
    }}),
    "device": ("device", {"st-01": {"refused": 4, "connected": 1}}),
    "unit": ("unit", {"tank/1": {"polls": 9, "late_ms": 0.5, "backoff_s": 0.0}}),
    "journal": ("", {"": {"entries": 10, "status": ""}}),
}  # fmt: skip


def families(found=FAMILIES) -> dict:
    text = exporter(lambda: found)().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.mark.parametrize(
    ("name", "kind", "samples"),
    [
        ("quantrac_readings_read", "counter", {"COD": 5, 'p"H\\\n': 7}),
        ("quantrac_readings_open", "gauge", {"COD": 2, 'p"H\\\n': 0}),
        ("quantrac_readings_late", "gauge", {"COD": 1, 'p"H\\\n': 0}),
        ("quantrac_documents_queued", "counter", {"province": 3}),
        ("quantrac_documents_waiting", "gauge", {"province": 1}),
        ("quantrac_documents_connected", "gauge", {"province": 1}),
        ("quantrac_documents_refused", "gauge", {"province": 0}),
        ("quantrac_documents_retry_in_s", "gauge", {"province": 1.5}),
        ("quantrac_documents_oldest_unsent_s", "gauge", {"province": 12.25}),
        ("quantrac_device_refused", "counter", {"st-01": 4}),
        ("quantrac_unit_polls", "counter", {"tank/1": 9}),
        ("quantrac_unit_late_ms", "gauge", {"tank/1": 0.5}),
        ("quantrac_journal_entries", "counter", {"": 10}),
    ],
)
def test_each_number_is_there_as_what_it_is(name, kind, samples):
    family = families()[name]
    assert family.type == kind
    suffix = "_total" if kind == "counter" else ""
    assert {sample.name for sample in family.samples} == {name + suffix}
    assert {"".join(sample.labels.values()): sample.value for sample in family.samples} == samples


def test_texts_are_left_out():
    assert not [name for name in families() if name.endswith(("status", "last_error"))]


def test_the_page_is_made_anew_each_time():
    found = {"journal": ("", {"": {"entries": 1}})}
    page = exporter(lambda: found)
    assert b"quantrac_journal_entries_total 1.0" in page()
    found["journal"][1][""]["entries"] = 2
    assert b"quantrac_journal_entries_total 2.0" in page()
