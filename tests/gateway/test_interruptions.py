"""Interruptions: against a slow reference, over crashes at any place, and as the department reads them."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import config as configuration
from gateway.forward.worker import Counters
from gateway.interruptions import (
    LATE_MS,
    LEAST,
    NOTICE_MS,
    Interruption,
    Interruptions,
    cause_of,
    latest,
    parse,
)
from gateway.journal.reader import Reader
from gateway.journal.writer import Entry
from gateway.notices import FOLDER, NOTICE_NAME, Notices, listed, listed_of_month, said
from gateway.reports import interruption as texts
from gateway.windows import OFF, Window, body
from protocol import cbor
from protocol import quality as q
from tests.gateway import app_rig
from tests.gateway.journal_rig import opened
from tools.interruptions import month_ms
from tools.people import UsageError

START = 1_774_371_600_000  # 2026-03-25 00:00 GMT+7
LENGTH = 300_000
GOOD, CALIBRATING = (q.OK, "00"), (q.CALIBRATING, "01")
FAILED = (q.TIMEOUT, "02")


def window(
    number: int, kind: tuple[int, str], symbol: str = "COD", revision: int = 1, reason: str = ""
) -> Window:
    start = START + number * LENGTH
    value = 1.0 if kind[1] == "00" else None
    return Window(
        symbol, "mg/l", start, start + LENGTH, revision, value, *kind, 1, 1, 1.0, value, value, reason, value
    )  # fmt: skip


def reference(kinds: list[tuple[int, str]]) -> list[tuple[int, int | None]]:
    """(first failed window, first good one behind) of runs of LEAST and more: read off the whole list."""
    found, at = [], 0
    for failed, run in itertools.groupby(kinds, key=lambda kind: kind[1] == "02"):
        length = len(list(run))
        if failed and length >= LEAST:
            found.append((at, at + length if at + length < len(kinds) else None))
        at += length
    return found


def as_numbers(interruptions: list[Interruption]) -> list[tuple[int, int | None]]:
    return [
        ((one.from_ms - START) // LENGTH, None if one.to_ms is None else (one.to_ms - START) // LENGTH)
        for one in interruptions
    ]


kinds = st.lists(st.sampled_from([GOOD, FAILED, FAILED, CALIBRATING]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(kinds)
def test_interruptions_are_those_of_a_slow_reference(found):
    watch = Interruptions()
    events = watch.closed([window(n, kind) for n, kind in enumerate(found)])
    assert as_numbers(latest(events)) == reference(found)


@settings(max_examples=200, deadline=None)
@given(kinds, st.lists(st.integers(0, 40), max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_whatever_a_crash_leaves_unsaid_is_said_at_the_next_start(found, crashes, losses):
    """At each crash the newest event may be missing from the journal, as its own transaction was not made."""
    windows = [window(n, kind) for n, kind in enumerate(found)]
    said, watch, made = [], Interruptions(), 0
    for crash, lost in zip([*sorted(crashes), None], [*losses, False], strict=False):
        end = len(windows) if crash is None else min(crash, len(windows))
        events = watch.closed(windows[made:end]) if end > made else []
        said += events[:-1] if lost else events
        made = max(made, end)
        watch = Interruptions(latest(said))
        told = {(one.from_ms, one.to_ms) for one in latest(said)}
        said += [one for one in watch.closed(windows[:made]) if (one.from_ms, one.to_ms) not in told]
    assert as_numbers(latest(said)) == reference(found)


def test_control_without_the_second_look_what_a_crash_left_unsaid_is_lost():
    watch = Interruptions()
    assert watch.closed([window(n, FAILED) for n in range(LEAST)])  # said, and lost by a crash
    watch = Interruptions(latest([]))
    assert watch.closed([window(LEAST, FAILED), window(LEAST + 1, GOOD)]) == []


def test_calibration_ends_it_and_a_revision_changes_nothing():
    watch = Interruptions()
    (begin,) = watch.closed([window(n, FAILED) for n in range(4)])
    assert begin.to_ms is None and begin.cause == "the instrument does not answer"
    assert watch.closed([window(1, GOOD, revision=2)]) == []
    (end,) = watch.closed([window(4, CALIBRATING)])
    assert end == begin._replace(to_ms=START + 4 * LENGTH)
    assert parse(end.event()) == end and parse(b"\x80") is None and parse(b"nonsense") is None


def test_a_gateway_that_was_off_is_a_cause_of_its_own():
    assert cause_of([window(0, (q.NO_DATA, "02"), reason=OFF)]) == "the gateway was not running"
    assert cause_of([window(0, (q.NO_DATA, "02"))]) == "no readings arrived"


def test_a_destination_is_interrupted_from_its_oldest_document_on():
    watch = Interruptions()
    assert watch.behind("province", START, START + LATE_MS - 1) is None
    begin = watch.behind("province", START, START + LATE_MS, "It does not answer.")
    assert begin == Interruption(("destination", "province"), START, None, "It does not answer.")
    assert watch.behind("province", START, START + 2 * LATE_MS) is None
    end = watch.behind("province", START + 2 * LATE_MS, START + 2 * LATE_MS + 1)
    assert end is not None and end.to_ms == START + 2 * LATE_MS + 1
    assert watch.open == {}


# With the journal -------------------------------------------------------------------------------------------


class Rig:
    """A real journal with a channel's windows; the clock and the destination's state are the test's."""

    def __init__(self, folder: Path):
        self.config = configuration.load(
            app_rig.write_config(
                folder, app_rig.device(folder, "st-01", "tcp-listen://127.0.0.1:7311"),
                app_rig.device_channel("COD", "st-01", "cod"), app_rig.directory(),
            )
        )  # fmt: skip
        self.path = self.config.gateway.state_dir / "journal.db"
        self.now_ms = START
        self.local = Counters()
        self.made = 0

    async def live(self, found: list[tuple[int, str]], hours: float = 0.0, dies: bool = False) -> Notices:
        """Start, close these windows as the intake does, look, stop; `dies`: before it ever looked."""
        journal = opened(self.path)
        journal.start()
        workers: Any = {"local": SimpleNamespace(counters=self.local)}
        notices = Notices(self.config, journal, lambda: (self.now_ms, 0), workers)
        if not dies:
            await notices.look()
        source = journal.source("gateway")
        for kind in found:
            row = window(self.made, kind)
            entry = Entry(3, source, 0, 0, 0, row.end_ms, 0, None, None, body(row, journal.submitted))
            told = [
                Entry(4, source, 0, 0, 0, row.end_ms, 0, None, None, data) for data in notices.closed([row])
            ]
            await journal.commit(entries=told, windows=[(row, entry)], now_ms=row.end_ms)
            self.made += 1
            self.now_ms = row.end_ms
        self.now_ms += round(hours * 3_600_000)
        if not dies:
            await notices.look()
        await journal.close()
        return notices

    def read(self, function, *arguments):
        reader = Reader(self.path)
        try:
            return function(reader, *arguments)
        finally:
            reader.close()


def test_beginning_and_end_are_entries_also_after_a_crash_between(tmp_path):
    rig = Rig(tmp_path)
    asyncio.run(rig.live([GOOD, FAILED, FAILED, FAILED], dies=True))
    assert rig.read(listed) == []
    asyncio.run(rig.live([FAILED]))
    assert as_numbers(rig.read(listed)) == [(1, None)]
    asyncio.run(rig.live([GOOD], dies=True))
    asyncio.run(rig.live([GOOD, FAILED]))
    assert as_numbers(rig.read(listed)) == [(1, 5)]
    (row,) = rig.read(listed_of_month, *month_ms("2026-03", 0), rig.now_ms)
    assert (row.windows, row.made_up) == (4, 0)


def test_beginning_and_end_are_in_the_transaction_of_the_windows_that_show_them(tmp_path):
    rig = Rig(tmp_path)
    asyncio.run(rig.live([GOOD, FAILED, FAILED, FAILED, FAILED, GOOD]))
    began, ended = rig.read(lambda reader: [e.idx for e in reader.entries(kinds=(4,))])
    shown = rig.read(lambda reader: [w for (w,) in reader.rows("SELECT idx FROM window ORDER BY start_ms")])
    assert (began + 1, ended + 1) == (shown[3], shown[5])


def test_after_twelve_hours_a_notice_is_drafted_once(tmp_path):
    rig = Rig(tmp_path)
    asyncio.run(rig.live([FAILED] * 4, hours=11.6))
    assert not (rig.path.parent / FOLDER).exists()
    rig.local.oldest_unsent_ms = START + 1_800_000
    notices = asyncio.run(rig.live([], hours=0.1))
    (path,) = (rig.path.parent / FOLDER).iterdir()
    text = path.read_text()
    assert "Thông số COD: từ 00:00 ngày 25/03/2026" in text and "không trả lời" in text
    assert "NUO001" in text and "12 giờ" in text
    assert any("COD" in problem and "notice" in problem for problem in notices.problems())
    (event,) = rig.read(said, NOTICE_NAME)
    assert cbor.loads(event)[3:] == [path.name, hashlib.sha256(path.read_bytes()).digest()]
    asyncio.run(rig.live([], hours=0.5))
    names = {path.name for path in (rig.path.parent / FOLDER).iterdir()}
    assert len(names) == 2  # the destination's own, now that it lasts as long; COD's is not drafted again
    assert len(rig.read(said, NOTICE_NAME)) == 2


def test_what_the_configuration_no_longer_has_ends(tmp_path):
    rig = Rig(tmp_path)
    rig.local.oldest_unsent_ms = START - LATE_MS
    asyncio.run(rig.live([GOOD]))
    assert [one.what for one in rig.read(listed)] == [("destination", "local")]
    object.__setattr__(rig, "config", rig.config.model_copy(update={"channel": ()}))
    asyncio.run(rig.live([FAILED] * 3))
    channel = next(one for one in rig.read(listed) if one.what[0] == "channel")
    assert channel.to_ms == rig.now_ms


def test_the_list_of_a_month_reads_in_a_spreadsheet():
    one = Interruption(("channel", "COD"), START, START + NOTICE_MS, "no readings arrived")
    data = texts.month_csv([texts.Listed(one, 144, 140)], START + NOTICE_MS, NOTICE_MS)
    assert data.startswith(b"\xef\xbb\xbf")
    heading, row = csv.reader(io.StringIO(data.decode("utf-8-sig")))
    assert tuple(heading) == texts.HEADINGS
    assert row == [
        "Thông số COD", "00:00 ngày 25/03/2026", "12:00 ngày 25/03/2026", "12 giờ 00 phút",
        "không nhận được số liệu đo", "có", "144", "140",
    ]  # fmt: skip


def test_every_cause_has_a_translation():
    from gateway.interruptions import CAUSES

    assert {*CAUSES.values(), "the gateway was not running"} == set(texts.CAUSES_VI)


def test_months():
    assert month_ms("2026-12", 0) == (1796058000000, 1798736400000)
    assert month_ms(None, START) == month_ms("2026-03", 0)
    with pytest.raises(UsageError, match="2026-11"):
        month_ms("11/2026", 0)
