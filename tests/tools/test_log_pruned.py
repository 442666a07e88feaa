"""A journal that retention was at work in, as people see it: receipts, bundles, rebuild, late readings."""

from __future__ import annotations

import json
import sqlite3

import pytest

from gateway.journal import retention as retention_module
from gateway.journal.leaf import parse
from gateway.journal.reader import Reader, Whole
from gateway.journal.retention import Retention
from gateway.receipts import receipt, receipt_of_window
from gateway.reports.message import rfc3339
from gateway.windows import LATE, parse_body
from protocol import receipt as receipts
from protocol.note import parse_vkey
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, greeting, late, live, restarted
from tests.tools.test_log import changed, run
from tools.log.times import time_ms

WINDOWS = 45
HOUR_MS = 3_600_000


async def pruned(run: Run) -> None:
    """What is older than an hour goes."""
    kept = Retention(run.intake.journal, 1, run.story.moment)
    kept._days = 1 / 24  # type: ignore[assignment] - no configuration may say so
    assert await kept.prune() > 0


def told(story: Story) -> list[bytes]:
    """The pruned story's entries before it was pruned."""
    reader = Reader(story.state_dir / "journal.db")
    found = [entry.leaf_bytes() for entry in reader.entries()]
    reader.close()
    return found


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    """Some hours, with all that may happen in them; then an hour is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention_module, "MARGIN_MS", 0)
        patch.setattr(retention_module, "PATIENCE_S", 0.0)
        story = Story(tmp_path_factory.mktemp("story"))
        story.start(greeting, live(WINDOWS // 2), late(700_000), live(1))
        story.start(greeting, restarted, live(WINDOWS // 2), late(900_000), live(1))
        story.entries = told(story)  # type: ignore[attr-defined]
        return story.start(greeting, pruned, live(1))


def whole_of(story: Story) -> Whole:
    reader = Reader(story.state_dir / "journal.db")
    found = reader.whole()
    reader.close()
    return found


def test_windows_of_the_time_before_are_proved_as_ever(story):
    reader = Reader(story.state_dir / "journal.db")
    log = parse_vkey((story.state_dir / "log.vkey").read_text().strip())
    found = receipts.parse(receipt_of_window(reader, "COD", START).encode())
    assert found.index < reader.whole().first and found.extra is not None
    receipts.check(found, found.extra, log)
    assert parse_body(parse(found.extra).body)[0].start_ms == START
    gone = next(i for i in range(100) if next(reader.entries(i, i), None) is None)
    without = receipts.parse(receipt(reader, gone).encode())
    assert without.extra is None
    receipts.check(without, story.entries[gone], log)  # type: ignore[attr-defined]
    reader.close()


def test_rebuild_compares_from_where_all_is_there(story):
    status, said, wrong = run("rebuild", story.config)
    assert status == 0 and not wrong and "were pruned by retention" in said
    found = json.loads(run("rebuild", story.config, "--json")[1])
    whole = whole_of(story)
    assert found["pruned"] > 300 and found["from_ms"] >= whole.from_ms
    assert found["from_ms"] - whole.from_ms < 2 * LENGTH_MS and found["windows"] > 10


def test_a_bundle_of_what_is_there_holds_and_of_what_is_not_is_a_sentence(story, tmp_path):
    whole = whole_of(story)
    end_ms = whole.from_ms + 8 * LENGTH_MS
    arguments = ("export", story.config, "--to", rfc3339(end_ms), "--out", tmp_path / "bundle")
    status, _, wrong = run(*arguments, "--from", "2026-03-25T07:00")
    assert status == 1 and not (tmp_path / "bundle").exists()
    assert wrong.startswith("The readings of 2026-03-25T07:05:00+07:00 were pruned by retention: a bundle is")
    possible = wrong.split("possible from ")[1].split(" on.")[0]
    assert whole.from_ms <= time_ms(possible, "") < whole.from_ms + 2 * LENGTH_MS
    status, _, wrong = run(*arguments, "--from", possible)
    assert status == 0, wrong
    status, said, _ = run("verify", tmp_path / "bundle", "--vkey", story.state_dir / "log.vkey")
    assert status == 0 and said.endswith("holds.\n")


@pytest.mark.parametrize(
    "statement, says",
    [
        ("DELETE FROM entry WHERE kind = 3 AND idx < 40", "has a row of entry"),
        (
            "UPDATE window SET value = 7 WHERE start_ms = (SELECT MIN(start_ms) FROM window)",
            "table of windows",
        ),
        ("UPDATE pruned SET leaves = CAST(zeroblob(8192) AS BLOB) WHERE block = 0", "entr"),
        ("DELETE FROM pruned WHERE block = 1", "is missing"),
        ("UPDATE meta SET value = value + 256 WHERE name = 'pruned'", "no entry tells of it"),
    ],
)
def test_what_somebody_did_to_the_time_before_is_named(story, tmp_path, statement, says):
    status, wrong = changed(story, tmp_path, statement)
    assert status == 1 and says in wrong


def test_raw_entries_that_somebody_removed_with_their_hashes_kept_are_named(story, tmp_path):
    """All triggers are content with it: but the log does not say that it was done."""
    first = whole_of(story).first
    block = first // 256
    reader = Reader(story.state_dir / "journal.db")
    leaves = b"".join(entry.leaf for entry in reader.entries(first, first + 255))
    reader.close()
    status, wrong = changed(
        story,
        tmp_path,
        f"INSERT INTO pruned VALUES ({block}, x'{leaves.hex()}')",
        f"DELETE FROM entry WHERE idx >= {first} AND idx < {first + 256} AND kind < 3",
        f"UPDATE meta SET value = {first + 256} WHERE name = 'pruned'",
    )
    assert status == 1 and f"entries {first} to {first + 255} were pruned, and no entry tells of it" in wrong


@pytest.mark.parametrize("checks", [True, False])
def test_a_window_is_never_computed_again_from_a_part_of_its_readings(tmp_path, monkeypatch, checks):
    """Late readings for a window whose entries are gone, and for one that is whole. Control: without the
    check in replay.recompute() the first gets a revision made of the late readings alone.
    """
    monkeypatch.setattr(retention_module, "MARGIN_MS", 0)
    monkeypatch.setattr(retention_module, "PATIENCE_S", 0.0)
    story = Story(tmp_path).start(greeting, live(WINDOWS))
    seen = []

    async def chapter(run: Run) -> None:
        await pruned(run)
        if not checks:
            monkeypatch.setattr(Reader, "whole", lambda self: Whole(0, -(1 << 62)))
        for back_ms in (WINDOWS * LENGTH_MS - 700_000, 1_200_000):
            await late(back_ms)(run)
        for state in run.intake.windows.states:
            seen.append(state.late)

    story.start(greeting, chapter)
    monkeypatch.undo()
    reader = Reader(story.state_dir / "journal.db")
    whole = reader.whole()
    revised = [w for w in reader.windows(0, 1 << 62) if w.revision > 1 and w.symbol == "COD"]
    reader.close()
    assert all(w.reason == LATE for w in revised)
    parts = [w for w in revised if w.start_ms < whole.from_ms]
    assert len([w for w in revised if w.start_ms >= whole.from_ms]) == 1
    if checks:
        assert parts == [] and sum(seen) > 0, "they stay counted as late"
        status, _, wrong = run("rebuild", story.config)
        assert status == 0, wrong
    else:
        assert [w.count for w in parts] == [2], "of 20 readings"


def test_the_command_makes_the_file_smaller(story, tmp_path):
    other = Story(tmp_path)
    source, copy = (sqlite3.connect(s.state_dir / "journal.db") for s in (story, other))
    with copy:
        source.backup(copy)
    source.close()
    copy.close()
    status, said, wrong = run("gateway", "compact", other.config, "--json")
    assert status == 0 and not wrong and json.loads(said)["after"] < json.loads(said)["before"]
    assert run("rebuild", other.config)[0] == 0
    (other.state_dir / "journal.db").unlink()
    status, _, wrong = run("gateway", "compact", other.config)
    assert status == 1 and "does not exist" in wrong
