"""One look at a station: every channel and every unit at this moment, as data, and as lines for people.

Rule 1: value and quality are the station's own reading, as its gateway gets it, with its age; registers are
        asked for beside it and may be a few seconds newer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from tools.station.link import Reading, Station
from tools.station.live.bus import Counts, counts, suspicions
from tools.station.live.contacts import word_of
from tools.station.live.known import LOOP, Channel, Known
from tools.station.live.layout import BAD, DIM, DOUBT, GOOD, HEAD, Cell, Column, table, wrapped
from tools.station.live.orders import Doubt, doubt
from tools.station.live.peek import Peek

QUALITIES = {
    "OK": "ok",
    "CALIBRATING": "calibrating",
    "MAINTENANCE": "maintenance",
    "FAULT": "fault",
    "TIMEOUT": "no answer",
    "BAD_REPLY": "bad answer",
    "OUT_OF_RANGE": "out of range",
    "OFF": "off",
    "OVERLOAD": "loop broken",
    "TIME_UNTRUSTED": "time unknown",
    "NO_DATA": "no data",
    "COVERAGE": "too few",
}
"""A quality in at most twelve letters; gateway/quality_words.py has the sentences."""
SILENT_S = 10.0
OLD_INTERVALS = 3
"""A reading older than so many intervals is shown as old."""
OLD_S = 20.0
"""... and than this: while records are held back, the newest readings come every 5 s."""

_CHANNELS = (
    Column("channel", least=8, most=24),
    Column("registers", keep=2, least=9, most=19),
    Column("raw", right=True, keep=3),
    Column("value", right=True),
    Column("", most=10),
    Column("limit", keep=1, most=20),
    Column("quality"),
    Column("age", right=True, keep=4),
)
_UNITS = (
    Column("bus", keep=2, least=4, most=12),
    Column("unit", right=True),
    Column("instrument", keep=4, least=8, most=24),
    Column("requests", right=True),
    Column("timeouts", right=True),
    Column("bad", right=True),
    Column("refused", right=True),
    Column("ms", right=True, keep=3),
    Column("lost", right=True),
)


@dataclass(frozen=True)
class Now:
    """A channel at this moment. `registers` are those of its value; `said` why there are none."""

    channel: Channel
    reading: Reading | None
    age_s: float | None
    interval_ms: int
    calibrated: bool
    registers: list[int] | None
    said: str
    doubt: Doubt | None

    @property
    def old(self) -> bool:
        """Of a backlog, or of an instrument that is not polled any more."""
        return self.age_s is not None and self.age_s > max(OLD_S, OLD_INTERVALS * self.interval_ms / 1000)


@dataclass
class Sheet:
    """What is shown. `known` is None without a folder; `notes` are what the reader has to know of it."""

    station: Station
    peek: Peek
    known: Known | None
    names: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)

    def channels(self) -> list[Now]:
        return [
            self._now(name, interval_ms, bool(points))
            for name, interval_ms, _, points in self.station.hello.channels
            if not self.names or name in self.names
        ]

    def _now(self, name: str, interval_ms: int, calibrated: bool) -> Now:
        channel = (self.known.channels.get(name) if self.known else None) or Channel(name)
        reading = self.station.readings.get(name)
        words, said = None, ""
        if channel.place:
            answer = self.peek.answers.get(channel.place.block)
            if answer and answer.words is not None:
                words = channel.place.words(answer.words)
            elif answer:
                said = answer.text
        age_s = None if reading is None else self.peek.age_s(reading)
        return Now(channel, reading, age_s, interval_ms, calibrated, words, said, doubt(channel, words))

    def all_notes(self) -> list[str]:
        """The notes, and what the station's state adds to them."""
        notes = list(self.notes)
        safe = self.station.safe_mode or str((self.peek.status or {}).get("safe") or "")
        if safe:
            notes.append(f"SAFE MODE, outputs stay off: {safe}")
        if self.peek.silent_s is not None and time.monotonic() - self.peek.silent_s > SILENT_S:
            silent_s = time.monotonic() - self.peek.silent_s
            notes.append(f"The station has not answered for {silent_s:.0f} s: is it still there?")
        rows = counts(self.peek.status)
        left = [key for key in (self.known.units if self.known else ()) if key not in rows]
        if self.peek.status and left:
            names = ", ".join(f"{bus}/{unit}" for bus, unit in left)
            notes.append(f"The counts of {names} did not fit the station's answer.")
        return notes


def shown(value: float | None, decimals: int | None) -> str:
    """A number for people: with its decimals, unless they would hide what it is."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    if decimals is not None:
        text = f"{value:.{decimals}f}"
        if len(text) <= 11 and (value == 0 or float(text) != 0):
            return text
    return f"{value:.6g}" if value == 0 or 1e-4 <= abs(value) < 1e7 else f"{value:.3g}"


def against(value: float | None, channel: Channel) -> Cell:
    """Where a value is against its limits, and how that looks."""
    low, high = channel.min, channel.max
    if low is None and high is None:
        return "", ""
    limit = f"{low:g}-{high:g}" if low is not None and high is not None else ""
    if value is None or not math.isfinite(value):
        return limit or (f"max {high:g}" if high is not None else f"min {low:g}"), DIM
    if high is not None and value > high:
        return f"ABOVE {high:g}", BAD
    if low is not None and value < low:
        return f"BELOW {low:g}", BAD
    if limit:
        return f"in {limit}", ""
    if high is not None and high > 0 and value >= 0:
        return f"{value / high:.0%} of {high:g}", ""
    return (f"under {high:g}" if high is not None else f"over {low:g}"), ""


def hexadecimal(words: list[int] | None) -> str:
    return "-" if words is None else " ".join(f"{word:04X}" for word in words)


def age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def current_ma(channel: Channel, raw: float | None) -> float | None:
    """The mA of a loop behind its value; None where it is no loop."""
    if channel.kind != LOOP or channel.row is None or raw is None or not math.isfinite(raw):
        return None
    low, high = channel.row["low"], channel.row["high"]
    return 4 + 16 * (raw - low) / (high - low)


def lines(sheet: Sheet, width: int) -> list[Text]:
    """The whole sheet, no line wider than `width`."""
    now = sheet.channels()
    made = [_heading(sheet, width), *_channel_lines(sheet, now, width)]
    for one in now:
        if one.doubt:
            made += wrapped(one.doubt.text, width, DOUBT)
    for said in dict.fromkeys(one.said for one in now if one.said):
        names = ", ".join(one.channel.name for one in now if one.said == said)
        made += wrapped(f"{names}: registers not read: {said}", width, DIM)
    made += [Text(""), *unit_lines(sheet.peek, sheet.known, width)]
    made += _wire_lines(sheet, width)
    for sentence in suspicions(sheet.peek, sheet.known):
        made += wrapped(sentence[0].upper() + sentence[1:], width, DOUBT)
    for note in sheet.all_notes():
        made += wrapped(note, width, DIM)
    return made


def _wire_lines(sheet: Sheet, width: int) -> list[Text]:
    """Inputs, relays and the sampler: without a folder all in one list."""
    states = sheet.peek.wires()
    groups = {"wired": list(states)}
    kinds = {}
    if sheet.known:
        kinds = {row["id"]: row["kind"] for row in sheet.known.inputs}
        groups = {
            "inputs": [row["id"] for row in sheet.known.inputs],
            "outputs": [row["id"] for row in sheet.known.outputs],
        }
    made = []
    for title, names in groups.items():
        said = [f"{name} {word_of(kinds.get(name, ''), states[name])}" for name in names if name in states]
        if said:
            made += wrapped(f"{title}: {', '.join(said)}", width)
    return made


def _heading(sheet: Sheet, width: int) -> Text:
    hello, status = sheet.station.hello, sheet.peek.status or {}
    up_ms = status.get("up_ms")
    text = f"{hello.device}  {hello.firmware}  boot {hello.boot}"
    if isinstance(up_ms, int):
        text += f"  up {up_ms // 3_600_000}:{up_ms // 60_000 % 60:02}:{up_ms // 1000 % 60:02}"
    if status and not status.get("told"):
        text += "  nobody told it the time"
    return wrapped(text, width, HEAD)[0]


def _channel_lines(sheet: Sheet, now: list[Now], width: int) -> list[Text]:
    leave = set()
    if sheet.known is None or not any(one.channel.place or one.channel.row for one in now):
        leave.add("registers")
    if not any(one.channel.max is not None or one.channel.min is not None for one in now):
        leave.add("limit")
    if not any(one.channel.unit for one in now):
        leave.add("")
    columns = [_calibrated(column, now) for column in _CHANNELS]
    rows = [channel_cells(one) for one in now]
    kept = [i for i, column in enumerate(columns) if column.title not in leave]
    return table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows], width)


def _calibrated(column: Column, now: list[Now]) -> Column:
    """The raw value stays where a calibration makes it another than the value."""
    if column.title == "raw" and any(one.calibrated for one in now):
        return Column("raw", right=True, keep=1)
    return column


def channel_cells(one: Now) -> list[Cell]:
    """The cells of _CHANNELS."""
    channel, reading = one.channel, one.reading
    quality = reading.quality if reading else ""
    style = GOOD if quality == "OK" else BAD if quality else DIM
    if quality in ("CALIBRATING", "MAINTENANCE") or (quality == "OK" and one.doubt):
        style = DOUBT
    raw = reading.raw if reading else None
    value = reading.value if reading else None
    ma = current_ma(channel, raw)
    return [
        (channel.name, ""),
        (hexadecimal(one.registers) if ma is None else f"{ma:.2f} mA", DOUBT if one.doubt else DIM),
        (shown(raw, None if one.calibrated else channel.decimals), DIM),
        (shown(value, channel.decimals), style if style != GOOD else HEAD),
        (channel.unit, ""),
        against(value, channel),
        (QUALITIES.get(quality, quality) or "waiting", style),
        (age(one.age_s), DOUBT if one.old else DIM),
    ]


def unit_lines(peek: Peek, known: Known | None, width: int) -> list[Text]:
    """The bus statistics, a line a unit."""
    return units_of(peek.status, known, width)


def units_of(status: dict[str, Any] | None, known: Known | None, width: int) -> list[Text]:
    """The same, of a status as it came."""
    rows = [_unit_cells(unit, known) for unit in counts(status).values()]
    if not rows:
        return []
    columns = [column for column in _UNITS if known or column.title != "instrument"]
    return table(columns, [[c for c, k in zip(r, _UNITS, strict=True) if k in columns] for r in rows], width)


def _unit_cells(unit: Counts, known: Known | None) -> list[Cell]:
    bad = BAD if unit.lost else DOUBT
    return [
        (unit.bus, ""),
        (str(unit.unit), ""),
        ((known.units.get((unit.bus, unit.unit)) or "-") if known else "-", DIM),
        (str(unit.requests), ""),
        (str(unit.timeouts), bad if unit.timeouts else ""),
        (str(unit.bad_replies), bad if unit.bad_replies else ""),
        (str(unit.exceptions), bad if unit.exceptions else ""),
        ("-" if unit.mute or not unit.requests else str(unit.response_ms), DIM),
        ("SILENT" if unit.lost else f"{unit.share:.1%}", bad if unit.share else ""),
    ]
