"""The rules that come with the gateway, and those of the operator's own files.

Rule 1: a file of the operator whose rule has the name of one of ours stands in its place.
Rule 2: whatever lies there, it is a Rule or one sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

from gateway.limits.parse import parse
from gateway.limits.rule import LimitsFault, Rule

FILE_BYTES_MAX = 1_000_000  # QCVN 40:2011 has 3 kB


@cache
def shipped() -> dict[str, Rule]:
    """By name. A fault in one of them is a mistake of ours: the tests load them all."""
    found: dict[str, Rule] = {}
    for file in sorted(files("gateway.limits").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            rule = parse(file.read_text(encoding="utf-8"), file.name)
            found[rule.name] = rule
    return found


def read(path: Path, symbols: Collection[str]) -> Rule:
    """The rule in a file of the operator; `symbols` are those of the channels. LimitsFault."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "this is not a usable path"
        raise LimitsFault(
            f"{path} cannot be read: {why}.", "Put the file there, or correct its name."
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise LimitsFault(f"{path} is larger than 1 MB.", "Name a file of limits.")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise LimitsFault(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    return parse(text, str(path), symbols)


def rules(own: Iterable[Rule]) -> dict[str, Rule]:
    """All by name, the operator's first (rule 1). LimitsFault when two of his have one name."""
    found: dict[str, Rule] = {}
    for rule in own:
        if rule.name in found:
            what = f"{rule.file} and {found[rule.name].file} both hold {rule.name}."
            raise LimitsFault(what, "Give each rule its own name.")
        found[rule.name] = rule
    return {**shipped(), **found}
