"""What a package or a configuration would change, in words.

Rule 1: bytes in, sentences out: nothing here opens a file or a port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from protocol.messages import Hello
from tools.station.package import Package

_TABLES: tuple[tuple[str, str, Callable[[dict], Any]], ...] = (
    ("buses", "bus", lambda row: row.get("id")),
    ("units", "unit", lambda row: f"{row.get('unit')} on {row.get('bus')} every {row.get('poll_ms')} ms"),
    ("inputs", "input", lambda row: row.get("id")),
    ("outputs", "output", lambda row: row.get("id")),
    ("analogs", "analog input", lambda row: row.get("channel")),
    ("counters", "counter", lambda row: row.get("channel")),
    ("alarms", "alarm", lambda row: f"{row.get('channel')} {row.get('output') or ''}".strip()),
)
"""Of a station.json: its lists, what people call a row, and by what a row is known. Channels go by name."""
_LONG = 60


def of_package(old: Package | None, new: Package) -> list[str]:
    """Files added, changed and removed, with their bytes; how many stay as they are."""
    size = sum(map(len, new.files.values()))
    if old is None:
        return [f"{len(new.files)} files of {size:,} bytes; those of the version that runs are not at hand"]
    lines = []
    for path in sorted({*old.files, *new.files}):
        before, after = old.files.get(path), new.files.get(path)
        if before is None and after is not None:
            lines.append(f"added    {path}, {len(after):,} bytes")
        elif after is None and before is not None:
            lines.append(f"removed  {path}, {len(before):,} bytes")
        elif before != after and before is not None and after is not None:
            lines.append(f"changed  {path}, {len(before):,} -> {len(after):,} bytes")
    same = sum(old.files.get(path) == content for path, content in new.files.items())
    return [*lines, f"{same} of {len(new.files)} files stay as they are"]


def of_config(old: dict[str, Any] | None, new: dict[str, Any], hello: Hello) -> list[str]:
    """What another station.json changes. old: None when only the device's greeting is known of it."""
    lines = _channels(hello, new)
    if old is None:
        return [*lines, "what else differs is not known: what runs is not in this folder"]
    old, new = _named(old), _named(new)
    for table, word, known_by in _TABLES:
        lines += _rows(word, _by(known_by, old.get(table)), _by(known_by, new.get(table)))
    rest = {*old, *new} - {"channels", *(table for table, _, _ in _TABLES)}
    for name in sorted(rest):
        if old.get(name) != new.get(name):
            lines.append(f"changed  {_differs(name, old.get(name), new.get(name))}")
    return lines or ["nothing but the way it is written"]


def _channels(hello: Hello, new: dict[str, Any]) -> list[str]:
    """By what the device tells of its channels: also of calibrations that it got by command."""
    has = {
        name: (calibration, [list(point) for point in points])
        for name, _, calibration, points in hello.channels
    }
    gets = {row["name"]: row for row in _tables(new.get("channels")) if isinstance(row.get("name"), str)}
    lines = [f"added    channel {name}" for name in gets if name not in has]
    lines += [f"removed  channel {name}" for name in has if name not in gets]
    for name, row in gets.items():
        if name not in has:
            continue
        number, points = has[name]
        wanted, given = row.get("calibration", 0), [list(point) for point in row.get("points", [])]
        if wanted > number:
            lines.append(f"changed  channel {name}: calibration {number} -> {wanted}, {len(given)} points")
        elif wanted < number:
            lines.append(
                f"channel {name} keeps its calibration {number}, which is newer than {wanted} of the file"
            )
        elif not same_points(points, given):
            lines.append(
                f"channel {name}: the device has other points for calibration {number} than the file: "
                "it may go by either"
            )
    if [name for name in has if name in gets] != [name for name in gets if name in has]:
        lines.append("changed  the order of the channels")
    return lines


def same_points(one: Iterable, other: Iterable) -> bool:
    """Whether two lists of calibration points are the same to a device, which keeps 32-bit floats."""
    from protocol.reading import float_bits

    def bits(points: Iterable) -> list[tuple[int, ...]]:
        return [tuple(float_bits(float(x)) for x in point) for point in points]

    try:
        return bits(one) == bits(other)
    except (TypeError, ValueError, OverflowError):
        return False


def _tables(given: object) -> list[dict]:
    return [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []


def _named(config: dict[str, Any]) -> dict[str, Any]:
    """With names where station.json has numbers of channels."""
    names = [row.get("name") for row in _tables(config.get("channels"))]

    def name(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: name(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [name(one, "channel" if key == "channels" else "") for one in value]
        if key == "channel" and isinstance(value, int) and 0 <= value < len(names):
            return names[value]
        return value

    return {key: value if key == "channels" else name(value) for key, value in config.items()}


def _by(known_by: Callable[[dict], Any], given: object) -> dict[str, dict]:
    return {str(known_by(row)): row for row in _tables(given)}


def _rows(word: str, old: dict[str, dict], new: dict[str, dict]) -> list[str]:
    lines = [f"added    {word} {name}" for name in new if name not in old]
    lines += [f"removed  {word} {name}" for name in old if name not in new]
    for name in new:
        if name not in old or old[name] == new[name]:
            continue
        keys = [key for key in {**old[name], **new[name]} if old[name].get(key) != new[name].get(key)]
        told = [_differs(key, old[name].get(key), new[name].get(key)) for key in keys]
        lines.append(f"changed  {word} {name}: {'; '.join(told)}")
    return lines


def _differs(key: str, old: object, new: object) -> str:
    """Both values, or only that they differ, where they would fill the screen."""
    said = f"{key} {_short(old)} -> {_short(new)}"
    return said if len(said) <= _LONG else f"other {key}"


def _short(value: object) -> str:
    return "none" if value is None else str(value)
