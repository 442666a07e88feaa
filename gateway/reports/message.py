"""Messages for brokers: one JSON object each, with a permanent id.

    topic    quantrac/<province>/<facility>/<station>/<kind>          kind: window, readings, ...
    window   {"id", "t", "channels": {symbol: {"value", "unit", "status", "valid_share", "revision"}},
              "checkpoint": text}
    hour     as window, with "count" and "expected" (windows) for each channel; always all channels
    alert    {"id", "t", "entry", "alert", "state", "rule", "about", "since", ..., "windows": [{...}],
              "checkpoint"}; state: raised, acknowledged ("by", "note"), escalated, cleared, past
    event    {"id", "t", "entry", "leaf", "kind", "source", "name", "about", "detail", "checkpoint"}
    status   {"id", "t", "problems", "destinations", "devices", "buses", "journal", "disk", "checkpoint"}
    checkpoint {"id", "t", "checkpoint": text}
    readings {"id", "t", "rows": [[symbol, t_ms, value, status], ...],
              "means": [[symbol, from_ms, to_ms, mean, minimum, maximum, readings, status], ...]}

Rule 1: the id is a function of what the message is about, so a receiver can drop a repetition.
Rule 2: a value is the same figure as in the provincial file: the text's number, not the unrounded mean.
Rule 3: a channel without any number has value null and a status that says why; never NaN.
Rule 4: "means" is there only when a device had to thin out what it kept through an outage: such a mean of
        readings within from_ms <= t < to_ms is no reading, and never stands among the rows.
Rule 5: "checkpoint" is a signed note (C2SP tlog-checkpoint), byte for byte, with such cosignatures as there
        were: whoever keeps it can tell later whether history was rewritten. In a window it is the newest that
        the journal had when the message was made, and so an older one than covers the window; before the
        first there is none. A message is made once: what is sent again is the same bytes.
`t` is RFC 3339 in GMT+7.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.reports import provincial
from gateway.reports.layout import named_after, stamp
from gateway.zone import GMT7_S

if TYPE_CHECKING:
    from gateway.config_model import Config
    from gateway.windows import Window

# What a destination is configured to get -> the last level of the topic.
TOPIC_KINDS = {
    "windows": "window",
    "hours": "hour",
    "alerts": "alert",
    "events": "event",
    "checkpoints": "checkpoint",
    "status": "status",
    "readings": "readings",
    "public": "public",
}
STATUS_PARTS = ("problems", "destinations", "devices", "buses", "journal", "disk")
"""What a status message has of /api/v1/current, beside the time."""
STATUS_BYTES_MAX = 16_000
"""A status is of a moment and comes with every window: it is not to be what fills a line or a disk."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def rfc3339(time_ms: int) -> str:
    """Unix ms -> "2026-03-25T00:05:00+07:00", with milliseconds only when there are some."""
    seconds, ms = divmod(time_ms, 1000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds + GMT7_S))
    return f"{text}.{ms:03d}+07:00" if ms else f"{text}+07:00"


def topic(config: Config, kind: str, prefix: str = "quantrac") -> str:
    """The topic for a kind of `send`, such as "windows" or "readings"."""
    station = config.station
    return f"{prefix}/{station.province}/{station.facility}/{station.code}/{TOPIC_KINDS[kind]}"


def message_id(config: Config, kind: str, name: str) -> str:
    """A permanent id, unique over all stations: "LCa/DEMO/NUO001/window/20260325000500/1"."""
    station = config.station
    return f"{station.province}/{station.facility}/{station.code}/{TOPIC_KINDS[kind]}/{name}"


def window_message(
    config: Config, windows: Sequence[Window], revision: int, checkpoint: bytes = b"", kind: str = "windows"
) -> bytes:
    """The windows (or "hours") of one stamp and one revision; with the newest checkpoint, if there is one."""
    label_ms = label(config, windows[0])
    by_symbol = {window.symbol: window for window in windows}
    channels = {}
    for channel in config.channel:
        window = by_symbol.get(channel.symbol)
        if window is None:
            continue
        value = window.value if provincial.has_number(window) else None
        channels[channel.symbol] = {
            "value": None if value is None else float(provincial.number(value, channel.decimals)),
            "unit": channel.unit,
            "status": window.status,
            "valid_share": round(window.valid_share, 4),
            "revision": window.revision,
        }
        if kind == "hours":
            channels[channel.symbol] |= {"count": window.count, "expected": window.expected}
    name = f"{stamp(label_ms)}/{revision}"
    found = {"id": message_id(config, kind, name), "t": rfc3339(label_ms), "channels": channels}
    return _encode(found | _newest(checkpoint))


def _newest(checkpoint: bytes) -> dict[str, str]:
    return {"checkpoint": checkpoint.decode()} if checkpoint else {}


def entry_message(config: Config, send: str, name: str, at_ms: int, told: dict[str, Any]) -> bytes:
    """What an entry of the journal tells, an alert or an event: `told` is the rest of the object."""
    return _encode({"id": message_id(config, send, name), "t": rfc3339(at_ms)} | told)


def status_message(config: Config, name: str, status: dict[str, Any], checkpoint: bytes = b"") -> bytes:
    """The parts of /api/v1/current that STATUS_PARTS names, below STATUS_BYTES_MAX: what makes it too long is
    named in "left_out" instead.
    """
    found: dict[str, Any] = {"id": message_id(config, "status", name), "t": status["t"]}
    found |= {part: status[part] for part in STATUS_PARTS} | _newest(checkpoint)
    left_out: list[str] = []
    while len(body := _encode(found)) > STATUS_BYTES_MAX:
        part = max((len(_encode(found[part])), part) for part in STATUS_PARTS if part in found)[1]
        del found[part]
        found["left_out"] = left_out = [*left_out, part]
    return body


def checkpoint_message(config: Config, size: int, at_ms: int, checkpoint: bytes) -> bytes:
    """A checkpoint of so many entries, signed at `at_ms`."""
    name = message_id(config, "checkpoints", str(size))
    return _encode({"id": name, "t": rfc3339(at_ms), "checkpoint": checkpoint.decode()})


def checkpoint_in(data: bytes) -> bytes:
    """The checkpoint in a message; b"" where there is none, or no message."""
    try:
        found = _decode(data)
    except msgspec.DecodeError:
        return b""
    text = found.get("checkpoint") if isinstance(found, dict) else None
    return text.encode() if isinstance(text, str) else b""


def reading_message(
    config: Config,
    name: str,
    t_ms: int,
    rows: Iterable[Sequence[object]],
    means: Iterable[Sequence[object]] = (),
) -> bytes:
    """Raw readings, [symbol, t_ms, value or None, status] each, and means of thinned ones (rule 4).

    `name` makes the id permanent, as "17/1200-1263".
    """
    found = {"id": message_id(config, "readings", name), "t": rfc3339(t_ms), "rows": list(rows)}
    if means := list(means):
        found["means"] = means
    return _encode(found)


def label(config: Config, window: Window) -> int:
    """The moment a window is named after (Unix ms), as the configuration says."""
    return named_after(config.gateway.label, window.start_ms, window.end_ms)
