"""The truth file: what the simulated instruments really held, one JSON line per update.

    {"t": station Unix ms of the update, "channel": symbol, "value": engineering value}

The value is what the registers say after quantisation, so a perfect reader gets exactly it. A line may
carry "state" when the instrument was in another state than RUNNING. A run that goes on in the same
directory appends, without repeating an update that is there already.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

TAIL_BYTES = 1 << 20  # how far back an older file is read: hours at any speed, and every channel is in it


class Truth:
    """Appends to a truth file; not thread-safe. `lines` counts what this run wrote."""

    def __init__(self, path: Path | str) -> None:
        """Open for appending. Raises OSError when the folder is missing or not writable."""
        self.path = Path(path)
        self.lines = 0
        self._last_ms = self._resume()
        self._file = self.path.open("a", encoding="utf-8")
        self._held: dict[str, tuple[int, float]] = {}

    def write(self, t_ms: int, channel: str, value: float, state: str | None = None) -> None:
        """Note an update; ignored when the file already has this channel at `t_ms` or later."""
        self._held[channel] = (t_ms, value)
        if t_ms <= self._last_ms.get(channel, -1):
            return
        self._last_ms[channel] = t_ms
        line = {"t": t_ms, "channel": channel, "value": value}
        if state is not None:
            line["state"] = state
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        self.lines += 1

    def current(self) -> dict[str, tuple[int, float]]:
        """Channel -> (time of its last update in Unix ms, value it holds)."""
        return dict(self._held)

    def flush(self) -> None:
        """Hand the lines to the operating system, so that other processes can read them."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _resume(self) -> dict[str, int]:
        if not self.path.exists():
            return {}
        lines, torn = _tail(self.path)
        os.truncate(self.path, self.path.stat().st_size - torn)
        return _newest(lines)


def newest_ms(path: Path | str) -> int | None:
    """Time of the newest update in a truth file; None when there is none."""
    path = Path(path)
    return max(_newest(_tail(path)[0]).values(), default=None) if path.exists() else None


def _tail(path: Path) -> tuple[list[bytes], int]:
    """The whole lines near the end, and the bytes of what a killed run left half written after them."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    torn = lines.pop()
    return [line for line in (lines[1:] if start else lines) if line], len(torn)


def _newest(lines: list[bytes]) -> dict[str, int]:
    """Channel -> time of its newest update in these lines."""
    last: dict[str, int] = {}
    for line in lines:
        entry = json.loads(line)
        last[entry["channel"]] = max(entry["t"], last.get(entry["channel"], -1))
    return last
