"""A scenario from its TOML table, by the lists of scenario_words.py: all faults at once, with their lines.

Rule 1: reading goes on after a fault, so that a person hears all of them at once.
Rule 2: what is faulty is left out of what is built; nothing is built unless there is no fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from simulator import scenario_words as words
from simulator.scenario_model import Act, Expect, Fault, Process, Scenario, Station
from simulator.scenario_times import begin, length, moment, said
from simulator.scenario_words import Key, Kind
from simulator.scene import KINDS, load_scene

_TEXTS = ("title", "story", "outcome")
_STATION = {"kind": str, "begins": str, "days": float, "stations": int, "poll_s": int, "witness": bool,
            "national": bool, "polled": bool, "department": bool, "sampler": bool,
            "firmware": str}  # fmt: skip
FIRMWARE = ("light", "micropython")
_LEAST = {"days": 0.01, "stations": 1, "poll_s": 1}
_ANY = Station("", 0, 36_500.0)  # what the rest is read by when [station] has a fault
_HEADER = re.compile(r"\s*\[\[?\s*([\w.\-\"]+)\s*\]\]?")


class Reading:
    """Collects faults while it reads; what is faulty is left out."""

    def __init__(self, table: dict[str, Any], text: str) -> None:
        self.table, self.lines = table, _lines(text)
        self.faults: list[str] = []
        self._place: tuple[str, int] = ("", 0)
        self._station = _ANY
        self._symbols: list[str] = []  # of the station; none: nobody knows

    def fault(self, what: str) -> None:
        name, number = self._place
        line = self.lines.get(self._place)
        where = f"line {line}: " if line else ""
        where += f"{name} {number + 1}: " if name not in ("", "station") else ""
        self.faults.append(f"{where}{what}.")

    def scenario(self, name: str) -> Scenario | None:
        for key in sorted(self.table.keys() - {*_TEXTS, "station", "process", "fault", "act", "expect"}):
            self.fault(f'there is no table or key "{key}"')
        for key in _TEXTS:
            if not isinstance(self.table.get(key), str) or not self.table[key].strip():
                self.fault(f"{key} is missing: write a sentence")
        self._station = self._read_station()
        process = [self._process(entry) for entry in self._entries("process")]
        faults = [self._broken(entry) for entry in self._entries("fault")]
        acts = [self._act(entry) for entry in self._entries("act")]
        expect = [self._expect(entry) for entry in self._entries("expect")]
        self._place = ("", 0)
        if not expect:
            self.fault("nothing is expected: write at least one [[expect]], or nothing is checked")
        if self.faults:
            return None
        title, story, outcome = (self.table[key].strip() for key in _TEXTS)
        parts = (_there(process), _there(faults), _there(acts), _there(expect))
        return Scenario(name, title, story, outcome, self._station, *parts)

    def _entries(self, name: str) -> Iterator[dict[str, Any]]:
        entries = self.table.get(name, [])
        if not isinstance(entries, list):
            self.fault(f"write [[{name}]] with two brackets")
            return
        for number, entry in enumerate(entries):
            self._place = (name, number)
            yield dict(entry)

    def _read_station(self) -> Station:
        self._place = ("station", 0)
        table = self.table.get("station")
        if not isinstance(table, dict):
            self.fault("[station] is missing")
            return _ANY
        before, given = len(self.faults), {}
        for key in sorted(table.keys() - {*_STATION, "channel"}):
            self.fault(f'there is no "{key}": it has {", ".join(_STATION)} and channel')
        for key, sort in _STATION.items():
            if key in table:
                given[key] = self._setting(key, sort, table[key])
            elif key in ("kind", "begins", "days"):
                self.fault(f"{key} is missing")
        if len(self.faults) > before:
            return _ANY
        if given.get("sampler") and not given.get("polled"):
            self.fault("the sampler is on the gateway's own bus: write polled = true, too")
        if given.get("firmware", FIRMWARE[0]) not in FIRMWARE:
            self.fault(f'firmware = "{given["firmware"]}": write one of {", ".join(FIRMWARE)}')
        elif given.get("firmware", FIRMWARE[0]) != FIRMWARE[0] and not given.get("polled"):
            self.fault("the real firmware reads its own line only: write polled = true, too")
        given["begins_ms"] = self._tried(begin, given.pop("begins"))
        if given["kind"] in KINDS:
            self._symbols = load_scene(given["kind"]).symbols
        else:
            self.fault(f'no scene is called "{given["kind"]}": write one of {", ".join(KINDS)}')
        given["channels"] = self._channels(table.get("channel", {}))
        return _ANY if len(self.faults) > before else Station(**given)

    def _setting(self, key: str, sort: type, value: Any) -> Any:
        fits = isinstance(value, bool) is (sort is bool)
        if not fits or not isinstance(value, (int, float) if sort is float else sort):
            self.fault(f"{key} = {value!r} is not {_sorts(sort)}")
        elif key in _LEAST and value < _LEAST[key]:
            self.fault(f"{key} = {value} is less than {_LEAST[key]}")
        return value

    def _channels(self, table: object) -> dict[str, Any]:
        if not isinstance(table, dict) or not all(isinstance(settings, dict) for settings in table.values()):
            self.fault("write [station.channel.SYMBOL] with the channel's settings")
            return {}
        for symbol in table:
            self._symbol(symbol)
        return table

    # ---- the four sorts of entries

    def _process(self, entry: dict[str, Any]) -> Process | None:
        what = entry.pop("what", None)
        kind = self._kind(words.PROCESS, what, "process")
        if kind is None:
            return None
        channel = self._symbol(entry.pop("channel", None))
        size = entry.pop("size", None)
        if what not in ("frozen", "fault") and not _is_number(size):
            self.fault(f"size is missing or no number ({kind.says})")
            size = None
        timed = self._timed(entry, kind)
        return Process(**timed, channel=channel, what=str(what), size=float(size or 0.0))

    def _broken(self, entry: dict[str, Any]) -> Fault | None:
        where, how = entry.pop("where", None), entry.pop("how", None)
        kinds = self._kind(words.FAULT, where, "where")
        kind = kinds and self._kind(kinds, how, f"how (of {where})")
        if kind is None:
            return None
        found = Fault(**self._timed(entry, kind), where=str(where), how=str(how))
        if found.for_ms and found.ends_ms > self._station.length_ms:
            self.fault("it ends after the scenario: nothing could be seen to recover")
        return found

    def _act(self, entry: dict[str, Any]) -> Act | None:
        what, by = entry.pop("what", None), entry.pop("by", None)
        kind = self._kind(words.ACT, what, "act")
        if not isinstance(by, str) or not by:
            self.fault("by is missing: who does it")
            return None
        return None if kind is None else Act(**self._timed(entry, kind), what=str(what), by=by)

    def _expect(self, entry: dict[str, Any]) -> Expect | None:
        what = entry.pop("what", None)
        kind = self._kind(words.EXPECT, what, "expectation")
        if kind is None:
            return None
        given = self._given(entry, kind)
        first, last = given.get("from"), given.get("to")
        if isinstance(first, int) and isinstance(last, int) and last <= first:
            self.fault("to is not after from")
        return Expect(str(what), given)

    # ---- parts of them

    def _kind(self, kinds: Mapping[str, Any], name: object, what: str) -> Any:
        if not isinstance(name, str) or name not in kinds:
            self.fault(f'"{name}" is no {what}: write one of {", ".join(kinds)}')
            return None
        return kinds[name]

    def _timed(self, entry: dict[str, Any], kind: Kind) -> dict[str, Any]:
        at = self._value(Key(words.MOMENT, ""), entry.pop("at", "0d"), "at")
        for_ms = every_ms = None
        if "for" in entry:
            for_ms = self._positive(entry.pop("for"), "for")
            if kind.lasts is False:
                self.fault("it is of an instant: leave out for")
        elif kind.lasts:
            self.fault("for is missing: how long it lasts")
        if "every" in entry:
            every_ms = self._positive(entry.pop("every"), "every")
            if every_ms is not None and for_ms is not None and every_ms < for_ms:
                self.fault("every is shorter than for: it would overlap itself")
        given = self._given(entry, kind)
        return {"at_ms": at or 0, "for_ms": for_ms, "every_ms": every_ms, "given": given}

    def _positive(self, value: object, key: str) -> int | None:
        found = self._value(Key(words.LENGTH, ""), value, key)
        if isinstance(found, int) and found <= 0:
            self.fault(f"{key} has to be longer than nothing")
            return None
        return found

    def _given(self, entry: dict[str, Any], kind: Kind) -> dict[str, object]:
        for key in sorted(entry.keys() - kind.keys.keys()):
            known = ", ".join(kind.keys) or "no further ones"
            self.fault(f'there is no key "{key}" here; its keys: {known}')
        for key, wanted in kind.keys.items():
            if wanted.needed and key not in entry:
                self.fault(f"{key} is missing: {wanted.sort} ({wanted.says})")
        return {
            key: self._value(kind.keys[key], value, key) for key, value in entry.items() if key in kind.keys
        }

    def _value(self, wanted: Key, value: Any, key: str) -> Any:
        sort = wanted.sort
        if sort == words.SYMBOL:
            return self._symbol(value)
        if sort == words.FLAG:
            fits = isinstance(value, bool)
        elif sort in (words.NUMBER, words.SHARE):
            fits = _is_number(value) and (sort == words.NUMBER or 0 <= value <= 1)
        elif sort == words.COUNT:
            fits = _is_number(value) and isinstance(value, int) and value >= 0
        else:
            fits = isinstance(value, str) and bool(value)
        if not fits:
            self.fault(f"{key} = {value!r} is not {sort}")
            return None
        if wanted.among and value not in wanted.among:
            self.fault(f'{key} = "{value}": write one of {", ".join(wanted.among)}')
        if sort == words.LENGTH:
            return self._tried(length, value)
        return self._moment(value, key) if sort == words.MOMENT else value

    def _moment(self, value: Any, key: str) -> int | None:
        station = self._station
        at = self._tried(moment, value, station.begins_ms)
        if at is not None and not 0 <= at <= station.length_ms:
            first, last = said(station.begins_ms, 0), said(station.begins_ms, station.length_ms)
            self.fault(f'{key} = "{value}" is outside of the scenario, which goes from {first} to {last}')
        return at

    def _symbol(self, value: object) -> str:
        if self._symbols and value not in self._symbols:
            known = ", ".join(self._symbols)
            self.fault(f'"{value}" is no channel of this station: write one of {known}')
        return str(value)

    def _tried(self, call: Any, *arguments: object) -> Any:
        try:
            return call(*arguments)
        except ValueError as error:
            self.fault(str(error))
            return None


def _there(found: list[Any]) -> tuple[Any, ...]:
    return tuple(entry for entry in found if entry is not None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sorts(sort: type) -> str:
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}[sort]


def _lines(text: str) -> dict[tuple[str, int], int]:
    """(table, which of them) -> its line."""
    found: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = {}
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        header = None if inside else _HEADER.match(line)
        if header:
            counts[header[1]] = counts.get(header[1], -1) + 1
            found[header[1], counts[header[1]]] = number
        inside ^= line.count('"""') % 2 == 1
    return found
