"""Entries of the journal as messages: events and alerts. Position: the number of an entry.

    send = ["events"]  every EVENT, LOG, COMMAND and CALIBRATION entry, in order
    send = ["alerts"]  of the EVENT entries those that somebody is to be called for: alerts
                       (gateway/alerts.py), and beginning and end of interruptions (interruptions.py)

Rule 1: an event tells the whole entry, but for bytes, which are hex; `leaf` is its hash in the log. What a
        later version wrote is told as it is, or as the hex of its body.
Rule 2: an alert carries what proves it: for each window that shows it the path of its receipt on the
        gateway's page, and the newest checkpoint, which covers it as soon as one is signed at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

from gateway import alerts, interruptions
from gateway.documents import Draft, entry_drafts
from gateway.feed import Source
from gateway.journal.kinds import CALIBRATION, COMMAND, EVENT, LOG
from gateway.journal.reader import WINDOW_COLUMNS, Reader, Stored
from gateway.reports import provincial
from gateway.reports.layout import named_after, stamp
from gateway.reports.message import rfc3339
from gateway.windows import Window
from protocol import cbor
from protocol.errors import CodecError

AT_ONCE = 256
"""Entries told in one transaction."""
KINDS = {EVENT: "event", LOG: "log", COMMAND: "command", CALIBRATION: "calibration"}
RECEIPT = "/api/v1/receipt/{symbol}/{stamp}?revision={revision}"
_END = "SELECT end_ms FROM window WHERE start_ms = ? AND symbol = ? AND revision = ?"
_WITHIN = (
    "SELECT start_ms, revision, value FROM window WHERE start_ms >= ? AND start_ms < ? AND symbol = ? "
    "AND idx < ? AND status = '00' AND value IS NOT NULL ORDER BY start_ms, revision"
)
RECEIPTS_MAX = 12
"""Windows of an hour or a day whose receipts an alert names: those that are the furthest out."""
INTEGER_MAX = 1 << 63
"""Beyond it an integer is told in quotes."""

_SHOWN = (
    f"SELECT {WINDOW_COLUMNS} FROM window WHERE start_ms >= ? AND symbol = ? AND revision = 1 "
    "ORDER BY start_ms LIMIT ?"
)


class _Entries(Source):
    """What both have in common."""

    kinds: tuple[int, ...] = ()

    def before_newest(self, reader: Reader, end: int) -> int:
        newest = -1
        for kind in self.kinds:
            found = (entry.idx for entry in reader.newest_first(kind) if self._wanted(entry, end))
            newest = max(newest, next(found, -1))
        return newest - 1 if newest >= 0 else end

    def drafts(self, reader: Reader, after: int, end: int, checkpoint: bytes) -> tuple[list[Draft], int]:
        entries = list(islice(reader.entries(after + 1, end, self.kinds), AT_ONCE))
        more = {"checkpoint": checkpoint.decode()} if checkpoint else {}
        drafts: list[Draft] = []
        for entry in entries:
            told = self._told(reader, entry)
            if told is not None:
                told |= more
                drafts += entry_drafts(self._config, self.send, entry.idx, entry.leaf, entry.arrived_ms, told)
        return drafts, entries[-1].idx if len(entries) == AT_ONCE else end

    def _wanted(self, entry: Stored, end: int) -> bool:
        return entry.idx <= end

    def _told(self, reader: Reader, entry: Stored) -> dict[str, Any] | None:
        raise NotImplementedError


class EventSource(_Entries):
    send = "events"
    kinds = (EVENT, LOG, COMMAND, CALIBRATION)

    def _told(self, reader: Reader, entry: Stored) -> dict[str, Any] | None:
        return event_of(entry)


class AlertSource(_Entries):
    send = "alerts"
    kinds = (EVENT,)

    def _wanted(self, entry: Stored, end: int) -> bool:
        known = alerts.parse(entry.body) or interruptions.parse(entry.body)
        return entry.idx <= end and known is not None

    def _told(self, reader: Reader, entry: Stored) -> dict[str, Any] | None:
        if alert := alerts.parse(entry.body):
            return {
                "entry": entry.idx,
                **_head(alert.rule, alert.symbol, alert.said, alert.since_ms),
                "basis": alert.basis,
                **({"by": alert.by, "note": alert.note} if alert.by else {}),
                "windows": [self._cause(reader, cause, entry.idx) for cause in alert.windows],
            }
        if lasting := interruptions.parse(entry.body):
            kind, name = lasting.what
            ended = lasting.to_ms is not None
            until = {"until": rfc3339(lasting.to_ms)} if lasting.to_ms is not None else {}
            state = "cleared" if ended else "raised"
            return {
                "entry": entry.idx, **_head(f"{kind} interrupted", name, state, lasting.from_ms), **until,
                "cause": lasting.cause,
                "windows": list(self._shown(reader, lasting)) if kind == interruptions.CHANNEL else [],
            }  # fmt: skip
        return None

    def _cause(self, reader: Reader, cause: alerts.Cause, before: int) -> dict[str, Any]:
        """A window with its receipt; or a mean, with those of the windows that are the furthest out in it."""
        shown = {"value": cause.value, "limit": cause.limit}
        if not cause.span_ms:
            return self._window(reader, cause.symbol, cause.start_ms, cause.revision) | shown
        rows = reader.rows(_WITHIN, cause.start_ms, cause.start_ms + cause.span_ms, cause.symbol, before)
        newest = {start_ms: (value, start_ms, revision) for start_ms, revision, value in rows}
        above = cause.limit is None or cause.value >= cause.limit
        most = sorted(newest.values(), reverse=above)[:RECEIPTS_MAX]
        receipts = [self._window(reader, cause.symbol, start, rev)["receipt"] for _, start, rev in most]
        return {
            "symbol": cause.symbol, "start": rfc3339(cause.start_ms), "start_ms": cause.start_ms,
            "revision": cause.revision, "span_min": cause.span_ms // 60_000, **shown, "receipts": receipts,
        }  # fmt: skip

    def _shown(self, reader: Reader, lasting: interruptions.Interruption) -> Iterator[dict[str, Any]]:
        """The windows by which an interruption of a channel began, or that by which it ended."""
        _, symbol = lasting.what
        place = (lasting.from_ms, interruptions.LEAST) if lasting.to_ms is None else (lasting.to_ms, 1)
        for row in reader.rows(_SHOWN, place[0], symbol, place[1]):
            window = Window._make(row)
            found = self._window(reader, symbol, window.start_ms, window.revision)
            yield found | {"value": self._value(window), "status": window.status}

    def _value(self, window: Window) -> float | None:
        """The figure that is sent."""
        decimals = {channel.symbol: channel.decimals for channel in self._config.channel}
        if window.value is None or not provincial.has_number(window) or window.symbol not in decimals:
            return window.value
        return float(provincial.number(window.value, decimals[window.symbol]))

    def _window(self, reader: Reader, symbol: str, start_ms: int, revision: int) -> dict[str, Any]:
        rows = reader.rows(_END, start_ms, symbol, revision)
        end_ms = rows[0][0] if rows else start_ms  # by the length that windows had then
        label_ms = named_after(self._config.gateway.label, start_ms, end_ms)
        receipt = RECEIPT.format(symbol=quote(symbol, safe=""), stamp=stamp(label_ms), revision=revision)
        return {
            "symbol": symbol, "start": rfc3339(start_ms), "start_ms": start_ms, "revision": revision,
            "receipt": receipt,
        }  # fmt: skip


def _head(rule: str, about: str, state: str, since_ms: int) -> dict[str, Any]:
    """What all alerts have. `alert` is one name from "raised" to "cleared"."""
    return {
        "alert": f"{rule}/{about}/{stamp(since_ms)}", "state": state, "rule": rule, "about": about,
        "since": rfc3339(since_ms),
    }  # fmt: skip


def event_of(entry: Stored) -> dict[str, Any]:
    """What an event's message tells, but for its id, time and checkpoint."""
    return {
        "entry": entry.idx, "leaf": entry.leaf.hex(), "kind": KINDS[entry.kind], "source": entry.source,
        **described(entry.body),
    }  # fmt: skip


def described(body: bytes) -> dict[str, Any]:
    """name, about and detail of an entry (rule 1)."""
    try:
        found: Any = cbor.loads(body)
    except CodecError:
        return {"name": "", "about": "", "detail": body.hex()}
    match found:
        case [str(name), about, *detail]:
            return {"name": name, "about": plain(about), "detail": plain(detail)}
        case {"what": str(name)}:
            return {"name": name, "about": "", "detail": plain(found)}
    return {"name": "", "about": "", "detail": plain(found)}


def plain(value: Any) -> Any:
    """Whatever CBOR holds, as JSON can."""
    match value:
        case bytes():
            return value.hex()
        case float():
            return value if math.isfinite(value) else None
        case bool() | str() | None:
            return value
        case int():
            return value if -INTEGER_MAX <= value < INTEGER_MAX else str(value)
        case list() | tuple():
            return [plain(one) for one in value]
        case dict():
            return {one if isinstance(one, str) else str(plain(one)): plain(of) for one, of in value.items()}
    return str(value)
