"""What anybody may see of a station: one JSON object and one CSV, pulled or pushed. Pure.

    {"title", "station": {"province", "facility", "code", "name", "kind", "latitude", "longitude"},
     "t": of the newest window, "delay_min", "window_minutes",
     "channels": {symbol: {"unit", "t", "value", "status", "status_vi", "status_en", "valid_share",
                           "revision", "limits": {"min", "max", "basis"}}},
     "windows": {"t": [...], "values": {symbol: [...]}, "statuses": {symbol: [...]}},
     "hours": the same of whole hours (gateway/hours.py); only in what is pulled,
     "statuses": {"00": {"vi", "en"}, ...}, "checkpoint": text}

Rule 1: only channels that [public] names appear, by whatever way: every window passes agreed().
Rule 2: a number is shown only where it was measured (quality OK), and is the provincial file's figure. While
        somebody calibrates or something fails, the status says so in words and there is no number: a value
        of a calibration liquid in the news is a lie that nobody told.
Rule 3: nothing is said about a limit but what it is. Limits are for hours or days, and a judgement on
        windows of five minutes is not for a page.
Rule 4: "t" is a window's, never now: the same windows make the same bytes, and a page that shows them can
        tell how old they are.
Rule 5: what is pushed is the same object with an id, about the windows of one stamp and one revision: whoever
        keeps all of them has the whole history (decisions/0012).
In "windows" the lists run side by side; null where a channel has no window, or no number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.hours import HOUR_MS, hour_of, of
from gateway.quality_words import STATUSES, WORDS
from gateway.reports import message, provincial
from gateway.reports.layout import stamp
from gateway.reports.message import rfc3339
from protocol import quality as q

if TYPE_CHECKING:
    from gateway.config_model import Channel, Config
    from gateway.windows import Window

DAY_MS = 86_400_000
HEADINGS = (
    "time", "symbol", "value", "unit", "status", "status_vi", "status_en", "limit_min", "limit_max", "basis",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


def channels(config: Config) -> dict[str, Channel]:
    """The public ones, in the order in which [public] names them."""
    by_symbol = {channel.symbol: channel for channel in config.channel}
    return {symbol: by_symbol[symbol] for symbol in config.public.channels if symbol in by_symbol}


def agreed(config: Config, windows: Iterable[Window]) -> list[Window]:
    """Those that may be shown: of public channels, in the unit that the channel has now."""
    shown = channels(config)
    return [one for one in windows if one.symbol in shown and one.unit == shown[one.symbol].unit]


def ended_before_ms(config: Config, now_ms: int) -> int:
    """A window that ended at this moment or before may be shown now."""
    return now_ms - config.public.delay_min * 60_000


class Series:
    """Windows side by side for one object. add() them in the order of time; a later revision replaces."""

    def __init__(self, config: Config):
        self._config = config
        self._channels = channels(config)
        self._places: dict[int, int] = {}  # a window's label -> its place in the lists
        self._values: dict[str, list[float | None]] = {symbol: [] for symbol in self._channels}
        self._statuses: dict[str, list[str | None]] = {symbol: [] for symbol in self._channels}

    def add(self, windows: Iterable[Window]) -> None:
        for window in newest_revisions(agreed(self._config, windows)):
            label_ms = message.label(self._config, window)
            place = self._places.setdefault(label_ms, len(self._places))
            for lists in (self._values, self._statuses):
                for some in lists.values():
                    if len(some) <= place:
                        some.append(None)
            self._values[window.symbol][place] = number(self._channels[window.symbol], window)
            self._statuses[window.symbol][place] = window.status

    def object(self) -> dict[str, Any]:
        """What "windows" holds."""
        return {"t": [rfc3339(ms) for ms in self._places], "values": self._values, "statuses": self._statuses}


class Hours:
    """Whole hours, from `from_ms` on, of the windows that are added in the order of time."""

    def __init__(self, config: Config, from_ms: int):
        self._config = config
        self._from_ms = from_ms
        self._open: dict[int, list[Window]] = {}  # by the hour's start
        self._series = Series(config)

    def add(self, windows: Iterable[Window]) -> None:
        for window in newest_revisions(agreed(self._config, windows)):
            self._open.setdefault(hour_of(window.start_ms), []).append(window)
        self._close(max(self._open, default=0))

    def object(self, newest_ms: int) -> dict[str, Any]:
        """What "hours" holds, once a window that ends at `newest_ms` was the last."""
        self._close(newest_ms)
        return self._series.object()

    def _close(self, newest_ms: int) -> None:
        for start_ms in sorted(self._open):
            if start_ms + HOUR_MS <= newest_ms:
                windows = self._open.pop(start_ms)
                if start_ms >= self._from_ms:  # else its first windows are not among those asked for
                    self._series.add(of(windows, 1, self._config.gateway.valid_share_min))


def page(
    config: Config, newest: Mapping[str, Window], series: Series, hours: Hours, checkpoint: bytes = b""
) -> bytes:
    """The object of /public.json. `newest` may hold any channels; a public one that it lacks has no data."""
    newest_ms = max((window.end_ms for window in agreed(config, newest.values())), default=0)
    found = _object(config, newest, channels(config), series, checkpoint)
    return _encode({**found, "hours": hours.object(newest_ms)})


def public_message(
    config: Config, windows: Iterable[Window], revision: int, checkpoint: bytes = b""
) -> bytes | None:
    """What is pushed for the windows of one stamp and revision; None where no public channel is among
    them (rule 5).
    """
    group = {window.symbol: window for window in agreed(config, windows)}
    if not group:
        return None
    series = Series(config)
    series.add(group.values())
    label_ms = message.label(config, next(iter(group.values())))
    id = message.message_id(config, "public", f"{stamp(label_ms)}/{revision}")
    shown = {symbol: channel for symbol, channel in channels(config).items() if symbol in group}
    return _encode({"id": id, **_object(config, group, shown, series, checkpoint)})


def _object(
    config: Config,
    newest: Mapping[str, Window],
    shown: Mapping[str, Channel],
    series: Series,
    checkpoint: bytes,
) -> dict[str, Any]:
    station = config.station
    labels = [message.label(config, window) for window in agreed(config, newest.values())]
    latitude, longitude = station.coordinates or (None, None)
    found = {
        "title": config.public.title or station.name,
        "station": {
            "province": station.province, "facility": station.facility, "code": station.code,
            "name": station.name, "kind": station.kind, "latitude": latitude, "longitude": longitude,
        },
        "t": rfc3339(max(labels)) if labels else None,
        "delay_min": config.public.delay_min,
        "window_minutes": config.gateway.window_minutes,
        "channels": {
            symbol: _channel(config, channel, newest.get(symbol)) for symbol, channel in shown.items()
        },
        "windows": series.object(),
        "statuses": {status: {"vi": vi, "en": en} for status, (vi, en) in STATUSES.items()},
    }  # fmt: skip
    if checkpoint:
        found["checkpoint"] = checkpoint.decode()
    return found


def _channel(config: Config, channel: Channel, window: Window | None) -> dict[str, Any]:
    if window is None or window.unit != channel.unit:
        vi, en = WORDS[q.NO_DATA]
        told: dict[str, Any] = {"t": None, "value": None, "status": q.status(q.NO_DATA)}
        more: dict[str, Any] = {"valid_share": 0.0, "revision": None}
    else:
        vi, en = words(window)
        told = {
            "t": rfc3339(message.label(config, window)),
            "value": number(channel, window),
            "status": window.status,
        }
        more = {"valid_share": round(window.valid_share, 4), "revision": window.revision}
    limits = channel.limits
    allowed = {"min": limits.min, "max": limits.max, "basis": limits.basis}
    return {"unit": channel.unit, **told, "status_vi": vi, "status_en": en, **more, "limits": allowed}


def newest_revisions(windows: Iterable[Window]) -> list[Window]:
    """Of each window its newest revision, by time."""
    found: dict[tuple[int, str], Window] = {}
    for window in windows:
        known = found.get((window.start_ms, window.symbol))
        if known is None or window.revision > known.revision:
            found[window.start_ms, window.symbol] = window
    return sorted(found.values(), key=lambda window: window.start_ms)


def number(channel: Channel, window: Window) -> float | None:
    """The figure that may be shown (rule 2)."""
    text = figure(channel, window)
    return float(text) if text else None


def figure(channel: Channel, window: Window) -> str:
    """The same as text; "" for none."""
    if window.quality != q.OK or window.value is None or not provincial.has_number(window):
        return ""
    return provincial.number(window.value, channel.decimals)


def words(window: Window) -> tuple[str, str]:
    """A window's status in Vietnamese and in English."""
    return WORDS.get(window.quality) or STATUSES[window.status]


# CSV --------------------------------------------------------------------------------------------------------


def csv_head() -> bytes:
    """The first line, behind a byte order mark: without it a spreadsheet shows Vietnamese as noise."""
    return b"\xef\xbb\xbf" + _line(HEADINGS)


def csv_lines(config: Config, windows: Iterable[Window]) -> bytes:
    """A line for each of these windows that may be shown, by time, then as [public] names the channels."""
    shown = channels(config)
    order = {symbol: place for place, symbol in enumerate(shown)}
    found = newest_revisions(agreed(config, windows))
    text = io.StringIO()
    writer = csv.writer(text)
    for window in sorted(found, key=lambda window: (window.start_ms, order[window.symbol])):
        channel = shown[window.symbol]
        limits = channel.limits
        writer.writerow(
            [
                rfc3339(message.label(config, window)), window.symbol, figure(channel, window), channel.unit,
                window.status, *words(window),
                "" if limits.min is None else limits.min, "" if limits.max is None else limits.max,
                limits.basis,
            ]
        )  # fmt: skip
    return text.getvalue().encode()


def _line(fields: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(fields)
    return text.getvalue().encode()
