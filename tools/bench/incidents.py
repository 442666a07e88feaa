"""What happened at a station of `year.py` besides its windows: alerts and who acted, interruptions,
calibrations, and the tables of zero and span checks that a person keeps.

Rule 1: bodies are those of the gateway's own modules, and agree with the windows: an alert lasts as long as
        its channel is beyond the limit, an interruption as long as windows are bad or missing.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import NamedTuple

from gateway.alert_states import ACKNOWLEDGED, ESCALATED, Alert, Cause
from gateway.ingest.calibrations import IN_FORCE
from gateway.interruptions import CHANNEL, DESTINATION, Interruption
from gateway.journal.kinds import CALIBRATION, EVENT
from gateway.reports.layout import GMT7_S
from gateway.zone import DAY_MS, HOUR_MS
from protocol import cbor
from tools.bench.sites import Place

WHO = (
    ("Nguyễn Văn An", "đã giảm lưu lượng xả, lấy mẫu đối chứng"),
    ("Trần Thị Bình", "đã kiểm tra bể hiếu khí"),
    ("Lê Quốc Cường", "rửa đầu đo, theo dõi tiếp"),
)
CLEAR_SHARE = 0.95
DEVICE = "st-01"


class Entry(NamedTuple):
    """One more of the journal."""

    at_ms: int
    kind: int
    source: str
    body: bytes


class Incidents:
    """Hears of the windows as they are made, in their order."""

    def __init__(self, place: Place, seed: int):
        self._place, self._chance = place, random.Random(seed)
        self._raised: dict[str, Alert] = {}
        self._down: dict[str, tuple[int, int, str]] = {}  # since, up to, why
        self.entries: list[Entry] = []

    def value(self, at: int, start_ms: int, end_ms: int, value: float) -> None:
        """A valid window of channel `at`."""
        made = self._place.channels[at]
        standing, value = self._raised.get(made.symbol), round(value, made.decimals)
        cause = Cause(made.symbol, start_ms, 1, value, made.highest)
        if standing is None and value > made.highest:
            self._raise(made.symbol, cause, end_ms)
        elif standing is not None and value < made.highest * CLEAR_SHARE:
            del self._raised[made.symbol]
            self._say(standing._replace(said="cleared", windows=(cause,)), end_ms)

    def _raise(self, symbol: str, cause: Cause, at_ms: int) -> None:
        alert = Alert(symbol, "raised", cause.start_ms, self._place.basis, (cause,))
        self._raised[symbol] = alert
        self._say(alert, at_ms)
        drawn = self._chance.random()
        if drawn < 0.2:
            self._say(alert._replace(said=ESCALATED, windows=()), at_ms + HOUR_MS)
        if drawn < 0.85:
            by, note = self._chance.choice(WHO)
            said = alert._replace(said=ACKNOWLEDGED, windows=(), by=by, note=note)
            self._say(said, at_ms + self._chance.randrange(3, 90) * 60_000 + (HOUR_MS if drawn < 0.2 else 0))

    def _say(self, alert: Alert, at_ms: int) -> None:
        self.entries.append(Entry(at_ms, EVENT, "gateway", alert.event()))

    def missing(self, symbol: str, from_ms: int, to_ms: int, why: str) -> None:
        """A window without a good value; those that meet are one interruption, told when it is a long one."""
        since, until, reason = self._down.get(symbol, (from_ms, from_ms, why))
        if until != from_ms or reason != why:
            self._end(symbol)
            since = from_ms
        self._down[symbol] = (since, to_ms, why)

    def _end(self, symbol: str) -> None:
        since, until, why = self._down.pop(symbol, (0, 0, ""))
        if until - since >= 900_000:
            self._stop(Interruption((CHANNEL, symbol), since, until, why))

    def _stop(self, one: Interruption) -> None:
        assert one.to_ms is not None
        self.entries.append(Entry(one.to_ms, EVENT, "gateway", one.event()))

    def finish(self, from_ms: int, to_ms: int) -> list[Entry]:
        """All of them, in the order of time."""
        for symbol in list(self._down):
            self._end(symbol)
        for at_ms in range(from_ms + 40 * DAY_MS, to_ms, 70 * DAY_MS):
            self._stop(Interruption((DESTINATION, "sent"), at_ms, at_ms + 13 * HOUR_MS, "connection refused"))
        for number, at_ms in enumerate(range(from_ms + 9 * HOUR_MS, to_ms, 60 * DAY_MS), 1):
            points = [[0.0, 0.02 * number], [50.0, 50.0 - 0.3 * number]]
            said = {"what": IN_FORCE, "quantity": "cod", "calibration": number, "points": points}
            self.entries.append(Entry(at_ms, CALIBRATION, DEVICE, cbor.dumps(said | {"since_ms": at_ms})))
        return sorted(self.entries)


def checks(folder: Path, place: Place, from_ms: int, to_ms: int, seed: int) -> None:
    """The tables of zero and span checks, one a week: a drift in spring, and what was done about it."""
    chance = random.Random(seed)
    for made in place.channels:
        of_points = {name[2:]: s for name, s in made.more.get("qal3", {}).items()}
        if not of_points:
            continue
        lines, drift, done = ["time,point,reference,indicated"], 0.0, "time,point,action,by\n"
        for week, at_ms in enumerate(range(from_ms + 9 * HOUR_MS, to_ms, 7 * DAY_MS)):
            drift += 0.35 if 10 <= week < 18 else 0.0
            if week == 18:
                drift = 0.0
                done += f"{_time(at_ms - HOUR_MS)},,Hiệu chuẩn lại và thay ống bơm,Trần Thị Bình\n"
            for point, s in of_points.items():
                reference = 0.0 if point == "zero" else made.mean
                indicated = reference + s * (chance.gauss(0, 0.7) + (drift if point == "span" else 0.0))
                lines.append(f"{_time(at_ms)},{point},{reference:g},{indicated:.2f}")
        table = folder / "qal3"
        table.mkdir(exist_ok=True)
        (table / f"{made.symbol}.csv").write_text("\n".join(lines) + "\n", "utf-8")
        (table / f"{made.symbol}.done.csv").write_text(done, "utf-8")


def _time(time_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(time_ms // 1000 + GMT7_S))
