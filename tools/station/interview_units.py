"""The questions about instruments: profile, address, line settings, what the profile asks, what is taken."""

from __future__ import annotations

import functools
from typing import Any

from protocol import fields, instruments, profile_ask
from protocol.errors import ConfigError
from protocol.profile import BAUDS, Profile
from tools.station.ask import Asker
from tools.station.choices import Choices, channel_names, poll_ms_of, profile_of
from tools.station.site import NAME_BYTES_MAX
from tools.station.suggested import ORDER, SETTINGS

NONE = "-"
_USUAL = {"baud": 9600, "parity": "N", "stopbits": 1}


class Units:
    """Asks for instruments, into `made.instruments`. `scanned`: what is offered."""

    def __init__(self, asker: Asker, made: Choices, scanned: list[dict[str, Any]]) -> None:
        self._asker, self._made, self._scanned = asker, made, scanned
        self._set: list[tuple[str, dict[str, Any]]] = []  # (line, its settings) of those asked for

    def run(self) -> None:
        made = self._made
        if self._scanned:
            self._asker.say("", "The scan found:")
            for one in self._scanned:
                line = " ".join(str(one[key]) for key in SETTINGS if key in one)
                self._asker.say(f"  unit {one['unit']:>3}  {one['profile'] or 'no profile'}  {line}")
                self._asker.say(*(f"      {hint}" for hint in one["hints"]))
        while (one := self._instrument(len(made.instruments) + 1)) is not None:
            made.instruments.append(one)
            self._names(one, len(made.instruments))

    def _instrument(self, n: int) -> dict[str, Any] | None:
        asker, made = self._asker, self._made
        scanned = self._scanned[n - 1] if n <= len(self._scanned) else {}
        more = f", {NONE} for no more" if made.instruments else ""
        asker.say("")
        name = asker.ask(
            f"profile {n}",
            f"Instrument {n}: its profile{more}",
            scanned.get("profile", "") or (NONE if made.instruments else ""),
            lambda: self._profiles(""),
            lambda text: self._profile(text, bool(made.instruments)),
        )
        if name == NONE:
            return None
        one: dict[str, Any] = {"profile": _meant(name, made.kind)}
        profile = instruments.load(one["profile"])
        assert profile.link is not None
        asker.say(f"  {profile.title} ({profile.mark}: {profile.source})")
        one["bus"] = made.buses[0]["id"]
        if len(made.buses) > 1:
            one["bus"] = asker.ask(
                f"on {n}", "  On which line", one["bus"], choices=[bus["id"] for bus in made.buses]
            )
        one["unit"] = int(
            asker.ask(
                f"unit {n}",
                f"  Its address on {one['bus']}",
                str(scanned.get("unit") or _plain(profile.link.unit)),
                "The Modbus unit number that the instrument is set to, 1 to 247; each on a line has its own.",
                lambda text: self._address(one["bus"], text),
            )
        )
        if next(bus for bus in made.buses if bus["id"] == one["bus"])["kind"] == "rtu":
            self._settings(one, profile, scanned, n)
        self._questions(one, profile, scanned, n)
        answered = profile_of(one) or profile
        self._quantities(one, answered, n)
        one["poll_ms"] = 1000 * int(
            asker.ask(
                f"poll {n}",
                "  Asked every ... seconds",
                str(poll_ms_of(answered) // 1000),
                "It has a new value every "
                + ", ".join(f"{q.update_s:g} s ({q.id})" for q in answered.quantities[:4])
                + ". A window of 5 minutes needs some readings: 60 s at the most.",
                lambda text: (
                    None
                    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 86400
                    else "Write whole seconds, from 1 to 86400."
                ),
            )
        )
        return one

    def _profiles(self, word: str) -> str:
        """Names of profiles for this kind of station that have to do with a word."""
        found = _matching(word, self._made.kind)
        what = (
            f"Profiles with {word!r}"
            if word
            else f"Profiles for {self._made.kind}; a word such as cod finds some"
        )
        return f"{what}: {', '.join(found)}."

    def _profile(self, text: str, may_end: bool) -> str | None:
        if text == NONE and may_end:
            return None
        if text in instruments.names():
            return None
        found = _matching(text.lower(), self._made.kind) if text and text != NONE else []
        if len(found) == 1:
            return None
        return self._profiles(text) if found else f"There is no profile {text!r}. {self._profiles('')}"

    def _address(self, bus: str, text: str) -> str | None:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 247):
            return "Write a number from 1 to 247."
        for one in self._made.instruments:
            if (one["bus"], one["unit"]) == (bus, int(text)):
                return f"{one['profile']} has address {text} on {bus}: give this one another, and write it."
        return None

    def _settings(self, one: dict[str, Any], profile: Profile, scanned: dict[str, Any], n: int) -> None:
        """Speed, parity and stop bits; written only where they are not those of the profile."""
        bus = next(bus for bus in self._made.buses if bus["id"] == one["bus"])
        usual = {key: _plain(getattr(profile.link, key)) for key in SETTINGS}
        line = next(
            (found for id, found in self._set if id == one["bus"]), {key: bus.get(key) for key in SETTINGS}
        )
        offered = [scanned.get(key) or line[key] or usual[key] or _USUAL[key] for key in SETTINGS]
        stated = ", ".join(f"{key} {usual[key]}" for key in SETTINGS if key in profile.link.stated)

        def check(text: str) -> str | None:
            found = _line(text)
            if found is None:
                return "Write speed, parity (N, E, O) and stop bits, as 9600 N 1."
            for key, value in found.items():
                if line[key] not in (None, value):
                    what = f"The line {one['bus']} has {key} {line[key]}"
                    return f"{what}: set the instrument to that, or give it a line of its own."
            return None

        text = self._asker.ask(
            f"settings {n}",
            "  Speed, parity, stop bits it is set to",
            " ".join(map(str, offered)),
            f"All on a line talk alike. This one leaves the factory with {stated or 'what was not read'}.",
            check,
        )
        found = _line(text)
        assert found is not None
        self._set.append((one["bus"], found))
        for key, value in found.items():
            if not (key in profile.link.stated and usual[key] == value):
                one[key] = value

    def _questions(self, one: dict[str, Any], profile: Profile, scanned: dict[str, Any], n: int) -> None:
        """What the profile leaves open; a scan may have seen the word order."""
        for ask in profile.asks:
            seen = scanned.get(ORDER) if ask.kind == "word_order" else None
            text = self._asker.ask(
                f"ask {n} {ask.id}",
                f"  {ask.text} ({profile_ask.wanted(ask)})",
                str(seen) if seen in ask.choices else "",
                f"Its profile leaves this open: {ask.source}.",
                lambda text, ask=ask: (
                    f"Write {profile_ask.wanted(ask)}." if profile_ask.from_text(ask, text) is None else None
                ),
            )
            one.setdefault("answers", {})[ask.id] = profile_ask.from_text(ask, text)

    def _quantities(self, one: dict[str, Any], profile: Profile, n: int) -> None:
        known = [quantity.id for quantity in profile.quantities]
        if len(known) < 2:
            return
        text = self._asker.ask(
            f"quantities {n}",
            "  What of it is taken: all, or some of " + ", ".join(known),
            "all",
            "Each becomes a channel, and a line of the provincial file. Write names with commas between.",
            lambda text: (
                None
                if text == "all" or (_list(text) and set(_list(text)) <= set(known))
                else "Write all, or some of them."
            ),
        )
        if text != "all":
            one["quantities"] = [id for id in known if id in _list(text)]

    def _names(self, one: dict[str, Any], n: int) -> None:
        """Other names for channels and symbols that others have already."""
        profile = profile_of(one)
        if profile is None:
            return
        before = Choices(instruments=self._made.instruments[:-1], wired=self._made.wired)
        names = channel_names(before)
        symbols = self._symbols(before)
        for quantity in profile.quantities:
            if quantity.id not in one.get("quantities", [quantity.id]):
                continue
            if quantity.id in names:
                name = self._asker.ask(
                    f"rename {n} {quantity.id}",
                    f"  There is a channel {quantity.id} already: a name for this one",
                    f"{quantity.id}-{n}",
                    check=lambda text, names=names: _free(text, names),
                )
                one.setdefault("rename", {})[quantity.id] = name
                names.append(name)
            if quantity.symbol in symbols:
                symbol = self._asker.ask(
                    f"symbol {n} {quantity.id}",
                    f"  {quantity.symbol} is another channel's symbol: the symbol of this one",
                    f"{quantity.symbol}{n}",
                    "The provincial file has each symbol once. Ask the department how it calls a second one.",
                    lambda text, symbols=symbols: (
                        "Write one without spaces that is not taken."
                        if not text or text in symbols or fields.solid(text)
                        else None
                    ),
                )
                one.setdefault("symbol", {})[quantity.id] = symbol
                symbols.append(symbol)
            else:
                symbols.append(quantity.symbol)

    def _symbols(self, choices: Choices) -> list[str]:
        found = []
        for one in choices.instruments:
            profile = profile_of(one)
            for quantity in profile.quantities if profile else ():
                if quantity.id in one.get("quantities", [quantity.id]):
                    found.append(one.get("symbol", {}).get(quantity.id, quantity.symbol))
        return found


def _plain(value: Any) -> Any:
    """A setting, None where it is a question of the profile."""
    return None if profile_ask.is_reference(value) else value


def _list(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]


def _line(text: str) -> dict[str, Any] | None:
    parts = text.upper().replace(",", " ").split()
    if len(parts) != 3 or not parts[0].isdecimal() or int(parts[0]) not in BAUDS:
        return None
    if parts[1] not in ("N", "E", "O") or parts[2] not in ("1", "2"):
        return None
    return {"baud": int(parts[0]), "parity": parts[1], "stopbits": int(parts[2])}


def _free(text: str, names: list[str]) -> str | None:
    good = not fields.identifier(text) and len(text) <= NAME_BYTES_MAX and text not in names
    return None if good else f"Write {fields.identifier(None)}, at most {NAME_BYTES_MAX}, not taken yet."


def _matching(word: str, kind: str) -> list[str]:
    """Profiles for a kind of station whose name, title or symbols have to do with a word."""
    return [name for name, kinds, said in _known() if kind in kinds and word in said]


@functools.cache
def _known() -> list[tuple[str, tuple[str, ...], str]]:
    """(name, kinds of stations, words) of every profile that can be read."""
    found = []
    for name in instruments.names():
        try:
            profile = instruments.load(name)
        except ConfigError:
            continue  # `station profile check` says what is wrong with it
        said = " ".join((name, profile.title, *(str(q.symbol) for q in profile.quantities))).lower()
        found.append((name, profile.station_kinds, said))
    return found


def _meant(text: str, kind: str) -> str:
    return text if text in instruments.names() else _matching(text.lower(), kind)[0]
