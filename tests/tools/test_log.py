"""`quantrac export`, `verify` and `rebuild` as people run them, and the receipts of the journal."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.errors import JournalError
from gateway.journal.leaf import leaf
from gateway.journal.reader import Reader
from gateway.receipts import receipt, receipt_of_window
from gateway.windows import body, parse_body
from protocol import receipt as receipts
from protocol.merkle import EvidenceError
from protocol.note import parse_vkey
from tests.gateway.evidence_rig import LENGTH_MS, START, Story, greeting, late, live, restarted
from tools.cli import app
from tools.log.times import time_ms
from tools.people import UsageError

FROM, TO = "2026-03-25T07:00", "2026-03-25T08:00"


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    story = Story(tmp_path_factory.mktemp("story"))
    story.start(greeting, live(3), late(700_000), live(1))
    return story.start(greeting, live(1), restarted, live(2))


def run(*arguments: object) -> tuple[int, str, str]:
    """(exit status, stdout, stderr), a traceback being a failure."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.stdout, done.stderr


def export(story: Story, out: Path, *more: object) -> Path:
    status, said, wrong = run("export", story.config, "--from", FROM, "--to", TO, "--out", out, *more)
    assert status == 0 and f"Next: quantrac verify {out}" in said, wrong
    return out


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_bundle_is_made_and_holds(story, tmp_path, name):
    out = export(story, tmp_path / name, "--seen", story.state_dir / "log.checkpoint")
    status, said, wrong = run(
        "verify", out, "--vkey", story.state_dir / "log.vkey", "--seen", story.state_dir / "log.checkpoint"
    )
    assert status == 0 and said.endswith(f"{out} holds.\n") and not wrong
    assert [line.split(":")[0].split() for line in said.splitlines()[:-1]] == [
        ["ok", what] for what in ("key", "checkpoint", "seen", "entries", "windows", "files")
    ]
    status, said, _ = run("verify", out, "--json")
    found = json.loads(said)
    assert status == 0 and found["ok"] and [c["what"] for c in found["claims"] if not c["shown"]] == ["key"]
    assert not list(tmp_path.glob("*.part"))


def test_a_changed_bundle_is_one_sentence_and_status_1(story, tmp_path):
    out = export(story, tmp_path / "bundle")
    (out / "entries" / "7.bin").write_bytes((out / "entries" / "7.bin").read_bytes()[:-1] + b"x")
    status, said, wrong = run("verify", out)
    assert status == 1 and wrong == f"{out} does not show what it claims.\n"
    assert said.splitlines()[-1].startswith(
        "WRONG        entries/7.bin and its receipt do not belong together"
    )
    status, said, wrong = run("verify", out, "--json")
    assert status == 1 and not json.loads(said)["ok"] and "entries/7.bin" in json.loads(said)["wrong"]


def test_what_is_used_wrongly_is_a_sentence_and_status_2(story, tmp_path):
    out = export(story, tmp_path / "bundle")
    (tmp_path / "no.vkey").write_text("no key")
    for arguments, says in (
        (("verify", tmp_path / "none"), "does not exist"),
        (("verify", out, "--vkey", tmp_path / "no.vkey"), "no.vkey is no verifier key"),
        (("verify", out, "--witness-vkey", tmp_path / "none"), "cannot be read"),
        (("export", story.config, "--from", FROM, "--to", TO, "--out", out), "give --out another name"),
        (("export", story.config, "--from", TO, "--to", FROM, "--out", tmp_path / "x"), "--to is not behind"),
        (
            ("export", story.config, "--from", "x", "--to", TO, "--out", tmp_path / "x"),
            "--from 'x' is no time",
        ),
        (("export", tmp_path / "none", "--from", FROM, "--to", TO, "--out", tmp_path / "x"), "no such file"),
    ):
        status, _, wrong = run(*arguments)
        assert status == 2 and says in wrong, wrong
    status, _, wrong = run(
        "export", story.config, "--from", "2020-01-01", "--to", "2020-02-01", "--out", tmp_path / "x"
    )
    assert status == 1 and "No window of this time is closed" in wrong and not (tmp_path / "x").exists()


def test_moments():
    assert time_ms("2026-03-25T07:05", "") == time_ms("20260325070500", "") == START
    assert time_ms("2026-03-25T00:05:00Z", "") == time_ms("2026-03-25T07:05:00.000+07:00", "") == START
    for text in ("", "yesterday", "2026-13-01", "99999999999999"):
        with pytest.raises(UsageError):
            time_ms(text, "--from")


# Receipts ---------------------------------------------------------------------------------------------------


def test_a_receipt_proves_one_window_and_shows_nothing_else(story):
    reader = Reader(story.state_dir / "journal.db")
    found = receipts.parse(receipt_of_window(reader, "COD", START).encode())
    log = parse_vkey((story.state_dir / "log.vkey").read_text().strip())
    assert found.extra is not None
    signed = receipts.check(found, found.extra, log)
    stored = next(reader.entries(found.index, found.index))
    assert stored.leaf_bytes() == found.extra
    window, _ = parse_body(stored.body)
    assert (window.symbol, window.start_ms, window.revision) == ("COD", START, 2), "the newest revision"
    assert signed.size > found.index and len(found.encode()) < 1500
    with pytest.raises(EvidenceError):
        receipts.check(found, found.extra[:-1] + b"x", log)
    for wanted, says in (
        (lambda: receipt_of_window(reader, "PH", START + 1), "has no window of PH"),
        (lambda: receipt(reader, 1 << 40), "has no entry"),
        (lambda: receipt(reader, reader.size() - 1), "No checkpoint covers"),
    ):
        with pytest.raises(JournalError, match=says):
            wanted()
    reader.close()


# Rebuild ----------------------------------------------------------------------------------------------------


def test_a_journal_is_made_once_more(story):
    status, said, wrong = run("rebuild", story.config)
    assert status == 0 and "6 windows" in said and "1 later revisions" in said and not wrong
    assert "documents in the outbox are what these windows give" in said
    status, said, _ = run("rebuild", story.config, "--json")
    assert json.loads(said)["ok"] and json.loads(said)["windows"] == 6


def changed(story: Story, tmp_path: Path, *statements: str) -> tuple[int, str]:
    """`rebuild` of a copy of the journal in which somebody wrote, past its triggers."""
    other = Story(tmp_path)
    source = sqlite3.connect(story.state_dir / "journal.db")
    copy = sqlite3.connect(other.state_dir / "journal.db")
    with copy:
        source.backup(copy)
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert copy.execute(statement).rowcount > 0, statement
    source.close()
    copy.close()
    status, _, wrong = run("rebuild", other.config)
    assert wrong.count("\n") <= 1
    return status, wrong


@pytest.mark.parametrize(
    "statement, says",
    [
        (
            "UPDATE entry SET body = CAST(body || x'00' AS BLOB) WHERE idx = 9",
            "entry 9 does not match its hash",
        ),
        ("UPDATE entry SET arrived_ms = arrived_ms + 1 WHERE idx = 9", "entry 9 does not match its hash"),
        ("DELETE FROM entry WHERE idx = 9", "entry 9 is missing"),
        ("DELETE FROM entry WHERE idx > 100", "were signed, and the journal holds 101"),
        (
            "UPDATE window SET value = value + 1 WHERE symbol = 'PH' AND revision = 1",
            "table of windows differs",
        ),
        (f"DELETE FROM window WHERE start_ms = {START + LENGTH_MS}", "table of windows differs"),
        (
            "UPDATE outbox SET body = CAST(replace(body, '00', '01') AS BLOB) WHERE destination = 'local'",
            "line 1",
        ),
        (
            "UPDATE outbox SET body = CAST(body || ' ' AS BLOB) WHERE destination = 'national'",
            "is not what its",
        ),
        ("UPDATE outbox SET key = 'window/x/1/1' WHERE id = 3", "window/x/1/1 for"),
        ("UPDATE outbox SET name = 'x.txt' WHERE destination = 'local'", "its windows give no file x.txt"),
        ("DELETE FROM outbox WHERE id = 3", ""),
    ],
)
def test_the_first_difference_is_named(story, tmp_path, statement, says):
    status, wrong = changed(story, tmp_path, statement)
    assert says in wrong and status == (1 if says else 0)


def test_a_row_that_does_not_follow_from_its_readings_is_named(story, tmp_path):
    """Whoever holds the journal and its hashes can write what he likes; not what its readings do not give."""
    reader = Reader(story.state_dir / "journal.db")
    stored = next(e for e in reader.entries() if e.kind == 3)
    reader.close()
    row, through = parse_body(stored.body)
    lie = body(row._replace(value=1.0), through)
    hashed = leaf(stored.kind, stored.source, stored.arrived_ms, stored.mono_ms, lie)
    status, wrong = changed(
        story, tmp_path, "DELETE FROM checkpoint",
        f"UPDATE entry SET body = x'{lie.hex()}', leaf = x'{hashed.hex()}' WHERE idx = {stored.idx}",
    )  # fmt: skip
    assert status == 1 and f"entry {stored.idx}: the window of 'COD'" in wrong and "says value 1.0" in wrong
