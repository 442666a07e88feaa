"""What two configurations differ in, in the terms of whoever wrote them. Pure.

    difference(old, new)     two tables of tomllib, -> [Difference("channel", "COD", "decimals", "2", "4")]

Rule 1: tables of a list are told apart by what people call them (symbol, id, url), not by their place; only
        when nothing else tells of it, another order is a difference.
Rule 2: what stands in the file is shown as it is: a configuration holds no secret but the name of its file
        (config_model.py, rule 4). What looks like one all the same is hidden.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

NAMES = {"device": "id", "bus": "id", "channel": "symbol", "destination": "id", "witness": "url"}
"""Section -> the setting that its tables are told apart by."""
SHOWN_MAX = 200
HIDDEN = "(not shown)"
_SECRET = ("password", "token", "secret")
ORDER = "order"


class Difference(NamedTuple):
    """One setting, or a whole table where `key` is "". None: it is not there."""

    section: str
    name: str  # of the table in a list; "" elsewhere
    key: str  # "limits.max"
    old: str | None
    new: str | None

    def __str__(self) -> str:
        place = " ".join(part for part in (self.section, self.name, self.key) if part)
        if self.old is None:
            return f"+ {place}: {self.new}"
        return f"- {place}: {self.old}" if self.new is None else f"{place}: {self.old} -> {self.new}"


def fingerprint(data: bytes) -> str:
    """Of a file: as Config.fingerprint."""
    return sha256(data).hexdigest()


def of_files(old: bytes, new: bytes) -> tuple[Difference, ...]:
    """Of two files; none where the new one is no TOML."""
    table = _table(new)
    return () if table is None else tuple(difference(_table(old) or {}, table))


def _table(data: bytes) -> dict[str, Any] | None:
    try:
        return tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except (ValueError, RecursionError):
        return None


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Everything, in the order in which the new one has it, then what is gone."""
    found: list[Difference] = []
    for section in dict.fromkeys([*new, *old]):
        before, after = old.get(section), new.get(section)
        if section in NAMES and _is_list(before) and _is_list(after):
            found += _of_list(section, before or [], after or [])
        else:
            found += _of_table(section, "", before, after)
    return found


def _is_list(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _of_list(section: str, old: list[dict], new: list[dict]) -> Iterator[Difference]:
    before, after = _named(section, old), _named(section, new)
    for name in dict.fromkeys([*after, *before]):
        if name not in before:
            yield Difference(section, name, "", None, shown(after[name]))
        elif name not in after:
            yield Difference(section, name, "", shown(before[name]), None)
        else:
            yield from _of_table(section, name, before[name], after[name])
    if list(before) != list(after) and before.keys() == after.keys():
        yield Difference(section, "", ORDER, ", ".join(before), ", ".join(after))


def _named(section: str, tables: list[dict]) -> dict[str, dict]:
    found: dict[str, dict] = {}
    for place, one in enumerate(tables):
        name = str(one.get(NAMES[section], f"[{place}]"))
        found[name if name not in found else f"{name} [{place}]"] = one
    return found


def _of_table(section: str, name: str, old: Any, new: Any) -> Iterator[Difference]:
    before, after = dict(_flat("", old)), dict(_flat("", new))
    for key in dict.fromkeys([*after, *before]):
        if key not in before or key not in after or _other(before[key], after[key]):
            yield Difference(section, name, key, _text(key, before), _text(key, after))


def _other(old: Any, new: Any) -> bool:
    return type(old) is not type(new) or old != new  # 5 and 5.0 are written differently


def _flat(above: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names; a list is one value."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{above}.{key}" if above else key, item)
    elif value is not None:
        yield above, value


def _text(key: str, table: Mapping[str, Any]) -> str | None:
    if key not in table:
        return None
    last = key.rpartition(".")[2]
    if not last.endswith("_file") and any(word in last.lower() for word in _SECRET):
        return HIDDEN
    return shown(table[key])


def shown(value: Any) -> str:
    """As TOML has it, about; cut where it is long."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} = {_text(key, dict(_flat('', value)))}" for key, _ in _flat("", value))
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, list):
        text = f"[{', '.join(shown(item) for item in value)}]"
    else:
        text = str(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
