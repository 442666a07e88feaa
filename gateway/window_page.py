"""What /api/v1/windows shows, read from the journal.

    {"station": "LCa/DEMO/NUO001", "from": t, "to": t, "windows": [{"t", "start", "end", "symbol", "value",
     "unit", "status", "quality", "count", "expected", "valid_share", "minimum", "maximum", "deviation",
     "revision", "reason", "flags"}, ...]}

Rule 1: windows that begin within from <= start < to, by start and symbol, of each the newest revision unless
        all are asked for. `value` is the figure of the provincial file, `t` what the file is named after.
Rule 2: read a day at a time on the journal's reading thread, ROWS_MAX windows at the most, so that whoever
        waits for it besides (the outbox) waits for a day's rows at most.
Times are RFC 3339 in GMT+7.
"""

from __future__ import annotations

import msgspec

from gateway.config_model import Config
from gateway.errors import NotThere
from gateway.flags import NAMES
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from gateway.reports import provincial
from gateway.reports.message import label, rfc3339
from gateway.web.windows import TooMuch
from gateway.windows import Window
from gateway.zone import DAY_MS

ROWS_MAX = 20_000
"""Some 6 MB: a day of 69 channels, or ten weeks of one."""
DECIMALS = 4
"""Of a channel that is configured no more."""
_encode = msgspec.json.Encoder().encode


class WindowPage:
    """`ask` for gateway/web/windows.py."""

    def __init__(self, config: Config, journal: Journal):
        self._config = config
        self._journal = journal
        self._decimals = {channel.symbol: channel.decimals for channel in config.channel}

    async def ask(
        self, from_ms: int | None, to_ms: int | None, symbol: str | None, all_revisions: bool
    ) -> bytes:
        """The answer; the newest day where no times are given. NotThere, TooMuch, JournalError."""
        oldest_ms, newest_ms = await self._journal.read(_held)
        if to_ms is None:
            length_ms = self._config.gateway.window_minutes * 60_000
            to_ms = from_ms + DAY_MS if from_ms is not None else (newest_ms or 0) + length_ms
        from_ms = to_ms - DAY_MS if from_ms is None else from_ms
        rows: list[bytes] = []
        if oldest_ms is not None and newest_ms is not None:
            for begin_ms in range(max(from_ms, oldest_ms), min(to_ms, newest_ms + 1), DAY_MS):
                end_ms = min(begin_ms + DAY_MS, to_ms)
                rows += await self._journal.read(self._rows, begin_ms, end_ms, symbol, all_revisions)
                if len(rows) > ROWS_MAX:
                    raise TooMuch(
                        f"These are more than {ROWS_MAX} windows: ask for a shorter time, or for one symbol."
                    )
        if not rows and symbol is not None and symbol not in self._decimals:
            known = ", ".join(self._decimals)
            raise NotThere(f"There is no channel {symbol!r} here: ask for one of {known}.")
        station = self._config.station
        head = {
            "station": f"{station.province}/{station.facility}/{station.code}",
            "from": rfc3339(from_ms), "to": rfc3339(to_ms),
        }  # fmt: skip
        return _encode(head)[:-1] + b',"windows":[' + b",".join(rows) + b"]}"

    def _rows(
        self, reader: Reader, from_ms: int, to_ms: int, symbol: str | None, all_revisions: bool
    ) -> list[bytes]:
        found = reader.windows(from_ms, to_ms, symbol)
        if not all_revisions:
            newest = {(window.start_ms, window.symbol): window for window in found}  # they come in this order
            found = list(newest.values())
        return [_encode(self._row(window)) for window in found]

    def _row(self, window: Window) -> dict[str, object]:
        decimals = self._decimals.get(window.symbol, DECIMALS)

        def figure(value: float | None) -> float | None:
            return None if value is None else float(provincial.number(value, decimals))

        return {
            "t": rfc3339(label(self._config, window)),
            "start": rfc3339(window.start_ms), "end": rfc3339(window.end_ms),
            "symbol": window.symbol,
            "value": figure(window.value if provincial.has_number(window) else None),
            "unit": window.unit, "status": window.status,
            "quality": NAMES.get(window.quality, str(window.quality)),
            "count": window.count, "expected": window.expected, "valid_share": round(window.valid_share, 4),
            "minimum": figure(window.minimum), "maximum": figure(window.maximum),
            "deviation": window.deviation,
            "revision": window.revision, "reason": window.reason, "flags": window.flags,
        }  # fmt: skip


def _held(reader: Reader) -> tuple[int | None, int | None]:
    """Start of the oldest and of the newest window. Two queries: MIN and MAX in one read the whole table."""
    return reader.rows("SELECT (SELECT MIN(start_ms) FROM window), (SELECT MAX(start_ms) FROM window)")[0]
