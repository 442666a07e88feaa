"""A journal of a station over a period, a year of twelve channels at the most, made in a minute instead of
lived through: for the figures about reading it, and to look at reports.

    python -m tools.bench.year FOLDER 2026-H1 wastewater       FOLDER must be there; then:
    quantrac report FOLDER/config.toml --period 2026-H1 --out FOLDER/out

Made by SQL on the journal's own schema, as the windows lie in it. What else a journal holds (frames, entries
of the windows) is left out, but for what `incidents.py` tells.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.interruptions import CAUSES
from gateway.journal import database
from gateway.journal.leaf import leaf
from gateway.reports.period import period
from protocol import quality as q
from protocol.checkpoint import Checkpoint
from protocol.merkle import root_of
from protocol.note import Signer
from tools.bench.incidents import DEVICE, Incidents, checks
from tools.bench.sites import PLACES, Place
from tools.demo.site import table

YEAR, WASTEWATER = "2026", "wastewater"
LENGTH_MS = 300_000
CHANNELS = PLACES[WASTEWATER].channels
_COLUMNS = (
    "start_ms, symbol, revision, idx, end_ms, unit, value, quality, status, valid, expected, valid_share, "
    "minimum, maximum, reason, last, deviation, average, last_ms"
)
_INSERT = f"INSERT INTO window ({_COLUMNS}) VALUES ({', '.join('?' * 19)})"
STEADY_DAYS, REPEATED_DAY = range(100, 104), 130
"""Days of the second and the third channel that have limits which a sign shall be found in."""


def make(folder: Path, name: str = YEAR, kind: str = WASTEWATER, seed: int = 1) -> Path:
    """Configuration and journal of the period called `name` in `folder`; returns the configuration's path."""
    asked, place = period(name), PLACES[kind]
    incidents = Incidents(place, seed)
    connection = database.connect(folder / "journal.db")
    try:
        database.migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO source VALUES (?, ?)", [(1, "gateway"), (2, DEVICE)])
        rows = _rows(place, incidents, asked.from_ms, asked.to_ms, random.Random(seed))
        connection.executemany(_INSERT, rows)
        leaves = []
        for idx, one in enumerate(incidents.finish(asked.from_ms, asked.to_ms)):
            leaves.append(leaf(one.kind, one.source, one.at_ms, 0, one.body))
            source = 1 if one.source == "gateway" else 2
            connection.execute(
                "INSERT INTO entry VALUES (?, ?, ?, 0, 0, 0, ?, 0, NULL, NULL, ?, ?)",
                (idx, one.kind, source, one.at_ms, leaves[-1], one.body),
            )
        signed = _signed(f"quantrac/LCa/DEMO/{place.code}", leaves)
        connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (len(leaves), asked.to_ms, signed))
        connection.execute("COMMIT")
    finally:
        connection.close()
    checks(folder, place, asked.from_ms, asked.to_ms, seed)
    return _configuration(folder, kind, place)


def _signed(name: str, leaves: list[bytes]) -> bytes:
    """A checkpoint over all entries, by a key that nobody keeps."""
    text = Checkpoint(name, len(leaves), root_of(leaves)).text()
    return f"{text}\n{Signer(name, Ed25519PrivateKey.from_private_bytes(bytes(32))).sign(text)}".encode()


def _rows(
    place: Place, incidents: Incidents, from_ms: int, to_ms: int, chance: random.Random
) -> Iterator[tuple]:
    """Windows in the order of the key: a daily and a slower wave, drift, calibrations each week, faults,
    revisions, hours without anything.
    """
    channels = place.channels
    order = sorted(range(len(channels)), key=lambda at: channels[at].symbol)
    drift, yesterday = [0.0] * len(channels), {}
    for start in range(from_ms, to_ms, LENGTH_MS):
        day, minute = divmod((start - from_ms) // 60_000, 1440)
        end = start + LENGTH_MS
        if day % 45 == 30 and 120 <= minute < 300:
            for made in channels:
                incidents.missing(made.symbol, start, end, "the gateway was not running")
            continue
        if chance.random() < 0.0001:
            continue
        wave = math.sin(minute / 229.2) + 0.6 * math.sin(day / 9.1)
        for at in order:
            made = channels[at]
            noise = chance.gauss(0, 0.08)
            if at == 3 and day in STEADY_DAYS:
                noise *= 0.05
            drift[at] = 0.999 * drift[at] + chance.gauss(0, 0.02 if at != 3 or day not in STEADY_DAYS else 0)
            value = abs(made.mean + made.swing * (0.45 * wave + drift[at] + noise))
            if at == 4 and 480 <= minute < 720 and day in (REPEATED_DAY - 1, REPEATED_DAY):
                value = yesterday.setdefault(minute, value)
            quality, valid = _quality(at, day, minute, chance)
            if quality == q.OK:
                incidents.value(at, start, end, value)
            elif quality == q.TIMEOUT:
                incidents.missing(made.symbol, start, end, CAUSES[quality])
            shown = value if valid else None
            for revision in (1, 2) if day % 20 == 3 and minute < 240 else (1,):
                yield (
                    start, made.symbol, revision, 0, end, made.unit, value, quality, q.status(quality), valid,
                    60, valid / 60, shown and value * 0.97, shown and value * 1.03,
                    "late data" if revision > 1 else "", value, shown and value * 0.01, "mean", end - 5000,
                )  # fmt: skip


def _quality(at: int, day: int, minute: int, chance: random.Random) -> tuple[int, int]:
    """(quality, valid readings) of a window."""
    if day % 7 == at % 7 and 540 <= minute < 570:
        return q.CALIBRATING, 10
    if (day * 12 + at) % 97 == 5 and minute < 120:
        return q.TIMEOUT, 0
    return (q.COVERAGE, 30) if chance.random() < 0.002 else (q.OK, 60)


def _configuration(folder: Path, kind: str, place: Place) -> Path:
    station = {"province": "LCa", "facility": "DEMO", "code": place.code, "name": place.name, "kind": kind}
    parts = [table("[station]", station), table("[gateway]", {"state_dir": "."})]
    parts.append(table("[[bus]]", {"id": "tank", "link": "modbus-tcp://127.0.0.1:5020"}))
    for at, made in enumerate(place.channels):
        channel = {
            "symbol": made.symbol, "unit": made.unit, "decimals": made.decimals,
            "source": {"bus": "tank", "unit": 1, "register": at}, **made.more,
        }  # fmt: skip
        if made.limits:
            channel["limits"] = dict(made.limits) | ({} if "rule" in made.limits else {"basis": place.basis})
        parts.append(table("[[channel]]", channel))
    if place.fees:
        parts.append(table("[fees]", dict(place.fees)))
    parts.append(table("[[destination]]", {"id": "sent", "kind": "directory", "path": "sent"}))
    path = folder / "config.toml"
    path.write_text("\n".join(parts), "utf-8")
    return path


if __name__ == "__main__":
    _, to, what, of = sys.argv
    print(make(Path(to), what, of))
