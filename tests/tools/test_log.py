"""`quantrac export`, `verify` and `rebuild` as people run them, and the receipts of the journal."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from gateway.config import load
from gateway.counters import Counters
from gateway.errors import JournalError
from gateway.feed import Feed
from gateway.feed_checkpoints import CheckpointSource
from gateway.journal.leaf import leaf
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader
from gateway.receipts import receipt, receipt_of_window
from gateway.reports import message
from gateway.windows import body, parse_body
from protocol import checkpoint, note
from protocol import receipt as receipts
from protocol.checkpoint import Checkpoint, open_checkpoint
from protocol.merkle import EvidenceError
from protocol.note import COSIGNATURE, Signer, Verifier, parse_vkey
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, greeting, late, live, restarted
from tests.gateway.handover_rig import rotate, signer
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


def test_a_log_that_was_handed_over(tmp_path):
    story = Story(tmp_path).start(greeting, live(2))
    (tmp_path / "old.vkey").write_bytes((story.state_dir / "log.vkey").read_bytes())
    (tmp_path / "other.vkey").write_text(signer(9).verifier.vkey)
    rotate(story, "once a year")
    story.start(greeting, live(1))
    for name in ("bundle", "bundle.zip"):
        out = export(story, tmp_path / name)
        status, said, _ = run("verify", out, "--vkey", tmp_path / "old.vkey")
        (line,) = [line for line in said.splitlines() if line.startswith("ok           handover: ")]
        assert status == 0 and line.endswith("another key of the same log: 'once a year'")
        assert "the key given leads to" in said
        status, said, _ = run("verify", out, "--vkey", tmp_path / "other.vkey")
        assert status == 1 and "no handover leads to it from there" in said
    assert (
        "Check handovers/<index>.tlog-proof with both keys"
        in (tmp_path / "bundle" / "README.txt").read_text()
    )
    (vkey := story.state_dir / "log.vkey").write_bytes((tmp_path / "old.vkey").read_bytes())
    status, _, wrong = run("export", story.config, "--from", FROM, "--to", TO, "--out", tmp_path / "x")
    assert status == 1 and f"{vkey.name} is not the key that the journal goes on under" in wrong


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


# Checkpoints in documents --------------------------------------------------------------------------------


def told(story: Story) -> list[tuple[str, str, bytes, Checkpoint | None]]:
    """(destination, key, body, the checkpoint in it) of the messages in the outbox, in their order."""
    with contextlib.closing(sqlite3.connect(story.state_dir / "journal.db")) as connection:
        rows = connection.execute("SELECT destination, key, body FROM outbox ORDER BY id").fetchall()
    found = []
    for destination, key, data in rows:
        note = message.checkpoint_in(data)
        found.append((destination, key, data, open_checkpoint(note, log_key(story)) if note else None))
    return found


def log_key(story: Story) -> Verifier:
    return parse_vkey((story.state_dir / "log.vkey").read_text().strip())


def test_messages_carry_the_checkpoint_that_was_newest(story):
    """The first window has none; each later one that of the window before, which is older than itself."""
    sizes = [signed.size if signed else 0 for name, _, _, signed in told(story) if name == "national"]
    assert sizes[0] == 0 and sizes[1:] == sorted(set(sizes[1:])) and len(sizes) == 7
    with contextlib.closing(sqlite3.connect(story.state_dir / "journal.db")) as connection:
        signed = [size for (size,) in connection.execute("SELECT size FROM checkpoint ORDER BY size")]
    assert sizes[1:] == signed[:-1]


NOT_OURS = "holds a checkpoint that is not the journal's"


def replaced(story: Story, tmp_path: Path, change) -> str:
    """What rebuild says when the third message's checkpoint is `change(the journal's, what it was)`."""
    with contextlib.closing(sqlite3.connect(story.state_dir / "journal.db")) as connection:
        notes = [note for (note,) in connection.execute("SELECT note FROM checkpoint ORDER BY size")]
    _, key, data, _ = [row for row in told(story) if row[0] == "national"][2]
    found = json.loads(data)
    text = change(notes, found["checkpoint"].encode())
    found["checkpoint"] = text if text is None else text.decode()
    if text == b"":
        del found["checkpoint"]
    made = msgspec.json.encode(found).hex()
    status, wrong = changed(
        story,
        tmp_path,
        f"UPDATE outbox SET body = x'{made}' WHERE key = '{key}' AND destination = 'national'",
    )
    assert status == (1 if wrong else 0)
    return wrong


def stranger(notes: list[bytes], told: bytes) -> bytes:
    """The same text, signed by somebody else under the log's name."""
    signer = Signer(checkpoint.parse(note.parse(told).text).origin, Ed25519PrivateKey.generate())
    text = note.parse(told).text
    return f"{text}\n{signer.sign(text)}".encode()


def with_a_stranger(notes: list[bytes], told: bytes) -> bytes:
    signer = Signer("witness.example", Ed25519PrivateKey.generate(), COSIGNATURE)
    return told + signer.sign(note.parse(told).text, 1_774_397_100).encode()


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda notes, told: told, ""),
        (lambda notes, told: notes[0], ""),  # an older one: it was the newest once, who can tell
        (lambda notes, told: b"", ""),
        (lambda notes, told: notes[-1], "holds a checkpoint that is newer than its windows"),
        (lambda notes, told: told.replace(b"\n\n", b"\nmore\n\n"), NOT_OURS),
        (lambda notes, told: b"7" + told, NOT_OURS),
        (stranger, NOT_OURS),
        (with_a_stranger, NOT_OURS),
        (lambda notes, told: b"no note", "holds no checkpoint"),
        (lambda notes, told: None, "is not what its windows give"),
    ],
)
def test_a_checkpoint_in_a_message_is_one_of_the_journals(story, tmp_path, change, says):
    wrong = replaced(story, tmp_path, change)
    assert says in wrong and bool(wrong) == bool(says)


def test_one_that_was_cosigned_since_is_the_same(story, tmp_path):
    """The journal's note gets its cosignature after the message was made."""
    signer = Signer("witness.example", Ed25519PrivateKey.generate(), COSIGNATURE)
    with contextlib.closing(sqlite3.connect(story.state_dir / "journal.db")) as connection:
        rows = connection.execute("SELECT size, note FROM checkpoint").fetchall()
    cosign = [
        f"UPDATE checkpoint SET note = x'{(data + signer.sign(note.parse(data).text, 1).encode()).hex()}' "
        f"WHERE size = {size}"
        for size, data in rows
    ]
    assert changed(story, tmp_path, *cosign) == (0, "")


@pytest.fixture(scope="module")
def sending(tmp_path_factory) -> Story:
    """A story whose checkpoints are queued as well."""
    more = '[[destination]]\nid = "police"\nkind = "mqtt"\nhost = "127.0.0.1"\nsend = ["checkpoints"]\n'
    more += '[[destination]]\nid = "side"\nkind = "directory"\npath = "side"\nsend = ["checkpoints"]\n'
    story = Story(tmp_path_factory.mktemp("sending"), more=more)

    async def queue(run: Run) -> None:
        journal = run.intake.journal
        outbox = JournalOutbox(journal, lambda: story.now_ms, Counters())
        config = load(story.config)
        await Feed(config, journal, outbox, [CheckpointSource(config, journal)]).look()

    return story.start(greeting, live(1), queue, live(1), queue, live(1), queue)


BODY = "UPDATE outbox SET body"


@pytest.mark.parametrize(
    "statement, says",
    [
        ("UPDATE outbox SET attempts = 1", ""),
        (f"{BODY} = CAST(body || ' ' AS BLOB) WHERE destination = 'police'", "is not what its checkpoint"),
        (f"{BODY} = CAST(body || ' ' AS BLOB) WHERE destination = 'side'", "holds no checkpoint"),
        (f"{BODY} = x'7b7d' WHERE destination = 'police'", "holds no checkpoint"),
        ("UPDATE outbox SET key = 'checkpoint/NUO001/1' WHERE id = 4", "is not what its checkpoint"),
        ("DELETE FROM checkpoint WHERE size = (SELECT MIN(size) FROM checkpoint)", NOT_OURS),
    ],
)
def test_queued_checkpoints_are_as_they_were_signed(sending, tmp_path, statement, says):
    status, said, wrong = run("rebuild", sending.config)
    assert status == 0 and "4 checkpoints in the outbox are as they were signed" in said, wrong
    status, wrong = changed(sending, tmp_path, statement)
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
