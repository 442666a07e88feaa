"""`quantrac station profile`: which profiles there are, what is in one, and whether a new one holds.

A check tells every fault at once, then what looks suspicious (profile_doubts.py), then serves the profile
with the simulator and lets a station measure it (profile_trial.py).
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from protocol import instruments, profile_ask, profile_trap
from protocol.errors import ConfigError
from protocol.profile import Profile, answered
from protocol.quality import NAMES
from tools.people import UsageError

WIDTH = 80


@dataclass(frozen=True)
class CheckOptions:
    """`answers`: id=value, to questions; the others are answered by examples. `read`: serve and measure."""

    file: Path
    answers: tuple[str, ...] = ()
    read: bool = True
    json: bool = False


# ---- list and show


def run_list(kind: str | None, mark: str | None, word: str | None, as_json: bool) -> int:
    """Print the profiles, those of a station kind or a mark only. UsageError for a kind that is none."""
    profiles = [instruments.load(name) for name in instruments.names()]
    kinds = sorted({kind for profile in profiles for kind in profile.station_kinds})
    if kind is not None and kind not in kinds:
        raise UsageError(f'No station is of the kind "{kind}": write one of {", ".join(kinds)}.')
    if mark is not None and mark.upper() not in {profile.mark for profile in profiles}:
        raise UsageError(f'No profile has the mark "{mark}": write MAKER, CODE or GENERIC.')
    chosen = [
        profile
        for profile in profiles
        if (kind is None or kind in profile.station_kinds)
        and (mark is None or profile.mark == mark.upper())
        and (word is None or word.lower() in f"{profile.name} {profile.title} {profile.maker}".lower())
    ]
    if as_json:
        print(json.dumps([_row(profile) for profile in chosen], ensure_ascii=False))
        return 0
    size = max((len(profile.name) for profile in chosen), default=0)
    for profile in chosen:
        asks = f"{len(profile.asks)} open" if profile.asks else ""
        room = WIDTH - size - 20
        title = profile.title if len(profile.title) <= room else profile.title[: room - 3] + "..."
        print(f"{profile.name:{size}}  {profile.mark:7}  {title:{room}}  {asks}".rstrip())
    print(f"{len(chosen)} profiles; `open` counts the questions that a technician answers on site.")
    return 0


def run_show(name: str, as_json: bool) -> int:
    """Print one profile, by its name or its file. UsageError when there is none, ConfigError when broken."""
    profile = _named(name)
    if as_json:
        print(json.dumps(_row(profile) | {"profile": profile.table}, ensure_ascii=False))
        return 0
    print("\n".join(shown(profile)))
    return 0


def _named(name: str) -> Profile:
    if name.endswith(".toml"):
        return instruments.read(_existing(Path(name)))
    if name in instruments.names():
        return instruments.load(name)
    near = [known for known in instruments.names() if name.lower() in known]
    hint = (
        f"Did you mean {', '.join(near[:5])}?" if near else "`quantrac station profile list` has the names."
    )
    raise UsageError(f'No profile is called "{name}". {hint}')


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"There is no file {path}: name the profile's TOML file.")
    return path


def _row(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "mark": profile.mark,
        "kinds": list(profile.station_kinds),
        "quantities": [q.id for q in profile.quantities],
        "questions": [
            {"id": ask.id, "kind": ask.kind, "text": ask.text, "write": profile_ask.wanted(ask)}
            for ask in profile.asks
        ],
    }


def shown(profile: Profile) -> list[str]:
    """A profile for people, in lines of at most 80 characters."""
    lines = _folded(profile.title, "")
    lines += _folded(f"{profile.name}, by {profile.maker}; {MARKS[profile.mark]}", "  ")
    lines += _folded(f"source: {profile.source}", "  ")
    lines += _folded(f"for: {', '.join(profile.station_kinds)}", "  ")
    lines += _folded("line: " + _link(profile), "  ")
    lines += ["", "Quantities (register on the wire, and as printed)"]
    for q in profile.quantities:
        printed = f" ({q.printed})" if q.printed else ""
        words = f" {q.word_order}" if q.type not in ("int16", "uint16") else ""
        scale = "" if q.scale == 1 else f" x {_brief(q.scale)}"
        lines += _folded(f"{q.id}: {q.symbol} {q.unit}".rstrip(), "  ")
        lines += _folded(f"{q.table} {q.register}{printed}, {q.type}{words}{scale}", "      ")
        if q.statuses:
            lines += _folded(f"good only when {', '.join(q.statuses)} say so", "      ")
    for title, entries in (
        ("States", [_status(status) for status in profile.statuses]),
        ("Started by", [_start(start) for start in profile.starts]),
        ("Traps", [f"{profile_trap.KINDS[t.kind]} ({t.source})" for t in profile.traps]),
        (
            "To be answered on site",
            [f"{ask.id}: {ask.text} ({ask.source}) Write {profile_ask.wanted(ask)}." for ask in profile.asks],
        ),
    ):
        if entries:
            lines += ["", title]
            for entry in entries:
                lines += _folded(" ".join(entry.split()), "  ")
    return lines


MARKS = {
    "MAKER": "read in the maker's document",
    "CODE": "read in other people's code: compare one value on site",
    "GENERIC": "made for demonstrations, no real instrument",
}


def _link(profile: Profile) -> str:
    link, stated = profile.link, profile.link.stated
    said = [f"{key} {getattr(link, key)}" for key in ("baud", "parity", "stopbits", "unit") if key in stated]
    lacking = [key for key in ("baud", "parity", "stopbits", "unit") if key not in stated]
    if lacking:
        said.append(f"not stated: {', '.join(lacking)}")
    said += [f"{key} {getattr(link, key)}" for key in ("gap_ms", "startup_ms") if getattr(link, key)]
    if link.max_block != 125:
        said.append(f"at most {link.max_block} registers a read")
    if not link.merge:
        said.append("one value a request")
    return "; ".join(said)


def _status(status: Any) -> str:
    codes = ", ".join(
        # of an open profile they are as the file has them
        f"{code if isinstance(code, str) else hex(code)} {what if isinstance(what, str) else NAMES[what]}"
        for code, what in status.values.items()
    )
    mask = "" if status.mask in (0xFFFF, 0xFFFFFFFF) else f" under {status.mask:#x}"
    return (
        f"{status.id}: {status.table} {status.register}{mask}: {codes}; any other {NAMES[status.otherwise]}"
    )


def _start(start: Any) -> str:
    return (
        f"function {start.function} at {start.register}, words {list(start.words)}; waits {start.wait_ms} ms"
    )


def _brief(scale: Any) -> str:
    return scale if isinstance(scale, str) else f"{scale:g}"


def _folded(text: str, indent: str) -> list[str]:
    blanks = " " * len(indent) if "-" in indent else indent + "    "
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=blanks, break_on_hyphens=False) or [
        indent
    ]


# ---- check


def run_check(options: CheckOptions) -> int:
    """Check a profile's file: 0 when it holds, doubts or not, 1 with every fault when it does not."""
    from tools.station.profile_doubts import doubts
    from tools.station.profile_trial import Measured, trial

    path = _existing(options.file)
    try:
        profile = instruments.read(path)
    except ConfigError as error:
        return _faulty(path, getattr(error, "faults", [str(error)]), options.json)
    answers = _answers(profile, options.answers)
    closed = answered(profile, answers)
    found = doubts(closed, profile)
    measured: list[Measured] = []
    if options.read:
        if not options.json and sys.stderr.isatty():
            longest = sum(start.wait_ms for start in profile.starts) // 1000
            print(f"Serving it to a station; that takes {longest + 10} s or so ...", file=sys.stderr)
        measured = asyncio.run(trial(closed))
    wrong = [m for m in measured if not m.holds]
    if options.json:
        print(
            json.dumps(
                {
                    "file": str(path),
                    "faults": [],
                    "doubts": found,
                    "answers": answers,
                    "measured": [m.row() for m in measured],
                },
                ensure_ascii=False,
            )
        )
        return 1 if wrong else 0
    print(f"{path}: no fault.")
    _tell(profile, answers, found, measured)
    return 1 if wrong else 0


def _faulty(path: Path, faults: list[str], as_json: bool) -> int:
    if as_json:
        print(json.dumps({"file": str(path), "faults": faults}, ensure_ascii=False))
        return 1
    print(f"{path}: {len(faults)} to correct.")
    for fault in faults:
        print("\n".join(_folded(fault, "  - ")))
    return 1


def _answers(profile: Profile, given: tuple[str, ...]) -> dict[str, Any]:
    answers = profile_ask.examples(profile.asks)
    asks = {ask.id: ask for ask in profile.asks}
    for text in given:
        id, _, value = text.partition("=")
        if id not in asks:
            known = ", ".join(asks) or "none, it asks nothing"
            raise UsageError(f'--answer {text}: the profile does not ask "{id}"; its questions: {known}.')
        answers[id] = profile_ask.from_text(asks[id], value)
        if answers[id] is None:
            raise UsageError(f"--answer {text}: write {id}= and {profile_ask.wanted(asks[id])}.")
    return answers


def _tell(profile: Profile, answers: dict, found: list[str], measured: list) -> None:
    if answers:
        print("It asks the technician; tried out with:")
        for id, value in answers.items():
            print("\n".join(_folded(f"{id} = {value}", "  ")))
    if found:
        print("Suspicious, look again:")
        for doubt in found:
            print("\n".join(_folded(doubt, "  - ")))
    if not measured:
        return
    print("Served by the simulator and read by a station's firmware, it measures:")
    size = max(len(m.quantity) for m in measured)
    for m in measured:
        unit = profile.quantity(m.quantity).unit
        verdict = "" if m.holds else f"  BUT THE INSTRUMENT HELD {m.held}"
        number = "no number" if m.value is None else f"{m.value:.7g}"
        print(f"  {m.quantity:{size}}  {number:>12} {unit:7} {m.quality}{verdict}"[:WIDTH])
