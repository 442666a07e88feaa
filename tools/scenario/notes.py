"""What happened in a scenario beside its story: a part that died by itself, a person who was refused.

Rule 1: every note makes the run fail (check.py), unless the story expects it: only a refusal can be part of
        one, as `[[expect]] what = "refused"`.
Rule 2: what an exception that nobody caught said is a note, too, of whichever part it was.
"""

from __future__ import annotations

from typing import NamedTuple

DIED, REFUSED, WAITED, STRANGE = "died", "refused", "waited", "strange"
"""A part died by itself; a person was refused; something waited still when all was over; a device said what
cannot be."""


class Note(NamedTuple):
    """`by` and `act`: of a refusal, who wanted to do what."""

    kind: str
    text: str
    by: str = ""
    act: str = ""

    def __str__(self) -> str:
        return self.text


def refused(by: str, act: str, said: str) -> Note:
    """A person did not get what he wanted."""
    return Note(REFUSED, f"{by} wanted to {act}: {said}", by, act)


def died(part: str, error: object) -> Note:
    """A part ended that was to go on; `error`: what it died of, or a sentence."""
    said = f"{error!r:.300}" if isinstance(error, BaseException) else str(error)
    return Note(DIED, f"{part} ended by itself: {said}")
