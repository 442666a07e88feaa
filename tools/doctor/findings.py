"""What the doctor found: each a level, a subject and a sentence that says what to do.

Rule 1: "unknown" is what could not be looked at, with the reason: it is never taken for good.
Rule 2: no sentence shows a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

GOOD, WARNING, FAULT, UNKNOWN = "good", "warning", "fault", "unknown"
LEVELS = (FAULT, WARNING, UNKNOWN, GOOD)
"""The worst first."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: str  # one of LEVELS
    about: str  # "disk", "clock", "destination province", ...
    text: str  # a sentence


def good(about: str, text: str) -> Finding:
    return Finding(GOOD, about, text)


def warning(about: str, text: str) -> Finding:
    return Finding(WARNING, about, text)


def fault(about: str, text: str) -> Finding:
    return Finding(FAULT, about, text)


def unknown(about: str, text: str) -> Finding:
    return Finding(UNKNOWN, about, text)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """As people read them; those of a level keep their order."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
