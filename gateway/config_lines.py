"""On which line of a TOML text a setting stands.

tomllib says what a file holds but not where. This scanner only has to be right for text that tomllib
accepted: it follows table headers and keys, skips strings and brackets that go over several lines, and
gives an inline table's keys the line of the key it belongs to. A place it does not know falls back to
what encloses it.
"""

from __future__ import annotations

import tomllib

Place = tuple[str | int, ...]


def lines(text: str) -> dict[Place, int]:
    """Map each place, such as ("channel", 0, "unit"), to its line, counted from 1."""
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    open_string = ""  # the quotes of a multi-line string we are in
    depth = 0  # brackets open
    for number, line in enumerate(text.split("\n"), start=1):
        at_key = not open_string and depth == 0
        rest = line
        if at_key:
            stripped = line.strip()
            if stripped.startswith("["):
                table = _header(stripped, counts)
                found.setdefault(table, number)
                continue
            key, rest = _key(stripped)
            for end in range(1, len(key) + 1):
                found.setdefault(table + key[:end], number)
        open_string, depth = _follow(rest, open_string, depth)
    return found


def line_of(found: dict[Place, int], place: Place) -> int | None:
    """The line of `place`, or of the nearest thing around it that has one."""
    for end in range(len(place), 0, -1):
        if place[:end] in found:
            return found[place[:end]]
    return None


def _header(stripped: str, counts: dict[Place, int]) -> Place:
    array = stripped.startswith("[[")
    inner = stripped[2:] if array else stripped[1:]
    names, _ = _key(inner)
    place: Place = ()
    for i, name in enumerate(names):
        place += (name,)
        last = i == len(names) - 1
        if last and array:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place += (counts[place],)
    return place


def _key(text: str) -> tuple[Place, str]:
    """The dotted key at the beginning of `text`, and what follows its '=' (or ']')."""
    names: list[str] = []
    i = 0
    while i < len(text):
        if text[i] in " \t.":
            i += 1
        elif text[i] in "\"'":
            end = i + 1
            while end < len(text) and text[end] != text[i]:
                end += 2 if text[end] == "\\" and text[i] == '"' else 1
            names.append(_unquote(text[i : end + 1]))
            i = end + 1
        elif text[i].isalnum() or text[i] in "-_":
            end = i
            while end < len(text) and (text[end].isalnum() or text[end] in "-_"):
                end += 1
            names.append(text[i:end])
            i = end
        else:
            break
    return (tuple(names), text[i + 1 :]) if i < len(text) and text[i] in "=]" else ((), text)


def _unquote(quoted: str) -> str:
    try:
        return tomllib.loads(f"x = {quoted}")["x"]
    except (tomllib.TOMLDecodeError, ValueError):
        return quoted


def _follow(text: str, open_string: str, depth: int) -> tuple[str, int]:
    """Where a line leaves us: inside which multi-line string, and how many brackets deep."""
    i = 0
    while i < len(text):
        if open_string:
            if text[i] == "\\" and open_string[0] == '"':
                i += 2
            elif text.startswith(open_string, i):
                i += len(open_string)
                open_string = ""
            else:
                i += 1
        elif text[i] == "#":
            break
        elif text[i] in "\"'":
            open_string = text[i] * 3 if text.startswith(text[i] * 3, i) else text[i]
            i += len(open_string)
        else:
            depth += (text[i] in "[{") - (text[i] in "]}")
            i += 1
    return (open_string if len(open_string) == 3 else ""), max(depth, 0)
