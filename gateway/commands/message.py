"""Commands of the department, and the station's answers: C2SP signed notes. Pure.

    quantrac-command/v1                          quantrac-result/v1
    station quantrac/LCa/DEMO/NUO001             station quantrac/LCa/DEMO/NUO001
    counter 1774371600000                        command <SHA-256 of the command's text, hex>
    issued 2026-03-25T00:00:00+07:00             counter 1774371600000
    expires 2026-03-25T01:00:00+07:00            verb sample
    verb sample                                  at 2026-03-25T00:00:12+07:00
    bottles 1                                    state done
    reason exceeded at night                     reason Bottle 3 is filled.
                                                 details {"bottles":[...]}
    — dept.example <signature>
                                                 — quantrac/LCa/DEMO/NUO001 <signature>

    verb     arguments, each a line, in this order
    sample   bottles (1 to 24), reason (a line of at most 200 characters)
    resend   from, to (window ends, both included), symbols (with spaces between, or *), what (WHATS)
    status   none

Rule 1: the signed bytes travel as they are: the text of the note. Nothing is written anew to be checked.
Rule 2: a command has one encoding: text_of(parse(text)) == text. So its hash is its name.
Rule 3: nothing of a command is looked at before the signature of a pinned key on it was.
Rule 4: neither text can be a checkpoint: the first line of one is the log's name, which begins with
        "quantrac/" (decisions/0020).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from gateway.reports.message import rfc3339
from gateway.zone import LATEST_MS
from protocol import note
from protocol.merkle import EvidenceError
from protocol.note import Verifier

COMMAND_HEAD = "quantrac-command/v1"
RESULT_HEAD = "quantrac-result/v1"
BYTES_MAX = 8192
"""Of a command: ten times what one with all symbols needs."""
BOTTLES_MAX = 24
"""In one command: a carousel."""
REASON_MAX = 200
SYMBOLS_MAX = 64
COUNTER_MAX = (1 << 63) - 1
LIFE_MS_MAX = 31 * 86_400_000
"""From issued to expires: a command is for now, or for when the station is back."""
DETAILS_BYTES_MAX = 32_000
REASON_SAID_MAX = 2000
"""Characters of an answer's sentence."""
WHATS = ("windows", "hours", "alerts", "events", "checkpoints")
DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
STATES = (DONE, REFUSED, UNKNOWN)
"""UNKNOWN: the gateway was stopped while it did it."""

TOO_LARGE, MALFORMED, WRONG_KEY = "too large", "malformed", "wrong key"
OTHER_STATION, OLD_COUNTER, EXPIRED = "other station", "old counter", "expired"
TOO_EARLY, UNKNOWN_VERB, CLOCK = "not yet valid", "unknown verb", "clock untrusted"
"""Why a command is refused."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+07:00", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_HEAD = ("station", "counter", "issued", "expires", "verb")
_RESULT = ("station", "command", "counter", "verb", "at", "state", "reason", "details")


class Wrong(ValueError):
    """Why a message is refused: `code` for programs, the text for people."""

    def __init__(self, code: str, text: str):
        super().__init__(text)
        self.code = code


class Command(NamedTuple):
    """What the department asks for. Times are Unix ms."""

    station: str  # the log's first name
    counter: int  # of this key; only grows
    issued_ms: int
    expires_ms: int
    verb: str
    args: Mapping[str, Any]


class Result(NamedTuple):
    """What came of it."""

    station: str
    digest: str  # of the command's text; of the whole message where that was no note
    counter: int  # 0 where it could not be read
    verb: str  # "-" where it could not be read
    at_ms: int  # station time, whole seconds
    state: str  # STATES
    reason: str  # a sentence
    details: Mapping[str, Any]


class Signed(NamedTuple):
    """A message whose signature by a pinned key was checked."""

    key: Verifier
    text: str
    digest: str


def digest_of(data: bytes) -> str:
    """What a message is named in its answer: the hash of what is signed, whatever signatures stand below."""
    if len(data) <= BYTES_MAX:
        try:
            return sha256(note.parse(data).text.encode()).hexdigest()
        except EvidenceError:
            pass
    return sha256(data).hexdigest()


def opened(data: bytes, keys: Iterable[Verifier]) -> Signed:
    """Who of `keys` signed it. Wrong: TOO_LARGE, MALFORMED, WRONG_KEY."""
    if len(data) > BYTES_MAX:
        raise Wrong(TOO_LARGE, f"It has {len(data)} bytes; a command has at most {BYTES_MAX}.")
    try:
        found = note.parse(data)
    except EvidenceError as error:
        raise Wrong(MALFORMED, f"It is no signed note: {error}.") from None
    try:
        ((key, _), *_) = note.verify(found, keys)
    except EvidenceError as error:
        raise Wrong(WRONG_KEY, f"No key of the department signed it: {error}.") from None
    return Signed(key, found.text, sha256(found.text.encode()).hexdigest())


def parse(text: str) -> Command:
    """A command's text. Wrong: MALFORMED, UNKNOWN_VERB."""
    lines = _lines(text, COMMAND_HEAD)
    head = _fields(lines[: len(_HEAD)], _HEAD)
    issued_ms, expires_ms = _time(head["issued"]), _time(head["expires"])
    if not issued_ms < expires_ms <= issued_ms + LIFE_MS_MAX:
        raise Wrong(MALFORMED, "It expires after it was issued, and at most 31 days later.")
    verb, rest = head["verb"], lines[len(_HEAD) :]
    if verb not in _ARGUMENTS:
        known = ", ".join(_ARGUMENTS)
        raise Wrong(UNKNOWN_VERB, f"This station cannot do {verb!r:.40}: it knows {known}.")
    readers = _ARGUMENTS[verb]
    given = _fields(rest, tuple(readers))
    args = {name: read(given[name]) for name, read in readers.items()}
    if verb == "resend" and not args["from"] <= args["to"]:
        raise Wrong(MALFORMED, "The range ends before it begins.")
    command = Command(
        head["station"], _number(head["counter"], COUNTER_MAX), issued_ms, expires_ms, verb, args
    )
    if text_of(command) != text:
        raise Wrong(MALFORMED, "It is written in another way than commands are.")
    return command


def text_of(command: Command) -> str:
    """What is signed of it."""
    head = (
        command.station, str(command.counter), rfc3339(command.issued_ms), rfc3339(command.expires_ms),
        command.verb,
    )  # fmt: skip
    lines = [f"{name} {value}" for name, value in zip(_HEAD, head, strict=True)]
    for name in _ARGUMENTS[command.verb]:
        value = command.args[name]
        if name in ("from", "to"):
            value = rfc3339(value)
        elif name == "symbols":
            value = " ".join(value) or "*"
        lines.append(f"{name} {value}")
    return "\n".join([COMMAND_HEAD, *lines, ""])


def result_text(result: Result) -> str:
    """What the station signs."""
    details = msgspec.json.encode(result.details, order="deterministic")
    if len(details) > DETAILS_BYTES_MAX:
        details = msgspec.json.encode({"left_out": f"{len(details)} bytes of details do not fit"})
    reason = (
        "".join(c if c.isprintable() else " " for c in result.reason)[:REASON_SAID_MAX].strip()
        or result.state
    )
    values = (
        result.station, result.digest, str(result.counter), result.verb, rfc3339(result.at_ms),
        result.state, reason, details.decode(),
    )  # fmt: skip
    lines = [f"{name} {value}" for name, value in zip(_RESULT, values, strict=True)]
    return "\n".join([RESULT_HEAD, *lines, ""])


def parse_result(text: str) -> Result:
    """The inverse of result_text(). Wrong: MALFORMED."""
    found = _fields(_lines(text, RESULT_HEAD), _RESULT)
    try:
        details = msgspec.json.decode(found["details"], type=dict[str, Any])
    except msgspec.DecodeError:
        raise Wrong(MALFORMED, "Its details are no JSON object.") from None
    counter = 0 if found["counter"] == "0" else _number(found["counter"], COUNTER_MAX)
    return Result(
        found["station"], found["command"], counter, found["verb"], _time(found["at"]), found["state"],
        found["reason"], details,
    )  # fmt: skip


# Lines ------------------------------------------------------------------------------------------------------


def _lines(text: str, head: str) -> list[str]:
    first, *rest = text.split("\n")
    if first != head or not rest or rest.pop():
        raise Wrong(MALFORMED, f"Its first line is not {head}.")
    return rest


def _fields(lines: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    found = [line.partition(" ") for line in lines]
    if [name for name, _, _ in found] != list(names) or not all(value for _, _, value in found):
        raise Wrong(MALFORMED, f"Its lines are not those of {' '.join(names) or 'nothing more'}.")
    return {name: value for name, _, value in found}


def _number(text: str, most: int) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise Wrong(MALFORMED, f"{text!r:.40} is no whole number from 1 to {most}.")
    return int(text)


def _time(text: str) -> int:
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        found = round(datetime.fromisoformat(text).timestamp()) * 1000
        if not 0 <= found < LATEST_MS:
            raise ValueError
    except ValueError:
        raise Wrong(MALFORMED, f"{text!r:.40} is no time such as 2026-03-25T00:00:00+07:00.") from None
    return found


def _bottles(text: str) -> int:
    return _number(text, BOTTLES_MAX)


def _reason(text: str) -> str:
    if len(text) > REASON_MAX or not text.isprintable() or text != text.strip():
        raise Wrong(MALFORMED, f"A reason is a line of at most {REASON_MAX} characters.")
    return text


def _symbols(text: str) -> tuple[str, ...]:
    """() for all."""
    if text == "*":
        return ()
    found = tuple(text.split(" "))
    if len(found) > SYMBOLS_MAX or not all(found) or not text.isprintable() or len(set(found)) < len(found):
        raise Wrong(MALFORMED, f"Symbols are at most {SYMBOLS_MAX}, each once, with one space between.")
    return found


def _what(text: str) -> str:
    if text not in WHATS:
        raise Wrong(MALFORMED, f"There are {', '.join(WHATS)} to be sent again, no {text!r:.40}.")
    return text


_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sample": {"bottles": _bottles, "reason": _reason},
    "resend": {"from": _time, "to": _time, "symbols": _symbols, "what": _what},
    "status": {},
}
"""verb -> its arguments, in their order, and how each is read."""
VERBS = tuple(_ARGUMENTS)
