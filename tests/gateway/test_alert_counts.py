"""gateway/alert_counts.py: what stands, counted by rule, level and state; nothing standing is a 0."""

from __future__ import annotations

import pytest

from gateway.alert_counts import counts, level
from gateway.reports.alert_words import RULES


def test_nothing_stands_is_a_zero_for_every_rule_and_state():
    found = counts([])
    assert len(found) == 3 * len(RULES) and {row["open"] for row in found.values()} == {0}
    assert {state for _, _, state in found} == {"raised", "acknowledged", "escalated"}


def test_each_that_stands_counts_once_also_of_a_rule_that_has_a_span_or_is_unknown():
    listed = [
        {"rule": "limit", "state": "raised"}, {"rule": "limit", "state": "raised"},
        {"rule": "limit", "state": "escalated"}, {"rule": "near hour", "state": "raised"},
        {"rule": "later", "state": "acknowledged"},
    ]  # fmt: skip
    found = {place: row["open"] for place, row in counts(listed).items() if row["open"]}
    assert found == {
        ("limit", "alarm", "raised"): 2, ("limit", "alarm", "escalated"): 1,
        ("near hour", "warning", "raised"): 1, ("later", "alarm", "acknowledged"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "shown"),
    [("near", "warning"), ("near day", "warning"), ("nearly", "alarm"), ("limit 8 hours", "alarm"),
     ("door open", "warning"), ("mains lost", "alarm"), ("no data", "alarm")],
)  # fmt: skip
def test_two_levels(rule, shown):
    assert level(rule) == shown
