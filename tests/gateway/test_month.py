"""A month of a station with every kind of channel, rebuilt from its journal: the same windows and files.

Three days in every run; with QUANTRAC_LONG all of March 2026.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from gateway import accumulate, checks, circular, derive, flags, verify_replay
from gateway.marks import Marks
from gateway.reports import provincial
from gateway.timed import Timed
from gateway.windows import BEFORE, OFF
from protocol import quality as q
from protocol.merkle import EvidenceError
from protocol.messages import Readings
from tests.gateway.evidence_rig import LENGTH_MS, Story
from tests.gateway.month_rig import DAY_MS, FIRST, MARCH_DAYS, every_kind, live_through
from tests.promises.counted import counted
from tools.log.rebuild import rebuild

DAYS = MARCH_DAYS if os.environ.get("QUANTRAC_LONG") else 3
SEED = 1


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    story = Story(tmp_path_factory.mktemp("month"), every_kind(), start_ms=FIRST)
    live_through(story, DAYS, SEED)
    return story


def rows(story: Story, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(story.state_dir / "journal.db")) as connection:
        return connection.execute(statement).fetchall()


def column(story: Story, statement: str) -> set:
    return {value for (value,) in rows(story, statement)}


def test_all_of_it_comes_out_again(story):
    """Nothing is left out of the comparison: what was compared is what the tables hold."""
    found = rebuild(story.config)
    assert DAYS * DAY_MS // LENGTH_MS - 3 <= found.windows <= DAYS * DAY_MS // LENGTH_MS
    assert (found.from_ms, found.pruned) == (FIRST, 0)
    ((windows, entries),) = rows(story, "SELECT COUNT(*), (SELECT COUNT(*) FROM entry) FROM window")
    assert (found.rows, found.entries) == (windows, entries)
    ((documents, files),) = rows(
        story, "SELECT COUNT(*), SUM(name LIKE '%.txt') FROM outbox WHERE kind = 'windows'"
    )
    assert found.documents == documents and files > found.windows // 2
    ((starts,),) = rows(story, "SELECT COUNT(DISTINCT start_ms) FROM window")
    assert found.windows == starts and found.revisions > 5 * DAYS
    counted("days", DAYS)
    print(f"{DAYS} days: {found._asdict()}, {files} of the documents are files")  # with -s or -rP


def test_all_that_happens_to_stations_happened(story):
    """Else the test above would show less than it says."""
    kinds = column(story, "SELECT symbol FROM window WHERE status = '00' AND value IS NOT NULL")
    assert kinds == {
        *("SO2m", "O2", "Temp", "P", "RH", "SO2", "SO2kg", "WindDir", "Slow", "State", "Flow"),
        *("Meter", "Door", "NH4"),
    }
    said = {name for text in column(story, "SELECT flags FROM window") for name in flags.counts(text)}
    assert said >= {"IMPLAUSIBLE", "RATE", "NEGATIVE", "UNSUPPORTED", "METER_BACK", "FAULT", "MAINTENANCE"}
    assert column(story, "SELECT reason FROM window") >= {"", "late data", OFF, BEFORE}
    assert column(story, "SELECT quality FROM window WHERE symbol = 'SO2'") >= {
        *(q.OK, q.MAINTENANCE, q.NO_DATA, q.COVERAGE, flags.UNSUPPORTED)
    }
    assert column(story, "SELECT quality FROM window WHERE symbol = 'O2'") >= {q.CALIBRATING, q.MAINTENANCE}


# Controls: what is not the same is found --------------------------------------------------------------------


def one_reading(patch: pytest.MonkeyPatch) -> None:
    """As if one reading of the second day had been another."""
    right, chosen = verify_replay.take, []

    def other(lane, message, *more):
        if isinstance(message, Readings) and message.base_ms >= FIRST + DAY_MS and not chosen:
            chosen.append(message)
        if [message] == chosen:
            (channel, at_ms, bits, *rest), *others = message.rows
            message = message._replace(rows=((channel, at_ms, bits ^ 1, *rest), *others))
        return right(lane, message, *more)

    patch.setattr(verify_replay, "take", other)


CONTROLS = {
    "one reading": one_reading,
    "oxygen of air": lambda patch: patch.setattr(derive, "AIR_OXYGEN", 21.0),
    "standard temperature": lambda patch: patch.setattr(derive, "STANDARD_K", derive.ZERO_K),
    "a contact": lambda patch: patch.setattr(derive, "ON", 1.5),
    "marks of people": lambda patch: patch.setattr(Marks, "of_window", lambda *_: None),
    "the fastest change": lambda patch: patch.setattr(checks, "_too_fast", lambda *_: None),
    "a meter that goes back": lambda patch: patch.setattr(
        Timed, "_step", lambda _, before, now: now - before
    ),
    "directions": lambda patch: patch.setattr(circular.Mean, "degrees", lambda _: 90.0),
    "slow analysers": lambda patch: patch.setattr(accumulate.ChannelState, "held", lambda *_: None),
    "figures in files": lambda patch: patch.setattr(provincial, "number", lambda value, _: f"{value:.1f}"),
}


@pytest.mark.parametrize("broken", CONTROLS.values(), ids=CONTROLS)
def test_control_a_changed_reading_or_rule_is_found(story, monkeypatch, broken):
    broken(monkeypatch)
    with pytest.raises(EvidenceError, match=r"and the (entries before it|windows) give"):
        rebuild(story.config)
