"""Checks by the ledger's seven numbers, by alerts, by how soon everything was through again, and by notes."""

from __future__ import annotations

from tools.scenario.check_read import Evidence, Said
from tools.scenario.notes import REFUSED, Note

RECOVER_SHARE = 10  # a backlog is through in a tenth of the fault
RECOVER_MS = 5 * 60_000  # and five minutes
_BEGUN, _OVER, _TAKEN = "raised", "cleared", "acknowledged"


def nothing_lost(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """None of what was acknowledged is missing; something was acknowledged."""
    del given
    numbers = evidence.numbers
    found = f"{numbers.lost} of {numbers.acknowledged} acknowledged"
    return numbers.lost == 0 < numbers.acknowledged, _with(found, numbers.examples)


def nothing_doubled(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Neither a reading nor a document is there twice."""
    del given
    numbers = evidence.numbers
    there = numbers.ok > 0 and bool(evidence.ledger.arrivals)
    return numbers.duplicated == 0 and there, _with(f"{numbers.duplicated} of {numbers.ok}", numbers.examples)


def nothing_unexpected(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Every reading in the journal was made, with this value."""
    del given
    numbers = evidence.numbers
    return numbers.unexpected == 0 < numbers.ok, _with(f"{numbers.unexpected}", numbers.examples)


def nothing_missing(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """All that was made is there, acknowledged or not, but for so many."""
    missing, attempts = evidence.ledger.missing(evidence.rows), evidence.numbers.attempts
    return missing <= given.get("but", 0) and attempts > missing, f"{missing} of {attempts} made"


def recovered(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """So many waited for a fault's end."""
    found = evidence.numbers.recovered
    return found >= given["least"] > 0, f"{found} readings"


def in_time(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Every fault's backlog was through in a tenth of its length and five minutes."""
    del given
    faults = evidence.scenario.faults
    late, slowest = [], 0
    for number, fault in enumerate(faults):
        took_ms = evidence.drained_ms.get(number)
        allowed_ms = (fault.for_ms or 0) // RECOVER_SHARE + RECOVER_MS
        if took_ms is None:
            late.append(f"{fault.where} {fault.how}: never")
        elif took_ms > allowed_ms:
            late.append(f"{fault.where} {fault.how}: {took_ms // 1000} s, allowed {allowed_ms // 1000} s")
        slowest = max(slowest, took_ms or 0)
    return bool(faults) and not late, "; ".join(late) or f"{len(faults)} faults, slowest {slowest // 1000} s"


def alert(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Raised in time; if asked, taken in hand by that person, and cleared in time."""
    said = _about(evidence, given)
    from_ms = evidence.begins_ms + given["from"]
    raised = [one.at_ms for one in said if one.what == _BEGUN and from_ms <= one.at_ms]
    found = _told(evidence, said)
    if not raised or raised[0] > from_ms + given["within"]:
        return False, found
    later = [one for one in said if one.at_ms >= raised[0]]
    over = [one.at_ms for one in later if one.what == _OVER]
    until_ms = evidence.begins_ms + given["cleared"] if "cleared" in given else None
    if until_ms is not None and not any(at_ms <= until_ms for at_ms in over):
        return False, found
    taken = [one for one in later if one.what == _TAKEN and (not over or one.at_ms <= over[0])]
    return "by" not in given or any(one.by == given["by"] for one in taken), found


def no_alert(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """None was raised, not even late; there were windows in which one could have been."""
    said = _about(evidence, given)
    return bool(evidence.windows) and not said, _told(evidence, said)


def refused(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """That person was refused that, with these words in the answer."""
    found = [note for note in evidence.notes if is_refusal(note, given)]
    return bool(found), "; ".join(map(str, found)) or "nobody was"


def is_refusal(note: Note, given: dict) -> bool:
    """Whether an expectation of a refusal speaks of this note."""
    if note.kind != REFUSED or (note.by, note.act) != (given["by"], given["act"]):
        return False
    return str(given.get("says", "")) in note.text


def beside(evidence: Evidence) -> tuple[bool, str]:
    """Nothing happened beside the story, but for refusals that it expects."""
    expected = [one.given for one in evidence.scenario.expect if one.what == "refused"]
    notes = [note for note in evidence.notes if not any(is_refusal(note, dict(one)) for one in expected)]
    return not notes, "; ".join(str(note) for note in notes) or "nothing"


def _about(evidence: Evidence, given: dict) -> list[Said]:
    key = (given.get("rule", "limit"), given["about"])
    return [one for one in evidence.said if (one.rule, one.about) == key]


def _told(evidence: Evidence, said: list[Said]) -> str:
    hours = [f"{one.what} at {(one.at_ms - evidence.begins_ms) / 3_600_000:.2f} h" for one in said]
    return ", ".join(hours[:6]) or "nothing was said"


def _with(found: str, examples: tuple[str, ...]) -> str:
    return f"{found} ({'; '.join(examples[:3])})" if examples else found
