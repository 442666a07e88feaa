"""The provincial files of a range, written again from the windows' rows and the configuration in the log.

Rule 1: as gateway/documents.py: one file for each first revision that has a number and was not all OFF. Which
        stations' codes stand in a name says the log's own name.
Rule 2: a journal of an earlier version did not keep how many decimals a channel has: no file is written then.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.reports import provincial
from gateway.reports.layout import named_after
from gateway.succession import epoch_of
from gateway.verify_windows import Group
from gateway.windows import OFF
from protocol.merkle import EvidenceError

DECIMALS_MAX = 9  # as the configuration allows


class Codes(NamedTuple):
    """Who a station is, as in the name of its log."""

    province: str
    facility: str
    code: str


def codes_of(origin: str) -> Codes:
    """From the name of a log, of whichever epoch: gateway.journal.checkpoints.origin(). EvidenceError."""
    kind, *codes = epoch_of(origin)[0].split("/")
    if kind != "quantrac":
        raise EvidenceError("the log is not called quantrac/<province>/<facility>/<station>")
    return Codes(*codes)


def rendered(codes: Codes, group: Group) -> tuple[str, bytes | None] | None:
    """(name, bytes) of the file that follows from these rows; None for none, bytes None by rule 2."""
    if group.revision != 1 or all(window.reason == OFF for window in group.windows):
        return None
    first = group.windows[0]
    label_ms = named_after(group.settings.label, first.start_ms, first.end_ms)
    name = provincial.file_name(codes, label_ms)  # type: ignore[arg-type]
    for channel in group.channels:
        if channel.decimals is None:
            return name, None
        if type(channel.decimals) is not int or not 0 <= channel.decimals <= DECIMALS_MAX:
            raise EvidenceError(f"the configuration before entry {group.idx} has impossible decimals")
    try:
        data = provincial.render(group.channels, group.windows, label_ms)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise EvidenceError(f"entry {group.idx}: no provincial file can be written of these rows") from None
    return (name, data) if data else None


class Files:
    """`hear` each group of a Recomputation; then `expected` holds all files of its range."""

    def __init__(self, codes: Codes):
        self._codes = codes
        self.expected: dict[str, bytes] = {}
        self.unknown: set[str] = set()  # rule 2

    def hear(self, group: Group) -> None:
        found = rendered(self._codes, group)
        if found is None:
            return
        name, data = found
        if data is None:
            self.unknown.add(name)
        else:
            self.expected[name] = data


def compare(name: str, data: bytes, expected: bytes) -> None:
    """EvidenceError unless they are the same, with the first line that is not."""
    if data == expected:
        return
    lines, again = data.split(b"\n"), expected.split(b"\n")
    number = next((n for n, (a, b) in enumerate(zip(lines, again, strict=False)) if a != b), None)
    if number is None:
        number = min(len(lines), len(again)) - 1
    said, gives = (some[number][:200].decode("utf-8", "backslashreplace").strip() for some in (lines, again))
    raise EvidenceError(f"{name}, line {number + 1}: it says {said!r}, and the windows give {gives!r}")
