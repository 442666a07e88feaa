"""`quantrac gateway interruptions`: what was interrupted in a month, from the journal alone."""

from __future__ import annotations

import calendar
import json
import re
import time
from pathlib import Path

from gateway import config as configuration
from gateway.interruptions import NOTICE_MS
from gateway.journal.reader import reading
from gateway.notices import listed_of_month
from gateway.reports.interruption import Listed, month_csv
from gateway.reports.message import rfc3339
from gateway.zone import GMT7_S
from tools.people import Failure, UsageError


def month_ms(text: str | None, now_ms: int) -> tuple[int, int]:
    """Begin and end, Unix ms, of a month written 2026-11, in GMT+7; None is the present one. UsageError."""
    if text is None:
        text = time.strftime("%Y-%m", time.gmtime(now_ms // 1000 + GMT7_S))
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", text):
        raise UsageError(f"--month {text!r} is no month: write it as 2026-11.")
    year, month = map(int, text.split("-"))
    after = (year + month // 12, month % 12 + 1)
    begin, end = (calendar.timegm((y, m, 1, 0, 0, 0)) - GMT7_S for y, m in ((year, month), after))
    return begin * 1000, end * 1000


def print_interruptions(config_path: Path, month: str | None, out: Path | None, as_json: bool) -> int:
    """The list of a month: a table, JSON, or CSV into a file."""
    config = configuration.load(config_path)
    path = config.gateway.state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    with reading(path) as reader:
        now_ms = reader.newest_ms()
        from_ms, to_ms = month_ms(month, now_ms)
        rows = listed_of_month(reader, from_ms, to_ms, now_ms)
    if out is not None:
        out.write_bytes(month_csv(rows, now_ms, NOTICE_MS))
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], ensure_ascii=False))
        return 0
    for row in rows:
        print(_line(row, now_ms))
    print(f"{len(rows)} interruptions" + (f", written to {out}" if out else ""))
    return 0


def _as_json(row: Listed) -> dict:
    one = row.interruption
    return {
        "what": " ".join(one.what), "from": rfc3339(one.from_ms),
        "to": None if one.to_ms is None else rfc3339(one.to_ms), "cause": one.cause,
        "windows": row.windows, "made_up": row.made_up,
    }  # fmt: skip


def _line(row: Listed, now_ms: int) -> str:
    one = row.interruption
    end = "still lasts" if one.to_ms is None else rfc3339(one.to_ms)
    hours = one.lasts_ms(now_ms) / 3_600_000
    mark = "  NOTICE" if one.lasts_ms(now_ms) >= NOTICE_MS else ""
    return (
        f"{rfc3339(one.from_ms)}  {end:<25}  {hours:7.2f} h  {' '.join(one.what):<24} {one.cause}"
        f" ({row.made_up} of {row.windows} made up for){mark}"
    )
